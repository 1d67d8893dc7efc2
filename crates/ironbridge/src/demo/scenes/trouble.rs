use crate::demo::caller::Call;
use crate::demo::erp::BROKEN_ORDER;
use crate::demo::story::Scene;
use crate::demo::world::World;
use crate::failure::Failure;
use serde_json::json;

pub async fn limited(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say("The daily report may be fetched 3/min by an account.");
    let token = world.token("order-service").await?;
    let report = || Call::get("/erp/v1/reports/daily").bearer(&token);
    let mut passed = 0;
    for _ in 0..3 {
        passed += u32::from(world.call(scene, report()).await?.answer.status == 200);
    }
    scene.check("three pass", passed == 3);
    let refused = world.call(scene, report()).await?;
    let field = |name: &str| refused.answer.header(name).to_owned();
    let (wait, limit, policy) = (field("retry-after"), field("ratelimit"), field("ratelimit-policy"));
    scene.came_back(format!("Retry-After: {wait}, RateLimit: {limit}, RateLimit-Policy: {policy}"));
    scene.check_refused(&refused, 429, "rate-limited");
    let seconds = wait.parse::<u64>().is_ok_and(|wait| (1..=20).contains(&wait));
    let fields = limit.starts_with("\"account\";r=0") && policy == "\"account\";q=3;w=60";
    scene.check("it says when to come back, and how much is left", seconds && fields);
    Ok(())
}

pub async fn stack_trace(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    let token = world.token("order-service").await?;
    let failed =
        world.call(scene, Call::get(&format!("/erp/v1/orders/{BROKEN_ORDER}")).bearer(&token)).await?;
    let told = failed.seen.first().map_or("", |seen| seen.answer.as_str());
    scene.say(format!("The ERP itself had answered: {told}"));
    scene.check("502 target-failed", failed.answer.is_refusal(502, "target-failed"));
    let leaked =
        ["java", "jdbc", "internal:1521", "hunter2"].iter().any(|word| failed.answer.text().contains(word));
    scene.check("nothing of the ERP's words crossed", told.contains("hunter2") && !leaked);
    Ok(())
}

pub async fn down(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    let token = world.token("order-service").await?;
    let read = || Call::get("/erp/v1/orders/7").bearer(&token);
    scene.say("The ERP's machine is switched off.");
    world.erp.power_off();
    let failed = world.call(scene, read()).await?;
    // A connection that breaks under the request itself, rather than before it, is told apart.
    let codes = ["target-unreachable", "target-broke-off"];
    scene.check(
        "502, told apart from the ERP's own errors",
        codes.iter().any(|code| failed.answer.is_refusal(502, code)),
    );
    scene.say("And on again.");
    world.erp.power_on()?;
    let read = world.call(scene, read()).await?;
    scene.check(
        "200 at once",
        read.answer.status == 200
            && read.answer.json() == json!({ "id": "7", "status": "open", "customer": { "id": "C-1009" } }),
    );
    Ok(())
}

pub async fn smuggled(world: &mut World, scene: &mut Scene) -> Result<(), Failure> {
    scene.say(
        "Bytes straight into the TLS session: Content-Length and Transfer-Encoding disagree about where the \
         request ends, and a second request hides behind it.",
    );
    let token = world.token("order-service").await?;
    let hidden = "GET /erp/v1/orders/8 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let body = format!("0\r\n\r\n{hidden}");
    let raw = format!(
        "POST /erp/v1/orders/7/shipments HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{body}",
        world.ports.bridge,
        body.len(),
    );
    world.erp.take_seen();
    scene.sent(raw.replace("\r\n", " ␍␊ "));
    let answer = world.caller.send_raw(raw.as_bytes()).await?;
    let (status, rest) = answer.split_once("\r\n").unwrap_or((&answer, ""));
    let (_, problem) = rest.split_once("\r\n\r\n").unwrap_or_default();
    scene.came_back(format!("{status}, {problem}"));
    let seen = world.erp.take_seen();
    scene.erp(if seen.is_empty() { "nothing" } else { "something" });
    let refused = answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"code\":\"framing-refused\"");
    scene.check("400 framing-refused, then the connection is closed", refused);
    scene.check("one answer, not two", answer.matches("HTTP/1.1 ").count() == 1 && seen.is_empty());
    Ok(())
}
