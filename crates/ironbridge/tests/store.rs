//! What commands say where another hand was in the store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod stage;

use stage::Stage;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

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
    // A first use that was killed on its way goes on.
    let stage = Stage::new();
    fs::create_dir(stage.path("data")).unwrap();
    fs::set_permissions(stage.path("data"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(stage.path("data/store.sqlite"), "").unwrap();
    fs::set_permissions(stage.path("data/store.sqlite"), fs::Permissions::from_mode(0o600)).unwrap();
    stage.good(&["key", "issue", "shop"]);
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
