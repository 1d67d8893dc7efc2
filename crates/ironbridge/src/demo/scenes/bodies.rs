use crate::demo::caller::Call;
use crate::demo::story::Scene;
use crate::demo::world::World;
use crate::failure::Failure;
use serde_json::{Value, json};

/// A shipment that breaks nothing.
pub fn good() -> Value {
    json!({ "carrier": "dhl", "weight_kg": 2.5, "parcels": [{ "sku": "AB-1001", "quantity": 2 }] })
}

pub fn shipment(order: &str, body: impl ToString) -> Call {
    Call::post(&format!("/erp/v1/orders/{order}/shipments"), body)
}

pub async fn against_schema(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    let body =
        json!({ "carrier": "dhl", "weight_kg": "heavy", "parcels": [{ "sku": "AB-1001", "quantity": 0 }] });
    let token = world.token("order-service").await?;
    let call = shipment("7", &body).bearer(&token).idempotency_key("schema-1");
    let refused = world.call(scene, call).await?;
    scene.check_refused(&refused, 422, "schema-violated");
    let told = refused.answer.json();
    let errors = told.pointer("/errors").and_then(Value::as_array).cloned().unwrap_or_default();
    let named = |pointer: &str| errors.iter().any(|error| error.get("pointer").is_some_and(|p| p == pointer));
    scene.check(
        "it names /weight_kg and /parcels/0/quantity",
        named("/weight_kg") && named("/parcels/0/quantity"),
    );
    scene.check("it does not repeat what was sent", !refused.answer.text().contains("heavy"));
    Ok(())
}

pub async fn against_rule(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say("body.carrier != \"bike\" || body.weight_kg <= 20.0");
    let body =
        json!({ "carrier": "bike", "weight_kg": 80.5, "parcels": [{ "sku": "AB-1001", "quantity": 40 }] });
    let token = world.token("order-service").await?;
    let refused = world.call(scene, shipment("7", &body).bearer(&token).idempotency_key("rule-1")).await?;
    scene.check_refused(&refused, 422, "rule-violated");
    let told = refused.answer.at("/detail");
    scene.check("the detail is the rule's own words", told == "a bike courier carries at most 20 kg");
    Ok(())
}

pub async fn duplicate_name(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say("Some systems read the first carrier, some the last; a check and a target must not disagree.");
    let body =
        r#"{"carrier":"dhl","carrier":"pigeon","weight_kg":1,"parcels":[{"sku":"AB-1001","quantity":1}]}"#;
    let token = world.token("order-service").await?;
    let refused = world.call(scene, shipment("7", body).bearer(&token).idempotency_key("twice-1")).await?;
    scene.check_refused(&refused, 400, "json-duplicate-name");
    Ok(())
}

pub async fn replayed(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say("The order service never saw the first answer, so it asks again with the same key.");
    let token = world.token("order-service").await?;
    let mut body = good();
    let write = |body: &Value| shipment("7", body).bearer(&token).idempotency_key("ship-7-1");
    let first = world.call(scene, write(&body)).await?;
    let again = world.call(scene, write(&body)).await?;
    let same = first.answer.body == again.answer.body && first.answer.status == again.answer.status;
    scene.check("201, and no more of the ERP's answer than declared", {
        first.answer.status == 201
            && first.answer.json() == json!({ "shipment": "S-0001", "order": "7", "carrier": "dhl" })
    });
    scene.check("the same answer again, marked Idempotency-Replayed", {
        same && again.answer.header("idempotency-replayed") == "true"
    });
    scene.check("the ERP shipped once", first.seen.len() == 1 && again.seen.is_empty());
    scene.say("The same key with another body is a mistake, not a retry.");
    if let Some(carrier) = body.get_mut("carrier") {
        *carrier = json!("dpd");
    }
    let other = world.call(scene, write(&body)).await?;
    scene.check_refused(&other, 422, "idempotency-mismatch");
    Ok(())
}
