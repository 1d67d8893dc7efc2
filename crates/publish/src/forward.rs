//! Records sent on to other systems, in the order of the log, each at least once.
//!
//! Only what a signed checkpoint covers is sent: what another system has been told, the log can prove.

mod cursor;
mod https;
mod otlp;
mod outlet;
mod pace;
mod syslog;

use crate::status::Report;
use crate::surroundings::Surroundings;
use crate::trouble::Trouble;
use cursor::Cursor;
pub use cursor::adopt_cursors;
pub use https::Framing;
use ironbridge_audit::{Fault, Follow, Stored};
use ironbridge_core::{Fetch, Sensitive};
use ironbridge_net::session::Dialer;
use ironbridge_seal::envelope::Keys;
use outlet::{Outgoing, Outlet, Rejected};
use pace::{BATCH_RECORDS, Pace};
use std::slice;
use std::sync::Arc;

/// Where records go.
pub struct Forward {
    /// As declared; names the cursor's file, so letters, digits, `-` and `_` only.
    pub name: String,
    /// Who gets them, and how.
    pub sink: Sink,
    /// As what.
    pub format: Format,
    /// Seal how far it is.
    pub keys: Arc<Keys>,
}

/// Appends a record in some format, as UTF-8 without line breaks.
pub type Format = Arc<dyn Fn(&Stored, &mut Vec<u8>) + Send + Sync>;

/// Who gets records. Each trusts its own roots, and is reached over the guarded connector only.
pub enum Sink {
    /// RFC 5424 over TLS (RFC 5425).
    Syslog {
        /// Connects to it.
        dialer: Dialer,
        /// Names this bridge in every message.
        hostname: String,
    },
    /// OpenTelemetry logs, `http/json`.
    Otlp {
        /// The whole of it, mostly ending in `/v1/logs`.
        url: String,
        /// Becomes `service.instance.id`.
        instance: String,
        /// The field of that name, where it wants one.
        authorization: Option<Sensitive>,
        /// Trusts its certificate.
        client: Arc<dyn Fetch>,
    },
    /// POST requests of our own; 2xx acknowledges.
    Https {
        /// The whole of it.
        url: String,
        /// How several records share a body.
        framing: Framing,
        /// The field of that name, where it wants one.
        authorization: Option<Sensitive>,
        /// Trusts its certificate.
        client: Arc<dyn Fetch>,
    },
}

/// A batch ends here, or at [`BATCH_RECORDS`], whichever it reaches first.
const BATCH_BYTES: usize = 1 << 20;

/// So often a record is sent alone that is too large for the sink, before another one is. With the pauses in between that
/// is about two minutes.
const TRIES_ALONE: u32 = 8;

pub(crate) async fn run(forward: Forward, around: Surroundings, report: Report) {
    let outlet: Box<dyn Outlet> = match forward.sink {
        Sink::Syslog { dialer, hostname } => Box::new(syslog::Syslog::new(dialer, &hostname)),
        Sink::Otlp { url, instance, authorization, client } => {
            Box::new(otlp::Otlp { url, instance, authorization, client })
        }
        Sink::Https { url, framing, authorization, client } => {
            Box::new(https::Https { url, framing, authorization, client })
        }
    };
    let cursor = Cursor::of(around.log.dir(), &forward.name, forward.keys);
    let format = forward.format;
    Forwarder { cursor, outlet, format, around, report, records: None, pace: Pace::full(), too_large: None }
        .run()
        .await;
}

struct Forwarder {
    cursor: Cursor,
    outlet: Box<dyn Outlet>,
    format: Format,
    around: Surroundings,
    report: Report,
    /// Where the last batch was read, while it is held: finding the place again costs more than going on.
    records: Option<Follow>,
    pace: Pace,
    /// The record that was too large by itself, and how often.
    too_large: Option<(u64, u32)>,
}

impl Forwarder {
    async fn run(mut self) {
        let mut backoff = self.around.backoff();
        let mut heads = self.around.heads.clone();
        loop {
            let size = heads.borrow_and_update().as_ref().map(|head| head.checkpoint.size);
            let Some(size) = size else {
                if heads.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let before = self.cursor.next();
            match self.catch_up(size).await {
                Ok(()) => {
                    backoff.reset();
                    if heads.changed().await.is_err() {
                        return;
                    }
                }
                Err(trouble) => {
                    self.report.failed(&trouble);
                    if self.cursor.next() != before {
                        backoff.reset();
                    }
                    tokio::time::sleep(backoff.next(trouble.wait)).await;
                }
            }
        }
    }

    /// Sends what the log of this size has and the sink has not.
    async fn catch_up(&mut self, size: u64) -> Result<(), Trouble> {
        let mut next = self.cursor.load(&self.around.log, size).await?;
        self.report.stands_at(next);
        if next == size {
            self.report.reached(next);
        }
        while next < size {
            let batch = self.read(next, size).await?;
            let first = batch.first().map(|first| first.stored.index);
            let first = first.ok_or_else(|| Trouble::new(format_args!("record {next} is not there yet")))?;
            if first > next {
                self.report.lost(first - next, "retention dropped them before they were sent");
                next = first;
                self.cursor.store(next, &self.around.log).await?;
            }
            let mut rest = &batch[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(self.pace.most().min(rest.len()));
                if let Some(last) = now.last() {
                    match self.send(now, size).await {
                        // Fewer can be sent at once, unless it asked to be left alone.
                        Err(trouble) if trouble.too_large => {
                            if self.pace.refused(now.len()) && trouble.wait.is_none() {
                                continue;
                            }
                            return Err(trouble);
                        }
                        sent => sent?,
                    }
                    self.pace.taken(now.len());
                    next = last.stored.index + 1;
                    self.cursor.store(next, &self.around.log).await?;
                    self.report.reached(next);
                }
                rest = later;
            }
        }
        Ok(())
    }

    async fn send(&mut self, records: &[Outgoing], size: u64) -> Result<(), Trouble> {
        let rejected = match (self.outlet.send(records).await, records) {
            (Err(trouble), [only]) if trouble.too_large => self.insist(only, trouble, size).await?,
            (sent, _) => sent?,
        };
        if rejected.count > 0 {
            self.report.lost(rejected.count, &rejected.reason);
        }
        Ok(())
    }

    /// Passes a record over that was too large by itself so often that it must be the record, and not what stands before
    /// the sink and was set up wrongly: that is set right one day, and must have cost no record until then. So the sink has
    /// to take another one alone first, and to refuse this one once more after that.
    async fn insist(&mut self, only: &Outgoing, trouble: Trouble, size: u64) -> Result<Rejected, Trouble> {
        if !self.is_refused_for_long(only.stored.index) {
            return Err(trouble);
        }
        let Some(another) = self.shortest(only.stored.index + 1, size).await? else { return Err(trouble) };
        if let Err(other) = self.outlet.send(slice::from_ref(&another)).await {
            return Err(if other.too_large { trouble } else { other });
        }
        let taken = match self.outlet.send(slice::from_ref(only)).await {
            Err(again) if again.too_large => {
                Rejected { count: 1, reason: format!("too large for it by itself: {again}") }
            }
            sent => sent?,
        };
        // Those behind it were not too large.
        self.pace = Pace::full();
        self.too_large = None;
        Ok(taken)
    }

    fn is_refused_for_long(&mut self, index: u64) -> bool {
        let tries = match self.too_large {
            Some((known, tries)) if known == index => tries.saturating_add(1),
            _ => 1,
        };
        self.too_large = Some((index, tries));
        tries >= TRIES_ALONE
    }

    /// The shortest of the records from this one on that would be read with it: the one behind may be as large. It is sent
    /// again in its turn.
    async fn shortest(&self, first: u64, size: u64) -> Result<Option<Outgoing>, Trouble> {
        let format = Arc::clone(&self.format);
        let find = move |around: &Surroundings| {
            let mut records = around.log.follow(first.max(around.log.first_kept()?));
            let mut shortest: Option<Outgoing> = None;
            for _ in 0..BATCH_RECORDS {
                let Some(next) = outgoing(&mut records, &format, size)? else { break };
                if shortest.as_ref().is_none_or(|known| next.text.len() < known.text.len()) {
                    shortest = Some(next);
                }
            }
            Ok::<_, Fault>(shortest)
        };
        self.around.blocking(find).await
    }

    async fn read(&mut self, next: u64, size: u64) -> Result<Vec<Outgoing>, Trouble> {
        let format = Arc::clone(&self.format);
        let records = self.records.take().filter(|records| records.position() == next);
        let read = move |around: &Surroundings| {
            let mut records = match records {
                Some(records) => records,
                // The journal may still hold what was dropped from the log.
                None => around.log.follow(next.max(around.log.first_kept()?)),
            };
            let batch = read(&mut records, &format, size)?;
            Ok::<_, Fault>((records, batch))
        };
        let (records, batch) = self.around.blocking(read).await?;
        self.records = Some(records);
        Ok(batch)
    }
}

/// The next records below `size`. Those that retention dropped are passed over.
fn read(records: &mut Follow, format: &Format, size: u64) -> Result<Vec<Outgoing>, Fault> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while batch.len() < BATCH_RECORDS && bytes < BATCH_BYTES {
        let Some(next) = outgoing(records, format, size)? else { break };
        bytes += next.text.len();
        batch.push(next);
    }
    Ok(batch)
}

fn outgoing(records: &mut Follow, format: &Format, size: u64) -> Result<Option<Outgoing>, Fault> {
    if Follow::position(records) >= size {
        return Ok(None);
    }
    let Some(stored) = records.next().transpose()? else { return Ok(None) };
    let mut text = Vec::with_capacity(stored.json.len() * 2);
    format(&stored, &mut text);
    Ok(Some(Outgoing { stored, text }))
}
