//! A copy of a running bridge, taken as the manual says, is one that a bridge starts on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_audit::{Log, Trail};
use ironbridge_core::SystemClock;
use ironbridge_engine::{Actor, Home};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use world::{Declared, World, eventually};

const MANUAL: &str = include_str!("../../../docs/audit-format.md");

/// The commands of the page, and the one program that not every machine has.
fn commands() -> String {
    let page = MANUAL.split_once("## A copy of a running bridge").unwrap().1;
    let commands = page.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let vacuum = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute(sys.argv[2])";
    format!(
        "set -e\ncommand -v sqlite3 >/dev/null || sqlite3() {{ python3 -c {vacuum:?} \"$@\"; }}\n{commands}"
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

/// A bridge that sees new persons commits all the time. The copy is as of one moment, and as private as the store.
#[test]
fn a_copy_is_finished_beside_a_store_that_is_written_all_the_time() {
    let operations = "read: { match: GET /read, permission: orders.read }";
    let world = World::new(&Declared { operations, ..Declared::default() }).unwrap();
    eventually(|| world.data_dir().join("audit/log/tile").exists().then_some(()));
    let copy = world.dir.path().join("copy");
    for place in ["audit/forward", "witness"] {
        fs::create_dir_all(world.data_dir().join(place)).unwrap();
        fs::write(world.data_dir().join(place).join("other"), place).unwrap();
    }
    world::in_home(world.dir.path(), async |home| {
        for part in 0..24_u8 {
            home.store.put("any", &part.to_string(), vec![part; 1 << 20], home.clock.now()).await?;
        }
        while home.outbox().count().await? > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let owners = home.owners().await?;
        // As the bridge itself does, which is beside; a limit only for a copy that never ends.
        let mut copying = Command::new("timeout");
        copying.args(["60", "bash", "-c", &commands()]).env("DATA", world.data_dir()).env("COPY", &copy);
        let mut copying = copying.spawn()?;
        let mut made = 0_u64;
        let taken = loop {
            owners.subjects(&[made.to_string().into()]).await?;
            made += 1;
            if let Some(ended) = copying.try_wait()? {
                break ended;
            }
        };
        assert!(taken.success() && made > 0, "{taken}, beside {made} writes");
        Ok(())
    })
    .unwrap();
    assert_eq!(fs::metadata(copy.join("store.sqlite")).unwrap().permissions().mode() & 0o777, 0o600);
    for place in ["audit/forward", "witness"] {
        assert_eq!(fs::read_to_string(copy.join(place).join("other")).unwrap(), place);
    }
    assert!(goes_on(&copy) > 0);
}

/// How many records the trail has that a bridge goes on with.
fn goes_on(copy: &Path) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let origin = Log::open(copy.join("audit")).unwrap().checkpoint(None).unwrap().origin;
        let home = Home::open(copy, Actor::new("command:alice(1000)")).unwrap();
        home.demand_as_left().await.unwrap();
        assert!(home.store.owners_whole().await.unwrap());
        assert_eq!(home.store.altered().await.unwrap(), Vec::<String>::new());
        let trail = Trail::open(home.trail_options(&origin).await.unwrap(), Arc::new(SystemClock::default()))
            .unwrap();
        trail.close().unwrap();
        let log = Log::open(copy.join("audit")).unwrap();
        log.verify(None, &mut |_, _| {}).unwrap().size
    })
}
