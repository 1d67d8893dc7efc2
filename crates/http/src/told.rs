//! Refusals in the operator's log. What callers do wrong, and targets, they do many times: of each kind some have a line
//! of their own, and the next line after a minute says how many came in between. The audit trail has them all.

use ironbridge_core::{Denial, Exchange, Fault, code};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

/// For so long a kind has a bound.
const WINDOW: Duration = Duration::from_secs(60);
/// Lines of one kind in that time. A caller's mistake is one to the operator too; of a failure each may have another
/// reason, which stands in the log only.
const OF_CALLERS: u64 = 1;
const OF_FAILURES: u64 = 20;
/// Kinds that are told apart; further ones wait until some are a minute old.
const MAX_KINDS: usize = 1024;
/// Between two looks for such: all cores wait while one looks.
const SWEEP: Duration = Duration::from_secs(1);

/// Of what kinds lines were written.
#[derive(Debug, Default)]
pub struct Told {
    kinds: Mutex<Kinds>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Kinds {
    known: HashMap<u64, Kind>,
    /// When those that are old enough were last forgotten, by the clock that nobody sets.
    swept: Duration,
}

/// The refusals with one code at one operation of one account, or with one error of one client's tokens.
#[derive(Debug, Clone, Copy)]
struct Kind {
    since: Duration,
    times: u64,
}

impl Told {
    /// The internal half of a denial goes to the operator's log and nowhere else.
    pub(crate) fn log(&self, denial: &Denial, exchange: &Exchange) {
        // A rule that does not suit its schema has said so, once a minute: callers choose how often they meet it.
        if denial.code == &code::RULE_UNFIT {
            return line(denial, exchange, None);
        }
        let lines = if denial.code.fault == Fault::Caller { OF_CALLERS } else { OF_FAILURES };
        line(denial, exchange, self.counted_of(denial, exchange, lines));
    }

    /// A token that was not issued, to a client if there is one of that name.
    pub(crate) fn token_refused(
        &self,
        exchange: &Exchange,
        client: Option<&str>,
        error: &str,
        refused: &str,
    ) {
        let Some(untold) = self.counted(("token", error, client), exchange.started, OF_CALLERS) else {
            return;
        };
        let (id, address) = (&exchange.id, exchange.origin.address());
        let untold_before = Some(untold).filter(|count| *count > 0);
        tracing::info!(
            %id, client, address = address.map(tracing::field::display), refused, untold_before,
            "token request refused; `ironbridge explain {error}` says more"
        );
    }

    /// As [`Told::counted`], of a refusal with this code at this operation of this account.
    fn counted_of(&self, denial: &Denial, exchange: &Exchange, lines: u64) -> Option<u64> {
        let flow = &exchange.flow;
        let operation = flow.operation.as_ref().map(|operation| &*operation.name);
        let kind =
            (denial.code.id, &*flow.integration.name, operation, exchange.account().map(|by| &*by.name));
        self.counted(kind, exchange.started, lines)
    }

    /// `None` where there were enough of the kind; otherwise how many had no line since the last.
    fn counted(&self, kind: impl Hash, now: Duration, lines: u64) -> Option<u64> {
        let key = self.hasher.hash_one(kind);
        let mut kinds = self.kinds.lock();
        if kinds.known.len() >= MAX_KINDS && !kinds.known.contains_key(&key) {
            if now.saturating_sub(kinds.swept) >= SWEEP {
                kinds.swept = now;
                kinds.known.retain(|_, kind| now.saturating_sub(kind.since) < WINDOW);
            }
            if kinds.known.len() >= MAX_KINDS {
                return None;
            }
        }
        let kind = kinds.known.entry(key).or_insert(Kind { since: now, times: 0 });
        if now.saturating_sub(kind.since) >= WINDOW {
            let untold = kind.times.saturating_sub(lines);
            *kind = Kind { since: now, times: 1 };
            return Some(untold);
        }
        kind.times = kind.times.saturating_add(1);
        (kind.times <= lines).then_some(0)
    }
}

/// One line, at the level of those who read it; at debug where there were enough.
fn line(denial: &Denial, exchange: &Exchange, untold: Option<u64>) {
    let integration = &exchange.flow.integration;
    let (id, code, internal) = (&exchange.id, denial.code.id, denial.internal.as_deref());
    let (target, name) = (known(&integration.target.name), known(&integration.name));
    let operation = exchange.flow.operation.as_ref().map(|operation| &*operation.name);
    let account = exchange.account().map(|account| &*account.name);
    // What a reply is that cannot be read is half of the reason.
    let (reply_type, refused_by) = (exchange.reply_media_type.as_deref(), denial.by.as_deref());
    let untold_before = untold.filter(|count| *count > 0);
    match (untold, denial.code.fault) {
        (None, _) => {
            tracing::debug!(%id, integration = name, operation, account, target, code, refused_by, internal, reply_type, "refused");
        }
        (Some(_), Fault::Caller) => tracing::info!(
            %id, integration = name, operation, account, target, code, refused_by, internal, untold_before,
            "refused; `ironbridge explain {code}` says what to do"
        ),
        (Some(_), _) => tracing::warn!(
            %id, integration = name, operation, account, target, code, refused_by, internal, reply_type, untold_before,
            "failed; `ironbridge explain {code}` says what to do"
        ),
    }
}

fn known(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironbridge_core::{ExchangeId, Flow, Peer, Timestamp};
    use std::sync::Arc;

    fn exchange(second: u64) -> Exchange {
        // The wall clock is set back meanwhile.
        let received = Timestamp::from_seconds(1_000_000 - second);
        let (started, flow) =
            (Duration::from_secs(second), Arc::new(Flow::undeclared(&crate::status::TRANSPORT, 1)));
        Exchange::new(ExchangeId::default(), received, started, flow, Peer::default())
    }

    #[test]
    fn a_kind_has_so_many_lines_a_minute_and_then_a_count() {
        let told = Told::default();
        let at = |second, code| {
            let denial = Denial::new(code);
            let lines = if denial.code.fault == Fault::Caller { OF_CALLERS } else { OF_FAILURES };
            told.counted_of(&denial, &exchange(second), lines)
        };
        assert_eq!(at(0, &code::CREDENTIALS_MISSING), Some(0));
        for _ in 0..41 {
            assert_eq!(at(30, &code::CREDENTIALS_MISSING), None);
        }
        assert_eq!(at(30, &code::API_KEY_UNKNOWN), Some(0), "another code is another kind");
        assert_eq!(at(61, &code::CREDENTIALS_MISSING), Some(41));
        assert_eq!(at(122, &code::CREDENTIALS_MISSING), Some(0));
        let failures = (0..100).filter(|_| at(5, &code::TARGET_TIMEOUT).is_some()).count();
        assert_eq!(failures, 20);
    }
}
