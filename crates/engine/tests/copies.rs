//! A copy of a running bridge, taken as the manual says, is one that a bridge starts on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_audit::{Log, Trail};
use ironbridge_core::SystemClock;
use ironbridge_engine::{Actor, Home};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use world::{Declared, World, eventually};

const MANUAL: &str = include_str!("../../../docs/audit-format.md");

/// The commands of the page, and the one program that not every machine has.
fn commands() -> String {
    let page = MANUAL.split_once("## A copy of a running bridge").unwrap().1;
    let commands = page.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let backup = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2].split(\"'\")[1]))";
    format!(
        "set -e\ncommand -v sqlite3 >/dev/null || sqlite3() {{ python3 -c {backup:?} \"$@\"; }}\n{commands}"
    )
}

#[test]
fn a_copy_that_is_taken_as_the_manual_says_is_gone_on_with() {
    let operations = "read: { match: GET /read, permission: orders.read }";
    let (world, key) =
        World::with_key(&Declared { operations, ..Declared::default() }, |_, _| Ok(())).unwrap();
    let key = format!("X-API-Key: {key}");
    eventually(|| world.data_dir().join("audit/log/tile").exists().then_some(()));
    for turn in 0..5 {
        let copy = world.dir.path().join(format!("copy-{turn}"));
        let mut copying = Command::new("bash");
        copying.args(["-c", &commands()]).env("DATA", world.data_dir()).env("COPY", &copy);
        let mut copying = copying.spawn().unwrap();
        let taken = loop {
            assert_eq!(world.curl("/erp/v1/read", &["-H", &key]).unwrap().status, 200);
            if let Some(ended) = copying.try_wait().unwrap() {
                break ended;
            }
        };
        assert!(taken.success());
        assert!(goes_on(&copy) > 0, "turn {turn}");
    }
}

/// How many records the trail has that a bridge goes on with.
fn goes_on(copy: &Path) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let origin = Log::open(copy.join("audit")).unwrap().checkpoint(None).unwrap().origin;
        let home = Home::open(copy, Actor::new("command:alice(1000)")).unwrap();
        let trail = Trail::open(home.trail_options(&origin).await.unwrap(), Arc::new(SystemClock::default()))
            .unwrap();
        trail.close().unwrap();
        let log = Log::open(copy.join("audit")).unwrap();
        log.verify(None, &mut |_, _| {}).unwrap().size
    })
}
