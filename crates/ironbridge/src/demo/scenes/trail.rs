use crate::demo::story::Scene;
use crate::demo::world::World;
use crate::failure::Failure;
use ironbridge_audit::{Log, Query, Stored};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub async fn verified(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say(
        "As `ironbridge audit verify` does it: every record is hashed again, up to the signed checkpoint.",
    );
    settle(world).await?;
    let verified = log(world)?.verify(None, &mut |_, _| {})?;
    let crossings = world.caller.crossings();
    scene.came_back(format!("{} records so far, under a checkpoint of {}", verified.size, verified.origin));
    let all = all(&log(world)?)?;
    let (exchanges, actions): (Vec<_>, Vec<_>) = all.iter().partition(|record| is_exchange(record));
    scene.check(
        format!("as many records as requests were made: {crossings}"),
        u64::try_from(exchanges.len()) == Ok(crossings) && verified.pending == 0,
    );
    scene.say(format!("The other {} say what the bridge and its administrator did.", actions.len()));
    exchanges.last().iter().for_each(|record| scene.say(format!("The newest: {}", record.json)));
    let payload = ["Mustermann", "+49 30", "C-1009", "AB-1001", "Bearer"];
    let held = all.iter().any(|record| payload.iter().any(|word| record.json.contains(word)));
    scene.check("they say who, what, why and how it ended, and hold no payload and no credential", !held);
    Ok(())
}

pub async fn tampered(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    /// In the record of a refusal, the outcome's first letter is changed.
    const MARK: &str = "\"outcome\":\"denied\"";
    const WITHIN: usize = "\"outcome\":\"".len();
    scene.say("In a copy of the trail, one byte of one record is changed.");
    let copy = world.places.root.join("tampered");
    copy_all(&world.home.audit_dir(), &copy)?;
    Log::open(&copy)?.verify(None, &mut |_, _| {})?;
    let records = all(&Log::open(&copy)?)?;
    let victim = records.iter().find(|record| record.json.contains(MARK));
    let victim = victim.ok_or_else(|| Failure::new("no record of a refusal"))?;
    let needle = victim.json.as_bytes();
    // Bundles that a longer one has taken the place of may still lie there: the longest is the log's.
    let found = files(&copy.join("log"))?
        .into_iter()
        .filter_map(|file| {
            let bytes = fs::read(&file).ok()?;
            let at = bytes.windows(needle.len()).position(|window| window == needle)?;
            Some((file, bytes, at + victim.json.find(MARK)? + WITHIN))
        })
        .max_by_key(|(_, bytes, _)| bytes.len());
    let (file, mut bytes, at) = found.ok_or_else(|| Failure::new("the record is in no file of the log"))?;
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1;
    }
    fs::write(&file, bytes)?;
    let below = file.strip_prefix(&copy).unwrap_or(&file).to_owned();
    scene.sent(format!("{}, byte {at}: \"denied\" becomes \"eenied\"", below.display()));
    match Log::open(&copy)?.verify(None, &mut |_, _| {}) {
        Ok(_) => scene.check("it is found", false),
        Err(fault) => {
            scene.came_back(fault.to_string());
            let located = fault.file == below && fault.entry == Some(victim.index);
            scene.check(format!("it is found: in that file, record {}", victim.index), located);
        }
    }
    let untouched = log(world)?.verify(None, &mut |_, _| {});
    scene.check("the bridge's own trail still verifies", untouched.is_ok());
    Ok(())
}

/// How many exchanges ended how, and how many actions there were.
pub fn records(world: &World) -> Result<(BTreeMap<String, u64>, u64), Failure> {
    let (mut counts, mut actions) = (BTreeMap::new(), 0);
    for record in all(&log(world)?)? {
        if is_exchange(&record) {
            *counts.entry(record.entry.outcome).or_insert(0) += 1;
        } else {
            actions += 1;
        }
    }
    Ok((counts, actions))
}

/// Waits until the checkpoint covers every record; the bridge signs one within a moment.
pub(super) async fn settle(world: &World) -> Result<(), Failure> {
    let end = Instant::now() + Duration::from_secs(5);
    while !is_settled(world)? && Instant::now() < end {
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn is_settled(world: &World) -> Result<bool, Failure> {
    let log = log(world)?;
    let records = all(&log)?;
    let exchanges = records.iter().filter(|record| is_exchange(record)).count();
    let signed = u64::try_from(records.len()) == Ok(log.checkpoint(None)?.size);
    Ok(signed && u64::try_from(exchanges).is_ok_and(|count| count >= world.caller.crossings()))
}

fn is_exchange(record: &Stored) -> bool {
    record.entry.action.is_empty()
}

pub(super) fn log(world: &World) -> Result<Log, Failure> {
    Ok(Log::open(world.home.audit_dir())?)
}

pub(super) fn all(log: &Log) -> Result<Vec<Stored>, Failure> {
    Ok(log.query(Query::default())?.collect::<Result<_, _>>()?)
}

fn copy_all(from: &Path, to: &Path) -> Result<(), Failure> {
    for file in files(from)? {
        let copy = to.join(file.strip_prefix(from).unwrap_or(&file));
        fs::create_dir_all(copy.parent().unwrap_or(to))?;
        match fs::copy(&file, copy) {
            // Swept away meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            copied => drop(copied?),
        }
    }
    Ok(())
}

/// Every file below a directory.
fn files(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}
