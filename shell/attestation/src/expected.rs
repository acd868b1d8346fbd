//! Whose signature it must be. A good signature of just anybody proves nothing.

use sigstore_verify::SubjectAltName;
use sigstore_verify::crypto::CertificateInfo;
use thiserror::Error;

use crate::plain;

/// Who vouches for workflows of a host's own repositories, so that their word about them counts. Other services vouch for what they build of
/// anybody's repository, so naming a repository isn't enough there.
const HOSTS: [(&str, &str); 2] =
    [("github.com", "https://token.actions.githubusercontent.com"), ("gitlab.com", "https://gitlab.com")];

/// Why an expectation says nobody in particular.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExpectedError {
    /// The repository is no address of one.
    #[error("`{0}` names no source repository: write https://github.com/OWNER/REPOSITORY")]
    Source(String),
    /// The repository is elsewhere, and nobody in particular vouches for it.
    #[error("who vouches for what is built from `{0}` isn't known: say it with --issuer")]
    SourceIssuer(String),
    /// An identity is one within an issuer's.
    #[error("an identity is somebody only by the word of its issuer: give --issuer with --identity")]
    IdentityIssuer,
    /// An issuer vouches for everybody.
    #[error("an issuer alone is everybody that it vouches for: give --source or --identity with --issuer")]
    Issuer,
}

/// Whose signature it must be: all that is said has to be so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    source: Option<String>,
    identity: Option<String>,
    issuer: Option<String>,
}

impl Expected {
    /// Of a source repository, or of an exact identity (the certificate's subject alternative name) by the word of an issuer.
    pub fn new(source: Option<&str>, identity: Option<&str>, issuer: Option<&str>) -> Result<Self, ExpectedError> {
        let (source, own) = match source {
            Some(text) => {
                let source = repository(text).ok_or_else(|| ExpectedError::Source(text.to_owned()))?;
                let host = source.trim_start_matches("https://").split('/').next().unwrap_or_default();
                let own = HOSTS.iter().find(|(name, _)| *name == host).map(|(_, issuer)| *issuer);
                (Some(source), own)
            }
            None => (None, None),
        };
        let issuer = issuer.or(own).map(str::to_owned);
        match (&source, identity, &issuer) {
            (Some(source), _, None) => Err(ExpectedError::SourceIssuer(source.clone())),
            (_, Some(_), None) => Err(ExpectedError::IdentityIssuer),
            (None, None, Some(_)) => Err(ExpectedError::Issuer),
            _ => Ok(Self { source, identity: identity.map(str::to_owned), issuer }),
        }
    }

    /// Whether nothing was said.
    pub fn is_anybody(&self) -> bool {
        *self == Self::default()
    }

    /// What of the signer is another's than was said, by the certificate's own texts.
    pub(crate) fn differs(&self, certificate: &CertificateInfo) -> Option<String> {
        self.differs_from(&Named {
            source: certificate.ci_claims.source_repository_uri.as_deref(),
            identity: certificate.identity.as_ref().map(SubjectAltName::as_str),
            issuer: certificate.issuer.as_deref(),
        })
    }

    fn differs_from(&self, named: &Named<'_>) -> Option<String> {
        let parts = [
            ("built from", &self.source, named.source),
            ("signed by", &self.identity, named.identity),
            ("vouched for by", &self.issuer, named.issuer),
        ];
        parts.into_iter().find_map(|(what, wanted, is)| {
            let wanted = wanted.as_deref().filter(|wanted| Some(*wanted) != is)?;
            let is = is.map_or_else(|| "nothing that the certificate names".to_owned(), plain);
            Some(format!("it is {what} {is}, and must be {what} {}", plain(wanted)))
        })
    }
}

/// Whom a certificate names.
struct Named<'a> {
    source: Option<&'a str>,
    identity: Option<&'a str>,
    issuer: Option<&'a str>,
}

/// The address of a repository as certificates have it; what package managers add to it is left out.
fn repository(text: &str) -> Option<String> {
    let text = text.strip_prefix("git+").unwrap_or(text).trim_end_matches('/');
    let text = text.strip_suffix(".git").unwrap_or(text);
    let (host, path) = text.strip_prefix("https://")?.split_once('/')?;
    let segments: Vec<&str> = path.split('/').collect();
    let is_plain = |text: &str| {
        !text.is_empty()
            && text != "."
            && text != ".."
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
    };
    let fits = if host == "github.com" { segments.len() == 2 } else { segments.len() >= 2 };
    (fits && is_plain(host) && segments.iter().all(|segment| is_plain(segment))).then(|| format!("https://{host}/{path}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_said_exactly() {
        for same in
            ["https://github.com/acme/weather", "https://github.com/acme/weather/", "git+https://github.com/acme/weather.git"]
        {
            assert_eq!(repository(same).as_deref(), Some("https://github.com/acme/weather"));
        }
        for none in [
            "",
            "acme/weather",
            "github.com/acme/weather",
            "http://github.com/acme/weather",
            "https://github.com/acme",
            "https://github.com/acme/weather/tree/main",
            "https://github.com//weather",
            "https://user@github.com/acme/weather",
            "https://github.com/acme/../weather",
            "https://github.com/acme/weather?a",
            "https://github.com/acme/weather#a",
            "https://github.com/acme/wea ther",
            "git@github.com:acme/weather.git",
        ] {
            assert_eq!(repository(none), None, "{none}");
        }
    }

    #[test]
    fn nobody_in_particular_is_no_expectation() {
        let said = |source, identity, issuer| Expected::new(source, identity, issuer).unwrap_err();
        assert_eq!(said(None, Some("a@b.example"), None), ExpectedError::IdentityIssuer);
        assert_eq!(said(None, None, Some("https://gitlab.com")), ExpectedError::Issuer);
        assert!(matches!(said(Some("https://git.example/a/b"), None, None), ExpectedError::SourceIssuer(_)));
        assert!(matches!(said(Some("weather"), None, None), ExpectedError::Source(_)));
        assert!(Expected::new(None, None, None).unwrap().is_anybody());
    }

    fn named<'a>(source: &'a str, issuer: &'a str) -> Named<'a> {
        Named { source: Some(source), identity: Some("https://ci.example/any"), issuer: Some(issuer) }
    }

    #[test]
    fn a_repository_speaks_by_the_word_of_its_own_host_alone() {
        for (host, issuer) in HOSTS {
            let source = format!("https://{host}/acme/weather");
            let expected = Expected::new(Some(&source), None, None).unwrap();
            assert_eq!(expected.differs_from(&named(&source, issuer)), None);
            let other = expected.differs_from(&named(&source, "https://ci.example")).unwrap();
            assert_eq!(other, format!("it is vouched for by https://ci.example, and must be vouched for by {issuer}"));
            // Whoever says so takes another's word.
            let said = Expected::new(Some(&source), None, Some("https://ci.example")).unwrap();
            assert_eq!(said.differs_from(&named(&source, "https://ci.example")), None);
        }
    }
}
