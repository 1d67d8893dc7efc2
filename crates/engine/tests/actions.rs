//! What administrators, commands and the bridge itself did, as the audit trail tells it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_audit::detail::DetailKind;
use ironbridge_engine::{Actor, Bridge, Home};
use ironbridge_identity::api_key::KeyKind;
use ironbridge_identity::signing_keys::SigningKeys;
use ironbridge_seal::hash;
use ironbridge_testkit::CurlReply;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use world::{Declared, World, eventually, issue_key, set_secret};

const OPERATIONS: &str = "read: { match: GET /read, permission: orders.read }";
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn plain() -> Declared {
    Declared { operations: OPERATIONS, ..Declared::default() }
}

/// What a command does: it opens the data directory for a person of its own.
fn as_alice<T>(dir: &Path, work: impl AsyncFnOnce(&Home) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let home = Home::open(&dir.join("data"), Actor::new("command:alice(1000)")).unwrap();
        work(&home).await
    })
}

fn named(world: &World, name: &str) -> Vec<Value> {
    world.actions().unwrap().into_iter().filter(|action| action["action"] == name).collect()
}

/// The one action of this name on this object.
fn one(world: &World, name: &str, object: &str) -> Value {
    let mut found = eventually(|| {
        let found: Vec<Value> =
            named(world, name).into_iter().filter(|action| action["object"] == object).collect();
        Some(found).filter(|found| !found.is_empty())
    });
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// The piece of detail of this kind in the record of this id.
fn detail(world: &World, id: &Value, kind: DetailKind) -> Option<String> {
    let opened = world.opened().unwrap();
    let (_, details) = opened.iter().find(|(stored, _)| *id == stored.entry.id).unwrap();
    details.iter().find(|detail| detail.kind == kind).map(|detail| detail.value.clone())
}

fn digest(texts: &[&[u8]]) -> Value {
    json!(hash::hex(&hash::sha256(&texts.concat())))
}

#[test]
fn a_bridges_life_is_told_with_the_manifest_of_the_moment() {
    let (mut world, _) = World::with_key(&plain(), |dir, _| {
        Ok(fs::write(dir.join("more.yaml"), "roles:\n  auditor: { permissions: [orders.read] }\n")?)
    })
    .unwrap();
    let dir = world.dir.path().to_owned();
    let read = |name: &str| fs::read(dir.join(name)).unwrap();
    // The files one after another, in the order of their paths.
    let started = one(&world, "bridge.start", "test-bridge");
    assert_eq!(started["facts"]["manifest_sha256"], digest(&[&read("ironbridge.yaml"), &read("more.yaml")]));
    assert_eq!(started["facts"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&started["outcome"], &started["generation"]), (&json!("success"), &json!(1)));
    assert_eq!(detail(&world, &started["id"], DetailKind::Actor).unwrap(), "bridge");

    fs::write(dir.join("aside.yaml"), "roles:\n  other: { permissions: [orders.write] }\n").unwrap();
    world.reload().unwrap();
    let good = named(&world, "bridge.reload").pop().unwrap();
    let files = [read("aside.yaml"), read("ironbridge.yaml"), read("more.yaml")];
    assert_eq!(good["facts"]["manifest_sha256"], digest(&files.each_ref().map(Vec::as_slice)));
    assert_eq!(
        (&good["outcome"], &good["code"], &good["generation"]),
        (&json!("success"), &json!("done"), &json!(2))
    );

    // Refused reloads leave what is in force, and say why they were refused.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let before = fs::read_to_string(dir.join("ironbridge.yaml")).unwrap();
    for (from, to, code) in [
        ("name: test-bridge", "name: another", "needs-restart"),
        ("roles: [writer]", "roles: [nobody]", "manifest-invalid"),
        ("    api: {", &*format!("    zone: {{ address: {address} }}\n    api: {{"), "not-started"),
    ] {
        world.edit(|text| text.replacen(from, to, 1)).unwrap();
        world.reload().unwrap_err();
        let refused = named(&world, "bridge.reload").pop().unwrap();
        assert_eq!((&refused["outcome"], &refused["code"]), (&json!("failed"), &json!(code)), "{refused}");
        assert_eq!((&refused["generation"], &refused["facts"]), (&json!(2), &Value::Null));
        fs::write(dir.join("ironbridge.yaml"), &before).unwrap();
    }
    assert_eq!(named(&world, "bridge.reload").len(), 4);

    world.stop().unwrap();
    let last = world.actions().unwrap().pop().unwrap();
    assert_eq!((&last["action"], &last["generation"]), (&json!("bridge.stop"), &json!(2)));
}

#[test]
fn what_commands_do_is_recorded_while_the_bridge_runs() {
    let world = World::new(&plain()).unwrap();
    let dir = world.dir.path();
    let id = as_alice(dir, async |home| {
        let ring = home.key_ring(KeyKind::ApiKey).await.unwrap();
        let issued = ring.issue("order-service", HOUR, home.clock.now()).await.unwrap();
        home.secrets().keeper("sealed").unwrap().set("erp", b"never in the trail").await.unwrap();
        home.secrets().keeper("sealed").unwrap().set("erp", b"nor this").await.unwrap();
        assert!(home.secrets().keeper("sealed").unwrap().remove("erp").await.unwrap());
        assert!(ring.revoke(&issued.id, home.clock.now()).await.unwrap());
        // Nothing is left to do: no action.
        assert!(!ring.revoke(&issued.id, home.clock.now()).await.unwrap());
        issued.id
    });
    let (issue, revoke) = (one(&world, "key.issue", &id), one(&world, "key.revoke", &id));
    for action in [&issue, &revoke] {
        assert_eq!(
            (&action["account"], &action["facts"]["kind"]),
            (&json!("order-service"), &json!("api_key"))
        );
        assert_eq!(detail(&world, &action["id"], DetailKind::Actor).unwrap(), "command:alice(1000)");
    }
    let removed = one(&world, "secret.remove", "erp");
    let set: Vec<Value> =
        named(&world, "secret.set").into_iter().filter(|set| set["object"] == "erp").collect();
    let versions: Vec<&Value> = set.iter().map(|set| &set["facts"]["version"]).collect();
    assert_eq!(versions, ["1", "2"]);
    // In the order in which they were done, and by whom only where it can be erased.
    let times: Vec<&str> =
        [&issue, &set[0], &set[1], &removed, &revoke].map(|action| action["time"].as_str().unwrap()).into();
    assert!(times.is_sorted(), "{times:?}");
    let all = serde_json::to_string(&world.actions().unwrap()).unwrap();
    assert!(!all.contains("alice") && !all.contains("never in the trail"), "{all}");
    // They are taken out once they are recorded, which may be a moment later.
    eventually(|| (as_alice(dir, async |home| home.outbox().count().await.unwrap()) == 0).then_some(()));
}

#[test]
fn what_was_done_while_no_bridge_ran_is_recorded_at_the_next_start() {
    let mut id = String::new();
    let (mut world, _) = World::with_key(&plain(), |dir, _| set_secret(dir, "early", "x")).unwrap();
    one(&world, "secret.set", "early");
    world.stop().unwrap();
    let dir = world.dir.path().to_owned();
    issue_key(&dir, "order-reader").unwrap();
    as_alice(&dir, async |home| {
        let waiting = home.outbox().pending(10).await.unwrap();
        let [action] = &waiting[..] else { panic!("{waiting:?}") };
        id.clone_from(&action.object);
    });
    assert!(!named(&world, "key.issue").iter().any(|action| action["object"] == id));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (bridge, _) = Bridge::start(&dir).await.unwrap();
        bridge.stop().await.trail.unwrap();
    });
    assert_eq!(one(&world, "key.issue", &id)["account"], "order-reader");
    assert_eq!(as_alice(&dir, async |home| home.outbox().count().await.unwrap()), 0);
    assert_eq!(named(&world, "bridge.start").len(), 2);
}

#[test]
fn the_bridges_own_certificates_are_recorded_when_they_come_into_force() {
    let declared = Declared { system: "certificate: { issued: true }".to_owned(), ..plain() };
    let world = World::new(&declared).unwrap();
    let renewed = |generation: u64| {
        let all = named(&world, "certificate.renew").into_iter();
        all.filter(move |action| action["generation"] == generation).collect::<Vec<_>>()
    };
    let facts: Vec<Value> = renewed(1).iter().map(|action| action["facts"].clone()).collect();
    assert_eq!(facts, [json!({ "system": "erp" }), json!({ "listener": "api" })]);
    // The record names the certificate that callers see.
    let shown = |world: &World| {
        let file = world.dir.path().join("shown");
        let chain = ["--write-out", "%{certs}", "--head"];
        let listed = std::process::Command::new("curl")
            .args(["-q", "-sS", "--cacert", world.ca().to_str().unwrap(), "-o", file.to_str().unwrap()])
            .args(chain)
            .arg(world.url("/.ironbridge/health"))
            .output()
            .unwrap();
        thumbprint(&String::from_utf8(listed.stdout).unwrap())
    };
    let first = shown(&world);
    assert_eq!(renewed(1)[1]["object"], first);
    world.reload().unwrap();
    // A certificate stays until it is due, or its listener gets another name.
    assert!(renewed(2).is_empty(), "{:?}", renewed(2));
    assert_eq!(shown(&world), first);
    world
        .edit(|text| {
            text.replace("  listeners:\n", "  listeners:\n    other: { address: \"127.0.0.1:0\" }\n")
        })
        .unwrap();
    world.reload().unwrap();
    let [second] = &renewed(3)[..] else { panic!("{:?}", renewed(3)) };
    assert_eq!(second["facts"]["listener"], "other");
    assert_eq!(shown(&world), first);
}

/// Of the first certificate in PEM, as records and accounts name it.
fn thumbprint(text: &str) -> String {
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----").expect("curl prints certificates");
    let (body, _) = rest.split_once("-----END").unwrap();
    let body: String = body.split_whitespace().collect();
    hash::hex(&hash::sha256(&hash::unbase64(&body).unwrap()))
}

#[test]
fn no_token_is_issued_or_refused_without_a_record() {
    let mut secret = String::new();
    let declared =
        Declared { bridge: "public_url: https://bridge.test", credentials: "oauth_client: {}", ..plain() };
    let (world, _) = World::with_key(&declared, |dir, _| {
        secret = as_alice(dir, async |home| {
            let ring = home.key_ring(KeyKind::ClientSecret).await.unwrap();
            let issued = ring.issue("order-service", HOUR, home.clock.now()).await.unwrap();
            issued.key.expose().to_owned()
        });
        Ok(())
    })
    .unwrap();
    let ask = |user: &str, form: &str| -> CurlReply {
        world.curl("/oauth/token", &["-u", user, "-d", form]).unwrap()
    };
    let good = format!("order-service:{secret}");
    let reply = ask(&good, "grant_type=client_credentials");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let token = reply.json().unwrap()["access_token"].as_str().unwrap().to_owned();
    // Its record is on disk before it is given away.
    let issued = named(&world, "token.issue").pop().unwrap();
    assert_eq!((&issued["object"], &issued["account"]), (&json!("order-service"), &json!("order-service")));
    assert_eq!(issued["outcome"], "success");
    let claims = hash::unbase64url(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(issued["facts"]["token_id"], claims["jti"]);
    assert_eq!(detail(&world, &issued["id"], DetailKind::Address).unwrap(), "127.0.0.1");
    // An exchange with it says which token it was.
    let reply = world.curl("/erp/v1/read", &["-H", &format!("Authorization: Bearer {token}")]).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(world.record_of(&reply)["credential_id"], claims["jti"]);

    for (user, form, error) in [
        ("order-service:wrong", "grant_type=client_credentials", "invalid_client"),
        ("stranger:wrong", "grant_type=client_credentials", "invalid_client"),
        (&*good, "grant_type=password", "unsupported_grant_type"),
        (&*good, "grant_type=client_credentials&scope=orders.burn", "invalid_scope"),
    ] {
        let before = named(&world, "token.issue").len();
        assert!(ask(user, form).status >= 400);
        let refused = eventually(|| named(&world, "token.issue").into_iter().nth(before));
        assert_eq!((&refused["outcome"], &refused["code"]), (&json!("denied"), &json!(error)), "{refused}");
        // What a stranger calls itself stays out of the log.
        let known = user.split(':').next().filter(|name| *name != "stranger");
        assert_eq!(refused["object"].as_str(), known, "{refused}");
        // Nobody proved to be that account.
        assert_eq!(refused["account"], Value::Null, "{refused}");
        assert_eq!(detail(&world, &refused["id"], DetailKind::Address).unwrap(), "127.0.0.1");
    }
    let all = serde_json::to_string(&world.actions().unwrap()).unwrap();
    assert!(!all.contains(&secret) && !all.contains(&token));
}

#[test]
fn new_keys_of_the_token_endpoint_and_of_the_log_are_recorded() {
    let world = World::new(&plain()).unwrap();
    let dir = world.dir.path();
    as_alice(dir, async |home| {
        let (keys, now) = (Arc::clone(&home.keys), home.clock.now());
        let signing =
            SigningKeys::load_or_create(home.items(), keys, "https://bridge.test", now).await.unwrap();
        assert!(!signing.rotate_if_due(now).await.unwrap());
        assert!(signing.rotate_if_due(now.plus(YEAR)).await.unwrap());
        home.rotate_log_keys("test-bridge", HOUR).await.unwrap();
    });
    for (name, object) in
        [("signing_key.rotate", "token-endpoint/signing-key"), ("log_key.rotate", "audit/log-key")]
    {
        let versions = |action: &Value| action["facts"]["version"].clone();
        let told = eventually(|| Some(named(&world, name)).filter(|told| told.len() == 2));
        assert_eq!(told.iter().map(versions).collect::<Vec<_>>(), ["1", "2"]);
        assert!(told.iter().all(|action| action["object"] == object), "{told:?}");
        assert_eq!(detail(&world, &told[1]["id"], DetailKind::Actor).unwrap(), "command:alice(1000)");
    }
}

/// Somebody who can write the store, but not read the key file, gives a key more than it was issued with.
#[test]
fn a_credential_that_another_hand_wrote_opens_nothing_and_is_recorded() {
    let (world, key) = World::with_key(&plain(), |_, _| Ok(())).unwrap();
    assert_eq!(status(&world, &key), 200);
    let id = by_hand(&world, "UPDATE credential SET expires = expires + 1 RETURNING id");
    // Another change tells the bridge; a write by hand does not raise the generation.
    set_secret(world.dir.path(), "any", "thing").unwrap();
    let refused = one(&world, "store.refuse", &format!("credential/{}", id));
    assert_eq!((&refused["outcome"], &refused["code"]), (&json!("failed"), &json!("row-altered")));
    assert_eq!(status(&world, &key), 401);
}

/// What an exchange with this key is answered.
fn status(world: &World, key: &str) -> u16 {
    world.curl("/erp/v1/read", &["-H", &format!("X-API-Key: {key}")]).unwrap().status
}

/// As a command does.
fn revoke(world: &World, id: &str) {
    as_alice(world.dir.path(), async |home| {
        assert!(home.store.revoke(id, home.clock.now()).await.unwrap());
    });
}

/// As any program can that may write the data directory; prints what the statement gives.
fn by_hand(world: &World, sql: &str) -> String {
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
        print((db.execute(sys.argv[2]).fetchone() or [''])[0]); db.commit()";
    let store = world.data_dir().join("store.sqlite");
    let ran = Command::new("python3").args(["-c", script, store.to_str().unwrap(), sql]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

/// A copy of its row from before the revocation does not bring a key back, nor does a copy of the store.
#[test]
fn what_was_revoked_does_not_come_back() {
    let (mut world, key) = World::with_key(&plain(), |_, _| Ok(())).unwrap();
    assert_eq!(status(&world, &key), 200);
    world.stop().unwrap();
    let (store, before) = (world.data_dir().join("store.sqlite"), world.data_dir().join("before"));
    fs::copy(&store, &before).unwrap();
    world.start_again().unwrap();
    let id = by_hand(&world, "SELECT id FROM credential");
    revoke(&world, &id);
    one(&world, "key.revoke", &id);
    world.stop().unwrap();

    let after = fs::read(&store).unwrap();
    fs::copy(&before, &store).unwrap();
    let refused = world.start_again().unwrap_err().to_string();
    assert!(refused.contains("the store was set back"), "{refused}");
    fs::write(&store, after).unwrap();
    let put_back = format!("UPDATE credential SET revoked = NULL WHERE id = '{id}'");
    by_hand(&world, &put_back);
    world.start_again().unwrap();
    assert_eq!(status(&world, &key), 401);
    let told = one(&world, "store.refuse", &format!("credential/{id}"));
    assert_eq!(told["code"], "row-altered");
}

/// Wherever the bridge is killed: a store without what the trail tells was done to it was set back.
#[test]
fn what_the_trail_tells_of_the_store_is_remembered_before_it_is_told() {
    let (world, _) = World::with_key(&plain(), |_, _| Ok(())).unwrap();
    let dir = world.dir.path();
    let id = by_hand(&world, "SELECT id FROM credential");
    let changed = as_alice(dir, async |home| {
        assert!(home.store.revoke(&id, home.clock.now()).await.unwrap());
        home.store.mark().await.unwrap().changes
    });
    let known = as_alice(dir, async |home| {
        let anchor = home.trail_anchor().await.unwrap().unwrap();
        eventually(|| (!named(&world, "key.revoke").is_empty()).then_some(()));
        anchor.remembered().unwrap().unwrap().store.changes
    });
    assert!(known >= changed, "{known} of {changed}");
}

/// A copy of the whole store counts up again, and comes to more changes than were made: it is another one all the same.
#[test]
fn a_store_that_was_set_back_does_not_catch_up() {
    let (mut world, key) = World::with_key(&plain(), |_, _| Ok(())).unwrap();
    world.stop().unwrap();
    let store = world.data_dir().join("store.sqlite");
    let before = fs::read(&store).unwrap();
    world.start_again().unwrap();
    let id = by_hand(&world, "SELECT id FROM credential");
    revoke(&world, &id);
    one(&world, "key.revoke", &id);
    world.stop().unwrap();

    let after = fs::read(&store).unwrap();
    fs::write(&store, before).unwrap();
    for turn in 0..9 {
        set_secret(world.dir.path(), &format!("any-{turn}"), "thing").unwrap();
    }
    let refused = world.start_again().unwrap_err().to_string();
    assert!(refused.contains("the store was set back, and changed since"), "{refused}");
    // What commands did to the right one while no bridge ran is what became of it.
    fs::write(&store, after).unwrap();
    for turn in 0..9 {
        set_secret(world.dir.path(), &format!("any-{turn}"), "thing").unwrap();
    }
    world.start_again().unwrap();
    assert_eq!(status(&world, &key), 401);
}

/// Rows and what the store knows of them, put back together; and another file in the place of the store's.
#[test]
fn a_store_that_is_set_back_or_replaced_beside_a_running_bridge_lets_nothing_in() {
    let (mut world, key) = World::with_key(&plain(), |_, _| Ok(())).unwrap();
    assert_eq!(status(&world, &key), 200);
    let id = by_hand(&world, "SELECT id FROM credential");
    let (store, aside) = (world.data_dir().join("store.sqlite"), world.dir.path().join("aside"));
    let aside_of = |sql: &str| {
        let script = format!(
            "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('ATTACH ? AS aside', [sys.argv[2]]); \
             db.executescript('BEGIN IMMEDIATE;' + ''.join(f'{sql};' for t in sys.argv[3:]) + \
             'UPDATE meta SET generation = generation + 1; COMMIT')"
        );
        let tables = ["credential", "outbox", "ledger", "step"];
        let python =
            Command::new("python3").args(["-c", &script]).args([&store, &aside]).args(tables).output();
        let ran = python.unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    aside_of("CREATE TABLE aside.{t} AS SELECT * FROM main.{t}");
    revoke(&world, &id);
    eventually(|| (status(&world, &key) == 401).then_some(()));
    one(&world, "key.revoke", &id);
    aside_of("DELETE FROM main.{t}; INSERT INTO main.{t} SELECT * FROM aside.{t}");
    let answered = eventually(|| Some(status(&world, &key)).filter(|status| *status != 401));
    assert_eq!(answered, 503, "never as if the key still counted");
    let told = one(&world, "store.refuse", "store");
    assert_eq!(told["code"], "row-altered");
    world.stop().unwrap();
    assert!(world.start_again().unwrap_err().to_string().contains("the store was set back"));

    let (world, key) = World::with_key(&plain(), |_, _| Ok(())).unwrap();
    assert_eq!(status(&world, &key), 200);
    let id = by_hand(&world, "SELECT id FROM credential");
    let (store, copy) = (world.data_dir().join("store.sqlite"), world.data_dir().join("copy"));
    let script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))";
    assert!(Command::new("python3").args(["-c", script]).args([&store, &copy]).status().unwrap().success());
    for beside in ["store.sqlite-wal", "store.sqlite-shm"] {
        fs::remove_file(world.data_dir().join(beside)).unwrap();
    }
    fs::set_permissions(&copy, fs::metadata(&store).unwrap().permissions()).unwrap();
    fs::rename(&copy, &store).unwrap();
    revoke(&world, &id);
    eventually(|| (status(&world, &key) == 503).then_some(()));
    one(&world, "store.refuse", "store");
}

/// Nothing that is revoked arrives from a store that was damaged where it lies, so it is not gone on with for long.
#[test]
fn a_store_that_is_damaged_beside_a_running_bridge_lets_nothing_in() {
    for (file, emptied) in [
        ("store.sqlite", false),
        ("store.sqlite", true),
        ("store.sqlite-wal", false),
        ("store.sqlite-wal", true),
    ] {
        let (world, key) = World::with_key(&plain(), |_, _| Ok(())).unwrap();
        assert_eq!(status(&world, &key), 200);
        if file == "store.sqlite" {
            by_hand(&world, "PRAGMA wal_checkpoint(PASSIVE)");
        }
        let path = world.data_dir().join(file);
        // Something has to lie there.
        let length = eventually(|| Some(fs::metadata(&path).unwrap().len()).filter(|length| *length > 0));
        let id = by_hand(&world, "SELECT id FROM credential");
        let zeros = vec![0; if emptied { 0 } else { usize::try_from(length).unwrap() }];
        fs::write(&path, zeros).unwrap();
        // Where SQLite needs nothing of what was there, it arrives.
        let revoked = world::in_home(world.dir.path(), async |home| {
            Ok(home.store.revoke(&id, home.clock.now()).await.unwrap_or(false))
        });
        let begun = std::time::Instant::now();
        let fell = loop {
            match status(&world, &key) {
                200 => assert!(begun.elapsed() < Duration::from_secs(60), "{file} goes on"),
                other => break other,
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        // Only what was confirmed arrives.
        assert!(fell == 503 || (fell == 401 && matches!(revoked, Ok(true))), "{file}: {fell} {revoked:?}");
    }
}

/// What is planted in the schema would have the file itself take back what a command has just said is done.
#[test]
fn a_schema_that_would_undo_a_revocation_or_an_erasure_is_not_gone_on_with() {
    let (mut world, key) = World::with_key(&plain(), |_, _| Ok(())).unwrap();
    assert_eq!(status(&world, &key), 200);
    let id = by_hand(&world, "SELECT id FROM credential");
    by_hand(
        &world,
        "CREATE TRIGGER undo AFTER UPDATE ON credential BEGIN UPDATE credential SET revoked = NULL; END",
    );
    let opened = ironbridge_engine::Home::open(&world.data_dir(), ironbridge_store::Actor::new("command:x"));
    let error = opened.err().unwrap().to_string();
    assert!(error.contains("trigger `undo` of `credential` was put there"), "{error}");
    eventually(|| (status(&world, &key) == 503).then_some(()));
    assert_eq!(one(&world, "store.refuse", "store")["code"], "row-altered");
    by_hand(&world, "DROP TRIGGER undo");
    eventually(|| (status(&world, &key) == 200).then_some(()));
    revoke(&world, &id);
    eventually(|| (status(&world, &key) == 401).then_some(()));
    by_hand(&world, "CREATE VIEW v AS SELECT 1");
    eventually(|| (status(&world, &key) == 503).then_some(()));
    world.stop().unwrap();
    let refused = world.start_again().unwrap_err().to_string();
    assert!(refused.contains("view `v` was put there"), "{refused}");
}

/// Nor is one refused without being counted, and a flood of them does not fill the log.
#[test]
fn a_flood_of_refused_token_requests_is_a_few_records() {
    let declared =
        Declared { bridge: "public_url: https://bridge.test", credentials: "oauth_client: {}", ..plain() };
    let mut world = World::new(&declared).unwrap();
    let mut raw = world.raw().unwrap();
    let form = "grant_type=client_credentials&client_id=nobody&client_secret=x";
    for _ in 0..80 {
        raw.send(format!(
            "POST /oauth/token HTTP/1.1\r\nHost: bridge.test\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        ));
    }
    assert!(raw.replies(80).iter().all(|reply| [401, 429].contains(&reply.status)));
    // What is refused before it is a token request, too.
    let big = "x".repeat(20_000);
    assert_eq!(world.curl("/oauth/token", &["-d", &big]).unwrap().status, 413);
    assert_eq!(world.curl("/oauth/jwks", &["-X", "DELETE"]).unwrap().status, 405);
    world.stop().unwrap();
    let refused = named(&world, "token.issue");
    let count = |record: &Value| record["count"].as_u64().unwrap_or(1);
    assert_eq!(refused.iter().map(count).sum::<u64>(), 80);
    assert!(
        refused.len() < 80 && refused.iter().all(|record| record["code"] == "invalid_client"),
        "{refused:?}"
    );
    let records = world.records().unwrap();
    for code in ["body-too-large", "method-refused"] {
        assert!(records.iter().any(|record| record["code"] == code), "{code}");
    }
}
