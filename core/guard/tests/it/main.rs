//! What the crate promises, tried from outside.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail as its assertions do")]

mod bedrock;
mod classifier;
mod forms;
mod inheritance;
mod json;
mod policies;
mod properties;
mod scans;
mod streams;

use remit_guard::{
    Action, Assessment, Content, Definition, Guardrail, PiiType, Source,
    definition::{
        ContentFilter, ContentFilterType, ManagedWordList, ManagedWordListType, PiiEntity, SensitiveInformation, Sides, Strength,
    },
};

/// A definition with a name and messages, and nothing else.
fn bare() -> Definition {
    Definition {
        name: "test".to_owned(),
        blocked_input_messaging: "input blocked".to_owned(),
        blocked_outputs_messaging: "output blocked".to_owned(),
        ..Definition::default()
    }
}

/// Every type masked, secrets and hidden text too.
fn masking() -> Definition {
    let entity = |&kind: &PiiType| PiiEntity { kind, action: Action::Anonymize, input_action: None, output_action: None };
    let sides = Sides { input_action: Action::Anonymize, output_action: Action::Anonymize };
    Definition {
        sensitive_information: SensitiveInformation {
            pii_entities: PiiType::ALL.iter().map(entity).collect(),
            regexes: Vec::new(),
            secrets: Some(sides),
        },
        hidden_text: Some(sides),
        ..bare()
    }
}

/// Everything on.
fn full() -> Definition {
    let filter = |kind| ContentFilter {
        kind,
        input_strength: Strength::High,
        output_strength: Strength::High,
        input_action: Action::None,
        output_action: Action::None,
    };
    use ContentFilterType::{Hate, Insults, Misconduct, PromptAttack, Sexual, Violence};
    Definition {
        content_filters: [Sexual, Violence, Hate, Insults, Misconduct, PromptAttack].map(filter).to_vec(),
        managed_word_lists: vec![ManagedWordList {
            kind: ManagedWordListType::Profanity,
            input_action: Action::None,
            output_action: Action::None,
        }],
        ..masking()
    }
}

fn compiled(definition: Definition) -> Guardrail {
    Guardrail::compile(definition).unwrap()
}

fn inspected(definition: Definition, text: &str) -> Assessment {
    compiled(definition).inspect(&Content::new(Source::Output, text))
}

/// The text that may pass.
fn passes(definition: Definition, text: &str) -> String {
    inspected(definition, text).output.unwrap_or_else(|| text.to_owned())
}
