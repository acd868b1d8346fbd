//! How servers may come to stand in the registry, and by whose word.

use remit_kernel::registry::{Asked, Record, changed, status};
use remit_model::{RegistryRules, RegistryStatus};

use crate::fixtures::{key, registered};

const DIGEST: &str = "sha256:one";

fn asked(to: RegistryStatus, by: &'static str) -> Asked<'static> {
    Asked { status: to, registration: None, by, proof: "SIGN_IN", reason: "r" }
}

fn server(declared: RegistryStatus) -> remit_model::Server {
    remit_model::Server { status: declared, registration: DIGEST.to_owned(), ..registered(&key("up")) }
}

fn record(status: RegistryStatus) -> Record {
    let (by, proof, reason) = ("ann".to_owned(), "SIGN_IN".to_owned(), "r".to_owned());
    Record { registration: DIGEST.to_owned(), status, by, proof, reason, at_secs: 1, submitted_by: Some("ann".to_owned()) }
}

#[test]
fn only_these_ways_lead_from_one_to_another() {
    use RegistryStatus::{Approved, Deprecated, Draft, PendingApproval, Rejected};
    let ways = [
        (Draft, PendingApproval),
        (Rejected, PendingApproval),
        (PendingApproval, Approved),
        (PendingApproval, Rejected),
        (PendingApproval, Draft),
        (Approved, Deprecated),
    ];
    for from in RegistryStatus::ALL {
        for to in RegistryStatus::ALL {
            let done = changed(&server(Draft), Some(&record(from)), &RegistryRules::default(), &asked(to, "bob"), 2);
            assert_eq!(done.is_ok(), ways.contains(&(from, to)), "{from} to {to}: {done:?}");
        }
    }
    // What the directory declares stands until somebody says otherwise, and again when the registration is another one.
    let mut changed_registration = server(Draft);
    changed_registration.registration = "sha256:two".to_owned();
    for said in RegistryStatus::ALL {
        assert_eq!(status(&server(Draft), Some(&record(said))), said);
        assert_eq!(status(&changed_registration, Some(&record(said))), Draft);
        assert_eq!(status(&server(said), None), said);
    }
}

#[test]
fn a_second_person_is_another_one_and_proved() {
    let rules = RegistryRules { second_person: true };
    let pending = record(RegistryStatus::PendingApproval);
    let approve = |record: &Record, asked: Asked<'_>| changed(&server(RegistryStatus::Draft), Some(record), &rules, &asked, 2);
    assert!(approve(&pending, asked(RegistryStatus::Approved, "bob")).is_ok());
    assert!(approve(&pending, asked(RegistryStatus::Approved, "Ann")).unwrap_err().contains("second person"));
    for proof in ["TOKEN", "SIGNATURE", "KEY", "CHANNEL", ""] {
        assert!(approve(&pending, Asked { proof, ..asked(RegistryStatus::Approved, "bob") }).is_err(), "{proof}");
    }
    let nobody = Record { submitted_by: None, ..pending.clone() };
    assert!(approve(&nobody, asked(RegistryStatus::Approved, "bob")).is_err());
    // Refusing needs no second person; nobody's reason may be empty or endless.
    assert!(approve(&pending, asked(RegistryStatus::Rejected, "ann")).is_ok());
    for reason in ["", " ", &"r".repeat(256)] {
        assert!(approve(&pending, Asked { reason, ..asked(RegistryStatus::Rejected, "bob") }).is_err());
    }
}
