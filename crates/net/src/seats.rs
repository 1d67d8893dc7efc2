//! Who holds a listener's connections: how many an address may have, who makes room when all are taken, and what is kept
//! for callers that are known.

use crate::gate::GateState;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Bounds on a listener's connections.
#[derive(Clone)]
pub struct Limits {
    /// Connections open at once.
    pub max: usize,
    /// Of one address (one /64 network for IPv6).
    pub per_address: usize,
    /// Addresses with no bound of their own: proxies, which carry many callers.
    pub exempt: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

/// One part in so many of the connections is kept for addresses that authenticated lately.
const KEPT: usize = 4;

/// How long an address counts as known, and how many are remembered.
const KNOWN_FOR: Duration = Duration::from_secs(15 * 60);
const MOST_KNOWN: usize = 4096;

/// When all places are taken, one part in so many is cleared at once, so that those who wait are looked through rarely.
const CLEARED: usize = 64;

/// After nobody could be asked to go, nobody is asked again for so long.
const FRUITLESS_PAUSE: Duration = Duration::from_millis(100);

/// The connections of one listener.
pub(crate) struct Seats {
    table: Mutex<Table>,
    emptied: Notify,
}

struct Table {
    limits: Limits,
    taken: HashMap<u64, Arc<Seat>>,
    /// Those of `taken` that were not asked to go.
    counted: usize,
    next: u64,
    addresses: HashMap<Subscriber, usize>,
    known: HashMap<Subscriber, Instant>,
    fruitless: Option<Instant>,
}

/// One connection's place.
pub(crate) struct Seat {
    number: u64,
    subscriber: Subscriber,
    since: Instant,
    /// Set after the handshake.
    requests: OnceLock<Arc<GateState>>,
    known: AtomicBool,
    asked: AtomicBool,
    leave: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Address,
    Listener,
}

/// An IPv4 address, or the /64 of an IPv6 one: the least that one subscriber gets (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Subscriber {
    V4([u8; 4]),
    V6([u16; 4]),
}

impl Seats {
    pub fn new(limits: Limits) -> Seats {
        let table = Table {
            limits,
            taken: HashMap::new(),
            counted: 0,
            next: 0,
            addresses: HashMap::new(),
            known: HashMap::new(),
            fruitless: None,
        };
        Seats { table: Mutex::new(table), emptied: Notify::new() }
    }

    /// Those that are open stay.
    pub fn set_limits(&self, limits: Limits) {
        self.table().limits = limits;
    }

    pub fn open(&self) -> usize {
        self.table().taken.len()
    }

    /// Resolves when no connection is open.
    pub async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.open() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// A place for one more connection. Where all are taken, those make room that have no request under way.
    pub fn take(&self, address: IpAddr) -> Result<Arc<Seat>, Full> {
        let now = Instant::now();
        let mut table = self.table();
        let subscriber = Subscriber::of(address);
        let exempt = (table.limits.exempt)(address);
        let held = table.addresses.get(&subscriber).copied().unwrap_or(0);
        if held >= table.limits.per_address && !exempt {
            return Err(Full::Address);
        }
        let max = table.limits.max;
        let known = exempt || table.is_known(subscriber, now);
        let free_to = if known { max } else { max - max / KEPT };
        if table.counted >= free_to {
            // A stranger takes the place of strangers; who is known may take any.
            table.make_room((max / CLEARED).max(1), known, now);
        }
        if table.counted >= free_to {
            return Err(Full::Listener);
        }
        Ok(table.seat(subscriber, now))
    }

    /// Asks some that have no request under way to go, because the process runs out of descriptors.
    pub fn make_room(&self) {
        let mut table = self.table();
        let wanted = (table.counted / CLEARED).max(1);
        table.make_room(wanted, true, Instant::now());
    }

    /// Somebody authenticated on this connection.
    pub fn authenticated(&self, seat: &Seat) {
        if !seat.known.load(Ordering::Relaxed) && !seat.known.swap(true, Ordering::Relaxed) {
            self.table().remember(seat.subscriber, Instant::now());
        }
    }

    pub fn give_back(&self, seat: &Seat) {
        let mut table = self.table();
        if table.taken.remove(&seat.number).is_some() && !seat.asked.load(Ordering::Relaxed) {
            table.counted -= 1;
        }
        if let Some(held) = table.addresses.get_mut(&seat.subscriber) {
            *held -= 1;
            if *held == 0 {
                table.addresses.remove(&seat.subscriber);
            }
        }
        if seat.known.load(Ordering::Relaxed) {
            table.remember(seat.subscriber, Instant::now());
        }
        if table.taken.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn seat(&mut self, subscriber: Subscriber, now: Instant) -> Arc<Seat> {
        let seat = Arc::new(Seat {
            number: self.next,
            subscriber,
            since: now,
            requests: OnceLock::new(),
            known: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            leave: Notify::new(),
        });
        self.next += 1;
        self.counted += 1;
        self.taken.insert(seat.number, Arc::clone(&seat));
        *self.addresses.entry(subscriber).or_default() += 1;
        seat
    }

    /// Asks up to `wanted` connections to go: those on which nobody authenticated first, and of these those that have
    /// been idle the longest. Their places are free at once.
    fn make_room(&mut self, wanted: usize, of_known_too: bool, now: Instant) {
        if self.fruitless.is_some_and(|at| now.saturating_duration_since(at) < FRUITLESS_PAUSE) {
            return;
        }
        let idle = self.taken.values().filter_map(|seat| {
            let known = seat.known.load(Ordering::Relaxed);
            let fair = (of_known_too || !known) && !seat.asked.load(Ordering::Relaxed);
            Some((known, seat.idle_since()?, seat.number)).filter(|_| fair)
        });
        let mut idle: Vec<_> = idle.collect();
        self.fruitless = idle.is_empty().then_some(now);
        let wanted = wanted.min(idle.len());
        if let Some(last) = wanted.checked_sub(1) {
            idle.select_nth_unstable(last);
        }
        for (_, _, number) in idle.into_iter().take(wanted) {
            if let Some(seat) = self.taken.get(&number) {
                seat.asked.store(true, Ordering::Relaxed);
                seat.leave.notify_one();
                self.counted -= 1;
            }
        }
    }

    fn is_known(&self, subscriber: Subscriber, now: Instant) -> bool {
        self.known.get(&subscriber).is_some_and(|at| now.saturating_duration_since(*at) < KNOWN_FOR)
    }

    fn remember(&mut self, subscriber: Subscriber, now: Instant) {
        if self.known.len() >= MOST_KNOWN && !self.known.contains_key(&subscriber) {
            self.known.retain(|_, at| now.saturating_duration_since(*at) < KNOWN_FOR);
            if self.known.len() >= MOST_KNOWN
                && let Some(oldest) = self.known.iter().min_by_key(|(_, at)| **at).map(|(known, _)| *known)
            {
                self.known.remove(&oldest);
            }
        }
        self.known.insert(subscriber, now);
    }
}

impl Seat {
    /// After the handshake: what knows of this connection's requests.
    pub fn serves(&self, requests: Arc<GateState>) {
        let _ = self.requests.set(requests);
    }

    pub fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    /// Since when nothing has been under way; `None` while something is.
    pub fn idle_since(&self) -> Option<Instant> {
        match self.requests.get() {
            Some(requests) => requests.idle_since().map(|since| since.unwrap_or(self.since)),
            None => Some(self.since),
        }
    }

    /// Resolves when this connection is asked to make room for another. Its place is another's already, so it must
    /// leave, if not before what came meanwhile is answered.
    pub async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }
}

impl Subscriber {
    fn of(address: IpAddr) -> Subscriber {
        match address.to_canonical() {
            IpAddr::V4(v4) => Subscriber::V4(v4.octets()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Subscriber::V6([a, b, c, d])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Arrival;

    const STRANGER: &str = "203.0.113.9";

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn seats(max: usize, per_address: usize) -> Seats {
        let proxy = address("10.0.0.1");
        Seats::new(Limits { max, per_address, exempt: Arc::new(move |address| address == proxy) })
    }

    fn is_asked(seat: &Seat) -> bool {
        seat.asked.load(Ordering::Relaxed)
    }

    #[test]
    fn an_address_has_its_number_and_a_network_of_ipv6_is_one() {
        let seats = seats(100, 2);
        for (first, second) in [(STRANGER, "::ffff:203.0.113.9"), ("2001:db8::1", "2001:db8::ffff:0:0:1")] {
            let held = [seats.take(address(first)).unwrap(), seats.take(address(second)).unwrap()];
            assert_eq!(seats.take(address(first)).err(), Some(Full::Address));
            seats.give_back(&held[0]);
            assert!(seats.take(address(second)).is_ok());
        }
        assert!(seats.take(address("2001:db8:0:1::1")).is_ok());
        // Proxies carry many callers.
        assert!((0..20).all(|_| seats.take(address("10.0.0.1")).is_ok()));
        assert_eq!(seats.open(), 25);
    }

    #[test]
    fn who_is_idle_the_longest_makes_room_and_a_share_is_kept() {
        let seats = seats(8, 100);
        let held: Vec<_> = (0..6).map(|_| seats.take(address(STRANGER)).unwrap()).collect();
        // A quarter is for those who are known.
        assert!(seats.take(address("198.51.100.1")).is_ok());
        assert!(is_asked(&held[0]) && !is_asked(&held[1]));
        let friend = seats.take(address("198.51.100.2")).unwrap();
        assert!(is_asked(&held[1]));
        seats.authenticated(&friend);
        let more: Vec<_> = (0..2).map(|_| seats.take(address("198.51.100.2")).unwrap()).collect();
        assert_eq!(held.iter().filter(|seat| is_asked(seat)).count(), 2, "there was room for who is known");
        // All places are taken: who is known takes those of strangers first.
        for seat in &more {
            seats.authenticated(seat);
        }
        let _ = seats.take(address("198.51.100.2")).unwrap();
        assert!(is_asked(&held[2]) && !is_asked(&friend));
        // Whoever was asked to go counts until it is gone, but has no place.
        assert_eq!(seats.open(), 11);
        for seat in &held {
            seats.give_back(seat);
        }
        assert_eq!(seats.open(), 5);
    }

    #[test]
    fn what_is_under_way_is_not_interrupted() {
        let seats = seats(4, 100);
        let held: Vec<_> = (0..3).map(|_| seats.take(address(STRANGER)).unwrap()).collect();
        let states: Vec<_> = held.iter().map(|_| GateState::ungated()).collect();
        let mut under_way = Vec::new();
        for (seat, state) in held.iter().zip(&states) {
            seat.serves(Arc::clone(state));
            let Arrival::Request(service) = state.arrival() else { panic!() };
            under_way.push(service);
        }
        assert_eq!(seats.take(address("198.51.100.1")).err(), Some(Full::Listener));
        drop(under_way.pop());
        std::thread::sleep(FRUITLESS_PAUSE);
        assert!(seats.take(address("198.51.100.1")).is_ok());
        assert!(is_asked(&held[2]) && !is_asked(&held[0]));
    }

    #[test]
    fn known_addresses_are_bounded() {
        let seats = seats(10, 10);
        let mut table = seats.table();
        let now = Instant::now();
        for number in 0..=u16::try_from(MOST_KNOWN).unwrap() {
            table.remember(
                Subscriber::V6([0, 0, 0, number]),
                now + Duration::from_secs(u64::from(number) / 60),
            );
        }
        assert_eq!(table.known.len(), MOST_KNOWN);
        let last = Subscriber::V6([0, 0, 0, u16::try_from(MOST_KNOWN).unwrap()]);
        assert!(table.is_known(last, now));
        assert!(!table.is_known(last, now + 2 * KNOWN_FOR));
    }
}
