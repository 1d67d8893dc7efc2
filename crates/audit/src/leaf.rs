//! One exchange as one line of JSON, written by hand because every exchange pays for it. The schema is in
//! `docs/audit-format.md`; what is read back is [`crate::Entry`].

use crate::text::{push_address, push_number, push_string, push_time};
use ironbridge_core::{Exchange, Flow, Record};

/// The longest entry that an entry bundle can hold (c2sp.org/tlog-tiles), in bytes.
pub(crate) const MAX_ENTRY: usize = 65_535;

/// Longest recorded form of what a caller chose, in bytes: a token id is as long as its issuer likes.
const MAX_METHOD: usize = 32;
const MAX_CREDENTIAL: usize = 256;

/// Appends the record's leaf to `out`.
pub(crate) fn encode(out: &mut Vec<u8>, record: &Record<'_>) {
    let exchange = record.exchange;
    let flow = &*exchange.flow;
    out.extend_from_slice(b"{\"v\":1,\"id\":\"");
    out.extend_from_slice(exchange.id.encode(&mut [0; 36]).as_bytes());
    out.extend_from_slice(b"\",\"time\":\"");
    push_time(out, exchange.received);
    out.push(b'"');
    out.extend_from_slice(flow.encoded.get_or_init(|| encode_flow(flow)));
    encode_caller(out, exchange);
    out.extend_from_slice(b",\"direction\":\"");
    out.extend_from_slice(direction(exchange).as_bytes());
    out.push(b'"');
    number(out, b",\"records\":", exchange.records);
    number(out, b",\"bytes_in\":", exchange.bytes_in());
    number(out, b",\"bytes_out\":", exchange.bytes_out);
    number(out, b",\"duration_us\":", u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX));
    out.extend_from_slice(b",\"outcome\":\"");
    out.extend_from_slice(record.ending.outcome().name().as_bytes());
    out.extend_from_slice(b"\",\"code\":\"");
    out.extend_from_slice(record.ending.code().as_bytes());
    out.push(b'"');
    if let Some(status) = record.ending.status() {
        number(out, b",\"status\":", u64::from(status));
    }
    if record.amends {
        out.extend_from_slice(b",\"amends\":true");
    }
    out.push(b'}');
}

/// The part that every record of one flow repeats.
fn encode_flow(flow: &Flow) -> Box<[u8]> {
    let integration = &*flow.integration;
    let mut out = Vec::with_capacity(512);
    let texts = [
        (&b",\"integration\":"[..], &*integration.name),
        (b",\"operation\":", flow.operation.as_ref().map_or("", |operation| &operation.name)),
        (b",\"permission\":", flow.operation.as_ref().map_or("", |operation| &operation.permission_name)),
        (b",\"transport\":", integration.transport),
        (b",\"source\":", &*integration.source.name),
        (b",\"source_country\":", &*integration.source.country),
        (b",\"target\":", &*integration.target.name),
        (b",\"target_country\":", &*integration.target.country),
        (b",\"purpose\":", &*integration.purpose),
        (b",\"legal_basis\":", &*integration.legal_basis),
    ];
    for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        out.extend_from_slice(key);
        push_string(&mut out, text);
    }
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
    out.extend_from_slice(b",\"address\":\"");
    push_address(out, exchange.peer.address);
    out.push(b'"');
    if !exchange.facts.method.is_empty() {
        out.extend_from_slice(b",\"method\":");
        push_string(out, at_most(&exchange.facts.method, MAX_METHOD));
    }
}

/// Which way data went, as far as bytes tell.
fn direction(exchange: &Exchange) -> &'static str {
    match (exchange.bytes_in() > 0, exchange.bytes_out > 0) {
        (false, false) => "none",
        (true, false) => "to_target",
        (false, true) => "to_source",
        (true, true) => "both",
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
        Account, Credential, CredentialKind, Ending, ExchangeId, Integration, Operation, Peer,
        PermissionTable, Principal, SystemFacts, Timestamp, code,
    };
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::time::Duration;

    fn exchange(text: &str, number: u64) -> Exchange {
        let permission = PermissionTable::default().intern("orders.read");
        let integration = Integration {
            name: text.into(),
            transport: "http",
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
            Operation { name: "list-orders".into(), permission, permission_name: "orders.read".into() };
        let flow = Flow::new(Arc::new(integration), Some(operation), 3);
        let mut exchange = Exchange::new(
            ExchangeId::from_u128(7),
            Timestamp(number),
            Duration::ZERO,
            Arc::new(flow),
            Peer::default(),
        );
        exchange.facts.method = text.into();
        exchange.facts.path = "/customers/ada@example.com".into();
        exchange.facts.query = Some("secret=1".into());
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
            ending: Ending::Delivered { status: 200 },
            duration: Duration::from_micros(1500),
            amends: true,
        };
        let mut out = Vec::new();
        encode(&mut out, &record);
        let expected = concat!(
            r#"{"v":1,"id":"00000000-0000-0000-0000-000000000007","time":"2026-05-28T20:26:40.123456Z","#,
            r#""integration":"a \"b\"","operation":"list-orders","permission":"orders.read","#,
            r#""transport":"http","source":"shop","source_country":"DE","target":"erp","target_country":"FR","#,
            r#""purpose":"a \"b\"","legal_basis":"contract","subjects":["customers","a \"b\""],"#,
            r#""categories":["a \"b\""],"generation":3,"account":"a \"b\"","credential":"api_key","#,
            r#""credential_id":"a \"b\"","address":"0.0.0.0","method":"a \"b\"","direction":"to_source","#,
            r#""records":0,"bytes_in":0,"bytes_out":1780000000123456,"duration_us":1500,"#,
            r#""outcome":"success","code":"delivered","status":200,"amends":true}"#,
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_refused_stranger_leaves_only_what_is_known() {
        let flow = Arc::new(Flow::undeclared("http", 0));
        let exchange =
            Exchange::new(ExchangeId::default(), Timestamp(0), Duration::ZERO, flow, Peer::default());
        let ending = Ending::Denied(&code::OPERATION_UNKNOWN);
        let record = Record { exchange: &exchange, ending, duration: Duration::ZERO, amends: false };
        let mut out = Vec::new();
        encode(&mut out, &record);
        let expected = concat!(
            r#"{"v":1,"id":"00000000-0000-0000-0000-000000000000","time":"1970-01-01T00:00:00.000000Z","#,
            r#""transport":"http","generation":0,"address":"0.0.0.0","direction":"none","records":0,"#,
            r#""bytes_in":0,"bytes_out":0,"duration_us":0,"outcome":"denied","#,
            r#""code":"operation-unknown","status":404}"#,
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
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
            let mut out = Vec::new();
            encode(&mut out, &record);
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
