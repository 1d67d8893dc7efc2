use crate::failure::Failure;
use ironbridge_audit::Stored;
use ironbridge_audit::detail::Detail;
use ironbridge_core::{OwnerKey, OwnerTag};
use ironbridge_engine::Home;
use ironbridge_privacy::Owners;
use ironbridge_store::StoreError;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// The keys of a data directory: they open personal detail and find a person's records.
pub struct Keyring {
    runtime: Runtime,
    owners: Owners,
    /// Keys looked up, also in vain.
    at_hand: HashMap<OwnerTag, Option<Arc<OwnerKey>>>,
}

/// Keys at hand; beyond that they are looked up again.
const AT_HAND: usize = 10_000;

/// How often it is asked whether an erasure is finished.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Keyring {
    pub fn open(home: &Home) -> Result<Keyring, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let owners = runtime.block_on(home.owners())?;
        Ok(Keyring { runtime, owners, at_hand: HashMap::new() })
    }

    /// The record's details in their order; `None` where the key is gone.
    pub fn details(&mut self, record: &Stored) -> Result<Vec<Option<Detail>>, Failure> {
        let tags = record.details.iter().map(|detail| detail.owner);
        let unknown: Vec<OwnerTag> = tags.filter(|tag| !self.at_hand.contains_key(tag)).collect();
        if !unknown.is_empty() {
            if self.at_hand.len() > AT_HAND {
                self.at_hand.clear();
                return self.details(record);
            }
            let mut found = self.runtime.block_on(self.owners.by_tags(&unknown))?;
            self.at_hand.extend(unknown.into_iter().map(|tag| (tag, found.remove(&tag))));
        }
        Ok(record.open_details(|tag| self.at_hand.get(tag)?.as_deref()))
    }

    /// Only what could be opened.
    pub fn opened(&mut self, record: &Stored) -> Result<Vec<Detail>, Failure> {
        Ok(self.details(record)?.into_iter().flatten().collect())
    }

    /// Under which tag a person's detail lies, if the bridge has ever seen that id and did not forget it.
    pub fn subject(&self, id: &str) -> Result<Option<OwnerTag>, StoreError> {
        Ok(self.runtime.block_on(self.owners.find_subject(id))?.map(|key| key.tag))
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
