use crate::stage::{NOW, Shelf, cases, directory, fill};
use ironbridge_core::Timestamp;
use ironbridge_identity::api_key::{IssueError, KeyKind, KeyRing};
use ironbridge_seal::apikey::{base62, crc32};
use serde::Deserialize;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Deserialize)]
struct Case {
    name: String,
    key: String,
    expect: String,
}

/// A key of right form and checksum that nobody issued.
fn forged(id: &str, secret: &str) -> String {
    let key = format!("ibk_{id}{secret}");
    let checksum = base62(&crc32(key.as_bytes()).to_be_bytes());
    key + &checksum
}

#[tokio::test]
async fn every_key_meets_its_answer() {
    let shelf = Shelf::new();
    let ring = KeyRing::new(KeyKind::ApiKey, shelf.store.clone());
    let secrets = KeyRing::new(KeyKind::ClientSecret, shelf.store.clone());
    let live = ring.issue("order-service", DAY, NOW).await.unwrap();
    let short = ring.issue("order-service", Duration::from_secs(1), NOW).await.unwrap();
    let orphan = ring.issue("gone", DAY, NOW).await.unwrap();
    let barred = ring.issue("token-only", DAY, NOW).await.unwrap();
    let revoked = ring.issue("other", DAY, NOW).await.unwrap();
    let secret = secrets.issue("order-service", DAY, NOW).await.unwrap();
    assert!(ring.revoke(&revoked.id, NOW).await.unwrap());
    let guess = forged(&live.id, &"0".repeat(27));
    let unissued = forged("00000000000", &"0".repeat(27));
    let swapped = live.key.expose().to_ascii_uppercase();
    let values = [
        ("live", live.key.expose()),
        ("expired", short.key.expose()),
        ("orphan", orphan.key.expose()),
        ("barred", barred.key.expose()),
        ("revoked", revoked.key.expose()),
        ("secret", secret.key.expose()),
        ("id", &live.id),
        ("guess", &guess),
        ("unissued", &unissued),
        ("capitals", &swapped),
    ];
    let directory = directory([]);
    for case in cases::<Case>("api_keys.yaml") {
        let key = fill(&case.key, &values);
        let answer = match ring.verify(key.as_bytes(), &directory, NOW.plus(Duration::from_secs(2))) {
            Ok(principal) => principal.account().name.to_string(),
            Err(denial) => denial.code.id.to_owned(),
        };
        assert_eq!(answer, case.expect, "{}", case.name);
    }
}

#[tokio::test]
async fn two_keys_live_side_by_side_and_no_third() {
    let shelf = Shelf::new();
    let ring = KeyRing::new(KeyKind::ApiKey, shelf.store.clone());
    let first = ring.issue("order-service", DAY, NOW).await.unwrap();
    let second = ring.issue("order-service", DAY * 2, NOW.plus(DAY / 2)).await.unwrap();
    let third = ring.issue("order-service", DAY, NOW.plus(DAY / 2)).await;
    assert!(matches!(third, Err(IssueError::TwoLive { oldest, .. }) if oldest == first.id));
    let directory = directory([]);
    let works = |key: &str, now| ring.verify(key.as_bytes(), &directory, now).is_ok();
    assert!(works(first.key.expose(), NOW) && works(second.key.expose(), NOW));

    // An expired key makes room as well as a revoked one.
    assert!(ring.issue("order-service", DAY, NOW.plus(DAY)).await.is_ok());
    assert!(ring.revoke(&second.id, NOW.plus(DAY)).await.unwrap());
    assert!(!ring.revoke(&second.id, NOW.plus(DAY)).await.unwrap());
    assert!(!ring.revoke("nothing", NOW).await.unwrap());
    assert!(!works(second.key.expose(), NOW.plus(DAY)));
    assert_eq!(ring.list(Some("order-service")).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_revocation_by_another_process_holds_after_reload() {
    let shelf = Shelf::new();
    let (here, there) = (
        KeyRing::new(KeyKind::ApiKey, shelf.store.clone()),
        KeyRing::new(KeyKind::ApiKey, shelf.store.clone()),
    );
    let issued = there.issue("order-service", DAY, NOW).await.unwrap();
    let directory = directory([]);
    let verify = || here.verify(issued.key.expose().as_bytes(), &directory, NOW);
    assert_eq!(verify().unwrap_err().code.id, "api-key-unknown");
    here.reload().await.unwrap();
    assert!(verify().is_ok());
    there.revoke(&issued.id, NOW).await.unwrap();
    here.reload().await.unwrap();
    assert_eq!(verify().unwrap_err().code.id, "api-key-revoked");
}

#[tokio::test]
async fn last_use_survives_a_reload_and_a_revocation() {
    let shelf = Shelf::new();
    let ring = KeyRing::new(KeyKind::ApiKey, shelf.store.clone());
    let issued = ring.issue("order-service", DAY, NOW).await.unwrap();
    let used = NOW.plus(Duration::from_secs(90));
    ring.verify(issued.key.expose().as_bytes(), &directory([]), used).unwrap();
    ring.revoke(&issued.id, used).await.unwrap();
    ring.reload().await.unwrap();
    ring.flush_last_used().await.unwrap();
    let listed = ring.list(None).await.unwrap();
    assert_eq!(listed[0].last_used, Some(Timestamp::from_seconds(used.seconds())));
    assert_eq!(listed[0].account, "order-service");
}

#[tokio::test]
async fn the_key_itself_is_neither_kept_nor_printed() {
    let shelf = Shelf::new();
    let ring = KeyRing::new(KeyKind::ApiKey, shelf.store.clone());
    let issued = ring.issue("order-service", DAY, NOW).await.unwrap();
    let secret = &issued.key.expose()[15..42];
    assert!(!format!("{issued:?}").contains(secret));
    assert!(!format!("{:?}", ring.list(None).await.unwrap()).contains(secret));
}
