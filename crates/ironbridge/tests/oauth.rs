//! Who calls: tokens of an issuer nobody here wrote, the built-in token endpoint under a client nobody here wrote,
//! and API keys, all against the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod stage;

use ironbridge_testkit::{
    Authority, CurlReply, FakeTarget, OidcProvider, OidcSettings, Process, call, curl, free_port,
    oauth_client,
};
use serde_json::{Value, json};
use stage::Stage;
use std::fs;
use std::time::Duration;

const MANIFEST: &str = r#"
bridge:
  name: test-bridge
  public_url: @ORIGIN@
  listeners: { api: { address: 127.0.0.1:@PORT@ } }
  issuers: { @ISSUERS@ }
systems:
  order-service: { owner: fulfilment@acme.example, country: DE }
  erp: { owner: erp@acme.example, country: DE, http: { url: "@TARGET@", ca: ./authority.pem } }
roles:
  reader: { permissions: [orders.read] }
  writer: { permissions: [orders.read, orders.write] }
accounts:
  order-service:
    { system: order-service, owner: a@acme.example, roles: [writer], credentials: { @WRITER@ } }
  order-reader:
    { system: order-service, owner: a@acme.example, roles: [reader], credentials: { @READER@ } }
integrations:
  order-sync:
    source: order-service
    target: erp
    purpose: fulfilment of customer orders
    legal_basis: contract
    http:
      path: /erp
      operations:
        list-orders: { match: GET /orders, permission: orders.read }
        ship-order: { match: POST /orders, permission: orders.write }
"#;

const LONG: Duration = Duration::from_secs(60);

/// A bridge that is not started yet.
struct Site {
    stage: Stage,
    authority: Authority,
    target: FakeTarget,
    port: u16,
}

impl Site {
    fn new() -> Site {
        let stage = Stage::empty();
        let authority = Authority::new("authority of targets and issuers").unwrap();
        authority.write(stage.path("authority.pem")).unwrap();
        let target = FakeTarget::start(&authority).unwrap();
        Site { stage, authority, target, port: free_port().unwrap() }
    }

    fn provider(&self, settings: &OidcSettings) -> OidcProvider {
        let identity = self.authority.server(&["localhost"]).unwrap();
        let directory = tempfile::tempdir_in(self.stage.dir()).unwrap().keep();
        OidcProvider::start(&identity, &self.stage.path("authority.pem"), &directory, settings).unwrap()
    }

    fn declare(&self, issuers: &str, writer: &str, reader: &str) {
        let manifest = MANIFEST
            .replace("@ORIGIN@", &self.origin())
            .replace("@PORT@", &self.port.to_string())
            .replace("@TARGET@", &self.target.url())
            .replace("@ISSUERS@", issuers)
            .replace("@WRITER@", writer)
            .replace("@READER@", reader);
        fs::write(self.stage.path("ironbridge.yaml"), manifest).unwrap();
        self.stage.good(&["check"]);
    }

    fn origin(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Starts the bridge; `bundle.pem` then holds both authorities.
    fn run(self) -> World {
        let mut bridge = Process::start(&mut self.stage.command(&["run", "--no-watch"])).unwrap();
        bridge.wait_for_line("127.0.0.1:", LONG).unwrap();
        let read = |path| fs::read_to_string(self.stage.path(path)).unwrap();
        fs::write(self.stage.path("bundle.pem"), read("authority.pem") + &read("data/ca.pem")).unwrap();
        World { site: self, bridge }
    }
}

struct World {
    site: Site,
    bridge: Process,
}

impl World {
    fn curl(&self, url: &str, arguments: &[&str]) -> CurlReply {
        let bundle = self.bundle();
        curl([&["--cacert", &bundle, url], arguments].concat()).unwrap()
    }

    fn bundle(&self) -> String {
        self.site.stage.path("bundle.pem").to_str().unwrap().to_owned()
    }

    fn orders(&self) -> String {
        format!("{}/erp/orders", self.site.origin())
    }

    /// Calls an operation with a header field.
    fn with(&self, method: &str, field: &str) -> CurlReply {
        self.curl(&self.orders(), &["-X", method, "-H", field])
    }

    fn bearer(&self, method: &str, token: &str) -> CurlReply {
        self.with(method, &format!("Authorization: Bearer {token}"))
    }

    fn refuses(&self, token: &str, status: u16, code: &str) {
        self.refuses_to("GET", token, status, code);
    }

    fn refuses_to(&self, method: &str, token: &str, status: u16, code: &str) {
        let reply = self.bearer(method, token);
        assert_eq!((reply.status, &reply.json().unwrap()["code"]), (status, &json!(code)));
        let challenge = reply.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer realm=\"test-bridge\", error="), "{challenge}");
    }

    /// A token by curl, with HTTP Basic; `more` goes into the form.
    fn token(&self, endpoint: &str, client: (&str, &str), more: &str) -> String {
        let form = format!("grant_type=client_credentials{more}");
        let reply = self.curl(endpoint, &["-u", &format!("{}:{}", client.0, client.1), "-d", &form]);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json().unwrap()["access_token"].as_str().unwrap().to_owned()
    }

    /// Asks until the running bridge has noticed what a command changed in its store.
    fn until(&self, status: u16, ask: impl Fn() -> CurlReply) -> CurlReply {
        for _ in 0..200 {
            let reply = ask();
            if reply.status == status {
                return reply;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("never {status}: {}", ask().text());
    }

    /// The account and code of an exchange, as the trail has them.
    fn recorded(&self, reply: &CurlReply) -> (Value, Value) {
        let id = reply.header("x-correlation-id").unwrap();
        for _ in 0..100 {
            let found = self.site.stage.good(&["audit", "query", "--id", id, "--format", "json"]);
            if !found.out.is_empty() {
                let record = found.json();
                return (record["account"].clone(), record["code"].clone());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{id} is not recorded: {}", self.bridge.output());
    }
}

const READ: &str = "&scope=orders.read";
const BOTH: &str = "&scope=orders.read%20orders.write";

#[test]
fn tokens_of_an_issuer_nobody_here_wrote() {
    let site = Site::new();
    let mut settings = OidcSettings::default();
    let secret = settings.clients[0].1.clone();
    settings.clients.push(("stranger".into(), secret.clone()));
    let provider = site.provider(&settings);
    site.declare(
        &format!(
            r#"idp: {{ issuer: "{}", audience: https://bridge.test, ca: ./authority.pem }}"#,
            provider.issuer()
        ),
        "token: { issuer: idp, client_id: order-service }",
        "api_key: {}",
    );
    let world = site.run();
    let endpoint = format!("{}/token", provider.issuer());
    let ours = ("order-service", secret.as_str());

    // curl, and a Python client.
    let both = world.token(&endpoint, ours, BOTH);
    let reply = world.bearer("GET", &both);
    assert_eq!(reply.status, 200, "{}{}", reply.text(), world.bridge.output());
    assert_eq!(world.recorded(&reply).0, "order-service");
    assert_eq!(reply.json().unwrap()["headers"]["authorization"], Value::Null);
    let told = oauth_client(&json!({
        "token_url": endpoint, "client_id": ours.0, "client_secret": ours.1, "ca": world.bundle(),
        "scope": "orders.write", "url": world.orders(), "method": "POST", "json": { "id": 7 },
    }))
    .unwrap();
    assert_eq!((&told["status"], &told["body"]["body"]), (&json!(200), &json!({ "id": 7 })), "{told}");
    assert_eq!(provider.requests("/jwks").unwrap(), 1);

    // What the token leaves out, whom it is not for, whom nobody knows, what was changed on the way.
    let read = world.token(&endpoint, ours, READ);
    assert_eq!(world.bearer("GET", &read).status, 200);
    let refused = world.bearer("POST", &read);
    assert!(refused.header("www-authenticate").unwrap().contains("scope=\"orders.write\""));
    world.refuses_to("POST", &read, 403, "scope-missing");
    let elsewhere = world.token(&endpoint, ours, &format!("{READ}&resource=https://other.test"));
    world.refuses(&elsewhere, 401, "token-audience-wrong");
    let stranger = world.token(&endpoint, ("stranger", &secret), READ);
    world.refuses(&stranger, 401, "account-unknown");
    let (signed, _) = read.rsplit_once('.').unwrap();
    let (_, signature) = both.rsplit_once('.').unwrap();
    world.refuses(&format!("{signed}.{signature}"), 401, "token-signature-invalid");
    assert_eq!(provider.requests("/jwks").unwrap(), 1);

    // The issuer changes its key: it is fetched once for the new key and once for the old, however many tokens ask.
    provider.rotate_key().unwrap();
    let renewed = world.token(&endpoint, ours, READ);
    assert_eq!(world.bearer("GET", &renewed).status, 200);
    for _ in 0..5 {
        world.refuses(&read, 401, "token-key-unknown");
    }
    assert_eq!(world.bearer("GET", &renewed).status, 200);
    assert_eq!(provider.requests("/jwks").unwrap(), 3);
}

#[test]
fn tokens_out_of_time() {
    let site = Site::new();
    let clock = |seconds| site.provider(&OidcSettings { clock: seconds, ..OidcSettings::default() });
    let (late, early) = (clock(-3600), clock(3600));
    let issuer = |name, provider: &OidcProvider| {
        let url = provider.issuer();
        format!(r#"{name}: {{ issuer: "{url}", audience: https://bridge.test, ca: ./authority.pem }}"#)
    };
    site.declare(
        &format!("{}, {}", issuer("late", &late), issuer("early", &early)),
        "token: { issuer: late, client_id: order-service }",
        "token: { issuer: early, client_id: order-service }",
    );
    let world = site.run();
    for (provider, code) in [(late, "token-expired"), (early, "token-not-yet-valid")] {
        let secret = &OidcSettings::default().clients[0].1;
        let token = world.token(&format!("{}/token", provider.issuer()), ("order-service", secret), READ);
        world.refuses(&token, 401, code);
    }
}

#[test]
fn the_built_in_token_endpoint_under_foreign_clients() {
    let site = Site::new();
    site.declare("", "oauth_client: { token_lifetime: 5m }", "oauth_client: {}, api_key: {}");
    let issue = |account| {
        site.stage.good(&["key", "issue", account, "--kind", "client-secret"]).out.trim().to_owned()
    };
    let (secret, reader) = (issue("order-service"), issue("order-reader"));
    let world = site.run();
    let origin = world.site.origin();

    // The endpoint is found through the metadata, RFC 8414.
    let metadata =
        world.curl(&format!("{origin}/.well-known/oauth-authorization-server"), &[]).json().unwrap();
    assert_eq!(metadata["issuer"], origin.as_str());
    assert_eq!(metadata["grant_types_supported"], json!(["client_credentials"]));
    let endpoint = metadata["token_endpoint"].as_str().unwrap();
    for method in ["client_secret_basic", "client_secret_post"] {
        assert!(
            metadata["token_endpoint_auth_methods_supported"].as_array().unwrap().contains(&json!(method))
        );
        let told = oauth_client(&json!({
            "token_url": endpoint, "client_id": "order-service", "client_secret": secret, "auth": method,
            "ca": world.bundle(), "scope": "orders.write", "url": world.orders(), "method": "POST", "json": {},
        }))
        .unwrap();
        assert_eq!(told["status"], 200, "{told}");
        let token = &told["token"];
        assert_eq!((&token["token_type"], &token["expires_in"]), (&json!("Bearer"), &json!(300)), "{token}");
        assert_eq!(token["scope"], "orders.write");
        assert_eq!(world.bearer("GET", token["access_token"].as_str().unwrap()).status, 403);
    }

    // Scopes end where the roles do, with or without being asked for.
    let token = world.token(endpoint, ("order-reader", &reader), "");
    let reply = world.bearer("GET", &token);
    assert_eq!((reply.status, &world.recorded(&reply).0), (200, &json!("order-reader")));
    let refused = world.bearer("POST", &token).json().unwrap();
    assert_eq!(refused["code"], "permission-missing");

    // Another JOSE implementation verifies it with the published keys alone, and sees what RFC 9068 wants.
    let jwks = world.curl(metadata["jwks_uri"].as_str().unwrap(), &[]).json().unwrap();
    let wish = |token: &str| json!({ "token": token, "jwks": jwks, "issuer": origin, "audience": origin });
    let verified = call("jose.mjs", &wish(&token)).unwrap();
    let claims = &verified["claims"];
    assert_eq!((&claims["client_id"], &claims["scope"]), (&json!("order-reader"), &json!("orders.read")));
    assert!(claims["jti"].is_string() && claims["sub"].is_string() && claims["iat"].is_u64(), "{verified}");
    assert!(jwks["keys"].as_array().unwrap().iter().all(|key| key.get("d").is_none()), "{jwks}");
    let (head, _) = token.rsplit_once('.').unwrap();
    let other = world.token(endpoint, ("order-reader", &reader), "");
    let (_, signature) = other.rsplit_once('.').unwrap();
    let forged = format!("{head}.{signature}");
    let verdict = call("jose.mjs", &wish(&forged)).unwrap();
    assert_eq!(verdict["error"], "ERR_JWS_SIGNATURE_VERIFICATION_FAILED");
    world.refuses(&forged, 401, "token-signature-invalid");
}

#[test]
fn the_built_in_token_endpoint_refuses_as_rfc_6749_says() {
    let site = Site::new();
    site.declare("", "oauth_client: {}", "oauth_client: {}");
    let issued =
        site.stage.good(&["key", "issue", "order-reader", "--kind", "client-secret", "--format", "json"]);
    let (id, secret) = (issued.json()["id"].clone(), issued.json()["key"].as_str().unwrap().to_owned());
    let world = site.run();
    let metadata = format!("{}/.well-known/oauth-authorization-server", world.site.origin());
    let metadata = world.curl(&metadata, &[]).json().unwrap();
    let endpoint = metadata["token_endpoint"].as_str().unwrap();

    let right = format!("order-reader:{secret}");
    for (user, form, status, error) in [
        ("order-reader:wrong", "grant_type=client_credentials", 401, "invalid_client"),
        ("nobody:wrong", "grant_type=client_credentials", 401, "invalid_client"),
        // Another client's secret.
        (&right.replace("reader", "service"), "grant_type=client_credentials", 401, "invalid_client"),
        ("", "grant_type=client_credentials", 401, "invalid_client"),
        (&right, "grant_type=password&username=a&password=b", 400, "unsupported_grant_type"),
        (&right, "scope=orders.read", 400, "invalid_request"),
        (&right, "grant_type=client_credentials&grant_type=client_credentials", 400, "invalid_request"),
        (&right, "grant_type=client_credentials&client_secret=x", 400, "invalid_request"),
        (&right, "grant_type=client_credentials&scope=orders.write", 400, "invalid_scope"),
        (&right, "grant_type=client_credentials&scope=orders.read%20admin", 400, "invalid_scope"),
    ] {
        let authenticated: &[&str] = if user.is_empty() { &[] } else { &["-u", user] };
        let reply = world.curl(endpoint, &[authenticated, &["-d", form]].concat());
        let told = reply.json().unwrap();
        assert_eq!((reply.status, &told["error"]), (status, &json!(error)), "{user} {form}: {told}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{form}");
        let challenge = reply.header("www-authenticate").unwrap_or_default();
        assert_eq!(challenge.starts_with("Basic "), status == 401, "{form}: {challenge}");
        assert!(!reply.text().contains(&secret), "{form}");
    }
    // What is no form, or one that can be read in two ways, is refused in the same words.
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
    for fields in [
        &["Content-Type: application/json"][..],
        &[FORM, "Content-Type: application/json"],
        &["Content-Type: application/x-www-form-urlencoded; charset=utf-16"],
        &[FORM, "Content-Encoding: gzip"],
        &[FORM, "Authorization: Basic e30="],
    ] {
        let fields = fields.iter().flat_map(|field| ["-H", *field]);
        let form = ["-u", &right, "-d", "grant_type=client_credentials"];
        let reply = world.curl(endpoint, &form.into_iter().chain(fields.clone()).collect::<Vec<_>>());
        let told = reply.json().unwrap();
        let fields: Vec<&str> = fields.collect();
        assert!(told["error"].is_string() && [400, 401].contains(&reply.status), "{fields:?}: {told}");
        assert_eq!(reply.header("pragma"), Some("no-cache"), "{fields:?}");
    }
    let charset = |charset: &str, form: &str| {
        let field = format!("Content-Type: Application/X-WWW-Form-URLencoded; Charset={charset}");
        let form = format!("grant_type=client_credentials{form}");
        world.curl(endpoint, &["-u", &right, "-H", &field, "-d", &form])
    };
    for (name, form, status) in [
        ("\"UTF-8\"", "", 200),
        ("utf-8", "&x=%C3%A9", 200),
        ("ISO-8859-1", "", 200),
        ("\"iso-8859-1\"", "&x=%20%7e", 200),
        ("US-ASCII", "", 200),
        ("ISO-8859-1", "&x=%C3%A9", 400),
        ("ISO-8859-1", "&x=\u{e9}", 400),
        ("ISO-8859-15", "", 400),
        ("UTF-7", "", 400),
    ] {
        let reply = charset(name, form);
        let told = (reply.status, reply.header("pragma"));
        assert_eq!(told, (status, Some("no-cache")), "{name} {form}: {}", reply.text());
    }
    // A body that is none of a token request's is refused in OAuth's words too.
    let large = charset("UTF-8", &format!("&x={}", "y".repeat(100_000)));
    assert_eq!((large.status, &large.json().unwrap()["error"]), (413, &json!("invalid_request")));
    // Methods: what is there says which it takes, and HEAD is answered where GET is.
    let asked = world.curl(endpoint, &[]);
    assert_eq!((asked.status, asked.header("allow")), (405, Some("POST")));
    for path in ["/oauth/jwks", "/.well-known/oauth-authorization-server", "/.ironbridge/health"] {
        let url = format!("{}{path}", world.site.origin());
        assert_eq!(world.curl(&url, &["--head"]).status, 200, "{path}");
        let posted = world.curl(&url, &["-d", "x"]);
        assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")), "{path}");
    }

    // Every refusal is recorded, and nothing of what a stranger calls itself.
    let query = ["audit", "query", "--action", "token.issue", "--format", "json"];
    let recorded = world.site.stage.good(&query).out;
    let objects: Vec<Value> =
        recorded.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["object"].clone()).collect();
    assert!(objects.contains(&json!("order-reader")), "{recorded}");
    assert!(!recorded.contains("nobody"), "{recorded}");

    // A revoked secret gives no more tokens.
    let ask = || world.curl(endpoint, &["-u", &right, "-d", "grant_type=client_credentials"]);
    assert_eq!(ask().status, 200);
    world.site.stage.good(&["key", "revoke", id.as_str().unwrap()]);
    assert_eq!(world.until(401, ask).json().unwrap()["error"], "invalid_client");
}

/// Who puts the secret where the id belongs has not given it to the operator's log; and a flood is not many lines.
#[test]
fn what_a_stranger_calls_itself_stays_out_of_the_log() {
    let site = Site::new();
    site.declare("", "oauth_client: {}", "oauth_client: {}");
    let issued =
        site.stage.good(&["key", "issue", "order-reader", "--kind", "client-secret", "--format", "json"]);
    let secret = issued.json()["key"].as_str().unwrap().to_owned();
    let world = site.run();
    let endpoint = format!("{}/oauth/token?n=[1-30]", world.site.origin());
    let begin = "grant_type=client_credentials";
    for form in [
        format!("{begin}&client_id={secret}&client_secret=order-reader"),
        format!("{begin}&client_id=order-reader&client_secret={secret}x"),
        format!("{begin}&client_id={secret}&client_secret={secret}"),
        format!("{begin}&client_id=jane.doe%40acme.example&client_secret=x"),
    ] {
        world.curl(&endpoint, &["-d", &form]);
    }
    for user in [format!("{secret}:order-reader"), format!(":{secret}"), "jane.doe@acme.example:x".into()] {
        world.curl(&endpoint, &["-u", &user, "-d", begin]);
    }
    // As a host, and as the name of a field, whose letters have no case.
    for field in [format!("Host: {secret}"), format!("{secret}: 1"), format!("X-Forwarded-For: {secret}")] {
        world.with("GET", &field);
        world.curl(&endpoint, &["-u", "order-reader:x", "-d", begin, "-H", &field]);
    }
    let log = world.bridge.output();
    for told in [&*secret, &secret.to_lowercase(), "jane"] {
        assert!(!log.contains(told), "{told}: {log}");
    }
    assert!(log.contains("ibs_***"), "{log}");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("token request refused")).collect();
    // One a minute for who is known, one for who is not.
    assert!(lines.iter().any(|line| line.contains("client=\"order-reader\"")), "{log}");
    assert!((2..=6).contains(&lines.len()), "{log}");
}

#[test]
fn api_keys_change_over_without_a_gap() {
    let site = Site::new();
    site.declare("", "api_key: { lifetime: 90d }", "api_key: {}");
    let issue = |site: &Site| {
        let issued = site.stage.good(&["key", "issue", "order-service", "--format", "json"]).json();
        (issued["id"].as_str().unwrap().to_owned(), format!("X-API-Key: {}", issued["key"].as_str().unwrap()))
    };
    let (first_id, first) = issue(&site);
    let mut world = site.run();
    assert_eq!(world.with("GET", &first).status, 200);
    let (second_id, second) = issue(&world.site);
    world.until(200, || world.with("GET", &second));
    assert_eq!(world.with("GET", &first).status, 200);
    let third = world.site.stage.bad(&["key", "issue", "order-service"]);
    assert!(third.err.contains("2 live keys already; revoke one first"), "{}", third.err);

    world.site.stage.good(&["key", "revoke", &first_id]);
    let refused = world.until(401, || world.with("GET", &first));
    assert_eq!(refused.json().unwrap()["code"], "api-key-revoked");
    assert_eq!(world.recorded(&refused).1, "api-key-revoked");
    assert_eq!(world.with("GET", &second).status, 200);
    let (_, third) = issue(&world.site);
    world.until(200, || world.with("GET", &third));
    assert_eq!(world.with("GET", &second).status, 200);

    // Roles hold for keys as for tokens, and a used key shows when, at the latest once the bridge has stopped.
    assert_eq!(world.with("POST", &second).status, 200);
    world.bridge.signal("TERM").unwrap();
    assert!(world.bridge.wait(LONG).unwrap().success());
    let keys = world.site.stage.good(&["key", "list", "order-service", "--format", "json"]).json();
    let key = keys.as_array().unwrap().iter().find(|key| key["id"] == second_id.as_str()).unwrap();
    assert!(key["state"] == "live" && key["last_used"].is_string(), "{key}");
}
