use crate::stage::{NOW, cases, directory};
use ironbridge_core::{Account, PeerCertificate};
use ironbridge_identity::accounts::{CertificateMatch, CertificateRule, Registration};
use ironbridge_identity::certificate::{CertificateVerifier, facts};
use ironbridge_seal::hash::{hex, sha256};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

#[derive(Deserialize)]
struct Case {
    name: String,
    /// Subject alternative names, with their kind before a colon.
    #[serde(default)]
    san: Vec<String>,
    /// Extended key usages: `client`, `server`, `any`; without it the extension is absent.
    #[serde(default)]
    usage: Vec<String>,
    /// Validity in seconds from the start.
    #[serde(default = "an_hour_ago")]
    from: i64,
    #[serde(default = "in_an_hour")]
    until: i64,
    /// Who signed it: `partner`, `below` (an intermediate of the partner), `stranger`.
    #[serde(default = "partner")]
    by: String,
    /// What arrives instead of the chain: `nothing`, `garbage`, `trailing`, `pinned`.
    #[serde(default)]
    sent: String,
    expect: String,
}

fn an_hour_ago() -> i64 {
    -3600
}

fn in_an_hour() -> i64 {
    3600
}

fn partner() -> String {
    "partner".to_owned()
}

type Ca = CertifiedIssuer<'static, KeyPair>;

fn params(from: i64, until: i64) -> CertificateParams {
    let at =
        |offset| OffsetDateTime::from_unix_timestamp(i64::try_from(NOW.seconds()).unwrap() + offset).unwrap();
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (at(from), at(until));
    params
}

fn ca(name: &str, above: Option<&Ca>) -> Ca {
    let mut params = params(-86_400, 86_400);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().unwrap();
    match above {
        Some(above) => Ca::signed_by(params, key, above).unwrap(),
        None => Ca::self_signed(params, key).unwrap(),
    }
}

fn leaf(case: &Case, ca: &Ca) -> Vec<u8> {
    let mut params = params(case.from, case.until);
    params.subject_alt_names = case.san.iter().map(|name| san(name)).collect();
    params.extended_key_usages = case.usage.iter().map(|usage| self::usage(usage)).collect();
    params.signed_by(&KeyPair::generate().unwrap(), ca).unwrap().der().to_vec()
}

fn san(name: &str) -> SanType {
    match name.split_once(':').unwrap() {
        ("uri", value) => SanType::URI(value.try_into().unwrap()),
        ("dns", value) => SanType::DnsName(value.try_into().unwrap()),
        ("email", value) => SanType::Rfc822Name(value.try_into().unwrap()),
        (_, value) => SanType::IpAddress(value.parse().unwrap()),
    }
}

fn usage(name: &str) -> ExtendedKeyUsagePurpose {
    match name {
        "client" => ExtendedKeyUsagePurpose::ClientAuth,
        "server" => ExtendedKeyUsagePurpose::ServerAuth,
        _ => ExtendedKeyUsagePurpose::Any,
    }
}

fn account(name: &str, matches: CertificateMatch, ca: Option<&Ca>) -> Registration {
    let account = Account {
        name: name.into(),
        system: "partner".into(),
        permissions: Default::default(),
        addresses: Vec::new(),
        owner: None,
    };
    let cas = ca.map(|ca| Arc::from([ca.der().clone()]));
    Registration {
        certificates: vec![CertificateRule { matches, cas }],
        ..Registration::new(Arc::new(account))
    }
}

fn sent(chain: Vec<Vec<u8>>) -> PeerCertificate {
    PeerCertificate { chain, ..PeerCertificate::default() }
}

#[test]
fn every_certificate_meets_its_answer() {
    let (partner, stranger) = (ca("partner", None), ca("stranger", None));
    let below = ca("below", Some(&partner));
    let pinned = params(-3600, 3600).self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
    let name = |name: &str| CertificateMatch::Name(name.into());
    let directory = directory([
        account("partner-erp", name("erp.partner.example"), Some(&partner)),
        account("pinned", CertificateMatch::Thumbprint(hex(&sha256(&pinned)).to_uppercase().into()), None),
        account("twin-a", name("ops@twin.example"), None),
        account("twin-b", name("ops@twin.example"), None),
        account("split-a", name("urn:split"), Some(&partner)),
        account("split-b", name("urn:split"), Some(&stranger)),
        account("addressed", name("2001:db8::1"), None),
    ]);
    for case in cases::<Case>("certificates.yaml") {
        let mut chain = match &*case.by {
            "below" => vec![leaf(&case, &below), below.der().to_vec()],
            "below, unsent" => vec![leaf(&case, &below)],
            "stranger" => vec![leaf(&case, &stranger)],
            _ => vec![leaf(&case, &partner)],
        };
        match &*case.sent {
            "nothing" => chain.clear(),
            "garbage" => chain[0] = b"not a certificate".to_vec(),
            "cut off" => chain[0].truncate(100),
            "trailing" => chain[0].push(0),
            "pinned" => chain = vec![pinned.clone()],
            _ => {}
        }
        let verifier = CertificateVerifier::new(100);
        let certificate = sent(chain);
        for _ in 0..2 {
            let answer = match verifier.verify(&certificate, &directory, NOW) {
                Ok(principal) => principal.account().name.to_string(),
                Err(denial) => denial.code.id.to_owned(),
            };
            assert_eq!(answer, case.expect, "{}", case.name);
        }
    }
}

#[test]
fn a_remembered_certificate_still_expires() {
    let partner = ca("partner", None);
    let directory = directory([account("erp", CertificateMatch::Name("erp.example".into()), Some(&partner))]);
    let mut params = params(-3600, 3600);
    params.subject_alt_names = vec![san("dns:ERP.example"), san("uri:urn:x")];
    let leaf = params.signed_by(&KeyPair::generate().unwrap(), &partner).unwrap().der().to_vec();
    let (verifier, certificate) = (CertificateVerifier::new(10), sent(vec![leaf.clone()]));
    let at = |seconds| verifier.verify(&certificate, &directory, NOW.plus(Duration::from_secs(seconds)));
    let principal = at(0).unwrap();
    assert_eq!(*principal.credential().id, *hex(&sha256(&leaf)));
    assert!(at(3599).is_ok());
    assert_eq!(at(3600).unwrap_err().code.id, "certificate-invalid");
    let facts = facts(&certificate).unwrap();
    assert_eq!(facts.names.iter().map(|name| &**name).collect::<Vec<_>>(), ["dns:erp.example", "uri:urn:x"]);
    assert!(facts.client_auth);
}
