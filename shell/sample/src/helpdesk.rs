//! A helpdesk: tickets of customers, and a knowledge base.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::world::{Answer, Effect, Outcome, World, count, id, text, tool};

const ARTICLES: [(&str, &str, &str); 5] = [
    (
        "reset-password",
        "Reset a forgotten password",
        "Open Settings > Security and choose Reset. The link is good for 30 minutes. Never ask a customer for a password.",
    ),
    (
        "refund-policy",
        "When a refund is due",
        "An order can be refunded within 30 days. Above 200 USD a person in Finance must agree before the ledger is touched.",
    ),
    (
        "printer-offline",
        "The label printer shows offline",
        "Unplug it for ten seconds, then choose Devices > Printers > Reconnect. Firmware before 4.2 loses its network at midnight.",
    ),
    (
        "sso-setup",
        "Single sign-on with OpenID Connect",
        "Register the redirect address, copy the client id, and map the claim `groups`. Test with one user before you enforce it.",
    ),
    (
        "delete-account",
        "A customer asks to delete an account",
        "Verify the owner by mail, export the data, wait 14 days. Deletion can't be undone.",
    ),
];

struct Ticket {
    subject: &'static str,
    customer: &'static str,
    status: &'static str,
    priority: String,
    comments: Vec<String>,
}

/// The helpdesk.
pub(crate) struct Helpdesk {
    tickets: BTreeMap<String, Ticket>,
}

impl Helpdesk {
    /// The helpdesk on a Monday morning.
    pub(crate) fn new() -> Self {
        let ticket = |id: &str, subject, customer, status, priority: &str, comment: &str| {
            let comments = vec![comment.to_owned()];
            (id.to_owned(), Ticket { subject, customer, status, priority: priority.to_owned(), comments })
        };
        let tickets = [
            ticket(
                "TCK-1001",
                "Can't sign in after the update",
                "Northwind Traders",
                "open",
                "high",
                "The reset link answers 410 Gone.",
            ),
            ticket(
                "TCK-1002",
                "Label printer goes offline at night",
                "Contoso Retail",
                "open",
                "normal",
                "Happens at 00:00 every day, firmware 4.1.",
            ),
            ticket(
                "TCK-1003",
                "Charged twice for order 88231",
                "Fabrikam",
                "pending",
                "high",
                "Two charges of 149.00 USD on 14 November.",
            ),
            ticket("TCK-1004", "How do we set up single sign-on?", "Tailspin Toys", "open", "low", "We use OpenID Connect."),
            ticket("TCK-1005", "Please delete our trial account", "Wingtip", "closed", "normal", "Done on 2 November."),
        ];
        Self { tickets: tickets.into_iter().collect() }
    }

    fn ticket(&mut self, id: &str) -> Result<&mut Ticket, String> {
        self.tickets.get_mut(id).ok_or_else(|| format!("there is no ticket {id}"))
    }
}

fn shown(id: &str, ticket: &Ticket) -> Value {
    json!({
        "id": id, "subject": ticket.subject, "customer": ticket.customer, "status": ticket.status,
        "priority": ticket.priority, "comments": ticket.comments,
    })
}

fn ticket_output() -> (Value, &'static [&'static str]) {
    let string = json!({ "type": "string" });
    let properties = json!({
        "id": string, "subject": string, "customer": string, "status": string, "priority": string,
        "comments": { "type": "array", "items": string },
    });
    (properties, &["id", "subject", "customer", "status", "priority", "comments"])
}

fn done(id: &str, ticket: &Ticket, what: &str) -> Outcome {
    Outcome::Done(format!("{id} ({}): {what}", ticket.subject), shown(id, ticket))
}

impl World for Helpdesk {
    fn about(&self) -> (&'static str, &'static str) {
        ("Helpdesk", "Tickets and the knowledge base of Acme's customer support. Search the knowledge base before answering.")
    }

    fn tools(&self) -> Vec<Value> {
        let one = || (json!({ "ticket_id": id("TCK") }), &["ticket_id"] as &'static [&'static str]);
        let hits = json!({ "articles": { "type": "array", "items": { "type": "object" } } });
        let listed = json!({ "tickets": { "type": "array", "items": { "type": "object" } } });
        let status =
            json!({ "type": "string", "enum": ["open", "pending", "closed"], "description": "Only those of this status" });
        let priority = json!({ "type": "string", "enum": ["low", "normal", "high"], "description": "The new priority" });
        vec![
            tool(
                "search_kb",
                ("Search the knowledge base", "Finds articles by words"),
                Effect::Reads,
                (json!({ "query": text("Words to look for"), "limit": count("How many articles at most", 1, 20) }), &["query"]),
                (hits, &["articles"]),
            ),
            tool("get_ticket", ("Read a ticket", "Reads one ticket with its comments"), Effect::Reads, one(), ticket_output()),
            tool(
                "list_tickets",
                ("List tickets", "Lists tickets, the oldest first"),
                Effect::Reads,
                (json!({ "status": status }), &[]),
                (listed, &["tickets"]),
            ),
            tool(
                "update_ticket",
                ("Update a ticket", "Adds a comment, or sets the priority"),
                Effect::Changes,
                (json!({ "ticket_id": id("TCK"), "comment": text("A comment to add"), "priority": priority }), &["ticket_id"]),
                ticket_output(),
            ),
            tool(
                "close_ticket",
                ("Close a ticket", "Closes a ticket with a resolution that the customer sees"),
                Effect::Changes,
                (json!({ "ticket_id": id("TCK"), "resolution": text("What the customer reads") }), &["ticket_id", "resolution"]),
                ticket_output(),
            ),
            tool("delete_ticket", ("Delete a ticket", "Deletes a ticket for ever"), Effect::Destroys, one(), ticket_output()),
        ]
    }

    fn call(&mut self, tool: &str, arguments: Arguments<'_>, _answer: Option<&Answer>) -> Result<Outcome, String> {
        let id = arguments.text("ticket_id");
        match tool {
            "search_kb" => Ok(search(arguments)),
            "get_ticket" => self.ticket(id).map(|ticket| done(id, ticket, ticket.comments.last().map_or("", String::as_str))),
            "list_tickets" => {
                let status = arguments.optional("status");
                let found = self.tickets.iter().filter(|(_, ticket)| status.is_none_or(|status| ticket.status == status));
                let found: Vec<(&String, &Ticket)> = found.collect();
                let lines: Vec<String> =
                    found.iter().map(|(id, ticket)| format!("{id} [{}] {}", ticket.status, ticket.subject)).collect();
                let tickets: Vec<Value> = found.iter().map(|(id, ticket)| shown(id, ticket)).collect();
                Ok(Outcome::Done(lines.join("\n"), json!({ "tickets": tickets })))
            }
            "update_ticket" => {
                let ticket = self.ticket(id)?;
                ticket.comments.extend(arguments.optional("comment").map(str::to_owned));
                if let Some(priority) = arguments.optional("priority") {
                    priority.clone_into(&mut ticket.priority);
                }
                Ok(done(id, ticket, "updated"))
            }
            "close_ticket" => {
                let ticket = self.ticket(id)?;
                if ticket.status == "closed" {
                    return Err(format!("{id} is closed already"));
                }
                ticket.status = "closed";
                ticket.comments.push(format!("Resolution: {}", arguments.text("resolution")));
                Ok(done(id, ticket, "closed"))
            }
            _ => {
                let ticket = self.tickets.remove(id).ok_or_else(|| format!("there is no ticket {id}"))?;
                Ok(done(id, &ticket, "deleted"))
            }
        }
    }

    fn prompts(&self) -> Vec<Value> {
        vec![json!({
            "name": "answer_customer", "title": "Answer a customer", "description": "Drafts an answer to a ticket",
            "arguments": [{ "name": "ticket_id", "description": "The ticket", "required": true }],
        })]
    }

    fn prompt(&self, name: &str, arguments: Arguments<'_>) -> Option<(String, String)> {
        let id = arguments.text("ticket_id");
        let ticket = self.tickets.get(id).filter(|_| name == "answer_customer")?;
        let text = format!(
            "Draft a short, kind answer to {} about \"{}\" ({id}). Use only what the knowledge base says, and name the article.",
            ticket.customer, ticket.subject
        );
        Some((format!("An answer to {id}"), text))
    }

    fn resources(&self) -> Vec<Value> {
        let entry = |(slug, title, _): &(&str, &str, &str)| json!({ "uri": format!("kb://articles/{slug}"), "name": slug, "title": title, "mimeType": "text/markdown" });
        ARTICLES.iter().map(entry).collect()
    }

    fn templates(&self) -> Vec<Value> {
        vec![
            json!({ "uriTemplate": "kb://tickets/{ticket_id}", "name": "ticket", "title": "A ticket", "mimeType": "application/json" }),
        ]
    }

    fn read(&self, uri: &str) -> Option<(&'static str, String)> {
        if let Some(id) = uri.strip_prefix("kb://tickets/") {
            return self.tickets.get(id).map(|ticket| ("application/json", shown(id, ticket).to_string()));
        }
        let slug = uri.strip_prefix("kb://articles/")?;
        let (_, title, body) = ARTICLES.iter().find(|(known, _, _)| *known == slug)?;
        Some(("text/markdown", format!("# {title}\n\n{body}\n")))
    }
}

/// Articles by how many of the words they hold.
fn search(arguments: Arguments<'_>) -> Outcome {
    let query = arguments.text("query").to_lowercase();
    let limit = arguments.count("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(5);
    let score = |(slug, title, body): &(&str, &str, &str)| {
        let text = format!("{slug} {title} {body}").to_lowercase();
        query.split_whitespace().filter(|word| text.contains(*word)).count()
    };
    let mut found: Vec<(usize, &(&str, &str, &str))> =
        ARTICLES.iter().map(|article| (score(article), article)).filter(|(score, _)| *score > 0).collect();
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.truncate(limit);
    let lines: Vec<String> =
        found.iter().map(|(_, (slug, title, body))| format!("{title} (kb://articles/{slug})\n{body}")).collect();
    let text = if lines.is_empty() { "Nothing was found.".to_owned() } else { lines.join("\n\n") };
    let articles: Vec<Value> = found
        .iter()
        .map(|(score, (slug, title, _))| json!({ "uri": format!("kb://articles/{slug}"), "title": title, "words": score }))
        .collect();
    Outcome::Done(text, json!({ "articles": articles }))
}
