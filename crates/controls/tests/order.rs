//! The control-order table says what the controls say of themselves.
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
use ironbridge_controls::{ORDER, Side};
use ironbridge_core::{
    BoxFuture, Control, Denial, OwnerKey, OwnerTag, Phase, Pipeline, Reads, SubjectKeys, Timestamp,
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
    vec![
        (Arc::new(DataSubjects::reply(Arc::clone(&places), Arc::new(Nothing))), Reads::Reply),
        (Arc::new(DataSubjects::request(places, Arc::new(Nothing))), Reads::Request),
        (Arc::new(Keep::reply(Arc::clone(&list))), Reads::Reply),
        (Arc::new(Schema::reply(schema.clone())), Reads::Reply),
        (Arc::new(Keep::request(Arc::clone(&list))), Reads::Request),
        (Arc::new(Count::reply(Some(Arc::clone(&list)))), Reads::Reply),
        (Arc::new(Count::request(Some(list))), Reads::Request),
        (
            Arc::new(IdempotencyKey::new(Arc::new(Nothing), Arc::new(MacKey::new(&[7; 32])), true, window)),
            Reads::Both,
        ),
        (Arc::new(JsonBody), Reads::Request),
        (Arc::new(Schema::request(schema)), Reads::Request),
        (Arc::new(Rules::new(vec![Rule::compile("body.a > 0", "").unwrap()])), Reads::Request),
        (Arc::new(RateLimit::per_account(Arc::clone(&table), "a", quota)), Reads::Nothing),
        (Arc::new(RateLimit::per_operation(Arc::clone(&table), "a", quota)), Reads::Nothing),
        (Arc::new(Authorise::new("a".into())), Reads::Nothing),
        (Arc::new(Suspended::new("why".into())), Reads::Nothing),
        (Arc::new(Authenticate::new(Arc::new(authenticator), [], directory)), Reads::Nothing),
        (Arc::new(AddressList::new(Vec::new())), Reads::Nothing),
        (Arc::new(FailedAuthentication::new(Arc::clone(&table), quota).unwrap()), Reads::Nothing),
        (Arc::new(RateLimit::per_address(table, "a", quota)), Reads::Nothing),
    ]
}

#[test]
fn every_control_is_in_the_table_once_with_its_phase() {
    let controls = every_control();
    assert_eq!(controls.len(), ORDER.len());
    for (control, reads) in controls {
        let lines: Vec<_> = ORDER.iter().filter(|line| line.name == control.name()).collect();
        assert_eq!(lines.len(), 1, "{}", control.name());
        assert_eq!(lines[0].phase, control.phase(), "{}", control.name());
        assert_eq!(control.reads(), reads, "{}", control.name());
    }
}

#[test]
fn controls_that_read_a_body_run_when_it_is_there() {
    for (control, reads) in every_control() {
        assert!(!(reads.request() && control.phase().precedes_body()), "{}", control.name());
    }
}

#[test]
fn a_pipeline_of_all_controls_runs_in_the_order_of_the_table() {
    let place = |name: &str| ORDER.iter().position(|line| line.name == name).unwrap();
    let mut controls: Vec<_> = every_control().into_iter().map(|(control, _)| control).collect();
    controls.sort_by_key(|control| place(control.name()));
    let is_reply = |control: &Arc<dyn Control>| ORDER[place(control.name())].side == Side::Reply;
    let (reply, request): (Vec<_>, Vec<_>) = controls.into_iter().partition(is_reply);
    let pipeline = Pipeline::new(request, reply, 1, 1);
    let runs: Vec<(Phase, &str)> = pipeline.order().map(|(_, phase, name)| (phase, name)).collect();
    let table: Vec<(Phase, &str)> = ORDER.iter().map(|line| (line.phase, line.name)).collect();
    assert_eq!(runs, table);
}

#[test]
fn rules_that_look_at_no_body_let_it_stream() {
    let rules = Rules::new(vec![Rule::compile("request.method == 'GET'", "").unwrap()]);
    assert_eq!(rules.reads(), Reads::Nothing);
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
