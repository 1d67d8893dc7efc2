//! What a transport gets of an integration: the flow and the pipeline of each operation, and what judges whatever
//! matches none.

use crate::plan::Planned;
use crate::transport::{BuildError, Egress, Preparing};
use ipnet::IpNet;
use ironbridge_core::{
    Bounds, Delivery, Flow, IntegrationFacts, OperationFacts, Pipeline, SystemFacts, TransportFacts,
};
use ironbridge_manifest::{self as manifest, Manifest};
use std::sync::Arc;

/// One declared operation, as exchanges cross it.
pub struct Passage {
    /// What the integration calls it.
    pub name: Arc<str>,
    /// What each of its records says.
    pub flow: Arc<Flow>,
    /// What each of its exchanges passes.
    pub pipeline: Arc<Pipeline>,
    /// What takes each of its exchanges to the target.
    pub delivery: Arc<dyn Delivery>,
}

impl Preparing<'_> {
    /// What arrives over a transport and matches no operation: it is counted, refused and recorded. Only these addresses
    /// may call; any, where none are named.
    ///
    /// # Errors
    /// What the manifest declares for all callers cannot be built.
    pub fn undeclared(
        &self,
        transport: &'static TransportFacts,
        addresses: Option<&[IpNet]>,
    ) -> Result<(Arc<Flow>, Arc<Pipeline>), BuildError> {
        let no_body = Bounds { request: Some(0), reply: Some(0) };
        let pipeline = Pipeline::new(self.admission(addresses)?, no_body);
        let pipeline = pipeline.within(Arc::clone(&self.services.room));
        Ok((Arc::new(Flow::undeclared(transport, self.generation)), Arc::new(pipeline)))
    }

    /// Every operation of an integration, in the order of their names, with what leads to its target over whichever
    /// transport; records of it name this one. Only these addresses may call; any, where none are named.
    ///
    /// # Errors
    /// What is declared cannot be built.
    pub fn passages(
        &self,
        transport: &'static TransportFacts,
        planned: Planned<'_>,
        addresses: Option<&[IpNet]>,
    ) -> Result<Vec<Passage>, BuildError> {
        let Planned { name, declared, operations } = planned;
        let facts = Arc::new(facts(transport, &self.plan.manifest, name, declared));
        let shared = self.shared_controls(addresses, name, declared)?;
        let mut passed = Vec::with_capacity(operations.len());
        for (operation, plan) in declared.flow.operations().into_iter().zip(operations) {
            let place = format!("integrations.{name}.{}.operations.{}", declared.flow.key(), operation.name);
            let pipeline = Arc::new(self.pipeline(&place, &shared, declared, &operation, plan)?);
            let what = OperationFacts {
                name: operation.name.shared(),
                permission: plan.permission,
                permission_name: operation.permission.shared(),
            };
            let flow = Arc::new(Flow::new(Arc::clone(&facts), Some(what), self.generation));
            passed.push((operation.name.shared(), flow, pipeline));
        }
        let read: Vec<bool> =
            passed.iter().map(|(_, _, pipeline)| pipeline.reads().reply.is_whole()).collect();
        let deliveries = self.leading(planned)?.deliveries(**self, planned, &read)?;
        let passages = passed.into_iter().zip(deliveries);
        let passage = |((name, flow, pipeline), delivery)| Passage { name, flow, pipeline, delivery };
        Ok(passages.map(passage).collect())
    }

    /// The target's side of the transport over which an integration reaches its target.
    fn leading(&self, Planned { name, declared, .. }: Planned<'_>) -> Result<&dyn Egress, BuildError> {
        let system = self.plan.manifest.systems.get(&declared.target);
        let target = system.and_then(|system| system.targets.reached_by(&declared.flow));
        let egress = target.and_then(|target| self.egresses.of(target.key()));
        egress.ok_or_else(|| {
            BuildError::declared(format!("integrations.{name}"), "no transport leads to its target")
        })
    }
}

fn facts(
    transport: &'static TransportFacts,
    manifest: &Manifest,
    name: &manifest::Name,
    declared: &manifest::Integration,
) -> IntegrationFacts {
    let system = |name: &manifest::Name| SystemFacts {
        name: name.shared(),
        country: manifest
            .systems
            .get(name)
            .map(|system| system.country.to_string().into())
            .unwrap_or_default(),
    };
    let data = declared.data.as_ref();
    let words = |list: Option<&Vec<String>>| -> Vec<Arc<str>> {
        list.into_iter().flatten().map(|word| Arc::from(word.as_str())).collect()
    };
    IntegrationFacts {
        name: name.shared(),
        transport,
        source: system(&declared.source),
        target: system(&declared.target),
        purpose: declared.purpose.as_str().into(),
        legal_basis: declared.legal_basis.name().into(),
        subjects: words(data.map(|data| &data.subjects)),
        categories: words(data.map(|data| &data.categories)),
        disclosure: data.map_or("", |data| data.disclosure.name()),
        durable: declared.is_durable(),
    }
}
