//! What a definition has no reason to say, though a text may: that the user mustn't know, what the model does from now on, what it has to give away.
//!
//! The phrases of [`crate::signal`] are read in any text and count for its score; these are read in definitions alone. They stand in the languages
//! that such notes were seen in.

use super::Severity;

/// Somebody is to be kept from knowing.
const HIDES: &[&str] = &[
    "user must not know",
    "user should not know",
    "user must not see",
    "user does not need to know",
    "user doesn't need to know",
    "user need not know",
    "do not tell the user",
    "don't tell the user",
    "never tell the user",
    "do not inform the user",
    "don't inform the user",
    "do not mention this to the user",
    "do not mention it to the user",
    "don't mention this to the user",
    "don't mention it to the user",
    "without telling the user",
    "without informing the user",
    "without notifying the user",
    "without the user knowing",
    "without the user's knowledge",
    "without mentioning it to the user",
    "hide this from the user",
    "keep this from the user",
    "no se lo digas",
    "no le digas",
    "sin decírselo",
    "sin informar al usuario",
    "no hace falta comentarlo",
    "el usuario no debe saber",
    "ne le dites pas",
    "sans en informer",
    "sans le dire",
    "l'utilisateur ne doit pas savoir",
    "ohne es dem benutzer",
    "ohne den benutzer zu informieren",
    "dem benutzer nichts sagen",
    "der benutzer muss es nicht wissen",
    "não diga ao usuário",
    "sem avisar o usuário",
    "senza dirlo all'utente",
    "不要告诉用户",
    "ユーザーには知らせ",
];

/// It is for longer than a call.
const PERSISTS: &[&str] = &[
    "from now on",
    "for the rest of this session",
    "for the rest of the session",
    "for the rest of this conversation",
    "for the rest of the conversation",
    "in all later answers",
    "in every later answer",
    "in all future",
    "a partir de ahora",
    "à partir de maintenant",
    "von jetzt an",
    "ab sofort",
    "d'ora in poi",
];

/// Somebody's consent is claimed, or isn't to be asked for.
const CONSENTS: &[&str] = &[
    "approval was given",
    "approval has been given",
    "approval is already given",
    "already approved",
    "approved in advance",
    "have approved every",
    "has approved every",
    "have approved all",
    "has approved all",
    "agreed already",
    "already agreed",
    "already consented",
    "consented already",
    "consented in advance",
    "skip confirmation",
    "skip the confirmation",
    "skip any confirmation",
    "never ask for confirmation",
    "do not ask for confirmation",
    "don't ask for confirmation",
    "never ask the user for confirmation",
    "never ask for permission",
    "do not ask for permission",
    "don't ask for permission",
    "regardless of what the user",
    "no matter what the user",
    "instead of what the user",
];

/// It is a rule, and not a remark.
const RULES: &[&str] =
    &["must", "have to", "has to", "always", "never", "debes", "tienes que", "devez", "musst", "müssen", "devi "];

/// The model is spoken to, or of.
const ADDRESSES: &[&str] = &[
    "the assistant must",
    "the assistant has to",
    "the assistant should",
    "assistants must",
    "the model must",
    "the model has to",
    "the model should",
    "the llm must",
    "the llm should",
    "the ai must",
    "the ai should",
    "dear assistant",
    "nota para el asistente",
    "nota al asistente",
    "note pour l'assistant",
    "note à l'assistant",
    "hinweis an den assistenten",
    "hinweis für den assistenten",
    "nota para o assistente",
    "nota per l'assistente",
];

/// What somebody is to have.
const GIVES: &[&str] = &[
    "send",
    "forward",
    "attach",
    "include",
    "upload",
    "append",
    "post ",
    "pass ",
    "copy ",
    "report ",
    "put ",
    "give ",
    "archiv",
    "record",
    "paste",
    "store",
    "write down",
    "verbatim",
];

/// What is the user's, or the model's, and none of a tool's.
const TAKES: &[&str] = &[
    "system prompt",
    "your instructions",
    "hidden instructions",
    "conversation so far",
    "chat so far",
    "messages so far",
    "full conversation",
    "whole conversation",
    "entire conversation",
    "conversation history",
    "chat history",
    "previous messages",
    "all of the chat",
    "this chat",
    "dialogue so far",
    "previous turns",
    "prior turns",
    "messages between",
    "everything the user",
    "what the user told",
    "user told you",
    "private reasoning",
    "your reasoning",
    "your context window",
    "all variables of the environment",
    "all environment variables",
    "every environment variable",
    "environment variables",
    "results of all tools",
    "results of other tools",
    "results of previous tools",
    "output of other tools",
    "chain of thought",
    "access token",
    "api key",
    "password",
    "credentials",
];

/// Those of [`TAKES`] that are the conversation, and never a tool's own.
const CONVERSATION: &[&str] = &[
    "system prompt",
    "conversation so far",
    "chat so far",
    "messages so far",
    "full conversation",
    "whole conversation",
    "entire conversation",
    "messages between user",
    "messages between the user",
    "everything the user",
    "what the user told",
    "user told you",
    "private reasoning",
];

/// A file is to be read for the tool.
const READS: &[&str] = &[
    "also read",
    "first read",
    "read the file",
    "contents of",
    "content of",
    "paste",
    "cat ",
    "lies den inhalt",
    "lee el archivo",
];

/// Files that are nobody's business.
const PRIVATE_FILES: &[&str] = &[
    "~/.ssh",
    "id_rsa",
    "id_ed25519",
    "/etc/passwd",
    "/etc/shadow",
    "~/.aws",
    ".aws/credentials",
    "~/.netrc",
    "~/.kube",
    "~/.gnupg",
    "_history",
    "~/.cursor",
    "mcp.json",
    "~/.docker/config",
    "~/.npmrc",
    "~/.pypirc",
];

fn any(lower: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| lower.contains(phrase))
}

/// Why a text of a definition is an instruction that no definition needs, and how grave that is.
pub(super) fn instruction(text: &str) -> Option<(Severity, &'static str)> {
    let lower = text.to_lowercase();
    let (hides, persists, addresses) = (any(&lower, HIDES), any(&lower, PERSISTS), any(&lower, ADDRESSES));
    let takes = any(&lower, GIVES) && any(&lower, TAKES);
    if any(&lower, CONSENTS) {
        return Some((Severity::Medium, "it claims the user's consent, or tells the model not to ask for it"));
    }
    if fetches_and_runs(&lower) {
        return Some((Severity::High, "it holds a command that runs what it fetches"));
    }
    if any(&lower, READS) && any(&lower, PRIVATE_FILES) {
        return Some((Severity::High, "it tells the model to read a private file"));
    }
    if takes && any(&lower, RULES) && any(&lower, CONVERSATION) {
        return Some((Severity::High, "it tells the model to give away what is the user's"));
    }
    if hides {
        let severity = if persists || addresses || takes { Severity::High } else { Severity::Medium };
        return Some((severity, "it tells the model to keep something from the user"));
    }
    if addresses && takes {
        return Some((Severity::High, "it tells the model to give away what is the user's"));
    }
    if persists && any(&lower, RULES) {
        let severity = if takes { Severity::High } else { Severity::Medium };
        return Some((severity, "it tells the model what to do beyond the call"));
    }
    None
}

/// Whether a command pipes what it fetches into a shell.
fn fetches_and_runs(lower: &str) -> bool {
    ["curl ", "wget "].iter().any(|fetch| {
        lower.match_indices(fetch).any(|(at, _)| {
            let line = lower.get(at..).and_then(|rest| rest.split(['\n', ';']).next()).unwrap_or_default();
            let pipes = line.split('|').skip(1).map(|piped| piped.trim_start().trim_start_matches("sudo "));
            pipes.into_iter().any(|piped| ["sh", "bash", "zsh", "python", "node"].iter().any(|shell| piped.starts_with(shell)))
        })
    })
}

/// Whether a parameter's description asks for what is the user's or the model's.
pub(super) fn asks_for_too_much(description: &str) -> bool {
    // What a tool signs in with is its business.
    const OWN: &[&str] =
        &["access token", "api key", "password", "credentials", "environment variables", "your instructions", "this chat"];
    let lower = description.to_lowercase();
    TAKES.iter().filter(|phrase| !OWN.contains(phrase)).any(|phrase| lower.contains(phrase))
}

/// A name as the words that it is made of: `sendChat_history` reads `send chat history`.
pub(super) fn words_of(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 8);
    let mut before = ' ';
    for c in name.chars() {
        if c.is_uppercase() && before.is_lowercase() {
            words.push(' ');
        }
        words.push(if matches!(c, '_' | '-' | '.' | '/') { ' ' } else { c });
        before = c;
    }
    words.to_lowercase()
}
