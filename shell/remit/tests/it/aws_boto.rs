//! STS and IAM with boto3: limits and codes, chains, tags, source identity, session policies, web identity.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::aws::{Boto, OPERATOR_ROLE, Provider, RILEY, SPACE_ARN, acme, credentials};
use crate::aws_cli::lifetime;
use crate::client::send;
use crate::gateway::Remit;

const ASSUME: (&str, &str) = ("sts", "assume_role");
const WEB: (&str, &str) = ("sts", "assume_role_with_web_identity");
const AUDIENCE: &str = "https://remit.example/operators";

fn role(name: &str) -> String {
    format!("arn:aws:iam::111122223333:role/it/{name}")
}

/// A role that somebody may assume, with tags and a source identity.
fn assumable(name: &str, by: &str, statements: &Value) -> Value {
    let actions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"];
    json!({
        "name": name, "account": "111122223333", "path": "/it/", "max_session_duration_secs": 43200, "tags": {"stage": "test"},
        "trust_policy": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": by}, "Action": actions}},
        "inline_policies": {"may": {"Version": "2012-10-17", "Statement": statements}},
    })
}

/// Three roles that riley reaches one after the other, and managed policies of some size.
fn further() -> Value {
    let may = json!([
        {"Effect": "Allow", "Action": ["sts:*", "iam:Get*"], "Resource": "*"},
        {"Effect": "Allow", "Action": "iam:ListRoles", "Resource": "*", "Condition": {"StringEquals": {"aws:PrincipalTag/team": "sre"}}},
    ]);
    let big = |n: usize| {
        let resources: Vec<String> =
            (0..60).map(|k| format!("arn:aws:mcp:us-east-1:111122223333:server/s{n}/tool/{k:040}")).collect();
        let statement = json!({"Effect": "Allow", "Action": "mcp:CallTool", "Resource": resources});
        json!({"name": format!("big-{n}"), "document": {"Version": "2012-10-17", "Statement": statement}})
    };
    let get_only = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iam:GetRole", "Resource": "*"}});
    json!({
        "roles": [
            assumable("First", RILEY, &may),
            assumable("Second", &role("First"), &may),
            assumable("Third", &role("Second"), &may),
        ],
        "policies": [big(1), big(2), big(3), {"name": "get-only", "document": get_only}],
    })
}

fn start() -> (Remit, Boto, Value) {
    let remit = Remit::up_at(acme(&[("it.json", further().to_string())]), &[]);
    let boto = Boto::start(&remit);
    let riley = credentials(&remit, RILEY, &[]);
    (remit, boto, riley)
}

/// Parameters of AssumeRole, with further ones.
fn asked(name: &str, more: &Value) -> Value {
    let mut all = json!({"RoleArn": role(name), "RoleSessionName": "test"});
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}

fn kind(name: &str, code: &str, status: u16) -> [String; 3] {
    [name.to_owned(), code.to_owned(), status.to_string()]
}

#[test]
fn every_limit_has_its_code() {
    let (remit, mut boto, riley) = start();
    let long = |count: usize| "x".repeat(count);
    let tags = |count: usize| json!((0..count).map(|n| json!({"Key": format!("k{n}"), "Value": ""})).collect::<Vec<_>>());
    let tag = |key: &str, value: &str| json!([{"Key": key, "Value": value}]);
    let arn = |name: &str| json!({"arn": format!("arn:aws:iam::111122223333:policy/{name}")});
    let some_policy = |chars: usize| {
        let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:GetRole","Resource":"*"}}"#;
        format!("{text}{}", " ".repeat(chars - text.len()))
    };
    let invalid = kind("ClientError", "ValidationError", 400);
    let parameter = kind("ClientError", "InvalidParameterValue", 400);
    let malformed = kind("MalformedPolicyDocumentException", "MalformedPolicyDocument", 400);
    let packed = kind("PackedPolicyTooLargeException", "PackedPolicyTooLarge", 400);
    let denied = kind("ClientError", "AccessDenied", 403);
    let cases: Vec<(Value, &[String; 3], &str)> = vec![
        (json!({"RoleSessionName": "x"}), &invalid, "greater than or equal to 2"),
        (json!({"RoleSessionName": long(65)}), &invalid, "less than or equal to 64"),
        (json!({"RoleSessionName": "two words"}), &invalid, "regular expression"),
        (json!({"RoleSessionName": "caf\u{e9}"}), &invalid, "regular expression"),
        (json!({"RoleSessionName": "a\u{1}b"}), &invalid, "regular expression"),
        (json!({"RoleArn": "arn:aws:iam::1:role"}), &invalid, "20"),
        (json!({"RoleArn": format!("arn:aws:iam::111122223333:role/{}", long(2048))}), &invalid, "2048"),
        (json!({"DurationSeconds": 899}), &invalid, "900"),
        (json!({"DurationSeconds": 43201}), &invalid, "43200"),
        (json!({"ExternalId": "x"}), &invalid, "greater than or equal to 2"),
        (json!({"ExternalId": long(1225)}), &invalid, "less than or equal to 1224"),
        (json!({"ExternalId": "a b"}), &invalid, "regular expression"),
        (json!({"SourceIdentity": "x"}), &invalid, "greater than or equal to 2"),
        (json!({"SourceIdentity": long(65)}), &invalid, "less than or equal to 64"),
        (json!({"SourceIdentity": "aws:me"}), &invalid, "sourceIdentity"),
        (json!({"Tags": tags(51)}), &invalid, "less than or equal to 50"),
        (json!({"Tags": tag(&long(129), "v")}), &invalid, "1 to 128"),
        (json!({"Tags": tag("k", &long(257))}), &invalid, "256"),
        (json!({"Tags": tag("aws:k", "v")}), &invalid, "aws:"),
        (json!({"Tags": tag("k", "<v>")}), &invalid, "characters"),
        (json!({"Tags": [{"Key": "Team", "Value": "a"}, {"Key": "team", "Value": "b"}]}), &parameter, "Duplicate tag keys"),
        (json!({"Tags": tag("k", "v"), "TransitiveTagKeys": ["other"]}), &parameter, "transitive"),
        (json!({"Policy": some_policy(2049)}), &invalid, "2048"),
        (json!({"Policy": "{"}), &malformed, "invalid Json"),
        (json!({"Policy": r#"{"Version":"2008-10-17","Statement":[]}"#}), &malformed, "2012-10-17"),
        (
            json!({"Policy": r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}"#}),
            &malformed,
            "no principal",
        ),
        (json!({"PolicyArns": vec![arn("get-only"); 11]}), &invalid, "less than or equal to 10"),
        (json!({"PolicyArns": [arn("nobodys")]}), &invalid, "names no managed policy"),
        (json!({"PolicyArns": [{"arn": "arn:aws:iam::444455556666:policy/get-only"}]}), &invalid, "names no managed policy"),
        (json!({"PolicyArns": [arn("big-1"), arn("big-2"), arn("big-3")]}), &packed, "larger than a session"),
        (
            json!({"SerialNumber": "arn:aws:iam::111122223333:mfa/riley", "TokenCode": "123456"}),
            &denied,
            "MultiFactorAuthentication",
        ),
        (
            json!({"ProvidedContexts": [{"ProviderArn": "arn:aws:iam::aws:contextProvider/x", "ContextAssertion": "abcd"}]}),
            &invalid,
            "not supported",
        ),
    ];
    for (more, expected, part) in &cases {
        let (error, message) = boto.refused(&riley, ASSUME, &asked("First", more));
        assert_eq!(&error, *expected, "{more}: {message}");
        assert!(message.contains(part), "{more}: {message}");
    }
    // What is at the limit is taken.
    for more in [
        json!({"RoleSessionName": "x".repeat(64), "ExternalId": long(1224), "SourceIdentity": long(64), "DurationSeconds": 43200}),
        json!({"Tags": tags(50), "TransitiveTagKeys": ["K1"], "DurationSeconds": 900}),
        json!({"Policy": some_policy(2048), "PolicyArns": vec![arn("get-only"); 10]}),
    ] {
        let assumed = boto.assume(&riley, &asked("First", &more));
        let who = boto.ok(&assumed["Credentials"], ("sts", "get_caller_identity"), &json!({}));
        assert_eq!(who["Arn"], assumed["AssumedRoleUser"]["Arn"], "{more}");
        assert_eq!(
            assumed["PackedPolicySize"].is_u64(),
            more["Policy"].is_string() || more["Tags"].is_array(),
            "{more}: {assumed}"
        );
    }
    for (operation, parameters) in
        [("get_session_token", json!({"DurationSeconds": 899})), ("get_session_token", json!({"DurationSeconds": 129_601}))]
    {
        assert_eq!(boto.refused(&riley, ("sts", operation), &parameters).0, invalid, "{parameters}");
    }
    // A role that isn't there can't be told from one that doesn't trust.
    let space = credentials(&remit, SPACE_ARN, &[]);
    let mut words = Vec::new();
    for name in ["IncidentReviewRole", "NoSuchRole", "it/NoSuchRole"] {
        let arn = format!("arn:aws:iam::111122223333:role/{name}");
        let (error, message) = boto.refused(&space, ASSUME, &json!({"RoleArn": arn, "RoleSessionName": "test"}));
        assert_eq!(error, denied);
        words.push(message.replace(&arn, "ROLE"));
    }
    assert!(words.iter().all(|said| *said == words[0]), "{words:?}");
    remit.stop();
}

#[test]
fn a_chain_keeps_source_identity_and_transitive_tags_and_lasts_an_hour() {
    let (remit, mut boto, riley) = start();
    let tags = json!([{"Key": "team", "Value": "sre"}, {"Key": "cost", "Value": "7"}]);
    let more = json!({"Tags": tags, "TransitiveTagKeys": ["team"], "SourceIdentity": "riley@acme", "DurationSeconds": 43200});
    let first = boto.assume(&riley, &asked("First", &more));
    assert_eq!(first["SourceIdentity"], "riley@acme");
    assert_eq!(first["AssumedRoleUser"]["Arn"], "arn:aws:sts::111122223333:assumed-role/First/test");
    let first = &first["Credentials"];
    // Longer than an hour is too long, whatever the role's own maximum.
    let invalid = kind("ClientError", "ValidationError", 400);
    let (error, message) = boto.refused(first, ASSUME, &asked("Second", &json!({"DurationSeconds": 3601})));
    assert!(error == invalid && message.contains("role chaining"), "{error:?} {message}");
    // What is set stays set.
    let (error, _) = boto.refused(first, ASSUME, &asked("Second", &json!({"SourceIdentity": "mallory"})));
    assert_eq!(error, kind("ClientError", "AccessDenied", 403));
    let again = json!({"Tags": [{"Key": "TEAM", "Value": "other"}]});
    assert_eq!(boto.refused(first, ASSUME, &asked("Second", &again)).0, kind("ClientError", "InvalidParameterValue", 400));
    let second = boto.assume(first, &asked("Second", &json!({"DurationSeconds": 3600})));
    let third = boto.assume(&second["Credentials"], &asked("Third", &json!({})));
    for assumed in [&second, &third] {
        assert_eq!(assumed["SourceIdentity"], "riley@acme", "{assumed}");
        // The transitive tag opens what the same role without it doesn't.
        let roles = boto.ok(&assumed["Credentials"], ("iam", "list_roles"), &json!({}));
        assert!(roles["Roles"].as_array().unwrap().iter().any(|role| role["RoleName"] == "Third" && role["Path"] == "/it/"));
        assert_eq!(boto.refused(&assumed["Credentials"], ("sts", "get_session_token"), &json!({})).0[1], "AccessDenied");
    }
    let plain = boto.assume(&riley, &asked("First", &json!({})));
    assert_eq!(boto.refused(&plain["Credentials"], ("iam", "list_roles"), &json!({})).0[1], "AccessDenied");
    // The journal has all of it.
    let log = remit.place().log_of("session");
    let given: BTreeMap<&str, &Value> =
        log.iter().filter_map(|entry| Some((entry["detail"]["access_key_id"].as_str()?, entry))).collect();
    for (assumed, caller, key) in [(&second, "First", first), (&third, "Second", &second["Credentials"])] {
        let entry = given[assumed["Credentials"]["AccessKeyId"].as_str().unwrap()];
        assert_eq!(entry["detail"]["source_identity"], "riley@acme", "{entry}");
        assert_eq!(entry["caller"], format!("arn:aws:sts::111122223333:assumed-role/{caller}/test"));
        assert_eq!(entry["credential_id"], key["AccessKeyId"]);
        let ends = assumed["Credentials"]["Expiration"].as_str().unwrap();
        // It may be on record in the second after the one in which it began.
        assert!(matches!(lifetime(entry["time"].as_str().unwrap(), ends), 3599 | 3600), "{entry} {ends}");
        assert!(entry["layers"].as_array().unwrap().iter().any(|layer| layer["effect"] == "ALLOW"), "{entry}");
    }
    remit.stop();
}

#[test]
fn a_session_policy_narrows() {
    let (remit, mut boto, riley) = start();
    let get_role = |name: &str| json!({"RoleName": name});
    let tags = json!([{"Key": "team", "Value": "sre"}]);
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:GetRole","Resource":"arn:aws:iam::111122223333:role/it/First"}}"#;
    let by_text = boto.assume(&riley, &asked("First", &json!({"Policy": text, "Tags": tags})));
    let by_arn = json!({"PolicyArns": [{"arn": "arn:aws:iam::111122223333:policy/get-only"}], "Tags": tags});
    let by_arn = boto.assume(&riley, &asked("First", &by_arn));
    let whole = boto.assume(&riley, &asked("First", &json!({"Tags": tags})));
    for (assumed, others, lists) in [(&by_text, false, false), (&by_arn, true, false), (&whole, true, true)] {
        let pair = &assumed["Credentials"];
        let found = boto.ok(pair, ("iam", "get_role"), &get_role("First"));
        assert_eq!(found["Role"]["Arn"], role("First"));
        assert_eq!(found["Role"]["Tags"], json!([{"Key": "stage", "Value": "test"}]));
        if others {
            boto.ok(pair, ("iam", "get_role"), &get_role("Second"));
            let (error, _) = boto.refused(pair, ("iam", "get_role"), &get_role("Nobody"));
            assert_eq!(error, kind("NoSuchEntityException", "NoSuchEntity", 404));
            let long = boto.refused(pair, ("iam", "get_role"), &get_role(&"x".repeat(129))).0;
            assert_eq!(long, kind("ClientError", "ValidationError", 400));
        } else {
            assert_eq!(boto.refused(pair, ("iam", "get_role"), &get_role("Second")).0[1], "AccessDenied");
        }
        if lists {
            let under = |boto: &mut Boto, path: &str| {
                let found = boto.ok(pair, ("iam", "list_roles"), &json!({"PathPrefix": path}));
                found["Roles"].as_array().unwrap().len()
            };
            assert_eq!((under(&mut boto, "/it/"), under(&mut boto, "/other/")), (3, 0));
            for owner in ["111122223333:policy/get-only", "aws:policy/McpReadAccess"] {
                boto.ok(pair, ("iam", "get_policy"), &json!({"PolicyArn": format!("arn:aws:iam::{owner}")}));
            }
            for other in [
                "aws:policy/get-only",
                "111122223333:policy/McpReadAccess",
                "444455556666:policy/get-only",
                "aws:policy/x/McpReadAccess",
            ] {
                let parameters = json!({"PolicyArn": format!("arn:aws:iam::{other}")});
                assert_eq!(boto.refused(pair, ("iam", "get_policy"), &parameters).0[1], "NoSuchEntity", "{other}");
            }
        } else {
            let (error, message) = boto.refused(pair, ("iam", "list_roles"), &json!({}));
            assert!(error[1] == "AccessDenied" && message.contains("session policy"), "{message}");
        }
    }
    remit.stop();
}

#[test]
fn somebody_whom_a_provider_vouches_for_has_twelve_hours() {
    let provider = Provider::start();
    let federated = format!("arn:aws:iam::111122223333:oidc-provider/{}", provider.name());
    let condition = json!({"StringEquals": {format!("{}:aud", provider.name()): AUDIENCE, format!("{}:sub", provider.name()): ["alice", "bob"]}});
    let trust = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Federated": federated}, "Action": "sts:AssumeRoleWithWebIdentity", "Condition": condition},
        {"Effect": "Allow", "Principal": {"AWS": RILEY}, "Action": "sts:AssumeRole"},
    ]});
    let issuers = json!({"issuers": [{"name": "corp", "url": provider.issuer, "audiences": [AUDIENCE], "network": "loopback", "users": true}]});
    let place = acme(&[("it.json", issuers.to_string()), ("policies/trust-operators.json", trust.to_string())]);
    let remit = Remit::up_at(place, &[]);
    let mut boto = Boto::start(&remit);
    let nobody = json!({"AccessKeyId": "AKIANOBODYNOBODYNOBO", "SecretAccessKey": "none"});
    let asked = |user: &str, secs: u64| {
        let token = provider.token(user, AUDIENCE);
        json!({"RoleArn": OPERATOR_ROLE, "RoleSessionName": user, "WebIdentityToken": token, "DurationSeconds": secs})
    };
    let assumed = boto.ok(&nobody, WEB, &asked("alice", 43_200));
    assert_eq!(assumed["SubjectFromWebIdentityToken"], "alice");
    assert_eq!((&assumed["Audience"], &assumed["Provider"]), (&AUDIENCE.into(), &provider.name().into()));
    let entry = remit.place().log_of("session").pop().unwrap();
    let ends = assumed["Credentials"]["Expiration"].as_str().unwrap();
    // It may be on record in the second after the one in which it began.
    assert!(matches!(lifetime(entry["time"].as_str().unwrap(), ends), 43_199 | 43_200), "{entry} {ends}");
    assert_eq!((&entry["detail"]["user"], &entry["caller"]), (&"alice".into(), &format!("{}#alice", provider.name()).into()));
    assert!(!entry.to_string().contains("eyJ"), "no token in the journal");
    let who = boto.ok(&assumed["Credentials"], ("sts", "get_caller_identity"), &json!({}));
    assert_eq!(who["Arn"], "arn:aws:sts::111122223333:assumed-role/DevOpsAgentOperatorAppRole/alice");
    // Who comes with keys has half an hour in the same role.
    let riley = credentials(&remit, RILEY, &[]);
    let with_keys = json!({"RoleArn": OPERATOR_ROLE, "RoleSessionName": "riley", "DurationSeconds": 1801});
    assert_eq!(boto.refused(&riley, ASSUME, &with_keys).0[1], "ValidationError");
    let refusals = [
        (asked("alice", 43_201), kind("ClientError", "ValidationError", 400)),
        (asked("alice", 899), kind("ClientError", "ValidationError", 400)),
        // Somebody whom the trust policy doesn't name.
        (asked("mallory", 3600), kind("ClientError", "AccessDenied", 403)),
    ];
    for (parameters, expected) in refusals {
        let (error, message) = boto.refused(&nobody, WEB, &parameters);
        assert_eq!(error, expected, "{message}");
    }
    let invalid = kind("InvalidIdentityTokenException", "InvalidIdentityToken", 400);
    let good = provider.token("alice", AUDIENCE);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let unsigned = format!("{}.", head.replacen(head.split('.').next().unwrap(), "eyJhbGciOiJub25lIn0", 1));
    let elsewhere = {
        // The same claims under a signature of another token.
        let other = provider.token("bob", AUDIENCE);
        format!("{head}.{}", other.rsplit_once('.').unwrap().1)
    };
    for token in [
        provider.token("alice", "https://other.example/"),
        format!("{head}.{}", signature.chars().rev().collect::<String>()),
        unsigned,
        elsewhere,
        remit.token("agent-ops-1", "prod-sre"),
        "not-a-token".to_owned(),
    ] {
        let parameters = json!({"RoleArn": OPERATOR_ROLE, "RoleSessionName": "alice", "WebIdentityToken": token});
        let (error, message) = boto.refused(&nobody, WEB, &parameters);
        assert_eq!(error, invalid, "{message}");
        assert!(!message.contains(&token), "{message}");
    }
    let other_role = json!({"RoleArn": "arn:aws:iam::111122223333:role/DevOpsAgentSpaceRole", "RoleSessionName": "alice", "WebIdentityToken": good});
    assert_eq!(boto.refused(&nobody, WEB, &other_role).0[1], "AccessDenied");
    remit.stop();
}

#[test]
fn equal_calls_of_one_second_come_through_one_after_the_other() {
    let (remit, mut boto, riley) = start();
    let mut call =
        json!({"service": "sts", "operation": "assume_role", "parameters": asked("First", &json!({})), "credentials": riley});
    call["times"] = 3.into();
    let mut codes = Vec::new();
    // Three that fall into two seconds by chance may not collide.
    for _ in 0..5 {
        let answers = boto.call(&call);
        let answers = answers.as_array().unwrap();
        let keys: BTreeSet<&str> =
            answers.iter().filter_map(|one| one["answer"]["Credentials"]["AccessKeyId"].as_str()).collect();
        assert_eq!(keys.len(), 3, "{answers:?}");
        let log = remit.place().log_of("session");
        codes = log.iter().filter_map(|entry| entry["error"]["code"].as_str().map(str::to_owned)).collect();
        if !codes.is_empty() {
            break;
        }
    }
    // Each under a signature of its own: what came twice was refused, and signed anew.
    assert!(!codes.is_empty() && codes.iter().all(|code| code == "Throttling"), "{codes:?}");
    remit.stop();
}

#[test]
fn a_presigned_identity_is_read_and_a_presigned_session_is_not_given() {
    let (remit, mut boto, riley) = start();
    let presigned = |boto: &mut Boto, method: &str, parameters: &Value| {
        let parameters = json!({"ClientMethod": method, "Params": parameters, "ExpiresIn": 900, "HttpMethod": "GET"});
        let url = boto.ok(&riley, ("sts", "generate_presigned_url"), &parameters);
        format!("/{}", url.as_str().unwrap().splitn(4, '/').nth(3).unwrap())
    };
    let who = presigned(&mut boto, "get_caller_identity", &json!({}));
    // Nothing takes effect, so it is good as often as it is shown.
    for _ in 0..2 {
        let body = send(remit.addr, &format!("GET {who}"), &[], b"").is(200);
        assert!(body.contains("<Arn>arn:aws:iam::111122223333:user/riley</Arn>"), "{body}");
    }
    let assume = presigned(&mut boto, "assume_role", &asked("First", &json!({})));
    let body = send(remit.addr, &format!("GET {assume}"), &[], b"").is(400);
    assert!(body.contains("<Code>IncompleteSignature</Code>"), "{body}");
    remit.stop();
}
