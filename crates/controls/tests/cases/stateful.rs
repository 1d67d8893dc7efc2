//! Cases of the controls that lean on the store: idempotency keys and issued credentials. The store is the real
//! one.

use crate::arrangement::{Arrival, block_on, cases, code};
use bytes::Bytes;
use ironbridge_controls::authenticate::{Authenticate, Authenticator};
use ironbridge_controls::idempotency::IdempotencyKey;
use ironbridge_core::{
    Account, Answered, CertificateFacts, Claim, Clock, Control, CredentialKind, Document, Ending, Origin,
    Payload, Peer, PeerCertificate, PermissionSet, Presented, Said, Sensitive, Stop, SystemClock, Timestamp,
};
use ironbridge_identity::accounts::{CertificateMatch, CertificateRule, Directory, Registration};
use ironbridge_identity::api_key::{KeyKind, KeyRing};
use ironbridge_identity::certificate::CertificateVerifier;
use ironbridge_identity::token::TokenVerifier;
use ironbridge_seal::hash::MacKey;
use ironbridge_store::{Actor, Sealer, SealerError, SqliteStore};
use serde::Deserialize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tempfile::TempDir;
use zeroize::Zeroizing;

#[test]
fn idempotency() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        required: Option<bool>,
        steps: Vec<Step>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Step {
        /// Seconds after the first.
        #[serde(default)]
        at_s: u64,
        arrives: Arrival,
        denied: Option<String>,
        /// Status and body of the stored answer.
        replays: Option<(u16, String)>,
        /// The reply that the caller saw.
        reply: Option<String>,
        ends: Option<Ends>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Ends {
        Delivered(u16),
        Partial(u16),
        Denied(String),
        Failed(String),
        Abandoned(bool),
    }
    for case in cases::<Case>("idempotency") {
        let (_folder, store) = store();
        let window = Duration::from_secs(3600);
        let control = IdempotencyKey::new(
            store,
            Arc::new(MacKey::new(&[7; 32])),
            case.required.unwrap_or(true),
            window,
        );
        for (n, step) in case.steps.into_iter().enumerate() {
            let name = format!("{}, step {n}", case.name);
            let mut exchange = step.arrives.exchange();
            exchange.received = exchange.received.plus(Duration::from_secs(step.at_s));
            let verdict = block_on(control.judge(&mut exchange));
            let (denied, replayed) = match &verdict {
                Ok(()) => (None, None),
                Err(Stop::Deny(denial)) => (Some(denial.code.id.to_owned()), None),
                Err(Stop::Replay(answer)) => {
                    let body = String::from_utf8(answer.body.to_vec()).unwrap();
                    assert_eq!(answer.content_type.as_deref(), Some("application/json"), "{name}");
                    (None, Some((answer.answered.mark.unwrap(), body)))
                }
            };
            assert_eq!(denied, step.denied, "{name}: {verdict:?}");
            assert_eq!(replayed, step.replays, "{name}: {verdict:?}");
            exchange.reply_media_type = Some("application/json".into());
            if let Some(reply) = step.reply {
                exchange.reply = Payload::Whole(Document::new(Bytes::from(reply)));
            }
            let ending = match (&verdict, step.ends) {
                (Err(Stop::Deny(denial)), _) => Ending::Denied(denial.code),
                (Err(Stop::Replay(answer)), _) => Ending::Replayed(answer.answered),
                (Ok(()), None) => continue,
                (Ok(()), Some(Ends::Delivered(status))) => Ending::Delivered(answered(status)),
                (Ok(()), Some(Ends::Partial(status))) => Ending::Partial(answered(status)),
                (Ok(()), Some(Ends::Denied(id))) => Ending::Denied(code(&id)),
                (Ok(()), Some(Ends::Failed(id))) => Ending::Failed(code(&id)),
                (Ok(()), Some(Ends::Abandoned(sent))) => Ending::Abandoned { sent },
            };
            control.settle(&exchange, &ending);
        }
    }
}

/// What a target says with this number, for which HTTP's statuses do.
fn answered(mark: u16) -> Answered {
    let said = match mark {
        408 | 425 | 429 => Said::Untaken,
        400..=499 => Said::Declined,
        _ => Said::Done,
    };
    Answered { mark: Some(mark), said }
}

#[test]
fn authenticate() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        accepted: Vec<String>,
        key: Option<String>,
        bearer: Option<String>,
        certificate: Option<String>,
        #[serde(default)]
        ambiguous: bool,
        #[serde(default)]
        unspoken: bool,
        denied: Option<String>,
        detail: Option<String>,
        /// Account and kind of credential.
        proves: Option<(String, String)>,
    }
    let (_folder, store) = store();
    let now = Arrival::default().exchange().received;
    let keys = Arc::new(KeyRing::new(KeyKind::ApiKey, store));
    let issue = |lifetime, at| async_on(keys.issue("order-service", lifetime, at)).unwrap();
    let day = Duration::from_secs(86_400);
    let expired = issue(Duration::from_secs(1), Timestamp::from_seconds(now.seconds() - 60));
    let revoked = issue(day, now);
    async_on(keys.revoke(&revoked.id, now)).unwrap();
    let live = issue(day, now);
    let authenticator = Arc::new(Authenticator {
        keys: Arc::clone(&keys),
        tokens: Arc::new(TokenVerifier::new(Vec::new(), 16).unwrap()),
        certificates: Arc::new(CertificateVerifier::new(16)),
    });
    let directory = Arc::new(directory());
    for case in cases::<Case>("authenticate") {
        let accepted = case.accepted.iter().map(|name| kind(name));
        let control = Authenticate::new(Arc::clone(&authenticator), accepted, Arc::clone(&directory));
        let mut exchange = Arrival::default().exchange();
        let token = case.bearer.map(|token| Claim::Bearer(Sensitive::new(token.into_bytes())));
        let key = case.key.map(|key| {
            let key = match key.as_str() {
                "live" => live.key.expose(),
                "expired" => expired.key.expose(),
                "revoked" => revoked.key.expose(),
                _ => "ib_of_no_form",
            };
            Claim::ApiKey(Sensitive::new(key.as_bytes()))
        });
        exchange.presented = match key.or(token) {
            _ if case.ambiguous => Presented::Ambiguous { bearer: false },
            _ if case.unspoken => Presented::Unspoken,
            Some(claim) => Presented::Claim(claim),
            None => Presented::Nothing,
        };
        let certificate = case.certificate.map(|which| certificate(&which, now));
        exchange.origin = Origin::Connection(Peer { certificate, ..Peer::default() });
        let verdict = block_on(control.judge(&mut exchange));
        let denied = match &verdict {
            Ok(()) => None,
            Err(Stop::Deny(denial)) => Some(denial.code.id.to_owned()),
            Err(Stop::Replay(_)) => panic!("{}: replayed", case.name),
        };
        assert_eq!(denied, case.denied, "{}: {verdict:?}", case.name);
        if let (Some(detail), Err(Stop::Deny(denial))) = (case.detail, &verdict) {
            assert_eq!(denial.detail.as_deref(), Some(&*detail), "{}", case.name);
        }
        let proven = exchange.principal.map(|principal| {
            (principal.account().name.to_string(), principal.credential().kind.name().to_owned())
        });
        assert_eq!(proven, case.proves, "{}", case.name);
    }
}

fn directory() -> Directory {
    let account = Account {
        name: "order-service".into(),
        system: "order-service".into(),
        permissions: PermissionSet::default(),
        addresses: Vec::new(),
        owner: None,
    };
    let mut registration = Registration::new(Arc::new(account));
    registration.api_key = true;
    let matches = |thumbprint: &str| CertificateRule {
        matches: CertificateMatch::Thumbprint(thumbprint.into()),
        cas: None,
    };
    registration.certificates = vec![matches("live"), matches("expired")];
    Directory::new([registration], Arc::default()).unwrap()
}

fn certificate(which: &str, now: Timestamp) -> Arc<PeerCertificate> {
    let expires = if which == "expired" { 0 } else { now.seconds() + 3600 };
    let facts = CertificateFacts {
        thumbprint: which.into(),
        names: Vec::new(),
        not_before: Timestamp::default(),
        not_after: Timestamp::from_seconds(expires),
        client_auth: true,
    };
    let read = OnceLock::new();
    read.set(Some(facts)).unwrap();
    Arc::new(PeerCertificate { chain: vec![Vec::new()], facts: read })
}

fn kind(name: &str) -> CredentialKind {
    let kinds = [
        CredentialKind::ApiKey,
        CredentialKind::Token,
        CredentialKind::OauthClient,
        CredentialKind::Certificate,
    ];
    kinds.into_iter().find(|kind| kind.name() == name).expect(name)
}

fn async_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A store whose kept answers are not encrypted.
fn store() -> (TempDir, Arc<SqliteStore>) {
    struct Open;
    impl Sealer for Open {
        fn seal(&self, plain: &[u8], _context: &[u8]) -> Result<Vec<u8>, SealerError> {
            Ok(plain.to_vec())
        }
        fn open(&self, sealed: &[u8], _context: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealerError> {
            Ok(sealed.to_vec().into())
        }
        fn mac(&self, _key: &[u8; 32], _text: &[u8]) -> [u8; 32] {
            [0; 32]
        }
    }
    let folder = TempDir::new().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let store = SqliteStore::open(&folder.path().join("store.db"), Arc::new(Open), clock, Actor::new("test"))
        .unwrap();
    (folder, Arc::new(store))
}
