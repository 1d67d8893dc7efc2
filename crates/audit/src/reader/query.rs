//! What can be asked of the records.

use super::entries::Stored;
use ironbridge_core::{OwnerTag, Timestamp};

/// Which records, and in which order. What is `None` does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Begun at or after.
    pub since: Option<Timestamp>,
    /// Begun before.
    pub until: Option<Timestamp>,
    /// The exchange's id, or the action's.
    pub id: Option<String>,
    /// As declared.
    pub integration: Option<String>,
    /// Which of an integration's operations.
    pub operation: Option<String>,
    /// Who called, or acted.
    pub account: Option<String>,
    /// What the operation requires.
    pub permission: Option<String>,
    /// `success`, `accepted`, `partial`, `denied` or `failed`.
    pub outcome: Option<String>,
    /// How it ended, by the code of its page.
    pub code: Option<String>,
    /// What was done; a query for it finds no exchange.
    pub action: Option<String>,
    /// The system that called.
    pub source: Option<String>,
    /// The system that was called.
    pub target: Option<String>,
    /// The owner tag of a data subject that the record's detail names.
    pub subject: Option<OwnerTag>,
    /// Whether records come with their sealed detail. It lies elsewhere, so scattered records cost more with it; without
    /// it some may come with it all the same. A query by subject always reads it.
    pub details: bool,
    /// In which order they come.
    pub order: Order,
    /// Reads every record, whatever an index says: who can write beside the log can have an index pass records over.
    pub whole: bool,
    /// At most so many records.
    pub limit: Option<usize>,
}

/// By the records' place in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Ascending index.
    #[default]
    OldestFirst,
    /// Descending index.
    NewestFirst,
}

impl Query {
    /// Whether a record is among those asked for; limit and order aside.
    pub fn matches(&self, stored: &Stored) -> bool {
        let entry = &stored.entry;
        let texts = [
            (&self.id, &entry.id),
            (&self.integration, &entry.integration),
            (&self.operation, &entry.operation),
            (&self.account, &entry.account),
            (&self.permission, &entry.permission),
            (&self.outcome, &entry.outcome),
            (&self.code, &entry.code),
            (&self.action, &entry.action),
            (&self.source, &entry.source),
            (&self.target, &entry.target),
        ];
        self.since.is_none_or(|since| entry.time >= since)
            && self.until.is_none_or(|until| entry.time < until)
            && texts.iter().all(|(wanted, found)| wanted.as_ref().is_none_or(|wanted| wanted == *found))
            && self.subject.is_none_or(|subject| stored.subjects().any(|tag| *tag == subject))
    }
}
