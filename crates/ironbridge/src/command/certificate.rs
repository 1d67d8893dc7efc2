use super::{block_on, home, key};
use crate::failure::{Failure, Outcome};
use crate::inspect;
use crate::output::{self, FormatArg};
use crate::times;
use ironbridge_core::{Action, IdSource, Timestamp, action};
use ironbridge_identity::authority::{CertificateAuthority, SERVER_LIFETIME, Validity};
use ironbridge_manifest::{CertificateFiles, ClientCertificate, Manifest, San};
use ironbridge_seal::random::SystemRandom;
use serde_json::{Value, json};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Issue a client certificate for an account
    Issue(Issue),
    /// Print the internal CA's certificate, which callers trust
    Ca(Ca),
    /// List the bridge's certificates and how long they are valid
    List(List),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes ACCOUNT.crt and ACCOUNT.key, readable by you alone, and ca.pem, the bridge's CA.
There are no revocation lists. To take a certificate back before it expires, give the account
another `san` and issue the next: from the reload on, the old one belongs to nobody.

Example:
  ironbridge certificate issue order-service --out certificates")]
pub struct Issue {
    /// An account of the manifest with `certificate: { san: ... }`
    account: String,
    /// Directory to write to, made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How long it is valid, at most 366d
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = times::duration)]
    lifetime: Duration,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  ironbridge certificate ca > ca.pem && curl --cacert ca.pem https://localhost:8443/"
)]
pub struct Ca {
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(dir: &Path, command: Command) -> Outcome {
    let manifest = inspect::manifest(dir)?;
    match command {
        Command::Issue(args) => issue(&manifest, &args),
        Command::Ca(args) => ca(&manifest, &args),
        Command::List(args) => list(&manifest, &args),
    }
}

fn issue(manifest: &Manifest, args: &Issue) -> Outcome {
    let name = san(manifest, &args.account)?;
    if args.lifetime > LONGEST {
        let message = format!("a certificate may live {} at most", times::show_duration(LONGEST));
        return Err(Failure::new(message).help("give a shorter --lifetime, and issue the next one in time"));
    }
    let home = home(manifest)?;
    let authority = block_on(async { Ok(home.authority(&manifest.bridge.name).await?) })?;
    DirBuilder::new().recursive(true).mode(0o700).create(&args.out)?;
    let (certificate, private) =
        (args.out.join(format!("{}.crt", args.account)), args.out.join(format!("{}.key", args.account)));
    if let Some(taken) = [&certificate, &private].into_iter().find(|path| path.exists()) {
        let message = format!("{} exists already, and nothing is overwritten", taken.display());
        return Err(Failure::new(message).help("move it away, or give another directory"));
    }
    let issued = authority.issue_client(&name, args.lifetime)?;
    let now = home.clock.now();
    let id = IdSource::default().next(now, &SystemRandom);
    let action = Action::done(id, now, action::name::CERTIFICATE_ISSUE, &*issued.thumbprint);
    let action = action.account(&*args.account).fact("kind", "certificate");
    // Before anybody can have it.
    block_on(async { Ok(home.outbox().note(action).await?) })?;
    write_new(&private, issued.key_pem.as_bytes())?;
    write_new(&certificate, issued.chain_pem.as_bytes())?;
    let ca = args.out.join("ca.pem");
    fs::write(&ca, authority.root_pem())?;
    let expires = times::show(issued.validity.not_after);
    if args.format.is_json() {
        output::json(&json!({
            "account": args.account, "san": name, "certificate": certificate, "key": private, "ca": ca,
            "expires": expires, "thumbprint": issued.thumbprint,
        }))?;
    } else {
        for path in [&certificate, &private, &ca] {
            output::data(format_args!("wrote {}", path.display()))?;
        }
        output::data(format_args!("{} may call as {name} until {expires}", args.account))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// As keys and secrets may: whoever copies one has it for no longer.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The name by which the manifest knows the account's certificate.
fn san(manifest: &Manifest, name: &str) -> Result<String, Failure> {
    let account = key::account(manifest, name)?;
    let declared = account.credentials.certificate.as_ref();
    let refused = |why: &str, help: String| Err(Failure::new(format!("account `{name}` {why}")).help(help));
    let place = format!("accounts.{name}.credentials.certificate");
    match declared {
        None => refused(
            "has no certificate in the manifest",
            format!(
                "add to accounts.{name}.credentials: certificate: {{ san: spiffe://acme.example/{name} }}"
            ),
        ),
        Some(declared) if declared.ca.is_some() => refused(
            "has certificates of another CA",
            format!("ask that CA, or remove {place}.ca so that the internal CA's are accepted"),
        ),
        Some(declared) => match &declared.san {
            Some(San::Uri(san) | San::Dns(san) | San::Email(san)) => Ok(san.to_string()),
            None => refused(
                "is known by one certificate's thumbprint",
                format!("write `san` instead of `thumbprint` in {place}"),
            ),
        },
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error| Failure::new(format!("cannot write {}: {error}", path.display()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

fn ca(manifest: &Manifest, args: &Ca) -> Outcome {
    let authority = authority(manifest)?;
    if args.format.is_json() {
        let Validity { not_before, not_after } = authority.validity();
        output::json(&json!({
            "pem": authority.root_pem(),
            "not_before": times::show(not_before), "not_after": times::show(not_after),
        }))?;
    } else {
        output::data(authority.root_pem().trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn authority(manifest: &Manifest) -> Result<CertificateAuthority, Failure> {
    let home = home(manifest)?;
    block_on(async { Ok(home.authority(&manifest.bridge.name).await?) })
}

struct Row {
    used_by: String,
    from: String,
    validity: Option<Validity>,
    note: String,
}

fn list(manifest: &Manifest, args: &List) -> Outcome {
    let home = home(manifest)?;
    let (authority, now) = (authority(manifest)?, home.clock.now());
    let rows = rows(manifest, authority.validity(), now);
    if args.format.is_json() {
        output::json(&rows.iter().map(Row::to_json).collect::<Value>())?;
    } else {
        let rows = rows.into_iter().map(|row| {
            let until = times::show_or_dash(row.validity.map(|validity| validity.not_after));
            [row.used_by, row.from, until, row.note]
        });
        output::data(output::table(["USED BY", "FROM", "VALID UNTIL", "NOTE"], rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rows(manifest: &Manifest, ca: Validity, now: Timestamp) -> Vec<Row> {
    let internal = || Row {
        used_by: "internal CA".to_owned(),
        from: "the data directory".to_owned(),
        validity: Some(ca),
        note: note(Some(ca), now).to_owned(),
    };
    let listeners = manifest
        .bridge
        .listeners
        .iter()
        .map(|(name, listener)| row(format!("listener {name}"), listener.certificate.as_ref(), now));
    let systems = manifest.systems.iter().filter_map(|(name, system)| {
        let used_by = format!("toward {name}");
        match system.http()?.certificate.as_ref()? {
            ClientCertificate::Issued => Some(row(used_by, None, now)),
            ClientCertificate::Files { chain, .. } => Some(file_row(used_by, chain, now)),
        }
    });
    [internal()].into_iter().chain(listeners).chain(systems).collect()
}

fn row(used_by: String, files: Option<&CertificateFiles>, now: Timestamp) -> Row {
    match files {
        Some(files) => file_row(used_by, &files.chain, now),
        // It is kept in the running bridge's memory only.
        None => {
            let note = format!(
                "issued for {} when the bridge starts, renewed by itself",
                times::show_duration(SERVER_LIFETIME)
            );
            Row { used_by, from: "internal CA".to_owned(), validity: None, note }
        }
    }
}

fn file_row(used_by: String, chain: &Path, now: Timestamp) -> Row {
    let validity = fs::read_to_string(chain).ok().and_then(|pem| Validity::of_pem(&pem));
    Row { used_by, from: chain.display().to_string(), validity, note: note(validity, now).to_owned() }
}

fn note(validity: Option<Validity>, now: Timestamp) -> &'static str {
    match validity {
        None => "cannot be read",
        Some(validity) if now < validity.not_before => "not valid yet",
        Some(validity) if validity.not_after <= now => "expired",
        Some(validity) if validity.due(now) => "renew it now",
        Some(_) => "good",
    }
}

impl Row {
    fn to_json(&self) -> Value {
        json!({
            "used_by": self.used_by, "from": self.from, "note": self.note,
            "not_before": self.validity.map(|validity| times::show(validity.not_before)),
            "not_after": self.validity.map(|validity| times::show(validity.not_after)),
        })
    }
}
