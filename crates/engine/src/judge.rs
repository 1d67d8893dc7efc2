//! What the files and secrets are worth that a manifest names, said at the line that names them before anything is
//! built on them: the same for `ironbridge check`, a start and a reload.

use crate::http::connect;
use crate::lapsed::Term;
use crate::material::{self, MaterialError};
use ironbridge_core::Timestamp;
use ironbridge_identity::certificate_file::{self, CertificateFile, FiledCertificate};
use ironbridge_manifest::finding::{
    MATERIAL_UNUSABLE, NAME_NOT_COVERED, NOT_VALID_NOW, SECRET_UNUSABLE, SECRETS_NOT_LOOKED_UP,
    VALID_NOT_FOR_LONG,
};
use ironbridge_manifest::{
    self as manifest, Date, Finding, Forward, KeySource, Manifest, Mirror, Observed, Positions,
};
use ironbridge_net::tls::{Identity, Roots};
use ironbridge_net::upstream::Upstream;
use ironbridge_secrets::{SecretError, SecretForm, SecretValue, Secrets};
use std::path::Path;
use std::time::Duration;

/// Everything but what lies in the secret store.
pub fn files(manifest: &Manifest, now: Timestamp) -> (Vec<Observed>, Vec<Term>) {
    let mut judge = Judge { now, observed: Vec::new(), terms: Term::dangers(manifest, now) };
    judge.listeners(manifest);
    judge.systems(manifest);
    for (at, ca) in authorities(manifest) {
        judge.authority(&at, ca);
    }
    (judge.observed, judge.terms)
}

/// What lies in the secret store.
pub async fn secrets(
    manifest: &Manifest,
    positions: &Positions,
    secrets: &Secrets,
    now: Timestamp,
) -> Vec<Observed> {
    let mut judge = Judge { now, observed: Vec::new(), terms: Vec::new() };
    for (at, reference) in positions.secrets() {
        match secrets.read(&reference).await {
            Ok(value) => judge.secret(&at, &value),
            Err(error) => judge.observed.push(unset(at, &error)),
        }
    }
    for (at, chain, key, part) in identities(manifest) {
        if let KeySource::Secret(reference) = key
            && let Ok(value) = secrets.read(reference).await
        {
            judge.identity(&at, chain, Some(value.expose()), part);
        }
    }
    // How long certificates are valid was said of their files.
    judge.observed.retain(|seen| !seen.finding.is_by_time() && *seen.finding != VALID_NOT_FOR_LONG);
    judge.observed
}

/// Where the manifest names a secret that cannot be used there, with what is wrong with it.
pub async fn secret_called(
    name: &str,
    positions: &Positions,
    secrets: &Secrets,
    now: Timestamp,
) -> Vec<String> {
    let mut judge = Judge { now, observed: Vec::new(), terms: Vec::new() };
    for (at, reference) in positions.secrets().into_iter().filter(|(_, secret)| secret.name() == name) {
        match secrets.read(&reference).await {
            Ok(value) => judge.secret(&at, &value),
            Err(error) => judge.observed.push(unset(at, &error)),
        }
    }
    judge.observed.into_iter().map(|seen| format!("{}: {}", seen.at.join("."), seen.message)).collect()
}

/// That nobody looked, and why.
pub fn secrets_unseen(positions: &Positions, why: &str) -> Option<Observed> {
    let (at, _) = positions.secrets().into_iter().next()?;
    let message = format!("whether the secrets that are named are set was not looked up: {why}");
    let help = "check again where the bridge runs, as the user that it runs as";
    Some(Observed { finding: &SECRETS_NOT_LOOKED_UP, at, message, help: Some(help.to_owned()), part: None })
}

fn unset(at: Vec<String>, error: &SecretError) -> Observed {
    let (message, help) = match error {
        SecretError::Missing(name) => (
            format!("{}: there is no secret `{name}` in the store", owner(&at)),
            Some(format!("set it with `ironbridge secret set {name}`")),
        ),
        other => (format!("{}: {other}", owner(&at)), None),
    };
    Observed { finding: &SECRET_UNUSABLE, at, message, help, part: None }
}

/// Which end of a connection a certificate is for.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Server,
    Client,
}

struct Judge {
    now: Timestamp,
    observed: Vec<Observed>,
    /// For how long what is looked at is good.
    terms: Vec<Term>,
}

impl Judge {
    fn listeners(&mut self, manifest: &Manifest) {
        for (at, chain, key, part) in identities(manifest) {
            let key = match key {
                KeySource::File(path) => match material::read_private(path) {
                    Ok(key) => Some(key),
                    Err(error) => {
                        let refused = key_refused(&error, path);
                        self.say(&MATERIAL_UNUSABLE, below(&at, "key"), refused.0, refused.1);
                        continue;
                    }
                },
                KeySource::Secret(_) => None,
            };
            self.identity(&at, chain, key.as_ref().map(|key| key.as_slice()), part);
        }
        let bridge = &manifest.bridge;
        let Some(public) = &bridge.public_url else { return };
        let Some((name, listener)) = bridge.listener_called(None) else { return };
        let Some(declared) = &listener.certificate else { return };
        let Ok(Ok(file)) = material::read(&declared.chain).map(|bytes| CertificateFile::read(&bytes)) else {
            return;
        };
        if file.certificates.first().is_some_and(|leaf| !leaf.is_for(&public.host)) {
            let at = ["bridge", "listeners", name, "certificate", "chain"].map(str::to_owned).to_vec();
            let message = format!(
                "the certificate in {} is not for `{}`, the host of `public_url`",
                declared.chain.display(),
                public.host
            );
            self.say(&NAME_NOT_COVERED, at, message, None);
        }
    }

    /// What only shows when a connection is prepared: names that cannot be in a certificate, a machine without
    /// root certificates.
    fn systems(&mut self, manifest: &Manifest) {
        for (name, system) in &manifest.systems {
            let Some(http) = system.http() else { continue };
            // A CA file that is wrong is told of where it stands.
            let Ok(roots) = material::roots_or_system(http.ca.as_deref()) else { continue };
            if let Err(error) = Upstream::new(connect::settings(http, roots, None)) {
                let key = if http.server_name.is_some() { "server_name" } else { "url" };
                let at = ["systems", name, "http", key].map(str::to_owned).to_vec();
                let message = match &http.server_name {
                    Some(wanted) => format!("system `{name}`: no certificate can carry `{wanted}`: {error}"),
                    None => format!("system `{name}`: {error}"),
                };
                self.say(&MATERIAL_UNUSABLE, at, message, None);
            }
        }
    }

    /// A file of certificates that vouch for others.
    fn authority(&mut self, at: &[String], path: &Path) {
        let Some(file) = self.certificates(at, path) else { return };
        let vouching: Vec<&FiledCertificate> = file.certificates.iter().filter(|ca| ca.vouches).collect();
        let shown = path.display();
        let Some(first) = file.certificates.first() else { return };
        if vouching.is_empty() {
            let message = format!(
                "{shown} holds the certificate of `{}` itself, not that of the CA it comes from",
                first.subject
            );
            let help =
                "name the CA's certificate; `openssl x509 -in FILE -noout -issuer` says which CA it is";
            return self.say(&MATERIAL_UNUSABLE, at.to_vec(), message, Some(help.to_owned()));
        }
        let roots = material::read(path)
            .map_err(|error| error.to_string())
            .and_then(|pem| Roots::from_pem(&pem).map_err(|error| format!("{}: {error}", path.display())));
        if let Err(why) = roots {
            return self.say(&MATERIAL_UNUSABLE, at.to_vec(), why, None);
        }
        // Of several, the one that counts may be any; so one that is valid is enough.
        let longest = vouching.iter().max_by_key(|ca| (ca.not_before <= self.now, ca.not_after));
        if let Some(ca) = longest {
            self.validity(at, path, ca);
        }
    }

    /// A chain with its key, as far as the key is at hand.
    fn identity(&mut self, at: &[String], chain: &Path, key: Option<&[u8]>, part: Part) {
        let (chain_at, key_at) = (below(at, "chain"), below(at, "key"));
        let key_fault = key.and_then(|key| certificate_file::private_key(key).err());
        let swapped = key_fault == Some(certificate_file::PrivateKeyError::Certificate)
            && matches!(
                material::read(chain).map(|bytes| CertificateFile::read(&bytes)),
                Ok(Err(certificate_file::CertificateFileError::KeyOnly))
            );
        if swapped {
            let message = format!("{} holds the private key, and `key` the certificate", chain.display());
            return self.say(&MATERIAL_UNUSABLE, chain_at, message, Some("swap the two".to_owned()));
        }
        let Some(file) = self.certificates(&chain_at, chain) else { return };
        if let Some(fault) = key_fault {
            return self.say(&MATERIAL_UNUSABLE, key_at, format!("what `key` names {fault}"), None);
        }
        let Some(leaf) = file.certificates.first() else { return };
        if let (Some(key), Ok(pem)) = (key, material::read(chain))
            && let Err(error) = Identity::from_pem(&pem, key)
        {
            let message = format!("{}: {error}", chain.display());
            let help =
                "the chain begins with the certificate that was made for this key, then its intermediates";
            return self.say(&MATERIAL_UNUSABLE, key_at, message, Some(help.to_owned()));
        }
        let (fits, other) = match part {
            Part::Server => (leaf.server, "a server's"),
            Part::Client => (leaf.client, "a client's"),
        };
        if !fits {
            let message = format!(
                "the certificate of `{}` in {} may not be used as {other}: its extended key usage leaves that out",
                leaf.subject,
                chain.display()
            );
            self.say(&MATERIAL_UNUSABLE, chain_at.clone(), message, None);
        }
        self.validity(&chain_at, chain, leaf);
    }

    fn certificates(&mut self, at: &[String], path: &Path) -> Option<CertificateFile> {
        let message = match material::read(path).map(|bytes| CertificateFile::read(&bytes)) {
            Ok(Ok(file)) => return Some(file),
            Ok(Err(error)) => format!("{} {error}", path.display()),
            Err(error) => error.to_string(),
        };
        self.say(&MATERIAL_UNUSABLE, at.to_vec(), message, None);
        None
    }

    fn validity(&mut self, at: &[String], path: &Path, certificate: &FiledCertificate) {
        let FiledCertificate { subject, not_before, not_after, .. } = certificate;
        let what = format!("the certificate of `{subject}` in {}", path.display());
        let left = not_after.since(self.now);
        let said = || format!("{}: {what} is not valid today", owner(at));
        self.terms.push(Term::of(at, (*not_before, *not_after), self.now, said));
        if self.now >= *not_after {
            let message = format!("{what} has expired: it was valid until {}", day(*not_after));
            self.say(&NOT_VALID_NOW, at.to_vec(), message, Some("put a current one there".to_owned()));
        } else if self.now < *not_before {
            let message = format!("{what} is not valid before {}", day(*not_before));
            let help = "put a current one there, or correct this machine's clock";
            self.say(&NOT_VALID_NOW, at.to_vec(), message, Some(help.to_owned()));
        } else if left < SOON.min(not_after.since(*not_before) / 4) {
            let message = format!("{what} expires on {}", day(*not_after));
            self.say(&VALID_NOT_FOR_LONG, at.to_vec(), message, None);
        }
    }

    /// What a secret goes into decides what it may hold.
    fn secret(&mut self, at: &[String], value: &SecretValue) {
        if let Some(Err(why)) = form(at).map(|form| form.judge(value.expose())) {
            let help = "set it anew, without what is told of: ironbridge secret set NAME";
            self.say(&SECRET_UNUSABLE, at.to_vec(), format!("the secret {why}"), Some(help.to_owned()));
        }
    }

    fn say(&mut self, finding: &'static Finding, at: Vec<String>, message: String, help: Option<String>) {
        let message = match owner(&at) {
            owner if message.starts_with(&owner) => message,
            owner => format!("{owner}: {message}"),
        };
        self.observed.push(Observed { finding, at, message, help, part: None });
    }
}

/// What the secret that is named here goes into. A private key is judged with its certificate.
fn form(at: &[String]) -> Option<SecretForm> {
    Some(match at.last()?.as_str() {
        "token" => SecretForm::Token,
        "password" => SecretForm::Password,
        "client_secret" => SecretForm::ClientSecret,
        "value" => SecretForm::FieldValue,
        "authorization" => SecretForm::Authorization,
        "secret_access_key" => SecretForm::SigningKey,
        _ => return None,
    })
}

/// Whoever orders a certificate needs days for it; one that lives for hours is renewed by a program.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

fn day(time: Timestamp) -> Date {
    Date { days: i64::try_from(time.seconds() / 86_400).unwrap_or(i64::MAX) }
}

fn key_refused(error: &MaterialError, path: &Path) -> (String, Option<String>) {
    match error {
        MaterialError::Exposed(_) => (
            format!("others can read the private key in {}", path.display()),
            Some(format!("chmod 600 {}", path.display())),
        ),
        other => (other.to_string(), None),
    }
}

/// Whose it is, for people: the keys that lead to it begin with that.
fn owner(at: &[String]) -> String {
    let at: Vec<&str> = at.iter().map(String::as_str).collect();
    match at.as_slice() {
        ["systems", name, ..] => format!("system `{name}`"),
        ["accounts", name, ..] => format!("account `{name}`"),
        ["bridge", "listeners", name, ..] => format!("listener `{name}`"),
        ["bridge", "issuers", name, ..] => format!("issuer `{name}`"),
        ["bridge", "audit", "mirrors", name, ..] => format!("mirror `{name}`"),
        ["bridge", "audit", "forward", name, ..] => format!("receiver `{name}`"),
        ["bridge", "audit", "witnesses", name, ..] => format!("witness `{name}`"),
        _ => "the manifest".to_owned(),
    }
}

fn below(at: &[String], key: &str) -> Vec<String> {
    at.iter().cloned().chain([key.to_owned()]).collect()
}

/// Every certificate with its key that the bridge shows: where, chain, key, to whom.
fn identities(manifest: &Manifest) -> Vec<(Vec<String>, &Path, &KeySource, Part)> {
    let place = |parts: &[&str]| parts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut found = Vec::new();
    for (name, listener) in &manifest.bridge.listeners {
        if let Some(files) = &listener.certificate {
            let at = place(&["bridge", "listeners", name, "certificate"]);
            found.push((at, &*files.chain, &files.key, Part::Server));
        }
    }
    for (name, system) in &manifest.systems {
        let certificate = system.http().and_then(|http| http.certificate.as_ref());
        if let Some(manifest::ClientCertificate::Files { chain, key }) = certificate {
            found.push((place(&["systems", name, "http", "certificate"]), &**chain, key, Part::Client));
        }
    }
    found
}

/// Every file of CA certificates that is named, and where.
fn authorities(manifest: &Manifest) -> Vec<(Vec<String>, &Path)> {
    let mut found: Vec<(Vec<String>, Option<&manifest::FilePath>)> = Vec::new();
    let mut add = |parts: &[&str], ca| found.push((parts.iter().map(ToString::to_string).collect(), ca));
    for (name, system) in &manifest.systems {
        let Some(http) = system.http() else { continue };
        add(&["systems", name, "http", "ca"], http.ca.as_ref());
        if let Some(manifest::TargetAuth::Oauth2(oauth2)) = &http.auth {
            add(&["systems", name, "http", "auth", "oauth2", "ca"], oauth2.ca.as_ref());
        }
    }
    for (name, account) in &manifest.accounts {
        if let Some(certificate) = &account.credentials.certificate {
            add(&["accounts", name, "credentials", "certificate", "ca"], certificate.ca.as_ref());
        }
    }
    for (name, issuer) in &manifest.bridge.issuers {
        add(&["bridge", "issuers", name, "ca"], issuer.ca.as_ref());
    }
    let audit = &manifest.bridge.audit;
    for (name, mirror) in &audit.mirrors {
        if let Mirror::S3(bucket) = mirror {
            add(&["bridge", "audit", "mirrors", name, "s3", "ca"], bucket.ca.as_ref());
        }
    }
    for (name, forward) in &audit.forward {
        let (kind, ca) = match forward {
            Forward::Syslog { receiver, .. } => ("syslog", receiver.ca.as_ref()),
            Forward::Otlp(receiver) => ("otlp", receiver.ca.as_ref()),
            Forward::Https { receiver, .. } => ("https", receiver.ca.as_ref()),
        };
        add(&["bridge", "audit", "forward", name, kind, "ca"], ca);
    }
    for (name, witness) in &audit.witnesses {
        add(&["bridge", "audit", "witnesses", name, "ca"], witness.ca.as_ref());
    }
    found.into_iter().filter_map(|(at, ca)| Some((at, &**ca?))).collect()
}
