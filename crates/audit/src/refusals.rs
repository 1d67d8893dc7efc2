//! Refusals that cost their sender nothing, gathered so that they cost the log little: the first few of a source are
//! recorded one by one, those that follow within a window as one record with their count.

use ironbridge_core::{Action, Ending, Exchange, Flow, Outcome, Peer, Record, Timestamp, code, subscriber};
use parking_lot::{Condvar, Mutex};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// From the first refusal of a source to the record of those that followed.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Refusals of a source with one code that are recorded one by one in a window: so many a person can look at, and whoever
/// asks about one by its correlation id finds it.
pub const ALONE: u32 = 20;

/// Refusals recorded one by one in one second, over all sources. Those of further sources share one record for each
/// code and window.
const ALONE_PER_SECOND: u32 = 100;

/// Keys that are kept apart while what was gathered cannot be written: as many as can come in a window. What more comes
/// back then shares the record of the others.
const MAX_KEYS: usize = 1_000;

/// How many sources are told apart among the others; beyond, the number recorded is this one.
const MAX_OTHERS: usize = 10_000;

/// How often windows are looked at that may have ended.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Refusals {
    inner: Mutex<Inner>,
    bell: Condvar,
}

#[derive(Default)]
struct Inner {
    sources: HashMap<Key, Window>,
    /// Of further sources, by what was asked and code.
    others: HashMap<Kind, Window>,
    /// The second that `alone` counts in.
    second: u64,
    alone: u32,
    closed: bool,
}

/// What is gathered together. The number of keys is bounded by [`ALONE_PER_SECOND`] and [`WINDOW`].
#[derive(PartialEq, Eq, Hash)]
struct Key {
    source: Source,
    code: Cow<'static, str>,
    asked: Attempt,
    /// The integration, or what was to be acted on.
    of: Arc<str>,
}

/// What was asked, and the code of its refusal.
type Kind = (Attempt, Cow<'static, str>);

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Attempt {
    Exchange,
    Action(Cow<'static, str>),
}

#[derive(PartialEq, Eq, Hash)]
enum Source {
    /// The least that one subscriber gets; one for all of whom nobody knows from where they call.
    Address(Option<IpAddr>),
    Account(Arc<str>),
}

struct Window {
    opened: Duration,
    /// Recorded one by one so far.
    alone: u32,
    gathered: Option<Gathered>,
}

/// A refusal: of an exchange, or of what somebody asked the bridge itself to do, such as to issue a token.
#[derive(Clone, Copy)]
pub(crate) enum Refusal<'a> {
    Exchange(&'a Record<'a>),
    Action(&'a Action),
}

/// The first of several refusals.
pub(crate) enum First {
    Exchange(Box<Exchange>, Ending),
    Action(Box<Action>),
}

/// Refusals that share a record.
pub(crate) struct Gathered {
    pub first: First,
    pub count: u64,
    pub last: Timestamp,
    /// Where they come from more sources than one: from which.
    sources: Option<HashSet<Option<IpAddr>>>,
}

/// What was gathered in a window that has ended, and where it came from.
pub(crate) struct Ended {
    key: WindowKey,
    pub gathered: Gathered,
}

/// Whose window it is.
enum WindowKey {
    Source(Key),
    Others(Kind),
}

impl Gathered {
    pub fn code(&self) -> &str {
        match &self.first {
            First::Exchange(_, ending) => ending.code(),
            First::Action(action) => &action.code,
        }
    }

    /// With those that came before it.
    fn after(self, earlier: Gathered) -> Gathered {
        let sources = match (self.sources, earlier.sources) {
            (Some(these), Some(those)) => Some(these.into_iter().chain(those).take(MAX_OTHERS).collect()),
            (these, those) => these.or(those),
        };
        let (count, last) = (self.count.saturating_add(earlier.count), self.last.max(earlier.last));
        Gathered { first: earlier.first, count, last, sources }
    }

    /// As those of many sources are gathered.
    fn nameless(self) -> Gathered {
        let (first, address) = match &self.first {
            First::Exchange(exchange, ending) => {
                let record = Record { exchange, ending: *ending, duration: Duration::ZERO, amends: false };
                (First::nameless(Refusal::Exchange(&record)), exchange.origin.address())
            }
            First::Action(action) => (First::nameless(Refusal::Action(action)), action.address),
        };
        let sources = self.sources.or_else(|| Some(HashSet::from([address.map(subscriber)])));
        Gathered { first, sources, ..self }
    }

    /// How many sources, where they are not of one.
    pub fn sources(&self) -> Option<u64> {
        self.sources.as_ref().map(|sources| u64::try_from(sources.len()).unwrap_or(u64::MAX))
    }
}

impl Refusals {
    /// Whether the record was taken here, to be written with others. What says `false` is to be written by itself.
    pub fn gather(&self, refusal: Refusal<'_>, now: Duration) -> bool {
        let Some((key, address)) = key(refusal) else { return false };
        let mut inner = self.inner.lock();
        if inner.closed {
            return false;
        }
        let is_first = inner.sources.is_empty() && inner.others.is_empty();
        // Where nothing was gathered there is nothing to write before the next window begins.
        let has_passed = |window: &mut Window| window.gathered.is_none() && window.has_ended(now);
        if inner.sources.get_mut(&key).is_some_and(has_passed) {
            inner.sources.remove(&key);
        }
        let has_had_its_own = inner.sources.get(&key).is_some_and(|window| window.alone >= ALONE);
        if has_had_its_own || !inner.may_stand_alone(now) {
            match inner.sources.get_mut(&key) {
                Some(window) => window.add(refusal, First::of, None),
                None => {
                    let window = inner.others.entry((key.asked, key.code));
                    let window = window.or_insert_with(|| Window::opened(now));
                    window.add(refusal, First::nameless, Some(address.map(subscriber)));
                }
            }
            if is_first {
                self.bell.notify_one();
            }
            return true;
        }
        inner.sources.entry(key).or_insert_with(|| Window::opened(now)).alone += 1;
        if is_first {
            self.bell.notify_one();
        }
        false
    }

    /// Waits until windows have ended, and takes what was gathered in them. `None` once closed and all is taken.
    pub fn ended(&self, now: impl Fn() -> Duration) -> Option<Vec<Ended>> {
        let mut inner = self.inner.lock();
        loop {
            let closed = inner.closed;
            let ended = inner.take_ended(now(), closed);
            if !ended.is_empty() {
                return Some(ended);
            }
            if closed {
                return None;
            }
            if inner.sources.is_empty() && inner.others.is_empty() {
                self.bell.wait(&mut inner);
            } else {
                self.bell.wait_for(&mut inner, LOOK);
            }
        }
    }

    /// Takes back what could not be written, to be written with what comes in another window.
    pub fn put_back(&self, ended: Ended, now: Duration) {
        let Ended { key, gathered } = ended;
        let mut inner = self.inner.lock();
        let is_first = inner.sources.is_empty() && inner.others.is_empty();
        match key {
            WindowKey::Source(key) if inner.sources.len() < MAX_KEYS || inner.sources.contains_key(&key) => {
                inner.sources.entry(key).or_insert_with(|| Window::full(now)).put_back(gathered);
            }
            WindowKey::Source(Key { asked, code, .. }) => {
                let window = inner.others.entry((asked, code)).or_insert_with(|| Window::full(now));
                window.put_back(gathered.nameless());
            }
            WindowKey::Others(kind) => {
                inner.others.entry(kind).or_insert_with(|| Window::full(now)).put_back(gathered);
            }
        }
        if is_first {
            self.bell.notify_one();
        }
    }

    /// Takes a refusal that was to have a record of its own, for which there was no room. Whether it is one.
    pub fn keep(&self, refusal: Refusal<'_>, now: Duration) -> bool {
        let Some((key, _)) = key(refusal).filter(|_| !self.is_closed()) else { return false };
        let mut window = Window::opened(now);
        window.add(refusal, First::of, None);
        if let Some(gathered) = window.gathered {
            self.put_back(Ended { key: WindowKey::Source(key), gathered }, now);
        }
        true
    }

    pub fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }

    /// Gathers no more; what is gathered is taken at once.
    pub fn close(&self) {
        self.inner.lock().closed = true;
        self.bell.notify_all();
    }
}

impl Inner {
    fn may_stand_alone(&mut self, now: Duration) -> bool {
        if self.second != now.as_secs() {
            (self.second, self.alone) = (now.as_secs(), 0);
        }
        self.alone = self.alone.saturating_add(1);
        self.alone <= ALONE_PER_SECOND
    }

    fn take_ended(&mut self, now: Duration, all: bool) -> Vec<Ended> {
        let has_ended = |window: &Window| all || window.has_ended(now);
        let of_sources = self.sources.extract_if(|_, window| has_ended(window));
        let of_sources = of_sources.map(|(key, window)| (WindowKey::Source(key), window));
        let of_others = self.others.extract_if(|_, window| has_ended(window));
        let ended = of_sources.chain(of_others.map(|(kind, window)| (WindowKey::Others(kind), window)));
        ended.filter_map(|(key, window)| Some(Ended { key, gathered: window.gathered? })).collect()
    }
}

impl Window {
    fn opened(opened: Duration) -> Window {
        Window { opened, alone: 0, gathered: None }
    }

    /// In which nothing is recorded one by one any more.
    fn full(opened: Duration) -> Window {
        Window { alone: ALONE, ..Window::opened(opened) }
    }

    fn put_back(&mut self, earlier: Gathered) {
        self.gathered = Some(match self.gathered.take() {
            Some(later) => later.after(earlier),
            None => earlier,
        });
    }

    fn has_ended(&self, now: Duration) -> bool {
        now.saturating_sub(self.opened) >= WINDOW
    }

    fn add(&mut self, refusal: Refusal<'_>, keep: fn(Refusal<'_>) -> First, source: Option<Option<IpAddr>>) {
        let at = match refusal {
            Refusal::Exchange(record) => record.exchange.received,
            Refusal::Action(action) => action.time,
        };
        let gathered = self.gathered.get_or_insert_with(|| Gathered {
            first: keep(refusal),
            count: 0,
            last: at,
            sources: source.map(|_| HashSet::new()),
        });
        gathered.count = gathered.count.saturating_add(1);
        gathered.last = gathered.last.max(at);
        if let (Some(sources), Some(source)) = (&mut gathered.sources, source)
            && sources.len() < MAX_OTHERS
        {
            sources.insert(source);
        }
    }
}

/// Refusals of those who did not say who they are, and of those who send more than they may; with their address.
fn key(refusal: Refusal<'_>) -> Option<(Key, Option<IpAddr>)> {
    match refusal {
        Refusal::Exchange(record) => {
            let Ending::Denied(refusal) = record.ending else { return None };
            let (exchange, address) = (record.exchange, record.exchange.origin.address());
            let source = match exchange.account() {
                None => Source::Address(address.map(subscriber)),
                Some(account) if [code::RATE_LIMITED.id, code::BRIDGE_FULL.id].contains(&refusal.id) => {
                    Source::Account(Arc::clone(&account.name))
                }
                Some(_) => return None,
            };
            let of = Arc::clone(&exchange.flow.integration.name);
            Some((Key { source, code: refusal.id.into(), asked: Attempt::Exchange, of }, address))
        }
        Refusal::Action(action) if action.outcome == Outcome::Denied => {
            let address = Some(action.address?);
            let (source, asked) =
                (Source::Address(address.map(subscriber)), Attempt::Action(action.name.clone()));
            Some((Key { source, code: action.code.clone(), asked, of: (*action.object).into() }, address))
        }
        Refusal::Action(_) => None,
    }
}

impl First {
    fn of(refusal: Refusal<'_>) -> First {
        match refusal {
            Refusal::Exchange(record) => {
                First::Exchange(Box::new(record.exchange.without_bodies()), record.ending)
            }
            Refusal::Action(action) => First::Action(Box::new(action.clone())),
        }
    }

    /// What many sources have in common: nothing but the time.
    fn nameless(refusal: Refusal<'_>) -> First {
        match refusal {
            Refusal::Exchange(Record { exchange, ending, .. }) => {
                let Flow { integration, generation, .. } = &*exchange.flow;
                let flow = Arc::new(Flow::undeclared(integration.transport, *generation));
                let Exchange { id, received, started, .. } = **exchange;
                let nameless = Exchange::new(id, received, started, flow, Peer::default());
                First::Exchange(Box::new(nameless), *ending)
            }
            Refusal::Action(action) => {
                let Action { id, time, name, outcome, code, generation, .. } = action.clone();
                First::Action(Box::new(Action {
                    outcome,
                    code,
                    generation,
                    ..Action::done(id, time, name, "")
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironbridge_core::ExchangeId;

    fn refusal(refusals: &Refusals, at: Duration) -> bool {
        let flow = Arc::new(Flow::undeclared(Default::default(), 1));
        let exchange = Exchange::new(ExchangeId::default(), Timestamp(7), at, flow, Peer::default());
        let ending = Ending::Denied(&code::CREDENTIALS_MISSING);
        let record = Record { exchange: &exchange, ending, duration: Duration::ZERO, amends: false };
        refusals.gather(Refusal::Exchange(&record), at)
    }

    #[test]
    fn a_window_ends_and_the_next_begins_one_by_one() {
        let refusals = Refusals::default();
        for window in 0..3 {
            let opened = window * WINDOW;
            for number in 0..100 {
                assert_eq!(refusal(&refusals, opened), number >= ALONE);
            }
            let ended = refusals.ended(|| opened + WINDOW).unwrap();
            assert_eq!(ended.iter().map(|ended| ended.gathered.count).collect::<Vec<_>>(), [80]);
        }
        refusals.close();
        assert!(refusals.ended(|| Duration::ZERO).is_none());
        assert!(!refusal(&refusals, Duration::ZERO), "what comes after is recorded by itself");
    }

    /// What cannot be written is written later, with what came meanwhile: no count is lost, and no more is held.
    #[test]
    fn what_is_put_back_adds_up() {
        let refusals = Refusals::default();
        (0..30).for_each(|number| assert_eq!(refusal(&refusals, Duration::ZERO), number >= ALONE));
        let mut now = WINDOW;
        for _ in 0..3 {
            for ended in refusals.ended(|| now).unwrap() {
                refusals.put_back(ended, now);
            }
            (0..5).for_each(|_| assert!(refusal(&refusals, now), "they share its record"));
            now += WINDOW;
        }
        let counts: Vec<u64> =
            refusals.ended(|| now).unwrap().iter().map(|ended| ended.gathered.count).collect();
        assert_eq!(counts, [10 + 3 * 5]);

        for source in 0..3 * u32::try_from(MAX_KEYS).unwrap() {
            let flow = Arc::new(Flow::undeclared(Default::default(), 1));
            let peer = Peer::at(source.to_be_bytes().into());
            let exchange = Exchange::new(ExchangeId::default(), Timestamp(7), now, flow, peer);
            let ending = Ending::Denied(&code::CREDENTIALS_MISSING);
            let record = Record { exchange: &exchange, ending, duration: Duration::ZERO, amends: false };
            assert!(refusals.keep(Refusal::Exchange(&record), now));
        }
        let ended = refusals.ended(|| now + WINDOW).unwrap();
        assert_eq!(ended.len(), MAX_KEYS + 1);
        assert_eq!(ended.iter().map(|ended| ended.gathered.count).sum::<u64>(), 3 * MAX_KEYS as u64);
        let others = ended.iter().find_map(|ended| ended.gathered.sources());
        assert_eq!(others, Some(2 * MAX_KEYS as u64));
    }
}
