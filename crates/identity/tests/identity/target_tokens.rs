use crate::stage::{FakeNetwork, TestClock};
use ironbridge_core::{Denial, FetchMethod};
use ironbridge_identity::target_token::{
    Bearer, ClientAuthentication, TargetClient, TargetToken, TargetTokens,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use zeroize::Zeroizing;

const URL: &str = "https://erp.example/token";

struct Scene {
    network: Arc<FakeNetwork>,
    tokens: Arc<TargetTokens>,
    secret: Arc<Mutex<Result<String, String>>>,
}

impl Scene {
    fn new(authentication: ClientAuthentication) -> Scene {
        let network = Arc::new(FakeNetwork::default());
        let secret = Arc::new(Mutex::new(Ok("s3cr:t +é".to_owned())));
        let read = Arc::clone(&secret);
        let client = TargetClient {
            token_url: URL.to_owned(),
            client_id: "iron bridge".to_owned(),
            secret: Arc::new(move || {
                let secret = read.lock().clone().map(|secret| Zeroizing::new(secret.into_bytes()));
                Box::pin(async move { secret })
            }),
            authentication,
            scopes: vec!["orders".to_owned(), "stock".to_owned()],
            resource: Some("https://erp.example/api".to_owned()),
        };
        let tokens = TargetTokens::new(client, network.clone(), TestClock::new());
        Scene { network, tokens, secret }
    }

    fn answers(&self, token: &str, expires_in: u64) {
        let body = json!({ "access_token": token, "token_type": "bearer", "expires_in": expires_in });
        self.network.put(URL, 200, body.to_string(), None);
    }

    async fn bearer(&self) -> (Result<Arc<TargetToken>, Box<Denial>>, bool) {
        match self.tokens.bearer() {
            Bearer::Now(result) => (result, false),
            Bearer::Later(result) => (result.await, true),
        }
    }

    async fn sent(&self) -> String {
        String::from_utf8(self.bearer().await.0.unwrap().authorization().to_vec()).unwrap()
    }

    fn fetches(&self) -> usize {
        self.network.count(URL)
    }
}

#[tokio::test(start_paused = true)]
async fn one_fetch_serves_all_who_wait_and_all_who_come() {
    let scene = Scene::new(ClientAuthentication::SecretBasic);
    scene.answers("t1", 600);
    let (a, b, c) = tokio::join!(scene.sent(), scene.sent(), scene.sent());
    assert!([a, b, c].iter().all(|sent| sent == "Bearer t1"));
    assert!(!scene.bearer().await.1);
    assert_eq!(scene.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_secret_goes_as_the_standard_says() {
    for (authentication, form, authorization) in [
        (
            ClientAuthentication::SecretBasic,
            "grant_type=client_credentials&scope=orders%20stock&resource=https%3A%2F%2Ferp.example%2Fapi",
            Some("Basic aXJvbiUyMGJyaWRnZTpzM2NyJTNBdCUyMCUyQiVDMyVBOQ=="),
        ),
        (
            ClientAuthentication::SecretPost,
            "grant_type=client_credentials&scope=orders%20stock&resource=https%3A%2F%2Ferp.example%2Fapi\
             &client_id=iron%20bridge&client_secret=s3cr%3At%20%2B%C3%A9",
            None,
        ),
    ] {
        let scene = Scene::new(authentication);
        scene.answers("t1", 600);
        scene.sent().await;
        let seen = scene.network.seen.lock();
        let FetchMethod::PostForm(body) = &seen[0].method else { panic!() };
        assert_eq!(std::str::from_utf8(body.expose()).unwrap(), form);
        let field = seen[0].headers.iter().find(|(name, _)| *name == "authorization");
        assert_eq!(field.map(|(_, value)| std::str::from_utf8(value.expose()).unwrap()), authorization);
        assert!(!format!("{:?}", seen[0]).contains("s3cr"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_in_the_background_from_four_fifths_of_its_life() {
    let scene = Scene::new(ClientAuthentication::SecretBasic);
    scene.answers("t1", 100);
    assert_eq!(scene.sent().await, "Bearer t1");
    scene.answers("t2", 100);
    sleep(Duration::from_secs(78)).await;
    assert_eq!(scene.sent().await, "Bearer t1");
    assert_eq!(scene.fetches(), 1);
    sleep(Duration::from_secs(3)).await;
    for _ in 0..5 {
        let (token, waited) = scene.bearer().await;
        assert!(token.is_ok() && !waited);
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.sent().await, "Bearer t2");
    assert_eq!(scene.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once() {
    let scene = Scene::new(ClientAuthentication::SecretBasic);
    scene.answers("t1", 600);
    let first = scene.bearer().await.0.unwrap();
    scene.answers("t2", 600);
    *scene.secret.lock() = Ok("rotated".to_owned());
    scene.tokens.invalidate(&first);
    assert_eq!(scene.sent().await, "Bearer t2");
    // Another exchange that was refused with the same old token does not throw the new one away.
    scene.tokens.invalidate(&first);
    assert_eq!(scene.sent().await, "Bearer t2");
    assert_eq!(scene.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_to_the_operator_and_not_repeated_at_once() {
    let scene = Scene::new(ClientAuthentication::SecretBasic);
    for _ in 0..50 {
        let denial = scene.bearer().await.0.unwrap_err();
        assert_eq!((denial.code.id, denial.detail), ("secret-unavailable", None));
        assert!(denial.internal.unwrap().contains("connection refused"));
    }
    assert_eq!(scene.fetches(), 1);
    scene.answers("t1", 600);
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(scene.sent().await, "Bearer t1");
}

#[tokio::test(start_paused = true)]
async fn an_old_token_serves_while_its_renewal_fails_and_not_longer() {
    let scene = Scene::new(ClientAuthentication::SecretBasic);
    scene.answers("t1", 100);
    scene.sent().await;
    scene.network.cut();
    sleep(Duration::from_secs(90)).await;
    assert_eq!(scene.sent().await, "Bearer t1");
    sleep(Duration::from_secs(6)).await;
    assert!(scene.bearer().await.0.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_is_told() {
    let scene = Scene::new(ClientAuthentication::SecretBasic);
    *scene.secret.lock() = Err("no such secret".to_owned());
    let denial = scene.bearer().await.0.unwrap_err();
    assert!(denial.internal.unwrap().contains("no such secret"));
    assert_eq!(scene.fetches(), 0);
}

#[tokio::test(start_paused = true)]
async fn replies_that_are_no_bearer_token_are_refused() {
    let good = || json!({ "access_token": "t", "token_type": "Bearer", "expires_in": 60 });
    let with = |name: &str, value: Value| {
        let mut reply = good();
        reply[name] = value;
        reply.to_string()
    };
    for (status, body, problem) in [
        (400, json!({ "error": "invalid_client" }).to_string(), "status 400, invalid_client"),
        (500, "oops".to_owned(), "status 500, no error code"),
        (302, good().to_string(), "status 302"),
        (200, "oops".to_owned(), "token_type"),
        (200, with("token_type", json!("DPoP")), "token_type"),
        (200, with("token_type", Value::Null), "token_type"),
        (200, with("access_token", json!("")), "access_token"),
        (200, with("access_token", json!("a\r\nx-evil: 1")), "access_token"),
        (200, with("access_token", json!("a b")), "access_token"),
        (200, with("access_token", json!(7)), "access_token"),
        (200, with("access_token", json!("a".repeat(16 * 1024 + 1))), "access_token"),
        (200, with("expires_in", json!(0)), "expires_in"),
        (200, with("expires_in", json!(-5)), "expires_in"),
        (200, with("expires_in", json!("soon")), "expires_in"),
        (200, r#"{"access_token":"a","access_token":"b","token_type":"Bearer"}"#.to_owned(), "token_type"),
    ] {
        let scene = Scene::new(ClientAuthentication::SecretBasic);
        scene.network.put(URL, status, body.clone(), None);
        let denial = scene.bearer().await.0.unwrap_err();
        let told = denial.internal.unwrap();
        assert!(told.contains(problem), "{body}: {told}");
    }
    for body in [
        with("expires_in", Value::Null),
        with("expires_in", json!("60")),
        with("expires_in", json!(u64::MAX)),
    ] {
        let scene = Scene::new(ClientAuthentication::SecretBasic);
        scene.network.put(URL, 200, body, None);
        assert_eq!(scene.sent().await, "Bearer t");
    }
}
