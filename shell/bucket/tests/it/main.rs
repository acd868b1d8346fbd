//! What a real S3 server makes of it: SeaweedFS, which checks signatures and keeps Object Lock.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that can't go on fails")]

mod seaweed;

use std::time::Duration;

use bytes::Bytes;
use remit_bucket::{Bucket, BucketError, Condition, Options, Put};
use remit_model::Network;
use seaweed::{CREDENTIALS, Seaweed};

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn options(server: &Seaweed, bucket: &str) -> Options {
    Options {
        bucket: bucket.to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(server.endpoint()),
        network: Network::Loopback,
        credentials: CREDENTIALS.to_owned().into(),
        timeout: Duration::from_secs(20),
    }
}

fn bucket(server: &Seaweed, name: &str) -> Bucket {
    Bucket::new(&options(server, name), &remit_egress::tls_config()).unwrap()
}

/// Writes once the server has volumes to write to.
async fn first_put(bucket: &Bucket, key: &str, body: &'static str) {
    let started = std::time::Instant::now();
    while let Err(error) = bucket.put(key, body.into(), &Put::default(), now()).await {
        assert!(error.may_pass() && started.elapsed() < Duration::from_mins(1), "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_written_read_listed_and_deleted() {
    let server = Seaweed::start();
    server.make("plain", false);
    let bucket = bucket(&server, "plain");
    first_put(&bucket, "first", "1").await;
    // Keys with everything that must be encoded in a path, and in a signature only once.
    let keys = ["a/b c+d=e&f.json", "a/ü%2F~", "region=eu/accountId=1/eventDay=20260101/x.parquet"];
    for key in keys {
        let body = Bytes::from(format!("of {key}"));
        let put = Put { content_type: Some("application/json"), ..Put::default() };
        let written = bucket.put(key, body.clone(), &put, now()).await.unwrap();
        assert!(!written.etag.is_empty());
        assert_eq!(bucket.get(key, None, 1024, now()).await.unwrap(), Some(body.clone()));
        let head = bucket.head(key, None, now()).await.unwrap().unwrap();
        assert_eq!((head.bytes, head.etag, head.retain_until, head.legal_hold), (body.len() as u64, written.etag, None, false));
    }
    let listing = bucket.list("a/", None, now()).await.unwrap();
    let mut listed: Vec<&str> = listing.objects.iter().map(|object| object.key.as_str()).collect();
    listed.sort_unstable();
    assert_eq!((listed, listing.next), (vec!["a/b c+d=e&f.json", "a/ü%2F~"], None));
    assert_eq!(bucket.get("a/none", None, 1024, now()).await.unwrap(), None);
    assert_eq!(bucket.head("a/none", None, now()).await.unwrap(), None);
    let larger = bucket.get(keys[0], None, 4, now()).await.unwrap_err();
    assert!(matches!(larger, BucketError::Egress(remit_egress::EgressError::TooLarge(_))), "{larger}");
    for key in keys {
        bucket.delete(key, None, now()).await.unwrap();
        assert_eq!(bucket.get(key, None, 1024, now()).await.unwrap(), None);
    }
    // Of another's key, of no bucket, of what is no key.
    let mut stranger = options(&server, "plain");
    stranger.credentials = "AKIAEXAMPLE:not-the-secret".to_owned().into();
    let stranger = Bucket::new(&stranger, &remit_egress::tls_config()).unwrap();
    let refused = stranger.put("x", "1".into(), &Put::default(), now()).await.unwrap_err();
    assert!(matches!(&refused, BucketError::Refused { status: 403, code, .. } if code == "SignatureDoesNotMatch"), "{refused}");
    assert!(!refused.may_pass() && !format!("{refused} {stranger:?}").contains("not-the-secret"));
    let nowhere = Bucket::new(&options(&server, "nowhere"), &remit_egress::tls_config()).unwrap();
    let missing = nowhere.get("x", None, 10, now()).await.unwrap_err();
    assert!(matches!(&missing, BucketError::Refused { status: 404, code, .. } if code == "NoSuchBucket"), "{missing}");
    for key in ["", "a/../b", "./a", &"k".repeat(1025)] {
        let invalid = bucket.put(key, "1".into(), &Put::default(), now()).await.unwrap_err();
        assert!(matches!(invalid, BucketError::Invalid(_)), "{key}: {invalid}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_goes_on_page_by_page() {
    let server = Seaweed::start();
    server.make("many", false);
    let bucket = bucket(&server, "many");
    first_put(&bucket, "k/0000", "x").await;
    let mut writing = tokio::task::JoinSet::new();
    for part in 0..16 {
        let bucket = bucket.clone();
        writing.spawn(async move {
            for n in (part..1100).step_by(16) {
                bucket.put(&format!("k/{n:04}"), "x".into(), &Put::default(), now()).await.unwrap();
            }
        });
    }
    writing.join_all().await;
    let (mut keys, mut next, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = bucket.list("k/", next.as_deref(), now()).await.unwrap();
        keys.extend(page.objects.into_iter().map(|object| object.key));
        pages += 1;
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    let expected: Vec<String> = (0..1100).map(|n| format!("k/{n:04}")).collect();
    assert_eq!((pages, keys), (2, expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writers_of_one_key_one_succeeds() {
    let server = Seaweed::start();
    server.make("once", false);
    let bucket = bucket(&server, "once");
    first_put(&bucket, "first", "1").await;
    let absent = Put { condition: Condition::Absent, ..Put::default() };
    for round in 0..5 {
        let mut racing = tokio::task::JoinSet::new();
        for n in 0..8 {
            let (bucket, absent) = (bucket.clone(), absent.clone());
            racing.spawn(async move { (n, bucket.put(&format!("bundle/{round}"), n.to_string().into(), &absent, now()).await) });
        }
        let ended = racing.join_all().await;
        let won: Vec<i32> = ended.iter().filter(|(_, written)| written.is_ok()).map(|(n, _)| *n).collect();
        assert_eq!(won.len(), 1, "{ended:?}");
        for (_, written) in &ended {
            assert!(
                matches!(written, Ok(_) | Err(BucketError::Precondition { .. } | BucketError::Conflict { .. })),
                "{written:?}"
            );
        }
        let kept = bucket.get(&format!("bundle/{round}"), None, 16, now()).await.unwrap().unwrap();
        assert_eq!(kept, won[0].to_string());
    }
    // Compare and swap by the entity tag.
    let first = bucket.put("checkpoint", "1".into(), &absent, now()).await.unwrap();
    let is = |etag: &str| Put { condition: Condition::Is(etag.to_owned()), ..Put::default() };
    bucket.put("checkpoint", "2".into(), &is(&first.etag), now()).await.unwrap();
    let stale = bucket.put("checkpoint", "3".into(), &is(&first.etag), now()).await.unwrap_err();
    assert!(matches!(stale, BucketError::Precondition { .. }), "{stale}");
    assert_eq!(bucket.get("checkpoint", None, 16, now()).await.unwrap().unwrap(), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_locked_is_not_deleted_and_what_is_hidden_is_listed() {
    let server = Seaweed::start();
    server.make("locked", true);
    let bucket = bucket(&server, "locked");
    first_put(&bucket, "first", "1").await;
    let until = now() + 3600;
    let put = Put { condition: Condition::Absent, retain_until_secs: Some(until), ..Put::default() };
    let written = bucket.put("evidence/1", "proof".into(), &put, now()).await.unwrap();
    let version = written.version.clone().unwrap();
    let head = bucket.head("evidence/1", Some(&version), now()).await.unwrap().unwrap();
    assert_eq!((head.retain_until.as_deref(), head.legal_hold), (Some(remit_identity::sigv4::date_time(until).as_str()), false));
    let kept = bucket.delete("evidence/1", Some(&version), now()).await.unwrap_err();
    assert!(matches!(&kept, BucketError::Refused { status: 403, .. }) && !kept.may_pass(), "{kept}");
    // It can be retained for longer, not for shorter.
    bucket.set_retention("evidence/1", Some(&version), until + 60, now()).await.unwrap();
    let shorter = bucket.set_retention("evidence/1", Some(&version), until, now()).await.unwrap_err();
    assert!(matches!(&shorter, BucketError::Refused { .. }), "{shorter}");
    // A delete without a version hides it only, and the listing of versions shows both.
    bucket.delete("evidence/1", None, now()).await.unwrap();
    assert_eq!(bucket.get("evidence/1", None, 16, now()).await.unwrap(), None);
    assert_eq!(bucket.get("evidence/1", Some(&version), 16, now()).await.unwrap().unwrap(), "proof");
    assert_eq!(bucket.list("evidence/", None, now()).await.unwrap().objects, []);
    let versions = bucket.versions("evidence/", None, now()).await.unwrap();
    let told: Vec<(&str, bool, bool)> =
        versions.versions.iter().map(|version| (version.key.as_str(), version.delete_marker, version.latest)).collect();
    assert_eq!(told, [("evidence/1", true, true), ("evidence/1", false, false)]);
    // A legal hold stops what would be allowed otherwise, until it is taken away.
    let kept_open = bucket.put("held/1", "x".into(), &Put { legal_hold: true, ..Put::default() }, now()).await.unwrap();
    let version = kept_open.version.as_deref();
    assert!(bucket.head("held/1", version, now()).await.unwrap().unwrap().legal_hold);
    assert!(matches!(bucket.delete("held/1", version, now()).await, Err(BucketError::Refused { status: 403, .. })));
    bucket.set_legal_hold("held/1", version, false, now()).await.unwrap();
    assert!(!bucket.head("held/1", version, now()).await.unwrap().unwrap().legal_hold);
    bucket.delete("held/1", version, now()).await.unwrap();
}

#[test]
fn addresses_are_those_of_the_region_or_of_the_endpoint() {
    let tls = remit_egress::tls_config();
    let of = |bucket: &str, region: &str, endpoint: Option<&str>| {
        let options = Options {
            bucket: bucket.to_owned(),
            region: region.to_owned(),
            endpoint: endpoint.map(str::to_owned),
            network: Network::Public,
            credentials: String::new().into(),
            timeout: Duration::from_secs(1),
        };
        Bucket::new(&options, &tls).map(|bucket| format!("{bucket:?}"))
    };
    assert!(of("logs", "eu-west-1", None).unwrap().contains("logs.s3.eu-west-1.amazonaws.com"));
    assert!(of("logs.example", "eu-west-1", None).unwrap().contains("\"s3.eu-west-1.amazonaws.com"));
    assert!(of("logs", "cn-north-1", None).unwrap().contains("logs.s3.cn-north-1.amazonaws.com.cn"));
    assert!(of("logs", "x", Some("https://s3.example:8333/")).unwrap().contains("s3.example:8333"));
    for (bucket, endpoint) in [("Logs", None), ("l", None), ("logs", Some("s3.example")), ("logs", Some("https://a/b"))] {
        assert!(of(bucket, "x", endpoint).is_err(), "{bucket} {endpoint:?}");
    }
}
