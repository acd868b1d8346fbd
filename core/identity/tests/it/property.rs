use proptest::prelude::*;
use remit_identity::access::{ACCESS_TYP, AccessClaims};
use remit_identity::{challenge, form, jwt};
use serde_json::json;

use crate::{ISSUER, NOW, OWN_SEED, SPACE, set, token};

proptest! {
    /// Whatever the bytes are, nothing panics, and what isn't signed isn't accepted.
    #[test]
    fn nothing_unsigned_passes(text in "[A-Za-z0-9_.-]{0,300}") {
        let verified = jwt::parse(&text).and_then(|token| AccessClaims::verify(token, ISSUER, &set(OWN_SEED), NOW));
        prop_assert!(verified.is_err());
    }

    /// A good token with one character changed is refused.
    #[test]
    fn one_changed_character_is_refused(at in any::<prop::sample::Index>(), with in "[A-Za-z0-9_-]") {
        let claims = json!({
            "iss": ISSUER, "sub": "deployer", "client_id": "deployer", "aud": SPACE, "iat": NOW, "exp": NOW + 900, "jti": "x",
        });
        let good = token(OWN_SEED, ACCESS_TYP, &claims);
        let at = at.index(good.len());
        let mut changed = good.clone();
        changed.replace_range(at..=at, &with);
        let verified = jwt::parse(&changed).and_then(|token| AccessClaims::verify(token, ISSUER, &set(OWN_SEED), NOW));
        prop_assert_eq!(verified.is_ok(), changed == good);
    }

    /// A token is good exactly from 30 s before its start until 30 s after its end.
    #[test]
    fn times(nbf in 0..4000_u64, exp in 0..4000_u64, now in 0..4000_u64) {
        let claims = json!({ "nbf": nbf, "exp": exp });
        let signed = token(OWN_SEED, "JWT", &claims);
        let verified = jwt::parse(&signed).unwrap().verify(&set(OWN_SEED)).unwrap();
        prop_assert_eq!(verified.times(now).is_ok(), now < exp + 30 && nbf <= now + 30);
    }

    #[test]
    fn forms_read_back(pairs in prop::collection::btree_map(".{1,12}", ".{1,12}", 0..6)) {
        let written = form::write(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        prop_assert_eq!(form::parse(written.as_bytes()).unwrap(), pairs);
    }

    #[test]
    fn challenges_read_back(url in "[ -~]{1,60}", shown in any::<bool>()) {
        let read = challenge::parse(&challenge::unauthorized(&url, shown)).unwrap();
        prop_assert_eq!(read.resource_metadata.as_deref(), Some(url.as_str()));
        prop_assert_eq!(read.error.is_some(), shown);
    }

    #[test]
    fn no_header_and_no_form_panics(text in ".{0,200}") {
        let _ = challenge::parse(&text);
        let _ = form::parse(text.as_bytes());
    }
}
