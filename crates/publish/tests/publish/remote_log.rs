//! A log that is read where it is served, by a server that is slow, wrong, or keeps the records to itself.

use crate::stage::{client, key, recorded};
use ironbridge_audit::{FaultKind, Log, LogFile};
use ironbridge_publish::RemoteLog;
use ironbridge_testkit::{Authority, FakeTarget, Reply};
use std::sync::Arc;

const SIZE: u64 = 700;

struct Stand {
    target: FakeTarget,
    authority: Authority,
    _dir: tempfile::TempDir,
}

/// Serves a log below `/log` as a bridge does.
fn stand() -> Stand {
    let dir = tempfile::tempdir().unwrap();
    let log = recorded(dir.path(), SIZE);
    let authority = Authority::new("served").unwrap();
    let target = FakeTarget::start(&authority).unwrap();
    target.otherwise(Reply::chosen(move |seen| {
        let file = seen.path.strip_prefix("/log/").and_then(LogFile::parse);
        match file.and_then(|file| log.read(file).unwrap()) {
            Some(bytes) => Reply::Raw(200, Vec::new(), bytes.into()),
            None => Reply::Raw(404, Vec::new(), "".into()),
        }
    }));
    Stand { target, authority, _dir: dir }
}

impl Stand {
    fn log(&self) -> Log {
        let served = RemoteLog::new(&format!("{}/log/", self.target.url()), client(&self.authority)).unwrap();
        Log::open_on(Arc::new(served), "").unwrap()
    }

    fn on(&self, file: &str, reply: Reply) {
        self.target.on(&format!("GET /log/{file}"), reply);
    }
}

#[test]
fn it_is_verified_and_each_file_is_fetched_with_one_get() {
    let stand = stand();
    let log = stand.log();
    assert_eq!(log.verify(Some(&key()), &mut |_, _| {}).unwrap().size, SIZE);
    assert_eq!(log.first_kept().unwrap(), 0);
    let seen = stand.target.seen();
    assert!(seen.iter().all(|seen| seen.method == "GET" && seen.path.starts_with("/log/")));
    assert_eq!(seen.iter().filter(|seen| seen.path == "/log/tile/entries/001").count(), 1);
}

#[test]
fn a_server_that_asks_for_patience_gets_it() {
    let stand = stand();
    let log = stand.log();
    let count = std::sync::atomic::AtomicU32::new(0);
    stand.on(
        "checkpoint",
        Reply::chosen(move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Reply::Raw(429, vec![("retry-after", "0".to_owned())], "".into()),
            1 => Reply::Raw(503, vec![("retry-after", "1".to_owned())], "".into()),
            _ => Reply::Raw(500, Vec::new(), "".into()),
        }),
    );
    let fault = log.checkpoint(Some(&key())).unwrap_err();
    assert_eq!((fault.kind, &*fault.detail), (FaultKind::Unreadable, "the server answered 500"));
    assert_eq!(stand.target.seen_on("GET /log/checkpoint").len(), 4);
}

#[test]
fn records_that_are_kept_back_are_missed_but_the_tree_is_enough_to_cosign() {
    let stand = stand();
    for bundle in ["000", "001", "002", "002.p/188"] {
        stand.on(&format!("tile/entries/{bundle}"), Reply::Raw(404, Vec::new(), "".into()));
    }
    let log = stand.log();
    assert_eq!(log.verify(Some(&key()), &mut |_, _| {}).unwrap_err().kind, FaultKind::Missing);
    assert_eq!(log.cosign_request(&[key()], 300).unwrap().checkpoint().size, SIZE);
}

#[test]
fn what_no_log_can_hold_is_not_read_to_its_end() {
    let stand = stand();
    stand.on("tile/entries/000", Reply::Oversize(256 * 65_537 + 1));
    stand.on("tile/0/001", Reply::Oversize(256 * 32 + 1));
    let log = stand.log();
    for file in ["tile/entries/000", "tile/0/001"] {
        let fault = log.read(LogFile::parse(file).unwrap()).unwrap_err();
        assert!(fault.detail.contains("the answer is larger than"), "{fault}");
    }
    stand.on("tile/0/000", Reply::Raw(200, Vec::new(), vec![0; 256 * 32].into()));
    stand.on("tile/entries/000", Reply::Raw(200, Vec::new(), "".into()));
    assert_eq!(log.verify(Some(&key()), &mut |_, _| {}).unwrap_err().kind, FaultKind::Malformed);
}

#[test]
fn nothing_can_be_written() {
    let stand = stand();
    let kept = stand.log().read(LogFile::Checkpoint).unwrap().unwrap();
    let fault = stand.log().keep_witnessed(&String::from_utf8(kept).unwrap()).unwrap_err();
    assert!(fault.detail.contains("a served log can only be read"), "{fault}");
    assert!(stand.target.seen().iter().all(|seen| seen.method == "GET"));
}
