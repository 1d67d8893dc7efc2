//! What lasts ends once its caller would not be let in any more: a stream is cut, a WebSocket closed with 1008.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_identity::api_key::KeyKind;
use ironbridge_testkit::{Reply, curl, free_port};
use std::fs;
use std::time::{Duration, Instant};
use world::{Beside, Declared, Raw, eventually, in_home, issue_key, long_answer};

const OPERATIONS: &str = "echo: { match: GET /echo, permission: orders.read, upgrade: websocket }
    hang: { match: GET /hang, permission: orders.read, timeout: 10m }";
const FEED: &str = "feed: { match: GET /feed, permission: orders.read }";

fn scene() -> Beside {
    let declared = Declared {
        operations: OPERATIONS,
        credentials: "oauth_client: {}",
        bridge: "public_url: https://localhost\n  timeouts: { drain: 1s }",
        ..Declared::default()
    };
    let scene = Beside::new(&declared, "feed", FEED);
    scene.target.answer("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n");
    scene.world.target.on("GET /echo", Reply::UpgradeEcho);
    scene
}

impl Beside {
    /// The running bridge has noticed that the key was issued.
    fn knows(&self, key: &str) {
        let header = format!("X-API-Key: {key}");
        let status = || self.world.curl("/erp/v1/echo", &["-H", &header]).unwrap().status;
        patiently(|| status() != 401);
    }

    /// An event stream and a WebSocket of the same caller, both begun.
    fn open(&self, key: &str) -> [Raw; 2] {
        self.open_with(&format!("X-API-Key: {key}"))
    }

    fn open_with(&self, credential: &str) -> [Raw; 2] {
        let mut stream = self.world.raw().unwrap();
        stream.send(format!("GET /feed/feed HTTP/1.1\r\nHost: a\r\n{credential}\r\n\r\n"));
        eventually(|| contains(&stream, b"data: one").then_some(()));
        let mut socket = self.world.raw().unwrap();
        socket.send(format!(
            "GET /erp/v1/echo HTTP/1.1\r\nHost: a\r\n{credential}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ));
        assert_eq!(socket.reply().status, 101);
        socket.send(b"\x81\x02hi");
        eventually(|| contains(&socket, b"\x81\x02hi").then_some(()));
        [stream, socket]
    }

    /// Both have ended, and the trail says why.
    fn ended(&self, [stream, socket]: &[Raw; 2], code: &str) {
        patiently(|| stream.is_closed() && socket.is_closed());
        assert!(!stream.received().ends_with(b"0\r\n\r\n"), "a cut stream is no whole one");
        assert!(socket.received().ends_with(b"\x88\x02\x03\xf0"), "{:?}", socket.received());
        let records = eventually(|| {
            let records = self.world.records().unwrap().into_iter();
            let records: Vec<_> = records.filter(|record| record["code"] == code).collect();
            (records.len() == 2).then_some(records)
        });
        assert!(records.iter().all(|record| record["outcome"] == "partial"), "{records:?}");
    }
}

fn contains(raw: &Raw, part: &[u8]) -> bool {
    raw.received().windows(part.len()).any(|window| window == part)
}

fn patiently(is_so: impl Fn() -> bool) {
    eventually(|| is_so().then_some(()));
}

#[test]
fn a_revoked_key_keeps_nothing_open_and_others_stay() {
    let scene = scene();
    let other = issue_key(scene.world.dir.path(), "order-reader").unwrap();
    scene.knows(&other);
    let (open, stays) = (scene.open(&scene.key), scene.open(&other));
    in_home(scene.world.dir.path(), async |home| {
        let listed = home.store.issued(Some("order-service")).await?;
        assert!(home.store.revoke(&listed[0].id, home.clock.now()).await?);
        Ok(())
    })
    .unwrap();
    scene.ended(&open, "api-key-revoked");
    assert!(stays.iter().all(|raw| !raw.is_closed()));
}

#[test]
fn a_revoked_secret_keeps_nothing_open_of_its_tokens_and_others_stay() {
    let scene = scene();
    let [first, second] = [(), ()].map(|()| {
        in_home(scene.world.dir.path(), async |home| {
            let ring = home.key_ring(KeyKind::ClientSecret).await?;
            let issued = ring.issue("order-service", Duration::from_secs(3600), home.clock.now()).await?;
            Ok((issued.id, issued.key.expose().to_owned()))
        })
        .unwrap()
    });
    let bearer = |secret: &str| {
        let user = format!("order-service:{secret}");
        let ask = || {
            let reply =
                scene.world.curl("/oauth/token", &["-u", &user, "-d", "grant_type=client_credentials"]);
            let token = reply.unwrap().json().ok()?["access_token"].as_str()?.to_owned();
            Some(format!("Authorization: Bearer {token}"))
        };
        eventually(ask)
    };
    let [of_first, of_second] = [bearer(&first.1), bearer(&second.1)];
    let (open, stays) = (scene.open_with(&of_first), scene.open_with(&of_second));
    in_home(scene.world.dir.path(), async |home| {
        assert!(home.store.revoke(&first.0, home.clock.now()).await?);
        Ok(())
    })
    .unwrap();
    scene.ended(&open, "token-revoked");
    assert!(stays.iter().all(|raw| !raw.is_closed()));
    let reply = scene.world.curl("/feed/feed", &["-H", &of_first]).unwrap();
    assert_eq!((reply.status, &reply.json().unwrap()["code"]), (401, &"token-revoked".into()));
}

fn recorded(scene: &Beside, code: &str) {
    patiently(|| scene.world.records().unwrap().iter().any(|record| record["code"] == code));
}

#[test]
fn who_takes_nothing_of_a_stream_is_let_out_all_the_same() {
    let scene = scene();
    scene.target.answer(long_answer());
    let _caller = scene.takes_nothing("/feed/feed", "");
    scene.target.seen();
    in_home(scene.world.dir.path(), async |home| {
        let listed = home.store.issued(Some("order-service")).await?;
        assert!(home.store.revoke(&listed[0].id, home.clock.now()).await?);
        Ok(())
    })
    .unwrap();
    recorded(&scene, "api-key-revoked");
}

#[test]
fn who_takes_nothing_of_a_stream_keeps_the_target_for_its_idle_time() {
    let scene = scene();
    let feed = scene.world.dir.path().join("feed.yaml");
    let text = fs::read_to_string(&feed).unwrap();
    fs::write(
        &feed,
        text.replace("permission: orders.read }", "permission: orders.read, idle_timeout: 5s }"),
    )
    .unwrap();
    scene.world.reload().unwrap();
    scene.target.answer(long_answer());
    let _caller = scene.takes_nothing("/feed/feed", "");
    recorded(&scene, "answer-untaken");
}

#[test]
fn an_expired_key_keeps_nothing_open() {
    let scene = scene();
    let issue = |life: Duration| {
        let key = in_home(scene.world.dir.path(), async |home| {
            let ring = home.key_ring(KeyKind::ApiKey).await?;
            let issued = ring.issue("order-reader", life, home.clock.now()).await?;
            Ok(issued.key.expose().to_owned())
        })
        .unwrap();
        scene.knows(&key);
        key
    };
    // Long enough to open what it opens, however slow the machine is.
    let begun = Instant::now();
    drop(scene.open(&issue(Duration::from_secs(3600))));
    let key = issue((begun.elapsed() * 5).max(Duration::from_secs(3)));
    let open = scene.open(&key);
    scene.ended(&open, "api-key-expired");
}

#[test]
fn what_a_reload_takes_away_does_not_stay_open() {
    let scene = scene();
    let open = scene.open(&scene.key);
    scene
        .world
        .edit(|text| text.replace("permissions: [orders.read, orders.write]", "permissions: [other]"))
        .unwrap();
    scene.world.reload().unwrap();
    scene.ended(&open, "permission-missing");

    let reader = issue_key(scene.world.dir.path(), "order-reader").unwrap();
    scene.knows(&reader);
    let open = scene.open(&reader);
    scene.world.edit(|text| text.replace("echo: { match", "echo2: { match")).unwrap();
    let feed = scene.world.dir.path().join("feed.yaml");
    let text = fs::read_to_string(&feed).unwrap();
    fs::write(&feed, text.replace("feed: { match", "feed2: { match")).unwrap();
    scene.world.reload().unwrap();
    scene.ended(&open, "operation-unknown");
}

/// What was asked for is what counts, not what the operation is called.
#[test]
fn what_a_reload_moves_does_not_stay_open() {
    let scene = scene();
    let feed = scene.world.dir.path().join("feed.yaml");
    let text = fs::read_to_string(&feed).unwrap();
    let rewrite = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        fs::write(&feed, text.replace(from, to)).unwrap();
        scene.world.reload().unwrap();
    };
    let open = scene.open(&scene.key);
    // Other places of the same manifest do not matter.
    rewrite(&text, "match: GET /feed,", "match: \"GET /{any}\",");
    std::thread::sleep(Duration::from_secs(7));
    assert!(open.iter().all(|raw| !raw.is_closed()));
    scene.world.edit(|text| text.replace("match: GET /echo,", "match: GET /echoes,")).unwrap();
    rewrite(&text, "match: GET /feed,", "match: GET /feeds,");
    scene.ended(&open, "operation-unknown");

    scene.world.edit(|text| text.replace("match: GET /echoes,", "match: GET /echo,")).unwrap();
    rewrite(&text, "match: GET /feed,", "match: GET /feed,");
    let open = scene.open(&scene.key);
    scene.world.edit(|text| text.replace("path: /erp/v1", "path: /erp/v2")).unwrap();
    rewrite(&text, "path: /feed", "path: /feed2");
    patiently(|| open.iter().all(Raw::is_closed));
}

#[test]
fn what_a_reload_lets_in_from_elsewhere_only_does_not_stay_open() {
    let scene = scene();
    let open = scene.open(&scene.key);
    scene
        .world
        .edit(|text| {
            text.replace("{ address: 127.0.0.1:", "{ addresses: [192.0.2.0/24], address: 127.0.0.1:")
        })
        .unwrap();
    scene.world.reload().unwrap();
    scene.ended(&open, "address-refused");
}

#[test]
fn a_websocket_ends_where_a_reload_declares_none() {
    let scene = scene();
    let [stream, socket] = scene.open(&scene.key);
    scene.world.edit(|text| text.replace(", upgrade: websocket", "")).unwrap();
    scene.world.reload().unwrap();
    patiently(|| socket.is_closed());
    assert!(socket.received().ends_with(b"\x88\x02\x03\xf0"), "{:?}", socket.received());
    assert!(!stream.is_closed());
}

#[test]
fn a_listener_that_a_reload_takes_away_has_the_drain_time() {
    let scene = scene();
    scene.world.target.on("GET /hang", Reply::Hang);
    let [stream, socket] = scene.open(&scene.key);
    let mut hangs = scene.world.raw().unwrap();
    hangs.send(format!("GET /erp/v1/hang HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n\r\n", scene.key));
    let over_http2 = [
        "--http2".to_owned(),
        "--cacert".into(),
        scene.world.ca().to_str().unwrap().into(),
        "-H".into(),
        format!("X-API-Key: {}", scene.key),
        scene.world.url("/erp/v1/hang"),
    ];
    let over_http2 = std::thread::spawn(move || curl(over_http2).is_err());
    eventually(|| (scene.world.target.seen_on("GET /hang").len() == 2).then_some(()));

    let (old, new) = (scene.world.port.to_string(), free_port().unwrap().to_string());
    scene.world.edit(|text| text.replace(&old, &new)).unwrap();
    scene.world.reload().unwrap();
    patiently(|| [&stream, &socket, &hangs].into_iter().all(Raw::is_closed) && over_http2.is_finished());
    assert!(over_http2.join().unwrap());
    assert!(socket.received().ends_with(b"\x88\x02\x03\xe9"), "{:?}", socket.received());
    assert!(hangs.received().is_empty());
    let mut codes = eventually(|| {
        let records = scene.world.records().unwrap().into_iter();
        let codes: Vec<_> = records.map(|record| record["code"].as_str().unwrap().to_owned()).collect();
        (codes.len() == 4).then_some(codes)
    });
    codes.sort();
    assert_eq!(codes, ["drain-over"; 4]);
}
