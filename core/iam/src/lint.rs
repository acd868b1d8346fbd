//! What is allowed in a policy and probably not meant.
//!
//! A fault refuses a policy ([`Policy::read`](crate::Policy::read)); a finding doesn't. The rules are those of IAM's own policy checks ("IAM
//! Access Analyzer policy check reference") and of the pitfalls that IAM's user guide names, as far as they can be seen in a policy alone.

use crate::{
    condition::Condition,
    document::Place,
    glob::{Pattern, Piece},
    policy::{Effect, Policy, PolicyKind, Resources, Statement},
    principal::{Named, Principals},
};

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It doesn't do what it seems to do.
    Error,
    /// It gives or forbids more or less than is probably meant.
    Warning,
    /// It could be written better.
    Suggestion,
}

impl Severity {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Suggestion => "suggestion",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// The rule, such as `ALLOW_FORALLVALUES_WITHOUT_NULL`.
    pub code: &'static str,
    /// Where it is.
    pub place: Place,
    /// The statement's label.
    pub label: String,
    /// What is found.
    pub what: String,
    /// How to mend it.
    pub mend: &'static str,
}

/// The type of a context key's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Bool,
    Date,
    Number,
    Address,
    Arn,
}

/// Keys whose type is known, in lower case, and whether they hold several values ("AWS global condition context keys"; `mcp:` is Remit's).
const KEYS: [(&str, Kind, bool); 51] = [
    ("aws:calledvia", Kind::Text, true),
    ("aws:calledviaawsmcp", Kind::Text, false),
    ("aws:calledviafirst", Kind::Text, false),
    ("aws:calledvialast", Kind::Text, false),
    ("aws:currenttime", Kind::Date, false),
    ("aws:epochtime", Kind::Date, false),
    ("aws:federatedprovider", Kind::Text, false),
    ("aws:multifactorauthage", Kind::Number, false),
    ("aws:multifactorauthpresent", Kind::Bool, false),
    ("aws:principalaccount", Kind::Text, false),
    ("aws:principalarn", Kind::Arn, false),
    ("aws:principalisawsservice", Kind::Bool, false),
    ("aws:principalorgid", Kind::Text, false),
    ("aws:principalorgpaths", Kind::Text, true),
    ("aws:principalservicename", Kind::Text, false),
    ("aws:principalservicenameslist", Kind::Text, true),
    ("aws:principaltype", Kind::Text, false),
    ("aws:referer", Kind::Text, false),
    ("aws:requestedregion", Kind::Text, false),
    ("aws:resourceaccount", Kind::Text, false),
    ("aws:resourceorgid", Kind::Text, false),
    ("aws:resourceorgpaths", Kind::Text, true),
    ("aws:securetransport", Kind::Bool, false),
    ("aws:sourceaccount", Kind::Text, false),
    ("aws:sourcearn", Kind::Arn, false),
    ("aws:sourceidentity", Kind::Text, false),
    ("aws:sourceip", Kind::Address, false),
    ("aws:sourceorgid", Kind::Text, false),
    ("aws:sourceorgpaths", Kind::Text, true),
    ("aws:sourcevpc", Kind::Text, false),
    ("aws:sourcevpce", Kind::Text, false),
    ("aws:tagkeys", Kind::Text, true),
    ("aws:tokenissuetime", Kind::Date, false),
    ("aws:useragent", Kind::Text, false),
    ("aws:userid", Kind::Text, false),
    ("aws:username", Kind::Text, false),
    ("aws:viaawsmcpservice", Kind::Bool, false),
    ("aws:viaawsservice", Kind::Bool, false),
    ("aws:vpcsourceip", Kind::Address, false),
    ("mcp:agent", Kind::Text, false),
    ("mcp:agentspace", Kind::Arn, false),
    ("mcp:server", Kind::Text, false),
    ("mcp:tool", Kind::Text, false),
    ("mcp:toolcategories", Kind::Text, true),
    ("mcp:toolclass", Kind::Text, false),
    ("mcp:toolrisk", Kind::Text, false),
    ("mcp:user", Kind::Text, false),
    ("sts:externalid", Kind::Text, false),
    ("sts:rolesessionname", Kind::Text, false),
    ("sts:sourceidentity", Kind::Text, false),
    ("sts:transitivetagkeys", Kind::Text, true),
];

/// Prefixes of keys that end in a name of the customer's own.
const OPEN_KEYS: [&str; 5] = ["aws:principaltag/", "aws:resourcetag/", "aws:requesttag/", "mcp:resourcetag/", "iam:resourcetag/"];

/// Keys on which a statement's safety hangs: weakened by `IfExists` in an Allow.
const GUARDS: [&str; 14] = [
    "aws:sourcearn",
    "aws:sourceaccount",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourceip",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalarn",
    "aws:multifactorauthpresent",
    "aws:multifactorauthage",
    "aws:securetransport",
    "sts:externalid",
];

/// Actions of the services that Remit itself decides about, in lower case.
const ACTIONS: [(&str, &[&str]); 2] = [
    ("mcp", &["calltool", "getprompt", "readresource"]),
    (
        "sts",
        &[
            "assumerole",
            "assumerolewithsaml",
            "assumerolewithwebidentity",
            "assumeroot",
            "decodeauthorizationmessage",
            "getaccesskeyinfo",
            "getcalleridentity",
            "getfederationtoken",
            "getservicebearertoken",
            "getsessiontoken",
            "getwebidentitytoken",
            "setcontext",
            "setsourceidentity",
            "tagsession",
        ],
    ),
];

/// Everything that is found in a policy, in the order of the text.
pub fn lint(policy: &Policy) -> Vec<Finding> {
    let mut linter = Linter { findings: Vec::new(), kind: policy.kind() };
    for (number, statement) in policy.statements().iter().enumerate() {
        linter.statement(statement);
        for other in policy.statements().iter().skip(number + 1) {
            linter.pair(statement, other);
        }
    }
    let mut findings = linter.findings;
    findings.sort_by(|a, b| (a.place, a.severity, a.code, &a.what).cmp(&(b.place, b.severity, b.code, &b.what)));
    findings.dedup();
    findings
}

struct Linter {
    findings: Vec<Finding>,
    kind: PolicyKind,
}

impl Linter {
    fn tell(
        &mut self,
        severity: Severity,
        code: &'static str,
        place: Place,
        statement: &Statement,
        what: impl Into<String>,
        mend: &'static str,
    ) {
        self.findings.push(Finding { severity, code, place, label: statement.label().to_string(), what: what.into(), mend });
    }

    fn statement(&mut self, statement: &Statement) {
        let allows = statement.effect() == Effect::Allow;
        let place = statement.place();
        let actions: Vec<String> = statement.actions.patterns.iter().map(text).collect();
        let everything = actions.iter().any(|action| action == "*");
        let resources = match &statement.resources {
            Resources::In(patterns) => patterns.iter().map(text).collect(),
            Resources::NotIn(_) | Resources::Attached => Vec::new(),
        };
        let everywhere = resources.iter().any(|resource: &String| resource == "*");
        // A boundary and a control policy that allow much give nothing.
        let gives = allows && matches!(self.kind, PolicyKind::Identity | PolicyKind::Resource | PolicyKind::Trust);
        if allows && statement.actions.not {
            self.tell(
                Severity::Warning,
                "ALLOW_WITH_NOT_ACTION",
                place,
                statement,
                "it allows every action but those that it names, and those that will be added later",
                "name what is allowed in `Action`",
            );
        }
        if allows && matches!(statement.resources, Resources::NotIn(_)) {
            self.tell(
                Severity::Warning,
                "ALLOW_WITH_NOT_RESOURCE",
                place,
                statement,
                "it allows its actions on everything but what it names",
                "name what is allowed in `Resource`",
            );
        }
        if matches!(statement.principals, Principals::NotIn(_)) {
            self.tell(
                Severity::Warning,
                "DENY_WITH_NOT_PRINCIPAL",
                place,
                statement,
                "`NotPrincipal` must name every ARN under which somebody acts, their account and their session too, or it denies them",
                "use `Principal: \"*\"` with a condition `ArnNotEquals` on `aws:PrincipalArn`",
            );
        }
        if gives && everything && !statement.actions.not && everywhere && statement.conditions().is_empty() {
            self.tell(
                Severity::Warning,
                "ALLOW_EVERYTHING",
                place,
                statement,
                "it allows every action on every resource",
                "name the actions and resources that are needed",
            );
        } else if gives && !statement.actions.not && statement.conditions().is_empty() {
            for action in actions.iter().filter(|action| action.ends_with(":*") && everywhere) {
                self.tell(
                    Severity::Suggestion,
                    "ALLOW_WHOLE_SERVICE",
                    place,
                    statement,
                    format!("it allows all of `{action}` on every resource, without a condition"),
                    "name the actions, the resources, or a condition",
                );
            }
        }
        self.actions(statement, &actions);
        self.resources(statement, &actions, &resources, everywhere);
        self.principals(statement);
        self.conditions(statement);
    }

    fn actions(&mut self, statement: &Statement, actions: &[String]) {
        for (number, action) in actions.iter().enumerate() {
            if let Some((service, name)) = action.split_once(':')
                && let Some((_, known)) = ACTIONS.iter().find(|(known, _)| *known == service)
                && !name.contains(['*', '?'])
                && !known.contains(&name)
            {
                self.tell(
                    Severity::Error,
                    "UNKNOWN_ACTION",
                    statement.place(),
                    statement,
                    format!("service `{service}` has no action `{name}`: the statement says nothing about it"),
                    "correct the action's name",
                );
            }
            let wider = actions
                .iter()
                .enumerate()
                .any(|(other, pattern)| other != number && covers(pattern, action) && (pattern != action || other < number));
            if wider {
                self.tell(
                    Severity::Suggestion,
                    "REDUNDANT_ACTION",
                    statement.place(),
                    statement,
                    format!("`{action}` is covered by another action of the statement"),
                    "remove it",
                );
            }
        }
        let assumes = actions.iter().any(|action| matches!(action.as_str(), "sts:assumerole" | "sts:*" | "iam:passrole"));
        let anywhere =
            matches!(&statement.resources, Resources::In(patterns) if patterns.iter().any(|pattern| text(pattern) == "*"));
        if assumes
            && anywhere
            && statement.effect() == Effect::Allow
            && self.kind == PolicyKind::Identity
            && !statement.actions.not
        {
            self.tell(
                Severity::Warning,
                "ASSUME_ANY_ROLE",
                statement.place(),
                statement,
                "it lets its holder assume every role that trusts the account: privileges grow with the next role",
                "name the roles in `Resource`",
            );
        }
    }

    fn resources(&mut self, statement: &Statement, actions: &[String], resources: &[String], everywhere: bool) {
        for (number, resource) in resources.iter().enumerate() {
            if resources
                .iter()
                .enumerate()
                .any(|(other, wide)| other != number && covers(wide, resource) && (wide != resource || other < number))
            {
                self.tell(
                    Severity::Suggestion,
                    "REDUNDANT_RESOURCE",
                    statement.place(),
                    statement,
                    format!("`{resource}` is covered by another resource of the statement"),
                    "remove it",
                );
            }
        }
        if statement.actions.not || everywhere || matches!(statement.resources, Resources::NotIn(_) | Resources::Attached) {
            return;
        }
        // An action on resources of another service never happens. Services whose actions reach into others are few and not judged.
        for action in actions {
            let Some((service, _)) = action.split_once(':').filter(|(service, _)| matches!(*service, "mcp" | "sts" | "iam"))
            else {
                continue;
            };
            let theirs = if service == "sts" { "iam" } else { service };
            let fits = |resource: &String| {
                let of = resource.split(':').nth(2).unwrap_or("*");
                of.contains(['*', '?', '$']) || of == theirs || (service == "sts" && of == "sts")
            };
            if !resources.is_empty() && !resources.iter().any(fits) {
                self.tell(
                    Severity::Error,
                    "RESOURCE_MISMATCH",
                    statement.place(),
                    statement,
                    format!(
                        "`{action}` is about resources of `{theirs}`, and none is named: the statement says nothing about it"
                    ),
                    "name a resource of that service",
                );
            }
        }
    }

    fn principals(&mut self, statement: &Statement) {
        let Principals::In(named) = &statement.principals else { return };
        if statement.effect() == Effect::Deny || self.kind == PolicyKind::ResourceControl {
            return;
        }
        let binds = |keys: &[&str]| {
            statement.conditions().iter().any(|condition| {
                let key = condition.key().to_ascii_lowercase();
                keys.contains(&key.as_str())
                    && !condition.operator().contains("Not")
                    && !condition.operator().ends_with("IfExists")
            })
        };
        for named in named {
            match named {
                Named::Everyone
                    if !binds(&[
                        "aws:principalorgid",
                        "aws:principalorgpaths",
                        "aws:principalarn",
                        "aws:principalaccount",
                        "aws:sourcevpce",
                        "aws:sourceip",
                        "sts:externalid",
                    ]) =>
                {
                    self.tell(
                        Severity::Warning,
                        "WILDCARD_PRINCIPAL",
                        statement.place(),
                        statement,
                        "it allows everybody, of whatever account",
                        "name the principals, or bind `aws:PrincipalOrgID` or `aws:PrincipalArn`",
                    );
                }
                Named::Service(service)
                    if !binds(&["aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths"]) =>
                {
                    self.tell(
                        Severity::Warning,
                        "CONFUSED_DEPUTY",
                        statement.place(),
                        statement,
                        format!("{service} is let in for whomever it acts"),
                        "add conditions on `aws:SourceAccount` and `aws:SourceArn`",
                    );
                }
                Named::Account(account)
                    if !binds(&["sts:externalid", "aws:principalarn", "aws:principalorgid"])
                        && self.kind == PolicyKind::Trust =>
                {
                    self.tell(
                        Severity::Suggestion,
                        "WHOLE_ACCOUNT_TRUSTED",
                        statement.place(),
                        statement,
                        format!("everybody in account {account} whose policies allow it may assume the role"),
                        "name the roles or users, or bind `aws:PrincipalArn`",
                    );
                }
                _ => {}
            }
        }
    }

    fn conditions(&mut self, statement: &Statement) {
        let allows = statement.effect() == Effect::Allow;
        let checked = |key: &str| {
            statement.conditions().iter().any(|other| other.operator() == "Null" && other.key().eq_ignore_ascii_case(key))
        };
        for condition in statement.conditions() {
            let key = condition.key().to_ascii_lowercase();
            let (set, base) =
                condition.operator().split_once(':').map_or((None, condition.operator()), |(set, base)| (Some(set), base));
            let (base, if_exists) = base.strip_suffix("IfExists").map_or((base, false), |base| (base, true));
            let mut tell =
                |severity, code, what: String, mend| self.tell(severity, code, condition.place(), statement, what, mend);
            let Some((kind, several)) = known(&key) else {
                if ["aws:", "sts:", "mcp:"].iter().any(|prefix| key.starts_with(prefix)) {
                    tell(
                        Severity::Error,
                        "UNKNOWN_KEY",
                        format!("there is no context key `{}`: in no request it has a value", condition.key()),
                        "correct the key's name",
                    );
                }
                continue;
            };
            self.qualifier(statement, condition, set, base, several, checked(condition.key()));
            let mut tell =
                |severity, code, what: String, mend| self.tell(severity, code, condition.place(), statement, what, mend);
            if if_exists && allows && GUARDS.contains(&key.as_str()) {
                tell(
                    Severity::Warning,
                    "IF_EXISTS_WEAKENS",
                    format!("with `IfExists` a request that has no `{}` is allowed", condition.key()),
                    "leave `IfExists` out",
                );
            }
            if let Some(wanted) = mismatch(base, kind) {
                tell(
                    Severity::Error,
                    "TYPE_MISMATCH",
                    format!("`{base}` compares another type than the values of `{}` have", condition.key()),
                    wanted,
                );
            }
            self.values(statement, condition, &key, base, if_exists);
        }
        let carve_outs = statement
            .conditions()
            .iter()
            .filter(|condition| condition.operator().contains("Not") && condition.operator() != "Null");
        let carve_outs: Vec<&str> = carve_outs.map(Condition::key).collect();
        if !allows && carve_outs.len() > 1 {
            self.tell(
                Severity::Suggestion,
                "DENY_NEEDS_ALL_CARVE_OUTS",
                statement.place(),
                statement,
                format!("it denies only what differs in all of {}: who meets one of them is let through", carve_outs.join(", ")),
                "if each should be needed, write a statement for each",
            );
        }
    }

    /// `ForAllValues:`, `ForAnyValue:`, and their absence.
    fn qualifier(
        &mut self,
        statement: &Statement,
        condition: &Condition,
        set: Option<&str>,
        base: &str,
        several: bool,
        checked: bool,
    ) {
        let allows = statement.effect() == Effect::Allow;
        let mut tell = |severity, code, what: String, mend| self.tell(severity, code, condition.place(), statement, what, mend);
        if set == Some("ForAllValues") && allows && !checked {
            tell(
                Severity::Warning,
                "ALLOW_FORALLVALUES_WITHOUT_NULL",
                format!("`ForAllValues` holds where `{}` is missing or empty, and so the statement allows", condition.key()),
                "add `Null: { key: false }`, or use `ForAnyValue`",
            );
        }
        if set == Some("ForAnyValue") && !allows && base.contains("Not") && !checked {
            tell(
                Severity::Warning,
                "DENY_FORANYVALUE_WITHOUT_NULL",
                format!(
                    "`ForAnyValue` doesn't hold where `{}` is missing or empty, and so the statement doesn't deny",
                    condition.key()
                ),
                "deny where it is missing too: a second statement with `Null: { key: true }`",
            );
        }
        if set.is_some() && !several && !matches!(condition.key().rsplit_once(':'), Some((_, "amr" | "aud"))) {
            tell(
                Severity::Warning,
                "SET_OPERATOR_ON_SINGLE_VALUE",
                format!(
                    "`{}` holds one value, and `{}:` is for several: where the key is missing it means something else",
                    condition.key(),
                    set.unwrap_or_default()
                ),
                "leave the qualifier out",
            );
        }
        if set.is_none() && several && base != "Null" {
            tell(
                Severity::Error,
                "SINGLE_OPERATOR_ON_SEVERAL_VALUES",
                format!(
                    "`{}` holds several values: without `ForAnyValue:` or `ForAllValues:` it can't be told, and an Allow never applies",
                    condition.key()
                ),
                "write `ForAnyValue:` or `ForAllValues:` before the operator",
            );
        }
    }

    fn values(&mut self, statement: &Statement, condition: &Condition, key: &str, base: &str, if_exists: bool) {
        let allows = statement.effect() == Effect::Allow;
        let mut tell = |severity, code, what: String, mend| self.tell(severity, code, condition.place(), statement, what, mend);
        let literal = matches!(base, "StringEquals" | "StringNotEquals" | "StringEqualsIgnoreCase" | "StringNotEqualsIgnoreCase");
        for value in condition.values() {
            if literal && value.contains(['*', '?']) && !value.contains("${*}") && !value.contains("${?}") {
                tell(
                    Severity::Warning,
                    "WILDCARD_TAKEN_LITERALLY",
                    format!("`{base}` compares `{value}` character by character: its wildcard matches only itself"),
                    "use `StringLike` or `StringNotLike`",
                );
            }
            if base == "IpAddress" && allows && matches!(value, "0.0.0.0/0" | "::/0") {
                tell(
                    Severity::Warning,
                    "EVERY_ADDRESS",
                    format!("`{value}` is every address: the condition keeps nobody out"),
                    "name the networks that are meant",
                );
            }
            if matches!(base, "StringLike" | "ArnLike" | "ArnEquals") && allows && value.bytes().all(|byte| byte == b'*') {
                tell(
                    Severity::Warning,
                    "EVERY_VALUE",
                    format!("`{value}` matches every value of `{}`: the condition only asks that there is one", condition.key()),
                    "name the values, or use `Null: { key: false }`",
                );
            }
        }
        let mut seen: Vec<&str> = Vec::new();
        for value in condition.values() {
            if seen.contains(&value) {
                tell(Severity::Suggestion, "DUPLICATE_VALUE", format!("`{value}` stands twice"), "keep one");
            }
            seen.push(value);
        }
        if key == "aws:multifactorauthpresent" && base == "Bool" {
            let no = condition.values().any(|value| value.eq_ignore_ascii_case("false"));
            if !allows && no && !if_exists {
                tell(
                    Severity::Warning,
                    "MFA_KEY_MISSING",
                    "long-term keys have no `aws:MultiFactorAuthPresent`: without `IfExists` they aren't denied".to_owned(),
                    "write `BoolIfExists`",
                );
            }
            if allows && no {
                tell(
                    Severity::Warning,
                    "ALLOW_WITHOUT_MFA",
                    "it allows just those who came without a second factor".to_owned(),
                    "write `true`",
                );
            }
        }
    }

    /// What two statements are to each other.
    fn pair(&mut self, first: &Statement, second: &Statement) {
        let same =
            first.actions == second.actions && first.resources == second.resources && first.principals == second.principals;
        if same && first.effect() == second.effect() && alike(first, second) {
            self.tell(
                Severity::Suggestion,
                "DUPLICATE_STATEMENT",
                second.place(),
                second,
                format!("it says what {} says", first.label()),
                "keep one",
            );
        }
        for (allow, deny) in [(first, second), (second, first)] {
            if allow.effect() == Effect::Allow
                && deny.effect() == Effect::Deny
                && deny.conditions().is_empty()
                && swallows(deny, allow)
            {
                self.tell(
                    Severity::Warning,
                    "ALLOW_THAT_IS_DENIED",
                    allow.place(),
                    allow,
                    format!("{} denies all that it allows", deny.label()),
                    "remove it, or narrow the Deny",
                );
            }
        }
    }
}

fn alike(a: &Statement, b: &Statement) -> bool {
    let one = |condition: &Condition| {
        (
            condition.operator().to_owned(),
            condition.key().to_ascii_lowercase(),
            condition.values().map(str::to_owned).collect::<Vec<_>>(),
        )
    };
    let (mut ours, mut theirs): (Vec<_>, Vec<_>) =
        (a.conditions().iter().map(one).collect(), b.conditions().iter().map(one).collect());
    ours.sort();
    theirs.sort();
    ours == theirs
}

/// Whether a Deny without conditions covers all of an Allow, as far as their texts show it.
fn swallows(deny: &Statement, allow: &Statement) -> bool {
    let within = |wide: &[Pattern], narrow: &[Pattern]| {
        narrow.iter().all(|narrow| wide.iter().any(|wide| covers(&text(wide), &text(narrow))))
    };
    let actions = !deny.actions.not && !allow.actions.not && within(&deny.actions.patterns, &allow.actions.patterns);
    let resources = match (&deny.resources, &allow.resources) {
        (Resources::In(wide), Resources::In(narrow)) => within(wide, narrow),
        (Resources::Attached, Resources::Attached) => true,
        _ => false,
    };
    let principals = deny.principals == allow.principals
        || matches!(&deny.principals, Principals::In(named) if named.contains(&Named::Everyone));
    actions && resources && principals
}

/// A pattern as it was written, near enough to be compared and shown.
fn text(pattern: &Pattern) -> String {
    let piece = |piece: &Piece<Box<str>>| match piece {
        Piece::Text(text) => text.to_string(),
        Piece::Variable { key, .. } => format!("${{{key}}}"),
        Piece::One | Piece::OneInside => "?".to_owned(),
        Piece::Run | Piece::RunInside => "*".to_owned(),
    };
    pattern.0.iter().map(piece).collect()
}

/// Whether a pattern of literals and stars matches all that another does: it does if it matches the other's text, stars and all.
fn covers(wide: &str, narrow: &str) -> bool {
    if wide.contains(['?', '$']) {
        return wide == narrow;
    }
    let mut parts = wide.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = narrow.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Type and number of a key's values; `None` if there is no such key of AWS's or of Remit's. Keys of other services are texts.
fn known(key: &str) -> Option<(Kind, bool)> {
    if let Some((_, kind, several)) = KEYS.iter().find(|(name, ..)| *name == key) {
        return Some((*kind, *several));
    }
    let open = OPEN_KEYS.iter().any(|prefix| key.strip_prefix(prefix).is_some_and(|name| !name.is_empty()));
    if open || matches!(key.rsplit_once(':'), Some((_, "sub" | "aud" | "amr"))) {
        return Some((Kind::Text, key.ends_with(":amr")));
    }
    // Of other services' keys nothing is known.
    None
}

/// How to mend an operator that compares another type than the key has.
fn mismatch(base: &str, kind: Kind) -> Option<&'static str> {
    let text = base.starts_with("String");
    match kind {
        _ if base == "Null" => None,
        Kind::Text if !text && !base.starts_with("Binary") => Some("use an operator for texts, such as `StringEquals`"),
        Kind::Bool if base != "Bool" && !text => Some("use `Bool`"),
        Kind::Bool if text => Some("use `Bool`"),
        Kind::Date if !base.starts_with("Date") && !base.starts_with("Numeric") => {
            Some("use an operator for dates, such as `DateLessThan`")
        }
        Kind::Number if !base.starts_with("Numeric") => Some("use an operator for numbers, such as `NumericLessThan`"),
        Kind::Address if !base.ends_with("IpAddress") => Some("use `IpAddress` or `NotIpAddress`"),
        Kind::Arn if !text && !base.starts_with("Arn") => Some("use `ArnLike` or `ArnNotLike`"),
        _ => None,
    }
}
