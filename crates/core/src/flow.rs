//! What the manifest declares of an exchange: its integration and operation, as records and controls need them. It
//! knows neither where they are served nor how they are delivered.

use crate::{Code, Kind, Permission};
use std::sync::{Arc, OnceLock};

/// What the record says of one side of an integration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SystemFacts {
    /// The system, as the manifest names it.
    pub name: Arc<str>,
    /// ISO 3166-1 alpha-2, as declared.
    pub country: Arc<str>,
}

/// What the kernel and the trail know of a transport, whose own words stay its own.
#[derive(Debug)]
pub struct TransportFacts {
    /// As records call it: `http`.
    pub name: &'static str,
    /// What its numbers for refusals are called: `HTTP status`. Empty where it has none.
    pub marks: &'static str,
    /// The number by which it tells callers a refusal with this code, for the record; `None` where it has none.
    pub mark: fn(&'static Code) -> Option<u16>,
    /// The same for most codes of a kind.
    pub mark_of_kind: fn(Kind) -> Option<u16>,
}

impl TransportFacts {
    /// Of a transport that has no numbers for refusals.
    pub const fn named(name: &'static str) -> TransportFacts {
        TransportFacts { name, marks: "", mark: |_| None, mark_of_kind: |_| None }
    }
}

/// Of what came over no transport that has a name.
impl Default for &'static TransportFacts {
    fn default() -> Self {
        static NONE: TransportFacts = TransportFacts::named("");
        &NONE
    }
}

/// The declared facts of an integration that every record of it repeats.
#[derive(Debug, Clone, Default)]
pub struct IntegrationFacts {
    /// As the manifest names it.
    pub name: Arc<str>,
    /// The transport that serves it.
    pub transport: &'static TransportFacts,
    /// From where data comes: who may call.
    pub source: SystemFacts,
    /// Where requests go.
    pub target: SystemFacts,
    /// Why data crosses, in the manifest's words.
    pub purpose: Arc<str>,
    /// Under which law it may (Art. 6 GDPR), as the manifest writes it.
    pub legal_basis: Arc<str>,
    /// Whose data crosses, such as `customers`.
    pub subjects: Vec<Arc<str>>,
    /// What kinds of data cross.
    pub categories: Vec<Arc<str>>,
    /// As what a disclosure counts for an accounting of disclosures (45 CFR 164.528); empty: one that counts.
    pub disclosure: &'static str,
    /// Whether an answer waits until its record is on disk. True by default for personal data.
    pub durable: bool,
}

/// One thing an integration allows.
#[derive(Debug, Clone)]
pub struct OperationFacts {
    /// As the manifest names it.
    pub name: Arc<str>,
    /// What a caller needs to use it.
    pub permission: Permission,
    /// The same by name, for records and refusals.
    pub permission_name: Arc<str>,
}

/// An integration with one of its operations, compiled once per load of the manifest.
#[derive(Debug)]
pub struct Flow {
    /// What all operations of the integration have in common.
    pub integration: Arc<IntegrationFacts>,
    /// `None` when what arrived matched no operation; such an exchange can only be refused.
    pub operation: Option<OperationFacts>,
    /// Counts loads of the manifest since the bridge started.
    pub generation: u64,
    /// The record's constant part, encoded once by the audit trail.
    pub encoded: OnceLock<Box<[u8]>>,
}

impl Flow {
    /// What every exchange over this operation shares. `generation` counts loads of the manifest.
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
    pub fn undeclared(transport: &'static TransportFacts, generation: u64) -> Flow {
        let integration = IntegrationFacts { transport, ..IntegrationFacts::default() };
        Flow::new(Arc::new(integration), None, generation)
    }
}
