//! `ironbridge audit`, on trails that the tests write themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod stage;

use ironbridge_audit::{Options, Trail};
use ironbridge_core::{
    Account, Clock, Credential, CredentialKind, Ending, Exchange, ExchangeId, Flow, Integration, Operation,
    OwnerKey, Peer, PermissionTable, Principal, Record, Recorder, SystemClock, SystemFacts, code,
};
use ironbridge_seal::note::NoteSigner;
use serde_json::{Value, json};
use stage::Stage;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const ORIGIN: &str = "test-bridge";

fn signer() -> NoteSigner {
    NoteSigner::from_seed(ORIGIN, &[7; 32]).unwrap()
}

/// A closed trail, where the manifest that `init` wrote has its own.
fn stage(records: u64) -> Stage {
    let stage = Stage::new();
    write(&stage.path("data/audit"), 0..records);
    stage
}

/// Records exchanges, about ten in a second up to now; every fifth is refused.
fn write(dir: &Path, numbers: std::ops::Range<u64>) {
    let clock = Arc::new(SystemClock::default());
    let callers = Arc::new(OwnerKey::new([1; 16], [2; 32]));
    let options = Options::new(dir, ORIGIN, signer().try_into().unwrap(), callers);
    let trail = Trail::open(options, Arc::clone(&clock) as _).unwrap();
    let flow = flow("orders", "");
    let treatment = flow_for_treatment();
    for number in numbers {
        let flow = if number % 7 == 3 { &treatment } else { &flow };
        let exchange = exchange(number, flow, clock.now());
        let ending = match number % 5 {
            4 => Ending::Denied(&code::RATE_LIMITED),
            _ => Ending::Delivered { status: 200 },
        };
        let duration = Duration::from_micros(250);
        trail.append(Record { exchange: &exchange, ending, duration, amends: false }).unwrap();
    }
    trail.close().unwrap();
}

fn flow_for_treatment() -> Arc<Flow> {
    flow("care", "treatment")
}

fn flow(name: &str, disclosure: &'static str) -> Arc<Flow> {
    let permission = PermissionTable::default().intern("orders.read");
    let integration = Integration {
        name: name.into(),
        transport: "http",
        source: SystemFacts { name: "shop".into(), country: "DE".into() },
        target: SystemFacts { name: "erp".into(), country: "FR".into() },
        purpose: "Fulfil orders".into(),
        legal_basis: "contract".into(),
        subjects: vec!["customers".into()],
        categories: vec!["contact".into()],
        disclosure,
        durable: true,
    };
    let operation = Operation { name: "list".into(), permission, permission_name: "orders.read".into() };
    Arc::new(Flow::new(Arc::new(integration), Some(operation), 1))
}

fn exchange(number: u64, flow: &Arc<Flow>, now: ironbridge_core::Timestamp) -> Exchange {
    let id = ExchangeId::from_u128(u128::from(number));
    let mut exchange = Exchange::new(id, now, Duration::ZERO, Arc::clone(flow), Peer::default());
    let account = Account {
        name: "shop".into(),
        system: "shop".into(),
        permissions: Default::default(),
        addresses: Vec::new(),
        owner: None,
    };
    let id = "=cmd|' /C calc'!A0\x1b[31m".into();
    let credential = Credential { kind: CredentialKind::Token, id, expires: None };
    exchange.principal = Some(Principal::verified(Arc::new(account), Arc::new(credential), None));
    exchange.facts.method = "GET".into();
    exchange.bytes_out = 10 + number;
    exchange
}

fn id(number: u64) -> String {
    ExchangeId::from_u128(u128::from(number)).to_string()
}

/// The trail's records in its JSON lines.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn one_exchange_is_shown_by_id_and_by_index() {
    let stage = stage(300);
    let page = stage.good(&["audit", "show", &id(41)]).out;
    for part in
        ["record 41", "orders.list", "shop (DE)", "Fulfil orders", "contact", "checkpoint of 300 records"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains('\x1b') && page.contains("␛[31m"), "{page}");
    assert_eq!(stage.good(&["audit", "show", "41"]).out, page);
    let shown = stage.good(&["audit", "show", "41", "--format", "json"]).json();
    assert_eq!(
        (&shown["records"][0]["index"], &shown["records"][0]["record"]["id"]),
        (&json!(41), &json!(id(41)))
    );

    for unknown in [&id(999), "300"] {
        assert!(stage.bad(&["audit", "show", unknown]).err.contains("help"), "{unknown}");
    }
    let wrong = stage.run(&["audit", "show", "yesterday"]);
    assert_eq!(wrong.code, 2, "{}", wrong.err);
}

#[test]
fn records_are_exported_in_every_form() {
    let stage = stage(300);
    let leaves = stage.good(&["audit", "query", "--format", "json"]).out;
    assert_eq!(stage.good(&["audit", "export", "--as", "json"]).out, leaves);

    let events = lines(&stage.good(&["audit", "export", "--as", "ocsf", "--outcome", "denied"]).out);
    assert_eq!(events.len(), 60);
    assert!(events.iter().all(|event| event["class_uid"] == 6003 && event["status_id"] == 2));

    let cef = stage.good(&["audit", "export", "--as", "cef", "--id", &id(4)]).out;
    assert!(cef.starts_with("CEF:0|Ironbridge|") && cef.contains("|exchange.rate-limited|"), "{cef}");
    assert!(cef.contains("suid=\\=cmd") && !cef.contains('\x1b'), "{cef}");

    let csv = stage.good(&["audit", "export", "--as", "csv"]).out;
    let rows: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!((rows.len(), rows[301]), (302, ""));
    assert!(rows[0].starts_with("index,id,time,") && rows[1].contains("\"'=cmd"), "{}", rows[1]);

    let file = stage.path("out.csv");
    let path = file.to_str().unwrap();
    let written = stage.good(&["audit", "export", "--as", "csv", "-o", path]);
    assert!(written.out.is_empty() && written.err.contains("300 records"), "{}", written.err);
    assert_eq!(fs::read_to_string(&file).unwrap(), csv);
    let again = stage.bad(&["audit", "export", "--as", "csv", "-o", path]);
    assert!(again.err.contains("name a new file"), "{}", again.err);
    assert_eq!(stage.run(&["audit", "export", "--as", "xml"]).code, 2);
}

#[test]
fn disclosures_are_accounted_for() {
    let stage = stage(70);
    // Every fifth is refused, every seventh is for treatment, and one of 35 is both.
    let told = lines(&stage.good(&["audit", "disclosures", "--format", "json"]).out);
    assert_eq!(told.len(), 48);
    assert_eq!((&told[0]["recipient"], &told[0]["purpose"]), (&json!("shop"), &json!("Fulfil orders")));
    assert!(told.iter().all(|told| told["integration"] == "orders"));
    let all = lines(&stage.good(&["audit", "disclosures", "--all", "--format", "json"]).out);
    assert_eq!(all.len(), 56);

    let series = stage.good(&["audit", "disclosures", "--series", "--all"]).out;
    assert_eq!(series.lines().count(), 2, "{series}");
    assert!(series.contains("48 times until") && series.contains("to shop (DE): contact"), "{series}");
    assert!(series.contains("declared as treatment; 8 times"), "{series}");
    let csv = stage.good(&["audit", "disclosures", "--series", "--format", "csv"]).out;
    assert!(csv.starts_with("date,recipient,") && csv.contains(",48,"), "{csv}");
    let none = stage.good(&["audit", "disclosures", "--until", "2020-01-01"]);
    assert!(none.out.is_empty() && none.err.contains("No disclosure"), "{}", none.err);
}

#[test]
fn a_verification_goes_on_where_it_stood() {
    let stage = stage(600);
    let key = signer().verifier_key();
    let verify = ["audit", "verify", "--key", &key, "--resume", "place"];
    assert!(!stage.good(&verify).err.contains("Going on"));
    write(&stage.path("data/audit"), 600..1100);
    let again = stage.good(&verify);
    assert!(again.err.contains("Going on at record 512"), "{}", again.err);
    assert!(again.out.contains("1100 records"), "{}", again.out);

    // What lies before the place is not read again; what comes after is.
    flip(&stage.path("data/audit/log/tile/entries/004.p/76"), 9);
    let tampered = stage.bad(&verify);
    assert!(tampered.err.contains("entry 1024"), "{}", tampered.err);

    let shorter = Stage::new();
    write(&shorter.path("data/audit"), 0..300);
    fs::copy(stage.path("place"), shorter.path("place")).unwrap();
    assert!(shorter.bad(&verify).err.contains("rolled back"));
    fs::write(shorter.path("place"), "something else").unwrap();
    assert!(shorter.bad(&verify).err.contains("holds no place"));
}

#[test]
fn a_range_is_verified_alone() {
    let stage = stage(600);
    let key = signer().verifier_key();
    let other = NoteSigner::from_seed(ORIGIN, &[8; 32]).unwrap().verifier_key();
    let range = |from: &str, to: &str| {
        ["audit", "verify", "--key", &other, "--key", &key, "--from", from, "--to", to].map(str::to_owned)
    };
    let run = |arguments: [String; 10]| stage.run(&arguments.each_ref().map(String::as_str));
    flip(&stage.path("data/audit/log/tile/entries/001"), 100);
    let good = run(range("0", "256"));
    assert!(good.code == 0 && good.out.contains("Records 0 to 255"), "{}{}", good.out, good.err);
    assert!(run(range("300", "301")).err.contains("entry 256"));
    assert!(run(range("500", "601")).err.contains("there are no records"));
    let report = stage.bad(&["audit", "verify", "--from", "300", "--format", "json"]).json();
    assert_eq!((&report["verified"], &report["fault"]["entry"]), (&json!(false), &json!(256)));
    assert!(stage.bad(&["audit", "verify", "--key", "nonsense"]).err.contains("audit key"));
}
