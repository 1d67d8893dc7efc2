//! What a manifest declares and time has taken away. It keeps nobody from taking rights away by a reload, and stops at a
//! start nothing that it does not concern; what it concerns is refused.

use crate::services::Services;
use ironbridge_core::Action;
use ironbridge_core::action::name;
use ironbridge_manifest::finding::DANGER_EXPIRED;
use ironbridge_manifest::{Date, Finding, Manifest, Observed};
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct Lapsed {
    finding: &'static Finding,
    /// The keys that lead to it.
    at: Vec<String>,
    why: Arc<str>,
}

impl Lapsed {
    /// Of what was observed.
    pub fn among(observed: &[Observed]) -> impl Iterator<Item = Lapsed> {
        observed.iter().filter(|seen| seen.finding.is_by_time()).map(|seen| Lapsed {
            finding: seen.finding,
            at: seen.at.clone(),
            why: seen.message.as_str().into(),
        })
    }

    /// The dangers whose day has come; the manifest's own check tells of them.
    pub fn dangers(manifest: &Manifest, today: Date) -> Vec<Lapsed> {
        let systems = manifest.systems.iter().filter_map(|(name, system)| {
            let danger = system.http.as_ref()?.danger_plaintext.as_ref()?;
            Some((["systems", name, "http", "danger_plaintext"], danger))
        });
        let issuers = manifest.bridge.issuers.iter().filter_map(|(name, issuer)| {
            let danger = issuer.danger_accept_untyped_tokens.as_ref()?;
            Some((["bridge", "issuers", name, "danger_accept_untyped_tokens"], danger))
        });
        let expired = systems.chain(issuers).filter(|(_, danger)| danger.has_expired(today));
        expired
            .map(|(at, danger)| Lapsed {
                finding: &DANGER_EXPIRED,
                at: at.map(str::to_owned).to_vec(),
                why: format!("{}: the danger was accepted until {}", at.join("."), danger.expires).into(),
            })
            .collect()
    }

    /// Why what these keys lead to is refused, if it is.
    pub fn below<'l>(lapsed: &'l [Lapsed], keys: &[&str]) -> Option<&'l Arc<str>> {
        let is_below = |lapsed: &&Lapsed| {
            keys.len() <= lapsed.at.len() && keys.iter().zip(&lapsed.at).all(|(key, at)| key == at)
        };
        lapsed.iter().find(is_below).map(|lapsed| &lapsed.why)
    }

    /// Loud, and in the trail: whoever asks why nothing passes finds it there.
    pub fn told(&self, services: &Services) -> Action {
        let (at, why) = (self.at.join("."), &*self.why);
        tracing::error!(at, finding = self.finding.id, why, "this has run out, so what needs it is refused");
        services.action(name::MANIFEST_LAPSE, at).fact("finding", self.finding.id)
    }
}
