//! What works without a gateway: pins as code.

use std::path::{Path, PathBuf};

use crate::aws::acme;
use crate::client::json;
use crate::gateway::{Remit, Said, remit, until};

/// The sample organization, as it lies in the repository.
pub(crate) fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/acme")
}

fn check(directory: &Path) -> Said {
    remit(&["check", directory.to_str().unwrap()], None)
}

#[test]
fn the_lock_of_the_sample_organization_is_what_its_servers_show() {
    let place = acme(&[]);
    assert_eq!(place.cli_with(&["secret", "set", "ledger-api-key"], Some("any-value")).code, 0);
    let remit_up = Remit::up_at(place, &[]);
    let file = remit_up.place().root().join("tools.lock.json");
    until("every server is pinned", || {
        let said = remit_up.place().cli(&["pins", "--export", file.to_str().unwrap(), "--json"]);
        assert_eq!(said.code, 0, "{said:?}");
        json(&said.out)["servers"] == 5
    });
    let shown = std::fs::read_to_string(&file).unwrap();
    remit_up.stop();
    let kept = example().join("tools.lock.json");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&kept, &shown).unwrap();
    }
    assert!(
        std::fs::read_to_string(&kept).unwrap() == shown,
        "the sample servers show other tools: UPDATE=1 cargo nextest run -p remit -E 'test(the_lock_of_the_sample)'"
    );
    let said = check(&example());
    assert!(said.code == 0 && said.out.starts_with("ok: ") && said.out.contains("20 tools locked"), "{said:?}");
}

#[test]
fn a_lock_is_checked_with_its_directory() {
    let place = acme(&[]);
    let lock = place.config().join("tools.lock.json");
    let text = std::fs::read_to_string(&lock).unwrap();
    std::fs::write(&lock, text.replace("444455556666/helpdesk", "444455556666/helpdesk-2")).unwrap();
    let said = check(&place.config());
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("warning: the directory has no server 444455556666/helpdesk-2"), "{}", said.out);
    assert!(said.out.contains("warning: server 444455556666/helpdesk is not in here"), "{}", said.out);
    // A tool that its server no longer has, and one whose class is above the mandate.
    std::fs::write(&lock, text.replace("search_logs", "search_traces").replace("\"sha256:", "\"sha256:0")).unwrap();
    let said = check(&place.config());
    assert!(
        said.code == 3 && said.out.contains("the digest doesn't fit the definition") && said.out.contains("remit pins --export"),
        "{said:?}"
    );
    std::fs::write(&lock, "{").unwrap();
    let said = remit(&["check", place.config().to_str().unwrap(), "--json"], None);
    assert!(said.code == 3 && json(&said.out)["faults"][0]["file"] == "tools.lock.json", "{said:?}");
    std::fs::remove_file(&lock).unwrap();
    let said = check(&place.config());
    assert!(said.code == 0 && !said.out.contains("locked"), "{said:?}");
}
