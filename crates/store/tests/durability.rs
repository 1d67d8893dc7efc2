//! What the store has confirmed survives `kill -9`: a child process reserves keys and prints each once it is
//! confirmed; it is killed in the middle, and every printed key must be taken.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ironbridge_core::{SystemClock, Timestamp};
use ironbridge_store::{Actor, Idempotency, Reservation, Sealer, SealerError, SqliteStore};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use zeroize::Zeroizing;

#[tokio::test]
async fn confirmed_reservations_survive_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.sqlite");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(STORE, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut confirmed = Vec::new();
    for line in lines {
        if let Some((_, key)) = line.split_once("confirmed ") {
            confirmed.push(key.to_owned());
        }
        if confirmed.len() == 300 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(confirmed.len() >= 300, "{}", confirmed.len());

    let store = open(&path);
    for key in &confirmed {
        assert_eq!(reserve(&store, key).await, Reservation::OutcomeUnknown, "{key}");
    }
    assert!(matches!(reserve(&store, "fresh").await, Reservation::Taken(_)));
}

/// The child's part; does nothing in the parent.
#[tokio::test]
async fn child() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let store = open(Path::new(&path));
    for round in 0.. {
        let keys: Vec<String> = (0..10).map(|n| format!("{round}-{n}")).collect();
        let waiting: Vec<_> = keys.iter().map(|key| reserve(&store, key)).collect();
        for (key, reservation) in keys.iter().zip(waiting) {
            assert!(matches!(reservation.await, Reservation::Taken(_)));
            writeln!(std::io::stdout(), "confirmed {key}").unwrap();
        }
    }
}

const STORE: &str = "IRONBRIDGE_TEST_STORE";

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, Arc::new(Plain), Arc::new(SystemClock::default()), Actor::new("test")).unwrap()
}

async fn reserve(store: &SqliteStore, key: &str) -> Reservation {
    store.reserve("scope", key, [0; 32].into(), Timestamp(0), Timestamp(u64::MAX)).await.unwrap()
}

/// Hides nothing: nothing here is secret.
struct Plain;

impl Sealer for Plain {
    fn seal(&self, plain: &[u8], _: &[u8]) -> Result<Vec<u8>, SealerError> {
        Ok(plain.to_vec())
    }

    fn open(&self, sealed: &[u8], _: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealerError> {
        Ok(sealed.to_vec().into())
    }

    fn mac(&self, _: &[u8; 32], _: &[u8]) -> [u8; 32] {
        [0; 32]
    }
}
