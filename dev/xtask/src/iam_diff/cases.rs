//! Cases at random, dense in corners: policies whose every part is near the request, on either side of matching it.

use serde_json::{Map, Value, json};

use super::random::Random;

/// The account of most principals.
const HOME: &str = "111122223333";
/// Another account.
const AWAY: &str = "444455556666";

/// The keys that a request may have, by the type of their values.
const TEXT_KEYS: [&str; 4] = ["aws:username", "aws:PrincipalTag/team", "mcp:Tool", "aws:userid"];
const NUMBER_KEYS: [&str; 2] = ["mcp:Risk", "s3:max-keys"];
const DATE_KEYS: [&str; 2] = ["aws:CurrentTime", "aws:TokenIssueTime"];
const BOOL_KEYS: [&str; 2] = ["aws:MultiFactorAuthPresent", "aws:ViaAWSMCPService"];
const ADDRESS_KEYS: [&str; 2] = ["aws:SourceIp", "aws:VpcSourceIp"];
const ARN_KEYS: [&str; 2] = ["aws:SourceArn", "aws:PrincipalArn"];
const BINARY_KEYS: [&str; 1] = ["mcp:Digest"];
const LIST_KEYS: [&str; 2] = ["aws:TagKeys", "aws:CalledViaAWSMCP"];

const TEXTS: [&str; 12] = ["ann", "bob", "Ann", "red", "Red", "r*d", "a?n", "*", "", "home", "x/y", "a:b"];
const NUMBERS: [&str; 15] = [
    "3",
    "3.0",
    "03",
    "10",
    "-1",
    "0.1",
    "0.10",
    "-0",
    "0",
    "9007199254740993",
    "9007199254740992",
    "10.00",
    "0.30000000000000004",
    "1e1",
    "high",
];
const DATES: [&str; 9] = [
    "2026-01-31T12:30:00Z",
    "2026-01-31T13:30:00+01:00",
    "2026-01-31T12:30:00.5Z",
    "2026-01-31",
    "2026-02",
    "1769862600",
    "946684800",
    "1769862600000",
    "yesterday",
];
const BOOLS: [&str; 4] = ["true", "false", "True", "maybe"];
const ADDRESSES: [&str; 8] =
    ["203.0.113.7", "10.1.2.3", "2001:db8::1", "2001:DB8:0:0:0:0:0:1", "::ffff:203.0.113.7", "::1", "203.0.113.07", "host"];
const RANGES: [&str; 10] = [
    "203.0.113.0/24",
    "203.0.113.7",
    "203.0.113.7/32",
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.1.2.3/31",
    "2001:db8::/32",
    "::/0",
    "2001:db8::1/128",
    "2001:db8:0::/127",
];
const ARNS: [&str; 8] = [
    "arn:aws:sns:eu-west-1:111122223333:topic/a:b",
    "arn:aws:iam::111122223333:role/agent",
    "arn:aws:iam::111122223333:role/team/agent",
    "arn:aws:s3:::bucket/home/ann/x:y",
    "arn:aws:sns:eu-west-1:444455556666:topic",
    "arn:aws:mcp:eu-west-1:111122223333:server/files/tool/read",
    "arn:aws:sns:eu-west-1",
    "events.amazonaws.com",
];
const BINARIES: [&str; 4] = ["QmluYXJ5", "QmluYXI=", "QQ==", "Qg=="];
const ACTIONS: [&str; 7] = [
    "mcp:CallTool",
    "mcp:ListTools",
    "mcp:ReadResource",
    "mcp:GetPrompt",
    "sqs:SendMessage",
    "dynamodb:GetItem",
    "logs:GetLogEvents",
];
const TRUST_ACTIONS: [&str; 4] = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity", "sts:AssumeRoleWithWebIdentity"];
const OPERATORS: [(&str, Family); 26] = [
    ("StringEquals", Family::Text),
    ("StringNotEquals", Family::Text),
    ("StringEqualsIgnoreCase", Family::Text),
    ("StringNotEqualsIgnoreCase", Family::Text),
    ("StringLike", Family::Text),
    ("StringNotLike", Family::Text),
    ("NumericEquals", Family::Number),
    ("NumericNotEquals", Family::Number),
    ("NumericLessThan", Family::Number),
    ("NumericLessThanEquals", Family::Number),
    ("NumericGreaterThan", Family::Number),
    ("NumericGreaterThanEquals", Family::Number),
    ("DateEquals", Family::Date),
    ("DateNotEquals", Family::Date),
    ("DateLessThan", Family::Date),
    ("DateLessThanEquals", Family::Date),
    ("DateGreaterThan", Family::Date),
    ("DateGreaterThanEquals", Family::Date),
    ("Bool", Family::Bool),
    ("BinaryEquals", Family::Binary),
    ("IpAddress", Family::Address),
    ("NotIpAddress", Family::Address),
    ("ArnEquals", Family::Arn),
    ("ArnLike", Family::Arn),
    ("ArnNotEquals", Family::Arn),
    ("ArnNotLike", Family::Arn),
];

/// What an operator compares.
#[derive(Clone, Copy, PartialEq)]
enum Family {
    Text,
    Number,
    Date,
    Bool,
    Binary,
    Address,
    Arn,
}

/// What a policy is for.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Identity,
    Resource,
    Trust,
    ServiceControl,
    ResourceControl,
}

/// One case, by its number.
pub(crate) fn case(seed: u64, number: usize) -> Value {
    let mixed = seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ u64::try_from(number).unwrap_or(0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut maker = Maker {
        random: Random::new(mixed),
        action: String::new(),
        resource: String::new(),
        principal: String::new(),
        context: Map::new(),
    };
    maker.case(number)
}

struct Maker {
    random: Random,
    action: String,
    resource: String,
    principal: String,
    context: Map<String, Value>,
}

impl Maker {
    fn case(&mut self, number: usize) -> Value {
        let trust = self.random.chance(10);
        let home = if self.random.chance(85) { HOME } else { AWAY };
        self.principal = match self.random.weigh(&[55, 28, 4, 8, if trust { 25 } else { 0 }]) {
            0 => format!("arn:aws:sts::{home}:assumed-role/agent/{}", self.random.pick(&["one", "two"])),
            1 => format!("arn:aws:iam::{home}:user/{}", self.random.pick(&["ann", "bob", "team/ann"])),
            2 => format!("arn:aws:iam::{home}:root"),
            3 => "events.amazonaws.com".to_owned(),
            _ => self.random.pick(&["accounts.google.com", "arn:aws:iam::111122223333:oidc-provider/idp.example"]).to_owned(),
        };
        let owner = if self.random.chance(75) { HOME } else { AWAY };
        self.resource = if trust { format!("arn:aws:iam::{owner}:role/target") } else { self.some_resource(owner) };
        self.action = self.random.pick(if trust { &TRUST_ACTIONS } else { &ACTIONS }).to_owned();
        self.facts();
        let asked = match self.random.below(4) {
            0 => self.action.to_lowercase(),
            1 => self.action.replace("Tool", "TOOL"),
            _ => self.action.clone(),
        };
        let mut case = json!({
            "id": number,
            "request": {
                "principal": self.principal, "action": asked, "context": self.context,
                "resource": { "resource": self.resource, "accountId": owner },
            },
            "identityPolicies": [],
        });
        let is_iam = self.principal.starts_with("arn:") && !self.principal.contains("oidc-provider");
        let mut layers = Map::new();
        if is_iam {
            let count = 1 + self.random.below(2);
            let policies: Vec<Value> = (0..count).map(|_| self.policy(Kind::Identity, 55)).collect();
            layers.insert("identityPolicies".into(), policies.into());
            if self.random.chance(25) {
                layers.insert("permissionBoundaries".into(), json!([self.policy(Kind::Identity, 75)]));
            }
            if self.principal.contains(":assumed-role/") && self.random.chance(22) {
                layers.insert("sessionPolicy".into(), self.policy(Kind::Identity, 75));
            }
            let levels = self.random.weigh(&[60, 15, 15, 10]);
            let levels: Vec<Value> = (0..levels).map(|_| self.level(Kind::ServiceControl)).collect();
            layers.insert("serviceControlPolicies".into(), levels.into());
        }
        let levels = self.random.weigh(&[75, 15, 10]);
        let levels: Vec<Value> = (0..levels).map(|_| self.level(Kind::ResourceControl)).collect();
        layers.insert("resourceControlPolicies".into(), levels.into());
        if trust {
            layers.insert("trustPolicy".into(), self.policy(Kind::Trust, 75));
        } else if self.random.chance(if is_iam && owner == home { 45 } else { 85 }) {
            layers.insert("resourcePolicy".into(), self.policy(Kind::Resource, 70));
        }
        if let Some(case) = case.as_object_mut() {
            case.extend(layers);
        }
        case
    }

    fn some_resource(&mut self, owner: &str) -> String {
        match self.random.weigh(&[32, 13, 15, 14, 10, 6, 8, 1, 1]) {
            0 => format!("arn:aws:mcp:eu-west-1:{owner}:server/files/tool/read"),
            1 => format!("arn:aws:mcp:eu-west-1:{owner}:server/git/tool/push:force"),
            2 => "arn:aws:s3:::bucket/home/ann/x:y".to_owned(),
            3 => format!("arn:aws:logs:eu-west-1:{owner}:log-group:/app/web:stream"),
            4 => format!("arn:aws:sqs:eu-west-1:{owner}:jobs"),
            5 => format!("arn:aws:mcp:eu-west-1:{owner}:server/Files/tool/Read"),
            6 => format!("arn:aws:dynamodb:eu-west-1:{owner}:table/ann"),
            7 => "*".to_owned(),
            _ => format!("arn:aws:mcp:eu-west-1:{owner}:server/files/tool/re*"),
        }
    }

    /// The context: every key may be there.
    fn facts(&mut self) {
        let mut facts: Vec<(&str, Value)> = Vec::new();
        for (keys, values) in [
            (&TEXT_KEYS[..], &TEXTS[..]),
            (&NUMBER_KEYS, &NUMBERS),
            (&DATE_KEYS, &DATES),
            (&BOOL_KEYS, &BOOLS),
            (&ADDRESS_KEYS, &ADDRESSES),
            (&ARN_KEYS, &ARNS),
            (&BINARY_KEYS, &BINARIES),
        ] {
            for key in keys {
                if !self.random.chance(65) {
                    continue;
                }
                // What is malformed stands last and comes seldom.
                let usual = values.len() - usize::from(!self.random.chance(15) && values.len() > 4);
                let value = values.get(self.random.below(usual)).copied().unwrap_or_default();
                let value = if self.random.chance(4) { json!([value]) } else { json!(value) };
                facts.push((key, value));
            }
        }
        for key in LIST_KEYS {
            if self.random.chance(70) {
                let count = self.random.below(4);
                let values: Vec<&str> = (0..count).map(|_| self.random.pick(&["a", "b", "ann", "red", ""])).collect();
                facts.push((key, if self.random.chance(10) { json!(self.random.pick(&["a", "b", ""])) } else { json!(values) }));
            }
        }
        self.context.clear();
        for (key, value) in facts {
            let key = if self.random.chance(10) { key.to_uppercase() } else { key.to_owned() };
            self.context.insert(key, value);
        }
        if self.random.chance(80) {
            let account = self.principal.split(':').nth(4).unwrap_or_default();
            let arn = if self.principal.contains(":assumed-role/") {
                format!("arn:aws:iam::{account}:role/agent")
            } else {
                self.principal.clone()
            };
            self.context.insert("aws:PrincipalArn".into(), arn.into());
            self.context.remove("AWS:PRINCIPALARN");
        }
    }

    fn found(&self, key: &str) -> Option<&Value> {
        self.context.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
    }

    fn level(&mut self, kind: Kind) -> Value {
        let full = match kind {
            Kind::ResourceControl => json!({ "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*" }),
            _ => json!({ "Effect": "Allow", "Action": "*", "Resource": "*" }),
        };
        let mut policies = Vec::new();
        if kind == Kind::ResourceControl || self.random.chance(80) {
            policies.push(json!({ "Version": "2012-10-17", "Statement": [full] }));
        }
        if self.random.chance(if policies.is_empty() { 92 } else { 40 }) {
            policies.push(self.policy(kind, 75));
        }
        policies.into()
    }

    /// A policy; so many of a hundred statements that allow are meant to match.
    fn policy(&mut self, kind: Kind, wide: usize) -> Value {
        let count = 1 + self.random.weigh(&[50, 30, 20]);
        let mut statements: Vec<Value> = (0..count).map(|_| self.statement(kind, wide)).collect();
        let statement = if statements.len() == 1 && self.random.chance(30) { statements.remove(0) } else { statements.into() };
        json!({ "Version": "2012-10-17", "Statement": statement })
    }

    fn statement(&mut self, kind: Kind, wide: usize) -> Value {
        let allow = kind != Kind::ResourceControl && self.random.chance(72);
        let near = if allow { wide } else { 45 };
        let mut statement = Map::new();
        statement.insert("Effect".into(), if allow { "Allow" } else { "Deny" }.into());
        let not = !matches!(kind, Kind::Trust | Kind::ResourceControl) && self.random.chance(10);
        let actions = self.actions(kind, near, not);
        statement.insert(if not { "NotAction" } else { "Action" }.into(), actions);
        if kind != Kind::Trust {
            let not = self.random.chance(10);
            let resources = self.resources(near, not);
            statement.insert(if not { "NotResource" } else { "Resource" }.into(), resources);
        }
        match kind {
            Kind::ResourceControl => {
                statement.insert("Principal".into(), "*".into());
            }
            Kind::Resource | Kind::Trust => {
                let not = kind == Kind::Resource && !allow && self.random.chance(35);
                let principal = self.principals(not, near);
                statement.insert(if not { "NotPrincipal" } else { "Principal" }.into(), principal);
            }
            Kind::Identity | Kind::ServiceControl => {}
        }
        let conditions = if allow { self.random.weigh(&[55, 35, 10]) } else { self.random.weigh(&[25, 60, 15]) };
        if conditions > 0 {
            statement.insert("Condition".into(), self.conditions(conditions));
        }
        statement.into()
    }

    fn several(&mut self, mut make: impl FnMut(&mut Self) -> Value) -> Value {
        let count = 1 + self.random.weigh(&[65, 25, 10]);
        if count == 1 && self.random.chance(50) {
            return make(self);
        }
        let values: Vec<Value> = (0..count).map(|_| make(self)).collect();
        values.into()
    }

    fn actions(&mut self, kind: Kind, near: usize, not: bool) -> Value {
        self.several(|maker| {
            let close = maker.random.chance(if not { 100 - near } else { near });
            let all = if kind == Kind::Trust { &TRUST_ACTIONS[..] } else { &ACTIONS[..] };
            let action = if close { maker.action.clone() } else { maker.random.pick(all).to_owned() };
            let (service, name) = action.split_once(':').unwrap_or((&action, ""));
            match maker.random.weigh(&[40, 12, 12, 12, 8, 6]) {
                0 => action.clone().into(),
                1 if kind != Kind::Trust => "*".into(),
                2 => format!("{service}:*").into(),
                3 => format!("{service}:{}*", name.get(..3).unwrap_or_default()).into(),
                4 => format!("{service}:?{}", name.get(1..).unwrap_or_default()).into(),
                5 => format!("{}:{}", service.to_uppercase(), name.to_lowercase()).into(),
                _ => format!("{service}:*{}", name.get(4..).unwrap_or_default()).into(),
            }
        })
    }

    fn resources(&mut self, near: usize, not: bool) -> Value {
        self.several(|maker| {
            let close = maker.random.chance(if not { 100 - near } else { near });
            let resource = if close && maker.resource != "*" { maker.resource.clone() } else { maker.some_resource(HOME) };
            if resource == "*" || maker.random.chance(12) {
                return "*".into();
            }
            maker.near_arn(&resource, true).into()
        })
    }

    /// An ARN's pattern near this one. A resource's has variables in its last part only.
    fn near_arn(&mut self, arn: &str, is_resource: bool) -> String {
        let mut parts: Vec<String> = arn.splitn(6, ':').map(str::to_owned).collect();
        let at = 1 + self.random.below(4);
        match self.random.weigh(&[22, 10, 6, 4, 5]) {
            1 => replace(&mut parts, at, "*"),
            2 => {
                replace(&mut parts, 3, "*");
                replace(&mut parts, 4, "*");
            }
            3 => {
                let part = parts.get(at).cloned().unwrap_or_default();
                let part = if part.is_empty() { "*".to_owned() } else { format!("{}*", part.get(..1).unwrap_or_default()) };
                replace(&mut parts, at, &part);
            }
            4 => {
                let part = parts.get(at).cloned().unwrap_or_default();
                let changed = match self.random.below(4) {
                    0 if !is_resource => part.to_uppercase(),
                    1 if part.len() > 2 => {
                        format!("{}*{}", part.get(..1).unwrap_or_default(), part.get(part.len() - 1..).unwrap_or_default())
                    }
                    2 if part.len() > 1 => format!("?{}", part.get(1..).unwrap_or_default()),
                    _ => part.clone(),
                };
                if !changed.is_empty() {
                    replace(&mut parts, at, &changed);
                }
            }
            _ => {}
        }
        let last = parts.last().cloned().unwrap_or_default();
        let near = match self.random.weigh(&[35, 10, 15, 10, 10, 12, 8]) {
            0 => last.clone(),
            1 => "*".to_owned(),
            2 => format!("{}*", last.get(..last.len() / 2).unwrap_or_default()),
            // Mostly behind the type, where wildcards belong.
            3 if self.random.chance(85) => {
                let at = last.find(['/', ':']).map_or(0, |at| at + 1);
                let (kind, name) = last.split_at(at);
                format!("{kind}*{}", name.get(name.len() / 2..).unwrap_or_default())
            }
            3 => format!("*{}", last.get(last.len() / 2..).unwrap_or_default()),
            4 => last.rsplit_once('/').map_or_else(|| last.clone(), |(head, _)| format!("{head}/*")),
            5 => self.with_variable(&last),
            _ if self.random.chance(85) => {
                let at = last.find(['/', ':']).unwrap_or(0);
                let (kind, name) = last.split_at(at);
                format!("{kind}{}", name.replacen(['e', 'a'], "?", 1))
            }
            _ => last.replacen(['e', 'a'], "?", 1),
        };
        replace(&mut parts, 5, &near);
        if is_resource && self.random.chance(4) {
            // A star in the account that may have to reach beyond it.
            let tail = last.rsplit([':', '/']).next().unwrap_or_default();
            replace(&mut parts, 4, self.random.pick(&["*", "1*", "1*r"]));
            replace(&mut parts, 5, tail);
        }
        parts.join(":")
    }

    fn with_variable(&mut self, text: &str) -> String {
        let variable = self.variable();
        if let Some(Value::String(name)) = self.found("aws:username").cloned()
            && !name.is_empty()
            && text.contains(&name)
        {
            return text.replace(&name, &variable);
        }
        match self.random.below(3) {
            0 => text.replace("ann", &variable),
            1 => format!("{text}{variable}"),
            _ => format!("{}{variable}*", text.get(..text.len() / 2).unwrap_or_default()),
        }
    }

    fn variable(&mut self) -> String {
        let key = self.random.pick(&[
            "aws:username",
            "aws:username",
            "aws:PrincipalTag/team",
            "aws:userid",
            "mcp:Missing",
            "aws:TagKeys",
            "AWS:UserName",
        ]);
        match self.random.weigh(&[55, 20, 25]) {
            0 => format!("${{{key}}}"),
            1 => format!("${{{key}, '{}'}}", self.random.pick(&["ann", "red", "*", "a?n", "x y"])),
            _ => self.random.pick(&["${*}", "${?}", "${$}"]).to_owned(),
        }
    }

    fn principals(&mut self, not: bool, near: usize) -> Value {
        if !not && self.random.chance(12) {
            return "*".into();
        }
        let account = self.principal.split(':').nth(4).unwrap_or(HOME).to_owned();
        let account = if account.len() == 12 { account } else { HOME.to_owned() };
        let mut map: Map<String, Value> = Map::new();
        for _ in 0..=self.random.weigh(&[60, 25, 15]) {
            let close = self.random.chance(if not { 70 } else { near });
            let (kind, name): (&str, String) = if !close {
                match self.random.below(7) {
                    0 => ("AWS", AWAY.to_owned()),
                    1 => ("AWS", format!("arn:aws:iam::{AWAY}:root")),
                    2 => ("AWS", format!("arn:aws:iam::{HOME}:role/other")),
                    3 => ("AWS", format!("arn:aws:iam::{HOME}:user/other")),
                    4 => ("Service", "lambda.amazonaws.com".to_owned()),
                    5 => ("CanonicalUser", "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be".to_owned()),
                    _ => ("Federated", "idp.example.com".to_owned()),
                }
            } else if self.principal.ends_with(".amazonaws.com") {
                ("Service", self.principal.clone())
            } else if self.principal.contains("oidc-provider") || self.principal.starts_with("accounts") {
                ("Federated", self.principal.clone())
            } else {
                match self.random.weigh(&[20, 15, if not { 0 } else { 10 }, 30, 25]) {
                    0 => ("AWS", account.clone()),
                    1 => ("AWS", format!("arn:aws:iam::{account}:root")),
                    2 => ("AWS", "*".to_owned()),
                    3 => ("AWS", self.principal.clone()),
                    _ if self.principal.contains(":assumed-role/") => {
                        ("AWS", format!("arn:aws:iam::{account}:role/{}", if self.random.chance(5) { "AGENT" } else { "agent" }))
                    }
                    _ => ("AWS", self.principal.replace("/ann", "/Ann")),
                }
            };
            let entry = map.entry(kind).or_insert_with(|| json!([]));
            if let Some(list) = entry.as_array_mut() {
                list.push(name.into());
            }
        }
        map.into()
    }

    fn conditions(&mut self, count: usize) -> Value {
        let mut conditions: Map<String, Value> = Map::new();
        for _ in 0..count {
            let (operator, key, values) = self.condition();
            let Some(tests) = conditions.entry(operator).or_insert_with(|| json!({})).as_object_mut() else { continue };
            if !tests.keys().any(|other| other.eq_ignore_ascii_case(&key)) {
                tests.insert(key, values);
            }
        }
        conditions.into()
    }

    fn condition(&mut self) -> (String, String, Value) {
        if self.random.chance(8) {
            let key = self.random.pick(&["aws:username", "aws:TagKeys", "mcp:Missing", "aws:TokenIssueTime"]);
            let values = self.several(|maker| match maker.random.below(4) {
                0 => json!("true"),
                1 => json!(true),
                2 => json!("False"),
                _ => json!(false),
            });
            return ("Null".to_owned(), key.to_owned(), values);
        }
        let (operator, family) =
            OPERATORS.get(self.random.below(OPERATORS.len())).copied().unwrap_or(("StringEquals", Family::Text));
        let key = match family {
            Family::Text if self.random.chance(35) => self.random.pick(&LIST_KEYS),
            Family::Text => self.random.pick(&TEXT_KEYS),
            Family::Number => self.random.pick(&NUMBER_KEYS),
            Family::Date => self.random.pick(&DATE_KEYS),
            Family::Bool => self.random.pick(&BOOL_KEYS),
            Family::Binary => self.random.pick(&BINARY_KEYS),
            Family::Address => self.random.pick(&ADDRESS_KEYS),
            Family::Arn => self.random.pick(&ARN_KEYS),
        };
        let key = if self.random.chance(6) { "mcp:Missing" } else { key };
        let key = if self.random.chance(10) { key.to_lowercase() } else { key.to_owned() };
        let set = if LIST_KEYS.contains(&key.as_str()) { [10, 45, 45] } else { [80, 10, 10] };
        let set = match self.random.weigh(&set) {
            0 => "",
            1 => "ForAllValues:",
            _ => "ForAnyValue:",
        };
        let suffix = if self.random.chance(15) { "IfExists" } else { "" };
        let values = self.several(|maker| maker.operand(operator, family, &key));
        (format!("{set}{operator}{suffix}"), key, values)
    }

    fn operand(&mut self, operator: &str, family: Family, key: &str) -> Value {
        let found = match self.found(key) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Array(texts)) => texts.first().and_then(Value::as_str).map(str::to_owned),
            _ => None,
        };
        let close = self.random.chance(65);
        let any = |maker: &mut Self, texts: &[&str]| maker.random.pick(texts).to_owned();
        match family {
            Family::Text => {
                let text = found.filter(|_| close).unwrap_or_else(|| any(self, &TEXTS));
                match self.random.weigh(&[50, 12, 10, 18, 10]) {
                    0 => text.into(),
                    1 => format!("{}*", text.chars().take(1).collect::<String>()).into(),
                    2 => format!("?{}", text.chars().skip(1).collect::<String>()).into(),
                    3 => self.with_variable(&text).into(),
                    _ if operator.contains("IgnoreCase") => text.to_uppercase().into(),
                    _ => format!("*{}*", text.chars().skip(1).collect::<String>()).into(),
                }
            }
            Family::Number => {
                let text = found
                    .filter(|text| close && NUMBERS[..13].contains(&text.as_str()))
                    .unwrap_or_else(|| any(self, &NUMBERS[..13]));
                match text.parse::<i64>() {
                    Ok(number) if self.random.chance(30) && number.to_string() == text => number.into(),
                    _ => text.into(),
                }
            }
            Family::Date => {
                found.filter(|text| close && DATES[..7].contains(&text.as_str())).unwrap_or_else(|| any(self, &DATES[..7])).into()
            }
            Family::Bool => match self.random.below(3) {
                0 => self.random.chance(50).into(),
                _ => any(self, &BOOLS[..3]).into(),
            },
            Family::Binary => found.filter(|_| close).unwrap_or_else(|| any(self, &BINARIES)).into(),
            Family::Address => any(self, &RANGES).into(),
            Family::Arn => {
                let arn = found.filter(|text| close && text.split(':').count() > 5).unwrap_or_else(|| any(self, &ARNS[..6]));
                self.near_arn(&arn, false).into()
            }
        }
    }
}

fn replace(parts: &mut [String], at: usize, with: &str) {
    if let Some(part) = parts.get_mut(at) {
        with.clone_into(part);
    }
}
