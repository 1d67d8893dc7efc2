//! The audit trail beyond one bridge: read over HTTPS, copied, and witnessed by another bridge.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_audit::receipt::{Disclosed, Receipt};
use ironbridge_audit::{Checkpoint, Log, LogFile};
use ironbridge_publish::{Lag, Snapshot};
use ironbridge_seal::note::{self, NoteSigner, NoteVerifier, SignatureKind};
use ironbridge_testkit::{CurlReply, repository};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use world::{Declared, World, eventually, in_home};

/// A running bridge of this name, and a key to call it with.
struct Named {
    name: &'static str,
    world: World,
    key: String,
}

impl Named {
    /// `audit` is what its manifest says about the audit trail.
    fn start(name: &'static str, audit: &str) -> Named {
        let operations = "read: { match: \"GET /read/{number}\", permission: orders.read }";
        let declared = Declared { operations, ..Declared::default() };
        // From the first record on: a log's origin is for ever.
        let names = |text: String| text.replace("name: test-bridge\n", &section(name, audit));
        let (world, key) = World::with_key(&declared, |dir, _| {
            let path = dir.join("ironbridge.yaml");
            let text = fs::read_to_string(&path)?;
            Ok(fs::write(path, names(text))?)
        })
        .unwrap();
        Named { name, world, key }
    }

    /// From the next reload on, its manifest says this about the audit trail.
    fn publish(&self, audit: &str) {
        let changed = section(self.name, audit);
        self.world
            .edit(|text| {
                let (before, rest) = text.split_once("name: ").unwrap();
                let (_, after) = rest.split_once("data_dir").unwrap();
                format!("{before}{changed}  data_dir{after}")
            })
            .unwrap();
        self.world.reload().unwrap();
    }

    /// So many exchanges, on one connection.
    fn exchanges(&self, count: usize) {
        let path = format!("/erp/v1/read/[1-{count}]");
        let reply = self.world.curl(&path, &["-H", &format!("X-API-Key: {}", self.key)]).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    fn audit_dir(&self) -> PathBuf {
        self.world.data_dir().join("audit")
    }

    /// The signed head once it covers every record.
    fn settled(&self) -> Checkpoint {
        eventually(|| {
            let log = self.world.log().unwrap();
            let last = log.tail(1).unwrap().pop()?;
            log.checkpoint(None).ok().filter(|head| head.size == last.index + 1)
        })
    }

    /// The keys that sign, newest first.
    fn log_keys(&self) -> Vec<NoteVerifier> {
        let keys = in_home(self.world.dir.path(), async |home| Ok(home.log_keys(self.name).await?)).unwrap();
        keys.keys().iter().map(|key| NoteVerifier::parse(&key.verifier).unwrap()).collect()
    }

    fn witness_keys(&self) -> Vec<NoteVerifier> {
        let signers =
            in_home(self.world.dir.path(), async |home| Ok(home.witness_signers(self.name).await?)).unwrap();
        signers.iter().map(|signer: &NoteSigner| signer.verifier().unwrap()).collect()
    }

    /// Where its destinations stand, as another process learns it.
    fn destinations(&self) -> Vec<Lag> {
        Snapshot::read(&self.audit_dir()).unwrap().map(|snapshot| snapshot.destinations).unwrap_or_default()
    }

    fn get(&self, path: &str, more: &[&str]) -> CurlReply {
        self.world.curl(path, &[&["--path-as-is", "-g"], more].concat()).unwrap()
    }
}

fn section(name: &str, audit: &str) -> String {
    format!("name: {name}\n  audit: {{ {audit} }}\n")
}

fn python() -> PathBuf {
    let python = repository().join(".peers/venv/bin/python");
    assert!(python.exists(), "{} is missing; run ./dev peers", python.display());
    python
}

/// Verifies a copy of a log with the script that shares no code with the bridge.
fn verified_by_script(log: &Path, key: &NoteVerifier) -> String {
    let script = repository().join("tests/peers/verify_log.py");
    let ran = Command::new(python()).arg(script).arg(log).arg(key.verifier_key()).output().unwrap();
    let errors = String::from_utf8(ran.stderr).unwrap();
    assert!(ran.status.success(), "{errors}");
    String::from_utf8(ran.stdout).unwrap()
}

/// What `one` says so that `other` vouches for it, and it for `other`. A witness signs with two keys.
fn mutual(one: &Named, other: &Named) -> String {
    let ca = format!("{}-ca.pem", other.name);
    fs::copy(other.world.ca(), one.world.dir.path().join(&ca)).unwrap();
    let url = other.world.url("/witness");
    let asked = other.witness_keys().into_iter().enumerate().map(|(number, key)| {
        format!("w{number}: {{ url: \"{url}\", key: \"{}\", ca: ./{ca} }}", key.verifier_key())
    });
    let asked = asked.collect::<Vec<_>>().join(", ");
    let log = other.log_keys()[0].verifier_key().to_owned();
    format!("witness: {{ logs: {{ {}: \"{log}\" }} }}, witnesses: {{ {asked} }}", other.name)
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() { copy_all(&path, &to) } else { fs::copy(&path, &to).map(drop).unwrap() }
    }
}

#[test]
fn two_bridges_vouch_for_each_other_and_one_that_was_set_back_is_named() {
    let mut first = Named::start("first", "");
    let second = Named::start("second", "");
    for bridge in [&first, &second] {
        bridge.exchanges(1);
        bridge.settled();
    }
    let (ours, theirs) = (mutual(&first, &second), mutual(&second, &first));
    first.publish(&ours);
    second.publish(&theirs);
    for (log, witness) in [(&first, &second), (&second, &first)] {
        let (log_keys, witness_keys) = (log.log_keys(), witness.witness_keys());
        let both = [log_keys.clone(), witness_keys.clone()].concat();
        let head = eventually_slow(|| {
            let head = log.world.log().unwrap().witnessed_checkpoint(&both).unwrap()?;
            (head
                .signatures
                .iter()
                .filter(|signature| signature.name == format!("{}/witness", witness.name))
                .count()
                == 2)
                .then_some(head)
        });
        // A receipt of the first record carries them, and is worth nothing to who trusts another witness.
        let receipt =
            Receipt::make(&log.world.log().unwrap(), 0, &log_keys, Disclosed::default()).unwrap().to_string();
        let receipt = Receipt::parse(&receipt).unwrap();
        let checked = receipt.check(&log_keys, &witness_keys, 1).unwrap();
        assert_eq!((&*checked.origin, checked.size), (log.name, head.checkpoint.size));
        let kinds: Vec<SignatureKind> = witness_keys.iter().map(NoteVerifier::kind).collect();
        assert_eq!(kinds, [SignatureKind::Ed25519Cosignature, SignatureKind::MlDsa44Cosignature]);
        assert_eq!(checked.cosignatures.len(), 2);
        receipt.check(&log_keys, &log.witness_keys(), 1).unwrap_err();
    }

    // A backup of the first bridge; then it goes on, and the second sees how far it came.
    first.world.stop().unwrap();
    let backup = tempfile::tempdir().unwrap();
    copy_all(&first.world.data_dir(), backup.path());
    first.world.start_again().unwrap();
    first.exchanges(30);
    first.world.stop().unwrap();
    let grown = first.world.log().unwrap().checkpoint(None).unwrap().size;
    first.world.start_again().unwrap();
    eventually_slow(|| first.destinations().iter().all(|lag| lag.position >= grown).then_some(()));
    first.world.stop().unwrap();
    let before = fs::read_to_string(first.audit_dir().join("log/witnessed")).unwrap();

    fs::remove_dir_all(first.world.data_dir()).unwrap();
    copy_all(backup.path(), &first.world.data_dir());
    let restored = fs::read_to_string(first.audit_dir().join("log/witnessed")).unwrap();
    assert_ne!(restored, before);
    first.world.start_again().unwrap();
    let errors: Vec<String> = eventually_slow(|| {
        let errors: Vec<String> = first.destinations().into_iter().filter_map(|lag| lag.last_error).collect();
        (errors.len() == 2).then_some(errors)
    });
    assert!(errors.iter().all(|error| error.contains("was rolled back: the witness cosigned")), "{errors:?}");
    // The log itself verifies, which is why it takes a witness; and the honest bridge stays vouched for.
    first.world.log().unwrap().verify(Some(&first.log_keys()[0]), &mut |_, _| {}).unwrap();
    assert_eq!(fs::read_to_string(first.audit_dir().join("log/witnessed")).unwrap(), restored);
    // More records do not hide it: the second bridge saw others in their place.
    first.exchanges(40);
    let errors = eventually_slow(|| {
        let errors: Vec<String> = first.destinations().into_iter().filter_map(|lag| lag.last_error).collect();
        (errors.len() == 2 && errors.iter().all(|error| error.contains("forked"))).then_some(errors)
    });
    assert_eq!(errors.len(), 2);
}

/// As [`eventually`], where the bridge itself waits: ten seconds after a cosignature, longer after failures.
fn eventually_slow<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("it does not happen")
}

#[test]
fn anyone_can_fetch_the_log_and_verify_it_without_us() {
    let bridge = Named::start("first", "serve: {}");
    bridge.exchanges(600);
    let head = bridge.settled();
    assert!(head.size > 600);
    let key = bridge.log_keys().remove(0);
    let copy = tempfile::tempdir().unwrap();
    let mut files: Vec<LogFile> = LogFile::full(0, head.size).chain(LogFile::partial(head.size)).collect();
    files.extend([LogFile::Checkpoint, LogFile::Key]);
    for file in files {
        let path = file.path();
        let reply = bridge.get(&format!("/log/{path}"), &[]);
        assert_eq!(reply.status, 200, "{path}");
        let cached = reply.header("cache-control").unwrap();
        let moving = matches!(file, LogFile::Checkpoint | LogFile::Key);
        assert_eq!(cached.contains("immutable"), !moving, "{path}: {cached}");
        let to = copy.path().join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, reply.body).unwrap();
    }
    let told = verified_by_script(copy.path(), &key);
    assert!(told.contains(&format!("first: {} entries verified", head.size)), "{told}");

    // Reading the log leaves no record in it, or every reader would make it grow.
    assert_eq!(bridge.settled(), head);

    // One path has one form, however it is spelled (RFC 3986 §6.2.2).
    assert_eq!(bridge.get("/log/%63heckpoint", &[]).status, 200);
    // Nothing else is there, whatever it is called.
    for path in [
        "",
        "tile",
        "tile/",
        "lock",
        "detail",
        "publish.json",
        "/checkpoint",
        "checkpoint/",
        "Checkpoint",
        "checkpoint%00",
        "checkpoint.p/1",
        "../keys",
        "%2e%2e/keys",
        "..%2fkeys",
        "../../keys",
        "tile/../checkpoint",
        "tile/0/../../checkpoint",
        "tile/0/..%2f..%2f..%2fkeys",
        "./checkpoint",
        "tile/0/x000/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x00/000",
        "tile/0/999",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/007",
        "tile/0/000.p/+7",
        "tile/0/000.p/-1",
        "tile/8/000",
        "tile/63/000",
        "tile/-1/000",
        "tile/00/000",
        "tile/entries/999",
        "tile/entries/000.p/300",
        "tile/0/99999999999999999999",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/x999/999",
        "tile/0/000.p/99999999999999999999",
        "tile/99999999999999999999/000",
    ] {
        let reply = bridge.get(&format!("/log/{path}"), &[]);
        assert!((400..500).contains(&reply.status), "{path}: {}", reply.status);
    }
    assert_eq!(bridge.get("/log/tile/0/999", &[]).status, 404);
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let reply = bridge.get("/log/checkpoint", &["-X", method]);
        assert_eq!(reply.status, 405, "{method}");
        assert_eq!(reply.header("allow"), Some("GET, HEAD"), "{method}");
    }
    let body = format!("@{}", copy.path().join("tile/entries/000").display());
    assert!(bridge.get("/log/checkpoint", &["-X", "GET", "--data-binary", &body]).status >= 400);
}

/// A reader who is slower than the log grows finds what belongs to the checkpoint it has.
#[test]
fn a_live_log_is_followed_from_far_away() {
    let bridge = Named::start("first", "serve: {}");
    bridge.exchanges(1);
    bridge.settled();
    let script = repository().join("tests/peers/follow_log.py");
    let mut reader = Command::new(python())
        .args([&script, Path::new(&bridge.world.url("/log")), &bridge.world.ca()])
        .args(["0.3", "200"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Some hundred records a second, in bursts, for as long as it reads.
    let mut ended = None;
    while ended.is_none() {
        bridge.exchanges(30);
        std::thread::sleep(Duration::from_millis(30));
        ended = reader.try_wait().unwrap();
    }
    let output = reader.wait_with_output().unwrap();
    assert!(ended.unwrap().success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// The origin should be the log's URL without its scheme (c2sp.org/tlog-tiles), so a bridge's name may be one.
#[test]
fn a_log_may_be_named_by_its_url() {
    let bridge = Named::start("bridge.example:8443/log", "serve: {}");
    bridge.exchanges(3);
    let head = bridge.settled();
    assert_eq!(head.origin, "bridge.example:8443/log");
    let served = bridge.get("/log/checkpoint", &[]).text();
    assert_eq!(served.lines().next(), Some("bridge.example:8443/log"));
    let dir = bridge.audit_dir().join("log");
    assert!(verified_by_script(&dir, &bridge.log_keys()[0]).contains(&format!("{} entries", head.size)));
    // In fields it is one token (RFC 9110 §7.6.3), and the bridge still knows itself.
    let seen = bridge.world.target.seen_on("GET /read/1");
    assert!(seen[0].header("via").is_some_and(|via| via.ends_with(" bridge.example-8443-log")));
    let key = format!("X-API-Key: {}", bridge.key);
    let around = bridge.get("/erp/v1/read/1", &["-H", &key, "-H", "Via: 1.1 bridge.example-8443-log"]);
    assert_eq!(around.json().unwrap()["code"], "loop-detected");
    assert_eq!(bridge.witness_keys()[0].name(), "bridge.example:8443/log/witness");
}

#[test]
fn a_log_can_be_served_without_its_records() {
    let bridge = Named::start("first", "serve: { entries: false, path: /public/log }");
    bridge.exchanges(260);
    let head = bridge.settled();
    for (path, status) in [
        ("checkpoint", 200),
        ("key", 200),
        ("tile/0/000", 200),
        ("tile/1/000.p/1", 200),
        ("tile/entries/000", 404),
        ("tile/entries/001.p/1", 404),
        ("witnessed", 404),
    ] {
        assert_eq!(bridge.get(&format!("/public/log/{path}"), &[]).status, status, "{path}");
    }
    assert_eq!(bridge.get("/log/checkpoint", &[]).status, 404);
    let served = bridge.get("/public/log/checkpoint", &[]).text();
    let (text, _) = note::verify(&served, &bridge.log_keys()).unwrap();
    assert_eq!(Checkpoint::parse(text).unwrap(), head);
    // A reload takes the service away.
    bridge.publish("");
    assert_eq!(bridge.get("/public/log/checkpoint", &[]).status, 404);
}

#[test]
fn a_mirror_follows_through_a_change_of_the_logs_keys() {
    let copy = tempfile::tempdir().unwrap();
    let bridge = Named::start(
        "first",
        &format!("serve: {{}}, mirrors: {{ copy: {{ directory: {} }} }}", copy.path().display()),
    );
    bridge.exchanges(300);
    let old = bridge.log_keys();
    let caught_up = || {
        let head = bridge.settled();
        let arrived =
            || bridge.destinations().iter().all(|lag| lag.position == head.size && lag.last_error.is_none());
        eventually(|| arrived().then_some(()));
        head
    };
    let head = caught_up();
    assert!(
        verified_by_script(&copy.path().join("log"), &old[0]).contains(&format!("{} entries", head.size))
    );

    in_home(bridge.world.dir.path(), async |home| {
        Ok(home.rotate_log_keys("first", Duration::from_secs(86_400)).await?)
    })
    .unwrap();
    let all = bridge.log_keys();
    assert_eq!((old.len(), all.len()), (2, 4));
    // Old and new keys sign, each for whoever knows only it.
    let served = eventually(|| {
        let served = bridge.get("/log/checkpoint", &[]).text();
        all.iter().all(|key| note::verify(&served, std::slice::from_ref(key)).is_ok()).then_some(served)
    });
    assert_eq!(note::verify(&served, &all).unwrap().1.len(), 4);
    bridge.exchanges(10);
    let head = caught_up();
    for key in &all {
        // The copy as a whole, to whoever has any of the keys.
        let log = Log::open(copy.path()).unwrap();
        assert_eq!(log.verify(Some(key), &mut |_, _| {}).unwrap().size, head.size);
    }
    let published = NoteVerifier::parse_lines(&bridge.get("/log/key", &[]).text()).unwrap();
    assert!(all.iter().all(|key| published.iter().any(|known| known.verifier_key() == key.verifier_key())));
    assert_eq!(fs::read(copy.path().join("log/key")).unwrap(), bridge.get("/log/key", &[]).body);
    assert!(!copy.path().join("detail").exists());
}
