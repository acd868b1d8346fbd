//! `remit servers verify --provenance`: real attestations of real packages, as a person verifies them.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::gateway::{Place, Said, remit};

const SOURCE: &str = "https://github.com/sigstore/sigstore-js";
const WORKFLOW: &str = "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main";

fn file(path: &str) -> String {
    let whole = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(whole.exists(), "{}", whole.display());
    whole.to_str().unwrap().to_owned()
}

/// npm's package, and the bundle of its provenance.
fn npm() -> (String, String) {
    (file("tests/it/vectors/sigstore-2.0.0.tgz"), file("../attestation/tests/vectors/npm-sigstore-2.0.0.json"))
}

fn verify(args: &[&str]) -> Said {
    remit(&[&["servers", "verify"], args].concat(), None)
}

fn json_of(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"))
}

#[test]
fn a_package_is_what_its_repository_s_workflow_signed() {
    let (package, bundle) = npm();
    let said = verify(&[&package, "--provenance", &bundle, "--source", SOURCE]);
    assert_eq!(said.code, 0, "{said:?}");
    let lines: Vec<&str> = said.out.lines().collect();
    for (n, begins) in [
        "trust root: Sigstore's public-good instance as of 2",
        "attestation 1 of 1 (https://slsa.dev/provenance/v1):",
        "  subject: ok: ",
        "  signature: ok: ",
        "  signing time: ok: 2023-08-18T16:05:3",
        "  certificate: ok: ",
        "  certificate's log: ok: ",
        "  transparency log: ok: ",
        &format!("  identity: ok: signed by {WORKFLOW}, vouched for by https://token.actions.githubusercontent.com, built from {SOURCE}, at refs/heads/main, commit f0b49a04"),
        "  statement: ok: ",
        &format!("  it says of itself: source {SOURCE}, workflow .github/workflows/release.yml, commit f0b49a04"),
        "provenance: ok: ",
    ]
    .iter()
    .enumerate()
    {
        assert!(lines[n].starts_with(begins), "{begins}: {}", said.out);
    }
    let told = json_of(&verify(&[&package, "--provenance", &bundle, "--source", SOURCE, "--json"]));
    assert_eq!(told["verified"], true);
    let one = &told["provenance"]["attestations"][0];
    assert_eq!(
        (&told["provenance"]["outcome"], &one["signer"]["identity"], &one["signer"]["source"], &one["claims"]["source"]),
        (&json!("ok"), &json!(WORKFLOW), &json!(SOURCE), &json!(SOURCE))
    );
    assert!(
        told["checks"].as_array().unwrap().iter().all(|check| check["verified"] == true && check["attestation"] == 0),
        "{told}"
    );
}

#[test]
fn whose_it_must_be_is_said_or_nothing_counts() {
    let (package, bundle) = npm();
    let nobody = verify(&[&package, "--provenance", &bundle]);
    assert_eq!(nobody.code, 1, "a good signature of just anybody is no success: {nobody:?}");
    assert!(
        nobody.out.contains(&format!("signed by {WORKFLOW}")) && nobody.out.contains("YOU SAID NOT WHOSE IT MUST BE"),
        "{nobody:?}"
    );
    assert!(nobody.out.ends_with("provenance: not verified: not all of it could be verified: what is missing stands above\n"));
    let other = verify(&[&package, "--provenance", &bundle, "--source", "https://github.com/acme/sigstore-js"]);
    assert!(other.code == 1 && other.out.contains("  identity: failed: signed by"), "{other:?}");
    assert!(other.out.ends_with("provenance: failed: something of it is wrong: don't install the file\n"), "{other:?}");
    let exact = ["--identity", WORKFLOW, "--issuer", "https://token.actions.githubusercontent.com"];
    assert_eq!(verify(&[&[package.as_str(), "--provenance", &bundle], &exact[..]].concat()).code, 0);
    for (half, mend) in [
        (&["--identity", WORKFLOW][..], "give --issuer with --identity"),
        (&["--issuer", "https://gitlab.com"], "an issuer alone is everybody"),
        (&["--source", "sigstore/sigstore-js"], "write https://github.com/OWNER/REPOSITORY"),
        (&["--source", "https://git.example/a/b"], "say it with --issuer"),
    ] {
        let said = verify(&[&[package.as_str(), "--provenance", &bundle], half].concat());
        assert!(said.code == 3 && said.err.contains(mend), "{said:?}");
    }
    // What a `server.json` declares says it too.
    let place = Place::new();
    let declaring = |repository: &str| {
        let path = place.root().join("server.json");
        let packages = json!([{"registryType": "npm", "identifier": "sigstore", "version": "2.0.0"}]);
        let whole =
            json!({"name": "io.github.sigstore/it", "packages": packages, "repository": {"url": repository, "source": "github"}});
        std::fs::write(&path, json!({"server": whole}).to_string()).unwrap();
        verify(&[&package, "--provenance", &bundle, "--server-json", path.to_str().unwrap()])
    };
    assert_eq!(declaring(&format!("git+{SOURCE}.git")).code, 0);
    let other = declaring("https://github.com/acme/weather");
    assert!(other.code == 1 && other.out.contains("must be built from https://github.com/acme/weather"), "{other:?}");
    let none = declaring("");
    assert!(none.code == 3 && none.err.contains("say whose it must be with --source"), "{none:?}");
}

#[test]
fn another_file_or_a_changed_bundle_or_another_trust_root_is_told() {
    let (package, bundle) = npm();
    let place = Place::new();
    let write = |name: &str, text: &[u8]| {
        let path = place.root().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let with = |package: &str, bundle: &str, more: &[&str]| {
        verify(&[&[package, "--provenance", bundle, "--source", SOURCE], more].concat())
    };
    let mut bytes = std::fs::read(&package).unwrap();
    bytes.push(0);
    let changed = with(&write("sigstore-2.0.0.tgz", &bytes), &bundle, &[]);
    assert!(changed.code == 1 && changed.out.contains("  subject: failed: the statement is about another file"), "{changed:?}");
    assert!(
        !changed.out.contains(WORKFLOW) && !changed.out.contains("it says of itself"),
        "nothing of it is repeated: {changed:?}"
    );
    let real = std::fs::read_to_string(&bundle).unwrap();
    let mut bent: Value = serde_json::from_str(&real).unwrap();
    bent["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = json!("1692374737");
    let said = with(&package, &write("bent.json", bent.to_string().as_bytes()), &[]);
    assert!(said.code == 1 && said.out.contains("  transparency log: failed: "), "{said:?}");
    let staging = file("../attestation/tests/vectors/staging-trusted-root.json");
    let said = with(&package, &bundle, &["--trust-root", &staging]);
    assert!(said.code == 1 && said.out.contains("trust root: /") && said.out.contains("give a newer one"), "{said:?}");
    // What can't be read is told from what is wrong.
    for (document, more, why) in [
        (write("no.json", b"no"), vec![], "it isn't JSON"),
        (write("empty.json", b"{}"), vec![], "it is neither a Sigstore bundle"),
        (bundle.clone(), vec!["--trust-root", bundle.as_str()], "the trust root: it isn't a Sigstore trusted root"),
    ] {
        let said = with(&package, &document, &more);
        assert!(said.code == 3 && said.err.contains(why), "{said:?}");
    }
    // npm's list, as its registry serves it; beside a record of npm's own, which isn't this trust root's to verify.
    let publish = json!({"mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.2", "verificationMaterial": {"publicKey": {"hint": "SHA256:npm"}, "tlogEntries": []},
        "dsseEnvelope": serde_json::from_str::<Value>(&real).unwrap()["dsseEnvelope"]});
    let list = json!({"attestations": [
        {"predicateType": "https://github.com/npm/attestation/tree/main/specs/publish/v0.1", "bundle": publish},
        {"predicateType": "https://slsa.dev/provenance/v1", "bundle": serde_json::from_str::<Value>(&real).unwrap()},
    ]});
    let said = with(&package, &write("list.json", list.to_string().as_bytes()), &[]);
    assert!(
        said.code == 0 && said.out.contains("attestation 2 of 2") && said.out.contains("  signature: not verified: "),
        "{said:?}"
    );
}
