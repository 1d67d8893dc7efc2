//! The kit against programs nobody here wrote: if these pass, a failure elsewhere is the bridge's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use ironbridge_testkit::{
    Authority, FakeTarget, NodeServer, OidcProvider, OidcSettings, Protocols, Reply, TokenIssuer, Validity,
    call, curl, oauth_client, peer,
};
use serde_json::json;
use std::path::PathBuf;

struct Stage {
    directory: tempfile::TempDir,
    authority: Authority,
    ca: PathBuf,
}

fn stage() -> Stage {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("Test CA").unwrap();
    let ca = authority.write(directory.path().join("ca.pem")).unwrap();
    Stage { directory, authority, ca }
}

impl Stage {
    fn curl(&self, arguments: &[&str]) -> anyhow::Result<ironbridge_testkit::CurlReply> {
        curl([&["--cacert", self.ca.to_str().unwrap()], arguments].concat())
    }
}

#[test]
fn a_target_echoes_over_both_protocols() {
    let stage = stage();
    let target = FakeTarget::start(&stage.authority).unwrap();
    for (flag, version) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2.0")] {
        let url = format!("{}/orders?open=1", target.url());
        let reply = stage.curl(&[flag, "--json", r#"{"n":1}"#, "-H", "X-One: 1", &url]).unwrap();
        assert_eq!(reply.status, 200);
        let echo = reply.json().unwrap();
        assert_eq!(echo["version"], version);
        assert_eq!(echo["path"], "/orders?open=1");
        assert_eq!(echo["headers"]["x-one"], json!(["1"]));
        assert_eq!(echo["body"], json!({"n": 1}));
    }
    assert_eq!(target.seen_on("POST /orders").len(), 2);
}

#[test]
fn a_target_misbehaves_as_told() {
    let stage = stage();
    let target = FakeTarget::builder(&stage.authority).unwrap().protocols(Protocols::Http1).start().unwrap();
    target
        .on("GET /teapot", Reply::Json(418, json!({"short": true})))
        .on("GET /short", Reply::BreakOff(100, 10))
        .on("GET /close", Reply::Close)
        .on("GET /large", Reply::Oversize(100_001))
        .on(
            "GET /trailers",
            Reply::Trailers(vec![Bytes::from("ab"), Bytes::from("c")], vec![("grpc-status", "0")]),
        );
    let get = |path: &str| stage.curl(&[&format!("{}{path}", target.url())]);
    assert_eq!(get("/teapot").unwrap().status, 418);
    assert!(get("/short").unwrap_err().to_string().contains("90 bytes remaining"));
    assert!(get("/close").unwrap_err().to_string().contains("Empty reply"));
    assert_eq!(get("/large").unwrap().body.len(), 100_001);
    assert_eq!(get("/trailers").unwrap().text(), "abc");
}

#[test]
fn a_target_wants_its_tokens_and_certificates() {
    let stage = stage();
    let target = FakeTarget::builder(&stage.authority)
        .unwrap()
        .require_certificates_of(&stage.authority)
        .start()
        .unwrap();
    target.require_token("ironbridge", "hush", 60);
    let plain = stage.curl(&[&target.url()]);
    assert!(plain.is_err(), "{plain:?}");

    let client = stage.authority.client(&["spiffe://acme.example/bridge"], Validity::Now).unwrap();
    let (cert, key) = client.write(stage.directory.path(), "client").unwrap();
    let mutual = ["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let call = |more: &[&str]| stage.curl(&[&mutual[..], more].concat()).unwrap();
    assert_eq!(call(&[&target.url()]).status, 401);
    let token = format!("{}/token", target.url());
    assert_eq!(call(&["-u", "ironbridge:wrong", "-d", "grant_type=client_credentials", &token]).status, 401);
    let issued =
        call(&["-u", "ironbridge:hush", "-d", "grant_type=client_credentials", &token]).json().unwrap();
    let bearer = format!("Authorization: Bearer {}", issued["access_token"].as_str().unwrap());
    assert_eq!(call(&["-H", &bearer, &target.url()]).status, 200);
    target.revoke_tokens();
    assert_eq!(call(&["-H", &bearer, &target.url()]).status, 401);
    assert!(target.seen().iter().all(|seen| seen.certificate.as_ref() == Some(&client.certificate)));
}

#[test]
fn a_provider_and_a_client_nobody_here_wrote_agree() {
    let stage = stage();
    let settings = OidcSettings { algorithm: "PS256".into(), ..OidcSettings::default() };
    let identity = stage.authority.server(&["localhost"]).unwrap();
    let provider = OidcProvider::start(&identity, &stage.ca, stage.directory.path(), &settings).unwrap();
    let target = FakeTarget::start(&stage.authority).unwrap();
    let (client_id, client_secret) = &settings.clients[0];
    let mut wish = json!({
        "token_url": format!("{}/token", provider.issuer()), "client_id": client_id, "client_secret": client_secret,
        "ca": stage.ca, "resource": settings.resource, "scope": "orders.read", "url": target.url(),
    });
    let told = oauth_client(&wish).unwrap();
    assert_eq!(told["status"], 200, "{told}");
    assert_eq!(told["token"]["scope"], "orders.read");
    let bearer = format!("Bearer {}", told["token"]["access_token"].as_str().unwrap());
    assert_eq!(told["body"]["headers"]["authorization"], json!([bearer]));
    assert_eq!(provider.requests("/token").unwrap(), 1);
    provider.rotate_key().unwrap();

    wish["client_secret"] = json!("wrong");
    assert_eq!(oauth_client(&wish).unwrap()["error"], "invalid_client");
}

#[test]
fn websocket_peers_talk() {
    let stage = stage();
    let identity = stage.authority.server(&["localhost"]).unwrap();
    let server = NodeServer::start("websocket.mjs", &identity, stage.directory.path(), json!({})).unwrap();
    let mut wish =
        json!({"url": server.url(), "ca": stage.ca, "messages": ["one", "two"], "protocols": ["chat"]});
    let told = call("websocket.mjs", &wish).unwrap();
    assert_eq!(told, json!({"messages": ["one", "two"], "protocol": "chat", "close": 1000}));

    let target = FakeTarget::start(&stage.authority).unwrap();
    target.otherwise(Reply::Json(403, json!({"code": "refused"})));
    wish["url"] = json!(target.url());
    assert_eq!(
        call("websocket.mjs", &wish).unwrap(),
        json!({"status": 403, "body": r#"{"code":"refused"}"#})
    );
}

#[test]
fn an_upgrade_is_echoed() {
    let stage = stage();
    let target = FakeTarget::start(&stage.authority).unwrap();
    target.otherwise(Reply::UpgradeEcho);
    let request = format!(
        "GET / HTTP/1.1\r\nHost: localhost:{}\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n",
        target.port()
    );
    let script = format!(
        "(printf '{request}'; sleep 0.3; printf 'hello'; sleep 0.3) | openssl s_client -quiet -no_ign_eof -alpn http/1.1 -connect localhost:{} -CAfile {} 2>/dev/null",
        target.port(),
        stage.ca.display()
    );
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("HTTP/1.1 101") && text.ends_with("\r\n\r\nhello"), "{text}");
}

#[test]
fn grpc_peers_talk() {
    let stage = stage();
    let identity = stage.authority.server(&["localhost"]).unwrap();
    let server = NodeServer::start("grpc.mjs", &identity, stage.directory.path(), json!({})).unwrap();
    let ask = |method: &str, messages: &[&str]| {
        let wish = json!({"url": server.url(), "ca": stage.ca, "method": method, "messages": messages});
        call("grpc.mjs", &wish).unwrap()
    };
    assert_eq!(ask("/echo.Echo/Unary", &["ping"])["messages"], json!(["ping"]));
    let chat = ask("/echo.Echo/Chat", &["a", "b"]);
    assert_eq!(
        (&chat["messages"], &chat["status"], &chat["trailers"]["x-chat"]),
        (&json!(["a", "b"]), &json!(0), &json!("over"))
    );
    let failed = ask("/echo.Echo/Fail", &["x"]);
    assert_eq!((&failed["status"], &failed["trailers"]["x-reason"]), (&json!(9), &json!("test")));
}

#[test]
fn our_issuer_signs_what_authlib_verifies() {
    let stage = stage();
    let issuer = TokenIssuer::start(&stage.authority).unwrap();
    let token =
        issuer.token("order-service", "https://bridge.test", "orders.read", json!({"jti": null})).unwrap();
    let script = r"
import sys, json, base64
from authlib.jose import jwt
claims = jwt.decode(sys.argv[1], sys.argv[2])
print(json.dumps(claims))";
    let output = std::process::Command::new(peer("python").unwrap())
        .args(["-W", "ignore", "-c", script, &token, &issuer.public_key_pem()])
        .output()
        .unwrap();
    let claims = String::from_utf8_lossy(&output.stdout);
    assert!(claims.contains("order-service"), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!claims.contains("jti"));
}

#[test]
fn a_missing_peer_names_the_remedy() {
    assert!(peer("no-such-program").unwrap_err().to_string().contains("./dev peers"));
}
