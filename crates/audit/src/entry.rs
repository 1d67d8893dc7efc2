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
    #[serde(default)]
    pub integration: String,
    #[serde(default)]
    pub operation: String,
    #[serde(default)]
    pub permission: String,
    #[serde(default)]
    pub transport: String,
    #[serde(default)]
    pub source: String,
    #[serde(default)]
    pub source_country: String,
    #[serde(default)]
    pub target: String,
    #[serde(default)]
    pub target_country: String,
    #[serde(default)]
    pub purpose: String,
    #[serde(default)]
    pub legal_basis: String,
    #[serde(default)]
    pub subjects: Vec<String>,
    #[serde(default)]
    pub categories: Vec<String>,
    /// As what a disclosure counts (45 CFR 164.528); empty: one to be accounted for.
    #[serde(default)]
    pub disclosure: String,
    pub generation: u64,
    #[serde(default)]
    pub account: String,
    /// The kind of credential.
    #[serde(default)]
    pub credential: String,
    #[serde(default)]
    pub credential_id: String,
    /// Only in version 1; since then a commitment among the details.
    #[serde(default)]
    pub address: String,
    #[serde(default)]
    pub method: String,
    #[serde(default)]
    pub direction: String,
    /// `None`: not known. Records of older versions say 0 for that too.
    #[serde(default)]
    pub records: Option<u64>,
    #[serde(default)]
    pub bytes_in: u64,
    #[serde(default)]
    pub bytes_out: u64,
    #[serde(default)]
    pub duration_us: u64,
    pub outcome: String,
    pub code: String,
    /// Which of the operator's own rules refused it.
    #[serde(default)]
    pub refused_by: String,
    #[serde(default)]
    pub status: Option<u16>,
    #[serde(default)]
    pub amends: bool,
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
