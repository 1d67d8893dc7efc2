//! Regular expressions of schemas and rules, whose time nobody can choose.
//!
//! An engine that is linear in the text still takes a step for each part of the pattern and byte: half a minute for
//! `(a{1,50}){1,50}b` and 1 MiB of `a`. The engine here builds states once and then takes a step for each byte; where
//! it would have to build new ones all the time it gives up, and so does the judgement.

use ahash::RandomState;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::meta::{self, Regex};
use regex_automata::nfa::thompson;
use regex_automata::{Input, MatchError, MatchErrorKind};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A compiled pattern, looked for anywhere in a text.
pub(crate) struct Pattern {
    states: DFA,
    /// Under which each thread keeps its states.
    id: u64,
    /// Where the pattern asks for words, and the text is not ASCII, the states cannot tell.
    words: Option<Regex>,
    /// Of its program, in KiB.
    size: u64,
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatternError {
    Invalid,
    TooLarge,
}

/// Bytes of a compiled program; the engine's own default is ten times this.
const LARGEST: usize = 1 << 20;

/// Bytes of states that are kept for a pattern.
const STATES: usize = 1 << 20;

/// Bytes of states that a thread keeps, for all patterns together.
const MOST_KEPT: usize = 8 << 20;

/// How often they may be thrown away before it counts how many bytes of a text each of them has served.
const CLEARED: usize = 3;
/// That many at least, and more where a state is dear: each costs about 100 ns for each KiB of the program.
const LEAST_SERVED: usize = 16;

/// Bytes of states that are built in a step: measured, each takes 5 to 15 ns, whatever the pattern.
const BUILT_A_STEP: usize = 4;

impl Pattern {
    pub fn of(pattern: &str) -> Result<Pattern, PatternError> {
        let program = thompson::Compiler::new()
            .configure(thompson::Config::new().nfa_size_limit(Some(LARGEST)))
            .build(pattern)
            .map_err(|error| match error.size_limit() {
                Some(_) => PatternError::TooLarge,
                None => PatternError::Invalid,
            })?;
        let size = program.memory_usage() >> 10;
        let asks_words = program.look_set_any().contains_word_unicode();
        let config = DFA::config()
            .cache_capacity(STATES)
            .skip_cache_capacity_check(true)
            .unicode_word_boundary(true)
            .minimum_cache_clear_count(Some(CLEARED))
            .minimum_bytes_per_state(Some(size.max(LEAST_SERVED)));
        let states =
            DFA::builder().configure(config).build_from_nfa(program).map_err(|_| PatternError::TooLarge)?;
        let words = || {
            let config = meta::Config::new().nfa_size_limit(Some(LARGEST));
            meta::Builder::new().configure(config).build(pattern).map_err(|_| PatternError::TooLarge)
        };
        let words = asks_words.then(words).transpose()?;
        static IDS: AtomicU64 = AtomicU64::new(0);
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        let size = u64::try_from(size).unwrap_or(u64::MAX).saturating_add(1);
        Ok(Pattern { states, id, words, size })
    }

    /// Whether it is found; `None` where that would take too long. `spend` takes steps of about 50 ns, and says whether
    /// there were as many.
    pub fn is_in(&self, text: &str, spend: impl Fn(u64) -> bool) -> Option<bool> {
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        if !spend(1 + length / 64) {
            return None;
        }
        let found = KEPT.with_borrow_mut(|kept| {
            kept.with(self.id, &self.states, |cache| self.search_or_anew(cache, text, &spend))
        });
        match (found?, &self.words) {
            (Ok(found), _) => Some(found),
            (Err(error), Some(words)) if matches!(error.kind(), MatchErrorKind::Quit { .. }) => {
                spend(length.saturating_mul(self.size)).then(|| words.is_match(text))
            }
            (Err(_), _) => None,
        }
    }

    fn search_or_anew(
        &self,
        cache: &mut Cache,
        text: &str,
        spend: impl Fn(u64) -> bool,
    ) -> Option<Result<bool, MatchError>> {
        let found = self.search(cache, text, &spend)?;
        // What others' texts have left there does not count.
        if found.as_ref().is_err_and(|error| matches!(error.kind(), MatchErrorKind::GaveUp { .. })) {
            cache.reset(&self.states);
            return self.search(cache, text, &spend);
        }
        Some(found)
    }

    /// One run, and its states paid for, also where it gave up; `None` where they were too many. States that are there
    /// already cost nothing, so a body at the edge may be too much only for the first time.
    fn search(
        &self,
        cache: &mut Cache,
        text: &str,
        spend: impl Fn(u64) -> bool,
    ) -> Option<Result<bool, MatchError>> {
        let (cleared, used) = (cache.clear_count(), cache.memory_usage());
        let found = self.states.try_search_fwd(cache, &Input::new(text).earliest(true));
        let thrown_away = cache.clear_count().saturating_sub(cleared).saturating_mul(STATES);
        let built = thrown_away.saturating_add(cache.memory_usage()).saturating_sub(used);
        let steps = u64::try_from(built / BUILT_A_STEP).unwrap_or(u64::MAX);
        spend(steps).then_some(found.map(|found| found.is_some()))
    }

    /// Of its program, in KiB, from 1.
    pub fn size(&self) -> u64 {
        self.size
    }
}

thread_local! {
    static KEPT: RefCell<Remembered> = RefCell::default();
}

/// The states of the patterns that a thread looked for. Who chooses the texts chooses how many there are.
#[derive(Default)]
struct Remembered {
    of: HashMap<u64, States, RandomState>,
    bytes: usize,
    uses: u64,
}

struct States {
    cache: Box<Cache>,
    /// Of the cache, after its last use.
    bytes: usize,
    /// Which use of all that was.
    used: u64,
}

impl Remembered {
    /// Uses the states of a pattern, and begins them if there are none. Afterwards, what was not looked for the longest
    /// time makes room.
    fn with<T>(&mut self, id: u64, dfa: &DFA, work: impl FnOnce(&mut Cache) -> T) -> T {
        self.uses += 1;
        let states = self.of.entry(id).or_insert_with(|| States {
            cache: Box::new(dfa.create_cache()),
            bytes: 0,
            used: 0,
        });
        states.used = self.uses;
        let done = work(&mut states.cache);
        let before = std::mem::replace(&mut states.bytes, states.cache.memory_usage());
        self.bytes = self.bytes.saturating_sub(before).saturating_add(states.bytes);
        while self.bytes > MOST_KEPT {
            let oldest = self.of.iter().min_by_key(|(_, states)| states.used).map(|(id, _)| *id);
            let Some(oldest) = oldest.and_then(|id| self.of.remove(&id)) else { break };
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
        }
        done
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Pattern({} KiB)", self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn patterns_are_found_or_given_up() {
        let is_in = |pattern: &str, text: &str| Pattern::of(pattern).unwrap().is_in(text, |_| true);
        for (pattern, text, found) in [
            ("^[A-Z]{2}[0-9]{9}$", "DE123456789", true),
            ("^[A-Z]{2}[0-9]{9}$", "DE1234567890", false),
            (r"^\w+$", "straße", true),
            (r"\bé\b", "a é b", true),
            (r"\bé\b", "aéb", false),
            ("", "", true),
            ("^$", "\n", false),
        ] {
            assert_eq!(is_in(pattern, text), Some(found), "{pattern} {text}");
        }
        let long = "a".repeat(200_000);
        for (pattern, found) in [
            ("^a+$", Some(true)),
            (r"^[\w\s]+$", Some(true)),
            (r"^[\p{L} .'-]{1,10}$", Some(false)),
            ("(a|b)*c", Some(false)),
            ("(a{1,50}){1,50}b", None),
            ("[ab]{1,400}a{200,300}c", Some(false)),
        ] {
            assert_eq!(is_in(pattern, &long), found, "{pattern}");
        }
        // One text does not decide over the next.
        let pattern = Pattern::of("(a{1,50}){1,50}b").unwrap();
        assert_eq!(pattern.is_in(&long, |_| true), None);
        assert_eq!(pattern.is_in(&"a".repeat(100), |_| true), Some(false));
        assert_eq!(pattern.is_in("xab", |_| true), Some(true));
        assert_eq!(pattern.is_in("xab", |_| false), None);
    }

    #[test]
    fn what_is_built_for_a_text_is_paid_for() {
        let pattern = Pattern::of("(a{1,50}){1,50}b").unwrap();
        let steps = |text: &str| {
            let spent = Cell::new(0);
            let found = pattern.is_in(text, |steps| {
                spent.set(spent.get() + steps);
                true
            });
            (found, spent.get())
        };
        let cacheful = u64::try_from(STATES / BUILT_A_STEP).unwrap();
        let (found, spent) = steps(&"a".repeat(400));
        assert_eq!(found, Some(false));
        assert!((cacheful..4 * cacheful).contains(&spent), "{spent}");
        // It ends with what is in the cache, and finds it there.
        steps(&"a".repeat(50));
        assert_eq!(steps(&"a".repeat(50)), (Some(false), 1));
        // Both runs that gave up.
        let (found, spent) = steps(&"a".repeat(2000));
        assert_eq!(found, None);
        assert!(spent > 4 * cacheful, "{spent}");
        assert_eq!(Pattern::of("a{1,400}b").unwrap().is_in(&"a".repeat(400), |steps| steps < 100), None);
    }

    /// However many patterns fill theirs.
    #[test]
    fn a_thread_keeps_no_more_states_than_it_may() {
        let text = "a".repeat(300);
        let patterns: Vec<Pattern> =
            (0..12).map(|n| Pattern::of(&format!("(a{{1,50}}){{1,50}}{n}b")).unwrap()).collect();
        let mut most = 0;
        for pattern in patterns.iter().chain(&patterns) {
            assert_eq!(pattern.is_in(&text, |_| true), Some(false));
            most = most.max(KEPT.with_borrow(|kept| kept.bytes));
        }
        assert!((MOST_KEPT / 2..=MOST_KEPT).contains(&most), "{most}");
        let (kept, last) = KEPT
            .with_borrow(|kept| (kept.of.len(), patterns.last().map(|last| kept.of.contains_key(&last.id))));
        assert!(kept < patterns.len() && last == Some(true), "{kept}");
    }

    #[test]
    fn patterns_that_are_none_or_too_large_are_told_apart() {
        assert_eq!(Pattern::of("((a{1,99}){1,99}){1,9}").err(), Some(PatternError::TooLarge));
        for pattern in ["(", "(?=a)b", r"(a)\1"] {
            assert_eq!(Pattern::of(pattern).err(), Some(PatternError::Invalid), "{pattern}");
        }
    }
}
