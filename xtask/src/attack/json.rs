//! The JSON Parsing Test Suite, toward an operation that reads its body: what every parser must accept crosses as it
//! is, what every parser must refuse does not, and the rest never breaks anything.

use super::outcome::Outcome;
use super::stage::{PATIENCE, Stage};
use anyhow::{Context, Result, ensure};
use ironbridge_testkit::{peer, repository};
use serde_json::Value;
use std::process::Command;

pub async fn attack(stage: &Stage) -> Result<Outcome> {
    let (mut broken, mut counts) = (Vec::new(), [0_usize; 3]);
    let mut texts = suite()?;
    texts.extend(bytes());
    for (name, text) in &texts {
        stage.target.forget();
        let mut wire = stage.dialer("http/1.1")?.dial().await?;
        wire.send(&stage.request("POST", "/judged", text)).await;
        let status = wire.status(PATIENCE).await;
        let seen = stage.target.seen();
        let crossed = seen.iter().any(|seen| seen.body == text.as_slice());
        // RFC 8259 §4 lets a name come twice; whoever reads the first and whoever reads the last then differ.
        let kind = if name.starts_with("y_object_duplicated_key") { Some("n_") } else { name.get(..2) };
        match (kind, status) {
            (Some("y_"), Some(200)) if crossed => counts[0] += 1,
            (Some("n_"), Some(400..=499)) if seen.is_empty() => counts[1] += 1,
            // Some parsers take them, some do not; either way once, and as it is.
            (Some("i_"), Some(200)) if crossed => counts[2] += 1,
            (Some("i_"), Some(400..=499)) if seen.is_empty() => counts[2] += 1,
            _ => broken.push(format!("{name}: {status:?}, and the target saw {}", seen.len())),
        }
    }
    let [taken, refused, either] = counts;
    Ok(Outcome {
        sent: format!("{} JSON texts", texts.len()),
        seen: format!("took {taken}, refused {refused}, one or the other {either}"),
        broken,
    })
}

/// The suite as its package has it, by name. What is not UTF-8 the package holds mangled: [`bytes`] has our own.
fn suite() -> Result<Vec<(String, Vec<u8>)>> {
    let output = Command::new(peer("node")?).arg(repository().join("tests/peers/json_suite.mjs")).output()?;
    ensure!(
        output.status.success(),
        "json_suite.mjs: {}; run ./dev peers",
        String::from_utf8_lossy(&output.stderr)
    );
    let suite: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    let texts = suite.iter().map(|case| {
        let text = |member| case.get(member).and_then(Value::as_str).context("not as expected");
        Ok((text("name")?.to_owned(), text("input")?.as_bytes().to_vec()))
    });
    let texts: Result<Vec<_>> = texts.collect();
    // A body that is not there is no JSON text that is empty.
    Ok(texts?.into_iter().filter(|(_, text)| !text.is_empty() && !mangled(text)).collect())
}

fn mangled(text: &[u8]) -> bool {
    text.windows(3).any(|window| window == "\u{fffd}".as_bytes())
}

/// Texts that are not UTF-8, or are too much.
fn bytes() -> Vec<(String, Vec<u8>)> {
    let mut texts = Vec::new();
    for (name, bytes) in [
        ("lone continuation", &b"[\"\x80\"]"[..]),
        ("cut sequence", b"[\"\xc3\"]"),
        ("overlong slash", b"[\"\xc0\xaf\"]"),
        ("overlong null", b"[\"\xe0\x80\x80\"]"),
        ("surrogate in UTF-8", b"[\"\xed\xa0\x80\"]"),
        ("above Unicode", b"[\"\xf4\x90\x80\x80\"]"),
        ("UTF-16 with its mark", b"\xff\xfe[\x00]\x00"),
        ("UTF-16 without", b"\x00[\x00]"),
        ("UTF-8 mark", b"\xef\xbb\xbf{}"),
        ("byte beyond UTF-8", b"[\"\xff\"]"),
        ("outside of a string", b"[\xe2\x80\xa8]"),
        ("the same member twice", b"{\"a\":1,\"a\":2}"),
        ("the same member by escape", b"{\"a\":1,\"\\u0061\":2}"),
    ] {
        texts.push((format!("n_{name}"), bytes.to_vec()));
    }
    texts.push(("n_nested without end".into(), b"[".repeat(100_000)));
    texts.push(("n_objects without end".into(), b"{\"\":".repeat(100_000)));
    texts.push(("n_deep and closed".into(), [b"[".repeat(5000), b"]".repeat(5000)].concat()));
    texts
}
