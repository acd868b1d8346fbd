//! Requests to the real endpoints that aren't what they seem: each is refused with its status and its code, and one that is honest and
//! differs in nothing else goes through.

use remit_identity::form;
use remit_identity::sigv4;
use serde_json::Value;

use crate::aws::{OPERATOR_ROLE, RILEY, SPACE_ARN, SUPPORT_ROLE, acme, credentials};
use crate::aws_signed::{CALL, Draft};
use crate::gateway::{Remit, until};

const STS: &str = "2011-06-15";

/// The text of an element that must be there once, in an answer that is well-formed as far as its tags go.
fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let mut open: Vec<&str> = Vec::new();
    for tag in xml.split('<').skip(1) {
        let (inside, text) = tag.split_once('>').unwrap_or_else(|| panic!("{xml}"));
        assert!(!text.contains('>') || text.contains("&gt;"), "{xml}");
        match inside.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed), "{xml}"),
            None => open.push(inside.split(' ').next().unwrap()),
        }
    }
    assert!(open.is_empty(), "{xml}");
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {xml}"));
    rest.split_once(&format!("</{name}>")).unwrap().0
}

struct World {
    remit: Remit,
    riley: Value,
    space: Value,
}

impl World {
    fn start() -> Self {
        let remit = Remit::up_at(acme(&[]), &[]);
        for server in ["observability", "deployments"] {
            remit.until_server(server, "ready");
        }
        let (riley, space) = (credentials(&remit, RILEY, &[]), credentials(&remit, SPACE_ARN, &[]));
        Self { remit, riley, space }
    }

    /// A request of the STS endpoint.
    fn sts(&self, pair: &Value, parameters: &[(&str, &str)]) -> Draft {
        let all = parameters.iter().copied();
        let draft = Draft::new(&self.remit, pair, "sts", "/", &form::write(all));
        draft.header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
    }

    fn who(&self) -> Draft {
        self.sts(&self.riley, &[("Action", "GetCallerIdentity"), ("Version", STS)])
    }

    fn assume(&self, more: &[(&str, &str)]) -> Draft {
        let base = [("Action", "AssumeRole"), ("Version", STS), ("RoleArn", OPERATOR_ROLE), ("RoleSessionName", "test")];
        let kept = base.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
        self.sts(&self.riley, &kept.chain(more).copied().collect::<Vec<_>>())
    }

    /// What is refused at the STS endpoint.
    #[track_caller]
    fn refused(&self, what: &str, draft: &Draft, status: u16, code: &str) {
        let mut answer = draft.send(&self.remit);
        let body = answer.body();
        assert_eq!((answer.status, element(&body, "Code")), (status, code), "{what}: {body}");
        assert!(answer.header("x-amzn-requestid").is_some_and(|id| id == element(&body, "RequestId")), "{what}");
        for secret in [&self.riley["SecretAccessKey"], &self.space["SecretAccessKey"], &self.space["SessionToken"]] {
            assert!(!body.contains(secret.as_str().unwrap()), "{what}: {body}");
        }
    }

    /// What is refused at a space's endpoint.
    #[track_caller]
    fn shut_out(&self, what: &str, draft: &Draft, status: u16, reason: &str, part: &str) {
        let mut answer = draft.send(&self.remit);
        let said = answer.message();
        let data = &said["error"]["data"];
        assert_eq!((answer.status, data["reason"].as_str()), (status, Some(reason)), "{what}: {said}");
        let entry = self.remit.place().log_of("decision").pop().unwrap();
        assert_eq!(entry["verdict"], "DENY", "{what}");
        let layers = entry["layers"].to_string();
        assert!(layers.contains(part), "{what}: {layers}");
    }
}

#[test]
fn the_token_service_refuses() {
    let world = World::start();
    let World { riley, space, .. } = &world;
    let denied = |what: &str, draft: &Draft, status: u16, code: &str| world.refused(what, draft, status, code);
    let mismatch = |what: &str, draft: &Draft| world.refused(what, draft, 403, "SignatureDoesNotMatch");
    // The signature.
    denied("unsigned", &world.who(), 403, "MissingAuthenticationToken");
    denied("a token instead", &world.who().header("authorization", "Bearer x"), 403, "MissingAuthenticationToken");
    denied(
        "another algorithm",
        &world.who().signed().authorization(|text| text.replace("SHA256", "SHA1")),
        400,
        "IncompleteSignature",
    );
    denied(
        "no signed headers",
        &world.who().signed().authorization(|text| text.replace("SignedHeaders=", "Headers=")),
        400,
        "IncompleteSignature",
    );
    denied(
        "two signatures",
        &world.who().signed().authorization(|text| format!("{text}, Signature={}", "0".repeat(64))),
        400,
        "IncompleteSignature",
    );
    denied(
        "an upper-case signature",
        &world.who().signed().authorization(|text| {
            let (head, signature) = text.split_once("Signature=").unwrap();
            format!("{head}Signature={}", signature.to_uppercase())
        }),
        400,
        "IncompleteSignature",
    );
    denied(
        "unordered headers",
        &world.who().signed().authorization(|text| text.replace("content-type;host", "host;content-type")),
        400,
        "IncompleteSignature",
    );
    let two =
        world.who().signed().with(|draft| draft.headers.push(("authorization".into(), draft.headers.last().unwrap().1.clone())));
    denied("two authorizations", &two, 400, "IncompleteSignature");
    mismatch(
        "a zero signature",
        &world
            .who()
            .signed()
            .authorization(|text| format!("{}Signature={}", text.split_once("Signature=").unwrap().0, "0".repeat(64))),
    );
    mismatch("a wrong secret", &world.who().with(|draft| draft.secret = "x".repeat(40)).signed());
    mismatch("another region", &world.who().with(|draft| draft.region = "eu-north-1".into()).signed());
    mismatch("a region changed afterwards", &world.who().signed().authorization(|text| text.replace("us-east-1", "us-west-2")));
    mismatch("another service", &world.who().with(|draft| draft.service = "s3".into()).signed());
    mismatch("IAM's scope for STS", &world.who().with(|draft| draft.service = "iam".into()).signed());
    let yesterday = sigv4::timestamp(remit_authority::system_now_secs() - 86_400);
    let today = sigv4::timestamp(remit_authority::system_now_secs());
    mismatch("another day in the scope", &world.who().signed().authorization(|text| text.replace(&today[..8], &yesterday[..8])));
    mismatch("an unsigned host", &world.who().signed().authorization(|text| text.replace("host;", "")));
    mismatch("an unsigned x-amz header", &world.who().signed().header("x-amz-target", "other"));
    mismatch("a signed header left out", &world.who().header("x-extra", "1").signed().without("x-extra"));
    mismatch("a header changed", &world.who().header("x-extra", "1").signed().header("x-extra", "2"));
    mismatch("stale", &world.who().at(-301).signed());
    mismatch("of the future", &world.who().at(330).signed());
    denied("no date", &world.who().signed().without("x-amz-date"), 400, "IncompleteSignature");
    denied("no such date", &world.who().signed().header("x-amz-date", "20260230T000000Z"), 400, "IncompleteSignature");
    mismatch(
        "a body that was swapped",
        &world.assume(&[]).signed().with(|draft| draft.body = draft.body.replace("test", "root")),
    );
    mismatch("a digest of another body", &world.who().header("x-amz-content-sha256", &"0".repeat(64)).signed());
    mismatch("an unsigned payload", &world.who().header("x-amz-content-sha256", "UNSIGNED-PAYLOAD").signed());
    mismatch(
        "another method",
        &world.who().with(|draft| draft.method = "GET".into()).signed().with(|draft| {
            draft.method = "POST".into();
        }),
    );
    // The key.
    denied(
        "an unknown key",
        &world.who().with(|draft| draft.id = "AKIAAAAAAAAAAAAAAAAA".into()).signed(),
        403,
        "InvalidClientTokenId",
    );
    denied(
        "a key in another case",
        &world.who().with(|draft| draft.id = draft.id.to_lowercase()).signed(),
        403,
        "InvalidClientTokenId",
    );
    let of_space = |draft: Draft| draft.header("x-amz-security-token", space["SessionToken"].as_str().unwrap());
    denied("a user's key with a session's token", &of_space(world.who()).signed(), 403, "InvalidClientTokenId");
    let session = || world.sts(space, &[("Action", "GetCallerIdentity"), ("Version", STS)]);
    denied("a session's key without its token", &session().without("x-amz-security-token").signed(), 403, "InvalidClientTokenId");
    let other = credentials(&world.remit, SPACE_ARN, &[]);
    denied(
        "the token of another key",
        &session().header("x-amz-security-token", other["SessionToken"].as_str().unwrap()).signed(),
        403,
        "InvalidClientTokenId",
    );
    let token = space["SessionToken"].as_str().unwrap();
    let bent = |at: usize| {
        let letter = if token.as_bytes()[at] == b'A' { 'B' } else { 'A' };
        format!("{}{letter}{}", &token[..at], &token[at + 1..])
    };
    for at in [0, 20, token.len() / 2, token.len() - 5] {
        denied("a tampered token", &session().header("x-amz-security-token", &bent(at)).signed(), 403, "InvalidClientTokenId");
    }
    denied(
        "a token of 13 KiB",
        &session().header("x-amz-security-token", &"A".repeat(13 * 1024)).signed(),
        403,
        "InvalidClientTokenId",
    );
    mismatch(
        "a session's secret for another",
        &session().with(|draft| draft.secret = other["SecretAccessKey"].as_str().unwrap().into()).signed(),
    );
    let brief = credentials(&world.remit, RILEY, &["--duration-secs", "1"]);
    let expired = || world.sts(&brief, &[("Action", "GetCallerIdentity"), ("Version", STS)]).signed();
    until("the key has expired", || expired().send(&world.remit).status == 403);
    denied("an expired key", &expired(), 403, "ExpiredToken");
    // The form.
    let raw = |body: &str| world.who().with(|draft| draft.body = body.into()).signed();
    let who = "Action=GetCallerIdentity&Version=2011-06-15";
    denied("a parameter twice", &raw(&format!("{who}&Action=AssumeRole")), 400, "MalformedQueryString");
    denied("a parameter twice, encoded otherwise", &raw(&format!("{who}&%41ction=AssumeRole")), 400, "MalformedQueryString");
    denied("no form", &raw("Action=%ZZ"), 400, "MalformedQueryString");
    denied("no UTF-8", &raw("Action=%ff"), 400, "MalformedQueryString");
    denied("no action", &raw("Version=2011-06-15"), 400, "MissingAction");
    denied("an unknown action", &raw("Action=AssumeRoot&Version=2011-06-15"), 400, "InvalidAction");
    denied("an action in another case", &raw("Action=getcalleridentity&Version=2011-06-15"), 400, "InvalidAction");
    denied("an unknown version", &raw("Action=GetCallerIdentity&Version=2010-01-01"), 400, "InvalidAction");
    denied("no version", &raw("Action=GetCallerIdentity"), 400, "InvalidAction");
    denied("an unknown parameter", &raw(&format!("{who}&Admin=true")), 400, "ValidationError");
    denied("a signature's parameter in the body", &raw(&format!("{who}&X-Amz-Expires=1")), 400, "ValidationError");
    denied(
        "a name in another case",
        &world.sts(riley, &[("Action", "AssumeRole"), ("Version", STS), ("rolearn", OPERATOR_ROLE)]).signed(),
        400,
        "ValidationError",
    );
    denied("JSON", &world.who().header("content-type", "application/json").signed(), 400, "MalformedQueryString");
    denied("no type", &world.who().without("content-type").signed(), 400, "MalformedQueryString");
    denied(
        "parameters in query and body",
        &world.who().with(|draft| draft.query = who.into()).signed(),
        400,
        "MalformedQueryString",
    );
    denied(
        "an action in the query of a POST",
        &world.who().with(|draft| draft.query = "Action=AssumeRole".into()).signed(),
        400,
        "MalformedQueryString",
    );
    denied("a body of 100 KiB", &raw(&format!("{who}&Pad={}", "x".repeat(100 * 1024))), 413, "RequestEntityTooLarge");
    let get = |query: &str| {
        world.who().without("content-type").with(|draft| {
            draft.method = "GET".into();
            draft.query = query.into();
            draft.body.clear();
        })
    };
    get(who).signed().send(&world.remit).is(200);
    let presigned = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAAAAAAAAAAAAAAAAA%2F20260101%2Fus-east-1%2Fsts%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-SignedHeaders=host&X-Amz-Signature=00";
    for (what, expires) in
        [("presigned for longer than a week", "604801"), ("presigned for ever", "-1"), ("presigned for no time", "0")]
    {
        denied(what, &get(&format!("{who}&{presigned}&X-Amz-Expires={expires}")), 400, "IncompleteSignature");
    }
    denied("signed twice", &get(&format!("{who}&{presigned}&X-Amz-Expires=60")).signed(), 400, "IncompleteSignature");
    // What is asked.
    let words = |arn: &str| {
        let body = world.assume(&[("RoleArn", arn)]).signed().send(&world.remit).is(403);
        assert_eq!(element(&body, "Code"), "AccessDenied", "{arn}");
        element(&body, "Message").replace(&format!("on resource: {arn}"), "on resource: ROLE")
    };
    let untrusted = words("arn:aws:iam::111122223333:role/IncidentReviewRole");
    for arn in [
        "arn:aws:iam::111122223333:role/NoSuchRole",
        "arn:aws:iam::999999999999:role/DevOpsAgentOperatorAppRole",
        "arn:aws:iam::111122223333:role/other/DevOpsAgentOperatorAppRole",
        "arn:aws:iam::111122223333:role//DevOpsAgentOperatorAppRole",
        "arn:aws:iam::111122223333:role/devopsagentoperatorapprole",
        "arn:aws:iam::111122223333:Role/DevOpsAgentOperatorAppRole",
        "ARN:AWS:IAM::111122223333:role/DevOpsAgentOperatorAppRole",
        "arn:aws-cn:iam::111122223333:role/DevOpsAgentOperatorAppRole",
        "arn:aws:iam:us-east-1:111122223333:role/DevOpsAgentOperatorAppRole",
        "arn:aws:iam::111122223333:role/DevOpsAgentOperatorAppRole*",
        "arn:aws:iam::111122223333:user/riley",
        SUPPORT_ROLE,
    ] {
        assert_eq!(words(arn), untrusted, "{arn}");
    }
    denied("control characters in a name", &world.assume(&[("RoleSessionName", "a\r\nb")]).signed(), 400, "ValidationError");
    denied("a name that is XML", &world.assume(&[("RoleSessionName", "</Message><Code>x")]).signed(), 400, "ValidationError");
    let injected = "arn:aws:iam::111122223333:role/</Message></Error><Credentials>&\"'\u{1}]]>";
    denied("an ARN that is XML", &world.assume(&[("RoleArn", injected)]).signed(), 403, "AccessDenied");
    denied("an action that is XML", &raw("Action=%3C/Code%3E%26&Version=2011-06-15"), 400, "InvalidAction");
    let bodiless = Draft::new(&world.remit, riley, "sts", "/", "").header("content-type", "application/x-www-form-urlencoded");
    denied("nothing", &bodiless.signed(), 400, "MissingAction");
    // Signed for a host that isn't this one: somebody else's request, passed on.
    let relayed = world.who().header("host", "sts.evil.example").signed();
    assert_eq!(relayed.send(&world.remit).status, 403);
    // And the honest ones.
    world.who().signed().send(&world.remit).is(200);
    session().signed().send(&world.remit).is(200);
    world.assume(&[]).signed().send(&world.remit).is(200);
    let log = world.remit.place().log_of("session");
    assert_eq!(log.iter().filter(|entry| entry["action"] == "AssumeRole" && entry["error"].is_null()).count(), 1);
    // Of strangers, fifty a second are recorded.
    let refused = log.iter().filter(|entry| entry["error"].is_object()).count();
    assert!(refused >= 60, "{refused}");
    world.remit.stop();
}

#[test]
fn a_signature_is_good_for_one_session() {
    let world = World::start();
    let given = world.assume(&[]).signed();
    let mut last = given.send(&world.remit).is(200);
    // Right after the first use, a client that signed the same second is told to sign anew; an hour of refusals would not help it.
    let mut again = given.send(&world.remit);
    assert_eq!((again.status, again.header("x-amz-retry-after")), (400, Some("1000")));
    last.push_str(&again.body());
    let code = |draft: &Draft| element(&draft.send(&world.remit).body(), "Code").to_owned();
    until("nobody can have signed that second in good faith any more", || code(&given) == "SignatureDoesNotMatch");
    let token = world.sts(&world.riley, &[("Action", "GetSessionToken"), ("Version", STS)]).signed();
    token.send(&world.remit).is(200);
    assert_eq!(code(&token), "Throttling");
    // Across a restart: what was signed before it may have been used before it.
    let before = world.assume(&[("RoleSessionName", "later")]).signed();
    let World { remit, riley, space } = world;
    let place = remit.stop();
    until("the second is over", || {
        !before.headers.iter().any(|(_, value)| *value == sigv4::timestamp(remit_authority::system_now_secs()))
    });
    let remit = Remit::up_at(place, &[]);
    let world = World { remit, riley, space };
    let moved = |draft: &Draft| draft.clone().header("host", &world.remit.addr.to_string()).signed();
    assert_eq!(element(&moved(&before).send(&world.remit).body(), "Code"), "Throttling");
    world.assume(&[]).signed().send(&world.remit).is(200);
    world.remit.stop();
}

#[test]
fn a_space_refuses() {
    let world = World::start();
    let World { riley, space, .. } = &world;
    let call = || Draft::call(&world.remit, space, "prod-sre");
    let nobody = |what: &str, draft: &Draft, part: &str| world.shut_out(what, draft, 401, "unauthenticated", part);
    let mismatch = "SignatureDoesNotMatch";
    nobody("unsigned", &call(), "no credential was shown");
    nobody("an unknown key", &call().with(|draft| draft.id = "ASIAAAAAAAAAAAAAAAAA".into()).signed(), "InvalidClientTokenId");
    nobody("a wrong secret", &call().with(|draft| draft.secret = "x".repeat(40)).signed(), mismatch);
    nobody("no token", &call().without("x-amz-security-token").signed(), "assume one first");
    nobody("another token", &call().header("x-amz-security-token", "AAAA").signed(), "InvalidClientTokenId");
    nobody("STS's scope", &call().with(|draft| draft.service = "sts".into()).signed(), "another service");
    nobody("another region", &call().with(|draft| draft.region = "us-west-2".into()).signed(), "another region");
    nobody("stale", &call().at(-301).signed(), mismatch);
    nobody("of the future", &call().at(330).signed(), mismatch);
    nobody("an unsigned host", &call().signed().authorization(|text| text.replace("host;", "")), mismatch);
    nobody("an unsigned x-amz header", &call().signed().header("x-amz-other", "1"), mismatch);
    nobody("another body", &call().signed().with(|draft| draft.body = draft.body.replace("timeout", "secret")), mismatch);
    nobody("another tool in a signed header", &call().signed().header("mcp-name", "deployments___apply"), mismatch);
    nobody("a digest of another body", &call().header("x-amz-content-sha256", &"0".repeat(64)).signed(), mismatch);
    nobody("another space", &call().signed().with(|draft| draft.path = "/spaces/incident-review/mcp".into()), mismatch);
    nobody("a query that wasn't signed", &call().signed().with(|draft| draft.query = "admin=1".into()), mismatch);
    nobody("in no role", &Draft::call(&world.remit, riley, "prod-sre").signed(), "assume one first");
    let support = credentials(&world.remit, "arn:aws:aidevops:us-east-1:444455556666:agentspace/support", &[]);
    nobody("in a role of no agent", &Draft::call(&world.remit, &support, "prod-sre").signed(), "no agent acts in role");
    nobody("half a signature", &call().header("authorization", "AWS4-HMAC-SHA256 Credential=x"), "IncompleteSignature");
    nobody("an older signature", &call().header("authorization", "AWS4-ECDSA-P256-SHA256 Credential=x"), "IncompleteSignature");
    // The agent is known, and the space isn't its own.
    world.shut_out("another space, signed", &Draft::call(&world.remit, space, "finance").signed(), 403, "not_in_space", "agent");
    // Once is once.
    let once = call().signed();
    let said = once.send(&world.remit).message();
    assert!(said["result"]["content"].is_array(), "{said}");
    nobody("replayed", &once, "Throttling");
    let stream = call().without("content-type").with(|draft| {
        draft.method = "GET".into();
        draft.body.clear();
    });
    let stream = stream.signed();
    assert_ne!(stream.send(&world.remit).status, 401);
    nobody("a stream replayed", &stream, "Throttling");
    // Signatures don't hide in other places.
    let query = call().with(|draft| draft.query = "X-Amz-Signature=00&X-Amz-Algorithm=AWS4-HMAC-SHA256".into());
    nobody("presigned", &query, "no credential was shown");
    nobody("signed twice", &query.signed(), "IncompleteSignature");
    let big = call().with(|draft| draft.body = format!("{CALL}{}", " ".repeat(8 * 1024 * 1024))).signed();
    assert_eq!(big.send(&world.remit).status, 413);
    let stranger = call().with(|draft| {
        draft.id = "ASIAAAAAAAAAAAAAAAAA".into();
        draft.body = format!("{CALL}{}", " ".repeat(128 * 1024));
    });
    assert_eq!(stranger.signed().send(&world.remit).status, 413, "a stranger's body is read only so far");
    let relayed = call().header("host", "mcp.evil.example").signed();
    assert_eq!(relayed.send(&world.remit).status, 403);
    let decisions = world.remit.place().log_of("decision");
    let denied = decisions.iter().filter(|entry| entry["verdict"] == "DENY").count();
    assert!(decisions.len() - denied == 1 && denied >= 25, "{denied} of {}", decisions.len());
    world.remit.stop();
}
