//! Everybody who takes part: the bridge, the ERP, the token issuer, the callers with their credentials.

use crate::demo::caller::{Call, Caller};
use crate::demo::erp::Erp;
use crate::demo::issuer::Issuer;
use crate::demo::manifest::{self, Ports};
use crate::demo::server::free_port;
use crate::demo::story::{Crossed, Scene};
use crate::failure::Failure;
use crate::output;
use ironbridge_engine::{Bridge, Home, StartError};
use ironbridge_identity::api_key::{Issued, KeyKind};
use ironbridge_identity::authority::{CertificateAuthority, IssuedCertificate};
use ironbridge_net::tls::Identity;
use ironbridge_seal::{hash, random};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub struct World {
    pub places: Places,
    pub ports: Ports,
    pub bridge: Bridge,
    /// The bridge's data directory, opened beside it as the commands do.
    pub home: Home,
    /// The bridge's internal CA.
    authority: CertificateAuthority,
    pub erp: Erp,
    pub issuer: Issuer,
    pub caller: Caller,
    /// Client secrets by account.
    secrets: BTreeMap<&'static str, String>,
}

/// Where everything lies.
pub struct Places {
    pub root: PathBuf,
}

impl Places {
    /// The manifest.
    pub fn bridge(&self) -> PathBuf {
        self.root.join("bridge")
    }

    pub fn data(&self) -> PathBuf {
        self.bridge().join("data")
    }

    /// Credentials of callers.
    pub fn callers(&self) -> PathBuf {
        self.root.join("callers")
    }

    pub fn bridge_ca(&self) -> PathBuf {
        self.callers().join("bridge-ca.pem")
    }

    /// The private CA of the partners.
    fn partners(&self) -> PathBuf {
        self.root.join("partners")
    }
}

const BRIDGE: &str = "demo-bridge";
/// The accounts that fetch tokens from the bridge.
const CLIENTS: [&str; 2] = ["order-service", "order-viewer"];
const ROBOT: &str = "spiffe://acme.example/order-robot";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long a change to the store may take to reach the running bridge, and then some.
const NOTICED: Duration = Duration::from_secs(5);

impl World {
    pub async fn start(root: &Path) -> Result<World, Failure> {
        let places = Places { root: root.to_owned() };
        let ports = Ports { bridge: free_port()?, erp: free_port()?, issuer: free_port()? };
        let public_url = format!("https://localhost:{}", ports.bridge);
        fs::create_dir_all(places.callers())?;

        let partners = Home::open(&places.partners(), crate::actor::demo())?.authority("partners").await?;
        manifest::write(&places.bridge(), ports, partners.root_pem())?;
        let erp_secret = hash::hex(&random::bytes::<20>());
        let erp = Erp::start(ports.erp, server_identity(&partners)?, &erp_secret)?;
        let issuer = Issuer::start(ports.issuer, server_identity(&partners)?, &public_url)?;

        let home = Home::open(&places.data(), crate::actor::demo())?;
        home.secrets().keeper("sealed")?.set("erp-client-secret", erp_secret.as_bytes()).await?;
        let mut secrets = BTreeMap::new();
        for account in CLIENTS {
            let secret = issue(&home, KeyKind::ClientSecret, account).await?;
            secrets.insert(account, secret.key.expose().to_owned());
        }
        let (bridge, _) = Bridge::start(&places.bridge()).await.map_err(explained)?;
        fs::write(places.bridge_ca(), bridge.ca_pem())?;
        let caller = Caller::new(ports.bridge, bridge.ca_pem())?;
        let authority = home.authority(BRIDGE).await?;
        Ok(World { places, ports, bridge, home, authority, erp, issuer, caller, secrets })
    }

    /// Sends a call and tells of it.
    pub async fn call(&self, scene: &mut Scene, call: Call) -> Result<Crossed, Failure> {
        self.call_as(scene, &self.caller, call).await
    }

    pub async fn call_as(&self, scene: &mut Scene, caller: &Caller, call: Call) -> Result<Crossed, Failure> {
        let crossed = self.try_call(caller, &call).await?;
        scene.call(&call, &crossed);
        Ok(crossed)
    }

    async fn try_call(&self, caller: &Caller, call: &Call) -> Result<Crossed, Failure> {
        self.erp.take_seen();
        let answer = caller.send(call).await?;
        Ok(Crossed { answer, seen: self.erp.take_seen() })
    }

    /// Calls until the answer is as wanted: what commands change reaches a running bridge within a moment.
    pub async fn call_until(
        &self,
        scene: &mut Scene,
        call: Call,
        wanted: impl Fn(&Crossed) -> bool,
    ) -> Result<Crossed, Failure> {
        /// Rare enough that refused tries do not use up the limit on failed authentication.
        const PAUSE: Duration = Duration::from_millis(60);
        let end = Instant::now() + NOTICED;
        loop {
            let crossed = self.try_call(&self.caller, &call).await?;
            if wanted(&crossed) || Instant::now() > end {
                scene.call(&call, &crossed);
                return Ok(crossed);
            }
            sleep(PAUSE).await;
        }
    }

    /// The client secret that `ironbridge key issue` would have printed.
    pub fn client_secret(&self, account: &str) -> &str {
        self.secrets.get(account).map_or("", String::as_str)
    }

    /// An access token of the bridge's own token endpoint.
    pub async fn token(&self, account: &str) -> Result<String, Failure> {
        let answer = self.caller.send(&Call::token(account, self.client_secret(account))).await?;
        match answer.at("/access_token") {
            none if none.is_empty() => {
                Err(Failure::new(format!("no token for {account}: {}", answer.line())))
            }
            token => Ok(token),
        }
    }

    /// As `ironbridge key issue` does it.
    pub async fn issue_key(&self, account: &str) -> Result<Issued, Failure> {
        issue(&self.home, KeyKind::ApiKey, account).await
    }

    /// As `ironbridge key revoke` does it.
    pub async fn revoke_key(&self, id: &str) -> Result<bool, Failure> {
        let ring = self.home.key_ring(KeyKind::ApiKey).await?;
        Ok(ring.revoke(id, self.home.clock.now()).await?)
    }

    /// A caller with a client certificate of the internal CA.
    pub fn caller_named(&self, name: &str) -> Result<Caller, Failure> {
        let identity = identity(&self.authority.issue_client(name, DAY)?)?;
        self.caller.with_certificate(self.bridge.ca_pem(), identity)
    }

    pub fn robot(&self) -> Result<Caller, Failure> {
        self.caller_named(ROBOT)
    }

    /// Writes the robot's certificate and key, for other programs; returns their paths.
    pub fn write_robot(&self) -> Result<[PathBuf; 2], Failure> {
        let issued = self.authority.issue_client(ROBOT, DAY)?;
        let [certificate, key] =
            ["order-robot.crt", "order-robot.key"].map(|name| self.places.callers().join(name));
        write_private(&certificate, &issued.chain_pem)?;
        write_private(&key, &issued.key_pem)?;
        Ok([certificate, key])
    }
}

async fn issue(home: &Home, kind: KeyKind, account: &str) -> Result<Issued, Failure> {
    let ring = home.key_ring(kind).await?;
    Ok(ring.issue(account, 30 * DAY, home.clock.now()).await?)
}

pub fn server_identity(authority: &CertificateAuthority) -> Result<Identity, Failure> {
    identity(&authority.issue_server(&["localhost", "127.0.0.1"], DAY)?)
}

fn identity(issued: &IssuedCertificate) -> Result<Identity, Failure> {
    Ok(Identity::from_pem(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes())?)
}

fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

fn explained(error: StartError) -> Failure {
    match error {
        StartError::Manifest(found) => Failure::new("the demo's manifest does not load")
            .above(found.render_text(output::color_of_stderr())),
        other => other.into(),
    }
}
