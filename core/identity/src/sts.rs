//! AWS's Query protocol as STS and IAM speak it: requests read and checked against the documented limits, answers and errors written.
//!
//! Limits and messages are those of the STS API reference (AssumeRole, AssumeRoleWithWebIdentity, GetSessionToken, "Common errors").

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::sigv4::SigError;

/// The version of STS's API.
pub const STS_VERSION: &str = "2011-06-15";
/// The version of IAM's API.
pub const IAM_VERSION: &str = "2010-05-08";
/// The longest session of a chained role, in seconds.
pub const CHAINED_MAX_SECS: u64 = 3600;
/// The shortest session, in seconds.
pub const DURATION_MIN_SECS: u64 = 900;
/// The longest session of a role, in seconds.
pub const DURATION_MAX_SECS: u64 = 43_200;
/// The longest session of a user, in seconds (GetSessionToken).
pub const USER_DURATION_MAX_SECS: u64 = 129_600;
/// The longest session policy, in characters; all of them together may not be longer either.
pub const POLICY_CHARS_MAX: usize = 2048;
/// The most managed session policies.
pub const POLICY_ARNS_MAX: usize = 10;
/// The most session tags.
pub const TAGS_MAX: usize = 50;

/// An error as AWS's clients read it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AwsError {
    /// The HTTP status.
    pub status: u16,
    /// The code.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// After how many milliseconds the request, signed anew, may be tried again (`x-amz-retry-after`).
    pub retry_after_ms: Option<u64>,
}

impl AwsError {
    /// An error of the caller.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after_ms: None }
    }

    /// A parameter that breaks a constraint.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationError", message)
    }

    /// The caller may not.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(403, "AccessDenied", message)
    }

    /// The answer's body.
    pub fn xml(&self, service: Service, request_id: &str) -> String {
        let kind = if self.status < 500 { "Sender" } else { "Receiver" };
        format!(
            "<ErrorResponse xmlns=\"{}\"><Error><Type>{kind}</Type><Code>{}</Code><Message>{}</Message></Error>\
             <RequestId>{request_id}</RequestId></ErrorResponse>",
            service.namespace(),
            self.code,
            escape(&self.message)
        )
    }
}

impl From<SigError> for AwsError {
    fn from(error: SigError) -> Self {
        Self { status: error.status, code: error.code, message: error.message, retry_after_ms: error.retry_after_ms }
    }
}

/// A service that speaks the Query protocol here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Security Token Service.
    Sts,
    /// Identity and Access Management, reading only.
    Iam,
}

impl Service {
    /// The service that a scope names.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "sts" => Some(Self::Sts),
            "iam" => Some(Self::Iam),
            _ => None,
        }
    }

    /// The name in a scope.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sts => "sts",
            Self::Iam => "iam",
        }
    }

    /// The XML namespace of its answers.
    pub fn namespace(self) -> &'static str {
        match self {
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
        }
    }
}

/// A request's parameters, each read once.
#[derive(Debug, Clone)]
pub struct Query {
    /// The service, by its version.
    pub service: Service,
    /// The operation.
    pub action: String,
    parameters: BTreeMap<String, String>,
}

impl Query {
    /// From the parameters of a form.
    pub fn read(mut parameters: BTreeMap<String, String>) -> Result<Self, AwsError> {
        let Some(action) = parameters.remove("Action") else {
            return Err(AwsError::new(400, "MissingAction", "The request is missing an action or a required parameter."));
        };
        let version = parameters.remove("Version").unwrap_or_default();
        let service = match version.as_str() {
            STS_VERSION => Service::Sts,
            IAM_VERSION => Service::Iam,
            _ => {
                let message = format!("Could not find operation {} for version {}", shown(&action), shown(&version));
                return Err(AwsError::new(400, "InvalidAction", message));
            }
        };
        Ok(Self { service, action, parameters })
    }

    /// Takes a parameter.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.parameters.remove(name)
    }

    /// Takes a parameter that has to be there.
    pub fn need(&mut self, name: &'static str) -> Result<String, AwsError> {
        self.take(name).ok_or_else(|| {
            AwsError::validation(format!(
                "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null",
                member(name)
            ))
        })
    }

    /// Takes the values of a list: `<name>.member.<n>` with the fields, in the order of n from 1 without a gap.
    pub fn list(&mut self, name: &str, fields: &[&str], max: usize) -> Result<Vec<Vec<Option<String>>>, AwsError> {
        let mut rows = Vec::new();
        for n in 1.. {
            let row: Vec<Option<String>> = fields
                .iter()
                .map(|field| {
                    let dot = if field.is_empty() { "" } else { "." };
                    self.take(&format!("{name}.member.{n}{dot}{field}"))
                })
                .collect();
            if row.iter().all(Option::is_none) {
                break;
            }
            rows.push(row);
            if rows.len() > max {
                return Err(AwsError::validation(format!(
                    "1 validation error detected: Value at '{}' failed to satisfy constraint: Member must have length less than or \
                     equal to {max}",
                    member(name)
                )));
            }
        }
        Ok(rows)
    }

    /// Refuses what nobody took: a parameter that isn't understood may change what is asked.
    pub fn done(&self) -> Result<(), AwsError> {
        match self.parameters.keys().next() {
            None => Ok(()),
            Some(name) => Err(AwsError::validation(format!("The parameter {} is not supported.", shown(name)))),
        }
    }
}

/// A session tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Whether sessions that are chained from this one keep it.
    pub transitive: bool,
}

/// What AssumeRole and AssumeRoleWithWebIdentity ask for, checked against the limits that don't depend on the role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssumeRole {
    /// The role's ARN.
    pub role_arn: String,
    /// The session's name.
    pub session_name: String,
    /// How long, in seconds; `None` asks for an hour.
    pub duration_secs: Option<u64>,
    /// A session policy, as JSON text.
    pub policy: Option<String>,
    /// The ARNs of managed session policies.
    pub policy_arns: Vec<String>,
    /// Session tags.
    pub tags: Vec<Tag>,
    /// The external id.
    pub external_id: Option<String>,
    /// The source identity.
    pub source_identity: Option<String>,
}

impl AssumeRole {
    /// Reads AssumeRole's parameters.
    pub fn read(query: &mut Query) -> Result<Self, AwsError> {
        let mut asked = Self::common(query)?;
        let transitive = query.list("TransitiveTagKeys", &[""], TAGS_MAX)?;
        let transitive: Vec<String> = transitive.into_iter().flatten().flatten().collect();
        for row in query.list("Tags", &["Key", "Value"], TAGS_MAX)? {
            let [key, value] = row.as_slice() else { continue };
            let tag = tag(key.clone().unwrap_or_default(), value.clone().unwrap_or_default(), &transitive)?;
            if asked.tags.iter().any(|other: &Tag| other.key.eq_ignore_ascii_case(&tag.key)) {
                return Err(AwsError::new(
                    400,
                    "InvalidParameterValue",
                    "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
                ));
            }
            asked.tags.push(tag);
        }
        if let Some(key) = transitive.iter().find(|key| !asked.tags.iter().any(|tag| tag.key.eq_ignore_ascii_case(key))) {
            return Err(AwsError::new(
                400,
                "InvalidParameterValue",
                format!("The transitive tag key {} is not among the tags.", shown(key)),
            ));
        }
        asked.external_id = constrained(query.take("ExternalId"), "externalId", 2..=1224, "_+=,.@:/-")?;
        asked.source_identity = constrained(query.take("SourceIdentity"), "sourceIdentity", 2..=64, "_+=,.@-")?;
        if asked.source_identity.as_deref().is_some_and(|identity| identity.to_ascii_lowercase().starts_with("aws:")) {
            return Err(AwsError::validation("Member 'sourceIdentity' may not begin with aws:"));
        }
        if query.take("SerialNumber").is_some() | query.take("TokenCode").is_some() {
            return Err(AwsError::denied("MultiFactorAuthentication failed: no MFA device is known to Remit."));
        }
        query.done()?;
        Ok(asked)
    }

    /// Reads AssumeRoleWithWebIdentity's parameters; the second value is the token.
    pub fn read_web_identity(query: &mut Query) -> Result<(Self, zeroize::Zeroizing<String>), AwsError> {
        let asked = Self::common(query)?;
        let token = zeroize::Zeroizing::new(query.need("WebIdentityToken")?);
        if !(4..=20_000).contains(&token.len()) {
            return Err(AwsError::validation(
                "1 validation error detected: Value at 'webIdentityToken' failed to satisfy constraint: Member must have length between 4 and 20000",
            ));
        }
        if query.take("ProviderId").is_some() {
            return Err(AwsError::validation(
                "ProviderId is for OAuth 2.0 access tokens; only OpenID Connect ID tokens are taken.",
            ));
        }
        query.done()?;
        Ok((asked, token))
    }

    fn common(query: &mut Query) -> Result<Self, AwsError> {
        let role_arn = query.need("RoleArn")?;
        if !(20..=2048).contains(&role_arn.chars().count()) {
            return Err(AwsError::validation(format!(
                "1 validation error detected: Value {} at 'roleArn' failed to satisfy constraint: Member must have length between 20 and \
                 2048",
                quoted(&role_arn)
            )));
        }
        let name = query.need("RoleSessionName")?;
        let session_name = constrained(Some(name), "roleSessionName", 2..=64, "_+=,.@-")?.unwrap_or_default();
        let duration_secs = duration(query.take("DurationSeconds"), DURATION_MAX_SECS)?;
        let policy = query.take("Policy");
        if let Some(policy) = policy.as_ref().filter(|policy| policy.chars().count() > POLICY_CHARS_MAX) {
            return Err(AwsError::validation(format!(
                "1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than or equal \
                 to {POLICY_CHARS_MAX}, and it has {}",
                policy.chars().count()
            )));
        }
        let policy_arns = query.list("PolicyArns", &["arn"], POLICY_ARNS_MAX)?.into_iter().flatten().flatten().collect();
        Ok(Self {
            role_arn,
            session_name,
            duration_secs,
            policy,
            policy_arns,
            tags: Vec::new(),
            external_id: None,
            source_identity: None,
        })
    }
}

/// A duration, in seconds.
pub fn duration(said: Option<String>, max_secs: u64) -> Result<Option<u64>, AwsError> {
    let Some(said) = said else { return Ok(None) };
    let constraint = |what: &str| {
        AwsError::validation(format!(
            "1 validation error detected: Value {} at 'durationSeconds' failed to satisfy constraint: Member must have value {what}",
            quoted(&said)
        ))
    };
    let secs: u64 = said.parse().map_err(|_| constraint("that is a number"))?;
    if secs < DURATION_MIN_SECS {
        return Err(constraint(&format!("greater than or equal to {DURATION_MIN_SECS}")));
    }
    if secs > max_secs {
        return Err(constraint(&format!("less than or equal to {max_secs}")));
    }
    Ok(Some(secs))
}

fn tag(key: String, value: String, transitive: &[String]) -> Result<Tag, AwsError> {
    let allowed = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c));
    let fits = (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256 && allowed(&key) && allowed(&value);
    if !fits || key.to_ascii_lowercase().starts_with("aws:") {
        return Err(AwsError::validation(format!(
            "1 validation error detected: Value at 'tags' failed to satisfy constraint: the tag {} is not one of 1 to 128 and up to 256 \
             characters, or its key begins with aws:",
            shown(&key)
        )));
    }
    let transitive = transitive.iter().any(|other| other.eq_ignore_ascii_case(&key));
    Ok(Tag { key, value, transitive })
}

fn constrained(
    value: Option<String>,
    name: &str,
    len: std::ops::RangeInclusive<usize>,
    besides: &str,
) -> Result<Option<String>, AwsError> {
    let Some(value) = value else { return Ok(None) };
    let constraint = |what: String| {
        AwsError::validation(format!(
            "1 validation error detected: Value {} at '{name}' failed to satisfy constraint: Member must {what}",
            quoted(&value)
        ))
    };
    let count = value.chars().count();
    if count < *len.start() {
        return Err(constraint(format!("have length greater than or equal to {}", len.start())));
    }
    if count > *len.end() {
        return Err(constraint(format!("have length less than or equal to {}", len.end())));
    }
    if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || besides.as_bytes().contains(&byte)) {
        return Err(constraint(format!("satisfy regular expression pattern: [\\w{}]*", besides.trim_start_matches('_'))));
    }
    Ok(Some(value))
}

/// The name of a parameter as AWS's messages write it.
fn member(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn quoted(value: &str) -> String {
    format!("'{}'", shown(value))
}

/// The first characters of what a caller wrote.
fn shown(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Writes an answer: elements in elements, then the metadata.
#[derive(Debug)]
pub struct Answer {
    service: Service,
    action: String,
    xml: String,
}

impl Answer {
    /// The answer to an operation.
    pub fn new(service: Service, action: &str) -> Self {
        Self { service, action: action.to_owned(), xml: String::new() }
    }

    /// Adds an element with a text.
    pub fn text(&mut self, name: &str, text: &str) -> &mut Self {
        let _ = write!(self.xml, "<{name}>{}</{name}>", escape(text));
        self
    }

    /// Adds an element with elements.
    pub fn element(&mut self, name: &str, inside: impl FnOnce(&mut Self)) -> &mut Self {
        let _ = write!(self.xml, "<{name}>");
        inside(self);
        let _ = write!(self.xml, "</{name}>");
        self
    }

    /// The body.
    pub fn xml(&self, request_id: &str) -> String {
        let Self { service, action, xml } = self;
        format!(
            "<{action}Response xmlns=\"{}\"><{action}Result>{xml}</{action}Result><ResponseMetadata><RequestId>{request_id}</RequestId>\
             </ResponseMetadata></{action}Response>",
            service.namespace()
        )
    }
}

/// Text inside XML. Characters that XML can't hold become U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(escaped, "&#{};", u32::from(c));
            }
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Result<AssumeRole, AwsError> {
        let base = [
            ("Action", "AssumeRole"),
            ("Version", STS_VERSION),
            ("RoleArn", "arn:aws:iam::444455556666:role/DevOpsAgentSpaceRole"),
            ("RoleSessionName", "test"),
        ];
        let parameters = base.iter().chain(pairs).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        AssumeRole::read(&mut Query::read(parameters)?)
    }

    #[test]
    fn limits_are_stss() {
        let long = "x".repeat(65);
        let policy = "x".repeat(2049);
        let cases: [(&[(&str, &str)], &str); 14] = [
            (&[("RoleSessionName", "x")], "greater than or equal to 2"),
            (&[("RoleSessionName", &long)], "less than or equal to 64"),
            (&[("RoleSessionName", "a b")], "satisfy regular expression"),
            (&[("DurationSeconds", "899")], "greater than or equal to 900"),
            (&[("DurationSeconds", "43201")], "less than or equal to 43200"),
            (&[("DurationSeconds", "1h")], "a number"),
            (&[("ExternalId", "x")], "greater than or equal to 2"),
            (&[("ExternalId", "a b")], "satisfy regular expression"),
            (&[("SourceIdentity", "aws:x")], "regular expression"),
            (&[("Policy", &policy)], "2048"),
            (&[("Tags.member.1.Key", "aws:x"), ("Tags.member.1.Value", "y")], "begins with aws:"),
            (&[("Tags.member.1.Key", "a"), ("Tags.member.2.Key", "A")], "Duplicate"),
            (&[("TransitiveTagKeys.member.1", "a")], "not among the tags"),
            (&[("Unknown", "x")], "not supported"),
        ];
        for (pairs, what) in cases {
            let error = asked(pairs).unwrap_err();
            assert!(error.message.contains(what) && error.status == 400, "{pairs:?}: {error}");
        }
        let fits = asked(&[
            ("ExternalId", "arn:aws:aidevops:us-east-1:111122223333:agentspace/prod-sre"),
            ("Tags.member.1.Key", "team"),
            ("Tags.member.1.Value", "sre"),
            ("TransitiveTagKeys.member.1", "team"),
        ]);
        assert_eq!(fits.unwrap().tags, [Tag { key: "team".into(), value: "sre".into(), transitive: true }]);
    }

    #[test]
    fn answers_are_escaped() {
        let mut answer = Answer::new(Service::Sts, "GetCallerIdentity");
        answer.text("Arn", "a<b>&\"c\u{1}");
        let xml = answer.xml("id");
        assert!(xml.contains("<Arn>a&lt;b&gt;&amp;&quot;c\u{fffd}</Arn>"), "{xml}");
        assert!(AwsError::denied("<x>").xml(Service::Sts, "id").contains("<Code>AccessDenied</Code><Message>&lt;x&gt;"));
    }
}
