//! The static half of the checklist: what loads, and should still be mended or known.

use super::bridge::is_most;
use super::{Check, DAY, Parts};
use crate::findings::finding;
use crate::outline::Names;
use crate::place::Spot;
use crate::{Content, Integration, Operation, Pointer};
use std::collections::{HashMap, HashSet};

/// Who holds what, gathered once.
struct Holdings<'p> {
    /// Permissions by role.
    held: HashSet<&'p str>,
    required: HashSet<&'p str>,
    /// Permissions by system, through its accounts' roles.
    of_system: HashMap<&'p str, HashSet<&'p str>>,
}

impl<'p> Holdings<'p> {
    fn of(parts: &'p Parts) -> Self {
        let operations = parts.integrations.values().flat_map(|integration| integration.flow.operations());
        let mut of_system: HashMap<&str, HashSet<&str>> = HashMap::new();
        for account in parts.accounts.values() {
            let roles = account.roles.iter().filter_map(|role| parts.roles.get(role));
            let permissions = roles.flat_map(|role| &role.permissions).map(|permission| &**permission);
            of_system.entry(&account.system).or_default().extend(permissions);
        }
        Holdings {
            held: parts
                .roles
                .values()
                .flat_map(|role| &role.permissions)
                .map(|permission| &**permission)
                .collect(),
            required: operations.map(|operation| &**operation.permission).collect(),
            of_system,
        }
    }
}

impl Check<'_, '_> {
    pub fn checklist(&mut self) {
        let holdings = Holdings::of(self.parts);
        self.anything();
        self.listeners();
        self.trail();
        self.unused(&holdings);
        self.accounts();
        self.http_checklist();
        for (name, integration) in &self.parts.integrations {
            if let Some(spot) = self.outline.spot(Names::Integrations, name) {
                self.integration(integration, spot, &holdings);
            }
        }
    }

    /// A bridge may be there to witness other logs, else it is there for its integrations.
    fn anything(&mut self) {
        let (Some(bridge), Some(spot)) = (&self.parts.bridge, self.outline.bridge()) else { return };
        if self.parts.integrations.is_empty() && bridge.audit.witness.is_none() {
            let message = "the manifest declares no integration, so every call is refused";
            self.report(&finding::NOTHING_DECLARED, spot.at_key(), message, "nothing crosses this bridge");
        }
    }

    fn listeners(&mut self) {
        let (Some(bridge), Some(spot)) = (&self.parts.bridge, self.outline.bridge()) else { return };
        for (name, listener) in &bridge.listeners {
            let from_most = listener.addresses.as_ref().is_none_or(|networks| is_most(networks));
            let open = !listener.address.ip().is_loopback() && from_most;
            if open && listener.client_certificates != crate::ClientCertificates::Required {
                let at = spot.key("listeners").key(name).key("address").at_value();
                let message = format!("the listener `{name}` takes connections from every network");
                self.report(&finding::OPEN_LISTENER, at, message, "open to all");
            }
        }
    }

    /// Whoever rules the machine can rewrite a trail that is there only. Of no concern where nobody else can call.
    fn trail(&mut self) {
        let (Some(bridge), Some(spot)) = (&self.parts.bridge, self.outline.bridge()) else { return };
        let reachable = bridge.listeners.values().any(|listener| !listener.address.ip().is_loopback());
        if reachable && bridge.audit.mirrors.is_empty() && bridge.audit.witnesses.is_empty() {
            let message = "the audit trail is on this machine only";
            self.report(
                &finding::TRAIL_ALONE,
                spot.key("audit").at_key(),
                message,
                "needs a mirror or a witness",
            );
        }
    }

    fn unused(&mut self, holdings: &Holdings<'_>) {
        let parts = self.parts;
        let given: HashSet<&str> =
            parts.accounts.values().flat_map(|account| &account.roles).map(|role| &**role).collect();
        for (name, role) in &parts.roles {
            let Some(spot) = self.outline.spot(Names::Roles, name) else { continue };
            if !given.contains(&**name) {
                let message = format!("no account has the role `{name}`");
                self.report(&finding::ROLE_UNUSED, spot.at_key(), message, "has no effect");
            }
            for (index, permission) in role.permissions.iter().enumerate() {
                if !holdings.required.contains(&**permission) {
                    let at = spot.key("permissions").item(index).at_value();
                    let message = format!("no operation requires the permission `{permission}`");
                    self.report(&finding::PERMISSION_UNUSED, at, message, "has no use");
                }
            }
        }
        let accounts = parts.accounts.values().map(|account| &*account.system);
        let ends = parts.integrations.values().flat_map(|one| [&*one.source, &*one.target]);
        let used: HashSet<&str> = accounts.chain(ends).collect();
        for name in parts.systems.keys().filter(|name| !used.contains(&***name)) {
            if let Some(spot) = self.outline.spot(Names::Systems, name) {
                let message = format!("nothing refers to the system `{name}`");
                self.report(&finding::SYSTEM_UNUSED, spot.at_key(), message, "has no use");
            }
        }
    }

    fn accounts(&mut self) {
        for (name, account) in &self.parts.accounts {
            let Some(spot) = self.outline.spot(Names::Accounts, name) else { continue };
            if account.roles.is_empty() {
                let message = format!("the account `{name}` has no roles, so it may do nothing");
                self.report(
                    &finding::ACCOUNT_WITHOUT_ROLES,
                    spot.key("roles").at_key(),
                    message,
                    "needs a role",
                );
            }
            let long = account.credentials.api_key.as_ref().is_some_and(|key| key.lifetime > DAY * 90);
            if long && account.addresses.is_none() {
                let at = spot.key("credentials").key("api_key").key("lifetime").at_value();
                let message = format!("keys of `{name}` live longer than 90d and work from every address");
                self.report(&finding::LONG_LIVED_KEY, at, message, "long-lived");
            }
        }
    }

    fn integration(&mut self, integration: &Integration, spot: Spot<'_>, holdings: &Holdings<'_>) {
        if integration.data.as_ref().is_some_and(|data| data.retention.is_none()) {
            let message = "it is not said how long the personal data is kept";
            self.report(&finding::RETENTION_MISSING, spot.key("data").at_key(), message, "needs `retention`");
        }
        if integration.data.as_ref().is_some_and(|data| data.subject_id.is_none()) {
            let message = "personal data crosses, and the audit trail does not know whose";
            self.report(&finding::SUBJECTS_UNKNOWN, spot.key("data").at_key(), message, "needs `subject_id`");
        }
        let mut unlimited = false;
        for operation in &integration.flow.operations() {
            let spot = spot.key(integration.flow.key()).key("operations").key(operation.name);
            self.permission(integration, operation, spot, holdings);
            if integration.data.is_some() {
                self.personal_data(operation, spot);
            }
            unlimited |= operation.limits.per_account.is_none();
        }
        if unlimited && integration.limits.per_account.is_none() {
            let message = "one account may call as often as it likes";
            self.report(&finding::UNLIMITED, spot.at_key(), message, "needs `limits` with `per_account`");
        }
    }

    fn permission(
        &mut self,
        integration: &Integration,
        operation: &Operation<'_>,
        spot: Spot<'_>,
        holdings: &Holdings<'_>,
    ) {
        let (permission, source) = (&**operation.permission, &*integration.source);
        let at = spot.key("permission").at_value();
        if !holdings.held.contains(permission) {
            let near = self.reader.suggest(permission, holdings.held.iter().copied());
            let message = format!("no role holds the permission `{permission}`, so nobody can call");
            let report = self.reader.report(&finding::PERMISSION_UNHELD, at, message);
            match near {
                Some(near) => report.label(format!("did you mean `{near}`?")),
                None => report
                    .label("held by no role")
                    .help(format!("add it to the `permissions` of a role that an account of `{source}` has")),
            };
        } else if !holdings.of_system.get(source).is_some_and(|held| held.contains(permission)) {
            let message =
                format!("no account of `{source}` holds the permission `{permission}`, so nobody can call");
            self.report(&finding::SOURCE_LACKS_PERMISSION, at, message, "not held by the source");
        }
    }

    fn personal_data(&mut self, operation: &Operation<'_>, spot: Spot<'_>) {
        let leaves_all = operation.response.keep.as_ref().is_none_or(|list| keeps_all(list));
        if leaves_all && operation.answers {
            let message = "personal data crosses, and everything that the target answers leaves";
            let label = match operation.response.keep {
                Some(_) => "`response.keep` names no member",
                None => "needs `response.keep`",
            };
            self.report(&finding::REPLY_UNLISTED, spot.at_key(), message, label);
        }
        if operation.content == Content::Usual
            && operation.request.schema.is_none()
            && operation.request.keep.as_ref().is_none_or(|list| keeps_all(list))
        {
            let message = "personal data enters, and nothing says what may be in the body";
            self.report(
                &finding::BODY_UNCHECKED,
                spot.at_key(),
                message,
                "needs `request.schema` or `request.keep`",
            );
        }
    }
}

/// Whether one pointer of a keep list stands for whatever is there: the whole body, or members without a name.
fn keeps_all(list: &[Pointer]) -> bool {
    list.iter().any(|pointer| pointer.segments.iter().all(Option::is_none))
}
