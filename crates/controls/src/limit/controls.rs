use super::table::{Count, Key, LimitTable, Quota};
use ironbridge_core::{Control, Denial, Ending, Exchange, Judgement, LimitState, Phase, code};
use std::net::IpAddr;
use std::sync::Arc;

/// Refuses with `rate-limited` what exceeds a quota, and tells the tightest counter, or the one that
/// refused, in `exchange.limit`.
///
/// Time is the exchange's own arrival. A refused exchange takes nothing from the quota.
#[derive(Clone)]
pub struct RateLimit {
    table: Arc<LimitTable>,
    quota: Quota,
    counts: Counts,
    /// The limit's identity in the table.
    limit: u64,
}

/// What shares a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    Account,
    Address,
    Operation,
}

impl RateLimit {
    /// A counter for each account, after authentication. `name` is the limit's stable name, such as
    /// `order-sync` or `order-sync/list-orders`: it finds the same counters again after a reload.
    pub fn per_account(table: Arc<LimitTable>, name: &str, quota: Quota) -> RateLimit {
        RateLimit::new(table, Counts::Account, name, quota)
    }

    /// A counter for each address, before authentication. IPv6 addresses share one per /64, the least that one
    /// subscriber gets (RFC 6177).
    pub fn per_address(table: Arc<LimitTable>, name: &str, quota: Quota) -> RateLimit {
        RateLimit::new(table, Counts::Address, name, quota)
    }

    /// One counter for everyone.
    pub fn per_operation(table: Arc<LimitTable>, name: &str, quota: Quota) -> RateLimit {
        RateLimit::new(table, Counts::Operation, name, quota)
    }

    fn new(table: Arc<LimitTable>, counts: Counts, name: &str, quota: Quota) -> RateLimit {
        let limit = table.number((counts.policy(), name));
        RateLimit { table, quota, counts, limit }
    }

    fn key(&self, exchange: &Exchange) -> Key {
        let subject = match self.counts {
            Counts::Account => {
                exchange.account().map_or([0; 2], |account| [1, self.table.number(&*account.name)])
            }
            Counts::Address => subscriber(exchange.peer.address),
            Counts::Operation => [0; 2],
        };
        Key { limit: self.limit, subject }
    }
}

impl Control for RateLimit {
    fn name(&self) -> &'static str {
        match self.counts {
            Counts::Account => "account limit",
            Counts::Address => "address limit",
            Counts::Operation => "operation limit",
        }
    }

    fn phase(&self) -> Phase {
        match self.counts {
            Counts::Address => Phase::Admit,
            Counts::Account | Counts::Operation => Phase::Throttle,
        }
    }

    fn judge<'a>(&'a self, exchange: &'a mut Exchange) -> Judgement<'a> {
        let count = self.table.take(self.key(exchange), self.quota, exchange.started);
        let (remaining, reset) = match count {
            Count::Passed { remaining, reset } => (remaining, reset),
            // Retry-After may not be earlier than what `t` says, and both are when one more passes.
            Count::Refused { wait } => (0, wait),
        };
        let state = LimitState {
            policy: self.counts.policy(),
            quota: self.quota.count(),
            window: self.quota.window(),
            remaining,
            reset,
        };
        let refused = matches!(count, Count::Refused { .. });
        if refused || exchange.limit.is_none_or(|known| tighter(&state, &known)) {
            exchange.limit = Some(state);
        }
        verdict(count)
    }
}

impl Counts {
    /// The policy's name in the RateLimit fields.
    const fn policy(self) -> &'static str {
        match self {
            Counts::Account => "account",
            Counts::Address => "address",
            Counts::Operation => "operation",
        }
    }
}

/// Refuses an address with `rate-limited` once too many of its attempts to authenticate have failed, before the
/// next credential is looked at. What succeeds is never counted.
#[derive(Clone)]
pub struct FailedAuthentication {
    table: Arc<LimitTable>,
    quota: Quota,
    limit: u64,
}

impl FailedAuthentication {
    /// `quota` is how many failures an address has; 60 per minute is a fair default.
    pub fn new(table: Arc<LimitTable>, quota: Quota) -> FailedAuthentication {
        let limit = table.number("failed authentication");
        FailedAuthentication { table, quota, limit }
    }

    fn key(&self, exchange: &Exchange) -> Key {
        Key { limit: self.limit, subject: subscriber(exchange.peer.address) }
    }
}

impl Control for FailedAuthentication {
    fn name(&self) -> &'static str {
        "failed-authentication limit"
    }

    fn phase(&self) -> Phase {
        Phase::Admit
    }

    fn judge<'a>(&'a self, exchange: &'a mut Exchange) -> Judgement<'a> {
        verdict(self.table.peek(self.key(exchange), self.quota, exchange.started))
    }

    fn settle(&self, exchange: &Exchange, ending: &Ending) {
        let Ending::Denied(refusal) = *ending else { return };
        // Codes are told apart by their id: statics need not have one address across crates.
        let failed = refusal.status == 401 || refusal.id == code::CREDENTIALS_AMBIGUOUS.id;
        if exchange.principal.is_none() && failed {
            self.table.take(self.key(exchange), self.quota, exchange.started);
        }
    }
}

fn verdict(count: Count) -> Judgement<'static> {
    match count {
        Count::Passed { .. } => Judgement::PASS,
        Count::Refused { wait } => Judgement::deny(Denial::new(&code::RATE_LIMITED).retry_after(wait)),
    }
}

/// Whether fewer are left, or, among equals, whether it takes longer until they are back.
fn tighter(this: &LimitState, known: &LimitState) -> bool {
    (this.remaining, std::cmp::Reverse(this.reset)) < (known.remaining, std::cmp::Reverse(known.reset))
}

/// The address as numbers; IPv6 without its lower 64 bits.
fn subscriber(address: IpAddr) -> [u64; 2] {
    match address.to_canonical() {
        IpAddr::V4(v4) => [4, u64::from(u32::from(v4))],
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            [6, [a, b, c, d].iter().fold(0, |prefix, segment| prefix << 16 | u64::from(*segment))]
        }
    }
}
