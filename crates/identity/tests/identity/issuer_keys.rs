use crate::stage::{FakeNetwork, ISSUER, NOW, TestClock, directory};
use crate::tokens::{published, token, verifier};
use ironbridge_core::{Denial, Principal, Timestamp};
use ironbridge_identity::accounts::Directory;
use ironbridge_identity::issuer_keys::{IssuerKeys, KeySource};
use ironbridge_identity::token::{Outcome, TokenVerifier};
use ironbridge_seal::jose::SigningKey;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const JWKS: &str = "https://idp.example/keys";
const OAUTH: &str = "https://idp.example/.well-known/oauth-authorization-server/tenant";
const OIDC: &str = "https://idp.example/tenant/.well-known/openid-configuration";

fn metadata(issuer: &str, jwks: &str) -> Vec<u8> {
    json!({ "issuer": issuer, "jwks_uri": jwks }).to_string().into_bytes()
}

struct Scene {
    network: Arc<FakeNetwork>,
    keys: Arc<IssuerKeys>,
    verifier: Arc<TokenVerifier>,
    directory: Arc<Directory>,
    started: tokio::time::Instant,
}

impl Scene {
    /// Background work begins at once, as in the engine.
    fn new(source: KeySource, prepare: impl FnOnce(&FakeNetwork)) -> Scene {
        let network = Arc::new(FakeNetwork::default());
        prepare(&network);
        let keys = IssuerKeys::remote(ISSUER, source, network.clone(), TestClock::new());
        tokio::spawn(Arc::clone(&keys).keep_fresh());
        let verifier = verifier(Arc::clone(&keys), 100);
        Scene { network, keys, verifier, directory: directory([]), started: tokio::time::Instant::now() }
    }

    fn now(&self) -> Timestamp {
        NOW.plus(self.started.elapsed())
    }

    /// What becomes of the token, and whether it had to wait.
    async fn verify(&self, token: &str) -> (Result<Principal, Box<Denial>>, bool) {
        match self.verifier.verify(token.as_bytes(), &self.directory, self.now()) {
            Outcome::Now(result) => (result, false),
            Outcome::Later(result) => (result.await, true),
        }
    }

    async fn code(&self, token: &str) -> &'static str {
        self.verify(token).await.0.map_or_else(|denial| denial.code.id, |_| "accepted")
    }

    /// A token issued now, with an hour to live.
    fn token(&self, key: &SigningKey) -> String {
        let now = self.now().seconds();
        token(key, json!({ "iat": now, "exp": now + 3600 }))
    }
}

fn jwks() -> KeySource {
    KeySource::Jwks(JWKS.to_owned())
}

#[tokio::test(start_paused = true)]
async fn tokens_wait_for_the_first_keys_and_fetch_once_together() {
    let key = SigningKey::generate().unwrap();
    let scene = Scene::new(jwks(), |network| network.put(JWKS, 200, published(&[&key]), None));
    let token = scene.token(&key);
    let (a, b) = tokio::join!(scene.verify(&token), scene.verify(&token));
    assert!(a.0.is_ok() && a.1 && b.0.is_ok() && b.1);
    assert!(!scene.verify(&token).await.1);
    assert_eq!(scene.network.count(JWKS), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_are_discovered_by_either_standard() {
    let key = SigningKey::generate().unwrap();
    for url in [OAUTH, OIDC] {
        let scene = Scene::new(KeySource::Discovery, |network| {
            network.put(url, 200, metadata(ISSUER, JWKS), None);
            network.put(JWKS, 200, published(&[&key]), None);
        });
        assert_eq!(scene.code(&scene.token(&key)).await, "accepted", "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_that_cannot_be_trusted_is_not() {
    let key = SigningKey::generate().unwrap();
    for (document, problem) in [
        (metadata("https://idp.example/tenant/", JWKS), "not exactly"),
        (metadata("https://evil.example", JWKS), "not exactly"),
        (metadata(ISSUER, "http://idp.example/keys"), "no jwks_uri"),
        (json!({ "issuer": ISSUER }).to_string().into_bytes(), "no jwks_uri"),
        (b"<html>".to_vec(), "not JSON"),
        (br#"{"issuer":"https://evil.example","issuer":"https://idp.example/tenant"}"#.to_vec(), "not JSON"),
    ] {
        let scene = Scene::new(KeySource::Discovery, |network| {
            network.put(OAUTH, 200, document, None);
            network.put(JWKS, 200, published(&[&key]), None);
        });
        assert_eq!(scene.code(&scene.token(&key)).await, "issuer-unavailable");
        let told = scene.keys.problem().unwrap();
        assert!(told.contains(problem), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn key_sets_that_cannot_be_trusted_are_not() {
    for (status, body) in
        [(404, "{}"), (200, "[]"), (200, "{"), (200, r#"{"keys":[{"kty":"oct","k":"AA"}]}"#)]
    {
        let scene = Scene::new(jwks(), |network| network.put(JWKS, status, body, None));
        let key = SigningKey::generate().unwrap();
        assert_eq!(scene.code(&scene.token(&key)).await, "issuer-unavailable", "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_kid_causes_fetches_ever_more_rarely() {
    let (old, new) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let scene = Scene::new(jwks(), |network| network.put(JWKS, 200, published(&[&old]), None));
    assert_eq!(scene.code(&scene.token(&old)).await, "accepted");
    // The issuer has not published it yet: one fetch, however many tokens.
    for _ in 0..5 {
        assert_eq!(scene.code(&scene.token(&new)).await, "token-key-unknown");
    }
    assert_eq!(scene.network.count(JWKS), 2);
    for _ in 0..600 {
        assert_eq!(scene.code(&scene.token(&new)).await, "token-key-unknown");
        sleep(Duration::from_secs(1)).await;
    }
    assert!((12..=14).contains(&scene.network.count(JWKS)), "{}", scene.network.count(JWKS));
    scene.network.put(JWKS, 200, published(&[&old, &new]), None);
    sleep(Duration::from_secs(61)).await;
    let (result, waited) = scene.verify(&scene.token(&new)).await;
    assert!(result.is_ok() && waited);
}

/// The budget for unknown keys is nobody's to use up: not with one made-up kid a minute, nor with a new one each second.
#[tokio::test(start_paused = true)]
async fn made_up_kids_do_not_keep_a_new_key_out() {
    for (every, most) in [(Duration::from_secs(55), 12), (Duration::from_secs(1), 140)] {
        let (old, new) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let scene = Scene::new(jwks(), |network| network.put(JWKS, 200, published(&[&old]), None));
        assert_eq!(scene.code(&scene.token(&old)).await, "accepted");
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(600) {
            let made_up = SigningKey::generate().unwrap();
            assert_eq!(scene.code(&scene.token(&made_up)).await, "token-key-unknown");
            sleep(every).await;
        }
        assert!(scene.network.count(JWKS) <= most, "{}", scene.network.count(JWKS));
        // The issuer rotates, and somebody asks for another key just then.
        scene.code(&scene.token(&SigningKey::generate().unwrap())).await;
        scene.network.put(JWKS, 200, published(&[&new]), None);
        let rotated = tokio::time::Instant::now();
        while scene.code(&scene.token(&new)).await != "accepted" {
            assert!(rotated.elapsed() < Duration::from_secs(7), "{every:?}");
            sleep(Duration::from_millis(500)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_may_name_keys_only_on_the_issuers_host() {
    let key = SigningKey::generate().unwrap();
    for (uri, good) in [
        ("https://idp.example/elsewhere/keys", true),
        ("https://IDP.example:443/keys", true),
        ("https://keys.idp.example/keys", false),
        ("https://idp.example.evil.example/keys", false),
        ("https://idp.example:8443/keys", false),
        ("https://idp.example@10.0.0.7/keys", false),
        ("https://10.0.0.7/keys", false),
        ("https://[::1]/keys", false),
        ("https:///keys", false),
    ] {
        let scene = Scene::new(KeySource::Discovery, |network| {
            network.put(OAUTH, 200, metadata(ISSUER, uri), None);
            network.put(uri, 200, published(&[&key]), None);
        });
        let code = scene.code(&scene.token(&key)).await;
        assert_eq!(code, if good { "accepted" } else { "issuer-unavailable" }, "{uri}");
        assert_eq!(scene.network.count(uri), usize::from(good), "{uri}");
        if !good {
            assert!(scene.keys.problem().unwrap().contains("declare it as jwks_url"), "{uri}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_key_ends_remembered_tokens_whatever_caches_may_do() {
    for max_age in [None, Some(300), Some(24 * 3600), Some(u64::MAX)] {
        let (old, new) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let scene = Scene::new(jwks(), |network| network.put(JWKS, 200, published(&[&old]), max_age));
        let token = scene.token(&old);
        assert_eq!(scene.code(&token).await, "accepted");
        scene.network.put(JWKS, 200, published(&[&new]), max_age);
        sleep(Duration::from_secs(302)).await;
        assert_eq!(scene.code(&token).await, "token-key-unknown", "{max_age:?}");
    }
}

/// Every token after a rotation names such a key, and whoever holds one is not to blame.
#[tokio::test(start_paused = true)]
async fn a_new_key_that_cannot_be_fetched_is_the_operators_to_mend() {
    let (old, new) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let scene = Scene::new(jwks(), |network| network.put(JWKS, 200, published(&[&old]), None));
    assert_eq!(scene.code(&scene.token(&old)).await, "accepted");
    scene.network.cut();
    for _ in 0..3 {
        let denial = scene.verify(&scene.token(&new)).await.0.unwrap_err();
        assert_eq!(denial.code.id, "issuer-unavailable");
        assert!(denial.retry_after.is_some() && denial.internal.unwrap().contains("connection refused"));
        assert_eq!(scene.code(&scene.token(&old)).await, "accepted");
    }
    scene.network.put(JWKS, 200, published(&[&old]), None);
    sleep(Duration::from_secs(61)).await;
    assert_eq!(scene.code(&scene.token(&new)).await, "token-key-unknown");
}

#[tokio::test(start_paused = true)]
async fn freshness_follows_max_age_within_bounds() {
    // A tenth early, so that keys are never older than they may be.
    for (max_age, every) in [(Some(1), 54), (Some(200), 180), (None, 270), (Some(u64::MAX), 270)] {
        let scene = Scene::new(jwks(), |network| network.put(JWKS, 200, r#"{"keys":[]}"#, max_age));
        sleep(Duration::from_secs(every - 2)).await;
        assert_eq!(scene.network.count(JWKS), 1, "{max_age:?}");
        sleep(Duration::from_secs(4)).await;
        assert_eq!(scene.network.count(JWKS), 2, "{max_age:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_serve_a_day_beyond_their_freshness_while_the_issuer_is_down() {
    let key = SigningKey::generate().unwrap();
    let scene = Scene::new(jwks(), |network| network.put(JWKS, 200, published(&[&key]), Some(3600)));
    assert_eq!(scene.code(&scene.token(&key)).await, "accepted");
    scene.network.cut();
    sleep(Duration::from_secs(24 * 3600)).await;
    assert_eq!(scene.code(&scene.token(&key)).await, "accepted");
    assert!(scene.keys.problem().unwrap().contains("connection refused"));
    sleep(Duration::from_secs(3600 + 120)).await;
    let (result, waited) = scene.verify(&scene.token(&key)).await;
    let denial = result.unwrap_err();
    assert_eq!(denial.code.id, "issuer-unavailable");
    assert!(denial.retry_after.is_some() && denial.detail.is_none());
    assert!(denial.internal.unwrap().contains("connection refused") || waited);

    // It comes back by itself.
    scene.network.put(JWKS, 200, published(&[&key]), Some(3600));
    sleep(Duration::from_secs(61)).await;
    assert_eq!(scene.code(&scene.token(&key)).await, "accepted");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_down_is_not_hammered() {
    let key = SigningKey::generate().unwrap();
    let scene = Scene::new(jwks(), |_| {});
    for _ in 0..1000 {
        assert_eq!(scene.code(&scene.token(&key)).await, "issuer-unavailable");
        sleep(Duration::from_millis(600)).await;
    }
    // Ten minutes: 1, 2, 4 … 60 s apart.
    assert!(scene.network.count(JWKS) < 18, "{}", scene.network.count(JWKS));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_does_not_stop_the_fetch() {
    let key = SigningKey::generate().unwrap();
    let scene = Scene::new(jwks(), |network| network.put(JWKS, 200, published(&[&key]), None));
    let token = scene.token(&key);
    let Outcome::Later(waiting) = scene.verifier.verify(token.as_bytes(), &scene.directory, NOW) else {
        panic!()
    };
    drop(waiting);
    sleep(Duration::from_secs(1)).await;
    assert!(!scene.verify(&token).await.1);
}
