//! Key pairs against the clock: when a session ends, when a signature was used, and what no clock mends.

use std::sync::Arc;

use remit_authority::{Issue, KeyPair, KeyPairs};
use remit_identity::sigv4::{self, Claim, Request, SigError};
use remit_kernel::{Session, SessionOf};
use remit_model::RoleKey;

use crate::{MemoryKeys, NOW, NoAccessKeys};

fn keys(store: &MemoryKeys) -> KeyPairs {
    KeyPairs::new(store, Arc::new(NoAccessKeys)).unwrap()
}

fn issued(keys: &KeyPairs) -> KeyPair {
    issued_via(keys, &[])
}

fn issued_via(keys: &KeyPairs, via: &[&str]) -> KeyPair {
    let issue = Issue {
        who: SessionOf::Role(RoleKey::of_arn("arn:aws:iam::111122223333:role/R").unwrap()),
        name: "test".to_owned(),
        issued_at_secs: NOW,
        expires_at_secs: NOW + 900,
        chained: true,
        tags: Vec::new(),
        source_identity: Some("riley".to_owned()),
        policies: Vec::new(),
        user: None,
        via: via.iter().map(|id| (*id).to_owned()).collect(),
    };
    keys.issue(issue).unwrap()
}

/// Signs with the secret of one pair and the token of another, and shows it at `now`.
fn verified(keys: &KeyPairs, (pair, token): (&KeyPair, &KeyPair), signed_at: u64, now: u64) -> Result<Arc<Session>, SigError> {
    let (date, token) = (sigv4::timestamp(signed_at), token.session_token.as_ref().unwrap());
    let mut headers = vec![("host", "remit.example"), ("x-amz-date", &date), ("x-amz-security-token", token)];
    let unsigned = Request { method: "POST", path: "/", query: "", headers: &headers, body: b"{}" };
    let authorization = sigv4::sign(&unsigned, (&pair.access_key_id, &pair.secret_access_key), ("us-east-1", "sts")).unwrap();
    headers.push(("authorization", &authorization));
    let request = Request { method: "POST", path: "/", query: "", headers: &headers, body: b"{}" };
    let claim = Claim::read(&request).unwrap().unwrap();
    keys.verify(&request, &claim, true, now)
}

/// Who is behind the session that a request is signed in.
fn shown(keys: &KeyPairs, pairs: (&KeyPair, &KeyPair), signed_at: u64, now: u64) -> Result<String, SigError> {
    verified(keys, pairs, signed_at, now).map(|session| session.source_identity.clone().unwrap_or_default())
}

#[test]
fn a_session_ends_when_it_says() {
    let keys = keys(&MemoryKeys::default());
    let pair = issued(&keys);
    assert_eq!(shown(&keys, (&pair, &pair), NOW, NOW).unwrap(), "riley");
    assert_eq!(shown(&keys, (&pair, &pair), NOW + 899, NOW + 899).unwrap(), "riley");
    assert_eq!(shown(&keys, (&pair, &pair), NOW + 900, NOW + 900).unwrap_err().code, "ExpiredToken");
}

#[test]
fn a_signature_is_good_once_within_its_time() {
    let keys = keys(&MemoryKeys::default());
    let pair = issued(&keys);
    shown(&keys, (&pair, &pair), NOW, NOW).unwrap();
    // Who signed the same second is told to wait, each for a second of its own; later it is a repetition and nothing else.
    let waits: Vec<Option<u64>> =
        (0..7).map(|_| shown(&keys, (&pair, &pair), NOW, NOW + 1).unwrap_err().retry_after_ms).collect();
    assert_eq!(waits, [1000, 2000, 3000, 4000, 5000, 5000, 5000].map(Some));
    for later in [3, 60, 300] {
        let error = shown(&keys, (&pair, &pair), NOW, NOW + later).unwrap_err();
        assert_eq!((error.code, error.retry_after_ms), ("SignatureDoesNotMatch", None), "{later}");
    }
    shown(&keys, (&pair, &pair), NOW + 1, NOW + 60).unwrap();
    assert_eq!(shown(&keys, (&pair, &pair), NOW + 2, NOW + 303).unwrap_err().code, "SignatureDoesNotMatch");
}

#[test]
fn what_was_signed_before_the_start_is_signed_anew() {
    let keys = keys(&MemoryKeys::default());
    let pair = issued(&keys);
    let start = remit_authority::system_now_secs();
    let error = shown(&keys, (&pair, &pair), start - 60, start).unwrap_err();
    assert_eq!((error.code, error.retry_after_ms), ("Throttling", Some(1000)));
}

#[test]
fn keys_are_known_by_their_own_store_and_token_alone() {
    let store = MemoryKeys::default();
    let keys = keys(&store);
    let (one, other) = (issued(&keys), issued(&keys));
    assert_eq!(shown(&keys, (&one, &other), NOW, NOW).unwrap_err().code, "InvalidClientTokenId");
    // The same store knows them again, another doesn't.
    assert_eq!(shown(&self::keys(&store), (&one, &one), NOW, NOW).unwrap(), "riley");
    assert_eq!(shown(&self::keys(&MemoryKeys::default()), (&one, &one), NOW, NOW).unwrap_err().code, "InvalidClientTokenId");
    let shown = format!("{one:?} {keys:?}");
    assert!(!shown.contains(one.secret_access_key.as_str()) && !shown.contains(one.session_token.as_ref().unwrap().as_str()));
}

#[test]
fn a_session_knows_the_keys_that_it_was_got_with() {
    let keys = keys(&MemoryKeys::default());
    let child = issued_via(&keys, &["AKIAFIRST", "ASIASECOND"]);
    let session = verified(&keys, (&child, &child), NOW, NOW).unwrap();
    assert_eq!(session.via, ["AKIAFIRST", "ASIASECOND"]);
}
