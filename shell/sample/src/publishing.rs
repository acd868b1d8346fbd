//! Publishing: drafts, and pages that the world reads.

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::world::{Answer, Effect, Outcome, World, id, text, tool};

struct Page {
    title: String,
    body: String,
    published: bool,
}

/// Drafts and pages.
pub(crate) struct Publishing {
    pages: Vec<Page>,
}

impl Publishing {
    /// One page is out already.
    pub(crate) fn new() -> Self {
        let page = Page { title: "Status of our services".to_owned(), body: "All services run.".to_owned(), published: true };
        Self { pages: vec![page] }
    }
}

fn outcome(id: &str, page: &Page, what: &str) -> Outcome {
    let data = json!({ "draft_id": id, "title": page.title, "words": page.body.split_whitespace().count(), "published": page.published });
    Outcome::Done(format!("{id} \"{}\" {what}", page.title), data)
}

impl World for Publishing {
    fn about(&self) -> (&'static str, &'static str) {
        ("Publishing", "Writes pages for Acme's public site: draft first, then publish the draft.")
    }

    fn tools(&self) -> Vec<Value> {
        let output = || {
            let properties = json!({ "draft_id": { "type": "string" }, "title": { "type": "string" }, "words": { "type": "integer" }, "published": { "type": "boolean" } });
            (properties, &["draft_id", "title", "words", "published"] as &'static [&'static str])
        };
        let body = json!({ "type": "string", "description": "The text, in Markdown", "minLength": 1, "maxLength": 20000 });
        vec![
            tool(
                "draft",
                ("Write a draft", "Keeps a draft that only editors see"),
                Effect::Changes,
                (json!({ "title": text("Its title"), "body": body }), &["title", "body"]),
                output(),
            ),
            tool(
                "publish",
                ("Publish a draft", "Puts a draft on the public site, where everybody reads it"),
                Effect::Destroys,
                (json!({ "draft_id": id("DRF") }), &["draft_id"]),
                output(),
            ),
        ]
    }

    fn call(&mut self, tool: &str, arguments: Arguments<'_>, _answer: Option<&Answer>) -> Result<Outcome, String> {
        if tool == "draft" {
            let page =
                Page { title: arguments.text("title").to_owned(), body: arguments.text("body").to_owned(), published: false };
            self.pages.push(page);
            let id = format!("DRF-{:04}", 1000 + self.pages.len());
            let page = self.pages.last().ok_or("the draft was lost")?;
            return Ok(outcome(&id, page, "is kept as a draft"));
        }
        let id = arguments.text("draft_id");
        let at =
            id.strip_prefix("DRF-").and_then(|number| number.parse::<usize>().ok()).and_then(|number| number.checked_sub(1001));
        let page = at.and_then(|at| self.pages.get_mut(at)).ok_or_else(|| format!("there is no draft {id}"))?;
        if std::mem::replace(&mut page.published, true) {
            return Err(format!("{id} is out already"));
        }
        Ok(outcome(id, page, "is on the public site"))
    }
}
