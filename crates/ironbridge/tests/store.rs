//! What commands say where another hand was in the store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod stage;

use ironbridge_audit::Trail;
use ironbridge_core::Recorder;
use ironbridge_engine::{Actor, Home};
use serde_json::Value;
use stage::Stage;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// What another hand put in or took away is not listed, and told.
#[test]
fn lists_say_what_another_hand_did() {
    let stage = Stage::new();
    for name in ["one", "two"] {
        assert_eq!(stage.run_with_input(&["secret", "set", name], b"long-enough-a-value").code, 0);
    }
    let id =
        stage.good(&["key", "issue", "shop", "--format", "json"]).json()["id"].as_str().unwrap().to_owned();
    let store = rusqlite::Connection::open(stage.path("data/store.sqlite")).unwrap();
    store
        .execute_batch(
            "INSERT INTO sealed_item VALUES ('secret', 'planted', 1, x'00', 1);
             DELETE FROM sealed_item WHERE name = 'two';
             CREATE TEMP TABLE c AS SELECT * FROM credential; DELETE FROM credential",
        )
        .unwrap();
    for list in [["secret", "list"], ["key", "list"]] {
        let told = stage.good(&list).err;
        for row in ["item/secret/planted", "item/secret/two", &format!("credential/{id}")] {
            assert!(told.contains(&format!("`{row}`")), "{list:?}: {told}");
        }
    }
    let listed = stage.good(&["secret", "list", "--format", "json"]).json();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["name"]), (1, &"one".into()), "{listed}");
    let revoked = stage.good(&["key", "revoke", &id]);
    assert!(revoked.err.contains("even\nif it is put back"), "{}", revoked.err);
    store.execute_batch("INSERT INTO credential SELECT * FROM c").unwrap();
    assert_eq!(stage.good(&["key", "list", "--format", "json"]).json(), serde_json::json!([]));
}

/// A store that was taken away, or emptied, is not made anew in silence.
#[test]
fn a_store_that_is_gone_is_not_begun_anew() {
    let stage = Stage::new();
    stage.good(&["key", "issue", "shop"]);
    let data = stage.path("data");
    let store = data.join("store.sqlite");
    let whole = fs::read(&store).unwrap();
    let refused = |beside: &str| {
        for command in [
            &["key", "list"][..],
            &["key", "issue", "shop"],
            &["key", "revoke", "x"],
            &["secret", "list"],
            &["secret", "set", "a", "--file", "parties.yaml"],
            &["subject", "trace", "x"],
            &["audit", "key"],
            &["certificate", "ca"],
            &["run"],
        ] {
            let told = stage.bad(command).err;
            let expected = ["has", beside, "but no store", "Bring back `store.sqlite`"];
            assert!(expected.iter().all(|part| told.contains(part)), "{command:?}: {told}");
        }
        assert!(fs::metadata(&store).map_or(0, |store| store.len()) == 0);
    };
    fs::remove_file(&store).unwrap();
    refused("`keys`");
    fs::write(&store, "").unwrap();
    refused("`keys`");
    fs::remove_file(&store).unwrap();
    let keys = data.join("keys");
    fs::rename(&keys, stage.path("aside")).unwrap();
    fs::write(data.join("audit-head"), "x").unwrap();
    refused("`audit-head`");
    fs::write(&store, "").unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o600)).unwrap();
    refused("`audit-head`");
    fs::remove_file(data.join("audit-head")).unwrap();
    fs::create_dir(data.join("audit")).unwrap();
    fs::write(data.join("audit/lock"), "").unwrap();
    refused("`audit`");
    fs::rename(stage.path("aside"), &keys).unwrap();
    fs::write(&store, whole).unwrap();
    assert!(stage.good(&["key", "list"]).out.contains("shop"));
    // One that nobody may look into may hold a trail.
    fs::remove_file(&store).unwrap();
    fs::remove_dir_all(data.join("audit")).unwrap();
    fs::write(data.join("audit"), "").unwrap();
    fs::remove_file(&keys).unwrap();
    assert!(stage.bad(&["key", "issue", "shop"]).err.contains("an audit trail (`audit`)"));
    assert!(!store.exists());
}

/// Wherever it was killed, and whoever else begins at the same moment.
#[test]
fn a_first_use_that_was_killed_goes_on() {
    let killed = |left: &[&str]| {
        let stage = Stage::new();
        stage.good(&["key", "issue", "shop"]);
        fs::rename(stage.path("data/keys"), stage.path("data/keys.new")).unwrap();
        for file in ["keys.new", "store.sqlite"] {
            match left.contains(&file) {
                true => {}
                false if file == "keys.new" => fs::remove_file(stage.path("data/keys.new")).unwrap(),
                false => fs::write(stage.path("data/store.sqlite"), "").unwrap(),
            }
        }
        stage
    };
    for left in [&["keys.new", "store.sqlite"][..], &["keys.new"], &[]] {
        let stage = killed(left);
        stage.good(&["check"]);
        stage.good(&["key", "issue", "shop"]);
        assert!(stage.path("data/keys").exists() && !stage.path("data/keys.new").exists(), "{left:?}");
        assert!(stage.good(&["key", "list"]).out.contains("shop"));
    }
    assert!(killed(&["store.sqlite"]).bad(&["key", "list"]).err.contains("no key file"));
    for _ in 0..4 {
        let stage = Stage::new();
        let set = |name: &str| {
            let mut command = stage.command(&["secret", "set", name]);
            let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(b"long-enough-a-value").unwrap();
            child
        };
        let children = ["a", "b", "c", "d", "e", "f"].map(set);
        for child in children {
            let ended = child.wait_with_output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
        assert_eq!(stage.good(&["secret", "list", "--format", "json"]).json().as_array().unwrap().len(), 6);
    }
}

/// Whoever makes a value may take minutes: the store goes on without the command until it is there.
#[test]
fn no_store_is_held_open_while_a_value_is_awaited() {
    let stage = Stage::new();
    stage.good(&["key", "issue", "shop"]);
    let mut command = stage.command(&["secret", "set", "erp-token"]);
    let mut command = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = command.stdin.take().unwrap();
    // More than a pipe holds: it is written once the command reads.
    input.write_all(&[b'x'; (64 << 10) + 1]).unwrap();
    assert!(!stage.path("data/store.sqlite-wal").exists(), "as long as anybody has the store open");
    drop(input);
    let ended = command.wait_with_output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success() && told.contains("longer than"), "{told}");
}

/// As a bridge does that runs for a moment: it begins the trail, and remembers how far the store came.
fn runs(stage: &Stage) {
    let home = Home::open(&stage.path("data"), Actor::new("bridge")).unwrap();
    runtime().block_on(async {
        let options = home.trail_options("test-bridge").await.unwrap();
        let trail = Trail::open(options, Arc::clone(&home.clock)).unwrap();
        home.trail_begun().await.unwrap();
        for action in home.outbox().pending(99).await.unwrap() {
            trail.act(&action).unwrap();
            home.outbox().done(vec![action.id]).await.unwrap();
        }
        home.store.mark().await.unwrap();
        trail.store_is_at(home.store.newest_mark()).unwrap();
        home.mark_trail(&trail).await.unwrap();
        trail.close().unwrap();
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Every file of the store, as it lies there.
fn copy(stage: &Stage, from: &str, to: &str) {
    for file in ["store.sqlite", "audit-head"] {
        let (from, to) = (stage.path(from).join(file), stage.path(to).join(file));
        if from.exists() {
            fs::copy(from, to).unwrap();
        }
    }
}

/// What a store says that was set back, and what is written into it, goes when the right one is brought back.
#[test]
fn commands_judge_a_store_that_was_set_back_as_a_start_does() {
    let stage = Stage::new();
    let id =
        stage.good(&["key", "issue", "shop", "--format", "json"]).json()["id"].as_str().unwrap().to_owned();
    for place in ["new", "before", "after"] {
        fs::create_dir(stage.path(place)).unwrap();
    }
    copy(&stage, "data", "new");
    runs(&stage);
    copy(&stage, "data", "before");
    stage.good(&["key", "revoke", &id]);
    runs(&stage);
    copy(&stage, "data", "after");
    fs::write(stage.path("value"), "long-enough-a-value").unwrap();
    let refused = |why: &str| {
        for command in [
            &["key", "list"][..],
            &["key", "issue", "shop"],
            &["key", "revoke", &id],
            &["secret", "list"],
            &["secret", "set", "erp-token", "--file", "value"],
            &["secret", "remove", "erp-token"],
            &["certificate", "ca"],
            &["subject", "trace", "x"],
            &["subject", "erase", "x", "--yes"],
            &["audit", "key"],
            &["audit", "key", "rotate"],
            &["audit", "disclosures", "--subject", "x"],
            &["audit", "status"],
            &["audit", "verify"],
            &["run"],
        ] {
            let told = stage.bad(command).err;
            assert!(told.contains(why) && told.contains("help: "), "{command:?}: {told}");
        }
    };
    let store = "data/store.sqlite";
    for (place, why) in [("before", "the store was set back"), ("new", "audit-head")] {
        copy(&stage, "after", "data");
        fs::copy(stage.path(place).join("store.sqlite"), stage.path(store)).unwrap();
        refused(why);
    }
    // Counted up again.
    fs::copy(stage.path("before/store.sqlite"), stage.path(store)).unwrap();
    let home = Home::open(&stage.path("data"), Actor::new("x")).unwrap();
    for name in 0..9_u8 {
        runtime().block_on(home.store.put("any", &name.to_string(), vec![name], home.clock.now())).unwrap();
    }
    drop(home);
    refused("set back, and changed since");
    // With what is remembered of it, and without.
    copy(&stage, "before", "data");
    refused("was signed since");
    fs::remove_file(stage.path("data/audit-head")).unwrap();
    refused("is missing");
    // Another hand exchanges the store and all its keys.
    let other = Stage::new();
    other.good(&["key", "issue", "shop"]);
    runs(&other);
    copy(&stage, "after", "data");
    fs::copy(other.path(store), stage.path(store)).unwrap();
    assert!(stage.bad(&["key", "list"]).err.contains("not written with this key file"));
    copy(&stage, "after", "data");
    let listed = stage.good(&["key", "list", "--format", "json"]).json();
    assert_eq!(listed[0]["state"], "revoked", "{listed}");
    assert_eq!(
        stage.good(&["audit", "accept-loss", "--yes", "--format", "json"]).json()["accepted"],
        Value::Null
    );
    // What is lost for good is gone on with, once that is said.
    copy(&stage, "before", "data");
    stage.good(&["audit", "accept-loss", "--yes"]);
    assert_eq!(stage.good(&["key", "list", "--format", "json"]).json()[0]["state"], "live");
}

/// A bridge notes how far the store came after it came there, and commands come in between.
#[test]
fn no_command_beside_a_busy_bridge_takes_its_store_for_one_that_was_set_back() {
    let stage = Stage::new();
    stage.good(&["key", "issue", "shop"]);
    runs(&stage);
    let busy = AtomicBool::new(true);
    let (commands, noted) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let home = Home::open(&stage.path("data"), Actor::new("bridge")).unwrap();
            runtime().block_on(async {
                let options = home.trail_options("test-bridge").await.unwrap();
                let trail = Trail::open(options, Arc::clone(&home.clock)).unwrap();
                let owners = home.owners().await.unwrap();
                for person in 0_u64.. {
                    if !busy.load(Relaxed) {
                        break;
                    }
                    owners.subjects(&[person.to_string().into()]).await.unwrap();
                    // Some of them only later, as it is: once a second.
                    if person % 3 == 0 {
                        let mark = home.store.newest_mark();
                        trail.store_is_at(mark).unwrap();
                        home.store.noted(mark).await.unwrap();
                        home.mark_trail(&trail).await.unwrap();
                        noted.fetch_add(1, Relaxed);
                    }
                }
                trail.close().unwrap();
            });
        });
        scope.spawn(|| {
            let home = Home::open(&stage.path("data"), Actor::new("command")).unwrap();
            runtime().block_on(async {
                while busy.load(Relaxed) {
                    home.demand_as_left().await.unwrap();
                    commands.fetch_add(1, Relaxed);
                }
            });
        });
        for turn in 0..10 {
            stage.good(&["key", "list"]);
            let name = format!("name-{turn}");
            assert_eq!(stage.run_with_input(&["secret", "set", &name], b"long-enough-a-value").code, 0);
            let home = Home::open(&stage.path("data"), Actor::new("command")).unwrap();
            runtime().block_on(home.demand_as_left()).unwrap();
        }
        busy.store(false, Relaxed);
    });
    assert!(commands.into_inner() > 10 && noted.into_inner() > 10);
    stage.good(&["audit", "status"]);
}
