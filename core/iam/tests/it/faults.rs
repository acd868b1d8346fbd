//! Every fault of a document is told, with its place and how to mend it; nothing that AWS's documents don't have passes.

use remit_iam::document::{self, Data, Entry, Fault, Node, Place, parse};
use remit_iam::{Policy, PolicyKind};

const KINDS: [PolicyKind; 7] = [
    PolicyKind::Identity,
    PolicyKind::Resource,
    PolicyKind::Trust,
    PolicyKind::Session,
    PolicyKind::Boundary,
    PolicyKind::ServiceControl,
    PolicyKind::ResourceControl,
];

fn faults(kind: PolicyKind, text: &str) -> Vec<Fault> {
    match parse(text) {
        Err(faults) => faults,
        Ok(node) => Policy::read(kind, "p", "p.json", &node).err().unwrap_or_default(),
    }
}

/// The pointers of the faults of a policy of one statement.
fn pointers(kind: PolicyKind, statement: &str) -> Vec<String> {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{{{statement}}}]}}"#);
    let pointer = |fault: Fault| {
        assert!(!fault.what.is_empty() && !fault.mend.is_empty(), "{fault}");
        fault.pointer.strip_prefix("/Statement/0").map_or(fault.pointer.clone(), str::to_owned)
    };
    faults(kind, &text).into_iter().map(pointer).collect()
}

/// A table of statements of one kind and where their faults are.
fn table(kind: PolicyKind, rows: &[(&str, &[&str])]) {
    for (statement, expected) in rows {
        assert_eq!(pointers(kind, statement), *expected, "{} {statement}", kind.name());
    }
}

#[test]
fn all_faults_at_once_each_with_its_place() {
    let text = r#"{
  "version": "2012-10-17",
  "Statement": [
    { "Effect": "allow", "Action": "mcp", "Resource": "arn:aws:s3", "Sid": "a b" },
    { "Action": "*", "NotAction": "*", "Resource": "*",
      "Condition": { "StringEqual": { "aws:x": "1" }, "NumericEquals": { "aws:x": "ten", "é:y": true } } }
  ]
}"#;
    let found: Vec<(usize, usize, String)> = faults(PolicyKind::Identity, text)
        .into_iter()
        .map(|fault| (fault.place.line, fault.place.column, fault.pointer))
        .collect();
    let expected = [
        (1, 1, ""),
        (2, 3, "/version"),
        (4, 17, "/Statement/0/Effect"),
        (4, 36, "/Statement/0/Action"),
        (4, 55, "/Statement/0/Resource"),
        (4, 76, "/Statement/0/Sid"),
        (5, 5, "/Statement/1"),
        (5, 35, "/Statement/1/NotAction"),
        (6, 22, "/Statement/1/Condition/StringEqual"),
        (6, 83, "/Statement/1/Condition/NumericEquals/aws:x"),
        (6, 90, "/Statement/1/Condition/NumericEquals/é:y"),
        (6, 97, "/Statement/1/Condition/NumericEquals/é:y"),
    ];
    let expected: Vec<(usize, usize, String)> =
        expected.iter().map(|(line, column, pointer)| (*line, *column, (*pointer).to_owned())).collect();
    assert_eq!(found, expected);
}

#[test]
fn documents() {
    let good = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    assert!(faults(PolicyKind::Identity, good).is_empty());
    let one = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["*"],"Resource":["*"]}}"#;
    assert!(faults(PolicyKind::Identity, one).is_empty());
    for (text, pointer) in [
        ("[]", ""),
        ("{}", ""),
        ("null", ""),
        (r#"{"Version":"2012-10-17"}"#, ""),
        (r#"{"Version":"2012-10-17","Statement":[]}"#, "/Statement"),
        (r#"{"Version":"2012-10-17","Statement":"x"}"#, "/Statement"),
        (r#"{"Version":"2012-10-17","Statement":[1]}"#, "/Statement/0"),
        (&good.replace("2012-10-17", "2008-10-17"), "/Version"),
        (&good.replace(r#""2012-10-17""#, "2012"), "/Version"),
        (&good.replace(r#""Version""#, r#""Id":"x","Version""#), "/Id"),
        (&good.replace(r#""Version""#, r#""Version":"2012-10-17","Version""#), "/Version"),
    ] {
        let found = faults(PolicyKind::Identity, text);
        assert!(found.iter().any(|fault| fault.pointer == pointer), "{text}: {found:?}");
    }
    assert!(
        faults(
            PolicyKind::Resource,
            &good.replace(r#""Version""#, r#""Id":"x","Version""#).replace(r#""Effect""#, r#""Principal":"*","Effect""#)
        )
        .is_empty()
    );
}

#[test]
fn statements() {
    table(
        PolicyKind::Identity,
        &[
            (r#""Effect":"Allow","Action":"s3:*","Resource":"*""#, &[]),
            (r#""Effect":"Allow","NotAction":["s3:*"],"NotResource":"arn:aws:s3:::x""#, &[]),
            (r#""Sid":"","Effect":"Deny","Action":"s3:Get*","Resource":"arn:aws:s3:::b/${aws:username}""#, &[]),
            (r#""Action":"s3:*","Resource":"*""#, &[""]),
            (r#""Effect":"Permit","Action":"s3:*","Resource":"*""#, &["/Effect"]),
            (r#""Effect":true,"Action":"s3:*","Resource":"*""#, &["/Effect"]),
            (r#""Effect":"Allow","Resource":"*""#, &[""]),
            (r#""Effect":"Allow","Action":"s3:*""#, &[""]),
            (r#""Effect":"Allow","Action":"s3:*","NotAction":"s3:*","Resource":"*""#, &["/NotAction"]),
            (r#""Effect":"Allow","Action":"s3:*","Resource":"*","NotResource":"*""#, &["/NotResource"]),
            (r#""Effect":"Allow","Action":[],"Resource":"*""#, &["/Action"]),
            (r#""Effect":"Allow","Action":["s3:*",1],"Resource":"*""#, &["/Action/1"]),
            (r#""Effect":"Allow","action":"s3:*","Action":"s3:*","Resource":"*""#, &["/action"]),
            (r#""Effect":"Allow","Action":"s3:*","Resource":"*","Comment":"x""#, &["/Comment"]),
            (r#""Effect":"Allow","Action":"s3:*","Resource":"*","Principal":"*""#, &["/Principal"]),
            (r#""Effect":"Allow","Action":"s3:*","Resource":"*","NotPrincipal":{"AWS":"111122223333"}"#, &["/NotPrincipal"]),
            (r#""Sid":"x-y","Effect":"Allow","Action":"s3:*","Resource":"*""#, &["/Sid"]),
        ],
    );
    for action in
        ["", "s3", "s3:", ":Get", "s3*:Get", "*:*", "s3:Get Object", "s3:Get.Object", "s3:a:b", "s3:${aws:username}", "sü:x"]
    {
        assert_eq!(
            pointers(PolicyKind::Identity, &format!(r#""Effect":"Allow","Action":"{action}","Resource":"*""#)),
            ["/Action"],
            "{action}"
        );
    }
    for resource in [
        "",
        "**",
        "x",
        "arn",
        "arn:aws:s3",
        "arn:aws:s3:::",
        "arn:aws:s3:*",
        "aws:s3:::b:c:d",
        "arn::s3:::b",
        "arn:aws::::b",
        "*:aws:s3:::b",
        "arn:aws:s3:${aws:region}::b",
        "arn:aws:s3::${aws:account}:b",
        "arn:AWS:s3:::b",
        "arn:aws:S3:::b",
        "arn:aws:s3::1 1:b",
        "arn:aws:s3:::b/${aws:username",
        "arn:aws:s3:::b/${}",
        "arn:aws:s3:::b/${username}",
        "arn:aws:s3:::b/${aws:x,'y'}",
        "arn:aws:s3:::b/${aws:x, 'y}",
        "arn:aws:s3:::b/${aws:x, ''}",
        "arn:aws:s3:::b/${aws:x, 'a${*}'}",
        "arn:aws:s3:::b\\n",
    ] {
        assert_eq!(
            pointers(PolicyKind::Identity, &format!(r#""Effect":"Allow","Action":"*","Resource":"{resource}""#)),
            ["/Resource"],
            "{resource}"
        );
    }
    let twice = r#"{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    assert_eq!(faults(PolicyKind::Identity, twice)[0].pointer, "/Statement/1/Sid");
    let wide = r#""Sid":"Allow read - 1_x","Effect":"Allow","Principal":"*","Action":"*","Resource":"*""#;
    assert!(pointers(PolicyKind::Resource, wide).is_empty());
}

#[test]
fn conditions() {
    let at = |condition: &str| {
        pointers(PolicyKind::Identity, &format!(r#""Effect":"Allow","Action":"*","Resource":"*","Condition":{condition}"#))
    };
    let one = |operator: &str, value: &str| at(&format!(r#"{{"{operator}":{{"aws:k":{value}}}}}"#));
    for (operator, good, bad) in [
        (
            "StringEquals",
            vec![r#""a""#, r#"["a",1,true]"#, r#""${aws:username}""#, r#""${*}$${?}""#],
            vec!["null", "[]", r#"["a",null]"#, r#"{"x":"y"}"#, r#""${x""#, r#""a\u0007""#],
        ),
        ("StringLike", vec![r#""a*?""#], vec![r#""${aws:x, y}""#]),
        (
            "NumericEquals",
            vec!["1", r#""1.50""#, "-0.50", r#""007""#],
            vec![
                r#""ten""#,
                r#""1,5""#,
                r#""+1""#,
                r#"".5""#,
                r#""1.""#,
                r#""0x1f""#,
                r#""1e1""#,
                "1e1",
                r#""""#,
                r#""${aws:x}""#,
                "[[1]]",
            ],
        ),
        (
            "DateLessThan",
            vec![r#""2026-01-31""#, r#""2026-01-31T12:00Z""#, r#""2026-01-31T12:00:00.123+05:30""#, "1769862600"],
            vec![
                r#""2026""#,
                r#""2026-13""#,
                r#""2026-02-30""#,
                r#""2026-01-31T25:00Z""#,
                r#""2026-01-31T12:00""#,
                r#""2026-01-31 12:00Z""#,
                r#""2026-01-31T12:00:60Z""#,
                r#""now""#,
                r#""${aws:x}""#,
                "1769862600000",
            ],
        ),
        ("Bool", vec!["true", r#""false""#, r#""True""#], vec!["1", r#""yes""#, r#""${aws:x}""#]),
        ("BinaryEquals", vec![r#""QQ==""#, r#""""#], vec![r#""QQ""#, r#""Q?==""#, r#""QR==""#, r#""${aws:x}""#]),
        (
            "IpAddress",
            vec![r#""10.0.0.0/8""#, r#""10.1.2.3""#, r#""2001:db8::/32""#, r#""::/0""#],
            vec![
                r#""10.0.0/8""#,
                r#""10.0.0.0/33""#,
                r#""10.0.0.0/08""#,
                r#""10.0.0.256""#,
                r#""2001:db8::/129""#,
                r#""2001:db8::1""#,
                r#""::ffff:10.0.0.0/104""#,
                r#""*""#,
                r#""10.0.0.0/""#,
                r#""${aws:x}""#,
            ],
        ),
        (
            "ArnLike",
            vec![
                r#""arn:aws:iam::111122223333:role/*""#,
                r#""arn:*:*:*:*:*""#,
                r#""arn:aws:iam::${aws:PrincipalAccount}:role/${aws:username, 'x'}""#,
            ],
            vec![
                r#""*""#,
                r#""arn:aws:iam""#,
                r#""arn:aws:iam::111122223333:""#,
                r#""${aws:PrincipalArn}""#,
                r#""urn:aws:iam::1:x""#,
            ],
        ),
        ("Null", vec!["true", r#""false""#], vec![r#""x""#, r#""${aws:x}""#]),
    ] {
        for value in good {
            assert_eq!(one(operator, value), [""; 0], "{operator} {value}");
        }
        for value in bad {
            let found = one(operator, value);
            assert_eq!(found.len(), 1, "{operator} {value}: {found:?}");
            assert!(found[0].starts_with(&format!("/Condition/{operator}/aws:k")), "{operator} {value}: {found:?}");
        }
    }
    for operator in [
        "stringEquals",
        "StringEqual",
        "StringMatches",
        "ForAllValue:StringEquals",
        "ForAllValues:",
        "ForAllValues:ForAnyValue:StringEquals",
        "NullIfExists",
        "ForAllValues:Null",
        "StringEqualsIfExistsIfExists",
        "NumericLike",
        "ifexists",
        "",
    ] {
        assert_eq!(one(operator, r#""1""#), [format!("/Condition/{operator}")], "{operator}");
    }
    for key in ["", "aws", "aws:", ":k", "aws:${x}", "a ws:k", "aws:k*"] {
        assert_eq!(at(&format!(r#"{{"StringEquals":{{"{key}":"x"}}}}"#)), [format!("/Condition/StringEquals/{key}")], "{key}");
    }
    assert_eq!(at("{}"), ["/Condition"]);
    assert_eq!(at("[]"), ["/Condition"]);
    assert_eq!(at(r#"{"Bool":{}}"#), ["/Condition/Bool"]);
    assert_eq!(at(r#"{"Bool":[]}"#), ["/Condition/Bool"]);
    assert_eq!(at(r#"{"Bool":{"aws:K":"true","AWS:k":"true"}}"#), ["/Condition/Bool/AWS:k"]);
    assert_eq!(at(r#"{"StringEquals":{"aws:PrincipalTag/My Team/x":"y"}}"#), [""; 0]);
}

#[test]
fn principals() {
    let of = |principal: &str| {
        pointers(PolicyKind::Resource, &format!(r#""Effect":"Allow","Action":"*","Resource":"*","Principal":{principal}"#))
    };
    for good in [
        r#""*""#,
        r#"{"AWS":"*"}"#,
        r#"{"AWS":["111122223333","arn:aws:iam::111122223333:root"]}"#,
        r#"{"AWS":"arn:aws:iam::111122223333:role/path/to/name"}"#,
        r#"{"AWS":"arn:aws-us-gov:iam::111122223333:user/a+b=c,d.e@f_g-h"}"#,
        r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/role/session"}"#,
        r#"{"Service":["events.amazonaws.com","sns.amazonaws.com"],"Federated":"accounts.google.com"}"#,
        r#"{"Federated":"arn:aws:iam::111122223333:saml-provider/x"}"#,
        r#"{"CanonicalUser":"79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"}"#,
    ] {
        assert_eq!(of(good), [""; 0], "{good}");
    }
    for (bad, pointer) in [
        (r#""111122223333""#, ""),
        ("{}", ""),
        ("[]", ""),
        (r#"{"aws":"*"}"#, "/aws"),
        (r#"{"AWS":"1111"}"#, "/AWS"),
        (r#"{"AWS":["*","x"]}"#, "/AWS/1"),
        (r#"{"AWS":"AIDAJQABLZS4A3QDU576Q"}"#, "/AWS"),
        (r#"{"AWS":"arn:aws:iam::111122223333:role/*"}"#, "/AWS"),
        (r#"{"AWS":"arn:aws:iam::*:root"}"#, "/AWS"),
        (r#"{"AWS":"arn:aws:iam::111122223333:group/x"}"#, "/AWS"),
        (r#"{"AWS":"arn:aws:iam:eu-west-1:111122223333:root"}"#, "/AWS"),
        (r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/role/*"}"#, "/AWS"),
        (r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/role"}"#, "/AWS"),
        (r#"{"Service":"*"}"#, "/Service"),
        (r#"{"Federated":"*"}"#, "/Federated"),
        (r#"{"Federated":"arn:aws:iam::111122223333:role/x"}"#, "/Federated"),
        (r#"{"CanonicalUser":"abc"}"#, "/CanonicalUser"),
    ] {
        assert_eq!(of(bad), [format!("/Principal{pointer}")], "{bad}");
    }
    table(
        PolicyKind::Resource,
        &[
            (r#""Effect":"Allow","Action":"*","Resource":"*""#, &[""]),
            (r#""Effect":"Deny","Action":"*","Resource":"*","NotPrincipal":{"AWS":"111122223333"}"#, &[]),
            (r#""Effect":"Allow","Action":"*","Resource":"*","NotPrincipal":{"AWS":"111122223333"}"#, &["/NotPrincipal"]),
            (r#""Effect":"Deny","Action":"*","Resource":"*","NotPrincipal":"*""#, &["/NotPrincipal"]),
            (
                r#""Effect":"Deny","Action":"*","Resource":"*","NotPrincipal":{"AWS":"111122223333"},"Principal":"*""#,
                &["/NotPrincipal"],
            ),
            (r#""Effect":"Allow","Action":"*","Principal":"*""#, &[""]),
        ],
    );
}

#[test]
fn kinds() {
    table(
        PolicyKind::Trust,
        &[
            (r#""Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole""#, &[]),
            (
                r#""Effect":"Allow","Principal":"*","Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"sts:ExternalId":"x"}}"#,
                &[],
            ),
            (r#""Effect":"Allow","Action":"sts:AssumeRole""#, &[""]),
            (r#""Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Resource":"*""#, &["/Resource"]),
            (r#""Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","NotResource":"*""#, &["/NotResource"]),
            (r#""Effect":"Allow","Principal":"*","Action":"*""#, &["/Action"]),
            (r#""Effect":"Allow","Principal":"*","Action":"s3:GetObject""#, &["/Action"]),
            (r#""Effect":"Allow","Principal":"*","NotAction":"sts:AssumeRole""#, &["/NotAction"]),
            (r#""Effect":"Deny","NotPrincipal":{"AWS":"111122223333"},"Action":"sts:AssumeRole""#, &["/NotPrincipal"]),
        ],
    );
    table(
        PolicyKind::ServiceControl,
        &[
            (
                r#""Effect":"Deny","NotAction":"iam:*","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":"eu-west-1"}}"#,
                &[],
            ),
            (r#""Effect":"Allow","Action":"*","Resource":"*""#, &[]),
            (r#""Effect":"Deny","Principal":"*","Action":"*","Resource":"*""#, &["/Principal"]),
            (r#""Effect":"Deny","Action":"*""#, &[""]),
        ],
    );
    table(
        PolicyKind::ResourceControl,
        &[
            (r#""Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*""#, &[]),
            (r#""Effect":"Allow","Principal":"*","Action":"*","Resource":"*""#, &[]),
            (r#""Effect":"Allow","Principal":"*","Action":["*"],"Resource":["*"]"#, &[]),
            (r#""Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*""#, &[""]),
            (r#""Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"Bool":{"aws:x":"true"}}"#, &[""]),
            (r#""Effect":"Deny","Principal":{"AWS":"*"},"Action":"s3:*","Resource":"*""#, &["/Principal"]),
            (r#""Effect":"Deny","Principal":{"AWS":"111122223333"},"Action":"s3:*","Resource":"*""#, &["/Principal"]),
            (r#""Effect":"Deny","NotPrincipal":{"AWS":"111122223333"},"Action":"s3:*","Resource":"*""#, &["/NotPrincipal"]),
            (r#""Effect":"Deny","Action":"s3:*","Resource":"*""#, &[""]),
            (r#""Effect":"Deny","Principal":"*","NotAction":"s3:*","Resource":"*""#, &["/NotAction"]),
        ],
    );
    for kind in [PolicyKind::Session, PolicyKind::Boundary, PolicyKind::Identity] {
        table(
            kind,
            &[
                (r#""Effect":"Allow","Action":"*","Resource":"*""#, &[]),
                (r#""Effect":"Allow","Action":"*","Resource":"*","Principal":"*""#, &["/Principal"]),
            ],
        );
    }
}

/// IAM's quotas, those of Organizations and S3's: "IAM doesn't count white space".
#[test]
fn sizes() {
    for kind in KINDS {
        let principal = match kind {
            PolicyKind::Resource | PolicyKind::Trust | PolicyKind::ResourceControl => r#""Principal":"*","#,
            _ => "",
        };
        let (action, resource) = if kind == PolicyKind::Trust { ("sts:A", "") } else { ("s3:Act", r#""Resource":"*","#) };
        let statement = |filler: usize| {
            let fillers: Vec<String> = (0..filler).map(|index| format!(r#""{action}{index:04}""#)).collect();
            format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny",{principal}{resource}"Action":[{}]}}]}}"#,
                fillers.join(",\n   ")
            )
        };
        let mut filler = 1;
        while parse(&statement(filler)).unwrap().to_json().len() <= kind.chars_max() && filler < 1_000 {
            filler += 1;
        }
        let most = if filler < 1_000 { filler - 1 } else { 1_000 };
        assert!(faults(kind, &statement(most)).is_empty(), "{}", kind.name());
        if filler < 1_000 {
            let found = faults(kind, &statement(filler));
            assert_eq!((found.len(), found[0].pointer.as_str()), (1, ""), "{}", kind.name());
        } else {
            assert_eq!(faults(kind, &statement(1_001))[0].pointer, "/Statement/0/Action", "{}", kind.name());
        }
    }
}

#[test]
fn json() {
    for (text, line, column) in [
        ("", 1, 1),
        ("{", 1, 2),
        ("{\n \"a\": 1,\n}", 3, 1),
        ("{\"a\" 1}", 1, 6),
        ("[1 2]", 1, 4),
        ("[01]", 1, 3),
        ("[1.]", 1, 4),
        ("[-]", 1, 3),
        ("[1e]", 1, 4),
        ("tru", 1, 1),
        ("\"a", 1, 3),
        ("\"é\n\"", 1, 3),
        (r#""\x""#, 1, 3),
        (r#""\u12""#, 1, 4),
        (r#""\ud800""#, 1, 8),
        (r#""\udc00""#, 1, 8),
        (r#""\ud800\u0041""#, 1, 14),
        ("{} {}", 1, 4),
        ("{\"a\":1,\"\\u0061\":2}", 1, 8),
        ("[{\"b\":1,\n\"b\":2}]", 2, 1),
    ] {
        let found = parse(text).unwrap_err();
        assert_eq!((found[0].place.line, found[0].place.column), (line, column), "{text}: {found:?}");
    }
    let two = parse(r#"{"a":1,"a":2,"b":{"c":1,"c":1}}"#).unwrap_err();
    assert_eq!(two.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), ["/a", "/b/c"]);
    let text = parse(r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é""#).unwrap();
    assert_eq!(text.text(), Some("a\"\\/\u{8}\u{c}\n\r\té😀é"));
    assert_eq!(parse(&text.to_json()).unwrap(), text);
}

/// A tree that another reader built: its places are kept, and what it already told of isn't told again.
#[test]
fn trees_built_by_hand() {
    let at = |line, data| Node { place: Place { line, column: 3 }, data };
    let text = |line, text: &str| at(line, Data::Text(text.to_owned()));
    let map = |line, entries: Vec<(&str, Node)>| {
        let entry = |(key, value): (&str, Node)| Entry { place: value.place, key: key.to_owned(), value };
        at(line, Data::Map(entries.into_iter().map(entry).collect()))
    };
    let policy = |resource: Node| {
        let statement = map(7, vec![("Effect", text(7, "Allow")), ("Action", text(8, "mcp:*")), ("Resource", resource)]);
        map(5, vec![("Version", text(5, "2012-10-17")), ("Statement", at(6, Data::List(vec![statement])))])
    };
    let read = |node: &Node| Policy::read(PolicyKind::Identity, "inline", "remit.yaml", node);
    let good = read(&policy(text(9, "*"))).unwrap();
    assert_eq!((&**good.statements()[0].origin(), &**good.statements()[0].label()), ("remit.yaml:7", "inline: statement 1"));
    assert_eq!(read(&policy(text(9, "x"))).unwrap_err()[0].place, Place { line: 9, column: 3 });
    assert_eq!(read(&policy(at(9, Data::Broken))).unwrap_err(), []);
    assert_eq!(read(&at(1, Data::Broken)).unwrap_err(), []);
    let twice =
        map(1, vec![("Version", text(1, "2012-10-17")), ("Version", text(2, "2012-10-17")), ("Statement", at(3, Data::Broken))]);
    assert_eq!(read(&twice).unwrap_err().len(), 1);
    let mut deep = text(1, "x");
    for _ in 0..40 {
        deep = at(1, Data::List(vec![deep]));
    }
    assert!(!deep.is_bounded());
    assert_eq!(read(&policy(deep)).unwrap_err().len(), 1);
    assert_eq!(document::quote("a\"\u{1}é"), "\"a\\\"\\u0001é\"");
}
