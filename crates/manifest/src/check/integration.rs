//! That an integration's names resolve, that somebody can call, and that what its operations say fits together,
//! whatever transport carries it.

use super::http::Routes;
use super::{Callers, Check};
use crate::findings::finding;
use crate::outline::Names;
use crate::place::Spot;
use crate::range;
use crate::reader::listed;
use crate::{CredentialKind, HTTP, Integration, Operation, SubjectPlace};

impl<'c> Check<'c, '_> {
    pub fn integrations(&mut self) {
        let mut routes = Routes::new();
        let parts = self.parts;
        let callers = self.callers();
        for (name, integration) in &parts.integrations {
            let Some(spot) = self.outline.spot(Names::Integrations, name) else { continue };
            self.resolve(Names::Systems, "system", &integration.source, spot.key("source").at_value());
            self.target_of(integration, spot.key("target"));
            if let Some(callers) =
                callers.as_ref().filter(|_| self.outline.declares(Names::Systems, &integration.source))
            {
                self.authentication(integration, spot, callers);
                self.certificates(integration, spot, callers);
            }
            self.operations(integration, spot.key(integration.flow.key()).key("operations"));
            if let Some(flow) = integration.http() {
                self.http(name, integration, flow, spot.key(HTTP), &mut routes);
            }
            self.subject_places(integration, spot.key("data").key("subject_id"));
        }
    }

    /// The target must say where it is, over the flow's transport or over only one.
    fn target_of(&mut self, integration: &Integration, spot: Spot<'_>) {
        let (target, flow) = (&integration.target, &integration.flow);
        self.resolve(Names::Systems, "system", target, spot.at_value());
        let Some(system) = self.parts.systems.get(target) else { return };
        if system.targets.reached_by(flow).is_some() {
            return;
        }
        let ways: Vec<&str> = system.targets.iter().map(|way| way.key()).collect();
        let (message, label, needs) = match ways.as_slice() {
            [] => (
                format!("the target `{target}` does not say where it is"),
                "cannot be reached",
                format!("needs `{}`, which says where it is", flow.key()),
            ),
            ways => (
                format!(
                    "the target `{target}` can be reached over {}, and a flow over `{}` could mean any",
                    listed(ways),
                    flow.key()
                ),
                "which of them is not said",
                format!("needs `{}`, or only one", flow.key()),
            ),
        };
        let report = self.reader.report(&finding::NO_TARGET, spot.at_value(), message).label(label);
        if let Some(system) = self.outline.spot(Names::Systems, target) {
            report.also(system.at_key(), needs);
        }
    }

    /// The credentials of each system's accounts. `None` when an account was wrong: it might have been the one.
    fn callers(&self) -> Option<Callers<'c>> {
        let accounts = &self.parts.accounts;
        if self.outline.names(Names::Accounts).count() > accounts.len() {
            return None;
        }
        let mut callers = Callers::new();
        for account in accounts.values() {
            let kinds: Vec<CredentialKind> = account.credentials.kinds().collect();
            if kinds.is_empty() || !self.outline.declares(Names::Systems, &account.system) {
                return None;
            }
            callers.entry(&account.system).or_default().extend(kinds);
        }
        Some(callers)
    }

    /// Some account of the source must be able to prove itself in a way that is accepted.
    fn authentication(&mut self, integration: &Integration, spot: Spot<'_>, callers: &Callers<'_>) {
        let (source, accept) = (&integration.source, integration.flow.accept());
        let (message, at, label) = match callers.get(&**source) {
            None => {
                let message = format!("nobody can call: no account belongs to the source `{source}`");
                (message, spot.key("source").at_value(), "has no account")
            }
            Some(kinds) if accept.is_none_or(|accept| kinds.iter().any(|kind| accept.contains(kind))) => {
                return;
            }
            Some(_) => {
                let message =
                    format!("nobody can call: no account of `{source}` has a credential that is accepted");
                (message, spot.key(integration.flow.key()).key("accept").at_key(), "accepts none that exists")
            }
        };
        self.report(&finding::NO_AUTHENTICATION, at, message, label);
    }

    /// A parameter that names people must be in the path of some operation.
    fn subject_places(&mut self, integration: &Integration, spot: Spot<'_>) {
        let places =
            integration.data.iter().flat_map(|data| data.subject_id.iter().flat_map(|places| places.iter()));
        for (index, place) in places.enumerate() {
            let SubjectPlace::Parameter(name) = place else { continue };
            let operations = integration.flow.operations();
            if !operations.iter().any(|operation| operation.parameters.contains(&&**name)) {
                let message = format!("no operation has the parameter `{name}` in its path");
                self.report(&finding::UNKNOWN_NAME, spot.item(index).at_value(), message, "has no value");
            }
        }
    }

    /// What operations of every transport must fit.
    fn operations(&mut self, integration: &Integration, spot: Spot<'_>) {
        let operations = integration.flow.operations();
        if operations.is_empty() {
            let message = "this flow allows nothing: it has no operations";
            self.report(&finding::KEY_MISSING, spot.at_key(), message, "needs an operation");
        }
        for operation in &operations {
            self.operation(operation, spot.key(operation.name));
        }
    }

    fn operation(&mut self, operation: &Operation<'_>, spot: Spot<'_>) {
        if let Some(replay) = operation.replay {
            self.within(spot.key("replay").key("window"), replay.window, &range::WINDOW);
        }
    }
}
