//! The bridge stays up for whoever wants to try it, and follows changes of its manifest.

use crate::demo::world::World;
use crate::failure::Failure;
use crate::inspect::plural;
use crate::output;
use ironbridge_engine::{ReloadError, StartError, Watch};

/// Returns when it is interrupted. With `aside`, what it says goes to standard error.
pub async fn stay(world: &World, aside: bool) -> Result<(), Failure> {
    let say = |text: String| if aside { output::note(text) } else { drop(output::data(text)) };
    say(commands(world).await?);
    let mut watch = Watch::new(&world.places.bridge(), &world.bridge.files().await)?;
    loop {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
            () = watch.changed() => {}
        }
        match world.bridge.reload().await {
            Ok(done) => {
                watch.follow(&world.bridge.files().await)?;
                let count = plural(done.integrations, "integration");
                say(format!("reloaded: {count} in force"));
            }
            Err(ReloadError::Start(StartError::Manifest(found))) => {
                say(format!(
                    "{}not reloaded: what was in force stays",
                    found.render_text(output::color_of_stderr())
                ));
            }
            Err(error) => say(format!("not reloaded: {error}")),
        }
    }
}

async fn commands(world: &World) -> Result<String, Failure> {
    let [certificate, key] = world.write_robot()?;
    let api_key = world.issue_key("order-service").await?;
    let curl = format!("curl -sS --cacert {}", quoted(&world.places.bridge_ca().to_string_lossy()));
    // Nobody need have put it on the PATH.
    let ironbridge = match std::env::current_exe() {
        Ok(path) => quoted(&path.to_string_lossy()),
        Err(_) => "ironbridge".to_owned(),
    };
    let url = format!("https://localhost:{}", world.ports.bridge);
    Ok(format!(
        "
The bridge stays up; Ctrl-C ends it. To try:

  # with an API key
  {curl} {url}/erp/v1/orders -H 'X-API-Key: {api_key}'

  # with a token of the built-in token endpoint
  TOKEN=$({curl} {url}/oauth/token -u order-service:{secret} -d grant_type=client_credentials | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')
  {curl} {url}/erp/v1/orders/7 -H \"Authorization: Bearer $TOKEN\"

  # with a client certificate
  {curl} {url}/erp/v1/orders/8 --cert {certificate} --key {key}

  # a write; send it twice, and change the body once
  {curl} {url}/erp/v1/orders/7/shipments -H 'X-API-Key: {api_key}' -H 'Idempotency-Key: \"try-1\"' \\
    -H 'Content-Type: application/json' -d '{{\"carrier\":\"dhl\",\"weight_kg\":2.5,\"parcels\":[{{\"sku\":\"AB-1001\",\"quantity\":2}}]}}'

  # what was recorded
  {ironbridge} audit tail -C {manifest}
  {ironbridge} audit verify -C {manifest}

The manifest is in {manifest}; change it, and the bridge reloads.",
        api_key = api_key.key.expose(),
        secret = world.client_secret("order-service"),
        certificate = quoted(&certificate.to_string_lossy()),
        key = quoted(&key.to_string_lossy()),
        manifest = quoted(&world.places.bridge().to_string_lossy()),
    ))
}

/// As a shell reads it as one word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_one_word() {
        assert_eq!(quoted("/tmp/a-b.pem"), "/tmp/a-b.pem");
        assert_eq!(quoted("/tmp/my demo/it's"), r"'/tmp/my demo/it'\''s'");
    }
}
