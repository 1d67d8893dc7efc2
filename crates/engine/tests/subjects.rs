//! Whose data crossed: found by the person's id, never in clear on disk, and erased for good.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_audit::detail::DetailKind;
use ironbridge_audit::receipt::{Disclosed, Receipt};
use ironbridge_audit::{Query, Stored};
use ironbridge_core::OwnerTag;
use ironbridge_engine::{Actor, Home};
use ironbridge_seal::hash;
use ironbridge_testkit::{CurlReply, Reply};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use world::{Declared, World, eventually};

const ADA: &str = "ada.lovelace-4711";
const BEN: &str = "ben-0815-unheard-of";
const EVE: &str = "eve@customers.example";

struct Scene {
    world: World,
    header: String,
}

impl Scene {
    fn new() -> Scene {
        let declared = Declared {
            integration: "data: { subjects: [customers], categories: [orders], retention: 400d, \
                          subject_id: [/customer/id, /items/*/customer, '{customer}'] }",
            operations: "put: { match: POST /orders, permission: orders.write }
                list: { match: GET /orders, permission: orders.read }
                one: { match: \"GET /customers/{customer}\", permission: orders.read }",
            ..Declared::default()
        };
        let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
        world.target.on("POST /orders", Reply::Json(200, json!({ "ok": true })));
        world.target.on("GET /customers/*", Reply::Json(200, json!({ "ok": true })));
        Scene { world, header: format!("X-API-Key: {key}") }
    }

    fn call(&self, path: &str, more: &[&str]) -> CurlReply {
        let header = ["-H", &*self.header, "-H", "Content-Type: application/json"];
        self.world.curl(&format!("/erp/v1{path}"), &[&header, more].concat()).unwrap()
    }

    fn order(&self, customer: &Value) -> CurlReply {
        self.call("/orders", &["-d", &json!({ "customer": { "id": customer } }).to_string()])
    }

    fn good(&self, reply: &CurlReply) -> String {
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.header("x-correlation-id").unwrap().to_owned()
    }

    fn as_auditor<T>(&self, work: impl AsyncFnOnce(&Home) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            work(&Home::open(&self.world.data_dir(), Actor::new("command:auditor")).unwrap()).await
        })
    }

    /// Under which tag records name this person, if anything is kept of it.
    fn tag(&self, id: &str) -> Option<OwnerTag> {
        self.as_auditor(async |home| {
            home.owners().await.unwrap().find_subject(id).await.unwrap().map(|key| key.tag)
        })
    }

    fn found(&self, tag: OwnerTag) -> Vec<Stored> {
        let query = Query { subject: Some(tag), ..Query::default() };
        self.world.log().unwrap().query(query).unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// The ids of the exchanges with this person, found by that person's id alone.
    fn exchanges(&self, id: &str) -> Vec<String> {
        self.tag(id)
            .map(|tag| self.found(tag))
            .unwrap_or_default()
            .into_iter()
            .map(|stored| stored.entry.id)
            .collect()
    }

    /// The people whom a record names, as far as they can still be read.
    fn people(&self, exchange: &str) -> Vec<String> {
        let opened = self.world.opened().unwrap();
        let (_, details) = opened.into_iter().find(|(stored, _)| stored.entry.id == exchange).unwrap();
        details
            .into_iter()
            .filter(|detail| detail.kind == DetailKind::Subject)
            .map(|detail| detail.value)
            .collect()
    }

    fn signed(&self) -> u64 {
        eventually(|| {
            let log = self.world.log().unwrap();
            let size = log.checkpoint(None).ok()?.size;
            (size == log.tail(1).unwrap().pop()?.index + 1).then_some(size)
        })
    }
}

/// Files that hold this text, as it is, in base64 or in hexadecimal.
fn holding(dir: &Path, text: &str) -> Vec<PathBuf> {
    let forms = [text.to_owned(), hash::hex(text.as_bytes()), hash::base64(text.as_bytes())];
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else {
            let bytes = fs::read(&path).unwrap();
            let holds = |form: &String| bytes.windows(form.len()).any(|window| window == form.as_bytes());
            found.extend(forms.iter().any(holds).then_some(path));
        }
    }
    found
}

#[test]
fn a_persons_exchanges_are_found_by_the_id_and_no_file_holds_it() {
    let scene = Scene::new();
    let put = scene.good(&scene.order(&json!(ADA)));
    let items = json!({ "items": [{ "customer": BEN }, { "customer": ADA }, { "customer": 42 }, { "customer": BEN }] });
    scene.world.target.on("GET /orders", Reply::Json(200, items));
    let list = scene.good(&scene.call("/orders", &[]));
    // The path's escapes are undone, once: it is the same person.
    let one = scene.good(&scene.call("/customers/%65ve%40customers.example", &[]));
    let percent = scene.good(&scene.call("/customers/50%25", &[]));
    assert_eq!(scene.people(&percent), ["50%"]);
    let both = scene.good(&scene.order(&json!(EVE)));

    assert_eq!(scene.people(&list), [BEN, ADA, "42"]);
    assert_eq!(scene.exchanges(ADA), [put.clone(), list.clone()]);
    assert_eq!(scene.exchanges(BEN), std::slice::from_ref(&list));
    assert_eq!(scene.exchanges("42"), [list]);
    assert_eq!(scene.exchanges(EVE), [one, both]);
    // To look for somebody leaves nothing behind.
    assert_eq!(scene.exchanges("nobody"), [""; 0]);
    assert_eq!(scene.tag("nobody"), None);
    let record = scene.world.record(&put);
    assert_eq!((&record["subjects"], &record["categories"]), (&json!(["customers"]), &json!(["orders"])));

    scene.signed();
    for person in [ADA, BEN, EVE, "eve%40customers.example"] {
        assert_eq!(holding(&scene.world.data_dir(), person), [""; 0].map(PathBuf::from), "{person}");
    }
    // The search would have found it.
    assert!(!holding(&scene.world.data_dir(), "order-sync").is_empty());
}

#[test]
fn who_is_erased_is_gone_and_no_proof_breaks() {
    let scene = Scene::new();
    let ada = scene.good(&scene.order(&json!(ADA)));
    let ben = scene.good(&scene.order(&json!(BEN)));
    scene.signed();
    let tag = scene.tag(ADA).unwrap();
    let log = scene.world.log().unwrap();
    let index = scene.found(tag)[0].index;
    let keys = log.stored_keys().unwrap();
    let receipt = Receipt::make(&log, index, &keys, Disclosed::default()).unwrap().to_string();

    let erased =
        scene.as_auditor(async |home| home.owners().await.unwrap().erase_subject(ADA).await.unwrap());
    assert_eq!(erased, Some(tag));
    assert_eq!((scene.people(&ada), scene.people(&ben)), (Vec::<String>::new(), vec![BEN.to_owned()]));
    assert_eq!(scene.tag(ADA), None);

    // The bridge heard of it: the same person is somebody new to it.
    let action = eventually(|| {
        let mut actions = scene.world.actions().unwrap().into_iter();
        actions.find(|action| action["action"] == "subject.erase")
    });
    assert_eq!(action["object"], hash::hex(&tag));
    let again = eventually(|| {
        let again = scene.good(&scene.order(&json!(ADA)));
        scene.tag(ADA).map(|_| again)
    });
    let fresh = scene.tag(ADA).unwrap();
    assert_ne!(fresh, tag);
    assert_eq!((scene.exchanges(ADA), scene.people(&again)), (vec![again.clone()], vec![ADA.to_owned()]));
    assert_eq!(scene.people(&ada), [""; 0]);

    // Neither the log nor what was proved before the erasure needs the key.
    scene.signed();
    assert!(log.verify(Some(&keys[0]), &mut |_, _| {}).is_ok());
    let checked = Receipt::parse(&receipt).unwrap().check(&keys, &[], 0).unwrap();
    assert_eq!((checked.index, &checked.entry.id), (index, &ada));
    let later = Receipt::make(&log, index, &keys, Disclosed::default()).unwrap();
    later.check(&keys, &[], 0).unwrap();
    // A second time there is nothing to erase, and nothing to record.
    let nobody =
        scene.as_auditor(async |home| home.owners().await.unwrap().erase_subject("nobody").await.unwrap());
    assert_eq!(nobody, None);
    assert_eq!(holding(&scene.world.data_dir(), ADA), [""; 0].map(PathBuf::from));
}

#[test]
fn what_could_not_be_recorded_of_people_does_not_cross() {
    let scene = Scene::new();
    let people =
        |count: usize| json!({ "items": (0..count).map(|n| json!({ "customer": n })).collect::<Vec<_>>() });
    let body = |count: usize| people(count).to_string();
    let most = scene.good(&scene.call("/orders", &["-d", &body(1000)]));
    assert_eq!(scene.people(&most).len(), 1000);
    scene.world.target.forget();
    for (body, code) in [
        (body(1001), "subjects-too-many"),
        (json!({ "customer": { "id": "x".repeat(257) } }).to_string(), "subject-id-refused"),
        (json!({ "customer": { "id": 1.5 } }).to_string(), "subject-id-refused"),
        ("{ \"customer\": ".to_owned(), "json-malformed"),
    ] {
        let reply = scene.call("/orders", &["-d", &body]);
        assert!(reply.status >= 400);
        assert_eq!(reply.json().unwrap()["code"], code);
        let record = scene.world.record_of(&reply);
        assert_eq!((&record["outcome"], &record["code"]), (&json!("denied"), &json!(code)));
    }
    assert!(scene.world.target.seen().is_empty());

    // In a reply it is too late to stop the target, but the caller does not get it.
    scene.world.target.on("GET /orders", Reply::Json(200, people(1001)));
    let reply = scene.call("/orders", &[]);
    assert_eq!(reply.json().unwrap()["code"], "subjects-too-many");
    assert!(!reply.text().contains("customer\":"));
}

#[test]
fn without_the_keys_of_people_nothing_about_them_crosses() {
    let scene = Scene::new();
    scene.good(&scene.order(&json!(BEN)));
    scene.world.target.forget();
    // Another process holds the store: known people are at hand, new ones need a key.
    let store = rusqlite::Connection::open(scene.world.data_dir().join("store.sqlite")).unwrap();
    store.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let refused = scene.order(&json!(ADA));
    assert_eq!((refused.status, refused.json().unwrap()["code"].as_str()), (503, Some("audit-unavailable")));
    scene.good(&scene.order(&json!(BEN)));
    assert_eq!(scene.world.target.seen().len(), 1);
    store.execute_batch("ROLLBACK").unwrap();
    let after = eventually(|| Some(scene.order(&json!(ADA))).filter(|reply| reply.status == 200));
    assert_eq!(scene.people(after.header("x-correlation-id").unwrap()), [ADA]);
}

/// A person's key that is taken away together with what the store knows of it is missed: beside a running bridge, and at
/// the next start, though no command has changed anything since.
#[test]
fn a_persons_key_is_not_taken_away_with_what_is_known_of_it() {
    for running in [true, false] {
        let mut scene = Scene::new();
        scene.good(&scene.order(&json!(BEN)));
        let data = scene.world.data_dir();
        let other = rusqlite::Connection::open(data.join("store.sqlite")).unwrap();
        let tables = ["owner", "ledger", "step"];
        let keep = tables.map(|name| format!("CREATE TEMP TABLE t_{name} AS SELECT * FROM {name};"));
        other.execute_batch(&keep.concat()).unwrap();
        scene.good(&scene.order(&json!(ADA)));
        let put_back = || {
            let back =
                tables.map(|name| format!("DELETE FROM {name}; INSERT INTO {name} SELECT * FROM t_{name};"));
            other.execute_batch(&format!("BEGIN IMMEDIATE; {} COMMIT", back.concat())).unwrap();
        };
        if running {
            put_back();
            eventually(|| Some(scene.order(&json!(BEN))).filter(|reply| reply.status == 503));
        }
        scene.world.stop().unwrap();
        if !running {
            put_back();
        }
        let refused = scene.world.start_again().unwrap_err().to_string();
        assert!(refused.contains("the store was set back"), "{refused}");
    }
}
