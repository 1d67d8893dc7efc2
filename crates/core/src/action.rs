//! What is done beside exchanges: by a command, an administrator or the bridge itself. It knows nothing of how the
//! trail writes it down.

use crate::{ExchangeId, Outcome, OwnerKey, Timestamp, Word, word};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

/// Something an administrator, a command or the bridge itself did, as the audit trail records it.
#[derive(Debug, Clone)]
pub struct Action {
    /// A UUID of version 7, like an exchange's.
    pub id: ExchangeId,
    /// When it was done.
    pub time: Timestamp,
    /// What was done; one of [`name`].
    pub name: Cow<'static, str>,
    /// To what: a key's id, a secret's name, a system.
    pub object: String,
    /// Whether it was done.
    pub outcome: Outcome,
    /// `done`, or the code of the refusal.
    pub code: Cow<'static, str>,
    /// The account it was done for or by.
    pub account: String,
    /// Facts in the clear, such as the manifest's hash. Never a secret, never a person.
    pub facts: Vec<(Cow<'static, str>, String)>,
    /// Who did it, as far as the machine knows: an operating system user, a program. Personal detail.
    pub actor: String,
    /// Where it was asked from. Personal detail.
    pub address: Option<IpAddr>,
    /// Whose detail `actor` and `address` are; `None` means nobody in particular.
    pub owner: Option<Arc<OwnerKey>>,
    /// Which load of the manifest was in force; 0 outside a running bridge.
    pub generation: u64,
}

impl Action {
    /// An action that was done, to `object`, by nobody in particular and with no facts yet.
    pub fn done(
        id: ExchangeId,
        time: Timestamp,
        name: impl Into<Cow<'static, str>>,
        object: impl Into<String>,
    ) -> Action {
        Action {
            id,
            time,
            name: name.into(),
            object: object.into(),
            outcome: Outcome::Success,
            code: Cow::Borrowed(word::DONE.id),
            account: String::new(),
            facts: Vec::new(),
            actor: String::new(),
            address: None,
            owner: None,
            generation: 0,
        }
    }

    /// It was refused, or could not be done.
    pub fn not_done(mut self, outcome: Outcome, why: &'static Word) -> Action {
        (self.outcome, self.code) = (outcome, Cow::Borrowed(why.id));
        self
    }

    /// Adds a fact in the clear.
    pub fn fact(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Action {
        self.facts.push((name.into(), value.into()));
        self
    }

    /// Says for or by which account it was done.
    pub fn account(mut self, account: impl Into<String>) -> Action {
        self.account = account.into();
        self
    }
}

/// What actions are called. Stable once released.
pub mod name {
    /// A bridge started.
    pub const BRIDGE_START: &str = "bridge.start";
    /// A bridge stopped.
    pub const BRIDGE_STOP: &str = "bridge.stop";
    /// A manifest was read again.
    pub const BRIDGE_RELOAD: &str = "bridge.reload";
    /// Time has taken away what the manifest declares; the object says what, as the keys that lead there.
    pub const MANIFEST_LAPSE: &str = "manifest.lapse";
    /// An API key or a client secret was issued.
    pub const KEY_ISSUE: &str = "key.issue";
    /// One of them was revoked.
    pub const KEY_REVOKE: &str = "key.revoke";
    /// Expired and revoked ones were forgotten where there was no room for another; the facts say how many.
    pub const KEY_FORGET: &str = "key.forget";
    /// A secret was put into the sealed store.
    pub const SECRET_SET: &str = "secret.set";
    /// A secret was taken out of it.
    pub const SECRET_REMOVE: &str = "secret.remove";
    /// The internal CA issued a certificate.
    pub const CERTIFICATE_ISSUE: &str = "certificate.issue";
    /// A certificate was renewed before its end.
    pub const CERTIFICATE_RENEW: &str = "certificate.renew";
    /// The token endpoint issued an access token, or refused to.
    pub const TOKEN_ISSUE: &str = "token.issue";
    /// The key that signs access tokens was replaced.
    pub const SIGNING_KEY_ROTATE: &str = "signing_key.rotate";
    /// The keys that sign checkpoints were replaced.
    pub const LOG_KEY_ROTATE: &str = "log_key.rotate";
    /// The key of a data subject was destroyed.
    pub const SUBJECT_ERASE: &str = "subject.erase";
    /// Old detail or records were dropped; the facts say up to which index.
    pub const RETENTION: &str = "audit.retention";
    /// The operator had the trail go on although it was not as it was left; the facts say what was found and lost.
    pub const LOSS: &str = "audit.loss";
    /// From the record of this index on, journal and detail are authenticated; those before were taken as they were.
    pub const AUTHENTICATE: &str = "audit.authenticate";
    /// Another hand changed what lies beside the log while the bridge ran; the bridge put it in order.
    pub const MEND: &str = "audit.mend";

    /// Somebody other than the bridge wrote a row of its store; it does not count.
    pub const STORE_REFUSE: &str = "store.refuse";
    /// Rows that an older version wrote were taken as they are; from then on every row is authenticated.
    pub const STORE_ADOPT: &str = "store.adopt";

    /// Those that tell neither of a change of the store nor of another hand.
    pub const LEAVE_THE_STORE: &[&str] = &[
        BRIDGE_START,
        BRIDGE_STOP,
        BRIDGE_RELOAD,
        MANIFEST_LAPSE,
        CERTIFICATE_RENEW,
        TOKEN_ISSUE,
        RETENTION,
    ];

    /// All of them, with what they mean.
    pub const ALL: &[(&str, &str)] = &[
        (BRIDGE_START, "the bridge started"),
        (BRIDGE_STOP, "the bridge stopped in order"),
        (BRIDGE_RELOAD, "the manifest was read again"),
        (
            MANIFEST_LAPSE,
            "a start or reload found that a certificate, or a danger, that the manifest names has run out: what needs it is refused",
        ),
        (KEY_ISSUE, "an API key or client secret was issued"),
        (KEY_REVOKE, "an API key or client secret was revoked"),
        (KEY_FORGET, "expired and revoked credentials were forgotten, as the store had no room for another"),
        (SECRET_SET, "a secret of the sealed store was set"),
        (SECRET_REMOVE, "a secret of the sealed store was removed"),
        (CERTIFICATE_ISSUE, "the internal CA issued a client certificate"),
        (CERTIFICATE_RENEW, "the bridge took a new certificate of its own from the internal CA"),
        (TOKEN_ISSUE, "the token endpoint issued or refused an access token"),
        (SIGNING_KEY_ROTATE, "the token endpoint signs with a new key"),
        (LOG_KEY_ROTATE, "the keys that sign the audit trail changed: new ones came, or the overlap ended"),
        (SUBJECT_ERASE, "a data subject's detail was erased"),
        (RETENTION, "old detail or records were dropped by policy"),
        (STORE_REFUSE, "a row of the store that another hand had written, or the whole store, was refused"),
        (STORE_ADOPT, "rows that an older version had written to the store were taken as they are"),
        (LOSS, "the operator had the audit trail go on although it was not as it was left"),
        (MEND, "what another hand changed beside the audit log, while the bridge ran, was put in order"),
        (AUTHENTICATE, "the audit trail's journal and detail are authenticated from here on"),
    ];
}
