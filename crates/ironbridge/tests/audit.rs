//! `ironbridge audit`, on trails that the tests write themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod stage;

use ironbridge_audit::{Log, Options, Signers, Trail};
use ironbridge_core::{
    Account, Answered, Credential, CredentialKind, Ending, Exchange, ExchangeId, Flow, IntegrationFacts,
    OperationFacts, OwnerKey, Peer, PermissionTable, Principal, Record, Recorder, Said, Subject, SystemFacts,
    Timestamp, code,
};
use ironbridge_engine::{Actor, Home};
use ironbridge_seal::hash::unhex;
use ironbridge_seal::note::{self, NoteSigner, SignatureKind};
use serde_json::{Value, json};
use stage::Stage;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const ORIGIN: &str = "test-bridge";

fn signer() -> NoteSigner {
    NoteSigner::from_seed(ORIGIN, &[7; 32]).unwrap()
}

/// A closed trail, where the manifest that `init` wrote has its own.
fn stage(records: u64) -> Stage {
    let stage = Stage::new();
    write(&stage, 0..records);
    stage
}

/// The same, signed with the keys of the bridge itself.
fn own_stage(records: u64) -> Stage {
    let stage = Stage::new();
    let home = Home::open(&stage.path("data"), Actor::new("test")).unwrap();
    let keys = runtime().block_on(home.log_keys(ORIGIN)).unwrap();
    write_signed(&home, keys.signers(ORIGIN, home.clock.now()).unwrap(), 0..records);
    stage
}

/// Signed with the same key wherever it is, so that one log can be passed off as another.
fn write(stage: &Stage, numbers: std::ops::Range<u64>) {
    let home = Home::open(&stage.path("data"), Actor::new("test")).unwrap();
    write_signed(&home, signer().try_into().unwrap(), numbers);
}

/// Records exchanges of three days ago, of one account with the data of three people; every fifth is refused.
fn write_signed(home: &Home, signers: Signers, numbers: std::ops::Range<u64>) {
    let clock = Arc::clone(&home.clock);
    let people: Vec<Box<str>> = (0..3).map(|n| format!("customer-{n}").into()).collect();
    let (options, shop, subjects) = runtime().block_on(async {
        let owners = home.owners().await.unwrap();
        let options = home.trail_options(ORIGIN).await.unwrap();
        (options, owners.account("shop").await.unwrap(), owners.subjects(&people).await.unwrap())
    });
    let options = Options { signers, ..options };
    let trail = Trail::open(options, Arc::clone(&clock)).unwrap();
    let began = Timestamp::from_seconds(clock.now().seconds() - 3 * 86_400);
    let (orders, treatment) = (flow("orders", ""), flow("care", "treatment"));
    for number in numbers {
        let flow = if number % 7 == 3 { &treatment } else { &orders };
        let mut exchange = exchange(number, flow, began, &shop);
        let person = usize::try_from(number % 3).unwrap();
        let (id, owner) = (people[person].clone(), Arc::clone(&subjects[person]));
        exchange.subjects = vec![Subject { id, owner }];
        let ending = match number % 5 {
            4 => Ending::Denied(&code::PERMISSION_MISSING),
            _ => Ending::Delivered(Answered { mark: Some(200), said: Said::Done }),
        };
        let duration = Duration::from_micros(250);
        trail.append(Record { exchange: &exchange, ending, duration, amends: false }).unwrap();
    }
    trail.close().unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn flow(name: &str, disclosure: &'static str) -> Arc<Flow> {
    let permission = PermissionTable::default().intern("orders.read");
    let integration = IntegrationFacts {
        name: name.into(),
        transport: Default::default(),
        source: SystemFacts { name: "shop".into(), country: "DE".into() },
        target: SystemFacts { name: "erp".into(), country: "FR".into() },
        purpose: "Fulfil orders".into(),
        legal_basis: "contract".into(),
        subjects: vec!["customers".into()],
        categories: vec!["contact".into()],
        disclosure,
        durable: true,
    };
    let operation = OperationFacts { name: "list".into(), permission, permission_name: "orders.read".into() };
    Arc::new(Flow::new(Arc::new(integration), Some(operation), 1))
}

fn exchange(number: u64, flow: &Arc<Flow>, now: Timestamp, owner: &Arc<OwnerKey>) -> Exchange {
    let id = ExchangeId::from_u128(u128::from(number));
    let mut exchange =
        Exchange::new(id, now, Duration::ZERO, Arc::clone(flow), Peer::at([0, 0, 0, 0].into()));
    let account = Account {
        name: "shop".into(),
        system: "shop".into(),
        permissions: Default::default(),
        addresses: Vec::new(),
        owner: Some(Arc::clone(owner)),
    };
    let id = "=cmd|' /C calc'!A0\x1b[31m".into();
    let credential = Credential { kind: CredentialKind::Token, id, expires: None };
    exchange.principal = Some(Principal::verified(Arc::new(account), Arc::new(credential), None));
    exchange.asked.verb = "GET".into();
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

/// Retention is not what took records where it did not say so.
#[test]
fn no_command_blames_retention_for_a_theft() {
    let stage = stage(600);
    fs::write(stage.path("data/audit/log/kept"), r#"{"records":256,"detail":256}"#).unwrap();
    let entries = stage.path("data/audit/log/tile/entries");
    fs::remove_file(entries.join("000")).unwrap();
    let _ = fs::remove_dir_all(entries.join("000.p"));
    let exchange = id(3);
    let commands: [&[&str]; 6] = [
        &["audit", "show", "3"],
        &["audit", "show", &exchange],
        &["audit", "prove", "3"],
        &["audit", "prove", &exchange],
        &["audit", "verify", "--from", "3", "--to", "5"],
        &["audit", "verify", "--to", "500"],
    ];
    for command in commands {
        let ran = stage.run(command);
        let told = ran.err;
        // What the journal still has is shown, and proven, as it was.
        let shown = command[1] != "verify" && ran.code == 0 && !ran.out.is_empty();
        let named =
            ["announce 0 and 0", "entries/000: the file is missing"].iter().any(|why| told.contains(why));
        assert!(shown || (ran.code == 1 && named), "{command:?}: {} {told}", ran.code);
        assert!(!told.contains("retention may have dropped"), "{command:?}: {told}");
    }
}

#[test]
fn records_are_exported_in_every_form() {
    let stage = stage(300);
    let leaves = stage.good(&["audit", "query", "--format", "json"]).out;
    assert_eq!(stage.good(&["audit", "export", "--as", "json"]).out, leaves);
    let first: Vec<&str> = leaves.lines().take(3).collect();
    let limited = stage.good(&["audit", "export", "--as", "json", "--limit", "3"]).out;
    assert_eq!(limited.lines().collect::<Vec<_>>(), first);

    let events = lines(&stage.good(&["audit", "export", "--as", "ocsf", "--outcome", "denied"]).out);
    assert_eq!(events.len(), 60);
    assert!(events.iter().all(|event| event["class_uid"] == 6003 && event["status_id"] == 2));

    let cef = stage.good(&["audit", "export", "--as", "cef", "--id", &id(4)]).out;
    assert!(cef.starts_with("CEF:0|Ironbridge|") && cef.contains("|exchange.permission-missing|"), "{cef}");
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
    write(&stage, 600..1100);
    let again = stage.good(&verify);
    assert!(again.err.contains("Going on at record 512"), "{}", again.err);
    assert!(again.out.contains("1100 records"), "{}", again.out);

    // What lies before the place is not read again; what comes after is.
    flip(&stage.path("data/audit/log/tile/entries/004.p/76"), 9);
    let tampered = stage.bad(&verify);
    assert!(tampered.err.contains("entry 1024"), "{}", tampered.err);

    let shorter = Stage::new();
    write(&shorter, 0..300);
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
    for (from, to) in [("500", "601"), ("7", "7"), ("9", "7")] {
        let absent = run(range(from, to));
        assert!(absent.code == 1 && absent.err.contains("from 0 to below 600"), "{}", absent.err);
    }
    let report = stage.bad(&["audit", "verify", "--from", "300", "--format", "json"]).json();
    assert_eq!((&report["verified"], &report["fault"]["entry"]), (&json!(false), &json!(256)));
    assert!(stage.bad(&["audit", "verify", "--key", "nonsense"]).err.contains("audit key"));
}

/// Somebody reads the store while a person is erased: it is said, and finished once they let go.
#[test]
fn an_erasure_that_is_held_up_is_said_to_be_pending() {
    let stage = own_stage(3);
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); \
        db.execute('BEGIN'); db.execute('SELECT * FROM owner').fetchall(); print('reading', flush=True); \
        sys.stdin.read()";
    let store = stage.path("data/store.sqlite");
    let keys = || -> Vec<Vec<u8>> {
        let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
            print(*[row[0].hex() for row in db.execute('SELECT sealed FROM owner ORDER BY lookup')])";
        let ran = Command::new("python3").args(["-c", script, store.to_str().unwrap()]).output().unwrap();
        let text = String::from_utf8(ran.stdout).unwrap();
        text.split_whitespace().map(|key| unhex(key).unwrap()).collect()
    };
    let before = keys();
    let mut reader = Command::new("python3")
        .args(["-c", script, store.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(reader.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "reading\n");
    let erased = stage.good(&["subject", "erase", "customer-1", "--yes"]);
    assert!(erased.out.contains("another process is reading the store"), "{}", erased.out);
    // Where it says that the sealed key still is, it is; a reader holds up what would overwrite it.
    assert!(erased.out.contains("is still in store.sqlite,\nor in store.sqlite-wal,"), "{}", erased.out);
    let held = |sealed: &[u8]| {
        let files = ["data/store.sqlite", "data/store.sqlite-wal"]
            .map(|file| fs::read(stage.path(file)).unwrap_or_default());
        files.iter().any(|bytes| bytes.windows(sealed.len()).any(|part| part == sealed))
    };
    let after = keys();
    let sealed = before.into_iter().find(|key| !after.contains(key)).unwrap();
    assert!(held(&sealed));
    assert!(!erased.out.contains("never be read"), "{}", erased.out);
    let status = ["audit", "status", "--format", "json"];
    assert_eq!(stage.good(&status).json()["erasure_pending"], true);
    assert!(stage.good(&["audit", "status"]).out.contains("an erasure is pending"));
    drop(reader.stdin.take());
    reader.wait().unwrap();
    // Whoever opens the store next finishes it.
    assert_eq!(stage.good(&status).json()["erasure_pending"], false);
    assert!(!held(&sealed));
    let erased = stage.good(&["subject", "erase", "customer-2", "--yes", "--format", "json"]).json();
    assert_eq!(erased["pending"], false);
}

#[test]
fn personal_detail_is_opened_until_it_is_erased() {
    let stage = own_stage(300);
    let found = stage.good(&["audit", "query", "--subject", "customer-1", "--details"]).out;
    assert_eq!(found.lines().count(), 100);
    assert!(found.lines().all(|line| line.ends_with("address=0.0.0.0 subject=customer-1")), "{found}");
    let lines = lines(&stage.good(&["audit", "query", "--details", "--limit", "1", "--format", "json"]).out);
    assert_eq!(lines[0]["details"][1], json!({ "kind": "subject", "value": "customer-0" }));
    let traced = stage.good(&["subject", "trace", "customer-1"]);
    assert_eq!(traced.out.lines().count(), 100);
    assert!(traced.err.contains("100 records: care 14, orders 86"), "{}", traced.err);
    let told = stage.good(&["audit", "disclosures", "--subject", "customer-1", "--series"]).out;
    assert_eq!(told.lines().count(), 1, "{told}");
    let csv = stage.good(&["audit", "export", "--as", "csv", "--details", "--id", &id(1)]).out;
    assert!(csv.contains("0.0.0.0,customer-1"), "{csv}");

    let unasked = stage.bad(&["subject", "erase", "customer-1"]);
    assert!(unasked.err.contains("--yes"), "{}", unasked.err);
    let receipt = stage.path("receipt");
    let prove = ["audit", "prove", &id(1), "--disclose", "subject", "-o", receipt.to_str().unwrap()];
    stage.good(&prove);
    let erased = stage.good(&["subject", "erase", "customer-1", "--yes"]);
    assert!(erased.out.contains("100 records"), "{}", erased.out);
    let again = stage.bad(&["subject", "erase", "customer-1", "--yes"]);
    assert!(again.err.contains("nothing is kept"), "{}", again.err);

    let gone = stage.good(&["audit", "query", "--subject", "customer-1"]);
    assert!(gone.out.is_empty() && gone.err.contains("never seen, or erased"), "{}", gone.err);
    let page = stage.good(&["audit", "show", &id(1)]).out;
    assert!(page.contains("address      0.0.0.0") && page.contains("subject      erased"), "{page}");
    let json = stage.good(&["audit", "show", &id(1), "--format", "json"]).json();
    assert_eq!(json["records"][0]["details"][1], json!({ "kind": "subject", "value": null }));
    fs::remove_file(&receipt).unwrap();
    assert!(stage.bad(&prove).err.contains("no subject that can be opened"));
    // Nothing of this shows in the log, and the others can still be read.
    let key = stage.good(&["audit", "key"]).out;
    let verified = stage.good(&["audit", "verify", "--key", &key, "--format", "json"]).json();
    assert_eq!(verified["details"], 300);
    assert_eq!(stage.good(&["subject", "trace", "customer-2"]).out.lines().count(), 100);
    let status = stage.good(&["audit", "status", "--format", "json"]).json();
    assert!(status["actions_waiting"].as_u64().unwrap() >= 1, "{status}");
}

/// Whoever removes a person's key from the store by hand erases nothing: it is a fault.
#[test]
fn only_a_recorded_erasure_reads_as_one() {
    let stage = stage(3);
    let home = Home::open(&stage.path("data"), Actor::new("test")).unwrap();
    let options = runtime().block_on(home.trail_options(ORIGIN)).unwrap();
    let options = Options { signers: signer().try_into().unwrap(), ..options };
    let trail = Trail::open(options, Arc::clone(&home.clock)).unwrap();
    let shop = runtime().block_on(async { home.owners().await.unwrap().account("shop").await.unwrap() });
    let mut exchange = exchange(9, &flow("orders", ""), home.clock.now(), &shop);
    // As if its row had been deleted.
    let owner = Arc::new(OwnerKey::new([9; 16], [9; 32]));
    exchange.subjects = vec![Subject { id: "customer-9".into(), owner }];
    let ending = Ending::Delivered(Answered { mark: Some(200), said: Said::Done });
    trail.append(Record { exchange: &exchange, ending, duration: Duration::ZERO, amends: false }).unwrap();
    trail.close().unwrap();
    drop(trail);

    let said = "subject: its owner's key is missing, and no record says that it was erased";
    let shown = stage.bad(&["audit", "show", &id(9)]);
    assert!(shown.err.contains(said) && !shown.out.contains("erased: its key"), "{}{}", shown.out, shown.err);
    let json = stage.bad(&["audit", "show", &id(9), "--format", "json"]).json();
    assert_eq!(json["records"][0]["faults"].as_array().unwrap().len(), 1, "{json}");
    for command in [&["query", "--details"][..], &["export", "--as", "csv", "--details"]] {
        let refused = stage.bad(&[&["audit"], command].concat());
        assert!(refused.err.contains(said), "{command:?}: {}", refused.err);
    }
    stage.good(&["audit", "show", &id(1)]);
}

#[test]
fn a_copied_trail_is_read_without_keys() {
    let stage = stage(10);
    let trail = stage.path("data/audit");
    let elsewhere = Stage::empty();
    let show = ["audit", "show", "3", "--trail", trail.to_str().unwrap()];
    let page = elsewhere.good(&show).out;
    assert!(page.contains("subject      sealed; --keys"), "{page}");
    let sealed = elsewhere.bad(&["audit", "query", "--details", "--trail", trail.to_str().unwrap()]);
    assert!(sealed.err.contains("--keys DIR"), "{}", sealed.err);
    let keys = stage.path("data");
    let opened = elsewhere.good(&[&show[..], &["--keys", keys.to_str().unwrap()]].concat()).out;
    assert!(opened.contains("subject      customer-0"), "{opened}");
    let wrong = elsewhere.bad(&[&show[..], &["--keys", "nowhere"]].concat());
    assert!(wrong.err.contains("no data directory"), "{}", wrong.err);
}

#[test]
fn a_receipt_proves_a_record_offline() {
    let stage = stage(300);
    let elsewhere = Stage::empty();
    let receipt = elsewhere.path("receipt.tlog-proof");
    let path = receipt.to_str().unwrap();
    let made = stage.good(&["audit", "prove", &id(41), "--disclose", "address,subject", "-o", path]);
    assert!(made.err.contains("record 41"), "{}", made.err);
    let key = signer().verifier_key();
    let check = ["audit", "check-receipt", path, "--key", &key];
    let genuine = elsewhere.good(&check).out;
    assert!(genuine.contains("is genuine") && genuine.contains("subject      customer-2"), "{genuine}");
    let json = elsewhere.good(&[&check[..], &["--format", "json"]].concat()).json();
    assert_eq!((&json["index"], &json["record"]["id"]), (&json!(41), &json!(id(41))));

    let other = NoteSigner::from_seed(ORIGIN, &[8; 32]).unwrap().verifier_key();
    let foreign = elsewhere.bad(&["audit", "check-receipt", path, "--key", &other]);
    assert!(foreign.err.contains("proves nothing"), "{}", foreign.err);
    let text = fs::read_to_string(&receipt).unwrap();
    fs::write(&receipt, text.replace("\nindex 41\n", "\nindex 42\n")).unwrap();
    assert!(elsewhere.bad(&check).err.contains("not entry 42"));
    let report = elsewhere.bad(&[&check[..], &["--format", "json"]].concat()).json();
    assert_eq!(report["genuine"], false);
    fs::write(&receipt, "nothing").unwrap();
    assert!(elsewhere.bad(&check).err.contains("not a receipt"));
    assert_eq!(elsewhere.run(&["audit", "check-receipt", path]).code, 2);
    assert!(stage.bad(&["audit", "prove", &id(999)]).err.contains("no record has the id"));
}

#[test]
fn witnesses_and_older_checkpoints_tell_a_rollback() {
    let stage = stage(300);
    let key = signer().verifier_key();
    let audit = stage.path("data/audit");
    let before = fs::read_to_string(audit.join("log/checkpoint")).unwrap();
    let witness = NoteSigner::from_seed_kind(SignatureKind::Ed25519Cosignature, "auditor", &[9; 32]).unwrap();
    let witness_key = witness.verifier_key();
    let verify = ["audit", "verify", "--key", &key, "--witness-key", &witness_key];
    assert!(stage.bad(&verify).err.contains("none of these witnesses"));

    let text = note::unverified_text(&before).unwrap();
    let cosigned = note::add(&before, &witness.line(text, 1_767_225_600).unwrap()).unwrap();
    Log::open(&audit).unwrap().keep_witnessed(&cosigned).unwrap();
    write(&stage, 300..600);
    let seen = stage.good(&verify).out;
    assert!(seen.contains("auditor has seen its first 300 records, last at 2026-01-01T00:00:00Z"), "{seen}");
    let receipt = stage.path("receipt");
    let path = receipt.to_str().unwrap();
    stage.good(&["audit", "prove", "41", "-o", path]);
    let check = ["audit", "check-receipt", path, "--key", &key, "--witness-key", &witness_key];
    assert!(stage.good(&check).out.contains("witness      auditor"));
    assert!(stage.bad(&[&check[..], &["--quorum", "2"]].concat()).err.contains("1 of the known witnesses"));

    let older = stage.path("older");
    fs::write(&older, &before).unwrap();
    let against = ["audit", "verify", "--key", &key, "--against", older.to_str().unwrap()];
    assert!(stage.good(&against).out.contains("begins with the 300 records"));
    let short = Stage::new();
    write(&short, 0..10);
    assert!(short.bad(&against).err.contains("rolled back"));
    let forked = Stage::new();
    write(&forked, 700..1100);
    assert!(forked.bad(&against).err.contains("forked"));
}

/// What the running bridge last wrote about its mirror says that it is behind since long ago.
#[test]
fn a_mirror_that_is_behind_is_a_finding() {
    let stage = Stage::new();
    let manifest = stage.path("ironbridge.yaml");
    let declared =
        fs::read_to_string(&manifest).unwrap() + "  audit:\n    mirrors: { copy: { directory: . } }\n";
    fs::write(&manifest, declared).unwrap();
    fs::create_dir_all(stage.path("data/audit")).unwrap();
    let write = |since: Option<&str>| {
        let copy = json!({
            "name": "copy", "kind": "mirror", "position": 10, "of": 300, "behind_since": since,
            "last_error": "nothing is mounted there",
        });
        let snapshot = json!({ "time": "2026-01-01T00:00:00.000000Z", "destinations": [copy] });
        fs::write(stage.path("data/audit/publish.json"), snapshot.to_string()).unwrap();
    };
    write(Some("2026-01-01T00:00:00.000000Z"));
    let checked = stage.good(&["check"]);
    let told = "`copy` does not have the last 290 records: nothing is mounted there";
    assert!(checked.out.contains("IB217") && checked.out.contains(told), "{}", checked.out);
    write(None);
    assert!(!stage.good(&["check"]).out.contains("IB217"));
}

#[test]
fn status_and_index() {
    let stage = own_stage(300);
    let status = stage.good(&["audit", "status"]);
    assert!(status.out.contains("300 records written, 300 signed, 0 cosigned"), "{}", status.out);
    assert!(status.err.contains("copied nowhere"), "{}", status.err);
    let json = stage.good(&["audit", "status", "--format", "json"]).json();
    assert_eq!((&json["written"], &json["destinations"]), (&json!(300), &json!([])));
    let trail = stage.path("data/audit");
    let indexed = stage.good(&["audit", "reindex", "--trail", trail.to_str().unwrap()]).out;
    assert!(indexed.contains("of 300 records are indexed"), "{indexed}");
    assert!(Stage::new().bad(&["audit", "status"]).err.contains("there is no audit trail"));
}

/// A slip of the pen must not look like an answer.
#[test]
fn names_that_nobody_knows_are_refused() {
    let stage = stage(30);
    for (arguments, words) in [
        (
            ["--integration", "orderz"],
            "there is no integration `orderz`: neither the manifest nor any record names it",
        ),
        (["--operation", "nope"], "there is no operation `nope`"),
        (["--account", "shap"], "did you mean `shop`?"),
        (["--source", "nope"], "there is no system `nope`"),
        (["--target", "nope"], "there is no system `nope`"),
        (["--permission", "nope"], "there is no permission `nope`"),
        (["--code", "rate-limitet"], "did you mean `rate-limited`?"),
        (["--code", "Delivered"], "did you mean `delivered`?"),
    ] {
        for command in ["query", "export"] {
            let mut all = vec!["audit", command];
            all.extend(arguments);
            if command == "export" {
                all.extend(["--as", "csv"]);
            }
            let refused = stage.bad(&all);
            assert!(refused.err.contains(words) && refused.out.is_empty(), "{all:?}: {}", refused.err);
        }
    }
    let turned = stage.bad(&["audit", "query", "--since", "5m", "--until", "10m"]);
    assert!(
        turned.err.contains("is not after --since") && turned.err.contains("--since 10m"),
        "{}",
        turned.err
    );
    for command in ["query", "export"] {
        let none = stage.run(&["audit", command, "--limit", "0"]);
        assert!(none.code == 2 && none.err.contains("from 1 on"), "{}", none.err);
    }
    // What records name was declared once; what is declared need not have a record.
    for known in [
        ["--integration", "orders"],
        ["--account", "shop"],
        ["--code", "permission-missing"],
        ["--code", "replayed"],
    ] {
        stage.good(&["audit", "query", known[0], known[1]]);
    }
    let trail = stage.path("data/audit");
    let elsewhere = stage.bad(&["audit", "query", "--trail", trail.to_str().unwrap(), "--account", "nobody"]);
    assert!(elsewhere.err.contains("no record names it"), "{}", elsewhere.err);
    let keys = stage.bad(&["key", "list", "shap"]);
    assert!(keys.err.contains("did you mean `shop`?"), "{}", keys.err);
    stage.good(&["key", "list", "shop"]);
}

#[test]
fn keys_are_listed_and_rotated() {
    let stage = Stage::new();
    let first = stage.good(&["audit", "key"]).out;
    assert!(first.lines().all(|key| key.starts_with("test-bridge+")), "{first}");
    let as_json = stage.good(&["audit", "key", "--format", "json"]).json();
    let printed: Vec<&str> =
        as_json.as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap()).collect();
    assert_eq!(printed, first.lines().collect::<Vec<_>>());
    let rotated = stage.good(&["audit", "key", "rotate", "--overlap", "60d"]);
    assert!(rotated.err.contains("before the overlap ends"), "{}", rotated.err);
    let now = stage.good(&["audit", "key"]).out;
    assert!(now.ends_with(&first) && now.lines().count() == 2 * first.lines().count(), "{now}");
    let listed = stage.good(&["audit", "key", "list", "--format", "json"]).json();
    let until = |place: usize| listed[place]["until"].clone();
    assert!(until(0).is_null() && until(first.lines().count()).is_string(), "{listed}");
    assert_eq!(stage.run(&["audit", "key", "rotate", "--overlap", "soon"]).code, 2);
    // After a theft nothing signs along, as the help says.
    let help = stage.good(&["audit", "key", "--help"]).out;
    assert!(help.contains("--overlap 0s"), "{help}");
    let rotated = stage.good(&["audit", "key", "rotate", "--overlap", "0s"]);
    assert!(!rotated.err.contains("before the overlap ends"), "{}", rotated.err);
    assert!(rotated.err.contains("nothing else signs"), "{}", rotated.err);
    assert!(rotated.err.contains("stopped does when it runs again"), "{}", rotated.err);
    let last = stage.good(&["audit", "key"]).out;
    assert_eq!(last.lines().count(), first.lines().count(), "{last}");
    assert!(now.lines().all(|key| !last.contains(key)), "{last}");
}

#[test]
fn retention_drops_what_is_old_and_keeps_every_proof() {
    let stage = own_stage(600);
    let unlimited = stage.bad(&["audit", "retention", "--dry-run"]);
    assert!(unlimited.err.contains("bridge.audit.retention"), "{}", unlimited.err);
    let data_dir = "  data_dir: ./data ";
    let policy = format!("  audit:\n    retention: {{ detail: 1d, records: 2d }}\n{data_dir}");
    stage.edit("ironbridge.yaml", data_dir, &policy);
    let older = fs::read_to_string(stage.path("data/audit/log/checkpoint")).unwrap();

    let would = stage.good(&["audit", "retention", "--dry-run", "--format", "json"]).json();
    assert_eq!(would["records_below"], json!({ "before": 0, "after": 256 }));
    assert_eq!(
        stage.good(&["audit", "show", "3"]).out.lines().next().unwrap().split(' ').next(),
        Some("exchange")
    );
    let went = stage.good(&["audit", "retention"]).out;
    assert!(went.contains("Records below 256 went"), "{went}");

    let gone = stage.bad(&["audit", "show", "3"]);
    assert!(gone.err.contains("retention may have dropped"), "{}", gone.err);
    let done = stage.good(&["audit", "query", "--action", "audit.retention", "--details"]).out;
    assert!(done.contains("audit.retention") && done.contains("actor=command:"), "{done}");
    fs::write(stage.path("older"), older).unwrap();
    let keys = stage.good(&["audit", "key"]).out;
    let verify = ["audit", "verify", "--key", &keys, "--against", "older"];
    let verified = stage.good(&verify).out;
    assert!(
        verified.contains("dropped the records below 256") && verified.contains("600 records"),
        "{verified}"
    );
    let status = stage.good(&["audit", "status"]).out;
    assert!(status.contains("601 records written") && status.contains("records below 256"), "{status}");
}

#[test]
fn an_auditor_vouches_for_copies_of_a_log() {
    let (stage, auditor) = (stage(300), Stage::empty());
    let key = signer().verifier_key();
    let trail = stage.path("data/audit");
    let witness = |trail: &Path, more: &[&str]| {
        let common = [
            "audit",
            "witness",
            "check",
            "--state",
            "state",
            "--name",
            "auditor.example",
            "--key",
            &key,
            "--trail",
        ];
        auditor.run(&[&common[..], &[trail.to_str().unwrap()], more].concat())
    };
    let first = witness(&trail, &["-o", "cosigned"]);
    assert!(
        first.code == 0 && first.err.contains("only grew") && first.err.contains("300 records"),
        "{}",
        first.err
    );
    let witness_keys: Vec<&str> = first.err.lines().skip(1).collect();
    assert!(witness_keys.iter().all(|key| key.starts_with("auditor.example/witness+")), "{}", first.err);

    write(&stage, 300..600);
    let again = witness(&trail, &["--format", "json"]).out;
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!((&again["cosigned"], &again["records"]), (&json!(true), &json!(600)));
    // What it cosigned is what others can use.
    Log::open(&trail).unwrap().keep_witnessed(again["note"].as_str().unwrap()).unwrap();
    let seen = stage.good(&["audit", "verify", "--key", &key, "--witness-key", witness_keys[0]]).out;
    assert!(seen.contains("auditor.example/witness has seen its first 600 records"), "{seen}");

    let (short, forked) = (Stage::new(), Stage::new());
    write(&short, 0..300);
    let rolled_back = witness(&short.path("data/audit"), &[]);
    assert!(rolled_back.code == 1 && rolled_back.err.contains("rolled back"), "{}", rolled_back.err);
    write(&forked, 700..1400);
    let other = witness(&forked.path("data/audit"), &[]);
    assert!(other.code == 1 && other.err.contains("forked"), "{}", other.err);
    let report = witness(&forked.path("data/audit"), &["--format", "json"]).out;
    assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["cosigned"], false);
    let stranger = NoteSigner::from_seed(ORIGIN, &[8; 32]).unwrap().verifier_key();
    let unknown = auditor.run(&[
        "audit",
        "witness",
        "check",
        "--state",
        "state",
        "--name",
        "auditor.example",
        "--key",
        &stranger,
        "--trail",
        trail.to_str().unwrap(),
    ]);
    assert!(unknown.code == 1 && unknown.err.contains("did not sign"), "{}", unknown.err);
    let own = stage.good(&["audit", "key", "--witness"]).out;
    assert!(own.lines().count() == 2 && own.starts_with("test-bridge/witness+"), "{own}");
}

/// Where keys of persons were removed from the store by hand, nobody can say that there is nothing of one.
#[test]
fn what_is_asked_of_a_person_is_never_incomplete_in_silence() {
    let stage = stage(30);
    let asked = |id: &str| -> Vec<Vec<String>> {
        let commands: [&[&str]; 4] = [
            &["subject", "trace", id],
            &["audit", "disclosures", "--subject", id],
            &["audit", "query", "--subject", id],
            &["audit", "export", "--as", "csv", "--subject", id],
        ];
        commands.map(|command| command.iter().map(ToString::to_string).collect()).into()
    };
    for command in asked("never-seen").iter().chain(&asked("customer-1")) {
        stage.good(&command.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
        db.execute(\"DELETE FROM owner WHERE kind = 'subject' AND tag = (SELECT min(tag) FROM owner WHERE kind = 'subject')\"); db.commit()";
    let store = stage.path("data/store.sqlite");
    assert!(
        Command::new("python3").args(["-c", script, store.to_str().unwrap()]).status().unwrap().success()
    );
    let mut found = 0;
    for command in asked("never-seen").iter().chain(&asked("customer-0")).chain(&asked("customer-1")) {
        let told = stage.bad(&command.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(told.err.contains("may be incomplete"), "{command:?}: {}", told.err);
        assert!(!told.err.contains("Nothing can be found"), "{command:?}: {}", told.err);
        found += told.out.lines().count();
    }
    assert!(found > 0, "what is there is shown all the same");
    let erased = stage.bad(&["subject", "erase", "never-seen", "--yes"]);
    assert!(erased.err.contains("may be among them"), "{}", erased.err);
    // Nor is who hides a person while the question waits somebody who erased them.
    let script = r#"
import os, pty, sqlite3, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
said = b""
while True:
    try:
        more = os.read(terminal, 4096)
    except OSError:
        break
    if not more:
        break
    said += more
    if said.rstrip().endswith(b"to go on:"):
        db = sqlite3.connect(sys.argv[1])
        db.execute("DELETE FROM owner WHERE kind = 'subject'")
        db.commit()
        os.write(terminal, b"erase\n")
print(said.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;
    let mut questions = 0;
    for id in ["customer-0", "customer-1"] {
        let command = stage.command(&["subject", "erase", id]);
        let mut asked = Command::new("python3");
        asked.args(["-c", script]).arg(&store).arg(command.get_program()).args(command.get_args());
        asked.current_dir(command.get_current_dir().unwrap_or(Path::new(".")));
        let asked = asked.output().unwrap();
        let told = String::from_utf8_lossy(&asked.stdout).replace("\r\n", " ");
        assert!(!asked.status.success() && told.contains("may be among them"), "{told}");
        questions += usize::from(told.contains("to go on:"));
    }
    assert_eq!(questions, 1);
}

/// Who deletes the trail's key from the store, and what is remembered, does not get a forged journal of an older version
/// signed.
#[test]
fn a_trail_whose_key_was_taken_away_is_not_one_of_an_older_version() {
    let stage = stage(300);
    let data = stage.path("data");
    let home = Home::open(&data, Actor::new("test")).unwrap();
    runtime().block_on(home.trail_begun()).unwrap();
    drop(home);
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
        assert db.execute(\"DELETE FROM sealed_item WHERE name = 'trail-key'\").rowcount == 1; db.commit()";
    let store = data.join("store.sqlite");
    assert!(
        Command::new("python3").args(["-c", script, store.to_str().unwrap()]).status().unwrap().success()
    );
    fs::remove_file(data.join("audit-head")).unwrap();
    let journal = data.join("audit/journal");
    for segment in fs::read_dir(&journal).unwrap() {
        fs::remove_file(segment.unwrap().path()).unwrap();
    }
    let older = Path::new(env!("CARGO_MANIFEST_DIR")).join("../audit/tests/fixtures/v2/journal");
    for segment in fs::read_dir(older).unwrap().map(Result::unwrap) {
        fs::copy(segment.path(), journal.join(segment.file_name())).unwrap();
    }

    for command in [&["run"][..], &["audit", "accept-loss", "--yes"]] {
        let refused = stage.bad(command);
        assert!(refused.err.contains("`audit/trail-key` is not as this bridge left it"), "{}", refused.err);
        assert!(refused.err.contains("restore store.sqlite from a backup"), "{}", refused.err);
    }
    // The records are all there.
    let shown = stage.good(&["audit", "query"]);
    assert_eq!(shown.out.lines().count(), 303, "{}", shown.err);
    assert!(
        shown.err.contains("not authenticated") && shown.err.contains("audit/trail-key"),
        "{}",
        shown.err
    );
}

/// A start and a verification judge alike, and both say what can be done.
#[test]
fn a_verification_tells_of_a_trail_that_does_not_start() {
    let stage = stage(300);
    let home = Home::open(&stage.path("data"), Actor::new("test")).unwrap();
    runtime().block_on(home.trail_begun()).unwrap();
    drop(home);
    let head = stage.path("data/audit-head");
    let whole = fs::read(&head).unwrap();
    let mut altered = whole.clone();
    altered[60] ^= 1;
    fs::write(&head, altered).unwrap();
    let told = stage.bad(&["audit", "verify"]);
    for said in ["one of the two places", "audit accept-loss", "set-aside"] {
        assert!(told.err.contains(said), "{}", told.err);
    }
    let json = stage.bad(&["audit", "verify", "--format", "json"]).json();
    assert_eq!((&json["verified"], &json["fault"]["file"]), (&json!(false), &json!("audit-head")));
    assert!(json["help"].as_str().unwrap().contains("accept-loss"), "{json}");
    fs::write(&head, whole).unwrap();
    // What no start can go on from is told as before.
    let checkpoint = stage.path("data/audit/log/checkpoint");
    let text = fs::read_to_string(&checkpoint).unwrap();
    fs::write(checkpoint, text.replace("\n300\n", "\n301\n")).unwrap();
    let json = stage.bad(&["audit", "verify", "--format", "json"]).json();
    assert_eq!(json["fault"]["kind"], "signature", "{json}");
}

/// What one segment of detail holds keeps nobody from the records, and nobody takes them for whole.
#[test]
fn every_command_tells_of_detail_that_it_could_not_read() {
    let stage = stage(300);
    // The journal, which holds detail too, goes on with the next start.
    write(&stage, 300..303);
    let detail = stage.path("data/audit/detail/0000000000000000.wal");
    let mut bytes = fs::read(&detail).unwrap();
    bytes[5000] ^= 1;
    fs::write(detail, bytes).unwrap();
    let commands: [&[&str]; 5] = [
        &["audit", "query", "--details"],
        &["audit", "tail", "-n", "300"],
        &["audit", "export", "--as", "json", "--details"],
        &["audit", "disclosures", "--all", "--since", "30d"],
        &["subject", "trace", "customer-1"],
    ];
    for command in commands {
        let told = stage.bad(command);
        assert!(told.err.contains("not all of it could be read: detail/"), "{command:?}: {}", told.err);
        let all = command[0] == "audit" && command[1] != "disclosures";
        assert!(!all || told.out.lines().count() >= 300, "{command:?}: {}", told.out.lines().count());
    }
}

/// Whoever watches the exit code is not to take it for good.
#[test]
fn status_fails_for_whatever_is_not_as_it_was_left() {
    let stage = own_stage(300);
    let home = Home::open(&stage.path("data"), Actor::new("test")).unwrap();
    runtime().block_on(home.trail_begun()).unwrap();
    drop(home);
    let newest = |below: &str| {
        let files = fs::read_dir(stage.path(below)).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.is_file()).max().unwrap()
    };
    let tile = newest("data/audit/log/tile/0/001.p");
    let detail = newest("data/audit/detail");
    let [key, checkpoint, head] =
        ["log/key", "log/checkpoint", "../audit-head"].map(|file| stage.path("data/audit").join(file));
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let last = bytes.len() - 40;
        bytes[last] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let empty = |path: &Path| fs::write(path, "").unwrap();
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    type Harm<'a> = &'a dyn Fn(&Path);
    stage.good(&["audit", "status"]);
    for (path, harm) in [
        (&tile, &flip as Harm<'_>),
        (&tile, &remove),
        (&detail, &flip),
        (&key, &flip),
        (&key, &empty),
        (&key, &remove),
        (&checkpoint, &flip),
        (&checkpoint, &empty),
        (&head, &empty),
        (&head, &remove),
    ] {
        let whole = fs::read(path).unwrap();
        harm(path);
        let told = stage.bad(&["audit", "status"]);
        assert!(told.err.contains("error: "), "{}: {}", path.display(), told.err);
        let json = stage.bad(&["audit", "status", "--format", "json"]);
        assert!(
            json.err.contains("error")
                || json.json()["faults"][0].is_object()
                || json.json()["damaged"].is_string()
                || json.json()["not_as_left"].is_object(),
            "{}: {}",
            path.display(),
            json.out
        );
        fs::write(path, whole).unwrap();
        stage.good(&["audit", "status"]);
    }
}

/// Nothing is damaged where a bridge was given another name.
#[test]
fn a_changed_name_is_told_as_one() {
    let stage = own_stage(3);
    stage.edit("ironbridge.yaml", "name: test-bridge", "name: other-bridge");
    let told = stage.bad(&["run"]).err;
    for said in ["called `test-bridge`", "called `other-bridge`", "call it `test-bridge` again"] {
        assert!(told.contains(said), "{told}");
    }
    assert!(!told.contains("damaged"), "{told}");
    let checked = stage.bad(&["check"]);
    let checked = checked.out + &checked.err;
    assert!(checked.contains("IB133") && checked.contains("called `test-bridge`"), "{checked}");
    stage.edit("ironbridge.yaml", "name: other-bridge", "name: test-bridge");
    assert!(!stage.run(&["check"]).out.contains("IB133"));
    // A mixed-up restore.
    let other = own_stage(3);
    fs::copy(other.path("data/keys"), stage.path("data/keys")).unwrap();
    let told = stage.bad(&["key", "list"]).err;
    assert!(told.contains("of one backup"), "{told}");
}
