//! What a transport gets of an integration: the flow and the pipeline of each operation, and what judges whatever
//! matches none.

use crate::plan::Planned;
use crate::transport::{BuildError, Preparing};
use ipnet::IpNet;
use ironbridge_core::{Bounds, Flow, IntegrationFacts, OperationFacts, Pipeline, SystemFacts};
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
}

impl Preparing<'_> {
    /// What arrives over a transport and matches no operation: it is counted, refused and recorded. Only these addresses
    /// may call; any, where none are named.
    ///
    /// # Errors
    /// What the manifest declares for all callers cannot be built.
    pub fn undeclared(
        &self,
        transport: &'static str,
        addresses: Option<&[IpNet]>,
    ) -> Result<(Arc<Flow>, Arc<Pipeline>), BuildError> {
        let no_body = Bounds { request: Some(0), reply: Some(0) };
        let pipeline = Pipeline::new(self.admission(addresses)?, no_body);
        let pipeline = pipeline.within(Arc::clone(&self.services.room));
        Ok((Arc::new(Flow::undeclared(transport, self.generation)), Arc::new(pipeline)))
    }

    /// Every operation of an integration, in the order of their names. Only these addresses may call; any, where none are named.
    ///
    /// # Errors
    /// What is declared cannot be built.
    pub fn passages(
        &self,
        Planned { name, declared, operations }: Planned<'_>,
        addresses: Option<&[IpNet]>,
    ) -> Result<Vec<Passage>, BuildError> {
        let facts = Arc::new(facts(&self.plan.manifest, name, declared));
        let shared = self.shared_controls(addresses, name, declared)?;
        let passages = declared.flow.operations().into_iter().zip(operations).map(|(operation, plan)| {
            let place = format!("integrations.{name}.{}.operations.{}", declared.flow.key(), operation.name);
            let pipeline = self.pipeline(&place, &shared, declared, &operation, plan)?;
            let facts_of_it = OperationFacts {
                name: operation.name.shared(),
                permission: plan.permission,
                permission_name: operation.permission.shared(),
            };
            let flow = Flow::new(Arc::clone(&facts), Some(facts_of_it), self.generation);
            let name = operation.name.shared();
            Ok(Passage { name, flow: Arc::new(flow), pipeline: Arc::new(pipeline) })
        });
        passages.collect()
    }
}

fn facts(manifest: &Manifest, name: &manifest::Name, declared: &manifest::Integration) -> IntegrationFacts {
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
        transport: declared.flow.key(),
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
