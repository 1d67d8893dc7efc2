//! The demo, as a newcomer runs it: every scene goes as it should.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn demo(temporary: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ironbridge"))
        .arg("demo")
        .env("TMPDIR", temporary)
        .args(arguments)
        .output()
        .expect("the binary");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_scene_goes_as_it_should() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    let (code, out, err) = demo(dir.path(), &["--format", "json", "--dir", kept.to_str().unwrap()]);
    let story: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    let scenes = story["scenes"].as_array().unwrap();
    let failed: Vec<String> =
        scenes.iter().filter(|scene| scene["held"] != true).map(|scene| format!("{scene:#}")).collect();
    assert!(failed.is_empty(), "{}\n{err}", failed.join("\n"));
    assert!(scenes.len() >= 14 && code == Some(0), "{code:?}\n{err}");
    let records: u64 =
        story["records"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert!(records > 30, "{records}");

    // What it kept is a bridge's directory like any other.
    let manifest = kept.join("bridge");
    let verify = Command::new(env!("CARGO_BIN_EXE_ironbridge"))
        .args(["audit", "verify", "-C", manifest.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stderr));
    let (code, _, err) = demo(dir.path(), &["--dir", kept.to_str().unwrap()]);
    assert!(code == Some(1) && err.contains("is not empty"), "{code:?} {err}");
}

#[test]
fn it_reads_like_a_story_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = demo(dir.path(), &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    // What the scene of the whole trail says so far and the last line are counts of the same.
    let number = |line: &str| line.split(' ').find_map(|word| word.parse::<u64>().ok()).unwrap();
    let line =
        |mark: &str| out.lines().find(|line| line.contains(mark)).unwrap_or_else(|| panic!("{mark}: {out}"));
    let so_far = number(line(" records so far").trim_start_matches(['←', ' ']));
    let (_, end) = line("The audit trail holds ").split_once("The audit trail holds ").unwrap();
    assert!(number(end) >= so_far, "{so_far}, then {end}");
    assert!(!out.contains('\x1b') && out.lines().all(|line| line.chars().count() <= 120), "{out}");
    for secret in ["ibs_", "ibk_", "erp-"] {
        let whole = out
            .match_indices(secret)
            .any(|(at, _)| out[at..].chars().take(40).filter(|c| c.is_ascii_alphanumeric()).count() > 30);
        assert!(!whole, "a whole {secret} credential is printed");
    }
}
