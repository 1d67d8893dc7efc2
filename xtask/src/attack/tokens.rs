//! Signatures that were made to be accepted where they should not be, on tokens that would be good otherwise. The
//! vectors are Project Wycheproof's for ECDSA over P-256; none of them signs our token.

use super::outcome::Outcome;
use super::stage::{PATIENCE, Stage};
use anyhow::{Context, Result, anyhow};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use wycheproof::ecdsa::{TestName, TestSet};

const STRANGERS: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);

pub async fn attack(stage: &Stage, short: bool) -> Result<Outcome> {
    let good = stage.issuer.token("clerk", "https://attacked.example", "items.read", json!({}))?;
    let (signed, signature) = good.rsplit_once('.').context("a token has three parts")?;
    let own = BASE64_URL_SAFE_NO_PAD.decode(signature)?;
    let mut broken = Vec::new();
    if ask(stage, Ipv4Addr::LOCALHOST, &good).await? != 200 {
        broken.push("the good token was refused, so the rest proves nothing".to_owned());
    }
    let mut signatures = malleations(&own);
    for name in [TestName::EcdsaSecp256r1Sha256P1363, TestName::EcdsaSecp256r1Sha256] {
        let set = TestSet::load(name).map_err(|error| anyhow!("{error}"))?;
        signatures
            .extend(set.test_groups.iter().flat_map(|group| &group.tests).map(|test| test.sig.to_vec()));
    }
    signatures.remove(&own);
    let mut statuses = BTreeMap::<u16, usize>::new();
    let mut sent = 0_u32;
    for signature in signatures.iter().step_by(if short { 5 } else { 1 }) {
        // Each from an address of its own, so that no limit of failures stands before the verifier.
        let from = Ipv4Addr::from_bits(STRANGERS.to_bits() + sent);
        let status =
            ask(stage, from, &format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))).await?;
        sent += 1;
        *statuses.entry(status).or_default() += 1;
        if status != 401 {
            broken.push(format!("{status} for the signature {signature:02x?}"));
        }
    }
    let seen = statuses.iter().map(|(status, count)| format!("{count} × {status}")).collect::<Vec<_>>();
    Ok(Outcome { sent: format!("{sent} signatures"), seen: seen.join(", "), broken })
}

async fn ask(stage: &Stage, from: Ipv4Addr, token: &str) -> Result<u16> {
    let mut wire = stage.dialer("http/1.1")?.dial_from(from).await?;
    let request =
        format!("GET /store/items/one HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
    wire.send(request.as_bytes()).await;
    wire.status(PATIENCE).await.context("no answer")
}

/// Our own signature, changed a little; none is as it was.
fn malleations(own: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut changed = BTreeSet::new();
    for bit in 0..own.len() * 8 {
        let mut one = own.to_vec();
        if let Some(byte) = one.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        changed.insert(one);
    }
    for length in [0, 1, 32, 63] {
        changed.insert(own.get(..length).unwrap_or_default().to_vec());
    }
    changed.insert([own, &[0]].concat());
    changed.insert([&[0], own].concat());
    changed.insert(own.repeat(2));
    changed
}
