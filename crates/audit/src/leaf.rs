//! One exchange or action as one line of JSON, written by hand because every exchange pays for it. The schema is in
//! `docs/audit-format.md`; what is read back is [`crate::Entry`].

use crate::detail::{DetailKind, Details};
use crate::merkle::Hash;
use crate::refusals::{First, Gathered};
use crate::text::{push_address, push_number, push_string, push_time};
use ironbridge_core::{
    Action, Exchange, ExchangeId, Flow, Origin, Outcome, OwnerKey, Record, Timestamp, word,
};
use ironbridge_seal::envelope::SealError;
use ironbridge_seal::hash::{base64, unbase64};
use std::borrow::Cow;
use std::time::Duration;

/// The longest entry that an entry bundle can hold (c2sp.org/tlog-tiles), in bytes.
pub(crate) const MAX_ENTRY: usize = 65_535;

/// Longest recorded form of what a caller chose, in bytes: a token id is as long as its issuer likes.
const MAX_METHOD: usize = 32;
const MAX_CREDENTIAL: usize = 256;
const MAX_RULE: usize = 256;
/// Longest recorded form of what a command names or a person is called, in bytes.
const MAX_TEXT: usize = 1024;
const MAX_ACTOR: usize = 256;
/// How many marks of a transport are kept, and the longest recorded form of one, in bytes.
const MAX_MARKS: usize = 8;
const MAX_MARK: usize = 256;

/// A record as it is encoded: the leaf that enters the log, and the personal detail that lies beside it.
#[derive(Default)]
pub(crate) struct Encoded {
    pub leaf: Vec<u8>,
    pub details: Details,
}

impl Encoded {
    /// Encodes an exchange. `callers` owns the detail of those who did not authenticate.
    pub fn exchange(&mut self, record: &Record<'_>, callers: &OwnerKey) -> Result<(), SealError> {
        self.seal_exchange(record, callers)?;
        self.begin_exchange(record);
        self.end();
        Ok(())
    }

    /// Encodes refusals that share a record: the first of them, with how many there were until when. Those of several
    /// sources name none.
    pub fn refusals(&mut self, gathered: &Gathered, callers: &OwnerKey) -> Result<(), SealError> {
        match &gathered.first {
            First::Exchange(exchange, ending) => {
                let (exchange, ending, duration) = (&**exchange, *ending, Duration::ZERO);
                let record = Record { exchange, ending, duration, amends: false };
                self.seal_exchange(&record, callers)?;
                self.begin_exchange(&record);
            }
            First::Action(action) => self.begin_action(action, callers)?,
        }
        let out = &mut self.leaf;
        number(out, b",\"count\":", gathered.count);
        out.extend_from_slice(b",\"last\":\"");
        push_time(out, gathered.last);
        out.push(b'"');
        if let Some(sources) = gathered.sources() {
            number(out, b",\"sources\":", sources);
        }
        self.end();
        Ok(())
    }

    fn begin_exchange(&mut self, record: &Record<'_>) {
        let out = &mut self.leaf;
        let exchange = record.exchange;
        let flow = &*exchange.flow;
        begin(out, exchange.id, exchange.received);
        out.extend_from_slice(flow.encoded.get_or_init(|| encode_flow(flow)));
        encode_caller(out, exchange);
        out.extend_from_slice(b",\"direction\":\"");
        out.extend_from_slice(direction(exchange).as_bytes());
        out.push(b'"');
        // Left out where nobody knows it: 0 says that there were none.
        if let Some(records) = record.records() {
            number(out, b",\"records\":", records);
        }
        number(out, b",\"bytes_in\":", exchange.bytes_in());
        number(out, b",\"bytes_out\":", exchange.bytes_out);
        number(out, b",\"duration_us\":", u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX));
        encode_outcome(out, record.ending.outcome(), record.ending.code());
        text(out, b",\"refused_by\":", at_most(exchange.refused_by.as_deref().unwrap_or_default(), MAX_RULE));
        if let Some(mark) = record.mark() {
            number(out, b",\"status\":", u64::from(mark));
        }
        if record.amends {
            out.extend_from_slice(b",\"amends\":true");
        }
        if let Origin::Spool(spooled) = &exchange.origin {
            text(out, b",\"accepted_as\":", spooled.accepted.encode(&mut [0; 36]));
        }
    }

    fn seal_exchange(&mut self, record: &Record<'_>, callers: &OwnerKey) -> Result<(), SealError> {
        self.clear();
        let exchange = record.exchange;
        let belongs = (exchange.id, record.amends);
        let account = exchange.principal.as_ref().and_then(|principal| principal.account().owner.as_deref());
        if let Some(address) = exchange.origin.address() {
            let text = &mut self.leaf;
            push_address(text, address);
            let sealed = self.details.push(belongs, DetailKind::Address, account.unwrap_or(callers), text);
            text.clear();
            sealed?;
        }
        for (name, value) in exchange.marks.iter().take(MAX_MARKS) {
            let mark = format!("{name}={value}");
            let (owner, mark) = (account.unwrap_or(callers), at_most(&mark, MAX_MARK));
            self.details.push(belongs, DetailKind::Mark, owner, mark.as_bytes())?;
        }
        exchange.subjects.iter().try_for_each(|subject| {
            self.details.push(belongs, DetailKind::Subject, &subject.owner, subject.id.as_bytes())
        })
    }

    /// Encodes what an administrator or the bridge itself did.
    pub fn action(&mut self, action: &Action, callers: &OwnerKey) -> Result<(), SealError> {
        self.begin_action(action, callers)?;
        self.end();
        Ok(())
    }

    fn begin_action(&mut self, action: &Action, callers: &OwnerKey) -> Result<(), SealError> {
        self.clear();
        let (belongs, owner) = ((action.id, false), action.owner.as_deref().unwrap_or(callers));
        if !action.actor.is_empty() {
            let actor = at_most(&action.actor, MAX_ACTOR);
            self.details.push(belongs, DetailKind::Actor, owner, actor.as_bytes())?;
        }
        if let Some(address) = action.address {
            let text = address.to_canonical().to_string();
            self.details.push(belongs, DetailKind::Address, owner, text.as_bytes())?;
        }
        let out = &mut self.leaf;
        begin(out, action.id, action.time);
        text(out, b",\"action\":", &action.name);
        text(out, b",\"object\":", at_most(&action.object, MAX_TEXT));
        text(out, b",\"account\":", &action.account);
        if let Some((first, rest)) = action.facts.split_first() {
            out.extend_from_slice(b",\"facts\":{");
            encode_fact(out, first);
            for fact in rest {
                out.push(b',');
                encode_fact(out, fact);
            }
            out.push(b'}');
        }
        number(out, b",\"generation\":", action.generation);
        encode_outcome(out, action.outcome, &action.code);
        Ok(())
    }

    fn clear(&mut self) {
        self.leaf.clear();
        self.details.clear();
    }

    /// What the record commits to stands last, so that a verifier finds it without reading the rest.
    fn end(&mut self) {
        let out = &mut self.leaf;
        let count = u64::try_from(self.details.count()).unwrap_or(u64::MAX);
        if count > 0 {
            number(out, b",\"details\":", count);
            out.extend_from_slice(b",\"detail\":\"");
            out.extend_from_slice(base64(&self.details.root()).as_bytes());
            out.push(b'"');
        }
        out.push(b'}');
    }
}

/// The hash over the details' commitments, from a leaf that has one.
pub(crate) fn committed(leaf: &[u8]) -> Option<Hash> {
    let rest = leaf.strip_suffix(b"\"}")?;
    let (rest, encoded) = rest.split_last_chunk::<44>()?;
    rest.strip_suffix(b",\"detail\":\"")?;
    Hash::try_from(unbase64(std::str::from_utf8(encoded).ok()?)?).ok()
}

fn begin(out: &mut Vec<u8>, id: ExchangeId, time: Timestamp) {
    out.extend_from_slice(b"{\"v\":2,\"id\":\"");
    out.extend_from_slice(id.encode(&mut [0; 36]).as_bytes());
    out.extend_from_slice(b"\",\"time\":\"");
    push_time(out, time);
    out.push(b'"');
}

fn encode_outcome(out: &mut Vec<u8>, outcome: Outcome, code: &str) {
    out.extend_from_slice(b",\"outcome\":\"");
    out.extend_from_slice(outcome.name().as_bytes());
    out.push(b'"');
    text(out, b",\"code\":", code);
}

fn encode_fact(out: &mut Vec<u8>, (name, value): &(Cow<'static, str>, String)) {
    push_string(out, name);
    out.push(b':');
    push_string(out, at_most(value, MAX_TEXT));
}

/// The part that every record of one flow repeats.
fn encode_flow(flow: &Flow) -> Box<[u8]> {
    let integration = &*flow.integration;
    let mut out = Vec::with_capacity(512);
    let texts = [
        (&b",\"integration\":"[..], &*integration.name),
        (b",\"operation\":", flow.operation.as_ref().map_or("", |operation| &operation.name)),
        (b",\"permission\":", flow.operation.as_ref().map_or("", |operation| &operation.permission_name)),
        (b",\"transport\":", integration.transport.name),
        (b",\"source\":", &*integration.source.name),
        (b",\"source_country\":", &*integration.source.country),
        (b",\"target\":", &*integration.target.name),
        (b",\"target_country\":", &*integration.target.country),
        (b",\"purpose\":", &*integration.purpose),
        (b",\"legal_basis\":", &*integration.legal_basis),
    ];
    texts.into_iter().for_each(|(key, value)| text(&mut out, key, value));
    for (key, list) in
        [(&b",\"subjects\":["[..], &integration.subjects), (b",\"categories\":[", &integration.categories)]
    {
        let Some((first, rest)) = list.split_first() else { continue };
        out.extend_from_slice(key);
        push_string(&mut out, first);
        for text in rest {
            out.push(b',');
            push_string(&mut out, text);
        }
        out.push(b']');
    }
    text(&mut out, b",\"disclosure\":", integration.disclosure);
    number(&mut out, b",\"generation\":", flow.generation);
    out.into()
}

fn encode_caller(out: &mut Vec<u8>, exchange: &Exchange) {
    if let Some(principal) = &exchange.principal {
        out.extend_from_slice(b",\"account\":");
        push_string(out, &principal.account().name);
        out.extend_from_slice(b",\"credential\":\"");
        out.extend_from_slice(principal.credential().kind.name().as_bytes());
        out.extend_from_slice(b"\",\"credential_id\":");
        push_string(out, at_most(&principal.credential().id, MAX_CREDENTIAL));
    }
    text(out, b",\"method\":", at_most(&exchange.asked.verb, MAX_METHOD));
}

/// Which way data went, as far as bytes tell, counted or not.
fn direction(exchange: &Exchange) -> &'static str {
    let to_target = exchange.bytes_in() > 0 || exchange.uncounted_in;
    let to_source = exchange.bytes_out > 0 || exchange.uncounted_out;
    match (to_target, to_source) {
        (false, false) => word::NONE.id,
        (true, false) => word::TO_TARGET.id,
        (false, true) => word::TO_SOURCE.id,
        (true, true) => word::BOTH.id,
    }
}

/// A member, unless it has nothing to say.
fn text(out: &mut Vec<u8>, key: &[u8], value: &str) {
    if !value.is_empty() {
        out.extend_from_slice(key);
        push_string(out, value);
    }
}

fn number(out: &mut Vec<u8>, key: &[u8], value: u64) {
    out.extend_from_slice(key);
    push_number(out, value);
}

fn at_most(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Entry;
    use ironbridge_core::{
        Account, Answered, Credential, CredentialKind, Ending, ExchangeId, IntegrationFacts, OperationFacts,
        Peer, PermissionTable, Principal, Said, Spooled, SystemFacts, Timestamp, TransportFacts, code,
    };
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::time::Duration;

    /// As the transport of that name says it.
    static HTTP: TransportFacts = TransportFacts {
        name: "http",
        marks: "HTTP status",
        mark: |code| Some(if *code == code::OPERATION_UNKNOWN { 404 } else { 500 }),
        mark_of_kind: |_| None,
    };

    fn callers() -> OwnerKey {
        OwnerKey::new([1; 16], [2; 32])
    }

    fn encode(record: &Record<'_>) -> (Vec<u8>, Hash) {
        let mut encoded = Encoded::default();
        encoded.exchange(record, &callers()).unwrap();
        (encoded.leaf, encoded.details.root())
    }

    fn exchange(text: &str, number: u64) -> Exchange {
        let permission = PermissionTable::default().intern("orders.read");
        let integration = IntegrationFacts {
            name: text.into(),
            transport: &HTTP,
            source: SystemFacts { name: "shop".into(), country: "DE".into() },
            target: SystemFacts { name: "erp".into(), country: "FR".into() },
            purpose: text.into(),
            legal_basis: "contract".into(),
            subjects: vec!["customers".into(), text.into()],
            categories: vec![text.into()],
            disclosure: "",
            durable: true,
        };
        let operation =
            OperationFacts { name: "list-orders".into(), permission, permission_name: "orders.read".into() };
        let flow = Flow::new(Arc::new(integration), Some(operation), 3);
        let mut exchange = Exchange::new(
            ExchangeId::from_u128(7),
            Timestamp(number),
            Duration::ZERO,
            Arc::new(flow),
            Peer::at([0, 0, 0, 0].into()),
        );
        exchange.asked.verb = text.into();
        exchange.asked.resource = "/customers/ada@example.com".into();
        exchange.asked.query = ironbridge_core::uri::Query::parse("secret=1").unwrap();
        exchange.bytes_out = number;
        exchange.principal = Some(Principal::verified(
            Arc::new(Account {
                name: text.into(),
                system: "shop".into(),
                permissions: Default::default(),
                addresses: vec![],
                owner: None,
            }),
            Arc::new(Credential { kind: CredentialKind::ApiKey, id: text.into(), expires: None }),
            None,
        ));
        exchange
    }

    #[test]
    fn the_whole_leaf() {
        let exchange = exchange("a \"b\"", 1_780_000_000_123_456);
        let record = Record {
            exchange: &exchange,
            ending: Ending::Delivered(Answered { mark: Some(200), said: Said::Done }),
            duration: Duration::from_micros(1500),
            amends: true,
        };
        let (out, details) = encode(&record);
        let expected = concat!(
            r#"{"v":2,"id":"00000000-0000-0000-0000-000000000007","time":"2026-05-28T20:26:40.123456Z","#,
            r#""integration":"a \"b\"","operation":"list-orders","permission":"orders.read","#,
            r#""transport":"http","source":"shop","source_country":"DE","target":"erp","target_country":"FR","#,
            r#""purpose":"a \"b\"","legal_basis":"contract","subjects":["customers","a \"b\""],"#,
            r#""categories":["a \"b\""],"generation":3,"account":"a \"b\"","credential":"api_key","#,
            r#""credential_id":"a \"b\"","method":"a \"b\"","direction":"to_source","#,
            r#""bytes_in":0,"bytes_out":1780000000123456,"duration_us":1500,"#,
            r#""outcome":"success","code":"delivered","status":200,"amends":true,"details":1,"detail":""#,
        );
        let (text, commitment) = out.split_at(expected.len());
        assert_eq!(std::str::from_utf8(text).unwrap(), expected);
        assert_eq!(commitment.len(), 46);
        assert_eq!(committed(&out), Some(details));
    }

    #[test]
    fn what_was_laid_down_names_the_record_of_its_acceptance() {
        let mut exchange = exchange("a", 0);
        let accepted = ExchangeId::from_u128(7);
        exchange.origin = Origin::Spool(Spooled { accepted, address: None });
        let ending = Ending::Delivered(Answered { mark: None, said: Said::Done });
        let record = Record { exchange: &exchange, ending, duration: Duration::ZERO, amends: false };
        let mut encoded = Encoded::default();
        encoded.exchange(&record, &callers()).unwrap();
        let entry: crate::Entry = serde_json::from_slice(&encoded.leaf).unwrap();
        assert_eq!((entry.accepted_as, entry.details), (accepted.to_string(), 0));
    }

    #[test]
    fn what_a_transport_marks_is_sealed_beside_the_leaf() {
        let mut exchange = exchange("a", 7);
        exchange.marks =
            (0..20).map(|number| ("file".into(), format!("orders-{number}.csv").into())).collect();
        exchange.marks.insert(1, ("message".into(), "\u{e4}".repeat(1000).into()));
        let record = Record {
            exchange: &exchange,
            ending: Ending::Delivered(Answered { mark: None, said: Said::Done }),
            duration: Duration::ZERO,
            amends: false,
        };
        let mut encoded = Encoded::default();
        encoded.exchange(&record, &callers()).unwrap();
        assert!(!String::from_utf8(encoded.leaf).unwrap().contains("orders-"));
        let pieces = crate::detail::parse(&encoded.details.bytes).unwrap();
        let opened: Vec<_> = (pieces.iter().enumerate())
            .map(|(place, piece)| piece.open((exchange.id, false), place, &callers()).unwrap())
            .collect();
        assert_eq!((opened.len(), opened[0].kind), (1 + MAX_MARKS, DetailKind::Address));
        assert!(opened[1..].iter().all(|detail| detail.kind == DetailKind::Mark));
        assert_eq!(opened[1].value, "file=orders-0.csv");
        assert_eq!(opened[2].value, format!("message={}", "\u{e4}".repeat(124)));
    }

    #[test]
    fn data_went_that_way_also_where_nobody_counted_it() {
        let mut exchange = exchange("a", 0);
        let directions = [(false, false, "none"), (false, true, "to_source"), (true, true, "both")];
        for (to_target, to_source, expected) in directions {
            (exchange.uncounted_in, exchange.uncounted_out) = (to_target, to_source);
            assert_eq!(direction(&exchange), expected);
        }
    }

    #[test]
    fn a_refused_stranger_leaves_only_what_is_known() {
        let flow = Arc::new(Flow::undeclared(&HTTP, 0));
        let exchange = Exchange::new(
            ExchangeId::default(),
            Timestamp(0),
            Duration::ZERO,
            flow,
            Peer::at([0, 0, 0, 0].into()),
        );
        let ending = Ending::Denied(&code::OPERATION_UNKNOWN);
        let record = Record { exchange: &exchange, ending, duration: Duration::ZERO, amends: false };
        let (out, _) = encode(&record);
        let expected = concat!(
            r#"{"v":2,"id":"00000000-0000-0000-0000-000000000000","time":"1970-01-01T00:00:00.000000Z","#,
            r#""transport":"http","generation":0,"direction":"none","records":0,"#,
            r#""bytes_in":0,"bytes_out":0,"duration_us":0,"outcome":"denied","#,
            r#""code":"operation-unknown","status":404,"details":1,"detail":""#,
        );
        assert!(String::from_utf8(out).unwrap().starts_with(expected));
    }

    #[test]
    fn an_action() {
        let mut action = Action::done(ExchangeId::from_u128(7), Timestamp(0), "secret.set", "erp \"main\"")
            .fact("version", "2");
        let mut encoded = Encoded::default();
        encoded.action(&action, &callers()).unwrap();
        let expected = concat!(
            r#"{"v":2,"id":"00000000-0000-0000-0000-000000000007","time":"1970-01-01T00:00:00.000000Z","#,
            r#""action":"secret.set","object":"erp \"main\"","facts":{"version":"2"},"generation":0,"#,
            r#""outcome":"success","code":"done"}"#,
        );
        assert_eq!(std::str::from_utf8(&encoded.leaf).unwrap(), expected);
        assert_eq!(committed(&encoded.leaf), None);
        action.actor = "ada".into();
        encoded.action(&action, &callers()).unwrap();
        let entry = Entry::parse(&encoded.leaf).unwrap();
        assert_eq!((entry.action.as_str(), entry.details), ("secret.set", 1));
        assert!(!String::from_utf8_lossy(&encoded.leaf).contains("ada"));
        let detail = &crate::detail::parse(&encoded.details.bytes).unwrap()[0];
        assert_eq!(detail.open((action.id, false), 0, &callers()).unwrap().value, "ada");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(text: String, number in 0..253_402_300_800_000_000u64) {
            let exchange = exchange(&text, number);
            let record = Record {
                exchange: &exchange,
                ending: Ending::Failed(&code::INTERNAL),
                duration: Duration::from_micros(number),
                amends: false,
            };
            let (out, _) = encode(&record);
            let entry = Entry::parse(&out).unwrap();
            prop_assert_eq!(&entry.integration, &text);
            prop_assert_eq!(&entry.account, &text);
            prop_assert_eq!(&entry.credential_id, at_most(&text, MAX_CREDENTIAL));
            prop_assert_eq!(&entry.method, at_most(&text, MAX_METHOD));
            if !text.is_empty() {
                prop_assert_eq!(entry.subjects.last(), Some(&text));
            }
            prop_assert_eq!(entry.time, Timestamp(number));
            prop_assert_eq!(entry.bytes_out, number);
            prop_assert!(!String::from_utf8_lossy(&out).contains("ada@example.com"));
        }
    }
}
