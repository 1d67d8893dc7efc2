//! Asking witnesses to cosign the log's head (c2sp.org/tlog-witness): they say that the log they saw only ever grew.

use crate::status::Report;
use crate::surroundings::Surroundings;
use crate::trouble::Trouble;
use ironbridge_audit::SignedCheckpoint;
use ironbridge_audit::witness::{CosignOutcome, CosignRequest, MAX_BODY};
use ironbridge_core::{Fetch, FetchMethod, FetchRequest};
use ironbridge_seal::note::{self, NoteVerifier};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Who is asked to cosign.
pub struct Cosigner {
    /// As declared.
    pub name: String,
    /// What `/add-checkpoint` is appended to.
    pub url: String,
    /// What it signs with; at least one of them.
    pub keys: Vec<NoteVerifier>,
    /// Trusts its certificate.
    pub client: Arc<dyn Fetch>,
}

const TIMEOUT: Duration = Duration::from_secs(30);

/// How often one head is asked for: a witness says once how far it is, and may have moved on meanwhile.
const QUESTIONS: usize = 3;

/// The head that all witnesses are asked for at a time, so that their cosignatures make a quorum.
pub(crate) struct Round {
    heads: watch::Sender<Option<SignedCheckpoint>>,
    witnesses: usize,
    gathered: Mutex<Gathered>,
}

/// Cosignatures of the round's head that are not kept yet.
#[derive(Default)]
struct Gathered {
    note: Option<String>,
    from: usize,
}

impl Round {
    pub fn new(witnesses: usize) -> Arc<Round> {
        Arc::new(Round { heads: watch::Sender::default(), witnesses, gathered: Mutex::default() })
    }

    /// Begins a round with the newest head after every interval in which there is one. What the last round gathered
    /// without a witness that did not answer is kept then.
    pub async fn run(self: Arc<Round>, around: Surroundings, interval: Duration) {
        let mut newest = around.heads.clone();
        loop {
            let head = newest.borrow_and_update().clone();
            if head.is_some() {
                self.keep(&around, true).await;
                self.heads.send_replace(head);
                tokio::time::sleep(interval).await;
            }
            if newest.changed().await.is_err() {
                return;
            }
        }
    }

    async fn add(&self, around: &Surroundings, note: String) {
        {
            let mut gathered = self.gathered.lock();
            let text = note::unverified_text(&note).unwrap_or_default();
            let same = gathered.note.as_deref().filter(|kept| note::unverified_text(kept) == Ok(text));
            let lines = note.get(text.len() + 1..).unwrap_or_default();
            let more = same.and_then(|kept| note::add(kept, lines).ok());
            gathered.from = if more.is_some() { gathered.from + 1 } else { 1 };
            gathered.note = Some(more.unwrap_or(note));
        }
        self.keep(around, false).await;
    }

    /// Keeps what was gathered, once every witness has answered or the round is over.
    async fn keep(&self, around: &Surroundings, over: bool) {
        let note = {
            let mut gathered = self.gathered.lock();
            if !over && gathered.from < self.witnesses {
                return;
            }
            std::mem::take(&mut *gathered).note
        };
        let Some(note) = note else { return };
        if let Err(trouble) = around.blocking(move |around| around.log.keep_witnessed(&note)).await {
            tracing::error!(%trouble, "cosignatures could not be kept");
        }
    }
}

pub(crate) async fn run(cosigner: Cosigner, around: Surroundings, round: Arc<Round>, report: Report) {
    let mut backoff = around.backoff();
    let mut heads = round.heads.subscribe();
    let mut asker = Asker { known: None, cosigner, around, round, report };
    loop {
        let head = heads.borrow_and_update().clone();
        let head = head.filter(|head| asker.known != Some(head.checkpoint.size));
        let Some(head) = head else {
            if heads.changed().await.is_err() {
                return;
            }
            continue;
        };
        match asker.ask(head).await {
            Ok(()) => backoff.reset(),
            Err(trouble) => {
                asker.report.failed(&trouble);
                tokio::time::sleep(backoff.next(trouble.wait)).await;
            }
        }
    }
}

struct Asker {
    /// The size that it cosigned last, as far as we know.
    known: Option<u64>,
    cosigner: Cosigner,
    around: Surroundings,
    round: Arc<Round>,
    report: Report,
}

impl Asker {
    async fn ask(&mut self, head: SignedCheckpoint) -> Result<(), Trouble> {
        let mut old = match self.known {
            Some(known) => known,
            None => self.last_cosigned().await?,
        };
        self.report.stands_at(old);
        for _ in 0..QUESTIONS {
            let head = head.clone();
            let request =
                self.around.blocking(move |around| around.log.cosign_request_for(head, old)).await?;
            match self.put_question(&request).await? {
                CosignOutcome::At(size) => old = size,
                CosignOutcome::Cosigned { note, .. } => {
                    self.round.add(&self.around, note).await;
                    let size = request.checkpoint().size;
                    self.known = Some(size);
                    self.report.reached(size);
                    return Ok(());
                }
                CosignOutcome::Finding(finding) => {
                    return Err(Trouble::finding(format!("{:?}", finding.kind), finding));
                }
                CosignOutcome::Refused { status, reason } => {
                    return Err(Trouble::answered(status, None, reason.as_bytes()));
                }
            }
        }
        Err(Trouble::new("it names another size each time it is asked"))
    }

    /// The size of the newest head that is kept with a cosignature of this witness; 0 if there is none.
    async fn last_cosigned(&self) -> Result<u64, Trouble> {
        let keys = [&self.around.keys[..], &self.cosigner.keys].concat();
        let head = self.around.blocking(move |around| around.log.witnessed_checkpoint(&keys)).await?;
        let signed = |name: &str| self.cosigner.keys.iter().any(|key| key.name() == name);
        let head = head.filter(|head| {
            head.signatures.iter().any(|signature| signature.is_witness() && signed(&signature.name))
        });
        Ok(head.map_or(0, |head| head.checkpoint.size))
    }

    async fn put_question(&self, request: &CosignRequest) -> Result<CosignOutcome, Trouble> {
        let fetch = FetchRequest {
            method: FetchMethod::Post("text/plain; charset=utf-8", request.body().into_bytes()),
            url: format!("{}/add-checkpoint", self.cosigner.url.trim_end_matches('/')),
            headers: Vec::new(),
            max_reply: MAX_BODY,
            timeout: TIMEOUT,
        };
        let answer = self.cosigner.client.fetch(fetch).await.map_err(Trouble::new)?;
        match answer.status {
            429 | 500..=599 => {
                Err(Trouble::answered(answer.status, answer.retry_after, answer.body.expose()))
            }
            status => Ok(request.judge(status, answer.body.expose(), &self.cosigner.keys)),
        }
    }
}
