//! The tool policy registry in other forms: rows of a DynamoDB table, and CSV.
//!
//! A table has the key `agent_id` (partition) and `tool_id` (sort), and the attributes `allowed` and `max_risk`. What is read becomes YAML for
//! a configuration directory: all of it, or every fault with its row.

mod csv;
mod dynamodb;
mod yaml;

use std::collections::HashMap;

use remit_config::item::shown;
use remit_config::{Fault, Severity};
use remit_model::{AgentId, Organization, Risk, TOOL_SEPARATOR, ToolAdmission, ToolPolicy};

pub use yaml::{ROWS_MAX, yaml};

/// The largest file of rows, in bytes.
pub const BYTES_MAX: usize = 64 * 1024 * 1024;
/// The longest name of a tool, in bytes (DynamoDB: a sort key is at most 1,024).
const TOOL_BYTES_MAX: usize = 1024;
/// The most faults that one run tells.
const FAULTS_MAX: usize = 1000;
/// The attributes of a row.
pub const ATTRIBUTES: [&str; 4] = ["agent_id", "tool_id", "allowed", "max_risk"];

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// DynamoDB's JSON, in which each value names its type. Written: a line `{"Item": …}` for each row, as an export to S3 has them and an
    /// import from S3 takes them. Read: those, what `aws dynamodb scan` or `query` prints, requests of `batch-write-item`, and bare items.
    DynamodbJson,
    /// Comma-separated values (RFC 4180) with a line of names. Read with semicolons or tabs too.
    Csv,
}

impl Form {
    /// Every form, by its name.
    pub const NAMED: [(&'static str, Self); 2] = [("dynamodb-json", Self::DynamodbJson), ("csv", Self::Csv)];
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The agent.
    pub agent: AgentId,
    /// The tool as policies name it; a `*` at the end stands for any rest.
    pub tool: String,
    /// Whether it may be called at all.
    pub allowed: bool,
    /// The highest risk at which it may be called.
    pub risk_max: Risk,
}

impl From<&ToolPolicy> for Row {
    fn from(policy: &ToolPolicy) -> Self {
        Self { agent: policy.agent.clone(), tool: policy.tool.clone(), allowed: policy.allowed, risk_max: policy.risk_max }
    }
}

/// A row with its place in what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The row.
    pub row: Row,
    /// Which it is, from 1.
    pub number: usize,
    /// The line on which it begins, from 1.
    pub line: usize,
}

/// Writes rows.
pub fn write(form: Form, rows: &[Row]) -> String {
    match form {
        Form::DynamodbJson => dynamodb::write(rows),
        Form::Csv => csv::write(rows),
    }
}

/// Writes rows as requests of `aws dynamodb batch-write-item` for a table: one line each, with at most 25 rows (its limit).
pub fn write_batches(table: &str, rows: &[Row]) -> String {
    dynamodb::write_batches(table, rows)
}

/// Reads rows: all of them, or every fault. `file` is what faults call it; attributes in `ignored` may be there and say nothing.
pub fn read(form: Form, file: &str, text: &str, ignored: &[String]) -> Result<Vec<Placed>, Vec<Fault>> {
    let mut reader = Reader { file, text, ignored, faults: Vec::new(), rows: Vec::new(), number: 0, mark: (0, 0) };
    if text.len() > BYTES_MAX {
        reader.fault(0, format!("the file is larger than {} MiB", BYTES_MAX / 1024 / 1024), "split it");
    } else {
        // A byte order mark is an editor's, and says nothing.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        reader.text = text;
        match form {
            Form::DynamodbJson => dynamodb::read(&mut reader),
            Form::Csv => csv::read(&mut reader),
        }
    }
    reader.finish()
}

/// Names servers where rows name tools alone, as the table of a policy service that knows one server does: `search_kb` becomes
/// `helpdesk___search_kb` where one server alone has such a tool in the spaces of the row's agent.
pub fn qualify(organization: &Organization, file: &str, rows: &mut [Placed]) -> Result<(), Vec<Fault>> {
    let mut faults = Vec::new();
    for Placed { row, number, line } in rows.iter_mut().filter(|placed| !placed.row.tool.contains(TOOL_SEPARATOR)) {
        if row.tool.ends_with('*') {
            continue;
        }
        let spaces = organization.spaces.values().filter(|space| space.agents.contains(&row.agent));
        let listing = spaces.flat_map(|space| &space.servers).filter(|entry| match &entry.tools {
            ToolAdmission::Listed(tools) => tools.contains(&row.tool),
            ToolAdmission::All => false,
        });
        let mut servers: Vec<&str> = listing.map(|entry| entry.server.as_str()).collect();
        servers.sort_unstable();
        servers.dedup();
        match servers.as_slice() {
            [server] => row.tool = format!("{server}{TOOL_SEPARATOR}{}", row.tool),
            several => {
                let found = if several.is_empty() { "no server".to_owned() } else { format!("servers {}", several.join(", ")) };
                let what = format!("row {number}: {found} list {} in the spaces of {}", shown(&row.tool), row.agent);
                faults.push(error(file, *line, what, "write `server___tool` in the table"));
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Faults that a configuration has in a file of [`yaml`], as faults of the rows that it was made of; others are as they are.
pub fn faults_of_rows(faults: Vec<Fault>, made: &str, file: &str, rows: &[Placed]) -> Vec<Fault> {
    let of_row = |fault: Fault| {
        let placed = fault.line.checked_sub(yaml::FIRST_LINE).and_then(|place| rows.get(place)).filter(|_| fault.file == made);
        match placed {
            None => fault,
            Some(Placed { number, line, .. }) => {
                let (file, what) = (file.to_owned(), format!("row {number}: {}", fault.what));
                Fault { file, line: *line, column: 1, pointer: String::new(), what, ..fault }
            }
        }
    };
    faults.into_iter().map(of_row).collect()
}

fn error(file: &str, line: usize, what: String, mend: &str) -> Fault {
    let (severity, file, mend) = (Severity::Error, file.to_owned(), mend.to_owned());
    Fault { severity, file, line, column: 1, pointer: String::new(), what, mend }
}

/// The attributes of one row, as texts.
#[derive(Debug, Default)]
struct Attributes {
    /// By the order of [`ATTRIBUTES`].
    values: [Option<String>; 4],
}

/// What is read, and what came of it so far.
struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    ignored: &'a [String],
    faults: Vec<Fault>,
    rows: Vec<Placed>,
    /// The row that is read, from 1.
    number: usize,
    /// An offset whose line is known, and the lines before it: rows are asked for in their order.
    mark: (usize, usize),
}

impl Reader<'_> {
    /// Tells of a fault at an offset in bytes.
    fn fault(&mut self, offset: usize, what: String, mend: &str) {
        let line = self.line(offset);
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(error(self.file, line, what, mend));
        }
    }

    /// Tells of a fault in the row that is read.
    fn row_fault(&mut self, offset: usize, what: &str, mend: &str) {
        self.fault(offset, format!("row {}: {what}", self.number), mend);
    }

    fn line(&mut self, offset: usize) -> usize {
        let (from, before) = if offset >= self.mark.0 { self.mark } else { (0, 0) };
        let between = self.text.as_bytes().get(from..offset).unwrap_or_default();
        let lines = between.split(|byte| *byte == b'\n').count();
        self.mark = (offset, before + lines - 1);
        before + lines
    }

    /// Whether an attribute is one of a row's, and which; one that is neither that nor ignored is a fault.
    fn attribute(&mut self, offset: usize, name: &str, whose: &str) -> Option<usize> {
        let known = ATTRIBUTES.iter().position(|known| known.eq_ignore_ascii_case(name));
        if known.is_none() && !self.ignored.iter().any(|ignored| ignored == name) {
            let near = remit_config::did_you_mean(name, ATTRIBUTES);
            let what = format!("{whose} an attribute {} that a row doesn't have{near}", shown(name));
            self.fault(offset, what, "its attributes are agent_id, tool_id, allowed, max_risk; `--ignore NAME` leaves one out");
        }
        known
    }

    /// Takes a row.
    fn row(&mut self, offset: usize, attributes: &Attributes) {
        let [agent, tool, allowed, risk] = &attributes.values;
        let before = self.faults.len();
        let agent = match agent {
            None => {
                self.row_fault(offset, "it has no `agent_id`", "name the agent");
                None
            }
            Some(text) => match AgentId::new(text) {
                Ok(agent) => Some(agent),
                Err(error) => {
                    let what = format!("{} is not {}: {}", shown(text), error.kind, error.rule);
                    self.row_fault(offset, &what, "correct `agent_id`");
                    None
                }
            },
        };
        let tool = match tool {
            None => {
                self.row_fault(offset, "it has no `tool_id`", "name the tool, such as helpdesk___search_kb");
                None
            }
            Some(tool) => {
                let open = tool.strip_suffix('*').unwrap_or(tool);
                if tool.trim().is_empty() || tool.len() > TOOL_BYTES_MAX || tool.contains(char::is_control) || open.contains('*')
                {
                    self.row_fault(
                        offset,
                        &format!("{} is no tool", shown(tool)),
                        "write server___tool; a `*` stands only at the end",
                    );
                }
                Some(tool.clone())
            }
        };
        let allowed = match allowed.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("true") => true,
            Some("false") => false,
            Some(other) => {
                self.row_fault(offset, &format!("`allowed` is {}", shown(other)), "write true or false");
                true
            }
        };
        let risk_max = match risk.as_deref().map(|text| (text, Risk::parse(&text.to_ascii_lowercase()))) {
            Some((_, Some(risk))) => risk,
            Some((text, None)) => {
                self.row_fault(offset, &format!("`max_risk` is {}", shown(text)), "write low, medium, high or critical");
                Risk::Low
            }
            None if allowed => {
                self.row_fault(offset, "it allows, and has no `max_risk`", "add low, medium, high or critical");
                Risk::Low
            }
            None => Risk::Low,
        };
        let (Some(agent), Some(tool)) = (agent, tool) else { return };
        if self.faults.len() == before {
            let line = self.line(offset);
            self.rows.push(Placed { row: Row { agent, tool, allowed, risk_max }, number: self.number, line });
        }
    }

    fn finish(mut self) -> Result<Vec<Placed>, Vec<Fault>> {
        let mut known: HashMap<(&AgentId, &str), usize> = HashMap::new();
        let mut twice = Vec::new();
        for Placed { row, number, line } in &self.rows {
            if let Some(first) = known.insert((&row.agent, &row.tool), *number) {
                let what = format!("row {number}: row {first} is for {} and {} already", row.agent, shown(&row.tool));
                twice.push(error(self.file, *line, what, "keep one of the two"));
            }
        }
        self.faults.extend(twice);
        if self.faults.is_empty() && self.rows.is_empty() {
            self.fault(0, "there is no row in it".to_owned(), "give a file with at least one");
        }
        self.faults.sort_by_key(|fault| fault.line);
        if self.faults.is_empty() { Ok(self.rows) } else { Err(self.faults) }
    }
}
