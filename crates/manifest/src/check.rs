//! What can only be seen when everything is read: that names resolve, that values fit together, and the static
//! half of the checklist.

mod audit;
mod bridge;
mod checklist;
mod http;
mod integration;
mod party;

use crate::findings::{Finding, finding};
use crate::outline::{Names, Outline};
use crate::place::{At, Spot};
use crate::range::Range;
use crate::reader::{Reader, quoted};
use crate::{Account, Bridge, CredentialKind, Danger, Date, Duration, Integration, Map, Role, System};
use std::collections::HashMap;

/// Everything that could be read. Where something was wrong it is missing here, but not in the outline.
pub struct Parts {
    pub bridge: Option<Bridge>,
    pub systems: Map<System>,
    pub roles: Map<Role>,
    pub accounts: Map<Account>,
    pub integrations: Map<Integration>,
}

/// One run of the checks.
struct Check<'c, 'f> {
    parts: &'c Parts,
    outline: &'c Outline,
    today: Date,
    reader: &'c mut Reader<'f>,
}

/// Credentials by the system whose accounts have them.
type Callers<'p> = HashMap<&'p str, Vec<CredentialKind>>;

impl Parts {
    /// Reports everything that does not fit. The checklist follows only when nothing is wrong: what is missing
    /// because it was wrong would look unused.
    pub fn check(&self, outline: &Outline, today: Date, reader: &mut Reader<'_>) {
        let mut check = Check { parts: self, outline, today, reader };
        check.bridge();
        check.parties();
        check.integrations();
        check.audit();
        if !check.reader.has_errors() {
            check.checklist();
            check.overlaps();
        }
    }
}

impl Check<'_, '_> {
    /// Reports a name that nothing has. `known` are those that could be meant.
    fn unknown<'k>(&mut self, what: &str, name: &str, at: At, known: impl Iterator<Item = &'k str>) {
        let near = self.reader.suggest(name, known);
        let report =
            self.reader.report(&finding::UNKNOWN_NAME, at, format!("there is no {what} {}", quoted(name)));
        match near {
            Some(near) => report.label(format!("did you mean `{near}`?")),
            None => report.label("declared nowhere"),
        };
    }

    /// Reports a name of this kind unless it is declared.
    fn resolve(&mut self, names: Names, what: &str, name: &str, at: At) {
        if !self.outline.declares(names, name) {
            let outline = self.outline;
            self.unknown(what, name, at, outline.names(names));
        }
    }

    fn report(&mut self, finding: &'static Finding, at: At, message: impl Into<String>, label: &str) {
        self.reader.report(finding, at, message).label(label);
    }

    /// A duration must lie within these bounds, written as a manifest writes them.
    fn within(&mut self, spot: Spot<'_>, value: Duration, range: &Range) {
        if !(range.least..=range.most).contains(&value) {
            let (value, least, most) = (written(value), written(range.least), written(range.most));
            let message = format!("`{value}` is not between {least} and {most}");
            self.report(&finding::OUT_OF_RANGE, spot.at_value(), message, "out of range");
        }
    }

    /// A weaker-than-default choice: an error from its expiry on.
    fn danger(&mut self, danger: Option<&Danger>, spot: Spot<'_>) {
        let Some(danger) = danger else { return };
        let left = danger.expires.days - self.today.days;
        let expires = spot.key("expires").at_value();
        if danger.has_expired(self.today) {
            let message = "this danger is no longer accepted: its last day has passed";
            self.report(&finding::DANGER_EXPIRED, expires, message, "expired");
        } else if left > 366 {
            let message = "a danger is accepted for at most a year ahead";
            self.report(&finding::OUT_OF_RANGE, expires, message, "more than a year from today");
        } else {
            let message = format!("a danger is in use until {}: {}", danger.expires, danger.reason.trim());
            self.report(&finding::DANGER_IN_USE, spot.at_key(), message, "weaker than the default");
        }
    }
}

use crate::value::written;

/// What every listener answers itself: the token endpoint with its keys, metadata, health and pages of refusals.
const RESERVED_PATHS: [&str; 3] = ["/oauth", "/.well-known", "/.ironbridge"];

const DAY: Duration = Duration::from_secs(86_400);
