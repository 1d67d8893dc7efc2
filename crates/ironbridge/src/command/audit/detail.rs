use crate::failure::Failure;
use ironbridge_audit::detail::Detail;
use ironbridge_audit::{Log, Query, Stored};
use ironbridge_core::action::name;
use ironbridge_core::{OwnerKey, OwnerTag};
use ironbridge_engine::Home;
use ironbridge_privacy::Owners;
use ironbridge_seal::hash::hex;
use ironbridge_store::{Outbox, StoreError};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// The keys of a data directory: they open personal detail and find a person's records.
pub struct Keyring {
    runtime: Runtime,
    owners: Owners,
    log: Log,
    outbox: Arc<dyn Outbox>,
    /// Tags of whom an erasure was recorded, or is about to be.
    erased: Option<HashSet<String>>,
    /// Keys looked up, also in vain.
    at_hand: HashMap<OwnerTag, Option<Arc<OwnerKey>>>,
}

/// Keys at hand; beyond that they are looked up again.
const AT_HAND: usize = 10_000;

/// How often it is asked whether an erasure is finished.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Keyring {
    /// `log` says who was erased.
    pub fn open(home: &Home, log: Log) -> Result<Keyring, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let owners = runtime.block_on(home.owners())?;
        let outbox = home.outbox();
        Ok(Keyring { runtime, owners, log, outbox, erased: None, at_hand: HashMap::new() })
    }

    /// The record's details in their order.
    pub fn details(&mut self, record: &Stored) -> Result<Vec<Piece>, Failure> {
        let opened = self.open_details(record)?;
        let mut pieces = Vec::with_capacity(opened.len());
        for (sealed, opened) in record.details.iter().zip(opened) {
            pieces.push(match opened {
                Some(detail) => Piece::Opened(detail),
                None if matches!(self.at_hand.get(&sealed.owner), Some(Some(_))) => {
                    Piece::Faulty("altered: it does not open under its owner's key")
                }
                None if self.was_erased(&sealed.owner)? => Piece::Erased,
                None => Piece::Faulty("its owner's key is missing, and no record says that it was erased"),
            });
        }
        Ok(pieces)
    }

    /// As [`Keyring::details`], with `None` for what was erased.
    ///
    /// # Errors
    /// Where a piece is at fault.
    pub fn whole_details(&mut self, record: &Stored) -> Result<Vec<Option<Detail>>, Failure> {
        let kinds = record.details.iter().map(|sealed| sealed.kind.name());
        let pieces = self.details(record)?.into_iter().zip(kinds);
        pieces.map(|(piece, kind)| piece.whole().map_err(|fault| at_fault(record, kind, fault))).collect()
    }

    /// An erasure leaves a record, which outlives the detail; until the bridge runs, it waits in the store.
    fn was_erased(&mut self, owner: &OwnerTag) -> Result<bool, Failure> {
        let erased = match self.erased.take() {
            Some(erased) => erased,
            None => self.find_erased()?,
        };
        Ok(self.erased.insert(erased).contains(&hex(owner)))
    }

    fn find_erased(&self) -> Result<HashSet<String>, Failure> {
        let waiting = self.runtime.block_on(self.outbox.pending(u32::MAX))?.into_iter();
        let mut erased: HashSet<String> =
            waiting.filter(|action| action.name == name::SUBJECT_ERASE).map(|action| action.object).collect();
        let query = Query { action: Some(name::SUBJECT_ERASE.to_owned()), ..Query::default() };
        for record in self.log.query(query)? {
            erased.insert(record?.entry.object);
        }
        Ok(erased)
    }

    /// `None` where a piece does not open.
    fn open_details(&mut self, record: &Stored) -> Result<Vec<Option<Detail>>, Failure> {
        let tags = record.details.iter().map(|detail| detail.owner);
        let unknown: Vec<OwnerTag> = tags.filter(|tag| !self.at_hand.contains_key(tag)).collect();
        if !unknown.is_empty() {
            if self.at_hand.len() > AT_HAND {
                self.at_hand.clear();
                return self.open_details(record);
            }
            let mut found = self.runtime.block_on(self.owners.by_tags(&unknown))?;
            self.at_hand.extend(unknown.into_iter().map(|tag| (tag, found.remove(&tag))));
        }
        Ok(record.open_details(|tag| self.at_hand.get(tag)?.as_deref()))
    }

    /// Only what could be opened.
    pub fn opened(&mut self, record: &Stored) -> Result<Vec<Detail>, Failure> {
        Ok(self.whole_details(record)?.into_iter().flatten().collect())
    }

    /// Under which tag a person's detail lies, if the bridge has ever seen that id and did not forget it.
    pub fn subject(&self, id: &str) -> Result<Option<OwnerTag>, StoreError> {
        Ok(self.runtime.block_on(self.owners.find_subject(id))?.map(|key| key.tag))
    }

    /// Whether the keys are those that the bridge left.
    pub fn is_whole(&self) -> Result<bool, StoreError> {
        self.runtime.block_on(self.owners.are_whole())
    }

    /// Destroys the key of a person's detail.
    pub fn erase(&self, id: &str) -> Result<Option<OwnerTag>, StoreError> {
        self.runtime.block_on(self.owners.erase_subject(id))
    }

    /// Whether nothing is left of destroyed keys in the store's files; waits for others to let go of them.
    pub fn erased_within(&self, patience: Duration) -> Result<bool, StoreError> {
        let settled = async {
            while self.owners.erasure_pending().await? {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Ok(true)
        };
        self.runtime.block_on(async { tokio::time::timeout(patience, settled).await.unwrap_or(Ok(false)) })
    }
}

/// What is known of a piece of detail.
pub enum Piece {
    Opened(Detail),
    Erased,
    /// It should open, and does not.
    Faulty(&'static str),
}

impl Piece {
    pub fn opened(&self) -> Option<&Detail> {
        match self {
            Piece::Opened(detail) => Some(detail),
            Piece::Erased | Piece::Faulty(_) => None,
        }
    }

    /// The detail, `None` if it was erased, or what is wrong.
    pub fn whole(self) -> Result<Option<Detail>, &'static str> {
        match self {
            Piece::Opened(detail) => Ok(Some(detail)),
            Piece::Erased => Ok(None),
            Piece::Faulty(fault) => Err(fault),
        }
    }
}

/// A piece of a record's detail that should open, and does not.
pub fn at_fault(record: &Stored, kind: &str, fault: &str) -> Failure {
    Failure::new(format!("the audit trail does not verify: detail of record {}: {kind}: {fault}", record.index))
        .help("somebody changed the audit directory or the store: keep both as evidence, and compare them with a backup")
}

/// What an optional keyring opens: without one, nothing.
pub fn opened(keyring: &mut Option<Keyring>, record: &Stored) -> Result<Vec<Detail>, Failure> {
    keyring.as_mut().map_or(Ok(Vec::new()), |keyring| keyring.opened(record))
}

/// A record with its opened details, for programs; `null` where the key is gone.
pub fn as_json(record: &Stored, details: &[Option<Detail>]) -> Result<Value, Failure> {
    let pieces = record.details.iter().zip(details).map(|(sealed, opened)| {
        json!({ "kind": sealed.kind.name(), "value": opened.as_ref().map(|detail| &detail.value) })
    });
    Ok(json!({
        "index": record.index,
        "record": serde_json::from_str::<Value>(&record.json)?,
        "details": pieces.collect::<Value>(),
    }))
}
