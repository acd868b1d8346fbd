//! What must be said of a case.

use remit_config::did_you_mean;
use remit_config::item::{Item, shown};
use remit_kernel::{Effect, Layer, Reason};
use remit_model::Risk;

/// The keys of an expectation.
const KEYS: &[&str] = &["verdict", "reason", "layer", "effect", "statement", "at", "acts_as", "risk", "remedy", "layers"];
/// The words for a verdict.
const VERDICTS: [(&str, Expected); 3] = [("allow", Expected::Allow), ("hold", Expected::Hold), ("deny", Expected::Deny)];

/// What the verdict must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The call goes.
    Allow,
    /// It waits for people.
    Hold,
    /// It doesn't go.
    Deny,
}

impl Expected {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Hold => "hold",
            Self::Deny => "deny",
        }
    }
}

/// What must be said of a case: the verdict, and as much more as it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// What the verdict must be.
    pub verdict: Expected,
    /// Why it must be denied.
    pub reason: Option<Reason>,
    /// The layer that must deny first.
    pub layer: Option<Layer>,
    /// What that layer must say: an explicit deny or an implicit one.
    pub effect: Option<Effect>,
    /// Each must be part of the statement that denies, or of one that allows.
    pub statements: Vec<String>,
    /// Where that statement must stand: a file, or file and line; the first folders may be left out.
    pub at: Option<String>,
    /// The ARN of the session as which the agent must act.
    pub acts_as: Option<String>,
    /// The risk at which the call must be judged.
    pub risk: Option<Risk>,
    /// Each must be part of a change that would let the call pass.
    pub remedies: Vec<String>,
    /// What layers must say, whichever decides.
    pub layers: Vec<(Layer, Effect)>,
}

impl Expect {
    fn of(verdict: Expected) -> Self {
        Self {
            verdict,
            reason: None,
            layer: None,
            effect: None,
            statements: Vec::new(),
            at: None,
            acts_as: None,
            risk: None,
            remedies: Vec::new(),
            layers: Vec::new(),
        }
    }

    /// The expectation in a few words.
    pub fn brief(&self) -> String {
        let verdict = self.verdict.as_str();
        let more = [self.reason.map(Reason::as_str), self.layer.map(Layer::as_str), self.effect.map(Effect::as_str)];
        more.into_iter().flatten().fold(verdict.to_owned(), |brief, word| format!("{brief} {word}"))
    }

    /// Reads one: a word, or a mapping.
    pub(super) fn read(item: &Item<'_>) -> Option<Self> {
        match item.as_text() {
            Some(word) => Self::word(item, word),
            None => Self::mapping(item),
        }
    }

    fn word(item: &Item<'_>, word: &str) -> Option<Self> {
        if let Some((_, verdict)) = VERDICTS.iter().find(|(known, _)| *known == word) {
            return Some(Self::of(*verdict));
        }
        let reason = Reason::ALL.iter().copied().find(|reason| reason.as_str() == word);
        if reason.is_none() {
            let known = ["allow", "hold", "deny"].into_iter().chain(Reason::ALL.iter().map(|reason| reason.as_str()));
            let what = format!("{} is nothing that can be expected{}", shown(word), did_you_mean(word, known));
            item.error(what, "write `allow`, `hold`, `deny`, the reason of a denial such as `tool_not_listed`, or a mapping");
        }
        Some(Self { reason: Some(reason?), ..Self::of(against(reason)) })
    }

    fn mapping(item: &Item<'_>) -> Option<Self> {
        let object = item.object("an expectation", KEYS)?;
        let verdict = object.get("verdict").map(|verdict| verdict.choice(&VERDICTS));
        let reasons: Vec<(&'static str, Reason)> = Reason::ALL.iter().map(|reason| (reason.as_str(), *reason)).collect();
        let reason = object.get("reason").and_then(|reason| reason.choice(&reasons));
        let layer = object.get("layer").and_then(|layer| self::layer(&layer));
        let effect = object.get("effect").and_then(|effect| self::effect(&effect));
        let of_denials = object.present(&["reason", "layer", "effect", "remedy"]);
        let verdict = match (verdict, of_denials.first()) {
            (Some(Some(Expected::Allow)), Some(key)) => {
                item.error(format!("`{key}` is said of denials, and this is to be allowed"), format!("leave out `{key}`"));
                return None;
            }
            (Some(verdict), _) => verdict?,
            (None, Some(_)) => against(reason),
            (None, None) => {
                item.error(
                    "this doesn't say what the verdict must be",
                    "add `verdict: allow`, `verdict: hold` or `verdict: deny`",
                );
                return None;
            }
        };
        if effect.is_some_and(Effect::agrees) {
            item.error("a layer that denies says IMPLICIT_DENY or EXPLICIT_DENY", "write one, or name the layer under `layers`");
        }
        let texts = |key: &str| object.get(key).map(|list| one_or_many(&list, "texts")).unwrap_or_default();
        let owned = |texts: Vec<(&str, Item<'_>)>| texts.into_iter().map(|(text, _)| text.to_owned()).collect();
        let text = |key: &str| object.get(key).and_then(|item| item.text()).map(str::to_owned);
        let layers = object.get("layers").map(|layers| layers.pairs("a mapping of layers to what they say")).unwrap_or_default();
        let layers = layers.into_iter().filter_map(|(name, item)| Some((layer_named(&item, name)?, self::effect(&item)?)));
        Some(Self {
            verdict,
            reason,
            layer,
            effect,
            statements: owned(texts("statement")),
            at: text("at"),
            acts_as: text("acts_as"),
            risk: object.get("risk").and_then(|risk| self::risk(&risk)),
            remedies: owned(texts("remedy")),
            layers: layers.collect(),
        })
    }
}

/// The verdict of a call that something stands against.
fn against(reason: Option<Reason>) -> Expected {
    if reason == Some(Reason::ApprovalRequired) { Expected::Hold } else { Expected::Deny }
}

/// A text or a list of texts.
pub(super) fn one_or_many<'a>(item: &Item<'a>, of: &str) -> Vec<(&'a str, Item<'a>)> {
    if item.as_text().is_some() {
        return item.text().map(|text| (text, item.clone())).into_iter().collect();
    }
    let texts = item.texts(of);
    if texts.is_empty() && item.node.nodes().is_empty() {
        item.error("an empty list makes no case", "name at least one, or leave the key out");
    }
    texts
}

/// A risk.
pub(super) fn risk(item: &Item<'_>) -> Option<Risk> {
    let risks: Vec<(&'static str, Risk)> = Risk::ALL.iter().map(|risk| (risk.as_str(), *risk)).collect();
    item.choice(&risks)
}

fn layer(item: &Item<'_>) -> Option<Layer> {
    layer_named(item, item.text()?)
}

fn layer_named(item: &Item<'_>, name: &str) -> Option<Layer> {
    let found = Layer::ALL.iter().copied().find(|layer| layer.as_str() == name);
    if found.is_none() {
        let known: Vec<&str> = Layer::ALL.iter().map(|layer| layer.as_str()).collect();
        let what = format!("{} is no layer{}", shown(name), did_you_mean(name, known.iter().copied()));
        item.error(what, format!("write one of {}", known.join(", ")));
    }
    found
}

fn effect(item: &Item<'_>) -> Option<Effect> {
    let effects: Vec<(&'static str, Effect)> = Effect::ALL.iter().map(|effect| (effect.as_str(), *effect)).collect();
    item.choice(&effects)
}
