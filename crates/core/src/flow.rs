use crate::Permission;
use std::sync::{Arc, OnceLock};

/// What the record says of one side of an integration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SystemFacts {
    pub name: Arc<str>,
    /// ISO 3166-1 alpha-2, as declared.
    pub country: Arc<str>,
}

/// The declared facts of an integration that every record of it repeats.
#[derive(Debug, Clone, Default)]
pub struct IntegrationFacts {
    pub name: Arc<str>,
    pub transport: &'static str,
    pub source: SystemFacts,
    pub target: SystemFacts,
    pub purpose: Arc<str>,
    pub legal_basis: Arc<str>,
    pub subjects: Vec<Arc<str>>,
    pub categories: Vec<Arc<str>>,
    /// As what a disclosure counts for an accounting of disclosures (45 CFR 164.528); empty: one that counts.
    pub disclosure: &'static str,
    /// Whether an answer waits until its record is on disk. True by default for personal data.
    pub durable: bool,
}

/// One thing an integration allows.
#[derive(Debug, Clone)]
pub struct OperationFacts {
    pub name: Arc<str>,
    pub permission: Permission,
    pub permission_name: Arc<str>,
}

/// An integration with one of its operations, compiled once per load of the manifest.
#[derive(Debug)]
pub struct Flow {
    pub integration: Arc<IntegrationFacts>,
    /// `None` when what arrived matched no operation; such an exchange can only be refused.
    pub operation: Option<OperationFacts>,
    /// Counts loads of the manifest since the bridge started.
    pub generation: u64,
    /// The record's constant part, encoded once by the audit trail.
    pub encoded: OnceLock<Box<[u8]>>,
}

impl Flow {
    pub fn new(
        integration: Arc<IntegrationFacts>,
        operation: Option<OperationFacts>,
        generation: u64,
    ) -> Flow {
        Flow { integration, operation, generation, encoded: OnceLock::new() }
    }

    /// Whether this is what another load of the manifest called by the same names, toward the same system.
    pub fn is_same(&self, other: &Flow) -> bool {
        let names = |flow: &Flow| flow.operation.as_ref().map(|operation| Arc::clone(&operation.name));
        let leads = |flow: &Flow| {
            (Arc::clone(&flow.integration.name), Arc::clone(&flow.integration.target.name), names(flow))
        };
        leads(self) == leads(other)
    }

    /// The flow of everything that matches nothing declared.
    pub fn undeclared(transport: &'static str, generation: u64) -> Flow {
        let integration = IntegrationFacts { transport, ..IntegrationFacts::default() };
        Flow::new(Arc::new(integration), None, generation)
    }
}
