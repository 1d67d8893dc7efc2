//! A log to publish, and patience.

use ironbridge_audit::{Anchor, Limits, Log, Options, Signers, Trail, TrailKey, Verified};
use ironbridge_core::action::name;
use ironbridge_core::{Action, ExchangeId, OwnerKey, Position, Recorder, SystemClock, Timestamp};
use ironbridge_net::address::Policy;
use ironbridge_net::fetch::GuardedClient;
use ironbridge_net::tls::Roots;
use ironbridge_publish::{Format, Lag, Publisher, Settings};
use ironbridge_seal::envelope::Keys;
use ironbridge_seal::note::{NoteSigner, NoteVerifier};
use ironbridge_seal::random::SystemRandom;
use ironbridge_testkit::Authority;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub const ORIGIN: &str = "example.com/bridge-1";

pub fn key() -> NoteVerifier {
    NoteVerifier::parse(&signer().verifier_key()).unwrap()
}

fn signer() -> NoteSigner {
    NoteSigner::from_seed(ORIGIN, &[7; 32]).unwrap()
}

/// What a bridge's key file is to it, for the whole test.
pub fn keys() -> Arc<Keys> {
    static KEYS: OnceLock<Arc<Keys>> = OnceLock::new();
    Arc::clone(KEYS.get_or_init(|| Arc::new(Keys::ephemeral().unwrap())))
}

/// A trail in this directory that integrates at once.
pub fn trail(dir: &Path) -> Trail {
    let owner = Arc::new(OwnerKey::new([1; 16], [2; 32]));
    let signers = Signers::new(ORIGIN, vec![signer()], Vec::new()).unwrap();
    let anchor = Anchor { key: TrailKey::new(&[3; 32]), head: dir.join("head"), begun: false, mark: None };
    let options =
        Options { max_lag: Duration::from_millis(1), ..Options::new(dir, ORIGIN, signers, owner, anchor) };
    Trail::open(options, Arc::new(SystemClock::default())).unwrap()
}

/// Records so many actions, named by `what`, and waits until a checkpoint covers them.
pub fn record(trail: &Trail, what: &str, count: u64) {
    let first = trail.status().size;
    for number in first..first + count {
        let id = ExchangeId::from_u128(u128::from(number));
        let Position(index) =
            trail.act(&Action::done(id, at(number), what.to_owned(), format!("object-{number}"))).unwrap();
        assert_eq!(index, number);
    }
    until("the records are integrated", || trail.status().integrated == first + count);
}

/// A log of so many records.
pub fn recorded(dir: &Path, count: u64) -> Log {
    record(&trail(dir), "first", count);
    Log::open(dir).unwrap()
}

/// Drops records before this one, as far as whole bundles go, and tells which are left.
pub fn drop_before(trail: &Trail, number: u64) -> u64 {
    let limits = Limits { detail: None, records: Some(at(number)) };
    let action = Action::done(ExchangeId::from_u128(1), at(number), name::RETENTION, "");
    trail.retain(limits, action).unwrap().unwrap().records
}

/// When record `number` was made.
fn at(number: u64) -> Timestamp {
    Timestamp::from_seconds(1_767_225_600 + number)
}

/// Settings that try again soon.
pub fn settings() -> Settings {
    let (retry, longest_retry) = (Duration::from_millis(20), Duration::from_millis(100));
    Settings { retry, longest_retry, ..Settings::default() }
}

pub fn publish(dir: &Path, settings: Settings) -> Publisher {
    let log = Log::open(dir).unwrap();
    Publisher::start(log, vec![key()], settings, Arc::new(SystemClock::default()), Arc::new(SystemRandom))
}

/// The record as it is stored.
pub fn as_stored() -> Format {
    Arc::new(|stored, out| out.extend_from_slice(stored.json.as_bytes()))
}

pub fn client(authority: &Authority) -> Arc<GuardedClient> {
    Arc::new(GuardedClient::new(&roots(authority), Policy::Declared).unwrap())
}

pub fn roots(authority: &Authority) -> Roots {
    Roots::from_pem(authority.pem().as_bytes()).unwrap()
}

pub fn only(publisher: &Publisher) -> Lag {
    let [lag] = <[Lag; 1]>::try_from(publisher.status()).unwrap();
    lag
}

/// Waits until the only destination has everything.
pub fn caught_up(publisher: &Publisher, size: u64) {
    until("the destination has everything", || {
        let lag = only(publisher);
        lag.position == size && lag.of == size && lag.behind_since.is_none() && lag.last_error.is_none()
    });
}

/// Waits until what the only destination has contradicts the log, in these words.
pub fn contradicts(publisher: &Publisher, words: &str) {
    until(words, || only(publisher).finding.is_some_and(|finding| finding.contains(words)));
}

/// Waits until the only destination reports an error with these words.
pub fn complains(publisher: &Publisher, words: &str) {
    until(words, || only(publisher).last_error.is_some_and(|error| error.contains(words)));
    assert_eq!(only(publisher).finding, None, "{words}");
}

pub fn verified(dir: &Path) -> Verified {
    Log::open(dir).unwrap().verify(Some(&key()), &mut |_, _| {}).unwrap()
}

pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Publishing runs here; tests block.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}
