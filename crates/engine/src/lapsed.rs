//! What a manifest declares and time takes away. It keeps nobody from taking rights away by a reload, and stops at a
//! start nothing that it does not concern; what it concerns is refused for as long as it lasts.

use crate::services::Services;
use ironbridge_core::action::name;
use ironbridge_core::{Action, Timestamp};
use ironbridge_manifest::finding::{DANGER_EXPIRED, NOT_VALID_NOW};
use ironbridge_manifest::{Danger, Finding, Manifest};
use std::sync::Arc;

/// For how long something that the manifest declares is good.
#[derive(Debug, Clone)]
pub struct Term {
    finding: &'static Finding,
    /// The keys that lead to it.
    at: Vec<String>,
    from: Option<Timestamp>,
    /// The first moment at which it is not good any more.
    until: Timestamp,
    /// Whether it was not good when the manifest was loaded, and what was said then.
    lapsed: Option<Arc<str>>,
}

impl Term {
    /// Of a certificate.
    pub fn of(
        at: &[String],
        (from, until): (Timestamp, Timestamp),
        now: Timestamp,
        said: impl FnOnce() -> String,
    ) -> Term {
        let is_good = from <= now && now < until;
        let lapsed = (!is_good).then(|| said().into());
        Term { finding: &NOT_VALID_NOW, at: at.to_vec(), from: Some(from), until, lapsed }
    }

    /// Of all dangers; the manifest's own check tells of them.
    pub fn dangers(manifest: &Manifest, now: Timestamp) -> Vec<Term> {
        let systems = manifest.systems.iter().filter_map(|(name, system)| {
            let danger = system.http()?.danger_plaintext.as_ref()?;
            Some((["systems", name, "http", "danger_plaintext"], danger))
        });
        let issuers = manifest.bridge.issuers.iter().filter_map(|(name, issuer)| {
            let danger = issuer.danger_accept_untyped_tokens.as_ref()?;
            Some((["bridge", "issuers", name, "danger_accept_untyped_tokens"], danger))
        });
        let term = |(at, danger): ([&str; 4], &Danger)| {
            let days = u64::try_from(danger.expires.days).unwrap_or(0);
            let until = Timestamp::from_seconds(days.saturating_mul(86_400));
            let said = || format!("{}: the danger was accepted until {}", at.join("."), danger.expires);
            let lapsed = (until <= now).then(|| said().into());
            Term { finding: &DANGER_EXPIRED, at: at.map(str::to_owned).to_vec(), from: None, until, lapsed }
        };
        systems.chain(issuers).map(term).collect()
    }

    /// Why what these keys lead to is refused, if it is.
    pub fn lapsed_below<'t>(terms: &'t [Term], keys: &[&str]) -> Option<&'t Arc<str>> {
        let is_below = |term: &&Term| {
            keys.len() <= term.at.len() && keys.iter().zip(&term.at).all(|(key, at)| key == at)
        };
        terms.iter().filter(is_below).find_map(|term| term.lapsed.as_ref())
    }

    fn is_good(&self, now: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= now) && now < self.until
    }

    /// Whether it was refused, and need not be any more: a clock that was wrong is right, a day has come.
    pub fn is_good_again(&self, now: Timestamp) -> bool {
        self.lapsed.is_some() && self.is_good(now)
    }

    /// Loud, and in the trail: whoever asks why nothing passes finds it there.
    pub fn told(&self, services: &Services) -> Option<Action> {
        let (at, why) = (self.at.join("."), &**self.lapsed.as_ref()?);
        tracing::error!(
            at,
            finding = self.finding.id,
            why,
            "this has run out, so what needs it fails or is refused"
        );
        Some(services.action(name::MANIFEST_LAPSE, at).fact("finding", self.finding.id))
    }
}

/// The terms of what a bridge runs with.
#[derive(Debug, Default)]
pub struct Terms {
    in_force: Vec<Term>,
    /// Of a reload that was refused over them.
    awaited: Vec<Term>,
}

impl Terms {
    /// Whether these may take the place of those in force. A file that is not good does not take that of one that is: that
    /// is an operator's slip and nothing that time did, so the reload is refused as for any other, and tried again once the
    /// file is good.
    pub fn may_become(&mut self, terms: &[Term], now: Timestamp) -> bool {
        let is_good_now = |at: &[String]| {
            self.in_force
                .iter()
                .any(|before| before.at == at && before.lapsed.is_none() && before.is_good(now))
        };
        let files = terms.iter().filter(|term| *term.finding == NOT_VALID_NOW && term.lapsed.is_some());
        let slips: Vec<Term> = files.filter(|term| is_good_now(&term.at)).cloned().collect();
        self.awaited = slips;
        self.awaited.is_empty()
    }

    pub fn are(&mut self, terms: Vec<Term>) {
        *self = Terms { in_force: terms, awaited: Vec::new() };
    }

    /// Whether a reload would take something up that is good by now.
    pub fn are_due(&self, now: Timestamp) -> bool {
        self.in_force.iter().chain(&self.awaited).any(|term| term.is_good_again(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(from: u64, until: u64, now: u64) -> Term {
        let range = (Timestamp::from_seconds(from), Timestamp::from_seconds(until));
        let at = ["systems", "erp", "http", "certificate", "chain"].map(str::to_owned);
        Term::of(&at, range, Timestamp::from_seconds(now), || "not valid today".to_owned())
    }

    /// A clock that was ahead for a while suspends nothing for longer, and what is not valid yet comes by itself.
    #[test]
    fn what_is_good_again_is_noticed() {
        for (loaded, now, again) in
            [(300, 150, true), (300, 310, false), (50, 100, true), (50, 99, false), (150, 160, false)]
        {
            let term = term(100, 200, loaded);
            assert_eq!(term.is_good_again(Timestamp::from_seconds(now)), again, "{loaded} {now}");
        }
    }

    #[test]
    fn what_is_good_is_not_given_up_for_what_is_not() {
        let give_up = |new: Term, before: Term, now| {
            let mut terms = Terms { in_force: vec![before], awaited: Vec::new() };
            !terms.may_become(&[new], Timestamp::from_seconds(now))
        };
        assert!(give_up(term(0, 100, 150), term(100, 200, 110), 150));
        // It has run out itself, or had before.
        assert!(!give_up(term(0, 100, 250), term(100, 200, 110), 250));
        assert!(!give_up(term(0, 100, 150), term(0, 100, 150), 150));
        assert!(!give_up(term(100, 300, 150), term(100, 200, 110), 150));
    }

    /// Certificates are often put in place some seconds before they begin.
    #[test]
    fn what_was_refused_because_it_had_not_begun_is_tried_again() {
        let mut terms = Terms { in_force: vec![term(0, 1_000, 10)], awaited: Vec::new() };
        let at = Timestamp::from_seconds;
        assert!(!terms.may_become(&[term(105, 2_000, 100)], at(100)));
        assert!(!terms.are_due(at(104)) && terms.are_due(at(105)));
        assert!(terms.may_become(&[term(105, 2_000, 105)], at(105)));
        terms.are(vec![term(105, 2_000, 105)]);
        assert!(!terms.are_due(at(106)));
    }

    #[test]
    fn what_is_refused_is_found_by_its_keys() {
        let terms = [term(100, 200, 300)];
        assert!(Term::lapsed_below(&terms, &["systems", "erp"]).is_some());
        assert!(Term::lapsed_below(&terms, &["systems", "er"]).is_none());
        assert!(Term::lapsed_below(&[term(100, 200, 150)], &["systems", "erp"]).is_none());
    }
}
