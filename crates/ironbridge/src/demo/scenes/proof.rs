//! What the audit trail can prove to others, and forget.

use super::trail::{all, log, settle};
use crate::demo::story::Scene;
use crate::demo::world::World;
use crate::failure::Failure;
use ironbridge_audit::receipt::Disclosed;
use ironbridge_audit::{Query, Receipt, Stored};
use ironbridge_core::action::name;

/// A customer of the ERP whose orders were read.
const PERSON: &str = "C-1009";

pub async fn proven(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say("A receipt holds one record, its path up to the root, and the checkpoint that signs the root.");
    let (log, keys) = (log(world)?, log(world)?.stored_keys()?);
    let shipped =
        Query { operation: Some("ship-order".into()), outcome: Some("success".into()), ..Query::default() };
    let record = log.query(shipped)?.next().transpose()?.ok_or_else(|| Failure::new("no shipment"))?;
    let receipt = Receipt::make(&log, record.index, &keys, Disclosed::default())?.to_string();
    let lines = receipt.lines().count();
    scene.sent(format!("record {} as a receipt of {lines} lines", record.index));
    let checked = Receipt::parse(&receipt)?.check(&keys, &[], 0)?;
    scene.came_back(format!("entry {} of {}, one of {}", checked.index, checked.origin, checked.size));
    scene.check("it checks with the log's keys alone, offline", checked.record == record.json);
    let moved =
        receipt.replacen(&format!("index {}", record.index), &format!("index {}", record.index + 1), 1);
    let refused = Receipt::parse(&moved)?.check(&keys, &[], 0).is_err();
    scene.check("a receipt that claims another place in the log is refused", refused);
    Ok(())
}

pub async fn erased(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say(format!(
        "Customer {PERSON} wants to be forgotten. Records commit to her id under a key of her own."
    ));
    settle(world).await?;
    let owners = world.home.owners().await?;
    let Some(key) = owners.find_subject(PERSON).await? else { return Err(Failure::new("she is not known")) };
    let hers = log(world)?.query(Query { subject: Some(key.tag), ..Query::default() })?;
    let hers: Vec<Stored> = hers.collect::<Result<_, _>>()?;
    let names_her = |record: &Stored| {
        let details = record.open_details(|tag| (*tag == key.tag).then_some(&*key));
        details.into_iter().flatten().any(|detail| detail.value == PERSON)
    };
    scene.came_back(format!("{} records are about her", hers.len()));
    scene.check("her key opens her id in each of them", !hers.is_empty() && hers.iter().all(names_her));
    let in_clear = all(&log(world)?)?.iter().any(|record| record.json.contains(PERSON));
    scene.check("no record holds the id itself", !in_clear);

    let before = log(world)?.checkpoint(None)?;
    scene.sent("her key is destroyed, and with it the detail and the salts of the commitments");
    owners.erase_subject(PERSON).await?;
    scene.check("nothing finds her records any more", owners.find_subject(PERSON).await?.is_none());
    let verified = log(world)?.verify(None, &mut |_, _| {})?;
    let same = log(world)?.root(before.size)? == before.root;
    scene.check("every record, hash and proof is as before", same && verified.size >= before.size);
    Ok(())
}

pub async fn accounted(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say("What the bridge and its administrators did stands in the same log.");
    settle(world).await?;
    let records = all(&log(world)?)?;
    let actions: Vec<&Stored> = records.iter().filter(|record| !record.entry.action.is_empty()).collect();
    for wanted in
        [name::BRIDGE_START, name::BRIDGE_RELOAD, name::KEY_ISSUE, name::KEY_REVOKE, name::TOKEN_ISSUE]
    {
        let of_it = || actions.iter().filter(|record| record.entry.action == wanted);
        let newest = of_it().next_back().map(|record| &record.entry);
        let told =
            newest.map_or_else(String::new, |entry| format!(", last: {} {}", entry.object, entry.code));
        scene.came_back(format!("{wanted}: {}{told}", of_it().count()));
        scene.check(format!("{wanted} is recorded"), newest.is_some());
    }
    let refused =
        |record: &&&Stored| record.entry.action == name::BRIDGE_RELOAD && record.entry.outcome == "failed";
    scene.check("the broken manifest is among them", actions.iter().any(|record| refused(&record)));
    Ok(())
}
