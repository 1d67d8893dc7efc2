//! Which controls an operation passes.

use crate::plan::OperationPlan;
use crate::transport::{BuildError, Preparing};
use ironbridge_controls::address::AddressList;
use ironbridge_controls::authenticate::Authenticate;
use ironbridge_controls::authorise::Authorise;
use ironbridge_controls::body::JsonBody;
use ironbridge_controls::count::Count;
use ironbridge_controls::idempotency::IdempotencyKey;
use ironbridge_controls::keep::Keep;
use ironbridge_controls::limit::{FailedAuthentication, LimitTable, Quota, RateLimit};
use ironbridge_controls::rules::{Rule, Rules};
use ironbridge_controls::schema::Schema;
use ironbridge_controls::subject::DataSubjects;
use ironbridge_controls::suspended::Suspended;
use ironbridge_core::{Control, CredentialKind, Pipeline, SubjectKeys};
use ironbridge_manifest::{self as manifest, Listener, Rate};
use ironbridge_store::Idempotency;
use std::sync::Arc;
use std::time::Duration;

/// Failures of one credential from one address; an address has ten times as many.
const FAILURES_PER_MINUTE: u64 = 60;

impl Preparing<'_> {
    /// The controls that everything meets before it is known what it wants.
    pub fn admission(&self, listener: &Listener) -> Result<Vec<Arc<dyn Control>>, BuildError> {
        let limits = &self.services.limits;
        let mut controls: Vec<Arc<dyn Control>> = Vec::new();
        if let Some(networks) = &listener.addresses {
            controls.push(Arc::new(AddressList::new(networks.to_vec())));
        }
        let per_address = quota("bridge.limits.per_address", self.plan.manifest.bridge.limits.per_address)?;
        controls.push(Arc::new(RateLimit::per_address(Arc::clone(limits), "bridge", per_address)));
        Ok(controls)
    }

    /// The controls that all operations of an integration share.
    pub fn shared_controls(
        &self,
        listener: &Listener,
        name: &str,
        declared: &manifest::Integration,
    ) -> Result<Vec<Arc<dyn Control>>, BuildError> {
        let limits = &self.services.limits;
        let mut controls = self.admission(listener)?;
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
        operation: &manifest::Operation,
    ) -> Result<Vec<Arc<dyn Control>>, BuildError> {
        let of_each = manifest::Limits {
            per_account: None,
            per_address: None,
            per_operation: integration.limits.per_operation,
        };
        let mut controls = self.limits(&format!("{place}, as each"), place, &of_each)?;
        controls.extend(self.limits(place, place, &operation.limits)?);
        Ok(controls)
    }

    pub fn pipeline(
        &self,
        place: &str,
        shared: &[Arc<dyn Control>],
        integration: &manifest::Integration,
        operation: &manifest::Operation,
        plan: &OperationPlan,
    ) -> Result<Pipeline, BuildError> {
        let mut request = shared.to_vec();
        request.extend(self.own_limits(place, integration, operation)?);
        if plan.reads_request() {
            request.push(Arc::new(JsonBody));
        }
        if let Some(schema) = &plan.request_schema {
            request.push(Arc::new(Schema::request(schema.clone())));
        }
        if !plan.rules.is_empty() {
            request.push(Arc::new(Rules::new(plan.rules.clone())));
        }
        if let Some(places) = &plan.subjects {
            let keys = Arc::clone(&self.services.owners) as Arc<dyn SubjectKeys>;
            request.push(Arc::new(DataSubjects::request(Arc::clone(places), keys)));
        }
        if let Some(replay) = &operation.replay {
            let store = Arc::clone(&self.services.home.store) as Arc<dyn Idempotency>;
            let required = replay.idempotency_key == manifest::IdempotencyKey::Required;
            let secret = Arc::clone(&self.services.fingerprint_key);
            let control = IdempotencyKey::new(store, secret, required, replay.window);
            let control = control.judged_by(plan.response_schema.as_ref());
            request.push(Arc::new(control.concerning(plan.subjects.as_deref())));
        }
        if let Some(list) = &plan.request_keep {
            request.push(Arc::new(Keep::request(Arc::clone(list))));
        }
        let is_stored = operation.replay.is_some();
        if plan.request_records.is_some()
            || (plan.request_keep.is_none() && (plan.reads_request() || is_stored))
        {
            request.push(Arc::new(Count::request(plan.request_records.clone())));
        }
        let mut reply: Vec<Arc<dyn Control>> = Vec::new();
        if let Some(schema) = &plan.response_schema {
            reply.push(Arc::new(Schema::reply(schema.clone())));
        }
        if let Some(places) = plan.subjects.as_ref().filter(|places| places.reads_body()) {
            let keys = Arc::clone(&self.services.owners) as Arc<dyn SubjectKeys>;
            reply.push(Arc::new(DataSubjects::reply(Arc::clone(places), keys)));
        }
        if let Some(list) = &plan.response_keep {
            reply.push(Arc::new(Keep::reply(Arc::clone(list))));
        }
        if plan.response_records.is_some()
            || (plan.response_keep.is_none() && (plan.reads_reply() || is_stored))
        {
            reply.push(Arc::new(Count::reply(plan.response_records.clone())));
        }
        let (max_request, max_reply) = (operation.request.max_body, operation.response.max_body);
        let bound = |declared: Option<manifest::Size>, read: bool| match declared {
            Some(size) => size.0,
            None if read => manifest::DEFAULT_MAX_BODY.0,
            None => u64::MAX,
        };
        let reads_request = plan.reads_request() || operation.replay.is_some();
        let reads_reply = plan.reads_reply() || operation.replay.is_some();
        let max_reply = bound(max_reply, reads_reply);
        let max_request = match max_request {
            None if !operation.expects_content() => 0,
            declared => bound(declared, reads_request),
        };
        let pipeline = Pipeline::new(request, reply, max_request, max_reply);
        Ok(pipeline.within(Arc::clone(&self.services.room)))
    }
}

impl OperationPlan {
    pub(crate) fn reads_request(&self) -> bool {
        self.request_schema.is_some()
            || self.rules.iter().any(Rule::reads_body)
            || self.request_keep.is_some()
            || self.request_records.is_some()
            || self.finds_subjects()
    }

    pub(crate) fn reads_reply(&self) -> bool {
        self.response_schema.is_some()
            || self.response_keep.is_some()
            || self.response_records.is_some()
            || self.finds_subjects()
    }

    /// Whether subjects are looked for in bodies.
    fn finds_subjects(&self) -> bool {
        self.subjects.as_ref().is_some_and(|places| places.reads_body())
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
