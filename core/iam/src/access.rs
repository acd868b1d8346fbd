//! Does a change grant anything new? A proof that it doesn't, or a request that is allowed now and wasn't before.
//!
//! Policies look at a request through finitely many tests. For every part of it (action, resource, each context key) the values fall into
//! classes that no policy tells apart; one example of each, in every combination that matters, is given to the evaluator itself, under
//! the old policies and the new. If none is newly allowed, nothing is. Where the combinations are too many, that is the answer.
//!
//! Parts are taken to be independent: a witness may hold values that never come together, such as a principal's ARN and another account.
//! That can raise a false alarm; it can't hide new access.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::{
    condition::{Condition, Operand},
    evaluate::{Decision, Layers, Request, evaluate, trust},
    glob::{Pattern, Piece},
    keys::{Context, Keys, Value},
    policy::{Effect, Policy, Resources, Statement},
    principal::{Named, Principal, Principals},
    set::PolicySet,
};
use classes::{Class, Language, classes};

mod classes;

/// The most states of one walk over patterns.
const STATES_MAX: usize = 50_000;
/// The most requests that are tried where nobody says otherwise.
pub const CASES_MAX: u64 = 2_000_000;
/// The most values of a key that are tried together.
const TOGETHER_MAX: usize = 4;
/// The most values of one variable that are put into patterns.
const VARIABLE_VALUES_MAX: usize = 8;

/// Keys that are in every request (AWS global condition context keys; `mcp:` in every call of a tool).
const ALWAYS: [&str; 12] = [
    "aws:currenttime",
    "aws:epochtime",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principaltype",
    "aws:securetransport",
    "aws:userid",
    "aws:viaawsservice",
    "aws:viaawsmcpservice",
    "mcp:agentspace",
    "mcp:toolclass",
    "mcp:toolrisk",
];

/// What decides about somebody's requests, or about a role's trust.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Their identity policies.
    pub identity: Vec<Arc<Policy>>,
    /// Their permissions boundary.
    pub boundary: Option<Arc<Policy>>,
    /// Service control policies, a list for each level.
    pub service_control: Vec<Vec<Arc<Policy>>>,
}

/// A request that is allowed now and wasn't before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Who asks, where that is part of the question.
    pub principal: Option<String>,
    /// The action, in lower case.
    pub action: String,
    /// The resource.
    pub resource: String,
    /// The context: each key with its values. A key that isn't there is absent.
    pub context: BTreeMap<String, Vec<String>>,
    /// The statement that allows it now, and where it stands.
    pub by: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing is granted that wasn't: so many requests stand for all of them.
    Nothing {
        /// How many.
        cases: u64,
    },
    /// This is.
    Grants(Box<Witness>),
    /// The policies are too involved to be sure, and none was found among so many requests.
    Unknown {
        /// How many were tried.
        cases: u64,
        /// What is too large.
        why: String,
    },
}

/// Whether `new` allows what `old` doesn't, for a principal of `account`.
pub fn new_access(old: &Access, new: &Access, account: &str) -> Answer {
    new_access_within(old, new, account, CASES_MAX)
}

/// The same, with at most so many requests.
pub fn new_access_within(old: &Access, new: &Access, account: &str, cases_max: u64) -> Answer {
    let policies = |access: &Access| {
        let levels = access.service_control.iter().flatten();
        access.identity.iter().chain(&access.boundary).chain(levels).cloned().collect::<Vec<_>>()
    };
    let all: Vec<Arc<Policy>> = policies(old).into_iter().chain(policies(new)).collect();
    let mut keys = Keys::new();
    let (before, after) = (Compiled::new(old, &mut keys), Compiled::new(new, &mut keys));
    let space = match Space::new(&all) {
        Ok(space) => space,
        Err(why) => return Answer::Unknown { cases: 0, why },
    };
    let role = format!("arn:aws:iam::{account}:role/principal");
    let session = format!("arn:aws:sts::{account}:assumed-role/principal/session");
    let Ok(principal) = Principal::session(&role, &session) else {
        return Answer::Unknown { cases: 0, why: format!("`{account}` is no account") };
    };
    let mut search = Search { keys: &keys, space: &space, cases: 0, cases_max, why: None };
    let (before, after) = (before.layers(), after.layers());
    let (before, after) = (before.get(), after.get());
    let found = search.run(&mut |action, resource, context| {
        let request = Request { principal: &principal, action, resource, resource_account: Some(account), context };
        let now = evaluate(&request, &after, false);
        if now.decision() != Decision::Allowed || evaluate(&request, &before, false).decision() == Decision::Allowed {
            return None;
        }
        Some(allowing(now.lines()))
    });
    search.answer(found, None)
}

/// Whether a role's new trust policy lets in whom the old one didn't. `role` is its ARN. Callers are taken to be allowed by their own policies.
pub fn new_trust(old: Option<&Arc<Policy>>, new: &Arc<Policy>, role: &str) -> Answer {
    new_trust_within(old, new, role, CASES_MAX)
}

/// The same, with at most so many requests.
pub fn new_trust_within(old: Option<&Arc<Policy>>, new: &Arc<Policy>, role: &str, cases_max: u64) -> Answer {
    let account = role.split(':').nth(4).unwrap_or_default();
    let all: Vec<Arc<Policy>> = old.into_iter().chain([new]).cloned().collect();
    let mut keys = Keys::new();
    let everything = everything(&mut keys);
    let before = PolicySet::compile(&mut keys, old.map_or(&[][..], std::slice::from_ref));
    let after = PolicySet::compile(&mut keys, std::slice::from_ref(new));
    let space = match Space::new(&all) {
        Ok(space) => space,
        Err(why) => return Answer::Unknown { cases: 0, why },
    };
    let mut search = Search { keys: &keys, space: &space, cases: 0, cases_max, why: None };
    for name in principals(&all, account) {
        let Some(principal) = named(&name) else { continue };
        let found = search.run(&mut |action, _, context| {
            let request = Request { principal: &principal, action, resource: role, resource_account: Some(account), context };
            let with = |set| Layers { resource: Some(set), ..Layers::of_identity(&everything) };
            let now = trust(&request, &with(&after), false);
            if now.decision() != Decision::Allowed || trust(&request, &with(&before), false).decision() == Decision::Allowed {
                return None;
            }
            Some(allowing(now.lines()))
        });
        if found.is_some() {
            return search.answer(found.map(|witness| Witness { resource: role.to_owned(), ..witness }), Some(name.1));
        }
    }
    search.answer(None, None)
}

/// The statement that allows.
fn allowing(lines: &[crate::evaluate::Line<'_>]) -> String {
    use crate::evaluate::{CheckEffect, CheckType};
    let line = lines
        .iter()
        .find(|line| line.effect == CheckEffect::Allow && matches!(line.check, CheckType::Principal | CheckType::Resource));
    let statement = line.and_then(|line| line.statement);
    statement.map_or_else(String::new, |statement| format!("{} at {}", statement.label(), statement.origin()))
}

struct Compiled {
    identity: PolicySet,
    boundary: Option<PolicySet>,
    levels: Vec<PolicySet>,
}

impl Compiled {
    fn new(access: &Access, keys: &mut Keys) -> Self {
        Self {
            identity: PolicySet::compile(keys, &access.identity),
            boundary: access.boundary.as_ref().map(|boundary| PolicySet::compile(keys, std::slice::from_ref(boundary))),
            levels: access.service_control.iter().map(|level| PolicySet::compile(keys, level)).collect(),
        }
    }

    /// The layers; levels that allow everything by themselves are left to the caller, who gives them as they are.
    fn layers(&self) -> OwnLayers<'_> {
        OwnLayers { levels: self.levels.iter().collect(), of: self }
    }
}

/// Layers with the references that they need.
struct OwnLayers<'a> {
    levels: Vec<&'a PolicySet>,
    of: &'a Compiled,
}

impl OwnLayers<'_> {
    fn get(&self) -> Layers<'_> {
        Layers { service_control: &self.levels, boundary: self.of.boundary.as_ref(), ..Layers::of_identity(&self.of.identity) }
    }
}

fn everything(keys: &mut Keys) -> PolicySet {
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let policy =
        crate::document::parse(text).and_then(|node| Policy::read(crate::PolicyKind::Identity, "everything", "remit", &node));
    PolicySet::compile(keys, &policy.into_iter().map(Arc::new).collect::<Vec<_>>())
}

/// Principals that the policies tell apart: each that they name, and strangers of this account and of another.
fn principals(policies: &[Arc<Policy>], account: &str) -> Vec<(char, String)> {
    let mut found: BTreeSet<(char, String)> = BTreeSet::new();
    let mut of_account = |account: &str| {
        found.insert(('u', format!("arn:aws:iam::{account}:user/somebody")));
        found.insert(('s', format!("arn:aws:iam::{account}:role/somebody arn:aws:sts::{account}:assumed-role/somebody/session")));
    };
    of_account(account);
    of_account("000000000000");
    let statements = policies.iter().flat_map(|policy| policy.statements());
    let named: Vec<&Named> = statements
        .flat_map(|statement| match &statement.principals {
            Principals::In(named) | Principals::NotIn(named) => named.iter(),
            Principals::Attached => [].iter(),
        })
        .collect();
    for named in &named {
        if let Named::Account(account) = named {
            of_account(account);
        }
    }
    for named in named {
        match named {
            Named::User(arn) => {
                found.insert(('u', arn.to_string()));
            }
            Named::Role(arn) => {
                let mut parts = arn.split(':');
                let (account, name) = (parts.nth(4).unwrap_or_default(), arn.rsplit('/').next().unwrap_or_default());
                found.insert(('s', format!("{arn} arn:aws:sts::{account}:assumed-role/{name}/session")));
            }
            Named::Session(arn) => {
                let parts: Vec<&str> = arn.split(':').collect();
                let (account, role) = (parts.get(4).copied().unwrap_or_default(), arn.split('/').nth(1).unwrap_or_default());
                found.insert(('s', format!("arn:aws:iam::{account}:role/{role} {arn}")));
            }
            Named::Service(name) => {
                found.insert(('v', name.to_string()));
            }
            Named::Federated(name) => {
                found.insert(('f', name.to_string()));
            }
            Named::Everyone => {
                found.insert(('v', "service.amazonaws.com".to_owned()));
            }
            Named::Account(_) | Named::Canonical => {}
        }
    }
    found.into_iter().collect()
}

fn named((kind, name): &(char, String)) -> Option<Principal<'_>> {
    match kind {
        'u' => Principal::user(name).ok(),
        'v' => Principal::service(name).ok(),
        'f' => Principal::federated(name).ok(),
        _ => {
            let (role, session) = name.split_once(' ')?;
            Principal::session(role, session).ok()
        }
    }
}

/// What a key may hold in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Held {
    Absent,
    One(String),
    Several(Vec<String>),
}

/// All requests, up to what no policy tells apart.
struct Space {
    actions: Vec<Class>,
    resources: Vec<Class>,
    /// For each statement: which action languages and which resource languages are its own.
    statements: Vec<Reach>,
    keys: BTreeMap<String, Vec<Held>>,
}

/// Where a statement reaches, and on which keys it hangs.
struct Reach {
    allows: bool,
    actions: Matched,
    /// `None` for a trust policy's statement: the role itself.
    resources: Option<Matched>,
    keys: Vec<String>,
}

/// Languages of which one must, or none may, hold.
struct Matched {
    languages: Vec<usize>,
    not: bool,
}

impl Matched {
    fn holds(&self, class: &Class) -> bool {
        self.languages.iter().any(|at| class.of.get(*at) == Some(&true)) != self.not
    }
}

impl Reach {
    fn meets(&self, action: &Class, resource: &Class) -> bool {
        self.actions.holds(action) && self.resources.as_ref().is_none_or(|resources| resources.holds(resource))
    }
}

impl Space {
    fn new(policies: &[Arc<Policy>]) -> Result<Self, String> {
        let statements: Vec<&Statement> = policies.iter().flat_map(|policy| policy.statements()).map(Arc::as_ref).collect();
        let keys = held(&statements)?;
        let (mut actions, mut resources, mut reaches) = (Vec::new(), Vec::new(), Vec::new());
        for statement in &statements {
            let place = |into: &mut Vec<Language>, language: Language| {
                let known = into.iter().position(|other| *other == language);
                known.unwrap_or_else(|| {
                    into.push(language);
                    into.len() - 1
                })
            };
            let own_actions = statement.actions.patterns.iter();
            let own_actions = own_actions.filter_map(|pattern| Language::pattern(pattern, false, &|_| None));
            let own_actions: Vec<usize> = own_actions.map(|language| place(&mut actions, language)).collect();
            let (patterns, not_resources, attached) = match &statement.resources {
                Resources::In(patterns) => (patterns.as_slice(), false, false),
                Resources::NotIn(patterns) => (patterns.as_slice(), true, false),
                Resources::Attached => (&[][..], false, true),
            };
            let mut own_resources = Vec::new();
            for pattern in patterns {
                for language in expanded(pattern, &keys) {
                    own_resources.push(place(&mut resources, language));
                }
            }
            let mut hangs: BTreeSet<String> =
                statement.conditions().iter().map(|condition| condition.key().to_lowercase()).collect();
            hangs.extend(variables(statement));
            reaches.push(Reach {
                allows: statement.effect() == Effect::Allow,
                actions: Matched { languages: own_actions, not: statement.actions.not },
                resources: (!attached).then_some(Matched { languages: own_resources, not: not_resources }),
                keys: hangs.into_iter().collect(),
            });
        }
        let too_large = |what: &str| format!("there are too many different {what} in the policies");
        let actions = classes(&Language::action(), &actions, STATES_MAX).ok_or_else(|| too_large("actions"))?;
        let resources = classes(&Language::arn(), &resources, STATES_MAX).ok_or_else(|| too_large("resources"))?;
        Ok(Self { actions, resources, statements: reaches, keys })
    }
}

/// The keys of the variables of a statement, in lower case.
fn variables(statement: &Statement) -> BTreeSet<String> {
    let patterns: Vec<&Pattern> = match &statement.resources {
        Resources::In(patterns) | Resources::NotIn(patterns) => patterns.iter().collect(),
        Resources::Attached => Vec::new(),
    };
    let operands = statement.conditions().iter().flat_map(|condition| &condition.operands);
    let in_conditions = operands.flat_map(|operand| match operand {
        Operand::Pattern(pattern) => vec![pattern],
        Operand::Arn(parts) => parts.iter().collect(),
        _ => Vec::new(),
    });
    patterns.into_iter().chain(in_conditions).flat_map(of_pattern).collect()
}

fn of_pattern(pattern: &Pattern) -> Vec<String> {
    let key = |piece: &Piece<Box<str>>| match piece {
        Piece::Variable { key, .. } => Some(key.to_lowercase()),
        _ => None,
    };
    pattern.0.iter().filter_map(key).collect()
}

/// A pattern for every value of its variables.
fn expanded(pattern: &Pattern, keys: &BTreeMap<String, Vec<Held>>) -> Vec<Language> {
    let names = of_pattern(pattern);
    let Some(name) = names.first() else {
        return Language::pattern(pattern, false, &|_| None).into_iter().collect();
    };
    let mut values: Vec<Option<String>> = vec![None];
    for held in keys.get(name).into_iter().flatten() {
        if let Held::One(value) = held {
            values.push(Some(value.clone()));
        }
    }
    values.truncate(VARIABLE_VALUES_MAX);
    let with = |value: &Option<String>| {
        // Further variables of the same pattern take the same value: enough to tell classes apart, and the evaluator has the last word.
        Language::pattern(pattern, false, &|_| value.clone())
    };
    values.iter().filter_map(with).collect()
}

/// The classes of every key's values.
fn held(statements: &[&Statement]) -> Result<BTreeMap<String, Vec<Held>>, String> {
    let mut by_key: BTreeMap<String, Vec<&Condition>> = BTreeMap::new();
    for condition in statements.iter().flat_map(|statement| statement.conditions()) {
        by_key.entry(condition.key().to_lowercase()).or_default().push(condition);
    }
    for name in statements.iter().flat_map(|statement| variables(statement)) {
        by_key.entry(name).or_default();
    }
    let mut held = BTreeMap::new();
    for (key, conditions) in by_key {
        let texts = values(&key, &conditions)?;
        let several = conditions.iter().any(|condition| condition.operator().contains(':'));
        let single = conditions.is_empty() || conditions.iter().any(|condition| !condition.operator().contains(':'));
        let mut all = Vec::new();
        if !ALWAYS.contains(&key.as_str()) {
            all.push(Held::Absent);
        }
        if single {
            all.extend(texts.iter().cloned().map(Held::One));
        }
        if several {
            all.push(Held::Several(Vec::new()));
            all.extend(subsets(&texts).into_iter().map(Held::Several));
        }
        held.insert(key, all);
    }
    Ok(held)
}

/// Every set of few values, and all of them.
fn subsets(texts: &[String]) -> Vec<Vec<String>> {
    let mut sets: Vec<Vec<String>> = texts.iter().map(|text| vec![text.clone()]).collect();
    if texts.len() <= TOGETHER_MAX {
        for bits in 1..1_usize << texts.len() {
            let set: Vec<String> =
                texts.iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1).map(|(_, text)| text.clone()).collect();
            if set.len() > 1 {
                sets.push(set);
            }
        }
    } else {
        for (n, one) in texts.iter().enumerate() {
            sets.extend(texts.iter().skip(n + 1).map(|other| vec![one.clone(), other.clone()]));
        }
        sets.push(texts.to_vec());
    }
    sets
}

/// An example of every class of values of a key.
fn values(key: &str, conditions: &[&Condition]) -> Result<Vec<String>, String> {
    let mut languages: Vec<Language> = Vec::new();
    let mut found: BTreeSet<String> = BTreeSet::new();
    let (mut decimals, mut moments) = (BTreeSet::new(), BTreeSet::new());
    for condition in conditions {
        let base = condition.operator().split_once(':').map_or(condition.operator(), |(_, base)| base);
        let base = base.strip_suffix("IfExists").unwrap_or(base);
        for (operand, written) in condition.operands.iter().zip(condition.values()) {
            // A variable inside a value stands for itself here: an example of its own, which other keys can hold too.
            let own = |name: &str| Some(format!("value-of-{}", name.replace(':', "-").to_lowercase()));
            match operand {
                Operand::Pattern(pattern) => languages.extend(Language::pattern(pattern, base.contains("IgnoreCase"), &own)),
                Operand::Arn(parts) => languages.extend(Language::arn_parts(parts, &own)),
                Operand::Number(_) => {
                    decimals.insert(written.to_owned());
                }
                Operand::Date(moment) => {
                    moments.insert(moment.seconds());
                }
                Operand::Bool(_) if base == "Null" => {}
                Operand::Bool(_) => found.extend(["true".to_owned(), "false".to_owned()]),
                Operand::Binary(bytes) => found.extend([bytes.to_string(), "AA==".to_owned()]),
                Operand::Range(_) => found.extend(addresses(written)),
            }
        }
    }
    found.extend(numbers(&decimals).map_err(|why| format!("of `{key}`, {why}"))?);
    found.extend(dates(&moments));
    if !languages.is_empty() || found.is_empty() {
        languages.push(Language::text(&format!("value-of-{}", key.replace(':', "-")), false));
        let texts = classes(&Language::some(), &languages, STATES_MAX);
        let texts = texts.ok_or_else(|| format!("there are too many different values of `{key}` in the policies"))?;
        found.extend(texts.into_iter().map(|class| class.text));
    }
    Ok(found.into_iter().collect())
}

/// Numbers, and one in every gap that they leave: below the least, between two neighbours, above the greatest.
fn numbers(written: &BTreeSet<String>) -> Result<Vec<String>, String> {
    let mut values: Vec<f64> = written.iter().filter_map(|text| text.parse().ok()).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let mut all: Vec<String> = written.iter().cloned().collect();
    all.extend(values.first().map(|least| format!("{}", least - 1.0)));
    all.extend(values.last().map(|greatest| format!("{}", greatest + 1.0)));
    for pair in values.windows(2) {
        let [low, high] = pair else { continue };
        let middle = low + (high - low) / 2.0;
        if middle <= *low || middle >= *high {
            return Err(format!("{low} and {high} are too near to each other"));
        }
        all.push(format!("{middle}"));
    }
    Ok(all)
}

/// Dates, likewise, in seconds since the epoch: no request has a finer time.
fn dates(written: &BTreeSet<i64>) -> Vec<String> {
    // Four digits alone are no date: those first hours of 1970 are nobody's.
    let shown = |secs: i64| secs.clamp(10_000, 99_999_999_999).to_string();
    let neighbours = written.iter().zip(written.iter().skip(1)).map(|(low, high)| low + (high - low) / 2);
    let ends = [written.first().map(|first| first - 1), written.last().map(|last| last + 1)];
    written.iter().copied().chain(neighbours).chain(ends.into_iter().flatten()).map(shown).collect()
}

/// The ends of a network, the addresses beside them, and one far from it.
fn addresses(written: &str) -> Vec<String> {
    let (address, length) = written.split_once('/').unwrap_or((written, ""));
    let Ok(address) = address.parse::<IpAddr>() else { return Vec::new() };
    let far = ["203.0.113.77", "198.51.100.77", "2001:db8:ffff::77"];
    let mut all: Vec<String> = far.iter().map(|&address| address.to_owned()).collect();
    match address {
        IpAddr::V4(address) => {
            let length: u32 = length.parse().unwrap_or(32);
            let mask = u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
            let first = u32::from(address) & mask;
            let last = first | !mask;
            let ends = [Some(first), Some(last), first.checked_sub(1), last.checked_add(1)];
            all.extend(ends.into_iter().flatten().map(|bits| std::net::Ipv4Addr::from(bits).to_string()));
        }
        IpAddr::V6(address) => {
            let length: u32 = length.parse().unwrap_or(128);
            let mask = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
            let first = u128::from(address) & mask;
            let last = first | !mask;
            let ends = [Some(first), Some(last), first.checked_sub(1), last.checked_add(1)];
            all.extend(ends.into_iter().flatten().map(|bits| std::net::Ipv6Addr::from(bits).to_string()));
        }
    }
    all
}

/// A walk through the space.
struct Search<'a> {
    keys: &'a Keys,
    space: &'a Space,
    cases: u64,
    cases_max: u64,
    why: Option<String>,
}

/// Whether a request is newly allowed, and by what.
type Ask<'a> = dyn FnMut(&str, &str, &Context<'_>) -> Option<String> + 'a;

impl Search<'_> {
    /// Tries everything that differs to some policy; ends at the first that is newly allowed.
    fn run(&mut self, ask: &mut Ask<'_>) -> Option<Witness> {
        let mut seen: BTreeSet<Vec<usize>> = BTreeSet::new();
        let space = self.space;
        for action in &space.actions {
            for resource in &space.resources {
                let meets = |(_, reach): &(usize, &Reach)| reach.meets(action, resource);
                let met: Vec<usize> = space.statements.iter().enumerate().filter(meets).map(|(n, _)| n).collect();
                let allowed = met.iter().any(|n| space.statements.get(*n).is_some_and(|reach| reach.allows));
                // Where no statement allows, nothing is granted; where the same ones speak, the answer is the same.
                if !allowed || !seen.insert(met.clone()) {
                    continue;
                }
                let keys: BTreeSet<&str> = met
                    .iter()
                    .filter_map(|n| space.statements.get(*n))
                    .flat_map(|reach| reach.keys.iter().map(String::as_str))
                    .collect();
                let keys: Vec<&str> = keys.into_iter().collect();
                if let Some(witness) = self.contexts(&action.text, &resource.text, &keys, ask) {
                    return Some(witness);
                }
            }
        }
        None
    }

    fn contexts(&mut self, action: &str, resource: &str, keys: &[&str], ask: &mut Ask<'_>) -> Option<Witness> {
        let held: Vec<&[Held]> = keys.iter().map(|key| self.space.keys.get(*key).map_or(&[][..], Vec::as_slice)).collect();
        let mut at = vec![0_usize; keys.len()];
        loop {
            if self.cases >= self.cases_max {
                self.why = Some(format!("more than {} requests would have to be tried", self.cases_max));
                return None;
            }
            self.cases += 1;
            let chosen: Vec<&Held> = held.iter().zip(&at).map(|(held, at)| held.get(*at).unwrap_or(&Held::Absent)).collect();
            if let Some(by) = self.ask(action, resource, keys, &chosen, ask) {
                return Some(self.witness(action, resource, keys, &chosen, by, ask));
            }
            // The next combination, the first key changing fastest.
            let mut place = 0;
            loop {
                let (Some(digit), Some(held)) = (at.get_mut(place), held.get(place)) else { return None };
                *digit += 1;
                if *digit < held.len() {
                    break;
                }
                *digit = 0;
                place += 1;
            }
        }
    }

    fn ask(&self, action: &str, resource: &str, keys: &[&str], chosen: &[&Held], ask: &mut Ask<'_>) -> Option<String> {
        let several: Vec<Vec<Cow<'_, str>>> = chosen
            .iter()
            .map(|held| match held {
                Held::Several(values) => values.iter().map(|value| Cow::Borrowed(value.as_str())).collect(),
                Held::Absent | Held::One(_) => Vec::new(),
            })
            .collect();
        let mut context = Context::new(self.keys);
        for ((key, held), several) in keys.iter().zip(chosen).zip(&several) {
            let Some(slot) = self.keys.slot(key) else { continue };
            context.set(
                slot,
                match held {
                    Held::Absent => Value::Absent,
                    Held::One(value) => Value::One(value),
                    Held::Several(_) => Value::Many(several),
                },
            );
        }
        ask(action, resource, &context)
    }

    /// The witness, with no key more than it needs.
    fn witness(&self, action: &str, resource: &str, keys: &[&str], chosen: &[&Held], by: String, ask: &mut Ask<'_>) -> Witness {
        let mut chosen = chosen.to_vec();
        for place in 0..chosen.len() {
            let mut without = chosen.clone();
            if let Some(held) = without.get_mut(place) {
                *held = &Held::Absent;
            }
            let free = keys.get(place).is_some_and(|key| !ALWAYS.contains(key));
            if free && self.ask(action, resource, keys, &without, ask).is_some() {
                chosen = without;
            }
        }
        let values = |held: &Held| match held {
            Held::Absent => None,
            Held::One(value) => Some(vec![value.clone()]),
            Held::Several(values) => Some(values.clone()),
        };
        let context = keys.iter().zip(&chosen).filter_map(|(key, held)| Some(((*key).to_owned(), values(held)?))).collect();
        Witness { principal: None, action: action.to_owned(), resource: resource.to_owned(), context, by }
    }

    fn answer(self, found: Option<Witness>, principal: Option<String>) -> Answer {
        match (found, self.why) {
            (Some(witness), _) => {
                let principal = principal.map(|name| name.rsplit(' ').next().unwrap_or_default().to_owned());
                Answer::Grants(Box::new(Witness { principal, ..witness }))
            }
            (None, Some(why)) => Answer::Unknown { cases: self.cases, why },
            (None, None) => Answer::Nothing { cases: self.cases },
        }
    }
}
