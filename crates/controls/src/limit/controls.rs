use super::table::{Count, Key, LimitTable, Quota, QuotaError};
use crate::order;
use ironbridge_core::{
    Control, Denial, Ending, Exchange, Judgement, Kind, LimitState, Presented, Row, code, subscriber,
};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

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

    /// `None` where nobody knows whom to count.
    fn key(&self, exchange: &Exchange) -> Option<Key> {
        let subject = match self.counts {
            Counts::Account => {
                exchange.account().map_or([0; 2], |account| [1, self.table.number(&*account.name)])
            }
            Counts::Address => caller(exchange)?,
            Counts::Operation => [0; 2],
        };
        Some(Key { limit: self.limit, subject })
    }
}

impl Control for RateLimit {
    fn row(&self) -> &'static Row {
        match self.counts {
            Counts::Account => &order::ACCOUNT_LIMIT,
            Counts::Address => &order::ADDRESS_LIMIT,
            Counts::Operation => &order::OPERATION_LIMIT,
        }
    }

    fn judge<'a>(&'a self, exchange: &'a mut Exchange) -> Judgement<'a> {
        let Some(key) = self.key(exchange) else { return Judgement::deny(&code::ADDRESS_UNKNOWN) };
        let count = self.table.take(key, self.quota, exchange.started);
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

/// Refuses with `rate-limited`, before the next credential is looked at, what keeps failing to authenticate: one and the
/// same credential from one address, and an address from which very many fail.
///
/// Callers share addresses. So a credential is not counted by its id, which others can know, but as a whole: nobody's
/// failures count against another's key. And an address that is not heard any more is still heard with credentials that
/// succeeded from there before. What succeeds is never counted.
#[derive(Clone)]
pub struct FailedAuthentication {
    table: Arc<LimitTable>,
    per_credential: Quota,
    per_address: Quota,
    limits: [u64; 3],
}

impl FailedAuthentication {
    /// How many times the failures of one credential an address may have in all.
    const CREDENTIALS: u64 = 10;
    /// How long a success from an address is remembered, as long as there is room for it.
    const PROVEN: Duration = Duration::from_secs(24 * 3600);

    /// `quota` is how many failures one credential has from one address; 60 per minute is a fair default. The address
    /// has ten times as many.
    ///
    /// # Errors
    /// A quota so high that ten times as many cannot be counted.
    pub fn new(table: Arc<LimitTable>, quota: Quota) -> Result<FailedAuthentication, QuotaError> {
        let per_address = Quota::new(quota.count().saturating_mul(Self::CREDENTIALS), quota.window())?;
        let name = |part| table.number(("failed authentication", part));
        let limits = [name("credential"), name("address"), name("proven")];
        Ok(FailedAuthentication { table, per_credential: quota, per_address, limits })
    }

    /// `None` where nobody knows whom to count.
    fn keys(&self, exchange: &Exchange) -> Option<Keys> {
        let address = caller(exchange)?;
        let [credential, whole, proven] = self.limits;
        let number = self.number(exchange).map(|number| [number, self.table.number(address)]);
        Some(Keys {
            credential: number.map(|subject| Key { limit: credential, subject }),
            proven: number.map(|subject| Key { limit: proven, subject }),
            address: Key { limit: whole, subject: address },
        })
    }

    /// The credential that came, as a number; `None` without one, or where there are several.
    fn number(&self, exchange: &Exchange) -> Option<u64> {
        match &exchange.presented {
            Presented::Claim(claim) => Some(self.table.number(claim.sensitive().expose())),
            Presented::Ambiguous { .. } => None,
            Presented::Nothing | Presented::Unspoken => {
                let leaf = exchange.origin.certificate()?.chain.first()?;
                Some(self.table.number(leaf))
            }
        }
    }

    fn has_succeeded(&self, keys: &Keys, now: Duration) -> bool {
        keys.proven.is_some_and(|key| self.table.remembers(key, now))
    }
}

/// The counters that one attempt concerns.
struct Keys {
    credential: Option<Key>,
    proven: Option<Key>,
    address: Key,
}

impl Control for FailedAuthentication {
    fn row(&self) -> &'static Row {
        &order::FAILED_AUTHENTICATION
    }

    fn judge<'a>(&'a self, exchange: &'a mut Exchange) -> Judgement<'a> {
        let Some(keys) = self.keys(exchange) else { return Judgement::deny(&code::ADDRESS_UNKNOWN) };
        let now = exchange.started;
        let of_credential = keys.credential.map(|key| self.table.peek(key, self.per_credential, now));
        if let Some(refused @ Count::Refused { .. }) = of_credential {
            return verdict(refused);
        }
        match self.table.peek(keys.address, self.per_address, now) {
            refused @ Count::Refused { .. } if !self.has_succeeded(&keys, now) => verdict(refused),
            _ => Judgement::PASS,
        }
    }

    fn settle(&self, exchange: &Exchange, ending: &Ending) {
        let Some(keys) = self.keys(exchange) else { return };
        let now = exchange.started;
        if exchange.principal.is_some() {
            if let Some(key) = keys.proven {
                self.table.remember(key, Self::PROVEN, now);
            }
            return;
        }
        let Ending::Denied(refusal) = *ending else { return };
        if refusal.kind == Kind::Unproven || *refusal == code::CREDENTIALS_AMBIGUOUS {
            self.table.take(keys.address, self.per_address, now);
            if let Some(key) = keys.credential {
                self.table.take(key, self.per_credential, now);
            }
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

/// The address that is counted. Those that the transport could not tell, and refuses for it, count as one caller: they
/// have no share of anybody's.
fn caller(exchange: &Exchange) -> Option<[u64; 2]> {
    match exchange.origin.address().map(subscriber) {
        Some(IpAddr::V4(v4)) => Some([4, u64::from(v4.to_bits())]),
        Some(IpAddr::V6(v6)) => u64::try_from(v6.to_bits() >> 64).ok().map(|prefix| [6, prefix]),
        None => exchange.refused.is_some().then_some([0; 2]),
    }
}
