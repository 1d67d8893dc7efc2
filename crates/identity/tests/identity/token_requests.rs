use crate::stage::{BRIDGE, NOW, Shelf, cases, directory, fill};
use crate::tokens::published;
use ironbridge_core::{CredentialKind, Timestamp};
use ironbridge_identity::accounts::Directory;
use ironbridge_identity::api_key::{Issued, KeyKind, KeyRing};
use ironbridge_identity::issuer_keys::IssuerKeys;
use ironbridge_identity::signing_keys::SigningKeys;
use ironbridge_identity::token::{Issuer, Outcome, TokenVerifier};
use ironbridge_identity::token_endpoint::{EndpointReply, TokenEndpoint, TokenRequest};
use ironbridge_seal::hash::base64;
use ironbridge_seal::jose::{JwkSet, SigningKey};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Deserialize)]
struct Case {
    name: String,
    form: String,
    /// User and password of Basic, before base64.
    basic: Option<String>,
    /// The whole Authorization field.
    authorization: Option<String>,
    /// `issued`, or the error's code.
    expect: String,
    status: u16,
    /// The granted scope.
    scope: Option<String>,
}

struct Scene {
    endpoint: TokenEndpoint,
    signing: Arc<SigningKeys>,
    secrets: Arc<KeyRing>,
    secret: Issued,
    elsewhere: Issued,
    shelf: Shelf,
}

impl Scene {
    async fn new() -> Scene {
        let shelf = Shelf::new();
        let secrets = Arc::new(KeyRing::new(KeyKind::ClientSecret, shelf.store.clone()));
        let secret = secrets.issue("order-service", DAY, NOW).await.unwrap();
        let elsewhere = secrets.issue("elsewhere", DAY, NOW).await.unwrap();
        let signing = SigningKeys::load_or_create(shelf.store.clone(), shelf.keys.clone(), BRIDGE, NOW).await;
        let signing = Arc::new(signing.unwrap());
        let endpoint = TokenEndpoint::new(BRIDGE, Arc::clone(&secrets), Arc::clone(&signing));
        Scene { endpoint, signing, secrets, secret, elsewhere, shelf }
    }

    fn ask(
        &self,
        form: &str,
        authorization: Option<&str>,
        directory: &Directory,
        now: Timestamp,
    ) -> EndpointReply {
        let request = TokenRequest {
            form: form.as_bytes(),
            authorization: authorization.map(str::as_bytes),
            address: "203.0.113.9".parse().ok(),
        };
        self.endpoint.handle(request, directory, now)
    }

    fn token(&self, directory: &Directory, now: Timestamp) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id=order-service&client_secret={}&scope=orders.read",
            self.secret.key.expose()
        );
        let reply = self.ask(&form, None, directory, now);
        assert_eq!(reply.status, 200, "{:?}", reply.refused);
        body(&reply)["access_token"].as_str().unwrap().to_owned()
    }

    fn verifier(&self) -> Arc<TokenVerifier> {
        Arc::new(TokenVerifier::new(vec![self.endpoint.issuer()], 100).unwrap())
    }
}

fn body(reply: &EndpointReply) -> Value {
    serde_json::from_slice(reply.body.expose()).unwrap()
}

fn header<'r>(reply: &'r EndpointReply, name: &str) -> Option<&'r str> {
    reply.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn every_request_meets_its_answer() {
    let directory = directory([]);
    let scene = Scene::new().await;
    let escaped = scene.secret.key.expose().replace('_', "%5F");
    let (rest, last) = scene.secret.key.expose().split_at(47);
    let wrong = format!("{rest}{}", if last == "x" { "y" } else { "x" });
    let values = [
        ("secret", scene.secret.key.expose()),
        ("escaped", &escaped),
        ("wrong", &wrong),
        ("elsewhere", scene.elsewhere.key.expose()),
    ];
    for case in cases::<Case>("token_requests.yaml") {
        let basic =
            case.basic.as_ref().map(|pair| format!("Basic {}", base64(fill(pair, &values).as_bytes())));
        let authorization = case.authorization.as_ref().map(|field| fill(field, &values)).or(basic);
        let reply = scene.ask(&fill(&case.form, &values), authorization.as_deref(), &directory, NOW);
        let body = body(&reply);
        let answer = body["error"].as_str().unwrap_or("issued");
        assert_eq!((answer, reply.status), (&*case.expect, case.status), "{}", case.name);
        assert_eq!(header(&reply, "cache-control"), Some("no-store"), "{}", case.name);
        assert_eq!(header(&reply, "www-authenticate").is_some(), reply.status == 401, "{}", case.name);
        assert_eq!(body["scope"].as_str(), case.scope.as_deref(), "{}", case.name);
        assert_eq!(reply.refused.is_some(), reply.status != 200);
        let told = String::from_utf8_lossy(reply.body.expose()).into_owned();
        assert!(!told.contains("ibs_"), "{}: {told}", case.name);
    }
}

#[tokio::test]
async fn its_tokens_are_accepted_by_the_bridge_and_only_for_a_while() {
    let (scene, directory) = (Scene::new().await, directory([]));
    let token = scene.token(&directory, NOW);
    let verifier = scene.verifier();
    let at =
        |seconds| match verifier.verify(token.as_bytes(), &directory, NOW.plus(Duration::from_secs(seconds)))
        {
            Outcome::Now(result) => result,
            Outcome::Later(_) => panic!("local keys need no fetch"),
        };
    let principal = at(0).unwrap();
    assert_eq!(&*principal.account().name, "order-service");
    assert_eq!(principal.credential().kind, CredentialKind::OauthClient);
    let may = |name| principal.credential_allows(directory.permissions().find(name).unwrap());
    assert!(may("orders.read") && !may("orders.write"));
    assert!(at(599).is_ok());
    // One clock, so no leeway.
    assert_eq!(at(600).unwrap_err().code.id, "token-expired");
}

/// The code that a token is refused with.
fn judged(
    verifier: &Arc<TokenVerifier>,
    token: &str,
    directory: &Arc<Directory>,
    now: Timestamp,
) -> Option<&'static str> {
    match verifier.verify(token.as_bytes(), directory, now) {
        Outcome::Now(result) => result.err().map(|denial| denial.code.id),
        Outcome::Later(_) => panic!("local keys need no fetch"),
    }
}

#[tokio::test]
async fn a_revoked_secret_takes_its_tokens_with_it_and_no_others() {
    let (mut scene, directory) = (Scene::new().await, directory([]));
    let of_first = scene.token(&directory, NOW);
    let first = scene.secret.id.clone();
    scene.secret = scene.secrets.issue("order-service", DAY, NOW).await.unwrap();
    let of_second = scene.token(&directory, NOW);
    // One that remembers both, one that has seen neither, and one that remembers nothing.
    let forgets = Arc::new(TokenVerifier::new(vec![scene.endpoint.issuer()], 0).unwrap());
    let verifiers = [scene.verifier(), scene.verifier(), forgets];
    for token in [&of_first, &of_second] {
        assert_eq!(judged(&verifiers[0], token, &directory, NOW), None);
    }
    assert!(scene.secrets.revoke(&first, NOW).await.unwrap());
    for verifier in &verifiers {
        assert_eq!(judged(verifier, &of_first, &directory, NOW), Some("token-revoked"));
        assert_eq!(judged(verifier, &of_second, &directory, NOW), None);
    }
    // Another start reads the ring anew.
    let again = Arc::new(KeyRing::new(KeyKind::ClientSecret, scene.shelf.store.clone()));
    let endpoint = TokenEndpoint::new(BRIDGE, Arc::clone(&again), Arc::clone(&scene.signing));
    let restarted = Arc::new(TokenVerifier::new(vec![endpoint.issuer()], 100).unwrap());
    assert_eq!(judged(&restarted, &of_second, &directory, NOW), Some("token-revoked"), "a ring without it");
    again.reload().await.unwrap();
    assert_eq!(judged(&restarted, &of_first, &directory, NOW), Some("token-revoked"));
    assert_eq!(judged(&restarted, &of_second, &directory, NOW), None);
}

#[tokio::test]
async fn an_expired_secret_leaves_its_tokens_their_own_time() {
    let (scene, directory) = (Scene::new().await, directory([]));
    let late = NOW.plus(DAY - Duration::from_secs(60));
    let (token, verifier) = (scene.token(&directory, late), scene.verifier());
    let at = |seconds| judged(&verifier, &token, &directory, late.plus(Duration::from_secs(seconds)));
    assert_eq!(at(599), None);
    assert_eq!(at(600), Some("token-expired"));
}

#[tokio::test]
async fn tokens_of_before_they_named_their_secret_live_on_and_a_wrong_name_does_not() {
    let (scene, directory) = (Scene::new().await, directory([]));
    let key = SigningKey::generate().unwrap();
    let keys = IssuerKeys::local(BRIDGE, JwkSet::parse(&published(&[&key])).unwrap());
    let issuer = Issuer { keys, ..scene.endpoint.issuer() };
    let verifier = Arc::new(TokenVerifier::new(vec![issuer], 100).unwrap());
    let named = |secret: Option<Value>| {
        let mut claims = json!({
            "iss": BRIDGE, "aud": BRIDGE, "sub": "order-service", "client_id": "order-service",
            "iat": NOW.seconds(), "exp": NOW.seconds() + 600, "jti": "t",
        });
        if let Some(secret) = secret {
            claims["secret_id"] = secret;
        }
        judged(&verifier, &key.sign("at+jwt", &claims).unwrap(), &directory, NOW)
    };
    assert_eq!(named(None), None);
    assert_eq!(named(Some(json!(scene.secret.id))), None);
    for wrong in
        [json!(""), json!("00000000000"), json!("short"), json!(null), json!(1), json!([scene.secret.id])]
    {
        assert_eq!(named(Some(wrong.clone())), Some("token-revoked"), "{wrong}");
    }
}

#[tokio::test]
async fn a_rotated_signing_key_stays_published_until_the_next() {
    let (scene, directory) = (Scene::new().await, directory([]));
    let verifier = scene.verifier();
    let works =
        |token: &str, now| matches!(verifier.verify(token.as_bytes(), &directory, now), Outcome::Now(Ok(_)));
    assert!(!scene.signing.rotate_if_due(NOW.plus(DAY * 29)).await.unwrap());
    let late = NOW.plus(DAY * 30);
    scene.secrets.issue("order-service", DAY * 90, NOW).await.unwrap();
    let old = {
        // The secret of the scene is a day old at most; its token is what matters here.
        let token = scene.token(&directory, NOW);
        assert!(works(&token, NOW));
        token
    };
    assert!(scene.signing.rotate_if_due(late).await.unwrap());
    let new = scene.token(&directory, NOW);
    assert!(works(&old, NOW) && works(&new, NOW));
    assert_eq!(JwkSet::parse(&scene.endpoint.jwks()).unwrap().keys().len(), 2);

    // Another start reads the same keys.
    let again =
        SigningKeys::load_or_create(scene.shelf.store.clone(), scene.shelf.keys.clone(), BRIDGE, late).await;
    assert_eq!(again.unwrap().jwks(), scene.endpoint.jwks());

    assert!(scene.signing.rotate_if_due(late.plus(DAY * 30)).await.unwrap());
    assert!(!works(&old, NOW));
    assert!(works(&new, NOW));
}

#[tokio::test]
async fn guessing_is_slowed_down_and_locks_nobody_out() {
    let (scene, directory) = (Scene::new().await, directory([]));
    let form = "grant_type=client_credentials&client_id=order-service&client_secret=guess";
    for _ in 0..10 {
        assert_eq!(scene.ask(form, None, &directory, NOW).status, 401);
    }
    let reply = scene.ask(form, None, &directory, NOW);
    assert_eq!((reply.status, header(&reply, "retry-after")), (429, Some("60")));
    scene.token(&directory, NOW);
}

#[tokio::test]
async fn metadata_names_what_is_served() {
    let scene = Scene::new().await;
    let metadata: Value = serde_json::from_slice(&scene.endpoint.metadata()).unwrap();
    assert_eq!(metadata["issuer"], BRIDGE);
    assert_eq!(metadata["token_endpoint"], "https://bridge.example/oauth/token");
    assert_eq!(metadata["jwks_uri"], "https://bridge.example/oauth/jwks");
    assert_eq!(metadata["grant_types_supported"], json!(["client_credentials"]));
}
