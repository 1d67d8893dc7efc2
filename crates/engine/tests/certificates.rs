//! Mutual TLS: which certificate speaks for which account.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_seal::hash;
use ironbridge_testkit::{Authority, CurlReply, Identity, Validity};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use world::{Declared, World, in_home};

const SPIFFE: &str = "spiffe://acme.example/order-service";

const OPERATIONS: &str = "read: { match: GET /read, permission: orders.read }
    write: { match: POST /write, permission: orders.write }";

struct Scene {
    world: World,
    key: String,
    partner: Authority,
    pinned: Identity,
}

impl Scene {
    /// `order-service` is known by a name under the internal CA, `partner` by a name under its own CA, `pinned` by
    /// one certificate of that CA.
    fn new(listener: &'static str) -> Scene {
        let partner = Authority::new("partner").unwrap();
        let pinned = partner.client(&["pinned.partner.example"], Validity::Now).unwrap();
        let thumbprint = hash::hex(&hash::sha256(&pinned.certificate));
        let declared = Declared {
            operations: OPERATIONS,
            credentials: "certificate: { san: \"spiffe://acme.example/order-service\" }",
            listener,
            ..Declared::default()
        };
        let (world, key) = World::with_key(&declared, |dir, _| {
            // The partner's CA is the second in the file, as while an old one is replaced.
            Authority::new("partner before").unwrap().write(dir.join("partner-ca.pem"))?;
            partner.write(dir.join("partner-new.pem"))?;
            let both = ["partner-ca.pem", "partner-new.pem"].map(|name| std::fs::read_to_string(dir.join(name)).unwrap());
            std::fs::write(dir.join("partner-ca.pem"), both.concat())?;
            let accounts = format!(
                "accounts:\n  partner:\n    system: order-service\n    owner: a@acme.example\n    roles: [reader]\n    \
                 credentials: {{ certificate: {{ san: client.partner.example, ca: ./partner-ca.pem }} }}\n  pinned:\n    \
                 system: order-service\n    owner: a@acme.example\n    roles: [reader]\n    \
                 credentials: {{ certificate: {{ thumbprint: \"{thumbprint}\", ca: ./partner-ca.pem }} }}\n"
            );
            Ok(std::fs::write(dir.join("accounts.yaml"), accounts)?)
        })
        .unwrap();
        Scene { world, key, partner, pinned }
    }

    /// A client certificate of the internal CA.
    fn issue(&self, name: &str, file: &str) -> String {
        let dir = self.world.dir.path();
        let issued = in_home(dir, async |home| {
            let authority = home.authority("test-bridge").await?;
            Ok(authority.issue_client(name, Duration::from_secs(3600))?)
        })
        .unwrap();
        let path = dir.join(file);
        std::fs::write(&path, format!("{}{}", issued.chain_pem, &*issued.key_pem)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn write(&self, identity: &Identity, name: &str) -> String {
        identity.write(self.world.dir.path(), name).unwrap();
        self.world.dir.path().join(format!("{name}.pem")).to_str().unwrap().to_owned()
    }

    fn with(&self, certificate: &str, more: &[&str]) -> anyhow::Result<CurlReply> {
        let all: Vec<&str> = ["--cert", certificate].into_iter().chain(more.iter().copied()).collect();
        self.world.curl("/erp/v1/read", &all)
    }
}

fn code(reply: &CurlReply) -> (u16, String) {
    (reply.status, reply.json().unwrap()["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_certificate_speaks_for_the_account_that_declares_it() {
    let scene = Scene::new("");
    let internal = scene.issue(SPIFFE, "internal.pem");
    let named =
        scene.write(&scene.partner.client(&["client.partner.example"], Validity::Now).unwrap(), "named");
    let pinned = scene.write(&scene.pinned, "pinned");
    for (certificate, account) in [(&internal, "order-service"), (&named, "partner"), (&pinned, "pinned")] {
        for version in ["--http1.1", "--http2"] {
            let reply = scene.with(certificate, &[version]).unwrap();
            assert_eq!(reply.status, 200, "{account}: {}", reply.text());
            let record = scene.world.record_of(&reply);
            assert_eq!((&record["account"], &record["credential"]), (&json!(account), &json!("certificate")));
        }
    }
    // Its roles are the account's: the partner may not write.
    let write = ["--cert", &*named, "-d", "x"];
    assert_eq!(code(&scene.world.curl("/erp/v1/write", &write).unwrap()), (403, "permission-missing".into()));
    // The same on a resumed session, and the target learns nothing of the certificate.
    let seen = scene.world.target.seen();
    assert!(seen.iter().all(|seen| seen.certificate.is_none()));
}

#[test]
fn one_accounts_ca_cannot_speak_for_another() {
    let scene = Scene::new("");
    for (name, certificate) in [
        (
            "partner's CA, internal name",
            scene.write(&scene.partner.client(&[SPIFFE], Validity::Now).unwrap(), "forged"),
        ),
        ("internal CA, partner's name", scene.issue("client.partner.example", "crossed.pem")),
        ("partner's CA, unknown name", {
            scene.write(&scene.partner.client(&["other.partner.example"], Validity::Now).unwrap(), "unknown")
        }),
        ("partner's CA, the pinned one's name with another key", {
            scene
                .write(&scene.partner.client(&["pinned.partner.example"], Validity::Now).unwrap(), "repinned")
        }),
        ("internal CA, unknown name", scene.issue("spiffe://acme.example/other", "stranger.pem")),
        ("no name at all", scene.write(&scene.partner.client(&[], Validity::Now).unwrap(), "nameless")),
        ("a longer name", scene.issue("spiffe://acme.example/order-service/x", "longer.pem")),
    ] {
        let reply = scene.with(&certificate, &[]).unwrap();
        assert_eq!(code(&reply), (401, "certificate-unmatched".into()), "{name}");
    }
    assert!(scene.world.target.seen().is_empty());
}

#[test]
fn what_does_not_verify_gets_no_connection() {
    let scene = Scene::new("");
    let stranger = Authority::new("partner").unwrap();
    for (name, identity) in [
        ("expired", scene.partner.client(&["client.partner.example"], Validity::Expired).unwrap()),
        ("not yet valid", scene.partner.client(&["client.partner.example"], Validity::NotYet).unwrap()),
        ("of a CA of the same name", stranger.client(&["client.partner.example"], Validity::Now).unwrap()),
        ("a server's", scene.partner.server(&["client.partner.example"]).unwrap()),
    ] {
        let file = scene.write(&identity, "refused");
        for version in ["--http1.1", "--http2"] {
            let refused = scene.with(&file, &[version]);
            assert!(refused.is_err(), "{name}: {:?}", refused.map(|reply| reply.status));
        }
    }
    assert!(scene.world.target.seen().is_empty());
    // Without a certificate, other credentials serve.
    let key = format!("X-API-Key: {}", scene.key);
    assert_eq!(scene.world.curl("/erp/v1/read", &["-H", &key]).unwrap().status, 200);
    assert_eq!(code(&scene.world.curl("/erp/v1/read", &[]).unwrap()), (401, "credentials-missing".into()));
}

#[test]
fn a_listener_can_require_certificates_or_not_ask() {
    let required = Scene::new(", client_certificates: required");
    let key = format!("X-API-Key: {}", required.key);
    assert!(required.world.curl("/erp/v1/read", &["-H", &key]).is_err());
    let internal = required.issue(SPIFFE, "internal.pem");
    assert_eq!(required.with(&internal, &[]).unwrap().status, 200);

    let off = Scene::new(", client_certificates: off");
    let internal = off.issue(SPIFFE, "internal.pem");
    assert_eq!(code(&off.with(&internal, &[]).unwrap()), (401, "credentials-missing".into()));
    assert!(!asks_for_a_certificate(&off.world, &off.world.ca()));
    let optional = Scene::new("");
    assert!(asks_for_a_certificate(&optional.world, &optional.world.ca()));
}

#[test]
fn an_account_that_goes_takes_its_certificate_along() {
    let scene = Scene::new("");
    let named =
        scene.write(&scene.partner.client(&["client.partner.example"], Validity::Now).unwrap(), "named");
    assert_eq!(scene.with(&named, &[]).unwrap().status, 200);
    let path = scene.world.dir.path().join("accounts.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("san: client.partner.example", "san: new.partner.example")).unwrap();
    scene.world.reload().unwrap();
    assert_eq!(code(&scene.with(&named, &[]).unwrap()), (401, "certificate-unmatched".into()));
    std::fs::remove_file(&path).unwrap();
    scene.world.reload().unwrap();
    // Nobody's CA any more: not even a handshake.
    assert!(scene.with(&named, &[]).is_err());
}

fn asks_for_a_certificate(world: &World, ca: &Path) -> bool {
    let output = Command::new("openssl")
        .args(["s_client", "-tls1_2", "-connect", &format!("localhost:{}", world.port), "-CAfile"])
        .arg(ca)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).contains("Acceptable client certificate CA names")
}
