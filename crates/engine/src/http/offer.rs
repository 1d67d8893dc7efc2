//! From a compiled manifest to what each listener serves.

use super::paths;
use super::targets::{self, Targets};
use crate::plan::{OperationPlan, Planned};
use crate::transport::{BuildError, Preparing};
use http::Method;
use http::header::{HeaderName, HeaderValue};
use ironbridge_controls::rules::Rule;
use ironbridge_http::hosts::Hosts;
use ironbridge_http::passes::{self, Passes};
use ironbridge_http::target::Target;
use ironbridge_http::{
    ForwardingField, HttpDelivery, Offer, Problems, Proxies, Route, Routes, TokenService, Told, Undeclared,
    Way,
};
use ironbridge_manifest::{self as manifest, Listener, Manifest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Builds every listener's offer, but for its hosts, which depend on its certificate. Nothing of the running bridge is
/// changed.
pub async fn build(from: &Preparing<'_>) -> Result<BTreeMap<Arc<str>, Offer>, BuildError> {
    let manifest = &from.plan.manifest;
    let builder = Builder { from, public_url: manifest.bridge.origin() };
    let mut offers = BTreeMap::new();
    for (name, listener) in &manifest.bridge.listeners {
        offers.insert(name.shared(), builder.offer(name, listener).await?);
    }
    Ok(offers)
}

pub(super) struct Builder<'a> {
    pub from: &'a Preparing<'a>,
    public_url: String,
}

impl Builder<'_> {
    async fn offer(&self, name: &str, listener: &Listener) -> Result<Offer, BuildError> {
        let bridge = &self.from.plan.manifest.bridge;
        let mut routes = Routes::default();
        for planned in self.from.plan.integrations() {
            let Some(flow) = planned.declared.http() else { continue };
            let serves = bridge.listener_of(flow);
            if serves.is_some_and(|(serving, _)| &**serving == name) {
                self.integration(&mut routes, listener, planned, flow)?;
            }
        }
        let via = |version: &str| {
            HeaderValue::try_from(format!("{version} {}", bridge.name.pseudonym())).map_err(|error| {
                BuildError::Declared { place: "bridge.name".to_owned(), reason: error.to_string() }
            })
        };
        let (flow, pipeline) = self.from.undeclared(targets::NAME, listener.addresses.as_deref())?;
        Ok(Offer {
            hosts: Hosts::default(),
            routes,
            undeclared: Undeclared { flow, pipeline },
            problems: Problems { public_url: self.public_url.as_str().into(), realm: (*bridge.name).into() },
            name: bridge.name.pseudonym().into(),
            via_http1: via("1.1")?,
            via_http2: via("2.0")?,
            proxies: proxies(listener),
            token_service: issues_tokens(&self.from.plan.manifest).then(|| TokenService {
                endpoint: Arc::clone(&self.from.services.token_endpoint),
                directory: Arc::clone(&self.from.directory),
            }),
            body_timeout: bridge.timeouts.body,
            mounts: self.mounts(name).await?,
            told: Told::default(),
        })
    }

    fn integration(
        &self,
        routes: &mut Routes,
        listener: &Listener,
        planned: Planned<'_>,
        http: &manifest::HttpFlow,
    ) -> Result<(), BuildError> {
        let Planned { name, declared, operations } = planned;
        let undeclared = |reason: &str| BuildError::Declared {
            place: format!("integrations.{name}"),
            reason: reason.to_owned(),
        };
        let targets = Targets::of(self.from.egresses);
        let target = targets.and_then(|targets| targets.get(&declared.target));
        let target = target.ok_or_else(|| undeclared("the target has no http"))?;
        let addresses = listener.addresses.as_deref();
        let passages = self.from.passages(planned, addresses)?;
        let url = self
            .from
            .plan
            .manifest
            .systems
            .get(&declared.target)
            .and_then(|system| Some(&system.http()?.url));
        let url = url.ok_or_else(|| undeclared("the target has no http"))?;
        let each = || http.operations.iter().zip(operations);
        let takes = each().map(|((_, operation), plan)| (operation, members(operation, plan)));
        let way_back = Arc::new(paths::way_back(http, url, takes));
        for (((operation_name, operation), plan), passage) in each().zip(passages) {
            let place = format!("integrations.{name}.http.operations.{operation_name}");
            let pattern = paths::pattern(&http.path, &operation.route.path);
            let reply_is_read = passage.pipeline.reads().reply.is_whole();
            let rewrite = operation.target_path.as_ref().map(|to| {
                let written = paths::rewrite(to, &operation.route.path);
                written.ok_or_else(|| undeclared("a parameter of target_path is not in the matched path"))
            });
            let beside = (&**target, reply_is_read);
            let passes =
                Arc::new(passes(&self.from.plan.manifest, &place, declared, operation, plan, beside)?);
            let way = Way {
                target: Arc::clone(target),
                rewrite: rewrite.transpose()?,
                way_back: Arc::clone(&way_back),
                passes: Arc::clone(&passes),
                timeout: operation.timeout.unwrap_or(http.timeout),
                reply_is_read,
            };
            let route = Arc::new(Route {
                pattern: pattern.as_str().into(),
                flow: passage.flow,
                pipeline: passage.pipeline,
                mount: http.path.0.trim_end_matches('/').into(),
                parameters: paths::parameters(&operation.route.path),
                passes,
                delivery: Arc::new(HttpDelivery::new(way)),
                idle_timeout: operation.idle_timeout.unwrap_or(http.idle_timeout),
                reply_is_read,
                upgrades: operation.upgrade.is_some(),
            });
            let declared_wrongly = |reason: String| BuildError::Declared { place: place.clone(), reason };
            let method = Method::from_bytes(operation.route.method.as_bytes())
                .map_err(|error| declared_wrongly(error.to_string()))?;
            routes.insert(method, &pattern, route).map_err(|error| declared_wrongly(error.to_string()))?;
        }
        Ok(())
    }
}

/// The query members that cross for an operation.
fn members(operation: &manifest::HttpOperation, plan: &OperationPlan) -> passes::Members {
    match &operation.request.query {
        manifest::Crossing::All => passes::Members::all(plan.rules.iter().flat_map(Rule::query_names)),
        manifest::Crossing::Listed(members) => passes::Members::Listed(
            members.iter().map(|member| ((*member.name).into(), member.repeats)).collect(),
        ),
    }
}

/// Which fields cross for an operation.
fn passes(
    manifest: &Manifest,
    place: &str,
    integration: &manifest::Integration,
    operation: &manifest::HttpOperation,
    plan: &OperationPlan,
    (target, reads_reply): (&Target, bool),
) -> Result<Passes, BuildError> {
    let (request, response) = (&operation.request, &operation.response);
    Ok(Passes::new(passes::Declared {
        query: members(operation, plan),
        request: listed(place, &request.headers, |field| &field.0)?,
        request_trailers: listed(place, &request.trailers, |field| &field.0)?,
        reply: listed(place, &response.headers, |field| &field.0)?,
        reply_trailers: listed(place, &response.trailers, |field| &field.0)?,
        reads_reply,
        filters_reply: filters_reply(manifest, integration, operation),
        filters_request: request.body.keep.is_some(),
        credential: target.credential.field(),
    }))
}

/// Whether a keep list holds back parts of what the target answers, to this or to a GET of the same thing: HEAD tells of
/// what GET answers, and what changes a thing is answered with its entity tag.
fn filters_reply(
    manifest: &Manifest,
    integration: &manifest::Integration,
    operation: &manifest::HttpOperation,
) -> bool {
    if operation.response.body.keep.is_some() || &*operation.route.method == "GET" {
        return operation.response.body.keep.is_some();
    }
    let beside = manifest.integrations.values().filter(|other| other.target == integration.target);
    let reading = beside
        .filter_map(|other| Some(other.http()?.operations.values()))
        .flatten()
        .filter(|other| &*other.route.method == "GET" && may_be_one(at_target(other), at_target(operation)));
    let reading: Vec<_> = reading.collect();
    let is_same = |other: &manifest::HttpOperation| at_target(other).shape() == at_target(operation).shape();
    let same = reading.iter().any(|other| is_same(other));
    reading.iter().any(|other| other.response.body.keep.is_some() && (!same || is_same(other)))
}

/// The path at the target.
fn at_target(operation: &manifest::HttpOperation) -> &manifest::Template {
    operation.target_path.as_ref().unwrap_or(&operation.route.path)
}

/// Whether some path fits both.
fn may_be_one(one: &manifest::Template, other: &manifest::Template) -> bool {
    use manifest::Segment::Literal;
    let mut pairs = one.segments.iter().zip(&other.segments);
    one.segments.len() == other.segments.len()
        && pairs.all(|pair| !matches!(pair, (Literal(one), Literal(other)) if one != other))
}

fn listed<T>(
    place: &str,
    declared: &manifest::Crossing<T>,
    name: impl Fn(&T) -> &str,
) -> Result<passes::Listed, BuildError> {
    let names = declared.listed().iter().map(|field| HeaderName::try_from(name(field)));
    let names = names
        .collect::<Result<_, _>>()
        .map_err(|error| BuildError::Declared { place: place.to_owned(), reason: error.to_string() })?;
    Ok(passes::Listed { names, all: declared.is_all() })
}

fn issues_tokens(manifest: &Manifest) -> bool {
    manifest.accounts.values().any(|account| account.credentials.oauth_client.is_some())
}

fn proxies(listener: &Listener) -> Proxies {
    let field = listener.forwarded.map(|field| match field {
        manifest::ForwardingField::XForwardedFor => ForwardingField::XForwardedFor,
        manifest::ForwardingField::Forwarded => ForwardingField::Forwarded,
    });
    Proxies::new(listener.trusted_proxies.iter().copied(), field)
}

#[cfg(test)]
mod tests;
