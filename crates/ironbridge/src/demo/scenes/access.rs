use crate::demo::caller::Call;
use crate::demo::story::Scene;
use crate::demo::world::World;
use crate::failure::Failure;
use serde_json::json;

pub async fn fields_held_back(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say("The order service trades its client secret for a token, then asks for the open orders.");
    let secret = world.client_secret("order-service");
    let token = world.call(scene, Call::token("order-service", secret)).await?;
    let token = token.answer.at("/access_token");
    let read = world.call(scene, Call::get("/erp/v1/orders").bearer(&token)).await?;
    let told = read.seen.iter().find(|seen| seen.path == "/orders");
    let told = told.map_or("", |seen| seen.answer.as_str());
    scene.say(format!("The ERP itself had answered: {told}"));
    let crossed = json!({ "items": [
        { "id": "7", "status": "open", "customer": { "id": "C-1009" } },
        { "id": "8", "status": "open", "customer": { "id": "C-1009" } },
    ] });
    scene.check(
        "200, with id, status and customer id only",
        read.answer.status == 200 && read.answer.json() == crossed,
    );
    scene.check(
        "name, phone, IBAN and margin stayed behind",
        told.contains("Mustermann") && told.contains("margin"),
    );
    Ok(())
}

pub async fn credentials_exchanged(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say("The caller's token ends at the bridge, which has a token of its own for the ERP.");
    let token = world.token("order-service").await?;
    let call = Call::get("/erp/v1/orders/7").bearer(&token).header("cookie", "session=caller");
    let read = world.call(scene, call).await?;
    let own = world.erp.tokens();
    let arrived = |text: &str| read.seen.iter().any(|seen| seen.holds(text));
    scene.check("the ERP saw the bridge's token", own.iter().any(|own| arrived(own)));
    scene.check(
        "the caller's token and cookie did not arrive",
        !arrived(&token) && !arrived("session=caller"),
    );
    scene.check(
        "the ERP's token is not in the answer",
        !own.iter().any(|own| read.answer.text().contains(own)),
    );
    scene.check("one token served every exchange so far", own.len() == 1 && read.answer.status == 200);
    Ok(())
}

pub async fn nobody(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    let refused = world.call(scene, Call::get("/erp/v1/orders")).await?;
    scene.check_refused(&refused, 401, "credentials-missing");
    let page = refused.answer.at("/type");
    scene.say(format!("The refusal names its page: {page}"));
    let path = page.find("/.ironbridge/").and_then(|at| page.get(at..)).unwrap_or("/");
    let explained = world.call(scene, Call::get(path)).await?.answer;
    scene.check("the page is there", explained.status == 200 && explained.text().contains("What to do:"));
    Ok(())
}

pub async fn reader_writes(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say("order-viewer has the role order-reader, which holds orders.read and nothing else.");
    let token = world.token("order-viewer").await?;
    let call = super::bodies::shipment("7", super::bodies::good()).bearer(&token).idempotency_key("viewer-1");
    let refused = world.call(scene, call).await?;
    scene.check_refused(&refused, 403, "permission-missing");
    Ok(())
}

pub async fn undeclared(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say("The ERP may well have these; the manifest does not, so nobody asks it.");
    let token = world.token("order-service").await?;
    let unknown = world.call(scene, Call::get("/erp/v1/customers").bearer(&token)).await?;
    scene.check_refused(&unknown, 404, "operation-unknown");
    let other = world.call(scene, Call::delete("/erp/v1/orders/7").bearer(&token)).await?;
    scene.check_refused(&other, 405, "method-refused");
    scene.check("Allow names the methods that are declared", other.answer.header("allow") == "GET");
    Ok(())
}
