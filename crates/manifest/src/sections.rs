//! Which transports have sections in a manifest. It must not know what a section says.

use crate::findings::finding;
use crate::keys::{Part, Read, Section};
use crate::model::{Flow, FlowSection, HTTP, HttpFlow, HttpTarget, Target, TargetSection, Targets};
use crate::reader::{Keys, Reader, listed};
use crate::schema::{Definitions, Key, Need};
use crate::yaml::Node;
use serde_json::Value;
use std::sync::Arc;

/// The sections of transports: what an integration can be a flow over, and by what a system can be reached.
#[derive(Debug, Clone, Default)]
pub struct Sections {
    flows: Vec<Registered<dyn FlowSection>>,
    targets: Vec<Registered<dyn TargetSection>>,
}

/// A transport's section, under the key by which the transport is called.
#[derive(Debug)]
struct Registered<S: ?Sized> {
    key: &'static str,
    description: &'static str,
    read: fn(&Node, &mut Reader<'_>) -> Option<Arc<S>>,
    schema: fn(&mut Definitions) -> Value,
}

impl Sections {
    /// Those of the product's transports.
    pub fn product() -> Sections {
        Sections::default()
            .flow::<HttpFlow>(HTTP, "The flow over HTTP.")
            .target::<HttpTarget>(HTTP, "How the bridge reaches it over HTTP. A target needs this.")
    }

    /// These, and integrations whose flow is this section, under the name of its transport.
    #[must_use]
    pub fn flow<T: FlowSection + Read>(mut self, key: &'static str, description: &'static str) -> Sections {
        let read = |node: &Node, reader: &mut Reader<'_>| Some(Arc::new(T::read(node, reader)?) as _);
        self.flows.push(Registered { key, description, read, schema: T::schema });
        self
    }

    /// These, and systems that are reached as this section says, under the name of its transport.
    #[must_use]
    pub fn target<T: TargetSection + Read>(
        mut self,
        key: &'static str,
        description: &'static str,
    ) -> Sections {
        let read = |node: &Node, reader: &mut Reader<'_>| Some(Arc::new(T::read(node, reader)?) as _);
        self.targets.push(Registered { key, description, read, schema: T::schema });
        self
    }
}

impl Section for Flow {
    fn keys(sections: &Sections) -> Vec<&'static str> {
        sections.flows.iter().map(|flow| flow.key).collect()
    }

    fn later(_: &Sections) -> Vec<&'static str> {
        Vec::new()
    }
}

impl Part for Flow {
    const OPTIONAL: bool = false;

    fn take(keys: &Keys<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let sections = reader.sections();
        let mut written = sections.flows.iter().filter_map(|flow| Some((flow, keys.entry(flow.key)?)));
        let (flow, entry) = match (written.next(), written.next()) {
            (Some(only), None) => only,
            (None, _) => {
                reader.missing(keys, &Flow::keys(sections));
                return None;
            }
            (Some((_, first)), Some((_, second))) => {
                // As they are written, not as they are registered.
                let (first, second) = match first.key_span.start < second.key_span.start {
                    true => (first, second),
                    false => (second, first),
                };
                let (at, also) = (reader.site(second.key_span), reader.site(first.key_span));
                reader.hide(&first.value);
                reader.hide(&second.value);
                let message = format!("exactly one of {} is needed here", listed(&Flow::keys(sections)));
                reader
                    .report(&finding::NOT_EXACTLY_ONE, at, message)
                    .label("a second flow")
                    .also(also, "the first one");
                return None;
            }
        };
        let section = reader.enter(reader.file(), entry, |reader, node| (flow.read)(node, reader))?;
        Some(Flow::new(flow.key, section))
    }

    fn describe(definitions: &mut Definitions) -> Vec<Key> {
        let flows = definitions.registered().flows;
        let need = if flows.len() == 1 { Need::Required } else { Need::Choice };
        flows.iter().map(|flow| flow.describe(need, definitions)).collect()
    }
}

impl Section for Targets {
    fn keys(sections: &Sections) -> Vec<&'static str> {
        sections.targets.iter().map(|target| target.key).collect()
    }

    fn later(_: &Sections) -> Vec<&'static str> {
        Vec::new()
    }
}

impl Part for Targets {
    const OPTIONAL: bool = true;

    fn take(keys: &Keys<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let registered = reader.sections().targets.iter();
        let written: Vec<_> =
            registered.filter_map(|target| Some((target, keys.entry(target.key)?))).collect();
        let read: Vec<Option<Target>> = written
            .into_iter()
            .map(|(target, entry)| {
                let section = reader.enter(reader.file(), entry, |reader, node| (target.read)(node, reader));
                Some(Target::new(target.key, section?))
            })
            .collect();
        Some(Targets::new(read.into_iter().collect::<Option<_>>()?))
    }

    fn describe(definitions: &mut Definitions) -> Vec<Key> {
        let targets = definitions.registered().targets;
        targets.iter().map(|target| target.describe(Need::Free, definitions)).collect()
    }
}

impl<S: ?Sized> Registered<S> {
    fn describe(&self, need: Need, definitions: &mut Definitions) -> Key {
        let schema = (self.schema)(definitions);
        Key { name: self.key, description: self.description.to_owned(), default: None, need, schema }
    }
}

impl<S: ?Sized> Clone for Registered<S> {
    fn clone(&self) -> Self {
        Registered { ..*self }
    }
}
