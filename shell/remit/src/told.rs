//! Changes, plans, reviews and versions in lines for people.

use std::path::Path;

use serde_json::Value;

/// The most lines of one list; `--json` has the rest.
const LINES_MAX: usize = 60;

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

fn is(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or_default()
}

/// A digest as people tell it apart: the first digits.
fn short(digest: &str) -> String {
    let (kind, digits) = digest.split_once(':').unwrap_or(("", digest));
    let colon = if kind.is_empty() { "" } else { ":" };
    format!("{kind}{colon}{}", digits.get(..12).unwrap_or(digits))
}

/// A time in seconds since the epoch.
fn time(secs: u64) -> String {
    remit_gateway::rfc3339(secs.saturating_mul(1000))
}

/// A fault of a configuration.
pub(crate) fn fault(fault: &Value) -> String {
    let warning = if text(fault, "severity") == "warning" { "warning: " } else { "" };
    let (file, line, column) = (text(fault, "file"), number(fault, "line"), number(fault, "column"));
    format!("{file}:{line}:{column}: {warning}{}\n  mend: {}", text(fault, "what"), text(fault, "mend"))
}

/// What is said differently, noun by noun.
pub(crate) fn changes(report: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for change in list(report, "changes").iter().take(LINES_MAX) {
        let mark = match text(change, "verb") {
            "added" => '+',
            "removed" => '-',
            _ => '~',
        };
        lines.push(format!(
            "  {mark} {}  [{}]",
            format!("{} {}", text(change, "noun"), text(change, "name")).trim_end(),
            text(change, "at")
        ));
        for field in list(change, "fields").iter().take(LINES_MAX) {
            lines.extend(field_lines(field));
        }
    }
    let left = number(report, "changes_count").saturating_sub(lines_of(list(report, "changes").len()));
    if left > 0 {
        lines.push(format!("  … and {left} more: see --json"));
    }
    lines
}

fn lines_of(count: usize) -> u64 {
    u64::try_from(count.min(LINES_MAX)).unwrap_or(u64::MAX)
}

fn field_lines(field: &Value) -> Vec<String> {
    let texts = |key: &str| -> Vec<&str> { list(field, key).iter().filter_map(Value::as_str).collect() };
    let (before, after) = (texts("before"), texts("after"));
    let name = match text(field, "field") {
        "" => String::new(),
        name => format!("{name}: "),
    };
    let short = before.iter().chain(&after).map(|value| value.chars().count() + 4).sum::<usize>() <= 100;
    if !is(field, "list") {
        let said = match (before.first(), after.first()) {
            (Some(before), Some(after)) => format!("{before} → {after}"),
            (Some(before), None) => format!("- {before}"),
            (None, Some(after)) => (*after).to_owned(),
            (None, None) => String::new(),
        };
        return vec![format!("      {name}{said}")];
    }
    let gone = before.iter().map(|value| format!("- {value}"));
    let all: Vec<String> = gone.chain(after.iter().map(|value| format!("+ {value}"))).collect();
    if short {
        return vec![format!("      {name}{}", all.join("  "))];
    }
    let heading = vec![format!("      {name}")];
    heading.into_iter().chain(all.into_iter().map(|line| format!("        {line}"))).collect()
}

/// Calls that are decided differently, each with the layers that say why.
fn differences(report: &Value, key: &str, mark: char, what: &str) -> Vec<String> {
    let (found, count) = (list(report, key), number(report, &format!("{key}_count")));
    if count == 0 {
        return vec![format!("{what}: nothing")];
    }
    let mut lines = vec![format!("{what} ({count}):")];
    for one in found.iter().take(LINES_MAX) {
        let signs = match text(one, "signs_as") {
            "" => String::new(),
            role => format!(", signing as {role}"),
        };
        lines.push(format!(
            "  {mark} {} in {}: {} {}{signs}",
            text(one, "agent"),
            text(one, "space"),
            text(one, "kind"),
            text(one, "target")
        ));
        if let Some(arguments) = one.get("arguments") {
            lines.push(format!("      with {arguments}"));
        }
        for because in list(one, "because") {
            let place = |key: &str| match text(because, key) {
                "" => String::new(),
                at => format!("  [{at}]"),
            };
            lines.push(format!("      by {}: {}{}", text(because, "layer"), text(because, "statement"), place("at")));
            lines.push(format!("         before: {}{}", text(because, "before"), place("before_at")));
        }
    }
    let left = count.saturating_sub(lines_of(found.len()));
    if left > 0 {
        lines.push(format!("  … and {left} more"));
    }
    lines
}

/// What is said first of a change, whatever else it does.
const GRAVE: [(&str, &str); 2] = [
    ("reviewers_change", "This changes who has to agree to changes."),
    ("operators_change", "This changes who signs people in to the console, or which roles they may take there."),
];

/// What one configuration makes of another.
pub(crate) fn report(report: &Value) -> Vec<String> {
    let mut lines = vec![heading(report)];
    if is(report, "offline") {
        lines.push("The gateway isn't up: compared with the stored version, and with the tools that were accepted.".to_owned());
    }
    if is(report, "unchanged") {
        lines.push("Nothing changes.".to_owned());
        return lines;
    }
    let changes = changes(report);
    lines.extend(GRAVE.iter().filter(|(key, _)| is(report, key)).map(|(_, line)| format!("\n! {line}")));
    lines.push(String::new());
    if changes.is_empty() {
        lines.push("Changes: only the files' layout, order or comments".to_owned());
    } else {
        lines.push(format!("Changes ({}):", number(report, "changes_count")));
        lines.extend(changes);
    }
    lines.push(String::new());
    lines.extend(differences(report, "grants", '+', "Newly allowed"));
    lines.extend(differences(report, "denials", '-', "Newly denied"));
    let (examined, unexamined) = (number(report, "examined"), number(report, "unexamined"));
    lines.push(format!("  {examined} calls decided under both, each without arguments"));
    if unexamined > 0 {
        lines.push(format!("  ! {unexamined} more were not decided: there are too many"));
    }
    for server in list(report, "unheard") {
        lines.push(format!(
            "  ! {} has not answered yet: what it offers in {} was not compared",
            text(server, "server"),
            text(server, "space")
        ));
    }
    lines.extend(report.get("replay").map(recorded_calls).unwrap_or_default());
    let known: Vec<&str> = list(report, "credentials_change").iter().filter_map(Value::as_str).collect();
    if !known.is_empty() {
        let more = number(report, "credentials_change_count").saturating_sub(lines_of(known.len()));
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let shown = known.iter().take(LINES_MAX).copied().collect::<Vec<_>>().join(", ");
        lines.push(format!("  ! who can prove to be {shown}{more} changes: see the credentials above"));
    }
    let invariants = invariants(report);
    if !invariants.is_empty() {
        lines.push(String::new());
        lines.extend(invariants);
    }
    lines.extend(access(report));
    let warnings = list(report, "warnings");
    if !warnings.is_empty() {
        lines.push(format!("\nWarnings ({}):", number(report, "warnings_count")));
        lines.extend(warnings.iter().take(LINES_MAX).map(fault));
    }
    let findings = list(report, "findings");
    if !findings.is_empty() {
        lines.push(format!("\nNew findings in policies ({}):", number(report, "findings_count")));
        for finding in findings.iter().take(LINES_MAX) {
            lines.push(format!(
                "{}:{}:{}: {} {}: {}\n  mend: {}",
                text(finding, "file"),
                number(finding, "line"),
                number(finding, "column"),
                text(finding, "severity"),
                text(finding, "code"),
                text(finding, "what"),
                text(finding, "mend")
            ));
        }
    }
    lines
}

fn heading(report: &Value) -> String {
    if let (Some(from), Some(to)) = (report.get("from"), report.get("to")) {
        return format!("version {} → version {}", number(from, "version"), number(to, "version"));
    }
    let base = report.get("base").cloned().unwrap_or_default();
    format!(
        "plan {}\nversion {} ({}) → {}",
        text(report, "plan"),
        number(&base, "version"),
        short(text(&base, "digest")),
        short(text(report, "candidate"))
    )
}

/// What roles and users may newly do, and who may newly assume roles.
fn access(report: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for answer in list(report, "policies") {
        if lines.is_empty() {
            lines.push("\nRoles and users whose policies changed:".to_owned());
        }
        let Some(witness) = answer.get("witness") else {
            lines.push(format!("  ? {}: can't be told: {}", text(answer, "what"), text(answer, "why")));
            continue;
        };
        lines.push(format!("  + {}: newly allowed, for one", text(answer, "what")));
        for key in ["principal", "action", "resource"] {
            if !text(witness, key).is_empty() {
                lines.push(format!("      {key:<9} {}", text(witness, key)));
            }
        }
        for (key, values) in witness.get("context").and_then(Value::as_object).into_iter().flatten() {
            lines.push(format!("      with      {key} = {values}"));
        }
        lines.push(format!("      by        {}", text(witness, "by")));
    }
    lines
}

/// How the invariants stand: the violated ones with the call that shows it, the others in a line.
pub(crate) fn invariants(report: &Value) -> Vec<String> {
    let found = list(report, "invariants");
    let mut lines = Vec::new();
    if found.is_empty() {
        return lines;
    }
    lines.push("Invariants:".to_owned());
    for one in found {
        let (name, at, examined) = (text(one, "invariant"), text(one, "at"), number(one, "examined"));
        match text(one, "standing") {
            "holds" if examined == 0 => lines.push(format!("  ok {name}: nothing here is of that kind  [{at}]")),
            "holds" => {
                let ever = match text(one, "when") {
                    "" => "can ever be allowed".to_owned(),
                    when => format!("can ever be allowed when {when}"),
                };
                let by = match number(one, "proved") {
                    0 if text(one, "when").is_empty() => String::new(),
                    0 => ", whatever its arguments".to_owned(),
                    proved => format!(" ({proved} by symbolic analysis of the policy set)"),
                };
                lines.push(format!("  ok {name}: none of {examined} combinations of agent, space and tool {ever}{by}  [{at}]"));
            }
            "violated" => {
                lines.push(format!("  ! {name} is VIOLATED  [{at}]"));
                lines.extend(one.get("counterexample").map(counterexample).unwrap_or_default());
            }
            _ => {
                lines.push(format!("  ? {name}: unknown, it could not be shown  [{at}]"));
                for open in list(one, "open") {
                    lines.push(format!(
                        "      {} in {}, {}: {}",
                        text(open, "agent"),
                        text(open, "space"),
                        text(open, "tool"),
                        text(open, "why")
                    ));
                }
                let left = number(one, "open_count").saturating_sub(list(one, "open").len().try_into().unwrap_or(u64::MAX));
                if left > 0 {
                    lines.push(format!("      … and {left} more"));
                }
            }
        }
    }
    let left = number(report, "invariants_count").saturating_sub(found.len().try_into().unwrap_or(u64::MAX));
    if left > 0 {
        lines.push(format!("  … and {left} more"));
    }
    lines
}

fn counterexample(found: &Value) -> Vec<String> {
    let signs = match text(found, "signs_as") {
        "" => "shows a token".to_owned(),
        role => format!("signs as {role}"),
    };
    let mut lines = vec![format!(
        "      {} in space {} calls {}, and is allowed: it {signs}",
        text(found, "agent"),
        text(found, "space"),
        text(found, "tool")
    )];
    if let Some(arguments) = found.get("arguments") {
        lines.push(format!("      with the arguments {arguments}"));
    }
    if let Some(claims) = found.get("claims").and_then(Value::as_object) {
        let told: Vec<String> = claims.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        lines.push(format!("      claiming {}", told.join(", ")));
    }
    lines.extend(list(found, "supposing").iter().filter_map(Value::as_str).map(|what| format!("      supposing {what}")));
    for because in list(found, "because") {
        let at = match text(because, "at") {
            "" => String::new(),
            at => format!("  [{at}]"),
        };
        lines.push(format!("      by {}: {}{at}", text(because, "layer"), text(because, "statement")));
    }
    lines
}

/// The same within a plan.
fn recorded_calls(told: &Value) -> Vec<String> {
    let heading = "\nRecorded calls:".to_owned();
    std::iter::once(heading).chain(replay(told).into_iter().map(|line| format!("  {}", line.trim_start()))).collect()
}

/// What recorded calls come to under another configuration.
pub(crate) fn replay(told: &Value) -> Vec<String> {
    if let Some(error) = told.get("error").and_then(Value::as_str) {
        return vec![format!("  ? recorded calls were not decided again: {error}")];
    }
    let (decided, flips) = (number(told, "decided"), number(told, "newly_allowed") + number(told, "newly_denied"));
    let took_ms = number(told, "took_ms").max(1);
    let mut lines = vec![format!(
        "{decided} recorded calls since {} decided again in {took_ms} ms: {} as before, {} newly allowed, {} newly denied{}",
        text(told, "since"),
        number(told, "same"),
        number(told, "newly_allowed"),
        number(told, "newly_denied"),
        match number(told, "denied_otherwise") {
            0 => String::new(),
            count => format!(", {count} denied for another reason"),
        }
    )];
    for group in list(told, "groups").iter().take(LINES_MAX) {
        let (mark, verb) = match text(group, "flip") {
            "newly_allowed" => ('+', "newly allowed, without"),
            _ => ('-', "newly denied, by"),
        };
        lines.push(format!(
            "  {mark} {} {verb} {}: {}{}",
            number(group, "count"),
            text(group, "checkType"),
            text(group, "statement"),
            at(group)
        ));
        let names = |key: &str| list(group, key).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
        lines.push(format!(
            "      {} calling {}, from {} to {}",
            names("agents"),
            names("tools"),
            text(group, "first"),
            text(group, "last")
        ));
        for example in list(group, "examples").iter().take(2) {
            lines.push(format!(
                "      such as entry {}: {} in {}",
                number(example, "index"),
                text(example, "tool"),
                text(example, "space")
            ));
        }
    }
    let untold = list(told, "groups").len().saturating_sub(LINES_MAX);
    if untold > 0 || number(told, "flips_untold") > 0 {
        lines.push(format!("  … and {untold} causes more, with {} flips that are told nowhere", number(told, "flips_untold")));
    }
    for (why, count) in told.get("undecided").and_then(Value::as_object).into_iter().flatten() {
        lines.push(format!("  ? {count} not decided: {why}"));
    }
    if flips == 0 && decided > 0 {
        lines.push("  no verdict flips".to_owned());
    }
    lines.into_iter().map(|line| plain(&line)).collect()
}

/// Where a statement stands, in brackets.
fn at(said: &Value) -> String {
    match text(said, "origin") {
        "" => String::new(),
        origin => format!("  [{origin}]"),
    }
}

/// What came from an agent or a server is shown without control characters.
fn plain(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Whether a decision could be made again.
pub(crate) fn reproduced(told: &Value) -> Vec<String> {
    if let Some(why) = told.get("not_reproduced").and_then(Value::as_str) {
        return vec![format!("not reproduced: {why}")];
    }
    let reproduced = told.get("reproduced").cloned().unwrap_or_default();
    let mut lines = Vec::new();
    for said in list(&reproduced, "layers") {
        lines.push(format!(
            "  {:24} {:14} {}{}",
            text(said, "checkType"),
            text(said, "effect"),
            text(said, "statement"),
            at(said)
        ));
    }
    if is(&reproduced, "same") {
        lines.push("reproduced: the same verdict, and every layer says the same".to_owned());
    } else {
        lines.push("NOT the same:".to_owned());
        lines.extend(list(&reproduced, "differences").iter().filter_map(Value::as_str).map(|what| format!("  {what}")));
    }
    lines.into_iter().map(|line| plain(&line)).collect()
}

/// What became of a period's decisions when each was made again under its own configuration.
pub(crate) fn all_reproduced(told: &Value) -> Vec<String> {
    let took_ms = number(told, "took_ms").max(1);
    let (same, different) = (number(told, "same"), number(told, "different"));
    let mut lines = vec![format!(
        "{} decisions since {} made again in {took_ms} ms: {same} reproduced, {different} otherwise",
        same + different,
        text(told, "since")
    )];
    for one in list(told, "differences") {
        lines.push(format!("  ! entry {}", number(one, "index")));
        lines.extend(list(one, "differences").iter().filter_map(Value::as_str).map(|what| format!("      {what}")));
    }
    for (why, count) in told.get("not_reproduced").and_then(Value::as_object).into_iter().flatten() {
        lines.push(format!("  ? {count} not reproduced: {why}"));
    }
    lines.into_iter().map(|line| plain(&line)).collect()
}

/// What to do after a plan was shown.
pub(crate) fn next_of_plan(report: &Value, directory: &Path) -> Vec<String> {
    let plan = text(report, "plan");
    if is(report, "unchanged") {
        return Vec::new();
    }
    if number(report, "invariants_violated") > 0 {
        return vec![
            "\nIt can't be applied: an invariant is violated. Change what allows the call above, or the invariant.".to_owned(),
        ];
    }
    if report.get("review").is_some_and(Value::is_object) {
        let mut lines = standing(report.get("review"), plan);
        lines.insert(0, "\nThe plan is kept for its reviewers.".to_owned());
        return lines;
    }
    if is(report, "offline") {
        let reviewed = if is(report, "reviewed") { "; it must be reviewed, for which the plan is made again then" } else { "" };
        return vec![format!("\nIt can be applied once the gateway is up{reviewed}.")];
    }
    vec![format!(
        "\nTo put exactly this into effect:\n  remit apply {} --plan {} --reason \"…\"",
        directory.display(),
        short(plan)
    )]
}

/// How a plan stands with its reviewers, and what is next.
pub(crate) fn standing(review: Option<&Value>, plan: &str) -> Vec<String> {
    let Some(review) = review.filter(|review| review.is_object()) else { return Vec::new() };
    let reviews = list(review, "reviews");
    let approving = reviews.iter().filter(|review| text(review, "answer") == "approve").count();
    let mut lines = vec![format!("Approvals: {approving} of {} needed", number(review, "needed"))];
    for one in reviews {
        let verb = if text(one, "answer") == "approve" { "approves" } else { "rejects" };
        let comment = match text(one, "comment") {
            "" => String::new(),
            comment => format!(": {comment}"),
        };
        lines.push(format!("  {} {verb}{comment}", text(one, "reviewer")));
    }
    if is(review, "approved") {
        lines.push(format!("Approved. Next: remit apply --plan {}", short(plan)));
    } else {
        let missing: Vec<&str> = list(review, "missing").iter().filter_map(Value::as_str).collect();
        let who = if missing.is_empty() { String::new() } else { format!(" (not yet heard: {})", missing.join(", ")) };
        lines.push(format!("Next: remit review {} --key FILE --approve{who}", short(plan)));
    }
    lines
}

/// A plan that waits, whole.
pub(crate) fn plan(found: &Value) -> Vec<String> {
    let waiting = found.get("waiting").cloned().unwrap_or_default();
    let mut lines =
        vec![format!("by {} on {}: {}", text(&waiting, "by"), time(number(&waiting, "at_secs")), text(&waiting, "reason"))];
    lines.extend(report(found));
    lines.push(String::new());
    lines.extend(standing(found.get("review"), text(found, "plan")));
    lines
}

/// All plans that wait.
pub(crate) fn plans(found: &Value) -> Vec<String> {
    let plans = list(found, "plans");
    if plans.is_empty() {
        return vec!["no plan waits for a review".to_owned()];
    }
    let mut lines = Vec::new();
    for plan in plans {
        lines.push(format!(
            "{}  of version {}, by {} on {}: {}",
            short(text(plan, "plan")),
            number(plan, "base"),
            text(plan, "by"),
            time(number(plan, "at_secs")),
            text(plan, "reason")
        ));
        lines.extend(standing(plan.get("review"), text(plan, "plan")).into_iter().map(|line| format!("  {line}")));
    }
    lines
}

/// Versions, one a line.
pub(crate) fn versions(found: Option<&Value>) -> Vec<String> {
    found.and_then(Value::as_array).into_iter().flatten().map(version).collect()
}

fn version(version: &Value) -> String {
    let reviewers: Vec<&str> = list(version, "reviewers").iter().filter_map(Value::as_str).collect();
    let mut more = String::new();
    if !reviewers.is_empty() {
        more.push_str(&format!(", reviewed by {}", reviewers.join(", ")));
    }
    if !text(version, "applied_by").is_empty() {
        more.push_str(&format!(", applied by {}", text(version, "applied_by")));
    }
    if number(version, "again") > 0 {
        more.push_str(&format!(", as version {}", number(version, "again")));
    }
    format!(
        "{:>5}  {}  {}  {} ({}{more})",
        number(version, "version"),
        time(number(version, "at_secs")),
        short(text(version, "digest")),
        text(version, "reason"),
        text(version, "by"),
    )
}

/// `remit history`.
pub(crate) fn history(found: &Value) -> Vec<String> {
    let all = list(found, "versions");
    let mut lines = Vec::new();
    for one in all {
        lines.push(version(one));
        if let Some(rows) = one.get("rows").and_then(Value::as_array) {
            if rows.is_empty() {
                lines.push("         removed".to_owned());
            }
            for row in rows {
                let fields = list(row, "fields").iter().filter_map(|field| {
                    let values: Vec<&str> = field.get(1)?.as_array()?.iter().filter_map(Value::as_str).collect();
                    Some(format!("{} {}", field.get(0)?.as_str()?, values.join(", ")))
                });
                lines.push(format!("         {}  [{}]", fields.collect::<Vec<_>>().join("; "), text(row, "at")));
            }
        }
    }
    if all.is_empty() {
        lines.push(if found.get("agent").is_some() { "no version has such a row" } else { "there is no version yet" }.to_owned());
    }
    if let (true, Some(last)) = (is(found, "more"), all.last()) {
        lines.push(format!("older ones: --before {}", number(last, "version")));
    }
    lines
}

/// What came of applying or rolling back.
pub(crate) fn ended(answer: &Value) -> Vec<String> {
    if is(answer, "unchanged") {
        return vec![format!("nothing to apply: version {} says the same", number(answer, "version"))];
    }
    if is(answer, "held") {
        let mut lines = vec![format!("\nheld: the change waits for its reviewers as plan {}", text(answer, "plan"))];
        lines.extend(standing(answer.get("review"), text(answer, "plan")));
        return lines;
    }
    vec![format!("\nversion {} is in effect ({})", number(answer, "version"), short(text(answer, "digest")))]
}

/// The version in effect and the drift of the directory, for `remit status`.
pub(crate) fn standing_of(configuration: Option<&Value>) -> Vec<String> {
    let Some(configuration) = configuration.filter(|configuration| configuration.is_object()) else { return Vec::new() };
    let mut lines = vec![format!("version {}", version(configuration).trim_start())];
    match configuration.get("approvals_needed").and_then(Value::as_u64) {
        Some(1) => lines.push("a change takes effect once a reviewer approves it".to_owned()),
        Some(needed) => lines.push(format!("a change takes effect once {needed} reviewers approve it")),
        None if !text(configuration, "follows").is_empty() => {
            lines.push(format!("follows {}", text(configuration, "follows")));
        }
        None => {}
    }
    let Some(drift) = configuration.get("drift").filter(|drift| drift.is_object()) else { return lines };
    let directory = text(drift, "directory");
    lines.push(format!("\n! {directory} is not what is in effect"));
    lines.extend(list(drift, "faults").iter().take(LINES_MAX).map(fault));
    if !text(drift, "error").is_empty() {
        lines.push(format!("  {}", text(drift, "error")));
    }
    lines.extend(changes(drift));
    lines.push(format!("  next: remit plan {directory}"));
    lines
}
