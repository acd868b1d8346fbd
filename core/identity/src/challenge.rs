//! `WWW-Authenticate` (RFC 9110 section 11.6.1) with the Bearer scheme (RFC 6750 section 3): built and strictly parsed.

/// The longest header that is parsed, in bytes.
const CHALLENGE_BYTES_MAX: usize = 8 * 1024;

/// The challenge of a 401. `token_shown` says that a token was there and wasn't good (RFC 6750 section 3.1).
pub fn unauthorized(resource_metadata: &str, token_shown: bool) -> String {
    let error = if token_shown { "error=\"invalid_token\", " } else { "" };
    format!("Bearer {error}resource_metadata={}", quoted(resource_metadata))
}

/// The challenge of a 403: all the scopes that the call takes, at once.
pub fn insufficient_scope(resource_metadata: &str, scopes: &[&str]) -> String {
    let scope = quoted(&scopes.join(" "));
    format!("Bearer error=\"insufficient_scope\", scope={scope}, resource_metadata={}", quoted(resource_metadata))
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars().filter(|c| matches!(c, ' '..='~')) {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// What a Bearer challenge asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Challenge {
    /// What was wrong with the token.
    pub error: Option<String>,
    /// The scopes that are needed.
    pub scope: Option<String>,
    /// Where the protected resource's metadata is (RFC 9728 section 5.1).
    pub resource_metadata: Option<String>,
}

/// Why a header is no challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// The grammar is broken, or the header is too long.
    #[error("the challenge is malformed")]
    Malformed,
    /// A parameter twice in one challenge: readers would disagree.
    #[error("the challenge has a parameter twice")]
    Duplicate,
    /// No Bearer challenge in it.
    #[error("the challenge is not for a bearer token")]
    NotBearer,
}

/// The first Bearer challenge of a header, which may hold challenges of several schemes.
pub fn parse(header: &str) -> Result<Challenge, ChallengeError> {
    if header.len() > CHALLENGE_BYTES_MAX {
        return Err(ChallengeError::Malformed);
    }
    let mut reader = Reader { rest: header };
    let mut found: Option<Challenge> = None;
    // The scheme whose parameters are read, and the names that it has had.
    let mut bearer = false;
    let mut names: Vec<String> = Vec::new();
    let mut any = false;
    loop {
        reader.skip_commas();
        if reader.rest.is_empty() {
            return found.ok_or(ChallengeError::NotBearer);
        }
        let mut word = reader.token()?;
        if !reader.at_equals() {
            bearer = word.eq_ignore_ascii_case("bearer") && found.is_none();
            if bearer {
                found = Some(Challenge::default());
            }
            names.clear();
            any = true;
            if !reader.after_scheme()? {
                continue;
            }
            if reader.token68() {
                // RFC 6750 section 3: a Bearer challenge has parameters.
                if bearer {
                    return Err(ChallengeError::Malformed);
                }
                continue;
            }
            word = reader.token()?;
        }
        if !any {
            return Err(ChallengeError::Malformed);
        }
        let (name, value) = (word.to_ascii_lowercase(), reader.value()?);
        if names.contains(&name) {
            return Err(ChallengeError::Duplicate);
        }
        if let (true, Some(challenge)) = (bearer, &mut found) {
            match name.as_str() {
                "error" => challenge.error = Some(value),
                "scope" => challenge.scope = Some(value).filter(|scope| !scope.trim().is_empty()),
                "resource_metadata" => challenge.resource_metadata = Some(value),
                _ => {}
            }
        }
        names.push(name);
    }
}

struct Reader<'a> {
    rest: &'a str,
}

fn token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl<'a> Reader<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn skip_commas(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
    }

    fn token(&mut self) -> Result<&'a str, ChallengeError> {
        let len = self.rest.bytes().take_while(|byte| token_byte(*byte)).count();
        let (token, rest) = self.rest.split_at_checked(len).ok_or(ChallengeError::Malformed)?;
        if token.is_empty() {
            return Err(ChallengeError::Malformed);
        }
        self.rest = rest;
        Ok(token)
    }

    /// Whether a parameter's value follows, with the bad white space that recipients must stand (RFC 9110 section 5.6.3).
    fn at_equals(&self) -> bool {
        self.rest.trim_start_matches([' ', '\t']).starts_with('=')
    }

    /// Whether parameters follow a scheme; if so, stands on the first.
    fn after_scheme(&mut self) -> Result<bool, ChallengeError> {
        let spaced = self.rest.starts_with([' ', '\t']);
        self.skip_space();
        if self.rest.is_empty() || self.rest.starts_with(',') {
            return Ok(false);
        }
        if spaced { Ok(true) } else { Err(ChallengeError::Malformed) }
    }

    /// Skips the token68 of schemes such as `Negotiate`.
    fn token68(&mut self) -> bool {
        let len = self.rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte)).count();
        let Some((_, rest)) = self.rest.split_at_checked(len) else { return false };
        let after = rest.trim_start_matches('=').trim_start_matches([' ', '\t']);
        if len > 0 && (after.is_empty() || after.starts_with(',')) {
            self.rest = after;
            return true;
        }
        false
    }

    fn value(&mut self) -> Result<String, ChallengeError> {
        self.skip_space();
        self.rest = self.rest.strip_prefix('=').ok_or(ChallengeError::Malformed)?;
        self.skip_space();
        let value = match self.rest.strip_prefix('"') {
            Some(rest) => {
                self.rest = rest;
                self.quoted()?
            }
            None => self.token()?.to_owned(),
        };
        self.skip_space();
        if self.rest.is_empty() || self.rest.starts_with(',') { Ok(value) } else { Err(ChallengeError::Malformed) }
    }

    fn quoted(&mut self) -> Result<String, ChallengeError> {
        let mut value = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next() {
                Some('"') => {
                    self.rest = chars.as_str();
                    return Ok(value);
                }
                Some('\\') => value.push(chars.next().filter(|c| matches!(c, ' '..='~')).ok_or(ChallengeError::Malformed)?),
                Some(c @ ' '..='~') => value.push(c),
                _ => return Err(ChallengeError::Malformed),
            }
        }
    }
}
