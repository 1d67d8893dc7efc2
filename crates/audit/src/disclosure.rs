//! The accounting of disclosures (45 CFR 164.528): when data about people went to whom, what, and for which purpose.
//!
//! What a record says of an integration is what was declared when the exchange crossed. A disclosure is told once for
//! each recipient of an exchange: the target for what went to it, the source for what it was given back.

use crate::entry::Entry;
use crate::reader::Stored;
use ironbridge_core::Timestamp;
use std::collections::HashMap;
use std::time::Duration;

/// How far back an accounting must reach (45 CFR 164.528(a)(1)): six years, with two leap days.
pub const PERIOD: Duration = Duration::from_secs((6 * 365 + 2) * 86_400);

/// Data that went to a recipient in one exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosure {
    /// When the exchange began.
    pub time: Timestamp,
    /// The system that got the data, as declared.
    pub recipient: String,
    /// Its country, as declared.
    pub country: String,
    /// The kinds of data, as declared.
    pub categories: Vec<String>,
    /// The integration that carried it.
    pub integration: String,
    /// Which of its operations did.
    pub operation: String,
    /// What it was declared to be for.
    pub purpose: String,
    /// On which basis, as declared (GDPR Art. 6(1)).
    pub legal_basis: String,
    /// As what the integration declares its disclosures; empty: one to be accounted for.
    pub kind: String,
    /// False where the exchange failed after delivery had begun: the data may not have arrived.
    pub certain: bool,
    /// The exchange's id.
    pub id: String,
    /// Of the record that proves it, in the log.
    pub index: u64,
}

/// Disclosures of the same data to the same recipient for the same purpose, as 164.528(b)(3) lets them be told: the
/// first in full, how many there were, and when the last was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// The first, in full.
    pub first: Disclosure,
    /// How many there were.
    pub count: u64,
    /// When the last exchange of them began.
    pub last: Timestamp,
}

/// Which disclosures count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that must be accounted for. Left out is what is declared as treatment, payment or operations, as to the
    /// individual, as authorised, or as a limited data set (164.528(a)(1)).
    Accountable,
    /// Those too.
    All,
}

/// The disclosures that a record tells of: none, one or two.
///
/// None for actions, for refused exchanges, for the second record of an exchange, and where no kind of person and no
/// kind of data is declared.
pub fn disclosures(record: &Stored, scope: Scope) -> Vec<Disclosure> {
    let entry = &record.entry;
    let crossed = matches!(entry.outcome.as_str(), "success" | "partial" | "failed") && !entry.amends;
    let of_people = !(entry.subjects.is_empty() && entry.categories.is_empty());
    let excluded = scope == Scope::Accountable && is_excluded(&entry.disclosure);
    if !entry.action.is_empty() || !crossed || !of_people || excluded {
        return Vec::new();
    }
    let certain = entry.outcome != "failed";
    let (to_target, to_source) = match entry.direction.as_str() {
        "to_target" => (true, false),
        "to_source" => (false, true),
        "both" => (true, true),
        _ => (false, false),
    };
    let mut told = Vec::new();
    if to_target {
        told.push(disclosure(record, &entry.target, &entry.target_country, certain));
    }
    if to_source {
        told.push(disclosure(record, &entry.source, &entry.source_country, certain));
    }
    told
}

/// A kind that a later version declares is not left out: better told once too often.
fn is_excluded(kind: &str) -> bool {
    matches!(kind, "treatment" | "payment" | "operations" | "individual" | "authorised" | "limited_data_set")
}

fn disclosure(record: &Stored, recipient: &str, country: &str, certain: bool) -> Disclosure {
    let entry: &Entry = &record.entry;
    Disclosure {
        time: entry.time,
        recipient: recipient.to_owned(),
        country: country.to_owned(),
        categories: entry.categories.clone(),
        integration: entry.integration.clone(),
        operation: entry.operation.clone(),
        purpose: entry.purpose.clone(),
        legal_basis: entry.legal_basis.clone(),
        kind: entry.disclosure.clone(),
        certain,
        id: entry.id.clone(),
        index: record.index,
    }
}

/// Gathers disclosures into series. Holds one entry for each combination of what was declared, however many there are
/// of it.
#[derive(Debug, Default)]
pub struct Accounting {
    series: Vec<Series>,
    places: HashMap<Key, usize>,
}

/// Recipient, country, categories, purpose, legal basis, kind.
type Key = (String, String, Vec<String>, String, String, String);

impl Accounting {
    /// Takes one disclosure; they come in the order of time.
    pub fn add(&mut self, disclosure: Disclosure) {
        let Disclosure { recipient, country, categories, purpose, legal_basis, kind, .. } =
            disclosure.clone();
        let place = *self
            .places
            .entry((recipient, country, categories, purpose, legal_basis, kind))
            .or_insert(self.series.len());
        match self.series.get_mut(place) {
            Some(series) => {
                series.count += 1;
                series.last = series.last.max(disclosure.time);
            }
            None => self.series.push(Series { last: disclosure.time, first: disclosure, count: 1 }),
        }
    }

    /// In the order of their first disclosures.
    pub fn series(self) -> Vec<Series> {
        self.series
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn record(index: u64, change: &[(&str, Value)]) -> Stored {
        let mut leaf = json!({
            "v": 2, "id": format!("id-{index}"), "time": format!("2026-01-0{}T00:00:00.000000Z", index + 1),
            "integration": "results", "operation": "send", "source": "clinic", "source_country": "DE",
            "target": "registry", "target_country": "FR", "purpose": "Report cases", "legal_basis": "legal_obligation",
            "subjects": ["patients"], "categories": ["health"], "generation": 1, "direction": "to_target",
            "outcome": "success", "code": "delivered",
        });
        for (key, value) in change {
            leaf[*key] = value.clone();
        }
        let json = leaf.to_string();
        Stored { index, entry: Entry::parse(json.as_bytes()).unwrap(), json, details: Vec::new() }
    }

    fn recipients(change: &[(&str, Value)], scope: Scope) -> Vec<(String, bool)> {
        let told = disclosures(&record(0, change), scope);
        told.into_iter().map(|told| (told.recipient, told.certain)).collect()
    }

    #[test]
    fn the_recipient_is_who_got_the_data() {
        let of = |direction: &str| recipients(&[("direction", json!(direction))], Scope::Accountable);
        assert_eq!(of("to_target"), [("registry".into(), true)]);
        assert_eq!(of("to_source"), [("clinic".into(), true)]);
        assert_eq!(of("both"), [("registry".into(), true), ("clinic".into(), true)]);
        assert_eq!(of("none"), []);
    }

    #[test]
    fn what_did_not_cross_is_no_disclosure() {
        for change in
            [("outcome", json!("denied")), ("amends", json!(true)), ("action", json!("bridge.start"))]
        {
            assert_eq!(recipients(&[change], Scope::All), []);
        }
        let nobody = [("subjects", json!([])), ("categories", json!([]))];
        assert_eq!(recipients(&nobody, Scope::All), []);
        assert_eq!(recipients(&[("outcome", json!("partial"))], Scope::All), [("registry".into(), true)]);
        assert_eq!(recipients(&[("outcome", json!("failed"))], Scope::All), [("registry".into(), false)]);
    }

    #[test]
    fn what_the_rule_leaves_out_is_told_on_demand() {
        for kind in ["treatment", "payment", "operations", "individual", "authorised", "limited_data_set"] {
            let change = [("disclosure", json!(kind))];
            assert_eq!(recipients(&change, Scope::Accountable), [], "{kind}");
            assert_eq!(recipients(&change, Scope::All).len(), 1, "{kind}");
        }
        for kind in ["", "accountable", "of a later version"] {
            assert_eq!(recipients(&[("disclosure", json!(kind))], Scope::Accountable).len(), 1, "{kind}");
        }
    }

    #[test]
    fn series_tell_first_count_and_last() {
        let mut gathered = Accounting::default();
        let elsewhere = [("target", json!("insurer"))];
        for (index, change) in [(0, &[][..]), (1, &elsewhere), (2, &[]), (3, &[])] {
            for told in disclosures(&record(index, change), Scope::Accountable) {
                gathered.add(told);
            }
        }
        let series = gathered.series();
        let told: Vec<_> = series.iter().map(|s| (&*s.first.recipient, s.first.index, s.count)).collect();
        assert_eq!(told, [("registry", 0, 3), ("insurer", 1, 1)]);
        assert_eq!(series[0].last.since(series[0].first.time).as_secs(), 3 * 86_400);
    }
}
