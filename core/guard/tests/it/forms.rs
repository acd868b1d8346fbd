//! Forms and checksums, by vectors that their owners publish.

use remit_guard::{Kind, PiiType};

use crate::{inspected, masking, passes};

/// A text and what is found in it: kind and what stands there.
fn check(text: &str, kind: &str, stands: &str) {
    let assessment = inspected(masking(), text);
    let found: Vec<(&str, &str)> = assessment.findings.iter().map(|f| (f.name.as_str(), &text[f.range.clone()])).collect();
    assert!(found.contains(&(kind, stands)), "`{text}`: {found:?}");
}

fn none(text: &str) {
    let found: Vec<(String, String)> = inspected(masking(), text).findings.into_iter().map(|f| (f.name, f.matched)).collect();
    assert!(found.is_empty(), "`{text}`: {found:?}");
}

#[test]
fn numbers_with_a_checksum() {
    // Networks' published test cards.
    for card in [
        "4111111111111111",
        "5555555555554444",
        "378282246310005",
        "6011111111111117",
        "3530111333300000",
        "30569309025904",
        "2223003122003222",
    ] {
        check(&format!("paid with {card}, thanks"), "CREDIT_DEBIT_CARD_NUMBER", card);
    }
    check("card 4111-1111-1111-1111.", "CREDIT_DEBIT_CARD_NUMBER", "4111-1111-1111-1111");
    check("on 2024-01-15 4111 1111 1111 1111 was charged", "CREDIT_DEBIT_CARD_NUMBER", "4111 1111 1111 1111");
    // What stands before doesn't hide it.
    for lead in ["order A12 ", "v2 ", "1 2 3 4 5 6 7 8 9 10 11 12 ", "no.", "17-", "\u{2116}"] {
        check(&format!("{lead}4111 1111 1111 1111"), "CREDIT_DEBIT_CARD_NUMBER", "4111 1111 1111 1111");
    }
    // SWIFT's IBAN registry.
    check("to GB82 WEST 1234 5698 7654 32 today", "INTERNATIONAL_BANK_ACCOUNT_NUMBER", "GB82 WEST 1234 5698 7654 32");
    check("DE89370400440532013000", "INTERNATIONAL_BANK_ACCOUNT_NUMBER", "DE89370400440532013000");
    check("FR1420041010050500013M02606", "INTERNATIONAL_BANK_ACCOUNT_NUMBER", "FR1420041010050500013M02606");
    // The NHS data dictionary's example.
    check("NHS number: 943 476 5919", "UK_NATIONAL_HEALTH_SERVICE_NUMBER", "943 476 5919");
    check("his SIN is 046 454 286", "CA_SOCIAL_INSURANCE_NUMBER", "046 454 286");
    // 49 CFR 565's worked example and the one of all ones.
    check("the car 1M8GDM9AXKP042788 is sold", "VEHICLE_IDENTIFICATION_NUMBER", "1M8GDM9AXKP042788");
    // Routing numbers that their banks publish.
    check("routing number 021000021", "US_BANK_ROUTING_NUMBER", "021000021");
    check("ABA 011000015", "US_BANK_ROUTING_NUMBER", "011000015");
    check("UTR: 1955839661", "UK_UNIQUE_TAXPAYER_REFERENCE_NUMBER", "1955839661");
}

#[test]
fn a_wrong_check_digit_is_nothing() {
    none("paid with 4111111111111112, thanks");
    none("to GB83 WEST 1234 5698 7654 32 today");
    none("NHS number: 9434765918");
    none("the car 1M8GDM9A1KP042788 is sold");
    none("routing number 021000022");
    none("UTR: 2955839661");
    none("0000 0000 0000 0000");
}

#[test]
fn fixed_forms() {
    check("write to ann.lee+x@mail.example.co.uk.", "EMAIL", "ann.lee+x@mail.example.co.uk");
    check("see https://example.com/a?b=c#d.", "URL", "https://example.com/a?b=c#d");
    check("(see https://example.com/a_(b))", "URL", "https://example.com/a_(b)");
    check("host 192.168.1.254 is down", "IP_ADDRESS", "192.168.1.254");
    check("at 2001:db8::ff00:42:8329 now", "IP_ADDRESS", "2001:db8::ff00:42:8329");
    check("nic 00-B0-D0-63-C2-26 up", "MAC_ADDRESS", "00-B0-D0-63-C2-26");
    check("ssn 078-05-1120", "US_SOCIAL_SECURITY_NUMBER", "078-05-1120");
    check("ITIN 912-70-1234", "US_INDIVIDUAL_TAX_IDENTIFICATION_NUMBER", "912-70-1234");
    check("NI: AB 12 34 56 C ok", "UK_NATIONAL_INSURANCE_NUMBER", "AB 12 34 56 C");
    check("call +44 20 7946 0958 now", "PHONE", "+44 20 7946 0958");
    check("call (212) 736-5000 now", "PHONE", "(212) 736-5000");
    // AWS's documentation's example.
    check("id AKIAIOSFODNN7EXAMPLE", "AWS_ACCESS_KEY", "AKIAIOSFODNN7EXAMPLE");
    check(
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AWS_SECRET_KEY",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    );
}

#[test]
fn values_that_words_explain() {
    check("my password is hunter2!", "PASSWORD", "hunter2!");
    check("username: jdoe42", "USERNAME", "jdoe42");
    check("CVV: 123", "CREDIT_DEBIT_CARD_CVV", "123");
    check("expires 09/27", "CREDIT_DEBIT_CARD_EXPIRY", "09/27");
    check("PIN 4821", "PIN", "4821");
    check("she is 42 years old", "AGE", "42");
    check("aged 7", "AGE", "7");
    check("SWIFT code DEUTDEFF", "SWIFT_CODE", "DEUTDEFF");
    check("driver's license D1234567", "DRIVER_ID", "D1234567");
    check("license plate ABC-1234", "LICENSE_PLATE", "ABC-1234");
    check("passport number X12345678", "US_PASSPORT_NUMBER", "X12345678");
    check("account number 123456789012", "US_BANK_ACCOUNT_NUMBER", "123456789012");
    check("health card 1234-567-890", "CA_HEALTH_NUMBER", "1234-567-890");
    check("Dear Mrs. Jane Doe, hello", "NAME", "Jane Doe");
    check("at 221B Baker Street, London", "ADDRESS", "221B Baker Street, London");
}

#[test]
fn what_only_looks_alike() {
    none("version 1.2.3.4 of 2024-01-15T10:22:33.123456Z took 1234567 ms");
    none("the password is required and must be changed");
    none("password: ********");
    none("password: ${DB_PASSWORD}");
    none("std::fs::read and a::b::c");
    none("order 1700000000000 has 12:30:45 and 10:20");
    none("pinning the page 12 of the tool");
    none("@decorator and user@localhost");
    none("pi is 3.14159265358979323846 and 2.4111111111111111");
    none("fingerprint 00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff");
}

#[test]
fn secrets() {
    for (name, token) in [
        ("GITHUB_TOKEN", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
        ("STRIPE_KEY", "sk_live_4eC39HqLyjWDarjtT1zdp7dc"),
        ("GOOGLE_API_KEY", "AIzaSyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe"),
        (
            "JSON_WEB_TOKEN",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        ),
    ] {
        check(&format!("token={token};"), name, token);
    }
    let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----";
    check(&format!("x {key} y"), "PRIVATE_KEY", key);
    none("ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    none("-----BEGIN PUBLIC KEY-----");
}

#[test]
fn masks_are_the_kinds_name_in_braces() {
    assert_eq!(passes(masking(), "mail ann@example.com now"), "mail {EMAIL} now");
    assert_eq!(passes(masking(), "nothing here"), "nothing here");
}

#[test]
fn hidden_text_is_named_read_and_removed() {
    let tags: String = "hi".chars().map(|c| char::from_u32(0xe0000 + u32::from(c)).unwrap()).collect();
    for (text, kind) in [
        (format!("a{tags}b"), "UNICODE_TAGS"),
        ("pass\u{200b}word".to_owned(), "ZERO_WIDTH"),
        ("abc\u{202e}txt".to_owned(), "BIDI_CONTROL"),
        ("a\u{1b}[2Jb".to_owned(), "ANSI_ESCAPE"),
        ("a\u{1b}[8mb".to_owned(), "ANSI_ESCAPE"),
        ("p\u{430}yp\u{430}l".to_owned(), "HOMOGLYPH"),
        ("x\u{fe01}\u{fe02}\u{fe03}".to_owned(), "VARIATION_SELECTORS"),
    ] {
        let assessment = inspected(masking(), &text);
        assert!(
            assessment.findings.iter().any(|f| f.kind == Kind::HiddenText && f.name == kind),
            "{text:?}: {:?}",
            assessment.findings
        );
    }
    // What is hidden is read, and doesn't hide what isn't.
    let says: String = "key AKIAIOSFODNN7EXAMPLE".chars().map(|c| char::from_u32(0xe0000 + u32::from(c)).unwrap()).collect();
    let assessment = inspected(masking(), &format!("card 4111 {says}1111 1111{tags} 1111 now"));
    assert!(assessment.findings.iter().any(|f| f.kind == Kind::Pii(PiiType::AwsAccessKey)), "{:?}", assessment.findings);
    assert_eq!(assessment.output.as_deref(), Some("card {CREDIT_DEBIT_CARD_NUMBER} now"));
    // What is hidden doesn't hide a value.
    assert_eq!(passes(masking(), "ann\u{200b}@exam\u{200d}ple.com!"), "{EMAIL}!");
    assert_eq!(passes(masking(), "card \u{ff14}111 1111 1111 1111"), "card {CREDIT_DEBIT_CARD_NUMBER}");
}

#[test]
fn what_scripts_and_terminals_need_is_not_hidden() {
    for text in [
        "family \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} and \u{2764}\u{fe0f}",
        "\u{feff}begins with a mark",
        "\u{1b}[31mred\u{1b}[0m",
        "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
        "\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442} \u{43c}\u{438}\u{440}",
        "caf\u{e9} \u{2014} na\u{ef}ve \u{3bc}m",
        "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} flag",
        "soft\u{ad}hyphen",
    ] {
        assert!(inspected(masking(), text).findings.is_empty(), "{text:?}: {:?}", inspected(masking(), text).findings);
    }
}

#[test]
fn encoded_secrets_are_found() {
    // base64 of "my key is AKIAIOSFODNN7EXAMPLE ok"
    let text = "data: bXkga2V5IGlzIEFLSUFJT1NGT0ROTjdFWEFNUExFIG9r end";
    let assessment = inspected(masking(), text);
    assert!(assessment.findings.iter().any(|f| f.kind == Kind::Pii(PiiType::AwsAccessKey) && f.encoding.is_some()));
    assert_eq!(assessment.output.as_deref(), Some("data: {AWS_ACCESS_KEY} end"));
}
