//! What counts as a review, and what doesn't.

use std::sync::Arc;

use remit_control::review::{Answer, ReviewError, sign, standing, text, verify};
use remit_control::versions::{Plan, Versions};
use remit_model::ChangeReview;
use remit_store::MemoryStore;
use remit_tlog::Signer;

use crate::{candidate, file};

fn key(name: &str) -> Signer {
    let mut seed = [7; 32];
    seed.iter_mut().zip(name.bytes()).for_each(|(seed, byte)| *seed ^= byte);
    Signer::from_seed(name, &seed).unwrap()
}

fn rule(approvals: u32, names: &[&str]) -> ChangeReview {
    let reviewers = names.iter().map(|name| key(name).verifier().to_string()).collect();
    ChangeReview { required: true, approvals, reviewers }
}

fn plans() -> [Plan; 2] {
    let versions = Versions::new(Arc::new(MemoryStore::new()));
    let head = versions.keep(None, &candidate("alice", &[file("a.yaml", "# 0\n")]), 1).unwrap();
    let submit = |text: &str| versions.submit(&head, "gate", &candidate("Alice", &[file("a.yaml", text)]), 2).unwrap();
    [submit("# 1\n"), submit("# 2\n")]
}

#[test]
fn only_a_reviewers_own_word_on_this_plan_counts() {
    let [plan, other] = plans();
    let two = rule(1, &["alice", "bob"]);
    let check = |note: &str| verify(Some(&two), "gate", &plan, note);
    let by = |name: &str| sign(&key(name), "gate", &plan, Answer::Approve, "fine\nby me").unwrap();
    let said = check(&by("bob")).unwrap();
    assert_eq!((said.reviewer.as_str(), said.answer, said.comment.as_str()), ("bob", Answer::Approve, "fine by me"));
    assert!(matches!(check(&by("alice")), Err(ReviewError::Own(_))), "the author, however the name is written");
    assert!(matches!(check(&by("mallory")), Err(ReviewError::Note(_))));
    let renamed = Signer::from_seed("bob", &[1; 32]).unwrap();
    assert!(check(&sign(&renamed, "gate", &plan, Answer::Approve, "").unwrap()).is_err(), "the name alone is nobody");
    assert!(check(&sign(&key("bob"), "gate", &other, Answer::Approve, "").unwrap()).is_err(), "another plan");
    assert!(check(&sign(&key("bob"), "another", &plan, Answer::Approve, "").unwrap()).is_err(), "another gateway");
    assert!(check(&by("bob").replace("approve", "reject")).is_err(), "the text was changed");
    let more = text("gate", &plan, Answer::Approve, "") + "approve everything\n";
    assert!(matches!(check(&key("bob").sign(&more).unwrap().to_string()), Err(ReviewError::Text)));
    assert!(matches!(check(&key("bob").sign("something else\n").unwrap().to_string()), Err(ReviewError::Text)));
    assert!(matches!(check(&"x".repeat(20_000)), Err(ReviewError::Long)));
    assert!(matches!(sign(&key("bob"), "gate", &plan, Answer::Approve, &"x".repeat(2_001)), Err(ReviewError::Long)));
    assert!(matches!(verify(None, "gate", &plan, &by("bob")), Err(ReviewError::NoReviewers)));
}

#[test]
fn approvals_are_counted_by_reviewer_and_by_the_last_word() {
    let [plan, _] = plans();
    let note = |name: &str, answer: Answer| (name.to_owned(), sign(&key(name), "gate", &plan, answer, "").unwrap());
    let (bob, carol) = (note("bob", Answer::Approve), note("carol", Answer::Approve));
    let no = note("dave", Answer::Reject);
    let rule = rule(2, &["alice", "bob", "carol", "dave"]);
    let approved = |notes: &[(String, String)]| standing(&rule, "gate", &plan, notes).approved;
    assert!(!approved(&[]) && !approved(std::slice::from_ref(&bob)));
    assert!(!approved(&[bob.clone(), bob.clone()]), "one reviewer is one");
    assert!(approved(&[bob.clone(), carol.clone()]));
    assert!(!approved(&[bob.clone(), carol.clone(), no.clone()]), "a rejection holds it");
    assert!(approved(&[bob.clone(), carol.clone(), no, note("dave", Answer::Approve)]), "until it is taken back");
    assert!(!approved(&[bob.clone(), carol.clone(), note("bob", Answer::Reject)]));
    // The name that it was kept under says nothing.
    assert!(!approved(&[bob.clone(), ("carol".to_owned(), bob.1.clone())]));
    // Who is no reviewer any more doesn't count.
    let fewer = self::rule(2, &["alice", "bob", "dave"]);
    let now = standing(&fewer, "gate", &plan, &[bob, carol]);
    assert!(!now.approved && now.missing == ["dave"] && now.approvals.len() == 1);
}
