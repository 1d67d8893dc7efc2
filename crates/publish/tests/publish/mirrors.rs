//! Copies: in a directory, and in an S3 store.

use crate::stage::{
    ORIGIN, caught_up, client, complains, contradicts, drop_before, only, publish, record, recorded, runtime,
    settings, trail, until, verified,
};
use crate::store::{SECRET, Store};
use ironbridge_audit::{Log, LogFile};
use ironbridge_core::Sensitive;
use ironbridge_publish::{Bucket, Mirror, Settings, Snapshot, Target};
use ironbridge_testkit::{Authority, FakeTarget, Reply};
use std::path::Path;
use std::time::Duration;

fn to(target: Target) -> Settings {
    let mirror = Mirror { name: "copy".into(), target, interval: Duration::from_millis(10) };
    Settings { mirrors: vec![mirror], ..settings() }
}

fn to_directory(path: &Path) -> Settings {
    to(Target::Directory(path.to_path_buf()))
}

#[test]
fn a_copy_follows_and_verifies_at_every_checkpoint() {
    let (source, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let trail = trail(source.path());
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), to_directory(copy.path()));
    let mut size = 0;
    let mut shown = Vec::new();
    for count in [1, 300, 5, 206, 600, 1, 1] {
        record(&trail, "grow", count);
        size += count;
        shown.push(size);
        caught_up(&publisher, size);
        let found = verified(copy.path());
        assert_eq!((found.size, found.origin.as_str()), (size, ORIGIN));
        // Whoever fetched an earlier checkpoint of the copy finds its tiles, as plain files.
        for file in shown.iter().flat_map(|size| LogFile::partial(*size)) {
            assert!(copy.path().join("log").join(file.path()).exists(), "{} at {size}", file.path());
        }
    }
    assert!(!copy.path().join("detail").exists() && !copy.path().join("journal").exists());
    until("the status is written", || {
        Snapshot::read(source.path())
            .unwrap()
            .is_some_and(|snapshot| snapshot.destinations == publisher.status())
    });
}

#[test]
fn a_copy_verifies_at_any_moment() {
    let (source, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let trail = trail(source.path());
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), to_directory(copy.path()));
    let mut sizes = std::collections::BTreeSet::new();
    until("the copy was seen at several sizes", || {
        record(&trail, "grow", 67);
        if Log::open(copy.path()).is_ok() {
            sizes.insert(verified(copy.path()).size);
        }
        sizes.len() > 3
    });
    caught_up(&publisher, trail.status().size);
}

#[test]
fn a_new_publisher_goes_on_and_a_missing_mount_is_named() {
    let (source, above) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copy = above.path().join("mount");
    let trail = trail(source.path());
    record(&trail, "before", 700);
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), to_directory(&copy));
    complains(&publisher, "is it mounted?");
    let lag = only(&publisher);
    assert_eq!((lag.position, lag.of), (0, 700));
    assert!(lag.behind_since.is_some());
    std::fs::create_dir(&copy).unwrap();
    caught_up(&publisher, 700);
    runtime.block_on(publisher.stop());

    record(&trail, "after", 100);
    // Whatever is full is not written again.
    let bundle = copy.join("log/tile/entries/000");
    let before = std::fs::metadata(&bundle).unwrap().modified().unwrap();
    let publisher = publish(source.path(), to_directory(&copy));
    caught_up(&publisher, 800);
    assert_eq!(std::fs::metadata(&bundle).unwrap().modified().unwrap(), before);
    assert_eq!(verified(&copy).size, 800);
}

#[test]
fn rollbacks_forks_and_other_logs_are_named_and_never_overwritten() {
    let (source, other, copy) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    recorded(source.path(), 300);
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), to_directory(copy.path()));
    caught_up(&publisher, 300);
    runtime.block_on(publisher.stop());
    let head = || std::fs::read(copy.path().join("log/checkpoint")).unwrap();
    let before = head();

    // The same name and key, but fewer records, as after a restored backup.
    recorded(other.path(), 200);
    let publisher = publish(other.path(), to_directory(copy.path()));
    contradicts(
        &publisher,
        "the mirror has seen a longer log: this one was rolled back, from 300 records to 200",
    );
    // And then as many and more, but others.
    record(&trail(other.path()), "another history", 150);
    contradicts(&publisher, "the mirror holds a fork: its first 300 records are not those of this log");
    runtime.block_on(publisher.stop());
    assert_eq!(head(), before);

    let foreign = String::from_utf8(before.clone()).unwrap().replace("bridge-1\n", "bridge-2\n");
    std::fs::write(copy.path().join("log/checkpoint"), "cut short").unwrap();
    let publisher = publish(source.path(), to_directory(copy.path()));
    // What stands before a mirror may answer in its place, and what was cut short is no other log.
    for malformed in ["<html>Sign in</html>", ""] {
        std::fs::write(copy.path().join("log/checkpoint"), malformed).unwrap();
        complains(&publisher, "what the mirror has as its checkpoint is left as it is");
    }
    std::fs::write(copy.path().join("log/checkpoint"), &foreign).unwrap();
    contradicts(&publisher, "the mirror holds another log, which is left as it is");
    assert_eq!(head(), foreign.as_bytes());
    std::fs::write(copy.path().join("log/checkpoint"), &before).unwrap();
    caught_up(&publisher, 300);
}

#[test]
fn an_emptied_copy_is_filled_again() {
    let (source, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let trail = trail(source.path());
    record(&trail, "before", 600);
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), to_directory(copy.path()));
    caught_up(&publisher, 600);
    std::fs::remove_dir_all(copy.path().join("log")).unwrap();
    record(&trail, "after", 1);
    caught_up(&publisher, 601);
    until("the copy is whole", || Log::open(copy.path()).is_ok());
    assert_eq!(verified(copy.path()).size, 601);
}

/// Nothing new is copied, and still a damaged file shows; a missing one comes back.
#[test]
fn a_copy_that_was_changed_since_is_named() {
    let (source, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let trail = trail(source.path());
    record(&trail, "before", 600);
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), to_directory(copy.path()));
    caught_up(&publisher, 600);
    for path in ["log/tile/entries/001", "log/tile/0/000"] {
        let file = copy.path().join(path);
        let whole = std::fs::read(&file).unwrap();
        let mut changed = whole.clone();
        changed[700] ^= 1;
        std::fs::write(&file, &changed).unwrap();
        contradicts(&publisher, &format!("{path} in the mirror is not what was copied there"));
        assert_eq!(std::fs::read(&file).unwrap(), changed, "evidence is left");
        // Meanwhile the copy goes on.
        let size = trail.status().size;
        record(&trail, "meanwhile", 1);
        until("the copy goes on", || only(&publisher).position == size + 1);
        assert!(only(&publisher).last_error.is_some());
        std::fs::remove_file(&file).unwrap();
        until("it was copied again", || std::fs::read(&file).is_ok_and(|bytes| bytes == whole));
        caught_up(&publisher, size + 1);
        std::fs::remove_file(&file).unwrap();
        until("it was copied again", || std::fs::read(&file).is_ok_and(|bytes| bytes == whole));
    }
    verified(copy.path());
}

#[test]
fn what_retention_dropped_before_is_not_in_a_copy_and_what_it_drops_later_stays_there() {
    let (source, early, late) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let trail = trail(source.path());
    record(&trail, "old", 1000);
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), to_directory(early.path()));
    caught_up(&publisher, 1000);
    assert_eq!(drop_before(&trail, 600), 512);
    record(&trail, "new", 99);
    caught_up(&publisher, 1100);
    runtime.block_on(publisher.stop());
    let publisher = publish(source.path(), to_directory(late.path()));
    caught_up(&publisher, 1100);
    assert_eq!((verified(early.path()).kept.records, verified(late.path()).kept.records), (0, 512));
    assert_eq!(Log::open(early.path()).unwrap().follow(0).next().unwrap().unwrap().index, 0);
    assert_eq!(Log::open(late.path()).unwrap().follow(0).next().unwrap().unwrap().index, 512);
}

fn bucket(url: String, authority: &Authority, secret: &str) -> Bucket {
    Bucket {
        url,
        bucket: "audit".into(),
        prefix: "bridge 1/".into(),
        region: "eu-central-1".into(),
        access_key_id: "AKIAEXAMPLE".into(),
        secret_access_key: Sensitive::new(secret.as_bytes()),
        client: client(authority),
    }
}

#[test]
fn an_s3_store_takes_the_copy_and_gives_it_back() {
    let authority = Authority::new("stores").unwrap();
    let mut store = Store::start(&authority).unwrap();
    store.create_bucket("audit").unwrap();
    let (source, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let trail = trail(source.path());
    record(&trail, "before", 600);
    let runtime = runtime();
    let _entered = runtime.enter();

    let forged = publish(source.path(), to(Target::S3(bucket(store.url(), &authority, "another secret"))));
    complains(&forged, "it answered 403: SignatureDoesNotMatch");
    runtime.block_on(forged.stop());

    let publisher = publish(source.path(), to(Target::S3(bucket(store.url(), &authority, SECRET))));
    caught_up(&publisher, 600);
    record(&trail, "after", 50);
    caught_up(&publisher, 650);

    store.stop();
    record(&trail, "while the store is down", 50);
    until("the outage shows", || only(&publisher).last_error.is_some() && only(&publisher).of == 700);
    assert_eq!(only(&publisher).position, 650);
    store.start_again().unwrap();
    caught_up(&publisher, 700);
    record(&trail, "and once more", 1);
    caught_up(&publisher, 701);

    store.download("audit", "bridge 1/", copy.path()).unwrap();
    assert_eq!(verified(copy.path()).size, 701);
    for file in [600, 650, 700].into_iter().flat_map(LogFile::partial) {
        assert!(copy.path().join("log").join(file.path()).exists(), "{}", file.path());
    }
}

#[test]
fn a_store_that_answers_otherwise_is_not_believed() {
    let authority = Authority::new("stores").unwrap();
    let store = FakeTarget::start(&authority).unwrap();
    let source = tempfile::tempdir().unwrap();
    recorded(source.path(), 3);
    let runtime = runtime();
    let _entered = runtime.enter();
    let missing = |code: &str| {
        Reply::Raw(404, Vec::new(), format!("<Error><Code>{code}</Code></Error>").into_bytes().into())
    };
    store.otherwise(missing("NoSuchBucket"));
    let publisher = publish(source.path(), to(Target::S3(bucket(store.url(), &authority, SECRET))));
    complains(&publisher, "it answered 404: NoSuchBucket");
    store.otherwise(missing("NoSuchKey"));
    complains(&publisher, "it answered 404: NoSuchKey");
    assert!(store.seen().iter().all(|seen| !seen.path.ends_with("/log/checkpoint") || seen.method == "GET"));
    // An answer that is not S3's is no absent object.
    store.otherwise(Reply::Raw(404, Vec::new(), "gone fishing".into()));
    complains(&publisher, "it answered 404");
    store.otherwise(Reply::Raw(503, vec![("retry-after", "1".into())], "<Code>SlowDown</Code>".into()));
    complains(&publisher, "it answered 503: SlowDown");
}
