//! A reader far away follows the served log while records keep coming: what a checkpoint promised must still be there
//! when the reader asks for it.

use super::outcome::Outcome;
use super::stage::{PATIENCE, Stage};
use anyhow::{Context, Result, anyhow, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use ironbridge_testkit::{Dialer, Wire};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// From the reader to the bridge and back.
const FAR: Duration = Duration::from_millis(300);
const READERS: usize = 25;
const CALLERS: usize = 10;
/// Between two requests of one caller: all together make 300 records a second.
const PAUSE: Duration = Duration::from_millis(33);

pub async fn attack(stage: &Stage, short: bool) -> Result<Outcome> {
    let wanted = if short { 150 } else { 1_000 };
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (dialer, request, stop) =
            (stage.dialer("http/1.1")?, stage.request("GET", "/items/log", b""), Arc::clone(&stop));
        callers.spawn(async move {
            let Ok(mut wire) = dialer.dial().await else { return };
            while !stop.load(Ordering::SeqCst) {
                wire.received.clear();
                wire.send(&request).await;
                wire.status(PATIENCE).await;
                wire.read_until(PAUSE, |_| false).await;
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let mut readers = tokio::task::JoinSet::new();
    for number in 0..READERS {
        let (dialer, asked) = (stage.dialer("http/1.1")?, Arc::clone(&asked));
        readers.spawn(async move {
            // Not all at the same moment.
            tokio::time::sleep(FAR / 25 * u32::try_from(number).unwrap_or(0)).await;
            let mut reader = Reader { wire: dialer.dial().await?, dialer, full: BTreeMap::new(), asked };
            let mut faults = Vec::new();
            while reader.asked.load(Ordering::SeqCst) < wanted {
                if let Err(fault) = reader.round().await {
                    faults.push(format!("{fault:#}"));
                }
            }
            Ok::<_, anyhow::Error>(faults)
        });
    }
    let mut broken = Vec::new();
    for faults in readers.join_all().await {
        broken.extend(faults?);
    }
    stop.store(true, Ordering::SeqCst);
    callers.join_all().await;
    let (asked, faults) = (asked.load(Ordering::SeqCst), broken.len());
    Ok(Outcome {
        sent: format!(
            "{asked} requests for tiles, {} ms after their checkpoint, at 300 records a second",
            FAR.as_millis()
        ),
        seen: format!("{faults} failed"),
        broken,
    })
}

struct Reader {
    wire: Wire,
    dialer: Dialer,
    /// Full tiles of hashes, which never change.
    full: BTreeMap<u64, Vec<u8>>,
    asked: Arc<AtomicUsize>,
}

impl Reader {
    /// Reads a checkpoint, and then, from far away, all that it covers.
    async fn round(&mut self) -> Result<()> {
        let checkpoint = self.get("/log/checkpoint").await?;
        let text = String::from_utf8(checkpoint)?;
        let mut lines = text.lines().skip(1);
        let size: u64 = lines.next().context("no size")?.parse()?;
        let root = BASE64_STANDARD.decode(lines.next().context("no root")?)?;
        tokio::time::sleep(FAR).await;
        let mut hashes = Vec::new();
        for tile in 0..size.div_ceil(256) {
            let width = (size - tile * 256).min(256);
            let bytes = match self.full.get(&tile) {
                Some(bytes) => bytes.clone(),
                None => {
                    let path =
                        if width == 256 { numbered(tile) } else { format!("{}.p/{width}", numbered(tile)) };
                    let bytes = self.tile(&path, width).await?;
                    if width == 256 {
                        self.full.insert(tile, bytes.clone());
                    }
                    bytes
                }
            };
            hashes.extend(bytes.chunks(32).map(<[u8]>::to_vec));
        }
        ensure!(
            root == tree(&hashes),
            "the tiles of {size} records do not have the root of their checkpoint"
        );
        Ok(())
    }

    /// The hashes of a tile, which must be those of the records that are served beside it.
    async fn tile(&mut self, path: &str, width: u64) -> Result<Vec<u8>> {
        let hashes = self.get(&format!("/log/tile/0/{path}")).await?;
        let records = self.get(&format!("/log/tile/entries/{path}")).await?;
        self.asked.fetch_add(2, Ordering::SeqCst);
        let mut rest = records.as_slice();
        let mut leaves = Vec::new();
        while let Some((length, tail)) = rest.split_first_chunk::<2>() {
            let (record, tail) = tail
                .split_at_checked(usize::from(u16::from_be_bytes(*length)))
                .with_context(|| format!("tile/entries/{path} is cut off"))?;
            leaves.extend(Sha256::new().chain_update([0]).chain_update(record).finalize());
            rest = tail;
        }
        ensure!(
            leaves.len() == usize::try_from(width * 32)?,
            "tile/entries/{path} has {} records",
            leaves.len() / 32
        );
        ensure!(leaves == hashes, "tile/0/{path} has other hashes than tile/entries/{path}");
        Ok(hashes)
    }

    async fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        if self.wire.is_closed {
            self.wire = self.dialer.dial().await?;
        }
        self.wire.received.clear();
        self.wire.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
        self.wire.read_until(PATIENCE, |bytes| body(bytes).is_some()).await;
        let status = self.wire.status(PATIENCE).await;
        ensure!(status == Some(200), "{path}: {status:?}");
        body(&self.wire.received).map(<[u8]>::to_vec).ok_or_else(|| anyhow!("{path}: no whole answer"))
    }
}

/// The body of an answer, once it is whole.
fn body(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    bytes.get(end + 4..end + 4 + length.unwrap_or(0))
}

/// The number of a tile, as it stands in paths: 1234067 is x001/x234/067.
fn numbered(tile: u64) -> String {
    let (mut path, mut rest) = (format!("{:03}", tile % 1000), tile / 1000);
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}

/// The Merkle tree hash over leaf hashes (RFC 9162 §2.1.1).
fn tree(hashes: &[Vec<u8>]) -> Vec<u8> {
    match hashes {
        [] => Sha256::digest(b"").to_vec(),
        [one] => one.clone(),
        many => {
            let split = 1 << (many.len() - 1).ilog2();
            let (left, right) = many.split_at(split);
            Sha256::new()
                .chain_update([1])
                .chain_update(tree(left))
                .chain_update(tree(right))
                .finalize()
                .to_vec()
        }
    }
}
