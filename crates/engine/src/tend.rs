//! Upkeep of a running bridge, in the background.

use crate::actions;
use crate::lasting::Lasting;
use crate::publishing;
use crate::services::Services;
use crate::store_watch;
use ironbridge_audit::{AuditError, Indexer, Limits, Log};
use ironbridge_core::action::name;
use ironbridge_core::{Clock, Outcome, Timestamp, word};
use ironbridge_manifest::Audit;
use ironbridge_seal::note::{self, NoteVerifier};
use ironbridge_store::StoreError;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::AbortHandle;

/// Last-used times are written together, this often.
const LAST_USED: Duration = Duration::from_secs(30);
const DAILY: Duration = Duration::from_secs(24 * 3600);
const HOURLY: Duration = Duration::from_secs(3600);
/// A block of the index is due every 65,536 records; one look costs a few reads.
const INDEX: Duration = Duration::from_secs(2);
/// A checkpoint comes about once a second while there are records.
const MARK: Duration = Duration::from_secs(1);

/// After a failure: a revocation that could not be read must not wait for the store's next change.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// How often the clocks are looked at.
const CLOCKS: Duration = Duration::from_secs(60);

pub fn start(services: &Arc<Services>) -> Vec<AbortHandle> {
    [
        tokio::spawn(follow_credentials(Arc::clone(services))).abort_handle(),
        tokio::spawn(forget_destroyed_keys(Arc::clone(services))).abort_handle(),
        tokio::spawn(write_last_used(Arc::clone(services))).abort_handle(),
        tokio::spawn(rotate_signing_key(Arc::clone(services))).abort_handle(),
        tokio::spawn(store_watch::follow(Arc::clone(services))).abort_handle(),
        tokio::spawn(actions::follow_outbox(Arc::clone(services))).abort_handle(),
        tokio::spawn(follow_log_keys(Arc::clone(services))).abort_handle(),
        tokio::spawn(count_kept(Arc::clone(services))).abort_handle(),
        tokio::spawn(index(Arc::clone(services))).abort_handle(),
        tokio::spawn(mark_trail(Arc::clone(services))).abort_handle(),
        tokio::spawn(drop_what_is_old(Arc::clone(services))).abort_handle(),
        tokio::spawn(publishing::follow(Arc::clone(services), services.audit())).abort_handle(),
    ]
    .into()
}

/// Keys issued or revoked by a command take effect here within the store's notice.
async fn follow_credentials(services: Arc<Services>) {
    let mut changes = services.home.store.changes();
    let (mut told, mut lasting) = (HashSet::new(), Lasting::default());
    tell_owners(&services).await;
    loop {
        changes.borrow_and_update();
        let read = read_again(&services, &mut told).await;
        let is_unread = read.is_err();
        match read {
            Ok(()) if lasting.works() => tracing::info!("issued credentials are read again"),
            Ok(()) => {}
            Err(error) if lasting.fails(&error) => {
                tracing::error!(%error, "issued credentials could not be read again");
            }
            Err(_) => {}
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(READ_AGAIN), if is_unread => {}
        }
    }
}

/// What can be read counts, whatever else cannot. The first of what went wrong.
async fn read_again(services: &Services, told: &mut HashSet<String>) -> Result<(), StoreError> {
    let keys = services.api_keys.reload().await;
    let secrets = services.client_secrets.reload().await;
    let altered = tell_altered(services, told).await;
    keys.and(secrets).and(altered)
}

/// Somebody wrote into the store by hand: that opens nothing, and is recorded once while the bridge runs.
async fn tell_altered(services: &Services, told: &mut HashSet<String>) -> Result<(), StoreError> {
    let altered = services.home.store.altered().await?;
    for id in altered.iter().filter(|id| !told.contains(*id)) {
        tracing::error!(
            row = %id,
            "another hand than this bridge's has put this row into the store, changed it there, put it back as it was \
             or removed it; it does not count. Find out who can write store.sqlite, and issue or set it anew"
        );
        let refused = services.action(name::STORE_REFUSE, id.as_str());
        services.note(refused.not_done(Outcome::Failed, &word::ROW_ALTERED)).await;
    }
    *told = altered.into_iter().collect();
    Ok(())
}

/// Whether the owners' keys are those that were left, once: it reads them all.
async fn tell_owners(services: &Services) {
    match services.home.store.owners_whole().await {
        Ok(true) => {}
        Ok(false) => {
            tracing::error!(
                "another hand than this bridge's has removed keys of data subjects from the store, or put them back: \
                 what is asked of a person is incomplete. Find out who can write store.sqlite, and restore it from a backup"
            );
            let refused = services.action(name::STORE_REFUSE, "owners");
            services.note(refused.not_done(Outcome::Failed, &word::ROW_ALTERED)).await;
        }
        Err(error) => tracing::error!(%error, "the keys of data subjects could not be checked"),
    }
}

/// A key that a command destroyed must not stay in an idle bridge's memory until the next exchange.
async fn forget_destroyed_keys(services: Arc<Services>) {
    let mut changes = services.home.store.changes();
    while changes.changed().await.is_ok() {
        services.owners.forget_destroyed();
    }
}

async fn write_last_used(services: Arc<Services>) {
    loop {
        tokio::time::sleep(LAST_USED).await;
        for ring in [&services.api_keys, &services.client_secrets] {
            if let Err(error) = ring.flush_last_used().await {
                tracing::warn!(%error, "last-used times could not be written");
            }
        }
    }
}

async fn rotate_signing_key(services: Arc<Services>) {
    loop {
        match services.signing.rotate_if_due(services.clock.now()).await {
            Ok(true) => tracing::info!("the token endpoint signs with a new key"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the token endpoint's signing key could not be rotated"),
        }
        pass(&*services.clock, DAILY).await;
    }
}

/// Signs with the keys that a command put in place, and retires those whose overlap is over.
async fn follow_log_keys(services: Arc<Services>) {
    let origin = Arc::clone(&services.origin);
    let mut changes = services.home.store.changes();
    let mut in_force = None;
    loop {
        changes.borrow_and_update();
        let now = services.clock.now();
        let followed = async {
            let keys = services.home.retire_log_keys(&origin).await.map_err(|error| error.to_string())?;
            let stored = keys.write().map_err(|error| error.to_string())?;
            if in_force.as_ref() != Some(&stored) {
                let signers = keys.signers(&origin, now).map_err(|error| error.to_string())?;
                services.trail.set_signers(signers);
                in_force = Some(stored);
            }
            Ok::<_, String>(())
        };
        if let Err(error) = followed.await {
            tracing::error!(%error, "the audit trail's keys could not be read again; it goes on with those it has");
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = pass(&*services.clock, HOURLY) => {}
        }
    }
}

/// No ledger knows how much is kept of requests that may be sent again: another hand could have all of them refused.
async fn count_kept(services: Arc<Services>) {
    loop {
        if let Err(error) = services.home.store.count_anew().await {
            tracing::warn!(%error, "what is kept of requests with an Idempotency-Key could not be counted anew");
        }
        tokio::time::sleep(DAILY).await;
    }
}

/// Keeps the index of the audit trail complete, a block at a time, off the runtime's threads.
async fn index(services: Arc<Services>) {
    let mut indexer = Indexer::new(services.trail.log());
    loop {
        let step = tokio::task::spawn_blocking(move || {
            let outcome = indexer.catch_up();
            (indexer, outcome)
        });
        let Ok((back, outcome)) = step.await else { return };
        indexer = back;
        match outcome {
            Ok(true) => continue,
            Ok(false) => {}
            Err(fault) => tracing::error!(%fault, "a part of the audit trail has no index"),
        }
        tokio::time::sleep(INDEX).await;
    }
}

/// Lets the store know how far the trail is, and the trail how far the store, so that an older copy of either, put back
/// later, is not believed.
async fn mark_trail(services: Arc<Services>) {
    let mut marked = services.trail.mark();
    let (mut trail, mut store) = (Lasting::default(), Lasting::default());
    loop {
        tokio::time::sleep(MARK).await;
        match services.note_store().await {
            Ok(()) if trail.works() => tracing::info!("the audit trail knows again how far the store is"),
            Ok(()) => {}
            // Whoever watches the store says that.
            Err(_) if services.store_fell.load(Ordering::Relaxed) => continue,
            Err(error) if trail.fails(&error) => {
                tracing::warn!(%error, "the audit trail does not know yet how far the store is");
            }
            Err(_) => {}
        }
        let mark = services.trail.mark();
        if mark == marked {
            continue;
        }
        match services.home.mark_trail(&services.trail).await {
            Ok(()) => {
                marked = mark;
                if store.works() {
                    tracing::info!("the store knows again how far the audit trail is");
                }
            }
            Err(error) if store.fails(&error) => {
                tracing::warn!(%error, "the store does not know yet how far the audit trail is");
            }
            Err(_) => {}
        }
    }
}

/// Until so much time has passed by either clock: what is due by its date is due at once where the machine slept, or its
/// clock was set ahead.
async fn pass(clock: &dyn Clock, time: Duration) {
    let (now, monotonic) = (clock.now(), clock.monotonic());
    while clock.now().since(now) < time && clock.monotonic().saturating_sub(monotonic) < time {
        tokio::time::sleep(CLOCKS).await;
    }
}

fn doubts_clock(error: &AuditError) -> bool {
    matches!(error, AuditError::ClockInDoubt { .. })
}

fn witness_keys(audit: Option<&Audit>) -> Vec<NoteVerifier> {
    let declared = audit.into_iter().flat_map(|audit| audit.witnesses.values());
    declared.filter_map(|witness| NoteVerifier::parse(&witness.key).ok()).collect()
}

/// When declared witnesses last signed what lies beside the log: a time that the bridge's own clock has no part in. Which
/// log they saw then does not matter, as no witness signs at a time that is yet to come.
fn cosigned(log: &Log, witnesses: &[NoteVerifier]) -> Option<Timestamp> {
    let newest = log.witnessed_checkpoint(&[]).ok()??;
    let (_, signatures) = note::verify(&newest.note, witnesses).ok()?;
    let times = signatures.iter().filter(|signature| signature.is_witness()).filter_map(|seen| seen.time);
    times.max().map(Timestamp::from_seconds)
}

/// Applies the manifest's retention: at start, when it changes, and daily.
async fn drop_what_is_old(services: Arc<Services>) {
    let mut declared = services.audit();
    loop {
        let witnesses = witness_keys(declared.borrow().as_ref());
        let limits = {
            let (audit, now) = (declared.borrow_and_update(), services.clock.now());
            let before = |age: Option<Duration>| age.map(|age| now.minus(age));
            audit.as_ref().map(|audit| &audit.retention).map_or_else(Limits::default, |retention| Limits {
                detail: before(retention.detail),
                records: before(retention.records),
            })
        };
        if limits != Limits::default() {
            let (trail, action) = (Arc::clone(&services.trail), services.action(name::RETENTION, ""));
            let dropped = tokio::task::spawn_blocking(move || {
                if let Some(time) = cosigned(&trail.log(), &witnesses) {
                    trail.witnessed(time);
                }
                trail.retain(limits, action)
            });
            let dropped = dropped.await;
            let Ok(dropped) = dropped else { return };
            match dropped {
                Ok(Some(kept)) => tracing::info!(
                    records_from = kept.records,
                    detail_from = kept.detail,
                    "old records of the audit trail were dropped"
                ),
                Ok(None) => {}
                Err(error) if doubts_clock(&error) => tracing::error!(
                    %error,
                    "retention of the audit trail holds back; if the clock is right, stop the bridge and run \
                     `ironbridge audit retention --confirm-clock`"
                ),
                Err(error) => {
                    tracing::error!(%error, "retention of the audit trail did not finish; the next run does")
                }
            }
        }
        tokio::select! {
            changed = declared.changed() => if changed.is_err() { return },
            () = pass(&*services.clock, DAILY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use tokio::time::Instant;

    /// Each as it was set ahead, in seconds, beside tokio's time.
    struct Clocks {
        begun: Instant,
        ahead: Mutex<i64>,
    }

    impl Clock for Clocks {
        fn now(&self) -> Timestamp {
            let seconds =
                1_000_000 + i64::try_from(self.begun.elapsed().as_secs()).unwrap() + *self.ahead.lock();
            Timestamp::from_seconds(u64::try_from(seconds).unwrap())
        }

        fn monotonic(&self) -> Duration {
            self.begun.elapsed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_is_over_by_either_clock() {
        for (ahead, seconds) in [(0, 24 * 3600), (100 * 24 * 3600, 60), (-500_000, 24 * 3600)] {
            let clocks = Clocks { begun: Instant::now(), ahead: Mutex::new(0) };
            let set = async {
                tokio::time::sleep(Duration::from_secs(30)).await;
                *clocks.ahead.lock() = ahead;
            };
            tokio::join!(pass(&clocks, DAILY), set);
            assert_eq!(clocks.begun.elapsed().as_secs(), seconds, "{ahead}");
        }
    }
}
