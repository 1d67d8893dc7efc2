//! The log, verified by what shares no code with it: `docs/audit-verify.md` word for word in a shell, a script that
//! was written from the specifications, and another implementation of ML-DSA.

use crate::exchanges::{ORIGIN, START, clock, closed, copy_all, open, options, record, signer};
use crate::receipt::{receipt, witness as cosigner};
use ironbridge_audit::{Checkpoint, Limits, Log, Options, Signers, Trail};
use ironbridge_core::action::{Action, name};
use ironbridge_core::{ExchangeId, Timestamp};
use ironbridge_seal::note::{self, NoteSigner, NoteVerifier, SignatureKind};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn signers() -> Signers {
    let kind = SignatureKind::MlDsa44Cosignature;
    let post_quantum = NoteSigner::from_seed_kind(kind, ORIGIN, &[6; 32]).unwrap();
    Signers::new(ORIGIN, vec![signer(), post_quantum], Vec::new()).unwrap()
}

/// What somebody has who verifies a log: the log, its key, an earlier checkpoint, a receipt, and the script.
fn auditor(count: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let audit = dir.path().join("audit");
    closed(&audit, count / 2);
    fs::copy(audit.join("log/checkpoint"), dir.path().join("earlier")).unwrap();
    // By then the log has an ML-DSA-44 key too.
    let trail = Trail::open(Options { signers: signers(), ..options(&audit) }, clock()).unwrap();
    record(&trail, count / 2..count);
    trail.close().unwrap();
    fs::write(dir.path().join("key"), signers().key_file()).unwrap();
    fs::write(dir.path().join("receipt.tlog-proof"), receipt(&audit, count / 3)).unwrap();
    fs::copy(repository().join("tests/peers/verify_log.py"), dir.path().join("verify_log.py")).unwrap();
    dir
}

fn run(command: &mut Command, input: &str) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap_or_else(|error| panic!("{name}: {error}; run ./dev peers first"));
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if status.success() { Ok(text(stdout)) } else { Err(text(stderr)) }
}

/// The blocks of the page, one after another in one shell, up to the heading.
fn by_hand(dir: &Path, up_to: &str) -> Result<String, String> {
    let page = fs::read_to_string(repository().join("docs/audit-verify.md")).unwrap();
    let (page, _) = page.split_once(up_to).unwrap();
    let blocks = page.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    run(Command::new("bash").arg("-s").current_dir(dir), &blocks.collect::<String>())
}

fn python(script: &str) -> Command {
    let python = repository().join(".peers/venv/bin/python");
    assert!(python.exists(), "{} is missing; run ./dev peers first", python.display());
    let mut command = Command::new(python);
    command.arg(repository().join("tests/peers").join(script));
    command
}

fn by_script(dir: &Path) -> Result<String, String> {
    let keys = fs::read_to_string(dir.join("key")).unwrap();
    run(python("verify_log.py").arg(dir.join("audit/log")).args(keys.lines()), "")
}

fn receipt_by_script(dir: &Path, keys: &[String]) -> Result<String, String> {
    let file = dir.join("receipt.tlog-proof");
    run(python("verify_log.py").arg("--receipt").arg(file).args(keys), "")
}

#[test]
fn every_command_of_the_page_works() {
    let dir = auditor(260);
    let told = by_hand(dir.path(), "## Personal detail").unwrap();
    for line in [
        "example.com/bridge-1 signed 260 records",
        "all 260 records are what was signed",
        "the first 130 records are the ones you saw",
        "entry 86 of example.com/bridge-1:",
        "example.com/bridge-1: 260 entries verified, root ",
        "address: 0.0.0.0",
    ] {
        assert!(told.contains(line), "{line} is not in:\n{told}");
    }
}

#[test]
fn the_page_finds_what_was_falsified() {
    type Falsify = fn(&Path);
    let cases: [(&str, &str, Falsify); 6] = [
        ("the signature of audit/log/checkpoint", "### 3", |dir| {
            replace(dir, "audit/log/checkpoint", "\n12\n", "\n11\n")
        }),
        ("the key's id", "### 2", |dir| replace(dir, "key", "/bridge-1+", "/bridge-2+")),
        ("a record in tile/entries/000.p/12, or its hash", "### 4", |dir| {
            replace(dir, "audit/log/tile/entries/000.p/12", "\"success\"", "\"partial\"");
        }),
        ("the log was rolled back: it had 12 records, and has 6", "### 5", |dir| {
            let now = fs::read(dir.join("audit/log/checkpoint")).unwrap();
            fs::remove_dir_all(dir.join("audit")).unwrap();
            closed(&dir.join("audit"), 6);
            fs::write(dir.join("earlier"), now).unwrap();
        }),
        ("the log forked: its first 6 records were others", "### 5", |dir| {
            fs::remove_dir_all(dir.join("audit")).unwrap();
            let trail = open(&dir.join("audit"));
            record(&trail, 50..62);
            trail.close().unwrap();
        }),
        ("the record is not entry 5 of example.com/bridge-1", "## With", |dir| {
            replace(dir, "receipt.tlog-proof", "index 4", "index 5");
        }),
    ];
    for (found, up_to, falsify) in cases {
        let dir = auditor(12);
        falsify(dir.path());
        let error = by_hand(dir.path(), up_to).expect_err(found);
        assert!(error.contains(found), "{found}, but:\n{error}");
    }
}

/// Whatever stands where a number should: the page's shell says so, and runs none of it.
#[test]
fn the_page_runs_nothing_that_stands_in_a_receipt_or_a_checkpoint() {
    let hostile = [
        "a[$(touch${IFS}PWNED)0]",
        "a[`touch${IFS}PWNED`]",
        "x=a[$(touch${IFS}PWNED)]",
        "PATH",
        "4;touch${IFS}PWNED",
        "$(touch${IFS}PWNED)",
        "-4",
        "04",
        "0x4",
        "16#4",
        "4+0",
        "",
        "99999999999999999999",
    ];
    for text in hostile {
        let dir = auditor(12);
        replace(dir.path(), "receipt.tlog-proof", "index 4", &format!("index {text}"));
        let error = by_hand(dir.path(), "## With").expect_err(text);
        assert!(error.contains("the receipt's index is no number"), "{text}, but:\n{error}");
        assert!(!dir.path().join("PWNED").exists(), "{text}");

        // Signed by whoever holds the log's key.
        for (file, up_to) in
            [("audit/log/checkpoint", "### 3"), ("earlier", "### 5"), ("audit/log/checkpoint", "### 5")]
        {
            let dir = auditor(12);
            let root = ironbridge_seal::hash::base64(&[7; 32]);
            let signed = note::sign(&format!("{ORIGIN}\n{text}\n{root}\n"), &[signer()], 0).unwrap();
            fs::write(dir.path().join(file), signed).unwrap();
            let error = by_hand(dir.path(), up_to).expect_err(text);
            // An empty line ends what is signed.
            let told = if text.is_empty() { "the signature of" } else { "is no number" };
            assert!(error.contains(told), "{text}, but:\n{error}");
            assert!(!dir.path().join("PWNED").exists(), "{text}");
        }
    }
}

fn replace(dir: &Path, file: &str, from: &str, to: &str) {
    let path = dir.join(file);
    let bytes = fs::read(&path).unwrap();
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    let changed = [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat();
    fs::write(path, changed).unwrap();
}

#[test]
fn the_script_verifies_logs_of_every_shape_and_version() {
    for count in [1, 2, 255, 256, 257, 600] {
        let dir = auditor(count);
        let root =
            ironbridge_seal::hash::base64(&Log::open(dir.path().join("audit")).unwrap().root(count).unwrap());
        let told = by_script(dir.path()).unwrap();
        assert_eq!(told.trim(), format!("{ORIGIN}: {count} entries verified, root {root}"));
        let keys = [signer().verifier_key()];
        assert!(receipt_by_script(dir.path(), &keys).unwrap().contains("address: 0.0.0.0"));
    }
    for version in ["v1", "v2"] {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version);
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("audit")).unwrap();
        copy_all(&fixture, &dir.path().join("audit"));
        fs::copy(fixture.join("log/key"), dir.path().join("key")).unwrap();
        assert!(by_script(dir.path()).unwrap().contains("300 entries verified"), "{version}");
    }
}

#[test]
fn the_script_finds_every_flipped_bit_and_missing_file() {
    let dir = auditor(300);
    let log = dir.path().join("audit/log");
    let files = [
        ("checkpoint", 10),
        ("tile/entries/000", 70_000),
        ("tile/entries/001.p/44", 2_000),
        ("tile/0/000", 8_000),
        ("tile/0/001.p/44", 3),
        ("tile/1/000.p/1", 31),
    ];
    for (file, at) in files {
        let path = log.join(file);
        let original = fs::read(&path).unwrap();
        let mut altered = original.clone();
        altered[at] ^= 1;
        fs::write(&path, &altered).unwrap();
        by_script(dir.path()).expect_err(file);
        fs::remove_file(&path).unwrap();
        let error = by_script(dir.path()).expect_err(file);
        assert!(error.contains(&format!("{file}: the file is missing")), "{error}");
        fs::write(&path, &original).unwrap();
    }
    let detail = dir.path().join("audit/detail/0000000000000000.wal");
    let original = fs::read(&detail).unwrap();
    let mut altered = original.clone();
    altered[88 + 56 + 2 + 4 + 20] ^= 1;
    fs::write(&detail, &altered).unwrap();
    assert!(by_script(dir.path()).unwrap_err().contains("a checksum does not fit"));
    fs::write(&detail, &original[..88]).unwrap();
    assert!(by_script(dir.path()).unwrap_err().contains("not what it commits to"));
    fs::write(&detail, &original).unwrap();
    by_script(dir.path()).unwrap();
    let other = NoteSigner::from_seed(ORIGIN, &[8; 32]).unwrap().verifier_key();
    fs::write(dir.path().join("key"), other).unwrap();
    assert!(by_script(dir.path()).unwrap_err().contains("no given key of the log signed it"));
}

#[test]
fn the_script_knows_what_retention_may_drop() {
    let dir = auditor(600);
    let audit = dir.path().join("audit");
    let trail = Trail::open(Options { signers: signers(), ..options(&audit) }, clock()).unwrap();
    let at = |seconds| Some(Timestamp::from_seconds(START + seconds));
    let id = ExchangeId::from_u128(1);
    let action = Action::done(id, Timestamp::from_seconds(START + 600), name::RETENTION, "");
    let limits = Limits { detail: at(280), records: at(280) };
    assert_eq!(trail.retain(limits, action).unwrap().unwrap().records, 256);
    trail.close().unwrap();
    assert!(!audit.join("log/tile/entries/000").exists());
    assert!(by_script(dir.path()).unwrap().contains("601 entries verified"));
    replace(dir.path(), "audit/log/kept", ":256", ":512");
    let error = by_script(dir.path()).unwrap_err();
    assert!(error.contains("no record says that records below 512 were dropped"), "{error}");
    fs::remove_file(audit.join("log/kept")).unwrap();
    assert!(by_script(dir.path()).unwrap_err().contains("tile/entries/000: the file is missing"));
}

#[test]
fn the_script_knows_ed25519_witnesses() {
    let dir = auditor(4);
    let log = Log::open(dir.path().join("audit")).unwrap();
    let note = log.signed_checkpoint(&[]).unwrap().note;
    let text = note::unverified_text(&note).unwrap();
    let witness = NoteSigner::generate_kind(SignatureKind::Ed25519Cosignature, "w.example/1").unwrap();
    let lines = witness.line(text, 77).unwrap() + &cosigner("w.example/2").line(text, 77).unwrap();
    log.keep_witnessed(&note::add(&note, &lines).unwrap()).unwrap();
    fs::write(dir.path().join("receipt.tlog-proof"), receipt(&dir.path().join("audit"), 1)).unwrap();
    let keys = [signer().verifier_key(), witness.verifier_key(), cosigner("w.example/2").verifier_key()];
    let told = receipt_by_script(dir.path(), &keys).unwrap();
    assert!(told.contains("signed by example.com/bridge-1, w.example/1\n"), "{told}");
}

#[test]
fn ml_dsa_cosignatures_are_those_of_another_implementation() {
    let text = Checkpoint { origin: ORIGIN.into(), size: 1234, root: [7; 32] }.text();
    let ours = NoteSigner::generate_kind(SignatureKind::MlDsa44Cosignature, "w.example/ours").unwrap();
    let note = note::sign(&text, [&ours], 4711).unwrap();
    let told = run(python("cosignature.py").args(["verify", &ours.verifier_key()]), &note).unwrap();
    assert_eq!(told.trim(), "4711");
    run(python("cosignature.py").args(["verify", &ours.verifier_key()]), &note.replace("1234", "1235"))
        .unwrap_err();

    let made = run(python("cosignature.py").args(["make", "w.example/theirs"]), &text).unwrap();
    let (key, line) = made.split_once('\n').unwrap();
    let theirs = NoteVerifier::parse(key).unwrap();
    let note = note::add(&note, line).unwrap();
    let (_, signatures) = note::verify(&note, &[theirs, ours.verifier().unwrap()]).unwrap();
    assert_eq!(
        signatures.iter().map(|signature| signature.time).collect::<Vec<_>>(),
        [Some(4711), Some(1_767_225_600)]
    );
}
