//! What a manifest says of lines: one section at an integration, one at a system.

use ironbridge_core::TransportFacts;
use ironbridge_manifest::{
    Conditions, CredentialKind, FlowSection, Map, OneOrMore, Operation, Request, Response, TargetSection,
    Template, section,
};
use std::net::SocketAddr;

/// As sections of manifests and records call the transport.
pub const NAME: &str = "line";
/// It has no numbers for refusals.
pub static FACTS: TransportFacts = TransportFacts::named(NAME);

section! {
    /// A flow of lines over TCP.
    pub struct LineFlow {
        /// Where callers connect.
        address: SocketAddr,
        /// Which credentials are accepted.
        accept: Option<OneOrMore<CredentialKind>>,
        /// What may be put there.
        operations: Map<LineOperation>,
    }
}

section! {
    /// One thing that may be put.
    pub struct LineOperation {
        /// What is put, such as `/orders/{id}`.
        resource: Template,
        /// What a request must be like.
        request: Request,
        /// What an answer must be like.
        response: Response,
    }
    and conditions: Conditions
}

section! {
    /// A system that takes lines over TCP.
    pub struct LineTarget {
        /// Where it listens.
        address: SocketAddr,
    }
}

/// The only verb there is.
pub const PUT: &str = "PUT";

impl FlowSection for LineFlow {
    fn accept(&self) -> Option<&[CredentialKind]> {
        self.accept.as_deref()
    }

    fn operations(&self) -> Vec<Operation<'_>> {
        let operations = self.operations.iter().map(|(name, one)| Operation {
            parameters: one.resource.parameters().collect(),
            ..Operation::new(name, PUT, &one.conditions, &one.request, &one.response)
        });
        operations.collect()
    }
}

impl TargetSection for LineTarget {}
