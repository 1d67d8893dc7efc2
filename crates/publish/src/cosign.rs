//! Asking witnesses to cosign the log's head (c2sp.org/tlog-witness): they say that the log they saw only ever grew.

use crate::publisher::Surroundings;
use crate::status::Report;
use crate::trouble::Trouble;
use ironbridge_audit::witness::{CosignOutcome, CosignRequest, MAX_BODY};
use ironbridge_core::{Fetch, FetchMethod, FetchRequest};
use ironbridge_seal::note::NoteVerifier;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

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
    /// How long to wait after one cosignature before asking for the next.
    pub interval: Duration,
}

impl Cosigner {
    /// How often a witness is asked where nobody says otherwise.
    pub const INTERVAL: Duration = Duration::from_secs(10);
}

const TIMEOUT: Duration = Duration::from_secs(30);

/// How often one head is asked for: a witness says once how far it is, and may have moved on meanwhile.
const QUESTIONS: usize = 3;

/// The cosigned head is one file, read and written back; also by a publisher that is just being replaced.
static KEEPING: Mutex<()> = Mutex::new(());

pub(crate) async fn run(cosigner: Cosigner, around: Surroundings, report: Report) {
    let mut backoff = around.backoff();
    let mut heads = around.heads.clone();
    let interval = cosigner.interval;
    let mut asker = Asker { known: None, cosigner, around, report };
    loop {
        let size = heads.borrow_and_update().as_ref().map(|head| head.checkpoint.size);
        let up_to_date = size.is_none() || asker.known == size;
        if up_to_date {
            if heads.changed().await.is_err() {
                return;
            }
            continue;
        }
        let wait = match asker.ask().await {
            Ok(()) => {
                backoff.reset();
                interval
            }
            Err(trouble) => {
                asker.report.failed(&trouble);
                backoff.next(trouble.wait)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

struct Asker {
    /// The size that it cosigned last, as far as we know.
    known: Option<u64>,
    cosigner: Cosigner,
    around: Surroundings,
    report: Report,
}

impl Asker {
    async fn ask(&mut self) -> Result<(), Trouble> {
        let mut old = match self.known {
            Some(known) => known,
            None => self.last_cosigned().await?,
        };
        self.report.stands_at(old);
        for _ in 0..QUESTIONS {
            let request =
                self.around.blocking(move |around| around.log.cosign_request(&around.keys, old)).await?;
            match self.put_question(&request).await? {
                CosignOutcome::At(size) => old = size,
                CosignOutcome::Cosigned { note, .. } => {
                    let keep = move |around: &Surroundings| {
                        let _alone = KEEPING.lock();
                        around.log.keep_witnessed(&note)
                    };
                    self.around.blocking(keep).await?;
                    let size = request.checkpoint().size;
                    self.known = Some(size);
                    self.report.reached(size);
                    return Ok(());
                }
                CosignOutcome::Finding(finding) => {
                    tracing::error!(witness = self.cosigner.name, %finding, "a witness contradicts this log");
                    return Err(Trouble::new(finding));
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
            429 | 500..=599 => Err(Trouble::answered(answer.status, answer.retry_after, &answer.body)),
            status => Ok(request.judge(status, &answer.body, &self.cosigner.keys)),
        }
    }
}
