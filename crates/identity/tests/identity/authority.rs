use crate::stage::{NOW, Shelf, TestClock};
use ironbridge_identity::KeptKeyError;
use ironbridge_identity::authority::{CertificateAuthority, IssuedCertificate, SERVER_LIFETIME, Validity};
use ironbridge_identity::signing_keys::SigningKeys;
use ironbridge_seal::envelope::Keys;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

async fn authority(shelf: &Shelf) -> CertificateAuthority {
    let (store, keys) = (shelf.store.clone(), Arc::clone(&shelf.keys));
    CertificateAuthority::load_or_create(store, keys, "acme-bridge", TestClock::new()).await.unwrap()
}

/// The peer: what everyone else's tools think of our certificates.
fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap_or_else(|error| {
        panic!("this test needs openssl ({error}): apt-get install openssl");
    });
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {}: {text}", arguments.join(" "));
    text
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn openssl_accepts_what_the_authority_issues() {
    let shelf = Shelf::new();
    let authority = authority(&shelf).await;
    let folder = tempfile::tempdir().unwrap();
    let at = NOW.plus(Duration::from_secs(60)).seconds().to_string();
    let root = write(folder.path(), "root.pem", authority.root_pem());

    let server =
        authority.issue_server(&["bridge.example", "*.api.example", "127.0.0.1"], SERVER_LIFETIME).unwrap();
    let leaf = write(folder.path(), "server.pem", &server.chain_pem);
    let strict = ["verify", "-x509_strict", "-CAfile", &root, "-attime", &at];
    for name in [
        ["-verify_hostname", "bridge.example"],
        ["-verify_hostname", "x.api.example"],
        ["-verify_ip", "127.0.0.1"],
    ] {
        openssl(&[&strict[..], &["-purpose", "sslserver"], &name, &[&leaf]].concat());
    }
    let client = authority.issue_client("spiffe://acme.example/erp", Duration::from_secs(3600)).unwrap();
    let client_leaf = write(folder.path(), "client.pem", &client.chain_pem);
    openssl(&[&strict[..], &["-purpose", "sslclient", &client_leaf]].concat());

    // The key belongs to the certificate.
    let key = write(folder.path(), "server.key", &server.key_pem);
    let of_key = openssl(&["pkey", "-in", &key, "-pubout"]);
    assert_eq!(of_key, openssl(&["x509", "-in", &leaf, "-noout", "-pubkey"]));

    let text = openssl(&["x509", "-in", &leaf, "-noout", "-text"]);
    for part in [
        "Digital Signature",
        "TLS Web Server Authentication",
        "CA:FALSE",
        "Subject Key Identifier",
        "Authority Key Identifier",
        "prime256v1",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("Client Authentication"));
    let text = openssl(&["x509", "-in", &root, "-noout", "-text"]);
    for part in
        ["CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "O = acme-bridge", "Subject Key Identifier"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

fn trusted(
    root: &CertificateAuthority,
    leaf: &IssuedCertificate,
    usage: KeyUsage,
) -> Result<(), webpki::Error> {
    let root = CertificateDer::from(root.root_der());
    let leaf = CertificateDer::from_pem_slice(leaf.chain_pem.as_bytes()).unwrap();
    let anchor = anchor_from_trusted_cert(&root).unwrap();
    let leaf = EndEntityCert::try_from(&leaf).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW.seconds()));
    leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &[anchor], &[], now, usage, None, None).map(drop)
}

#[tokio::test]
async fn webpki_accepts_each_certificate_for_its_use_alone() {
    let shelf = Shelf::new();
    let authority = authority(&shelf).await;
    let server = authority.issue_server(&["bridge.example"], SERVER_LIFETIME).unwrap();
    let client = authority.issue_client("erp.example", SERVER_LIFETIME).unwrap();
    assert!(trusted(&authority, &server, KeyUsage::server_auth()).is_ok());
    assert!(trusted(&authority, &client, KeyUsage::client_auth()).is_ok());
    assert!(trusted(&authority, &server, KeyUsage::client_auth()).is_err());
    assert!(trusted(&authority, &client, KeyUsage::server_auth()).is_err());
    let der = CertificateDer::from_pem_slice(server.chain_pem.as_bytes()).unwrap();
    let leaf = EndEntityCert::try_from(&der).unwrap();
    let names =
        |name: &str| leaf.verify_is_valid_for_subject_name(&ServerName::try_from(name.to_owned()).unwrap());
    assert!(names("bridge.example").is_ok() && names("other.example").is_err());
}

#[tokio::test]
async fn the_root_is_made_once_and_opens_only_under_its_key() {
    let shelf = Shelf::new();
    let first = authority(&shelf).await;
    let second = authority(&shelf).await;
    assert_eq!(first.root_pem(), second.root_pem());
    assert_eq!(Validity::of_pem(first.root_pem()), Some(first.validity()));
    assert!(!first.root_pem().contains("PRIVATE"));
    let other = Arc::new(Keys::ephemeral().unwrap());
    let failed =
        CertificateAuthority::load_or_create(shelf.store.clone(), other, "b", TestClock::new()).await;
    assert!(matches!(failed, Err(KeptKeyError::Sealed { item, .. }) if item == "ca/root"));
}

#[tokio::test]
async fn leaves_end_with_the_root_and_serials_are_large() {
    let shelf = Shelf::new();
    let authority = authority(&shelf).await;
    let long = authority.issue_server(&["a.example"], Duration::from_secs(50 * 365 * 24 * 3600)).unwrap();
    assert_eq!(long.validity.not_after, authority.validity().not_after);
    let short = authority.issue_client("urn:x", Duration::from_secs(3600)).unwrap();
    assert_eq!(Validity::of_pem(&short.chain_pem), Some(short.validity));
    assert!(authority.issue_server(&[], SERVER_LIFETIME).is_err());
    for name in ["", "a b", "*.*", "http://x"] {
        assert!(authority.issue_server(&[name], SERVER_LIFETIME).is_err(), "{name:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let serials: Vec<_> = [long, short]
        .iter()
        .map(|leaf| {
            let path = write(folder.path(), "leaf.pem", &leaf.chain_pem);
            openssl(&["x509", "-in", &path, "-noout", "-serial"])
        })
        .collect();
    assert!(serials.iter().all(|serial| serial.trim().len() == "serial=".len() + 32), "{serials:?}");
    assert_ne!(serials[0], serials[1]);
}

/// A command and a bridge may both be the first: what each goes on with is what is kept.
#[tokio::test]
async fn what_is_made_at_first_use_is_one_whoever_comes_first() {
    let shelf = Shelf::new();
    let (one, other) = tokio::join!(authority(&shelf), authority(&shelf));
    assert_eq!(one.root_pem(), other.root_pem());
    assert_eq!(authority(&shelf).await.root_pem(), one.root_pem());
    let keys = || SigningKeys::load_or_create(shelf.store.clone(), shelf.keys.clone(), "b", NOW);
    let (one, other) = tokio::join!(keys(), keys());
    assert_eq!(one.unwrap().jwks(), other.unwrap().jwks());
}
