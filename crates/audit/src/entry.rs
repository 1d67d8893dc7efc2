//! A record as it is read back.

use crate::text::parse_time;
use ironbridge_core::Timestamp;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// A record as it is read back. Texts that a record does not hold are empty. Fields that a later version of
/// the schema adds are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// The schema's version: 1 or 2.
    pub v: u32,
    /// The exchange's id, or the action's.
    pub id: String,
    /// When the exchange began, or the action was done.
    #[serde(deserialize_with = "time")]
    pub time: Timestamp,
    /// What was done, one of [`ironbridge_core::action::name`]; empty in the record of an exchange.
    #[serde(default)]
    pub action: String,
    /// To what it was done.
    #[serde(default)]
    pub object: String,
    /// What else is known of an action.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
    /// As declared; empty where no operation was found.
    #[serde(default)]
    pub integration: String,
    /// Which of the integration's operations.
    #[serde(default)]
    pub operation: String,
    /// What the operation requires.
    #[serde(default)]
    pub permission: String,
    /// Which protocol family it came by, such as `http`.
    #[serde(default)]
    pub transport: String,
    /// The system that called, as declared.
    #[serde(default)]
    pub source: String,
    /// Its country: two letters (ISO 3166-1).
    #[serde(default)]
    pub source_country: String,
    /// The system that was called, as declared.
    #[serde(default)]
    pub target: String,
    /// Its country: two letters (ISO 3166-1).
    #[serde(default)]
    pub target_country: String,
    /// What the integration is declared to be for.
    #[serde(default)]
    pub purpose: String,
    /// On which basis (GDPR Art. 6(1)), as declared.
    #[serde(default)]
    pub legal_basis: String,
    /// Kinds of people that it concerns, as declared; never who they are.
    #[serde(default)]
    pub subjects: Vec<String>,
    /// Kinds of data, as declared.
    #[serde(default)]
    pub categories: Vec<String>,
    /// As what a disclosure counts (45 CFR 164.528); empty: one to be accounted for.
    #[serde(default)]
    pub disclosure: String,
    /// Of the manifest that was in force: it counts up with every reload.
    pub generation: u64,
    /// Who was shown to call; empty where nobody was.
    #[serde(default)]
    pub account: String,
    /// The kind of credential.
    #[serde(default)]
    pub credential: String,
    /// Which of the account's credentials of that kind, such as an API key's public half.
    #[serde(default)]
    pub credential_id: String,
    /// Only in version 1; since then a commitment among the details.
    #[serde(default)]
    pub address: String,
    /// The verb, such as `POST`.
    #[serde(default)]
    pub method: String,
    /// Which way data went, as far as bytes tell: `to_target`, `to_source`, `both` or `none`.
    #[serde(default)]
    pub direction: String,
    /// `None`: not known. Records of older versions say 0 for that too.
    #[serde(default)]
    pub records: Option<u64>,
    /// Of the request's body.
    #[serde(default)]
    pub bytes_in: u64,
    /// Of the answer's body.
    #[serde(default)]
    pub bytes_out: u64,
    /// How long it took, in microseconds.
    #[serde(default)]
    pub duration_us: u64,
    /// `success`, `accepted`, `partial`, `denied` or `failed`.
    pub outcome: String,
    /// The code of its ending, such as `rate-limited`; each has a page.
    pub code: String,
    /// Which of the operator's own rules refused it.
    #[serde(default)]
    pub refused_by: String,
    /// The number that its transport answered with, where it has such numbers.
    #[serde(default)]
    pub status: Option<u16>,
    /// A second record of the same exchange: it ended otherwise than the first one says.
    #[serde(default)]
    pub amends: bool,
    /// The id of the record that says that it was accepted, where this one is of its delivery; else empty.
    #[serde(default)]
    pub accepted_as: String,
    /// How many refusals it stands for.
    #[serde(default = "one")]
    pub count: u64,
    /// When the last of them came; `time` is when the first did.
    #[serde(default, deserialize_with = "time_if_any")]
    pub last: Option<Timestamp>,
    /// From how many sources, where it stands for those of several.
    #[serde(default)]
    pub sources: Option<u64>,
    /// How many pieces of personal detail it commits to.
    #[serde(default)]
    pub details: u32,
    /// Base64 of the SHA-256 over their commitments; see [`crate::detail`].
    #[serde(default)]
    pub detail: String,
}

impl Entry {
    /// Reads a leaf.
    pub fn parse(leaf: &[u8]) -> Result<Entry, serde_json::Error> {
        serde_json::from_slice(leaf)
    }
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_time(&text).ok_or_else(|| serde::de::Error::custom("not a time in RFC 3339 with microseconds"))
}

fn time_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    time(deserializer).map(Some)
}

const fn one() -> u64 {
    1
}
