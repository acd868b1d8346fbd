//! Credentials by their well-known fixed forms.
//!
//! Source: what each issuer publishes of its own tokens' prefixes and lengths.

use std::ops::Range;

/// What may stand in a token's body.
#[derive(Clone, Copy)]
enum Body {
    /// Letters and digits.
    Alphanumeric,
    /// Letters, digits, `_` and `-`.
    Url,
    /// Letters, digits, `_`, `-` and dots.
    Dotted,
    /// Base64 with `/`, `+` and `=`.
    Base64,
    /// Lower-case hexadecimal digits.
    Hex,
}

impl Body {
    fn fits(self, b: u8) -> bool {
        match self {
            Self::Alphanumeric => b.is_ascii_alphanumeric(),
            Self::Url => b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'),
            Self::Dotted => b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'),
            Self::Base64 => b.is_ascii_alphanumeric() || matches!(b, b'/' | b'+' | b'='),
            Self::Hex => b.is_ascii_digit() || matches!(b, b'a'..=b'f'),
        }
    }
}

/// One form: the token's prefix, its body and how long that is.
pub(crate) struct Form {
    /// The name under which it is reported.
    pub(crate) name: &'static str,
    /// How it begins, exactly.
    pub(crate) prefix: &'static str,
    body: Body,
    least: usize,
    most: usize,
}

const fn form(name: &'static str, prefix: &'static str, body: Body, least: usize, most: usize) -> Form {
    Form { name, prefix, body, least, most }
}

use Body::{Alphanumeric, Base64, Dotted, Hex, Url};

/// Every form.
pub(crate) const FORMS: &[Form] = &[
    form("GITHUB_TOKEN", "ghp_", Alphanumeric, 36, 255),
    form("GITHUB_TOKEN", "gho_", Alphanumeric, 36, 255),
    form("GITHUB_TOKEN", "ghu_", Alphanumeric, 36, 255),
    form("GITHUB_TOKEN", "ghs_", Dotted, 36, 1024),
    form("GITHUB_TOKEN", "ghr_", Alphanumeric, 36, 255),
    form("GITHUB_TOKEN", "github_pat_", Url, 50, 255),
    form("GITLAB_TOKEN", "glpat-", Dotted, 20, 300),
    form("GITLAB_TOKEN", "gldt-", Dotted, 20, 300),
    form("GITLAB_TOKEN", "glrt-", Dotted, 20, 300),
    form("GITLAB_TOKEN", "glptt-", Url, 20, 300),
    form("SLACK_TOKEN", "xoxb-", Url, 24, 300),
    form("SLACK_TOKEN", "xoxp-", Url, 24, 300),
    form("SLACK_TOKEN", "xoxa-", Url, 24, 300),
    form("SLACK_TOKEN", "xoxr-", Url, 24, 300),
    form("SLACK_TOKEN", "xoxs-", Url, 24, 300),
    form("SLACK_TOKEN", "xapp-", Url, 24, 300),
    form("SLACK_WEBHOOK", "https://hooks.slack.com/services/", Base64, 40, 90),
    form("STRIPE_KEY", "sk_live_", Alphanumeric, 16, 256),
    form("STRIPE_KEY", "rk_live_", Alphanumeric, 16, 256),
    form("STRIPE_KEY", "sk_test_", Alphanumeric, 16, 256),
    form("STRIPE_KEY", "whsec_", Base64, 24, 128),
    form("ANTHROPIC_KEY", "sk-ant-", Url, 32, 256),
    form("OPENAI_KEY", "sk-proj-", Url, 40, 256),
    form("OPENAI_KEY", "sk-svcacct-", Url, 40, 256),
    form("OPENAI_KEY", "sk-", Alphanumeric, 40, 64),
    form("OPENROUTER_KEY", "sk-or-v1-", Hex, 64, 64),
    form("GROQ_KEY", "gsk_", Alphanumeric, 40, 64),
    form("XAI_KEY", "xai-", Alphanumeric, 60, 100),
    form("GOOGLE_API_KEY", "AIza", Url, 35, 35),
    form("GOOGLE_OAUTH", "ya29.", Dotted, 20, 1024),
    form("GOOGLE_OAUTH", "GOCSPX-", Url, 28, 28),
    form("NPM_TOKEN", "npm_", Alphanumeric, 36, 36),
    form("PYPI_TOKEN", "pypi-AgE", Url, 50, 400),
    form("HUGGINGFACE_TOKEN", "hf_", Alphanumeric, 30, 40),
    form("SENDGRID_KEY", "SG.", Dotted, 60, 72),
    form("MAILGUN_KEY", "key-", Hex, 32, 32),
    form("MAILCHIMP_KEY", "md-", Url, 22, 22),
    form("DIGITALOCEAN_TOKEN", "dop_v1_", Hex, 64, 64),
    form("DIGITALOCEAN_TOKEN", "doo_v1_", Hex, 64, 64),
    form("DATABRICKS_TOKEN", "dapi", Hex, 32, 34),
    form("SHOPIFY_TOKEN", "shpat_", Alphanumeric, 32, 32),
    form("SHOPIFY_TOKEN", "shpss_", Alphanumeric, 32, 32),
    form("SHOPIFY_TOKEN", "shpca_", Alphanumeric, 32, 32),
    form("LINEAR_KEY", "lin_api_", Alphanumeric, 32, 48),
    form("NOTION_TOKEN", "ntn_", Alphanumeric, 40, 50),
    form("NOTION_TOKEN", "secret_", Alphanumeric, 43, 43),
    form("POSTMAN_KEY", "PMAK-", Url, 59, 59),
    form("VAULT_TOKEN", "hvs.", Url, 24, 300),
    form("VAULT_TOKEN", "hvb.", Url, 24, 300),
    form("DOPPLER_TOKEN", "dp.pt.", Alphanumeric, 40, 44),
    form("AGE_KEY", "AGE-SECRET-KEY-1", Alphanumeric, 58, 58),
    form("GRAFANA_TOKEN", "glsa_", Url, 40, 48),
    form("GRAFANA_TOKEN", "glc_", Base64, 32, 400),
    form("NEW_RELIC_KEY", "NRAK-", Alphanumeric, 27, 27),
    form("SENTRY_TOKEN", "sntrys_", Base64, 40, 400),
    form("SENTRY_TOKEN", "sntryu_", Hex, 64, 64),
    form("ATLASSIAN_TOKEN", "ATATT3", Base64, 100, 250),
    form("FIGMA_TOKEN", "figd_", Url, 38, 60),
    form("HEROKU_KEY", "HRKU-", Url, 36, 80),
    form("SQUARE_TOKEN", "sq0atp-", Url, 22, 22),
    form("SQUARE_TOKEN", "EAAAE", Url, 55, 62),
    form("SUPABASE_TOKEN", "sbp_", Hex, 40, 40),
    form("PLANETSCALE_TOKEN", "pscale_tkn_", Url, 32, 64),
    form("TAVILY_KEY", "tvly-", Url, 28, 64),
    form("REPLICATE_TOKEN", "r8_", Alphanumeric, 37, 40),
    form("DOCKER_TOKEN", "dckr_pat_", Url, 27, 32),
    form("AZURE_STORAGE_KEY", "AccountKey=", Base64, 86, 90),
    form("JSON_WEB_TOKEN", "eyJ", Dotted, 40, 4000),
    form("BEARER_TOKEN", "Bearer ", Base64, 20, 1024),
    form("PRIVATE_KEY", "-----BEGIN ", Base64, 0, 0),
];

/// The token of a form that begins at a place, if one does.
pub(crate) fn at(bytes: &[u8], at: usize, form: &Form) -> Option<Range<usize>> {
    let prefix = form.prefix.as_bytes();
    if bytes.get(at..at + prefix.len())? != prefix {
        return None;
    }
    if form.name == "PRIVATE_KEY" {
        return private_key(bytes, at);
    }
    let start = at + prefix.len();
    let rest = bytes.get(start..)?;
    let mut length = rest.iter().take(form.most + 1).take_while(|&&b| form.body.fits(b)).count();
    if matches!(form.body, Body::Dotted) {
        while length > 0 && rest.get(length - 1) == Some(&b'.') {
            length -= 1;
        }
    }
    let body = rest.get(..length)?;
    let enough = length >= form.least && length <= form.most;
    let plausible = match form.name {
        "JSON_WEB_TOKEN" => {
            body.split(|&b| b == b'.').count() == 3 && body.split(|&b| b == b'.').take(2).all(|part| part.len() >= 8)
        }
        "SENDGRID_KEY" => body.split(|&b| b == b'.').count() == 2,
        _ => is_random(body),
    };
    (enough && plausible).then(|| at..start + length)
}

/// Whether a body could have been drawn: not one letter throughout, not a placeholder in words.
fn is_random(body: &[u8]) -> bool {
    let mut seen = [false; 256];
    for &b in body {
        if let Some(place) = seen.get_mut(usize::from(b)) {
            *place = true;
        }
    }
    let different = seen.iter().filter(|seen| **seen).count();
    let mixed = body.iter().any(u8::is_ascii_digit) || body.len() >= 40 && body.iter().any(u8::is_ascii_uppercase);
    different >= 8 && mixed
}

/// RFC 7468's armour of a private key, to its end or as far as a match may reach.
fn private_key(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let head = bytes.get(at..(at + 64).min(bytes.len()))?;
    let label = memchr::memmem::find(head, b"PRIVATE KEY")?;
    let line = memchr::memchr(b'\n', head).unwrap_or(head.len());
    if label > line {
        return None;
    }
    let limit = (at + crate::pii::MATCH_BYTES_MAX).min(bytes.len());
    let rest = bytes.get(at..limit)?;
    let end = memchr::memmem::find(rest, b"-----END ").and_then(|end| {
        let close = memchr::memmem::find(rest.get(end + 9..)?, b"-----")?;
        Some(at + end + 9 + close + 5)
    });
    // Without an end, whatever looks like base64 belongs to it.
    let open = || {
        let start = at + label + 16;
        let length = bytes
            .get(start.min(limit)..limit)
            .unwrap_or_default()
            .iter()
            .take_while(|&&b| b.is_ascii_alphanumeric() || b"+/=\n\r-\\".contains(&b))
            .count();
        (start + length).min(limit)
    };
    Some(at..end.unwrap_or_else(open))
}
