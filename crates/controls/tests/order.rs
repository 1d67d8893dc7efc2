//! What the controls say of themselves: where they stand, and what they read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ironbridge_controls::address::AddressList;
use ironbridge_controls::authenticate::{Authenticate, Authenticator};
use ironbridge_controls::authorise::Authorise;
use ironbridge_controls::body::JsonBody;
use ironbridge_controls::count::Count;
use ironbridge_controls::idempotency::IdempotencyKey;
use ironbridge_controls::keep::{Keep, KeepList};
use ironbridge_controls::limit::{FailedAuthentication, LimitTable, Quota, RateLimit};
use ironbridge_controls::rules::{Rule, Rules};
use ironbridge_controls::schema::{JsonSchema, Schema};
use ironbridge_controls::subject::{DataSubjects, Places};
use ironbridge_controls::suspended::Suspended;
use ironbridge_controls::{ORDER, implied};
use ironbridge_core::{
    BoxFuture, Control, Denial, OwnerKey, OwnerTag, Reading, Reads, Row, Side, SubjectKeys, Timestamp,
};
use ironbridge_identity::accounts::Directory;
use ironbridge_identity::api_key::{KeyKind, KeyRing};
use ironbridge_identity::certificate::CertificateVerifier;
use ironbridge_identity::token::TokenVerifier;
use ironbridge_seal::hash::MacKey;
use ironbridge_store::{
    Changes, Credentials, Fingerprints, Idempotency, IssuedCredential, Rekey, Reservation, Settlement,
    StoreFuture, Ticket,
};
use std::sync::Arc;
use std::time::Duration;

/// One of each control, with the bodies it reads, in any order.
fn every_control() -> Vec<(Arc<dyn Control>, Reads)> {
    let table = Arc::new(LimitTable::default());
    let quota = Quota::new(1, Duration::from_secs(1)).unwrap();
    let authenticator = Authenticator {
        keys: Arc::new(KeyRing::new(KeyKind::ApiKey, Arc::new(Nothing))),
        tokens: Arc::new(TokenVerifier::new(Vec::new(), 0).unwrap()),
        certificates: Arc::new(CertificateVerifier::new(0)),
    };
    let directory = Arc::new(Directory::new([], Arc::default()).unwrap());
    let schema = JsonSchema::compile(&true.into()).unwrap();
    let list = Arc::new(KeepList::compile(["/a"]).unwrap());
    let window = Duration::from_secs(1);
    let places = Arc::new(Places::compile(["/id"]).unwrap());
    let [request, reply] = [Side::Request, Side::Reply].map(|side| side.reads(Reading::Json));
    vec![
        (Arc::new(DataSubjects::reply(Arc::clone(&places), Arc::new(Nothing))), reply),
        (Arc::new(DataSubjects::request(places, Arc::new(Nothing))), request),
        (Arc::new(Keep::reply(Arc::clone(&list))), reply),
        (Arc::new(Schema::reply(schema.clone())), reply),
        (Arc::new(Keep::request(Arc::clone(&list))), request),
        (Arc::new(Count::reply(Some(Arc::clone(&list)))), reply),
        (Arc::new(Count::request(Some(list))), request),
        (
            Arc::new(IdempotencyKey::new(Arc::new(Nothing), Arc::new(MacKey::new(&[7; 32])), true, window)),
            Reads { request: Reading::Bytes, reply: Reading::Bytes },
        ),
        (Arc::new(JsonBody), request),
        (Arc::new(Schema::request(schema)), request),
        (Arc::new(rules("body.a > 0")), request),
        (Arc::new(RateLimit::per_account(Arc::clone(&table), "a", quota)), Reads::NOTHING),
        (Arc::new(RateLimit::per_operation(Arc::clone(&table), "a", quota)), Reads::NOTHING),
        (Arc::new(Authorise::new("a".into())), Reads::NOTHING),
        (Arc::new(Suspended::new("why".into())), Reads::NOTHING),
        (Arc::new(Authenticate::new(Arc::new(authenticator), [], directory)), Reads::NOTHING),
        (Arc::new(AddressList::new(Vec::new())), Reads::NOTHING),
        (Arc::new(FailedAuthentication::new(Arc::clone(&table), quota).unwrap()), Reads::NOTHING),
        (Arc::new(RateLimit::per_address(table, "a", quota)), Reads::NOTHING),
    ]
}

fn rules(check: &str) -> Rules {
    Rules::new(vec![Rule::compile(check, "").unwrap()])
}

#[test]
fn every_control_has_a_row_of_its_own_and_every_row_a_control() {
    let mut rows: Vec<&Row> = every_control().iter().map(|(control, _)| control.row()).collect();
    rows.sort_by_key(|row| row.rank());
    assert_eq!(rows, ORDER);
    assert!(ORDER.iter().enumerate().all(|(place, row)| row.place == place));
}

#[test]
fn the_table_goes_by_side_and_phase() {
    assert!(ORDER.is_sorted_by_key(|row| (row.side, row.phase)));
}

#[test]
fn controls_read_what_they_say_and_none_before_it_is_there() {
    for (control, reads) in every_control() {
        let row = control.row();
        assert_eq!(control.reads(), reads, "{}", row.name);
        assert!(!(reads.request.is_whole() && row.phase.precedes_body()), "{}", row.name);
    }
}

#[test]
fn rules_that_look_at_no_body_let_it_stream() {
    assert_eq!(rules("request.method == 'GET'").reads(), Reads::NOTHING);
}

/// The body must be JSON where somebody reads it as such, and its records are counted once.
#[test]
fn what_follows_from_other_controls_is_added_once() {
    let list = Arc::new(KeepList::compile(["/a"]).unwrap());
    let key = IdempotencyKey::new(Arc::new(Nothing), Arc::new(MacKey::new(&[7; 32])), true, Duration::MAX);
    let cases: [(Arc<dyn Control>, &[&str]); 6] = [
        (Arc::new(Authorise::new("a".into())), &[]),
        (Arc::new(rules("request.method == 'GET'")), &[]),
        (Arc::new(rules("body.a > 0")), &["JSON body", "request records"]),
        (Arc::new(Keep::request(Arc::clone(&list))), &["JSON body"]),
        (Arc::new(Count::reply(Some(list))), &[]),
        (Arc::new(key), &["request records", "reply records"]),
    ];
    for (control, names) in cases {
        let name = control.row().name;
        let added = implied(&[control]);
        assert_eq!(added.iter().map(|control| control.row().name).collect::<Vec<_>>(), names, "{name}");
    }
}

/// A store that is never asked.
struct Nothing;

impl Changes for Nothing {
    fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        unreachable!()
    }
}

impl Credentials for Nothing {
    fn insert(&self, _: IssuedCredential, _: usize) -> StoreFuture<'_, ()> {
        unreachable!()
    }
    fn revoke<'a>(&'a self, _: &'a str, _: Timestamp) -> StoreFuture<'a, bool> {
        unreachable!()
    }
    fn touch(&self, _: Vec<(String, Timestamp)>) -> StoreFuture<'_, ()> {
        unreachable!()
    }
    fn issued<'a>(&'a self, _: Option<&'a str>) -> StoreFuture<'a, Vec<IssuedCredential>> {
        unreachable!()
    }
}

impl SubjectKeys for Nothing {
    fn keys<'a>(&'a self, _: &'a [Box<str>]) -> BoxFuture<'a, Result<Vec<Arc<OwnerKey>>, Box<Denial>>> {
        unreachable!()
    }
}

impl Idempotency for Nothing {
    fn reserve(
        &self,
        _: &str,
        _: &str,
        _: Fingerprints,
        _: Timestamp,
        _: Timestamp,
    ) -> StoreFuture<'_, Reservation> {
        unreachable!()
    }
    fn concerns(&self, _: Ticket, _: Vec<OwnerTag>) {
        unreachable!()
    }
    fn settle(&self, _: Ticket, _: Settlement) {
        unreachable!()
    }
    fn keep_at_most(&self, _: u64) {
        unreachable!()
    }
    fn count_anew(&self) -> StoreFuture<'_, ()> {
        unreachable!()
    }
    fn key_fingerprints(&self, _: Rekey) -> StoreFuture<'_, ()> {
        unreachable!()
    }
}
