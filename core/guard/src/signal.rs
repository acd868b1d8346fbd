//! What an instruction to a model is seldom without, by phrases: a word against what went before, secrecy, a mark that pretends to be the
//! system, something sensitive that is to be given away, and somewhere to send it.

/// The signals that a text gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signals(u16);

const OVERRIDE: u16 = 1;
const SECRECY: u16 = 2;
const MARK: u16 = 4;
const SENSITIVE: u16 = 8;
const GIVE: u16 = 16;
const DESTINATION: u16 = 32;
const DIRECTIVE: u16 = 64;
const PRIVATE_FILE: u16 = 128;
const ROLE: u16 = 256;
const CREDENTIAL: u16 = 512;
const CALL: u16 = 1024;
const AGAIN: u16 = 2048;
const NEXT: u16 = 4096;

const PHRASES: &[(u16, &[&str])] = &[
    (
        OVERRIDE,
        &[
            "ignore previous instructions",
            "ignore all previous",
            "ignore prior instructions",
            "ignore all prior",
            "ignore any previous",
            "ignore the above",
            "ignore your instructions",
            "ignore your previous",
            "ignore all instructions",
            "ignore all other instructions",
            "ignore the user",
            "ignore previous and",
            "disregard previous",
            "disregard all",
            "disregard prior",
            "disregard your",
            "disregard the user",
            "disregard any previous",
            "forget previous instructions",
            "forget all previous",
            "forget your instructions",
            "forget everything",
            "override your",
            "override all previous",
            "override previous",
            "bypass your",
            "supersede all",
            "ignora las instrucciones",
            "ignora todas las",
            "ignorez les instructions",
            "ignoriere alle",
            "ignoriere die",
            "ignore as instruções",
            "忽略之前",
            "忽略以上",
            "игнорируй",
        ],
    ),
    (
        SECRECY,
        &[
            "do not tell the user",
            "don't tell the user",
            "do not mention",
            "don't mention",
            "do not inform",
            "don't inform",
            "never mention",
            "never tell",
            "do not reveal this",
            "without telling",
            "without informing",
            "without notifying",
            "without mentioning",
            "without the user",
            "without asking the user",
            "keep this secret",
            "keep this hidden",
            "keep this confidential",
            "do not disclose this",
            "don't disclose this",
            "silently",
            "secretly",
            "user must not know",
            "user should not know",
            "user does not need to know",
            "hide this",
            "do not show this",
            "don't show this",
            "do not ask the user",
            "do not notify",
            "no le digas",
            "ne dites pas",
            "sage dem benutzer nicht",
            "não diga ao usuário",
        ],
    ),
    (
        MARK,
        &[
            "<important>",
            "<system>",
            "<instructions>",
            "<instruction>",
            "<secret>",
            "<hidden>",
            "<admin>",
            "<critical>",
            "[system]",
            "[system:",
            "[admin]",
            "[inst]",
            "<|system|>",
            "<|im_start|>",
            "### system",
            "### instruction",
            "<!-- ai",
            "<!-- agent",
            "<!-- llm",
            "<!-- assistant",
            "<!-- system",
            "system:",
            "system override",
            "system note",
            "note to ai",
            "note to the ai",
            "note for ai",
            "note to the assistant",
            "note to assistant",
            "attention ai",
            "ai agents must",
            "instructions for the ai",
            "instructions for the model",
            "instruction for the model",
        ],
    ),
    (
        AGAIN,
        &[
            "re-enter your",
            "reenter your",
            "enter your password again",
            "confirm your password",
            "verify your account",
            "session verification",
        ],
    ),
    (NEXT, &[" and call ", " and run ", " and delete", " and execute", " and do ", " and then ", " instead", " and only "]),
    (
        ROLE,
        &[
            "you are now",
            "you are in admin mode",
            "in admin mode",
            "in developer mode",
            "in maintenance mode",
            "you are an exfiltration",
            "you must act as",
            "act as root",
            "you are no longer",
        ],
    ),
    (
        SENSITIVE,
        &[
            "conversation history",
            "full conversation",
            "the conversation",
            "entire conversation",
            "chat history",
            "chat log",
            "previous messages",
            "prior messages",
            "message history",
            "system prompt",
            "hidden instructions",
            "home address",
            "user's address",
            "session cookies",
            "document.cookie",
            "all environment variables",
            "user's emails",
            "user's contacts",
            "user's files",
            "user data",
            "inbox",
            "browsing history",
            "tool results",
            "results of all",
            "results of previous",
            "everything the user",
        ],
    ),
    (
        CREDENTIAL,
        &[
            "api key",
            "api keys",
            "api_key",
            "access token",
            "oauth token",
            "auth token",
            "session token",
            "password",
            "passwords",
            "credentials",
            "private key",
            "ssh key",
            "secret key",
            "secrets",
            "credit card number",
        ],
    ),
    (
        PRIVATE_FILE,
        &[
            "~/.ssh",
            "id_rsa",
            "id_ed25519",
            "/etc/passwd",
            "/etc/shadow",
            ".aws/credentials",
            "~/.aws",
            "~/.cursor",
            "mcp.json",
            "~/.env",
            "/.env",
            "'.env'",
            "`.env`",
            ".env file",
            "~/.gnupg",
            "~/.kube",
            "~/.netrc",
            ".npmrc",
            "~/.bash_history",
            "keychain",
            "login.keychain",
        ],
    ),
    (
        GIVE,
        &[
            "send ",
            "send it",
            "post it",
            "post the",
            "forward ",
            "upload ",
            "email the",
            "email it",
            "e-mail ",
            "append ",
            "pass ",
            "include ",
            "transmit",
            "exfiltrate",
            "leak ",
            "copy ",
            "submit ",
            "attach ",
            "provide your",
            "put the",
            "add the content",
            "write the content",
            "report the",
            "log the",
            "reply with your",
            "respond with your",
            "re-enter your",
            "enter your",
            "bcc ",
            "deliver ",
            "share your",
            "encode ",
            "sende ",
            "envía",
            "envoyez",
        ],
    ),
    (
        DIRECTIVE,
        &[
            "before using",
            "before calling",
            "before answering",
            "before responding",
            "before you ",
            "before any ",
            "before every",
            "after every",
            "after each",
            "after using",
            "on every call",
            "on each call",
            "every time",
            "each time",
            "first read",
            "first call",
            "you must",
            "must first",
            "must also",
            "always ",
            "also call",
            "also send",
            "also run",
            "also forward",
            "in addition,",
            "additionally,",
            "make sure to",
            "to help,",
            "to proceed",
            "in order to use",
            "to finish",
            "to continue",
            "to close this",
            "to succeed",
            "to complete",
            "then call",
            "then reply",
            "required step",
            "mandatory",
            "immediately",
        ],
    ),
];

impl Signals {
    /// Reads a text.
    pub(crate) fn of(text: &str) -> Self {
        let lower = text.to_lowercase();
        let mut bits = 0;
        for (bit, phrases) in PHRASES {
            if phrases.iter().any(|phrase| lower.contains(phrase)) {
                bits |= bit;
            }
        }
        let addresses = [
            "to http://",
            "to https://",
            "at http://",
            "at https://",
            "with https://",
            "attacker",
            "webhook.site",
            "ngrok",
            "pastebin",
            "requestbin",
            "burpcollaborator",
        ];
        if addresses.iter().any(|address| lower.contains(address)) || sends_to_address(&lower) {
            bits |= DESTINATION;
        }
        if calls_for(&lower) {
            bits |= CALL;
        }
        Self(bits)
    }

    fn has(self, bits: u16) -> bool {
        self.0 & bits == bits
    }

    fn any(self, bits: u16) -> bool {
        self.0 & bits != 0
    }

    /// How many of the telling signals there are.
    pub(crate) fn count(self) -> u32 {
        (self.0 & (OVERRIDE | SECRECY | MARK | ROLE | PRIVATE_FILE)).count_ones()
    }

    /// Why the text is an instruction to the model, if it is.
    pub(crate) fn instruction(self) -> Option<&'static str> {
        let taking = self.any(SENSITIVE | PRIVATE_FILE | CREDENTIAL);
        if self.has(OVERRIDE) && self.any(MARK | SECRECY | ROLE | GIVE | DIRECTIVE | SENSITIVE | DESTINATION | NEXT) {
            return Some("it tells the model to leave its instructions");
        }
        if self.has(SECRECY)
            && (self.any(MARK | PRIVATE_FILE | SENSITIVE | ROLE)
                || self.any(GIVE) && self.any(DIRECTIVE | CREDENTIAL | DESTINATION))
        {
            return Some("it tells the model to hide what it does");
        }
        if self.has(GIVE | DESTINATION) && taking {
            return Some("it tells the model to send something sensitive away");
        }
        if self.has(DIRECTIVE | GIVE)
            && (self.any(SENSITIVE | PRIVATE_FILE) || self.has(DESTINATION))
            && (self.has(DESTINATION) || self.any(MARK) || self.any(PRIVATE_FILE) || self.has(SENSITIVE) && self.has(GIVE))
        {
            return Some("it tells the model to give something away at each use");
        }
        if self.has(MARK) && (self.any(DIRECTIVE) && taking || self.any(ROLE) || self.has(DIRECTIVE | GIVE)) {
            return Some("it pretends to be the system");
        }
        if self.has(AGAIN | CREDENTIAL | DIRECTIVE) {
            return Some("it asks for a credential again");
        }
        if self.has(CALL | DIRECTIVE) {
            return Some("it tells the model to call something else");
        }
        if self.has(PRIVATE_FILE | DIRECTIVE) {
            return Some("it tells the model to read a private file");
        }
        None
    }
}

/// Whether something is to be sent to an address of mail: a word of sending, `to` and an address soon after.
fn sends_to_address(lower: &str) -> bool {
    lower.match_indices(" to ").any(|(at, _)| {
        let after = lower.get(at + 4..).unwrap_or_default();
        let word = after.split_whitespace().next().unwrap_or_default();
        let address = word.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'));
        // Names that exist for examples only, which attacks in examples are sent to.
        let host = word.trim_end_matches(['.', ',']).rsplit_once('.').is_some_and(|(_, top)| matches!(top, "example" | "evil"));
        address || host
    })
}

/// Whether something is to be called: `run deploy_prod`, `retry with run_shell(…)`.
fn calls_for(lower: &str) -> bool {
    ["retry with ", "also run ", "also call ", "instead call ", "now call ", "now run ", "please call ", "please run "]
        .iter()
        .any(|phrase| {
            lower.match_indices(phrase).any(|(at, _)| {
                let after = lower.get(at + phrase.len()..).unwrap_or_default().trim_start_matches(['`', '\'', '"']);
                let length = after.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(after.len());
                let (name, rest) = after.split_at_checked(length).unwrap_or((after, ""));
                name.contains('_') || length > 2 && rest.starts_with('(')
            })
        })
}
