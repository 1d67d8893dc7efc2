use crate::demo::caller::Call;
use crate::demo::story::Scene;
use crate::demo::world::World;
use crate::failure::Failure;
use serde_json::json;

pub async fn external(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say("The portal has its tokens from corp-idp, whose keys the bridge fetched over TLS.");
    let read = world.call(scene, Call::get("/erp/v1/orders/7").bearer(&world.issuer.token()?)).await?;
    scene.check("200", read.answer.status == 200);
    let call = super::bodies::shipment("7", super::bodies::good()).bearer(&world.issuer.token()?);
    let refused = world.call(scene, call.idempotency_key("portal-1")).await?;
    scene.say("The portal's role would allow the write, but this token's scope is orders.read.");
    scene.check_refused(&refused, 403, "scope-missing");
    Ok(())
}

pub async fn expired_or_misdirected(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say("Both tokens are properly signed by corp-idp.");
    // Fixed times, long ago: nothing has to wait for them to pass.
    let expired = world.issuer.token_but(json!({ "iat": 1_700_000_000, "exp": 1_700_003_600 }))?;
    let refused = world.call(scene, Call::get("/erp/v1/orders").bearer(&expired)).await?;
    scene.check_refused(&refused, 401, "token-expired");
    let misdirected = world.issuer.token_but(json!({ "aud": "https://payroll.acme.example" }))?;
    let refused = world.call(scene, Call::get("/erp/v1/orders").bearer(&misdirected)).await?;
    scene.check_refused(&refused, 401, "token-audience-wrong");
    Ok(())
}

pub async fn forged(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say("First the issuer's public key is used as if it were an HS256 secret, then alg is none.");
    for forged in [world.issuer.forged_with_public_key(), world.issuer.forged_without_signature()] {
        let refused = world.call(scene, Call::get("/erp/v1/orders").bearer(&forged)).await?;
        scene.check_refused(&refused, 401, "token-algorithm-refused");
    }
    Ok(())
}

pub async fn tampered(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say("A good token, with orders.write added to its scope and the signature left as it was.");
    let refused = world.call(scene, Call::get("/erp/v1/orders").bearer(&world.issuer.tampered()?)).await?;
    scene.check_refused(&refused, 401, "token-signature-invalid");
    Ok(())
}
