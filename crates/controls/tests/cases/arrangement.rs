//! What cases have in common: an exchange as it arrives, and what a control makes of it.

use bytes::Bytes;
use ironbridge_core::uri::Query;
use ironbridge_core::{
    Account, Asked, Claim, Code, Control, Credential, CredentialKind, DeduplicationKey, Document, Exchange,
    ExchangeId, Flow, IntegrationFacts, Judgement, OperationFacts, Payload, Peer, PermissionTable, Presented,
    Principal, Sensitive, Stop, Timestamp, Verdict,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

pub fn cases<C: DeserializeOwned>(control: &str) -> Vec<C> {
    let path = format!("{}/cases/{control}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect(&path);
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Lets one control judge an arrival and compares.
pub fn judge(name: &str, control: &dyn Control, arrival: &Arrival, expected: &Expected) {
    let mut exchange = arrival.exchange();
    let verdict = judged(control, &mut exchange);
    expected.check(name, &verdict, &mut exchange, arrival.is_reply());
}

/// Both parts of judging, as a pipeline does them.
pub fn judged(control: &dyn Control, exchange: &mut Exchange) -> Verdict {
    control.inspect(exchange)?;
    block_on(control.judge(exchange))
}

pub fn code(id: &str) -> &'static Code {
    ironbridge_core::all_codes().iter().copied().find(|code| code.id == id).expect(id)
}

pub fn block_on(judgement: Judgement<'_>) -> Verdict {
    match judgement {
        Judgement::Now(verdict) => verdict,
        Judgement::Later(verdict) => {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(verdict)
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Arrival {
    pub method: Option<String>,
    pub path: Option<String>,
    pub params: Vec<(String, String)>,
    pub query: Option<String>,
    pub content_type: Option<String>,
    pub encoding: Option<String>,
    pub idempotency_key: Option<String>,
    /// The request's body as text.
    pub body: Option<String>,
    /// So many spaces after it.
    pub padding: usize,
    /// Declared header fields.
    pub fields: Vec<(String, String)>,
    /// The request's body as hexadecimal bytes.
    pub hex: Option<String>,
    /// The request's body: this text so many times.
    pub repeat: Option<(String, usize)>,
    /// The reply's body as text; the case is then about the reply.
    pub reply: Option<String>,
    /// From where; `unknown` where nobody knows.
    pub address: Option<String>,
    /// What the transport itself refuses it for.
    pub refused: Option<String>,
    pub api_key: Option<String>,
    pub bearer: Option<String>,
    pub account: Option<Caller>,
    /// The permission that the operation requires.
    pub requires: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Caller {
    pub name: Option<String>,
    pub system: Option<String>,
    pub permissions: Vec<String>,
    pub addresses: Vec<String>,
    /// What the credential limits the account to.
    pub scope: Option<String>,
}

impl Arrival {
    pub fn is_reply(&self) -> bool {
        self.reply.is_some()
    }

    pub fn exchange(&self) -> Exchange {
        let mut permissions = PermissionTable::default();
        let required = self.requires.as_deref().unwrap_or("orders.read");
        let operation = OperationFacts {
            name: "list-orders".into(),
            permission: permissions.intern(required),
            permission_name: required.into(),
        };
        let integration = IntegrationFacts { name: "order-sync".into(), ..IntegrationFacts::default() };
        let flow = Arc::new(Flow::new(Arc::new(integration), Some(operation), 1));
        let peer = match self.address.as_deref().unwrap_or("192.0.2.1") {
            "unknown" => Peer::default(),
            address => Peer::at(address.parse().unwrap()),
        };
        // 2026-01-02T03:04:05Z
        let now = Timestamp::from_seconds(1_767_323_045);
        let mut exchange = Exchange::new(ExchangeId::default(), now, Duration::from_secs(100), flow, peer);
        exchange.refused = self.refused.as_deref().map(|id| code(id).into());
        exchange.principal = self.account.as_ref().map(|account| account.principal(&mut permissions));
        let sensitive = |text: &String| Sensitive::new(text.as_bytes());
        let key = self.api_key.as_ref().map(|key| Claim::ApiKey(sensitive(key)));
        let claim = key.or_else(|| self.bearer.as_ref().map(|token| Claim::Bearer(sensitive(token))));
        exchange.presented = claim.map_or(Presented::Nothing, Presented::Claim);
        exchange.asked = Asked {
            verb: self.method.as_deref().unwrap_or("POST").into(),
            resource: self.path.as_deref().unwrap_or("/orders").into(),
            parameters: self
                .params
                .iter()
                .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
                .collect(),
            query: self.query.as_deref().map_or_else(Query::default, |query| Query::parse(query).unwrap()),
            media_type: self.content_type.as_deref().map(Into::into),
            encoding: self.encoding.as_deref().map(Into::into),
            deduplication_key: self.idempotency_key.as_deref().map(DeduplicationKey::new),
            repeats: self
                .fields
                .iter()
                .map(|(name, value)| (name.as_str().into(), value.as_bytes().into()))
                .collect(),
            has_body: true,
        };
        exchange.request = whole(self.request_body());
        exchange.reply_media_type = self.content_type.as_deref().filter(|_| self.is_reply()).map(Into::into);
        exchange.reply = whole(self.reply.as_ref().map(|reply| reply.clone().into_bytes()));
        exchange
    }

    fn request_body(&self) -> Option<Vec<u8>> {
        let text = self.body.as_ref().map(|text| (text.clone() + &" ".repeat(self.padding)).into_bytes());
        let hex = self.hex.as_ref().map(|hex| {
            let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
            let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            digits.chunks(2).map(pair).collect()
        });
        let repeat = self.repeat.as_ref().map(|(text, times)| text.repeat(*times).into_bytes());
        text.or(hex).or(repeat)
    }
}

fn whole(body: Option<Vec<u8>>) -> Payload {
    body.map_or(Payload::Streamed, |body| Payload::Whole(Document::new(Bytes::from(body))))
}

impl Caller {
    fn principal(&self, table: &mut PermissionTable) -> Principal {
        let account = Account {
            name: self.name.as_deref().unwrap_or("order-service").into(),
            system: self.system.as_deref().unwrap_or("order-service").into(),
            permissions: self.permissions.iter().map(|name| table.intern(name)).collect(),
            addresses: self.addresses.iter().map(|network| network.parse().unwrap()).collect(),
            owner: None,
        };
        let credential = Credential { kind: CredentialKind::Token, id: "t".into(), expires: None };
        let scope = self.scope.as_ref().map(|scope| Arc::new(table.of_scope(scope)));
        Principal::verified(Arc::new(account), Arc::new(credential), scope)
    }
}

/// Nothing said means: it passes.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Expected {
    /// The code.
    pub denied: Option<String>,
    pub detail: Option<String>,
    /// What the operator's log says besides.
    pub internal: Option<String>,
    /// The operator's rule that the record names.
    pub by: Option<String>,
    /// Pointer and rule, in any order.
    pub fields: Option<Vec<(String, String)>>,
    pub retry_after_ms: Option<u64>,
    /// The body afterwards, byte for byte.
    pub becomes: Option<String>,
    /// How many, or `unknown`.
    pub records: Option<Records>,
    /// Whose data it carries.
    pub subjects: Option<Vec<String>>,
    /// What remains of the tightest limit.
    pub remaining: Option<u64>,
    pub policy: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum Records {
    Known(u64),
    Word(String),
}

impl Records {
    fn known(&self) -> Option<u64> {
        match self {
            Records::Known(count) => Some(*count),
            Records::Word(word) => {
                assert_eq!(word, "unknown");
                None
            }
        }
    }
}

impl Expected {
    pub fn check(&self, name: &str, verdict: &Verdict, exchange: &mut Exchange, is_reply: bool) {
        let denial = match verdict {
            Ok(()) => None,
            Err(Stop::Deny(denial)) => Some(denial),
            Err(Stop::Replay(_)) => panic!("{name}: replayed"),
        };
        let id = denial.map(|denial| denial.code.id);
        assert_eq!(id, self.denied.as_deref(), "{name}: {denial:?}");
        if self.detail.is_some() {
            assert_eq!(denial.and_then(|denial| denial.detail.as_deref()), self.detail.as_deref(), "{name}");
        }
        if self.internal.is_some() {
            let told = denial.and_then(|denial| denial.internal.as_deref());
            assert_eq!(told, self.internal.as_deref(), "{name}");
        }
        if self.by.is_some() {
            assert_eq!(denial.and_then(|denial| denial.by.as_deref()), self.by.as_deref(), "{name}");
        }
        if let Some(fields) = &self.fields {
            let mut told: Vec<(String, String)> = denial
                .map(|denial| denial.fields.iter().map(|f| (f.pointer.clone(), f.rule.clone())).collect())
                .unwrap_or_default();
            let mut fields = fields.clone();
            told.sort();
            fields.sort();
            assert_eq!(told, fields, "{name}");
        }
        if let Some(wait) = self.retry_after_ms {
            let told = denial.and_then(|denial| denial.retry_after);
            assert_eq!(told, Some(Duration::from_millis(wait)), "{name}");
            // Told twice where a limit refused: in Retry-After and in RateLimit.
            assert!(exchange.limit.is_none_or(|limit| Some(limit.reset) == told), "{name}");
        }
        if let Some(becomes) = &self.becomes {
            let payload = if is_reply { &exchange.reply } else { &exchange.request };
            let body = payload.bytes().map(|body| String::from_utf8_lossy(body).into_owned());
            assert_eq!(body.as_deref(), Some(becomes.as_str()), "{name}");
        }
        if let Some(records) = &self.records {
            let counted = if is_reply { exchange.reply_records } else { exchange.request_records };
            assert_eq!(counted.known(), records.known(), "{name}");
        }
        if let Some(subjects) = &self.subjects {
            let found: Vec<&str> = exchange.subjects.iter().map(|subject| &*subject.id).collect();
            assert_eq!(&found, subjects, "{name}");
        }
        if let Some(remaining) = self.remaining {
            assert_eq!(exchange.limit.map(|limit| limit.remaining), Some(remaining), "{name}");
        }
        if let Some(policy) = &self.policy {
            assert_eq!(exchange.limit.map(|limit| limit.policy), Some(policy.as_str()), "{name}");
        }
    }
}
