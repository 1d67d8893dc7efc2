//! Which controls an operation passes.

use crate::plan::OperationPlan;
use crate::transport::{BuildError, Preparing};
use ipnet::IpNet;
use ironbridge_controls::address::AddressList;
use ironbridge_controls::authenticate::Authenticate;
use ironbridge_controls::authorise::Authorise;
use ironbridge_controls::count::Count;
use ironbridge_controls::idempotency::{self, IdempotencyKey};
use ironbridge_controls::implied;
use ironbridge_controls::keep::Keep;
use ironbridge_controls::limit::{FailedAuthentication, LimitTable, Quota, RateLimit};
use ironbridge_controls::rules::{Rule, Rules};
use ironbridge_controls::schema::Schema;
use ironbridge_controls::subject::DataSubjects;
use ironbridge_controls::suspended::Suspended;
use ironbridge_core::{Bounds, Control, CredentialKind, Pipeline, Reads, Side, SubjectKeys};
use ironbridge_manifest::{self as manifest, Rate};
use ironbridge_store::Idempotency;
use std::sync::Arc;
use std::time::Duration;

/// Failures of one credential from one address; an address has ten times as many.
const FAILURES_PER_MINUTE: u64 = 60;

impl Preparing<'_> {
    /// The controls that everything meets before it is known what it wants, where only these addresses may call; any,
    /// where none are named.
    pub fn admission(&self, addresses: Option<&[IpNet]>) -> Result<Vec<Arc<dyn Control>>, BuildError> {
        let limits = &self.services.limits;
        let mut controls: Vec<Arc<dyn Control>> = Vec::new();
        if let Some(networks) = addresses {
            controls.push(Arc::new(AddressList::new(networks.to_vec())));
        }
        let per_address = quota("bridge.limits.per_address", self.plan.manifest.bridge.limits.per_address)?;
        controls.push(Arc::new(RateLimit::per_address(Arc::clone(limits), "bridge", per_address)));
        Ok(controls)
    }

    /// The controls that all operations of an integration share.
    pub fn shared_controls(
        &self,
        addresses: Option<&[IpNet]>,
        name: &str,
        declared: &manifest::Integration,
    ) -> Result<Vec<Arc<dyn Control>>, BuildError> {
        let limits = &self.services.limits;
        let mut controls = self.admission(addresses)?;
        let place = "failed authentication";
        let failures = quota(place, Rate { count: FAILURES_PER_MINUTE, per: Duration::from_secs(60) })?;
        let failures = FailedAuthentication::new(Arc::clone(limits), failures)
            .map_err(|error| BuildError::Declared { place: place.to_owned(), reason: error.to_string() })?;
        controls.push(Arc::new(failures));
        let accepted: Vec<_> =
            self.plan.manifest.accepted(declared).into_iter().map(credential_kind).collect();
        controls.push(Arc::new(Authenticate::new(
            Arc::clone(&self.authenticator),
            accepted,
            Arc::clone(&self.directory),
        )));
        controls.push(Arc::new(Authorise::new(declared.source.shared())));
        if let Some(why) = self.plan.lapsed(&["systems", &declared.target]) {
            controls.push(Arc::new(Suspended::new(Arc::clone(why))));
        }
        let place = format!("integrations.{name}.limits");
        let by_all = manifest::Limits { per_operation: None, ..declared.limits.clone() };
        controls.extend(self.limits(name, &place, &by_all)?);
        Ok(controls)
    }

    /// The counters of one `limits` section, under a name that finds them again after a reload.
    fn limits(
        &self,
        name: &str,
        place: &str,
        declared: &manifest::Limits,
    ) -> Result<Vec<Arc<dyn Control>>, BuildError> {
        type Make = fn(Arc<LimitTable>, &str, Quota) -> RateLimit;
        let &manifest::Limits { per_account, per_address, per_operation } = declared;
        let kinds: [(Option<Rate>, Make); 3] = [
            (per_address, RateLimit::per_address),
            (per_account, RateLimit::per_account),
            (per_operation, RateLimit::per_operation),
        ];
        let declared = kinds.into_iter().filter_map(|(rate, make)| Some((rate?, make)));
        declared
            .map(|(rate, make)| {
                let limit = make(Arc::clone(&self.services.limits), name, quota(place, rate)?);
                Ok(Arc::new(limit) as Arc<dyn Control>)
            })
            .collect()
    }

    /// The limits that an operation counts for itself: its own, and what its integration grants each operation.
    fn own_limits(
        &self,
        place: &str,
        integration: &manifest::Integration,
        operation: &manifest::Operation<'_>,
    ) -> Result<Vec<Arc<dyn Control>>, BuildError> {
        let of_each = manifest::Limits {
            per_account: None,
            per_address: None,
            per_operation: integration.limits.per_operation,
        };
        let mut controls = self.limits(&format!("{place}, as each"), place, &of_each)?;
        controls.extend(self.limits(place, place, operation.limits)?);
        Ok(controls)
    }

    /// Everything that one operation's exchanges pass, in both directions.
    pub fn pipeline(
        &self,
        place: &str,
        shared: &[Arc<dyn Control>],
        integration: &manifest::Integration,
        operation: &manifest::Operation<'_>,
        plan: &OperationPlan,
    ) -> Result<Pipeline, BuildError> {
        let mut controls = shared.to_vec();
        controls.extend(self.own_limits(place, integration, operation)?);
        controls.extend(plan.body_controls());
        controls.extend(self.subject_controls(plan));
        if let Some(replay) = operation.replay {
            controls.push(Arc::new(self.idempotency_key(replay, plan)));
        }
        controls.extend(implied(&controls));
        let bounds = Bounds {
            request: match operation.request.max_body {
                None if !operation.expects_content(plan.rules.iter().any(Rule::reads_body)) => Some(0),
                declared => declared.map(|size| size.0),
            },
            reply: operation.response.max_body.map(|size| size.0),
        };
        Ok(Pipeline::new(controls, bounds).within(Arc::clone(&self.services.room)))
    }

    fn subject_controls(&self, plan: &OperationPlan) -> Vec<Arc<dyn Control>> {
        let Some(places) = &plan.subjects else { return Vec::new() };
        let keys = || Arc::clone(&self.services.owners) as Arc<dyn SubjectKeys>;
        let mut controls: Vec<Arc<dyn Control>> =
            vec![Arc::new(DataSubjects::request(Arc::clone(places), keys()))];
        if places.reads_body() {
            controls.push(Arc::new(DataSubjects::reply(Arc::clone(places), keys())));
        }
        controls
    }

    fn idempotency_key(&self, replay: &manifest::Replay, plan: &OperationPlan) -> IdempotencyKey {
        let store = Arc::clone(&self.services.home.store) as Arc<dyn Idempotency>;
        let required = replay.idempotency_key == manifest::IdempotencyKey::Required;
        let secret = Arc::clone(&self.services.fingerprint_key);
        IdempotencyKey::new(store, secret, required, replay.window)
            .judged_by(plan.response_schema.as_ref())
            .concerning(plan.subjects.as_deref())
    }
}

impl OperationPlan {
    /// The controls of bodies that need nothing of a running bridge.
    fn body_controls(&self) -> Vec<Arc<dyn Control>> {
        let mut controls: Vec<Arc<dyn Control>> = Vec::new();
        if let Some(schema) = &self.request_schema {
            controls.push(Arc::new(Schema::request(schema.clone())));
        }
        if !self.rules.is_empty() {
            controls.push(Arc::new(Rules::new(self.rules.clone())));
        }
        if let Some(list) = &self.request_keep {
            controls.push(Arc::new(Keep::request(Arc::clone(list))));
        }
        if let Some(places) = &self.request_records {
            controls.push(Arc::new(Count::request(Some(Arc::clone(places)))));
        }
        if let Some(schema) = &self.response_schema {
            controls.push(Arc::new(Schema::reply(schema.clone())));
        }
        if let Some(list) = &self.response_keep {
            controls.push(Arc::new(Keep::reply(Arc::clone(list))));
        }
        if let Some(places) = &self.response_records {
            controls.push(Arc::new(Count::reply(Some(Arc::clone(places)))));
        }
        controls
    }

    /// What the controls of an operation will hold of its bodies, as they say it themselves.
    pub(crate) fn reads(&self, operation: &manifest::Operation) -> Reads {
        let places = self.subjects.iter();
        let of_subjects =
            places.flat_map(|places| [Side::Request, Side::Reply].map(|side| places.reads(side)));
        let of_replay = operation.replay.iter().map(|_| idempotency::READS);
        let of_bodies = self.body_controls().into_iter().map(|control| control.reads());
        of_bodies.chain(of_subjects).chain(of_replay).fold(Reads::NOTHING, Reads::and)
    }
}

fn quota(place: &str, rate: Rate) -> Result<Quota, BuildError> {
    Quota::new(rate.count, rate.per)
        .map_err(|error| BuildError::Declared { place: place.to_owned(), reason: error.to_string() })
}

fn credential_kind(declared: manifest::CredentialKind) -> CredentialKind {
    match declared {
        manifest::CredentialKind::ApiKey => CredentialKind::ApiKey,
        manifest::CredentialKind::OauthClient => CredentialKind::OauthClient,
        manifest::CredentialKind::Token => CredentialKind::Token,
        manifest::CredentialKind::Certificate => CredentialKind::Certificate,
    }
}
