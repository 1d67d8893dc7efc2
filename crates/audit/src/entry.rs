use crate::text::parse_time;
use ironbridge_core::Timestamp;
use serde::{Deserialize, Deserializer};

/// A record as it is read back. Texts that a record does not hold are empty. Fields that a later version of
/// the schema adds are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// The schema's version: 1.
    pub v: u32,
    /// The exchange's id.
    pub id: String,
    /// When the exchange began.
    #[serde(deserialize_with = "time")]
    pub time: Timestamp,
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
    pub generation: u64,
    #[serde(default)]
    pub account: String,
    /// The kind of credential.
    #[serde(default)]
    pub credential: String,
    #[serde(default)]
    pub credential_id: String,
    pub address: String,
    #[serde(default)]
    pub method: String,
    pub direction: String,
    pub records: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub duration_us: u64,
    pub outcome: String,
    pub code: String,
    #[serde(default)]
    pub status: Option<u16>,
    #[serde(default)]
    pub amends: bool,
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
