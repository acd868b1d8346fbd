//! What a statement says: about which file, and what of itself. What it says of itself counts only once its signature holds.

use serde_json::Value;

use crate::{Digests, plain};

/// The types of a statement (in-toto attestation framework v1, and v0.1 before it).
const TYPES: [&str; 2] = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];
/// What kinds of statement say where a file is from: SLSA's, and PyPI's of who published it (PEP 740).
const KINDS: [&str; 3] =
    ["https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v0.2", "https://docs.pypi.org/attestations/publish/v1"];
/// The most subjects of a statement.
const SUBJECTS_MAX: usize = 10_000;

/// A statement, not trusted.
pub(crate) struct Statement {
    whole: Value,
}

/// Which digest of a file a statement is to be held against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    Sha256,
    Sha512,
}

impl Statement {
    /// Reads one; why not, if it is none.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, String> {
        let whole: Value = serde_json::from_slice(payload).map_err(|error| format!("the statement isn't JSON: {error}"))?;
        let kind = whole.get("_type").and_then(Value::as_str).unwrap_or_default();
        if !TYPES.contains(&kind) {
            return Err(format!("`{}` is no type of statement that this Remit knows", plain(kind)));
        }
        if whole.get("subject").and_then(Value::as_array).is_none_or(|subjects| subjects.len() > SUBJECTS_MAX) {
            return Err(format!("the statement has no subjects, or more than {SUBJECTS_MAX}"));
        }
        Ok(Self { whole })
    }

    /// Its kind, the type of its predicate.
    pub(crate) fn kind(&self) -> &str {
        self.whole.get("predicateType").and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether it is of a kind that says where a file is from.
    pub(crate) fn is_known(&self) -> bool {
        KINDS.contains(&self.kind())
    }

    /// Whether one of its subjects is this very file, and by which digest it names it. All that it says of a subject's SHA-256 and SHA-512 has
    /// to be so: a subject of which one digest fits and another doesn't is no file at all.
    pub(crate) fn names(&self, file: &Digests<'_>) -> Option<By> {
        let subjects = self.whole.get("subject").and_then(Value::as_array)?;
        subjects.iter().find_map(|subject| {
            let fits = |kind: &str, own: &str| {
                subject
                    .pointer(&format!("/digest/{kind}"))
                    .map(|said| said.as_str().is_some_and(|said| said.eq_ignore_ascii_case(own)))
            };
            match (fits("sha256", file.sha256), fits("sha512", file.sha512)) {
                (Some(true), None | Some(true)) => Some(By::Sha256),
                (None, Some(true)) => Some(By::Sha512),
                _ => None,
            }
        })
    }

    /// What it says of where the file is from: what, and what it says.
    pub(crate) fn claims(&self) -> Vec<(&'static str, String)> {
        let places: [(&str, &[&str]); 4] = [
            (
                "source",
                &["/predicate/buildDefinition/externalParameters/workflow/repository", "/predicate/invocation/configSource/uri"],
            ),
            (
                "workflow",
                &["/predicate/buildDefinition/externalParameters/workflow/path", "/predicate/invocation/configSource/entryPoint"],
            ),
            (
                "commit",
                &[
                    "/predicate/buildDefinition/resolvedDependencies/0/digest/gitCommit",
                    "/predicate/invocation/configSource/digest/sha1",
                ],
            ),
            ("builder", &["/predicate/runDetails/builder/id", "/predicate/builder/id"]),
        ];
        let said = |pointers: &[&str]| pointers.iter().find_map(|pointer| self.whole.pointer(pointer)?.as_str().map(plain));
        places.into_iter().filter_map(|(what, pointers)| Some((what, said(pointers)?))).collect()
    }
}
