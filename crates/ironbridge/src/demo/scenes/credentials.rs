use crate::demo::caller::Call;
use crate::demo::story::{Crossed, Scene};
use crate::demo::world::World;
use crate::failure::Failure;

pub async fn rotated(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    let read = |key: &str| Call::get("/erp/v1/orders/7").api_key(key);
    let works = |crossed: &Crossed| crossed.answer.status == 200;
    scene.say("A key is issued while the bridge runs, as `ironbridge key issue` does it.");
    let old = world.issue_key("order-service").await?;
    let first = world.call_until(scene, read(old.key.expose()), works).await?;
    scene.check("the key works", works(&first));
    scene.say("The next key is issued; for as long as the change-over takes, both work.");
    let new = world.issue_key("order-service").await?;
    let second = world.call_until(scene, read(new.key.expose()), works).await?;
    let still = world.call(scene, read(old.key.expose())).await?;
    scene.check("the new key works, and the old one too", works(&second) && works(&still));
    scene.say("The old key is revoked.");
    world.revoke_key(&old.id).await?;
    let revoked = |crossed: &Crossed| crossed.answer.status == 401;
    let refused = world.call_until(scene, read(old.key.expose()), revoked).await?;
    scene.check_refused(&refused, 401, "api-key-revoked");
    let kept = world.call(scene, read(new.key.expose())).await?;
    scene.check("the new key goes on working", works(&kept));
    Ok(())
}

pub async fn certificate(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say("The robot shows a certificate of the internal CA in the TLS handshake, and nothing else.");
    let call = |name| Call::get("/erp/v1/orders/7").certificate(name);
    let read = world.call_as(scene, &world.robot()?, call("spiffe://acme.example/order-robot")).await?;
    scene.check("200", read.answer.status == 200);
    let name = "spiffe://acme.example/forklift";
    let refused = world.call_as(scene, &world.caller_named(name)?, call(name)).await?;
    scene.check_refused(&refused, 401, "certificate-unmatched");
    Ok(())
}
