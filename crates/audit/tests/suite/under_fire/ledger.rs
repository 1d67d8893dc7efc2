//! What the killed processes were told, and whether the trail holds it.

use super::load::{Plan, TOLD, WORKERS, detail_of, people, round_of};
use crate::exchanges::callers;
use ironbridge_audit::{Log, Retained, Stored};
use ironbridge_core::{ExchangeId, OwnerKey};
use std::collections::BTreeMap;
use std::sync::Arc;

pub struct Ledger {
    /// By index.
    told: BTreeMap<u64, ExchangeId>,
    /// Retention may have dropped the records, and the detail, of the rounds before.
    records_from: u64,
    detail_from: u64,
    keys: Vec<Arc<OwnerKey>>,
}

impl Ledger {
    pub fn new() -> Ledger {
        let mut keys = people();
        keys.push(callers());
        Ledger { told: BTreeMap::new(), records_from: 0, detail_from: 0, keys }
    }

    pub fn len(&self) -> u64 {
        self.told.len() as u64
    }

    pub fn may_drop(&mut self, records_before: u64, detail_before: u64) {
        self.records_from = self.records_from.max(records_before);
        self.detail_from = self.detail_from.max(detail_before);
    }

    /// Takes in what the process of this round wrote down. How much that was, and the lowest index.
    pub fn read(&mut self, plan: &Plan) -> (u64, Option<u64>) {
        let before = self.len();
        let mut lowest = None;
        for worker in 0..WORKERS {
            let bytes = std::fs::read(plan.told_to(worker)).unwrap();
            // The last may have been cut off by the kill.
            for told in bytes.chunks_exact(TOLD) {
                let index = u64::from_be_bytes(told[..8].try_into().unwrap());
                let id = ExchangeId::from_u128(u128::from_be_bytes(told[8..].try_into().unwrap()));
                assert_eq!(
                    self.told.insert(index, id),
                    None,
                    "round {}: {index} was given twice",
                    plan.round
                );
                lowest = lowest.min(Some(index)).or(Some(index));
            }
        }
        (self.len() - before, lowest)
    }

    /// Fails where a record from this index on, or its detail, is not what was told. How many of them are there.
    pub fn check(&self, log: &Log, from: u64, context: &str) -> u64 {
        let kept = log.kept().unwrap();
        let (mut found, mut next) = (0, from.max(kept.records));
        for stored in log.follow(next) {
            let stored = stored.unwrap_or_else(|fault| panic!("{context}: {fault}"));
            assert_eq!(stored.index, next, "{context}");
            next += 1;
            let id = ExchangeId::parse(&stored.entry.id).unwrap();
            if let Some(told) = self.told.get(&stored.index) {
                assert_eq!(id, *told, "{context}: record {}", stored.index);
                found += 1;
            }
            self.check_detail(&stored, id, kept, context);
        }
        let dropped = self.told.range(from..kept.records.max(from));
        let dropped = dropped.inspect(|(index, id)| {
            assert!(round_of(**id) < self.records_from, "{context}: retention dropped record {index}");
        });
        let missing = self.told.range(from..).count() - dropped.count() - found;
        assert_eq!(missing, 0, "{context}: acknowledged records are missing; the trail ends at {next}");
        found as u64
    }

    fn check_detail(&self, stored: &Stored, id: ExchangeId, kept: Retained, context: &str) {
        let expected = detail_of(id);
        let index = stored.index;
        if stored.details.is_empty() && index < kept.detail && round_of(id) < self.detail_from {
            return;
        }
        let opened =
            stored.open_details(|tag| self.keys.iter().find(|key| key.tag == *tag).map(|key| &**key));
        let opened: Option<Vec<String>> =
            opened.into_iter().map(|detail| detail.map(|detail| detail.value)).collect();
        assert_eq!(opened, Some(expected), "{context}: detail of record {index}");
    }
}
