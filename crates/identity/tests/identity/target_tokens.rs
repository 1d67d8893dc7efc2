use crate::stage::{FakeNetwork, TestClock};
use ironbridge_core::{
    BoxFuture, Denial, FetchMethod, Flow, IntegrationFacts, OperationFacts, PermissionTable, SecretName,
};
use ironbridge_identity::target_token::{
    Bearer, ClientAuthentication, TargetClient, TargetToken, TargetTokens,
};
use ironbridge_secrets::{SecretError, SecretStore, SecretValue, Secrets};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::sleep;

const URL: &str = "https://erp.example/token";

struct Scene {
    network: Arc<FakeNetwork>,
    tokens: Arc<TargetTokens>,
    secret: Arc<OneSecret>,
}

/// A secret store with one secret, which somebody sets.
struct OneSecret {
    value: Mutex<Option<String>>,
    generation: AtomicU64,
}

impl OneSecret {
    fn set(&self, value: Option<&str>) {
        *self.value.lock() = value.map(str::to_owned);
        self.generation.fetch_add(1, Ordering::Relaxed);
    }
}

impl SecretStore for OneSecret {
    fn read<'a>(
        &'a self,
        name: &'a str,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<SecretValue, SecretError>> {
        let value = self.value.lock().clone();
        Box::pin(async move {
            Ok(value.ok_or_else(|| SecretError::Missing(name.to_owned()))?.into_bytes().into())
        })
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }
}

impl Scene {
    fn new(authentication: ClientAuthentication) -> Scene {
        let network = Arc::new(FakeNetwork::default());
        let secret = Arc::new(OneSecret {
            value: Mutex::new(Some("s3cr:t +é".to_owned())),
            generation: AtomicU64::new(0),
        });
        let secrets = Secrets::new([("one".to_owned(), Arc::clone(&secret) as Arc<dyn SecretStore>)]);
        let client = TargetClient {
            token_url: URL.to_owned(),
            client_id: "iron bridge".to_owned(),
            secret: secrets.in_use(&SecretName::parse("secret://one/erp").unwrap()).unwrap(),
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

    /// What may be sent in place of a token that an operation refused.
    fn refused(
        &self,
        token: &Arc<TargetToken>,
        operation: &str,
    ) -> impl Future<Output = Option<Result<Arc<TargetToken>, Box<Denial>>>> + use<> {
        let bearer = self.tokens.refused(token, &flow(operation));
        async move {
            Some(match bearer? {
                Bearer::Now(result) => result,
                Bearer::Later(result) => result.await,
            })
        }
    }

    fn fetches(&self) -> usize {
        self.network.count(URL)
    }
}

fn flow(operation: &str) -> Flow {
    let operation = OperationFacts {
        name: operation.into(),
        permission: PermissionTable::default().intern("orders.read"),
        permission_name: "orders.read".into(),
    };
    Flow::new(Arc::new(IntegrationFacts::default()), Some(operation), 0)
}

fn text(token: Result<Arc<TargetToken>, Box<Denial>>) -> String {
    String::from_utf8(token.unwrap().authorization().to_vec()).unwrap()
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
async fn a_refused_token_is_replaced_once_and_serves_others_until_then() {
    let scene = Scene::new(ClientAuthentication::SecretBasic);
    scene.answers("t1", 600);
    let first = scene.bearer().await.0.unwrap();
    scene.answers("t2", 600);
    scene.secret.set(Some("rotated"));
    let renewed = scene.refused(&first, "a");
    let at_once = scene.refused(&first, "a");
    // Others go on with the old one, those who were refused wait for the same flight.
    assert_eq!(scene.sent().await, "Bearer t1");
    assert_eq!(
        (text(renewed.await.unwrap()), text(at_once.await.unwrap())),
        ("Bearer t2".into(), "Bearer t2".into())
    );
    assert_eq!(scene.sent().await, "Bearer t2");
    // Another exchange that was refused with the same old token takes the new one.
    assert_eq!(text(scene.refused(&first, "b").await.unwrap()), "Bearer t2");
    assert_eq!(scene.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_refuses_every_token_does_not_use_up_the_token_endpoint() {
    let scene = Scene::new(ClientAuthentication::SecretBasic);
    scene.answers("t1", 36_000);
    for _ in 0..30 {
        let token = scene.bearer().await.0.unwrap();
        if let Some(Ok(again)) = scene.refused(&token, "always").await {
            assert!(scene.refused(&again, "always").await.is_none());
        }
    }
    assert_eq!(scene.fetches(), 2);
    // In an hour: 15 s, 30 s, then 60 s apart.
    for _ in 0..3600 {
        sleep(Duration::from_secs(1)).await;
        let token = scene.bearer().await.0.unwrap();
        drop(scene.refused(&token, "always").await);
    }
    assert!((55..=66).contains(&scene.fetches()), "{}", scene.fetches());
    // Taken at last, the next refusal counts as a new one.
    scene.tokens.helped(&flow("always"));
    let (before, token) = (scene.fetches(), scene.bearer().await.0.unwrap());
    assert!(scene.refused(&token, "always").await.unwrap().is_ok());
    assert_eq!(scene.fetches(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn many_operations_that_refuse_every_token_do_not_take_turns() {
    let scene = Scene::new(ClientAuthentication::SecretBasic);
    scene.answers("t1", 36_000);
    for round in 0..20 {
        let token = scene.bearer().await.0.unwrap();
        drop(scene.refused(&token, &format!("operation-{round}")).await);
    }
    assert!(scene.fetches() <= 3, "{}", scene.fetches());
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_leaves_the_old_token_to_others() {
    let scene = Scene::new(ClientAuthentication::SecretBasic);
    scene.answers("t1", 600);
    let first = scene.bearer().await.0.unwrap();
    scene.network.cut();
    assert!(scene.refused(&first, "a").await.unwrap().is_err());
    assert_eq!(scene.sent().await, "Bearer t1");
}

#[tokio::test(start_paused = true)]
async fn the_token_endpoint_is_asked_less_and_less_often_and_as_it_wishes() {
    let scene = Scene::new(ClientAuthentication::SecretBasic);
    let ask_for = async |seconds: u64| {
        for _ in 0..seconds {
            drop(scene.bearer().await);
            sleep(Duration::from_secs(1)).await;
        }
        scene.fetches()
    };
    // 1, 2, 4, … 60 seconds apart.
    let fetches = ask_for(600).await;
    assert!((13..=17).contains(&fetches), "{fetches}");
    for status in [429, 503] {
        let scene = Scene::new(ClientAuthentication::SecretBasic);
        scene.network.put_with_retry(URL, status, 90);
        let denial = scene.bearer().await.0.unwrap_err();
        let told = denial.retry_after.unwrap();
        assert!(told > Duration::from_secs(80) && told <= Duration::from_secs(90), "{told:?}");
        for _ in 0..80 {
            sleep(Duration::from_secs(1)).await;
            assert!(scene.bearer().await.0.is_err());
        }
        assert_eq!(scene.fetches(), 1);
        scene.answers("t1", 600);
        sleep(Duration::from_secs(12)).await;
        assert_eq!(scene.sent().await, "Bearer t1");
    }
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

/// Whoever sets a secret learns at once that the token endpoint refuses it, and not when the token ends.
#[tokio::test(start_paused = true)]
async fn another_secret_buys_another_token() {
    let scene = Scene::new(ClientAuthentication::SecretPost);
    scene.answers("t1", 3600);
    assert_eq!(scene.sent().await, "Bearer t1");
    let used = async |times: usize| {
        for _ in 0..times {
            sleep(Duration::from_millis(1_100)).await;
            scene.bearer().await.0.unwrap();
        }
        sleep(Duration::from_millis(10)).await;
    };
    used(3).await;
    assert_eq!(scene.fetches(), 1);

    scene.secret.set(Some("wrong"));
    scene.network.put(URL, 401, json!({ "error": "invalid_client" }).to_string(), None);
    used(1).await;
    assert_eq!(scene.fetches(), 2);
    assert_eq!(scene.sent().await, "Bearer t1");

    scene.secret.set(Some("right"));
    scene.answers("t2", 3600);
    used(2).await;
    assert_eq!((scene.sent().await.as_str(), scene.fetches()), ("Bearer t2", 3));
    used(3).await;
    assert_eq!(scene.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_is_told() {
    let scene = Scene::new(ClientAuthentication::SecretBasic);
    scene.secret.set(None);
    let denial = scene.bearer().await.0.unwrap_err();
    assert!(denial.internal.unwrap().contains("there is no secret `erp`"));
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
        (200, with("access_token", json!(" a")), "access_token"),
        (200, with("access_token", json!("a ")), "access_token"),
        (200, with("access_token", json!("a\tb")), "access_token"),
        (200, with("access_token", json!("a\u{7f}")), "access_token"),
        (200, with("access_token", json!("\u{e9}")), "access_token"),
        (202, good().to_string(), "status 202"),
        (200, with("access_token", json!(7)), "access_token"),
        (200, with("access_token", json!("a".repeat(16 * 1024 + 1))), "access_token"),
        (200, with("expires_in", json!("inf")), "expires_in"),
        (200, with("expires_in", json!("NaN")), "expires_in"),
        (200, with("expires_in", json!(true)), "expires_in"),
        (200, with("token_type", json!("mac")), "token_type"),
        (200, with("token_type", json!("Bearer DPoP")), "token_type"),
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
    // Not quite as the standard has it, and in use.
    for (status, body, token) in [
        (201, good().to_string(), "t"),
        (200, format!("\u{feff}{}", good()), "t"),
        (200, with("token_type", json!("bearer")), "t"),
        (200, with("token_type", json!("BEARER")), "t"),
        (200, with("token_type", json!("BearerToken")), "t"),
        (200, with("token_type", json!("bearer_token")), "t"),
        (200, with("access_token", json!("a!|:$@#\"{}[]\\^`%&'()*,;<>?")), "a!|:$@#\"{}[]\\^`%&'()*,;<>?"),
        (200, with("access_token", json!("a b")), "a b"),
        (200, with("expires_in", Value::Null), "t"),
        (200, with("expires_in", json!("60")), "t"),
        (200, with("expires_in", json!(" 60 ")), "t"),
        (200, with("expires_in", json!(3600.0)), "t"),
        (200, with("expires_in", json!("3600.0")), "t"),
        (200, with("expires_in", json!(3599.7)), "t"),
        (200, with("expires_in", json!(1e300)), "t"),
        (200, with("expires_in", json!(0)), "t"),
        (200, with("expires_in", json!("0")), "t"),
        (200, with("expires_in", json!(0.0)), "t"),
        (200, with("expires_in", json!(u64::MAX)), "t"),
    ] {
        let scene = Scene::new(ClientAuthentication::SecretBasic);
        scene.network.put(URL, status, body, None);
        assert_eq!(scene.sent().await, format!("Bearer {token}"));
    }
}

/// `expires_in: 0` is no reason to fetch for every request, nor to keep the token.
#[tokio::test(start_paused = true)]
async fn a_token_that_says_it_has_no_life_serves_those_who_wait_and_not_for_long() {
    let scene = Scene::new(ClientAuthentication::SecretBasic);
    scene.answers("t1", 0);
    assert_eq!((scene.sent().await, scene.sent().await), ("Bearer t1".to_owned(), "Bearer t1".to_owned()));
    assert_eq!(scene.fetches(), 1);
    scene.answers("t2", 0);
    sleep(Duration::from_secs(11)).await;
    assert_eq!(scene.sent().await, "Bearer t2");
}
