//! How often? (E4)
//!
//! Every limit is a generic cell rate algorithm (GCRA, ITU-T I.371 Annex A): each key holds one instant, the
//! *theoretical arrival time*, up to which its quota is spoken for. A quota of 1000 per minute lets 1000 pass at
//! once and then one every 60 ms, so no window ever sees more than twice the quota and none sees a cliff.

mod controls;
mod table;

pub use controls::{FailedAuthentication, RateLimit};
pub use table::{LimitTable, Quota, QuotaError};
