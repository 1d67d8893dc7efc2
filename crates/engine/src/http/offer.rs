//! From a compiled manifest to what each listener serves.

use super::{paths, ways};
use crate::plan::Planned;
use crate::transport::{BuildError, Preparing};
use http::Method;
use http::header::HeaderValue;
use ironbridge_http::hosts::Hosts;
use ironbridge_http::status::TRANSPORT;
use ironbridge_http::{
    ForwardingField, HttpDelivery, Offer, Problems, Proxies, Route, Routes, TokenService, Told, Undeclared,
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
        let (flow, pipeline) = self.from.undeclared(&TRANSPORT, listener.addresses.as_deref())?;
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
        let passages = self.from.passages(&TRANSPORT, planned, listener.addresses.as_deref())?;
        let each = http.operations.iter().zip(operations).zip(passages);
        for (((operation_name, operation), plan), passage) in each {
            let place = format!("integrations.{name}.http.operations.{operation_name}");
            let pattern = paths::pattern(&http.path, &operation.route.path);
            let reply_is_read = passage.pipeline.reads().reply.is_whole();
            let passes = match HttpDelivery::passes(&*passage.delivery) {
                Some(passes) => Arc::clone(passes),
                None if operation.target_path.is_some() => {
                    return Err(BuildError::declared(place, "target_path needs a target that speaks HTTP"));
                }
                None => {
                    let (of, what) = ((name, declared), (operation_name, operation));
                    let manifest = &self.from.plan.manifest;
                    Arc::new(ways::passes(manifest, of, what, plan, reply_is_read, None)?)
                }
            };
            let route = Arc::new(Route {
                pattern: pattern.as_str().into(),
                flow: passage.flow,
                pipeline: passage.pipeline,
                mount: http.path.0.trim_end_matches('/').into(),
                parameters: paths::parameters(&operation.route.path),
                passes,
                delivery: passage.delivery,
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
