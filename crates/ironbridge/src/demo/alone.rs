//! The ERP without the rest of the demo: a target for whoever writes a first manifest.

use crate::demo::erp::Erp;
use crate::demo::world::server_identity;
use crate::failure::Failure;
use crate::output;
use ironbridge_engine::Home;
use ironbridge_seal::{hash, random};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The port of the target in what `ironbridge init` writes.
const PORT: u16 = 9443;
const CA: &str = "ca.pem";
const SECRET: &str = "client-secret";

/// Returns when it is interrupted. Started again with the same directory, it is the same ERP.
pub async fn serve(dir: &Path) -> Result<(), Failure> {
    let authority = Home::open(&dir.join("state"), crate::actor::demo())?.authority("partners").await?;
    fs::write(dir.join(CA), authority.root_pem())?;
    let client_secret = client_secret(&dir.join(SECRET))?;
    let _erp = Erp::start(PORT, server_identity(&authority)?, &client_secret).map_err(port_taken)?;
    let dir = fs::canonicalize(dir)?;
    output::data(format_args!(
        "The demo's ERP is running; Ctrl-C ends it. In a manifest:

    http:
      url: https://localhost:{PORT}
      ca: {ca}
      auth:
        oauth2:
          token_url: https://localhost:{PORT}/token
          client_id: ironbridge
          client_secret: secret://sealed/erp-client-secret

The secret for it:

  ironbridge secret set erp-client-secret --file {secret}",
        ca = dir.join(CA).display(),
        secret = dir.join(SECRET).display(),
    ))?;
    Ok(tokio::signal::ctrl_c().await?)
}

/// The one in the file, or a new one.
fn client_secret(path: &Path) -> Result<String, Failure> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let secret = hash::hex(&random::bytes::<20>());
            file.write_all(secret.as_bytes())?;
            Ok(secret)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(fs::read_to_string(path)?),
        Err(error) => Err(error.into()),
    }
}

fn port_taken(failure: Failure) -> Failure {
    failure.help(format!("it needs port {PORT} of localhost for itself"))
}
