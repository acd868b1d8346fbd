//! Real attestations hold, and whose they are is asked.

use serde_json::Value;

use super::*;

/// Every real one of npm's and PyPI's, as bundles, and whose it is.
fn real() -> Vec<(&'static str, Value, Expected)> {
    let pypi = |name: &str| {
        let whole = vector(name);
        let one = whole.pointer("/attestation_bundles/0/attestations/0").unwrap_or(&whole);
        super::forms::bundle(one)
    };
    let mail = Expected::new(None, Some("brian@dehamer.com"), Some("https://github.com/login/oauth")).unwrap();
    let own = of("https://github.com/trailofbits/pypi-attestations");
    vec![
        ("npm, bundle v0.1, intoto 0.0.2", vector("npm-sigstore-2.0.0.json"), of(SIGSTORE_JS)),
        ("npm, bundle v0.3, dsse 0.0.1", vector("npm-sigstore-5.0.0.json"), of(SIGSTORE_JS)),
        ("npm, SLSA v0.2, the log's promise alone", vector("npm-promise-alone.json"), mail),
        ("PyPI, published", pypi("pypi-attestations-0.0.19.provenance.json"), own.clone()),
        ("PyPI, SLSA v1", pypi("pypi-attestations-0.0.19.slsa.json"), own),
        ("PyPI, of GitLab's", pypi("pypi-gitlab.json"), of("https://gitlab.com/facutuesca/gitlab-oidc-project")),
    ]
}

#[test]
fn real_attestations_hold() {
    for (name, bundle, expected) in real() {
        let attestation = proved(&bundle, &expected, &trust());
        assert_eq!(attestation.outcome(), Outcome::Ok, "{name}: {attestation:#?}");
        let checks: Vec<&str> = attestation.checks.iter().map(|check| check.what).collect();
        let all = [
            "subject",
            "signature",
            "signing time",
            "certificate",
            "certificate's log",
            "transparency log",
            "identity",
            "statement",
        ];
        assert_eq!(checks, all, "{name}");
    }
    let (_, bundle, expected) = real().swap_remove(0);
    let attestation = proved(&bundle, &expected, &trust());
    let signer = attestation.signer.clone().unwrap();
    assert_eq!(
        (signer.identity.as_deref(), signer.issuer.as_deref(), signer.source.as_deref(), signer.reference.as_deref()),
        (
            Some("https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main"),
            Some(GITHUB),
            Some(SIGSTORE_JS),
            Some("refs/heads/main")
        )
    );
    assert_eq!(signer.commit.as_deref(), Some("f0b49a04e5a62250e0f60fb128004a73110fe311"));
    let claims = [
        ("source", SIGSTORE_JS),
        ("workflow", ".github/workflows/release.yml"),
        ("commit", "f0b49a04e5a62250e0f60fb128004a73110fe311"),
        ("builder", "https://github.com/actions/runner/github-hosted"),
    ];
    assert_eq!(attestation.claims, claims.map(|(what, said)| (what, said.to_owned())));
    assert!(check(&attestation, "signing time").1.starts_with("2023-08-18T16:05:3"), "{attestation:#?}");
    let proof = "(intoto) is of this very envelope, by its inclusion proof in a signed tree head and by the log's signed promise";
    assert!(check(&attestation, "transparency log").1.contains(proof), "{attestation:#?}");
    let (_, bundle, expected) = real().swap_remove(2);
    assert!(check(&proved(&bundle, &expected, &trust()), "transparency log").1.ends_with("by the log's signed promise alone"));
}

#[test]
fn a_log_of_the_newer_kind_counts_by_a_timestamp_and_an_unknown_statement_says_nothing() {
    let mail = Expected::new(None, Some("jku@goto.fi"), Some("https://github.com/login/oauth")).unwrap();
    let attestation = proved(&vector("conda-rekor2.json"), &mail, &super::hostile::staging(|_| ()));
    let rest: Vec<_> = attestation.checks.iter().filter(|check| check.outcome != Outcome::Ok).collect();
    assert_eq!((attestation.outcome(), rest.len()), (Outcome::NotVerified, 1), "{attestation:#?}");
    assert_eq!(check(&attestation, "statement").0, Outcome::NotVerified);
    assert!(
        check(&attestation, "transparency log")
            .1
            .ends_with("(hashedrekord) is of this very envelope, by its inclusion proof in a signed tree head")
    );
}

#[test]
fn a_good_signature_of_just_anybody_is_told_and_not_counted() {
    for (name, bundle, _) in real() {
        let attestation = proved(&bundle, &Expected::default(), &trust());
        assert_eq!(attestation.outcome(), Outcome::NotVerified, "{name}");
        let (outcome, why) = check(&attestation, "identity");
        let signer = attestation.signer.clone().unwrap();
        assert_eq!(outcome, Outcome::NotVerified);
        assert!(why.contains(&format!("signed by {}", signer.identity.unwrap())), "{why}");
        assert!(why.contains("YOU SAID NOT WHOSE IT MUST BE") && why.contains("--source"), "{why}");
    }
}

#[test]
fn another_s_signature_is_another_s() {
    let workflow = "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main";
    let said = |source, identity, issuer| Expected::new(source, identity, issuer).unwrap();
    let bundle = vector("npm-sigstore-2.0.0.json");
    for right in [
        said(None, Some(workflow), Some(GITHUB)),
        said(Some(SIGSTORE_JS), Some(workflow), None),
        said(Some(SIGSTORE_JS), None, Some(GITHUB)),
    ] {
        assert_eq!(proved(&bundle, &right, &trust()).outcome(), Outcome::Ok);
    }
    for (other, how) in [
        (of("https://github.com/acme/sigstore-js"), "must be built from https://github.com/acme/sigstore-js"),
        (of("https://github.com/sigstore/sigstore"), "must be built from"),
        (of("https://github.com/sigstore/sigstore-js2"), "must be built from"),
        (of("https://github.com/Sigstore/sigstore-js"), "must be built from"),
        (of("https://gitlab.com/sigstore/sigstore-js"), "must be built from"),
        (said(None, Some(&workflow.replace("main", "other")), Some(GITHUB)), "must be signed by"),
        (said(None, Some(&workflow[..workflow.len() - 1]), Some(GITHUB)), "must be signed by"),
        (said(None, Some(workflow), Some("https://gitlab.com")), "must be vouched for by https://gitlab.com"),
        (said(Some(SIGSTORE_JS), Some(&workflow.replace("release", "test")), None), "must be signed by"),
        (said(Some(SIGSTORE_JS), None, Some("https://issuer.example")), "must be vouched for by https://issuer.example"),
    ] {
        let attestation = proved(&bundle, &other, &trust());
        let (outcome, why) = check(&attestation, "identity");
        assert!(outcome == Outcome::Failed && why.contains(how), "{other:?}: {why}");
        assert_eq!(attestation.outcome(), Outcome::Failed);
        assert!(
            attestation.signer.is_some() && attestation.claims.is_empty(),
            "whose it is, and nothing that they say: {attestation:#?}"
        );
    }
}

#[test]
fn who_builds_anybody_s_repository_doesn_t_speak_for_it() {
    // CircleCI's certificate names a repository of GitHub's. It is what somebody had built there, and not the repository's own word.
    let whole = vector("pypi-circleci.provenance.json");
    let bundle = super::forms::bundle(&whole["attestation_bundles"][0]["attestations"][0]);
    let anybody = proved(&bundle, &Expected::default(), &trust());
    let source = anybody.signer.clone().unwrap().source.unwrap();
    assert_eq!(source, "github.com/CircleCI-Public/sign-and-publish-examples", "{anybody:#?}");
    let attestation = proved(&bundle, &of(&format!("https://{source}")), &trust());
    assert_eq!(check(&attestation, "identity").0, Outcome::Failed, "{attestation:#?}");
    let exact = Expected::new(None, anybody.signer.unwrap().identity.as_deref(), Some("https://oidc.circleci.com")).unwrap();
    assert_eq!(proved(&bundle, &exact, &trust()).outcome(), Outcome::Ok);
}
