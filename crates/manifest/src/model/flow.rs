//! What a manifest says of an integration and of a system whatever transport carries it, and what each transport says
//! besides. It must not know any transport.

use super::{Conditions, CredentialKind, Limits, Replay, Request, Response};
use crate::{Name, PermissionName};
use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

/// What a transport declares at an integration: who may call, and what its operations are. They stand below the
/// section's key `operations`, by name.
pub trait FlowSection: Any + Debug + Send + Sync + Alike {
    /// Which credentials are accepted; `None` for all that the source's accounts have.
    fn accept(&self) -> Option<&[CredentialKind]>;

    /// Its operations, in the order of their names.
    fn operations(&self) -> Vec<Operation<'_>>;
}

/// What a transport declares at a system: how it is reached.
pub trait TargetSection: Any + Debug + Send + Sync + Alike {}

/// Comparison with a value of a type that is not known.
pub trait Alike {
    /// Whether both are of one type and equal.
    fn is_like(&self, other: &dyn Any) -> bool;
}

impl<T: Any + PartialEq> Alike for T {
    fn is_like(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<T>() == Some(self)
    }
}

/// One thing that an integration allows, as every transport can tell of it.
#[derive(Debug, Clone)]
pub struct Operation<'m> {
    /// What the integration calls it.
    pub name: &'m Name,
    /// What a caller must hold.
    pub permission: &'m PermissionName,
    /// What a request must be like, and what of its body crosses.
    pub request: &'m Request,
    /// What a reply must be like, and what of its body crosses.
    pub response: &'m Response,
    /// Whether what was done already is refused or repeated.
    pub replay: Option<&'m Replay>,
    /// Limits of its own.
    pub limits: &'m Limits,
    /// What is done, in the transport's own word: `GET`.
    pub verb: &'m str,
    /// The names of the parameters in its address.
    pub parameters: Vec<&'m str>,
    /// The members of a query that may come, and which of them more than once; `None` for any.
    pub query: Option<Vec<(&'m str, bool)>>,
    /// Whether its requests bring a body.
    pub content: Content,
    /// Whether a reply can have a body that controls can read.
    pub answers: bool,
}

/// Whether requests of an operation bring a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// None, unless a bound for it is declared.
    None,
    /// None, unless something is declared about it.
    Unusual,
    /// They do.
    Usual,
}

impl<'m> Operation<'m> {
    /// One whose requests and replies have bodies, without parameters or a query.
    pub fn new(
        name: &'m Name,
        verb: &'m str,
        conditions: &'m Conditions,
        request: &'m Request,
        response: &'m Response,
    ) -> Operation<'m> {
        Operation {
            name,
            permission: &conditions.permission,
            request,
            response,
            replay: conditions.replay.as_ref(),
            limits: &conditions.limits,
            verb,
            parameters: Vec::new(),
            query: Some(Vec::new()),
            content: Content::Usual,
            answers: true,
        }
    }

    /// Whether a request may have a body; `rules_read` says that one of its rules looks at it.
    pub fn expects_content(&self, rules_read: bool) -> bool {
        match self.content {
            Content::None => self.request.max_body.is_some(),
            Content::Unusual => self.request.max_body.is_some() || self.request.reads_body() || rules_read,
            Content::Usual => true,
        }
    }
}

/// The one flow of an integration.
#[derive(Debug, Clone)]
pub struct Flow {
    key: &'static str,
    section: Arc<dyn FlowSection>,
}

impl Flow {
    pub(crate) fn new(key: &'static str, section: Arc<dyn FlowSection>) -> Flow {
        Flow { key, section }
    }

    /// The key of its section, which is what its transport is called.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// The section of a transport, where the flow is of that one.
    pub fn of<T: FlowSection>(&self) -> Option<&T> {
        (&*self.section as &dyn Any).downcast_ref()
    }

    /// Which credentials are accepted; `None` for all that the source's accounts have.
    pub fn accept(&self) -> Option<&[CredentialKind]> {
        self.section.accept()
    }

    /// Its operations, in the order of their names.
    pub fn operations(&self) -> Vec<Operation<'_>> {
        self.section.operations()
    }
}

impl PartialEq for Flow {
    fn eq(&self, other: &Flow) -> bool {
        self.key == other.key && self.section.is_like(&*other.section)
    }
}

/// How a system is reached over one transport.
#[derive(Debug, Clone)]
pub struct Target {
    key: &'static str,
    section: Arc<dyn TargetSection>,
}

impl Target {
    pub(crate) fn new(key: &'static str, section: Arc<dyn TargetSection>) -> Target {
        Target { key, section }
    }

    /// The key of its section, which is what its transport is called.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// The section of a transport, where it is of that one.
    pub fn of<T: TargetSection>(&self) -> Option<&T> {
        (&*self.section as &dyn Any).downcast_ref()
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Target) -> bool {
        self.key == other.key && self.section.is_like(&*other.section)
    }
}

/// How a system is reached: over any number of transports.
#[derive(Debug, Clone, PartialEq)]
pub struct Targets(Vec<Target>);

impl Targets {
    pub(crate) fn new(targets: Vec<Target>) -> Targets {
        Targets(targets)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Target> {
        self.0.iter()
    }

    /// The section of a transport, where there is one.
    pub fn of<T: TargetSection>(&self) -> Option<&T> {
        self.iter().find_map(Target::of)
    }

    /// Where a flow leads: over its own transport, else over the only one there is.
    pub fn reached_by(&self, flow: &Flow) -> Option<&Target> {
        let same = self.iter().find(|target| target.key == flow.key);
        same.or_else(|| self.0.first().filter(|_| self.0.len() == 1))
    }
}
