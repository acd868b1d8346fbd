//! AWS's own vectors, a table of hostile requests, and the law that nothing signed can be changed.

use proptest::prelude::*;
use remit_identity::sigv4::{Claim, Request, SigError, sign, timestamp};
use serde_json::Value;

const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2015-08-30T12:36:00Z, when the suite was signed.
const NOW: u64 = 1_440_938_160;

/// A request that can be changed before it is looked at.
#[derive(Debug, Clone)]
struct Owned {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Owned {
    fn with<T>(&self, use_it: impl FnOnce(&Request<'_>) -> T) -> T {
        let headers: Vec<(&str, &str)> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        use_it(&Request { method: &self.method, path: &self.path, query: &self.query, headers: &headers, body: &self.body })
    }

    fn check(&self, now: u64) -> Result<(), SigError> {
        self.with(|request| {
            let claim = Claim::read(request)?.ok_or_else(|| SigError::incomplete("unsigned"))?;
            claim.verify(request, SECRET, now)
        })
    }

    fn header(&mut self, name: &str) -> &mut String {
        &mut self.headers.iter_mut().find(|(other, _)| other.eq_ignore_ascii_case(name)).unwrap().1
    }
}

/// Reads the text of a request as the suite writes it: raw spaces in the path, folded headers.
fn parse(text: &str) -> Owned {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let line = lines.next().unwrap();
    let (method, rest) = line.split_once(' ').unwrap();
    let (target, _) = rest.rsplit_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in lines {
        if line.starts_with(' ') {
            headers.last_mut().unwrap().1 += line;
        } else {
            let (name, value) = line.split_once(':').unwrap();
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    let body = body.trim_end_matches('\n').as_bytes().to_vec();
    Owned { method: method.to_owned(), path: path.to_owned(), query: query.to_owned(), headers, body }
}

#[test]
fn aws_vectors() {
    let suite: Value = serde_json::from_str(include_str!("../vectors/sigv4.json")).unwrap();
    let (mut headers, mut queries) = (0, 0);
    for case in suite["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let mut request = parse(case["header-signed-request"].as_str().unwrap());
        if name == "post-sts-header-after" {
            // The suite adds the token after signing, for services that look at it themselves. Unsigned it could be anybody's.
            assert_eq!(request.check(NOW).unwrap_err().code, "SignatureDoesNotMatch", "{name}");
            request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("x-amz-security-token"));
        }
        assert_eq!(request.check(NOW), Ok(()), "{name}");
        headers += 1;
        if name == "post-sts-header-after" {
            continue;
        }
        if let Some(text) = case["query-signed-request"].as_str() {
            let request = parse(text);
            assert_eq!(request.check(NOW + 3600), Ok(()), "{name}");
            assert_eq!(request.check(NOW + 3601).unwrap_err().code, "SignatureDoesNotMatch", "{name}");
            queries += 1;
        }
    }
    assert_eq!((headers, queries), (31, 30));
}

/// A POST to an STS endpoint, signed as botocore signs.
fn signed() -> Owned {
    let mut request = Owned {
        method: "POST".into(),
        path: "/".into(),
        query: String::new(),
        headers: vec![
            ("Host".into(), "127.0.0.1:8080".into()),
            ("X-Amz-Date".into(), timestamp(NOW)),
            ("X-Amz-Security-Token".into(), "FQoGZXIvYXdzEXAMPLE".into()),
            ("Content-Type".into(), "application/x-www-form-urlencoded; charset=utf-8".into()),
        ],
        body: b"Action=GetCallerIdentity&Version=2011-06-15".to_vec(),
    };
    let value = request.with(|request| sign(request, (KEY, SECRET), ("us-east-1", "sts")).unwrap());
    request.headers.push(("Authorization".into(), value));
    request
}

/// The same, presigned.
fn presigned() -> Owned {
    let suite: Value = serde_json::from_str(include_str!("../vectors/sigv4.json")).unwrap();
    let case = suite["cases"].as_array().unwrap().iter().find(|case| case["name"] == "get-vanilla-with-session-token").unwrap();
    parse(case["query-signed-request"].as_str().unwrap())
}

type Change = fn(&mut Owned);

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn hostile_requests() {
    const MISMATCH: &str = "SignatureDoesNotMatch";
    const INCOMPLETE: &str = "IncompleteSignature";
    let table: &[(&str, &str, Change)] = &[
        ("body swapped", MISMATCH, |r| r.body = b"Action=AssumeRole&Version=2011-06-15".to_vec()),
        ("body cut", MISMATCH, |r| r.body.truncate(10)),
        ("body emptied", MISMATCH, |r| r.body.clear()),
        ("method changed", MISMATCH, |r| r.method = "GET".into()),
        ("method in lower case", MISMATCH, |r| r.method = "post".into()),
        ("path changed", MISMATCH, |r| r.path = "/spaces/prod/mcp".into()),
        ("query added", MISMATCH, |r| r.query = "Action=AssumeRole".into()),
        ("query without a value added", MISMATCH, |r| r.query = "x".into()),
        ("query that is no UTF-8", INCOMPLETE, |r| r.query = "x=%ff".into()),
        ("query with a broken escape", INCOMPLETE, |r| r.query = "x=%4".into()),
        ("host changed", MISMATCH, |r| *r.header("host") = "evil.example".into()),
        ("content type changed", MISMATCH, |r| *r.header("content-type") = "application/json".into()),
        ("session token changed", MISMATCH, |r| r.header("x-amz-security-token").push('A')),
        ("session token taken away", MISMATCH, |r| r.headers.retain(|(n, _)| n != "X-Amz-Security-Token")),
        ("session token twice", INCOMPLETE, |r| r.headers.push(("x-amz-security-token".into(), "B".into()))),
        ("session token empty", "InvalidClientTokenId", |r| r.header("x-amz-security-token").clear()),
        ("session token of a megabyte", "InvalidClientTokenId", |r| *r.header("x-amz-security-token") = "A".repeat(1 << 20)),
        ("unsigned x-amz header", MISMATCH, |r| r.headers.push(("X-Amz-Target".into(), "x".into()))),
        ("unsigned x-amz header in odd case", MISMATCH, |r| r.headers.push(("x-AMZ-target".into(), "x".into()))),
        ("date changed", MISMATCH, |r| *r.header("x-amz-date") = timestamp(NOW + 1)),
        ("date of another day", MISMATCH, |r| *r.header("x-amz-date") = timestamp(NOW + 86_400)),
        ("date in another form", INCOMPLETE, |r| *r.header("x-amz-date") = "Sun, 30 Aug 2015 12:36:00 GMT".into()),
        ("date twice", INCOMPLETE, |r| r.headers.push(("X-Amz-Date".into(), timestamp(NOW)))),
        ("date missing", INCOMPLETE, |r| r.headers.retain(|(n, _)| n != "X-Amz-Date")),
        ("date that there never was", INCOMPLETE, |r| *r.header("x-amz-date") = "20150230T123600Z".into()),
        ("host twice", MISMATCH, |r| r.headers.push(("host".into(), "evil.example".into()))),
        ("wrong day in the scope", MISMATCH, |r| replace(r, "/20150830/", "/20150831/")),
        ("wrong region in the scope", MISMATCH, |r| replace(r, "/us-east-1/", "/us-west-2/")),
        ("wrong service in the scope", MISMATCH, |r| replace(r, "/sts/", "/iam/")),
        ("scope with another end", INCOMPLETE, |r| replace(r, "/aws4_request", "/aws4_Request")),
        ("scope with six parts", INCOMPLETE, |r| replace(r, "/sts/", "/sts/x/")),
        ("scope with four parts", INCOMPLETE, |r| replace(r, "/sts/", "/")),
        ("key id with a line break", INCOMPLETE, |r| replace(r, "AKID", "AK\nID")),
        ("another algorithm", INCOMPLETE, |r| replace(r, "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1")),
        ("the algorithm in lower case", INCOMPLETE, |r| replace(r, "AWS4-HMAC-SHA256", "AWS4-hmac-sha256")),
        ("no algorithm that is ours", INCOMPLETE, |r| replace(r, "AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")),
        ("host not signed", MISMATCH, |r| replace(r, "content-type;host;", "content-type;")),
        ("signed headers out of order", INCOMPLETE, |r| replace(r, "content-type;host", "host;content-type")),
        ("signed header twice", INCOMPLETE, |r| replace(r, "content-type;host", "content-type;host;host")),
        ("signed headers in upper case", INCOMPLETE, |r| replace(r, "content-type;host", "Content-Type;Host")),
        ("signed header that isn't there", MISMATCH, |r| replace(r, "content-type;host", "content-type;cookie;host")),
        ("signed headers empty", INCOMPLETE, |r| replace(r, "content-type;host;x-amz-date;x-amz-security-token", "")),
        ("signature in upper case", INCOMPLETE, |r| {
            let value = r.header("authorization");
            let (head, tail) = value.split_once("Signature=").unwrap();
            *value = format!("{head}Signature={}A", &tail[..63].to_ascii_uppercase());
        }),
        ("signature cut", INCOMPLETE, |r| {
            let _ = r.header("authorization").pop();
        }),
        ("signature of zeros", MISMATCH, |r| {
            let value = r.header("authorization");
            let at = value.len() - 64;
            value.replace_range(at.., &"0".repeat(64));
        }),
        ("signature twice", INCOMPLETE, |r| r.header("authorization").push_str(&format!(", Signature={}", "0".repeat(64)))),
        ("credential twice", INCOMPLETE, |r| replace(r, "SignedHeaders=", "Credential=A/B/C/D/aws4_request, SignedHeaders=")),
        ("parameter that nobody knows", INCOMPLETE, |r| replace(r, "SignedHeaders=", "Extra=1, SignedHeaders=")),
        ("no credential", INCOMPLETE, |r| replace(r, "Credential=", "credential=")),
        ("authorization twice", INCOMPLETE, |r| {
            let value = r.header("authorization").clone();
            r.headers.push(("authorization".into(), value));
        }),
        ("signed in the query too", INCOMPLETE, |r| r.query = format!("X-Amz-Signature={}", "0".repeat(64))),
        ("signed in the query too, in odd case", INCOMPLETE, |r| r.query = format!("x-amz-signature={}", "0".repeat(64))),
        ("says that its payload is unsigned", MISMATCH, |r| {
            r.headers.push(("X-Amz-Content-Sha256".into(), "UNSIGNED-PAYLOAD".into()));
        }),
        ("says another payload", MISMATCH, |r| r.headers.push(("X-Amz-Content-Sha256".into(), "0".repeat(64)))),
        ("says a streaming payload", MISMATCH, |r| {
            r.headers.push(("X-Amz-Content-Sha256".into(), "STREAMING-AWS4-HMAC-SHA256-PAYLOAD".into()));
        }),
        ("thousands of headers", INCOMPLETE, |r| r.headers.extend((0..5000).map(|n| (format!("x-{n}"), "x".into())))),
        ("thousands of parameters", INCOMPLETE, |r| r.query = "a=b&".repeat(5000)),
    ];
    assert_eq!(signed().check(NOW), Ok(()));
    for (what, code, change) in table {
        let mut request = signed();
        change(&mut request);
        let refused = request.check(NOW).expect_err(what);
        assert_eq!(refused.code, *code, "{what}: {refused}");
        let secretless = !refused.message.contains(SECRET) && !refused.message.contains("FQoGZXIvYXdz");
        assert!(secretless, "{what}");
    }
    for (what, at) in [("stale", NOW + 301), ("not yet", NOW - 301)] {
        assert_eq!(signed().check(at).unwrap_err().code, MISMATCH, "{what}");
    }
    for at in [NOW + 300, NOW - 300] {
        assert_eq!(signed().check(at), Ok(()));
    }
    assert!(table.len() >= 40);
}

fn replace(request: &mut Owned, from: &str, to: &str) {
    let value = request.header("authorization");
    assert!(value.contains(from), "{from}");
    *value = value.replacen(from, to, 1);
}

#[test]
fn hostile_presigned_requests() {
    let table: &[(&str, &str, Change)] = &[
        ("a life of more than a week", "IncompleteSignature", |r| r.query = r.query.replace("Expires=3600", "Expires=604801")),
        ("a longer life", "SignatureDoesNotMatch", |r| r.query = r.query.replace("Expires=3600", "Expires=604800")),
        ("no life", "IncompleteSignature", |r| r.query = r.query.replace("Expires=3600", "Expires=0")),
        ("a life that is no number", "IncompleteSignature", |r| r.query = r.query.replace("Expires=3600", "Expires=-1")),
        ("expires twice", "IncompleteSignature", |r| r.query.push_str("&X-Amz-Expires=604800")),
        ("expires twice in odd case", "IncompleteSignature", |r| r.query.push_str("&x-amz-expires=604800")),
        ("token changed", "SignatureDoesNotMatch", |r| r.query = r.query.replace("Security-Token=6e", "Security-Token=7e")),
        ("a parameter more", "SignatureDoesNotMatch", |r| r.query.push_str("&Action=AssumeRole")),
        ("a parameter encoded twice", "IncompleteSignature", |r| r.query = r.query.replace("%2F20150830", "%252F20150830")),
        ("unsigned x-amz header", "SignatureDoesNotMatch", |r| r.headers.push(("X-Amz-Date".into(), "20150830T123600Z".into()))),
        ("a body", "SignatureDoesNotMatch", |r| r.body = b"Action=AssumeRole".to_vec()),
    ];
    for (what, code, change) in table {
        let mut request = presigned();
        change(&mut request);
        assert_eq!(request.check(NOW).expect_err(what).code, *code, "{what}");
    }
}

#[test]
fn unsigned_requests_are_nobodys() {
    let mut request = signed();
    request.headers.retain(|(name, _)| name != "Authorization");
    assert_eq!(request.with(Claim::read), Ok(None));
    request.headers.push(("Authorization".into(), "Bearer abc".into()));
    assert_eq!(request.with(Claim::read), Ok(None));
}

proptest! {
    #[test]
    fn what_is_signed_is_verified_and_any_change_is_seen(
        path in "/[a-zA-Z0-9%_~ ./-]{0,40}",
        query in "([a-z]{1,5}=[a-zA-Z0-9_.~-]{0,8}&){0,5}",
        value in "[ -~]{0,40}",
        body in proptest::collection::vec(any::<u8>(), 0..200),
        at in 0..200_usize,
    ) {
        let mut request = Owned {
            method: "POST".into(), path, query,
            headers: vec![("host".into(), "h".into()), ("x-amz-date".into(), timestamp(NOW)), ("x-amz-meta".into(), value)],
            body,
        };
        let signature = request.with(|request| sign(request, (KEY, SECRET), ("eu-west-1", "mcp")).unwrap());
        request.headers.push(("authorization".into(), signature));
        prop_assert_eq!(request.check(NOW), Ok(()));
        if let Some(byte) = request.body.get_mut(at) {
            *byte ^= 1;
            prop_assert_eq!(request.check(NOW).unwrap_err().code, "SignatureDoesNotMatch");
        }
    }

    #[test]
    fn nothing_panics(header in "\\PC{0,200}", query in "\\PC{0,200}", path in "\\PC{0,50}") {
        let header = format!("AWS4-HMAC-SHA256 {header}");
        let headers = [("authorization", header.as_str()), ("x-amz-date", "20150830T123600Z"), ("host", "h")];
        let request = Request { method: "GET", path: &path, query: &query, headers: &headers, body: b"" };
        if let Ok(Some(claim)) = Claim::read(&request) {
            prop_assert!(claim.verify(&request, SECRET, NOW).is_err());
        }
    }
}
