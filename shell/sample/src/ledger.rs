//! A ledger: accounts, transactions, and money that moves once the user has confirmed it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::world::{Answer, Effect, Outcome, Question, World, count, id, text, tool};

struct Account {
    owner: &'static str,
    balance_cents: i64,
    open: bool,
}

struct Transaction {
    from: String,
    to: String,
    amount_cents: i64,
    memo: String,
}

/// The ledger.
pub(crate) struct Ledger {
    accounts: BTreeMap<&'static str, Account>,
    transactions: Vec<Transaction>,
}

impl Ledger {
    /// Three accounts and two transactions.
    pub(crate) fn new() -> Self {
        let account = |id, owner, balance_cents| (id, Account { owner, balance_cents, open: true });
        let accounts = [
            account("ACC-1001", "Acme operations", 12_500_000),
            account("ACC-1002", "Fabrikam", 14_900),
            account("ACC-1003", "Northwind Traders", 220_050),
        ];
        let paid = |from: &str, memo: &str| Transaction {
            from: from.to_owned(),
            to: "ACC-1001".to_owned(),
            amount_cents: 14_900,
            memo: memo.to_owned(),
        };
        Self {
            accounts: accounts.into_iter().collect(),
            transactions: vec![paid("ACC-1002", "order 88231"), paid("ACC-1002", "order 88231 (again)")],
        }
    }

    fn account(&self, id: &str) -> Result<&Account, String> {
        self.accounts.get(id).filter(|account| account.open).ok_or_else(|| format!("there is no open account {id}"))
    }

    fn moved(&mut self, from: &str, to: &str, amount_cents: i64, memo: String) -> Result<Outcome, String> {
        self.account(to)?;
        if self.account(from)?.balance_cents < amount_cents {
            return Err(format!("{from} holds less than {}", usd(amount_cents)));
        }
        for (id, change) in [(from, -amount_cents), (to, amount_cents)] {
            if let Some(account) = self.accounts.get_mut(id) {
                account.balance_cents += change;
            }
        }
        self.transactions.push(Transaction { from: from.to_owned(), to: to.to_owned(), amount_cents, memo });
        let id = transaction_id(self.transactions.len());
        let data = json!({ "transaction_id": id, "from": from, "to": to, "amount_cents": amount_cents });
        Ok(Outcome::Done(format!("{id}: {} from {from} to {to}", usd(amount_cents)), data))
    }

    fn refund(&mut self, id: &str) -> Result<Outcome, String> {
        let number = id.strip_prefix("TXN-").and_then(|number| number.parse::<usize>().ok());
        let at = number.and_then(|number| number.checked_sub(5001));
        let paid = at.and_then(|at| self.transactions.get(at)).ok_or_else(|| format!("there is no transaction {id}"))?;
        let memo = format!("refund of {id}");
        if self.transactions.iter().any(|other| other.memo == memo) {
            return Err(format!("{id} was refunded already"));
        }
        let (from, to, amount_cents) = (paid.to.clone(), paid.from.clone(), paid.amount_cents);
        self.moved(&from, &to, amount_cents, memo)
    }

    fn transfer(&mut self, arguments: Arguments<'_>, answer: Option<&Answer>) -> Result<Outcome, String> {
        let (from, to) = (arguments.text("from"), arguments.text("to"));
        let amount_cents = arguments.count("amount_cents").unwrap_or_default();
        if from == to {
            return Err("the two accounts are the same".to_owned());
        }
        let owner = self.account(to)?.owner;
        self.account(from)?;
        match answer {
            None => Ok(Outcome::Ask(Question {
                message: format!("Transfer {} from {from} to {to} ({owner})? This can't be taken back.", usd(amount_cents)),
                schema: json!({
                    "type": "object", "required": ["confirm"],
                    "properties": { "confirm": { "type": "boolean", "title": "Yes, transfer it" } },
                }),
            })),
            Some(Answer::Accepted(form)) if form.get("confirm") == Some(&Value::Bool(true)) => {
                self.moved(from, to, amount_cents, arguments.text("memo").to_owned())
            }
            Some(_) => Err("the user did not confirm; nothing was transferred".to_owned()),
        }
    }
}

fn transaction_id(count: usize) -> String {
    format!("TXN-{:04}", 5000 + count)
}

fn usd(cents: i64) -> String {
    format!("{}.{:02} USD", cents / 100, cents % 100)
}

fn account_output() -> (Value, &'static [&'static str]) {
    let string = json!({ "type": "string" });
    (
        json!({ "id": string, "owner": string, "balance_cents": { "type": "integer" }, "open": { "type": "boolean" } }),
        &["id", "owner", "balance_cents", "open"],
    )
}

fn moved_output() -> (Value, &'static [&'static str]) {
    let string = json!({ "type": "string" });
    let properties = json!({ "transaction_id": string, "from": string, "to": string, "amount_cents": { "type": "integer" } });
    (properties, &["transaction_id", "from", "to", "amount_cents"])
}

impl World for Ledger {
    fn about(&self) -> (&'static str, &'static str) {
        ("Ledger", "Acme's accounts. Amounts are in cents. A transfer asks the user to confirm.")
    }

    fn tools(&self) -> Vec<Value> {
        let one = || (json!({ "account_id": id("ACC") }), &["account_id"] as &'static [&'static str]);
        let listed = json!({ "transactions": { "type": "array", "items": { "type": "object" } } });
        let transfer = json!({
            "from": id("ACC"), "to": id("ACC"), "amount_cents": count("The amount in cents", 1, 100_000_000), "memo": text("What it is for"),
        });
        vec![
            tool(
                "get_account",
                ("Read an account", "Reads owner and balance of an account"),
                Effect::Reads,
                one(),
                account_output(),
            ),
            tool(
                "list_transactions",
                ("List transactions", "Lists the transactions of an account"),
                Effect::Reads,
                one(),
                (listed, &["transactions"]),
            ),
            tool(
                "refund",
                ("Refund a transaction", "Sends a payment back to where it came from, once"),
                Effect::Changes,
                (json!({ "transaction_id": id("TXN") }), &["transaction_id"]),
                moved_output(),
            ),
            tool(
                "transfer",
                ("Transfer money", "Moves money between two accounts; the user has to confirm"),
                Effect::Destroys,
                (transfer, &["from", "to", "amount_cents", "memo"]),
                moved_output(),
            ),
            tool(
                "close_account",
                ("Close an account", "Closes an empty account for ever"),
                Effect::Destroys,
                one(),
                account_output(),
            ),
        ]
    }

    fn call(&mut self, tool: &str, arguments: Arguments<'_>, answer: Option<&Answer>) -> Result<Outcome, String> {
        let id = arguments.text("account_id");
        let shown = |account: &Account| json!({ "id": id, "owner": account.owner, "balance_cents": account.balance_cents, "open": account.open });
        match tool {
            "get_account" => {
                let account = self.account(id)?;
                Ok(Outcome::Done(format!("{id} ({}): {}", account.owner, usd(account.balance_cents)), shown(account)))
            }
            "list_transactions" => {
                self.account(id)?;
                let own = self.transactions.iter().enumerate().filter(|(_, moved)| moved.from == id || moved.to == id);
                let entries: Vec<Value> = own
                    .map(|(n, moved)| json!({ "id": transaction_id(n + 1), "from": moved.from, "to": moved.to, "amount_cents": moved.amount_cents, "memo": moved.memo }))
                    .collect();
                Ok(Outcome::Done(format!("{id} has {} transactions", entries.len()), json!({ "transactions": entries })))
            }
            "refund" => self.refund(arguments.text("transaction_id")),
            "transfer" => self.transfer(arguments, answer),
            _ => {
                if self.account(id)?.balance_cents != 0 {
                    return Err(format!("{id} is not empty"));
                }
                let account = self.accounts.get_mut(id).ok_or("the account is gone")?;
                account.open = false;
                Ok(Outcome::Done(format!("{id} is closed"), shown(account)))
            }
        }
    }
}
