use super::{DataDir, block_on, home, tell_altered};
use crate::failure::{Failure, Outcome};
use crate::inspect;
use crate::nearest::suggestion;
use crate::output::{self, FormatArg};
use crate::times;
use ironbridge_core::Timestamp;
use ironbridge_engine::Home;
use ironbridge_identity::api_key::{ApiKey, KeyKind};
use ironbridge_manifest::{Account, Manifest};
use ironbridge_store::IssuedCredential;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Issue a key for an account and show it, once
    Issue(Issue),
    /// List issued keys: ids and times, never the keys
    List(List),
    /// Revoke a key at once
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The key alone goes to standard output, so that it can go straight to where it belongs. A running
bridge accepts it within a second.
An account may have two live keys of a kind: issue the next, bring it to the caller, then revoke
the first. The bridge keeps 10,000 of all accounts; where there is no room for another, it forgets
those that expired or were revoked first, from three days on.

Examples:
  ironbridge key issue order-service
  ironbridge key issue order-service --kind client-secret --lifetime 30d > secret.txt")]
pub struct Issue {
    /// An account of the manifest
    account: String,
    /// What to issue [default: what the account's credentials allow]
    #[arg(long)]
    kind: Option<Kind>,
    /// How long it lives, such as 90d; at most what the manifest allows [default: that]
    #[arg(long, value_name = "DURATION", value_parser = times::duration)]
    lifetime: Option<Duration>,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, clap::Args)]
pub struct List {
    /// Only this account's
    account: Option<String>,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A running bridge refuses the key within a second. The access tokens that its token endpoint gave
for a client secret end with it, and what is open with them within six seconds. Those of a secret
that merely expires live out their token_lifetime, at most an hour, and so do those that an earlier
version gave, which do not name their secret. Where the client has its next secret already, wait
that long before the first is revoked, and no call of its is refused.

Example:
  ironbridge key revoke 7Hq2xZ0aPfK")]
pub struct Revoke {
    /// The key's id, as `ironbridge key list` shows it
    id: String,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    format: FormatArg,
}

/// A key for the X-API-Key field, or a secret for client credentials at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    ApiKey,
    ClientSecret,
}

pub fn run(manifest: &Path, command: Command) -> Outcome {
    match command {
        Command::Issue(args) => issue(manifest, &args),
        Command::List(args) => list(manifest, &args),
        Command::Revoke(args) => revoke(manifest, &args),
    }
}

fn issue(dir: &Path, args: &Issue) -> Outcome {
    let manifest = inspect::manifest(dir)?;
    let account = account(&manifest, &args.account)?;
    let (kind, most) = allowed(account, args)?;
    let lifetime = args.lifetime.unwrap_or(most);
    if lifetime > most {
        let message = format!("the key may live {} at most", times::show_duration(most));
        let key = match kind {
            Kind::ApiKey => "api_key.lifetime",
            Kind::ClientSecret => "oauth_client.secret_lifetime",
        };
        let place = format!("accounts.{}.credentials.{key} in the manifest", args.account);
        return Err(Failure::new(message).help(format!("give a shorter --lifetime, or change {place}")));
    }
    let home = home(&manifest)?;
    let issued = block_on(async {
        let ring = home.key_ring(kind.ring()).await?;
        Ok(ring.issue(&args.account, lifetime, home.clock.now()).await?)
    })?;
    let expires = times::show(issued.expires);
    if args.format.is_json() {
        output::json(&json!({
            "id": issued.id, "kind": kind.name(), "account": args.account, "expires": expires,
            "key": issued.key.expose(),
        }))?;
    } else {
        output::data(issued.key.expose())?;
        let (id, account) = (&issued.id, &args.account);
        output::note(match kind {
            Kind::ApiKey => format!("API key {id} of {account}, until {expires}. It is shown only now."),
            Kind::ClientSecret => {
                format!("Secret {id} of client {account}, until {expires}. It is shown only now.")
            }
        });
    }
    Ok(ExitCode::SUCCESS)
}

pub fn account<'m>(manifest: &'m Manifest, name: &str) -> Result<&'m Account, Failure> {
    refuse_whole_key(name)?;
    manifest.accounts.get(name).ok_or_else(|| {
        let failure = Failure::new(format!("the manifest has no account `{name}`"));
        match suggestion(name, manifest.accounts.keys().map(|name| &**name)) {
            Some(help) => failure.help(help),
            None => failure.help("declare it under `accounts`"),
        }
    })
}

/// What to issue, and how long it may live.
fn allowed(account: &Account, args: &Issue) -> Result<(Kind, Duration), Failure> {
    let credentials = &account.credentials;
    let api_key = credentials.api_key.as_ref().map(|declared| (Kind::ApiKey, declared.lifetime));
    let client_secret =
        credentials.oauth_client.as_ref().map(|declared| (Kind::ClientSecret, declared.secret_lifetime));
    let found = match args.kind {
        Some(Kind::ApiKey) => api_key,
        Some(Kind::ClientSecret) => client_secret,
        None => api_key.or(client_secret),
    };
    found.ok_or_else(|| {
        let account = &args.account;
        let (what, key) = match args.kind {
            Some(Kind::ApiKey) => ("API keys", "api_key: { lifetime: 90d }"),
            Some(Kind::ClientSecret) => ("client secrets", "oauth_client: { token_lifetime: 10m }"),
            None => ("API keys or client secrets", "api_key: { lifetime: 90d }"),
        };
        Failure::new(format!("the manifest gives account `{account}` no {what}"))
            .help(format!("add to accounts.{account}.credentials: {key}"))
    })
}

fn list(manifest: &Path, args: &List) -> Outcome {
    args.account.as_deref().map_or(Ok(()), refuse_whole_key)?;
    let home = args.data_dir.home(manifest)?;
    let (keys, altered) = block_on(async {
        Ok((home.store.issued(args.account.as_deref()).await?, home.store.altered().await?))
    })?;
    if let Some(account) = args.account.as_deref().filter(|_| keys.is_empty()) {
        // Not where there is no manifest to ask: an account may have been taken out of it, too.
        let all = block_on(async { Ok(home.store.issued(None).await?) })?;
        let declared = if args.data_dir.is_named() { None } else { Some(inspect::manifest(manifest)?) };
        let declared: Vec<&str> =
            declared.iter().flat_map(|manifest| manifest.accounts.keys()).map(|name| &**name).collect();
        if !declared.contains(&account) {
            let mut known: Vec<&str> =
                declared.into_iter().chain(all.iter().map(|key| &*key.account)).collect();
            known.sort_unstable();
            known.dedup();
            let failure = Failure::new(format!("there is no account `{account}`, and no key of one"));
            return Err(match suggestion(account, known) {
                Some(help) => failure.help(help),
                None => failure,
            });
        }
    }
    tell_altered(&altered);
    let now = home.clock.now();
    if args.format.is_json() {
        output::json(&keys.iter().map(|key| to_json(key, now)).collect::<Value>())?;
    } else if keys.is_empty() {
        output::note("No keys yet; `ironbridge key issue ACCOUNT` issues one.");
    } else {
        let rows = keys.iter().map(|key| {
            [
                key.id.clone(),
                key.account.clone(),
                key.kind.name().to_owned(),
                state(key, now).to_owned(),
                times::show(key.created),
                times::show(key.expires),
                times::show_or_dash(key.last_used),
                times::show_or_dash(key.revoked),
            ]
        });
        let headings = ["ID", "ACCOUNT", "KIND", "STATE", "CREATED", "EXPIRES", "LAST USED", "REVOKED"];
        output::data(output::table(headings, rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn to_json(key: &IssuedCredential, now: Timestamp) -> Value {
    json!({
        "id": key.id, "account": key.account, "kind": key.kind.name(), "state": state(key, now),
        "created": times::show(key.created), "expires": times::show(key.expires),
        "last_used": key.last_used.map(times::show), "revoked": key.revoked.map(times::show),
    })
}

fn state(key: &IssuedCredential, now: Timestamp) -> &'static str {
    match key.revoked {
        Some(_) => "revoked",
        None if key.expires <= now => "expired",
        None => "live",
    }
}

fn revoke(manifest: &Path, args: &Revoke) -> Outcome {
    refuse_whole_key(&args.id)?;
    let home = args.data_dir.home(manifest)?;
    let key = block_on(revoke_in(&home, &args.id))?;
    let account = key.map(|key| key.account);
    if args.format.is_json() {
        output::json(&json!({ "id": args.id, "account": account, "revoked": true }))?;
    } else if let Some(account) = account {
        output::data(format_args!("{} of {account} is revoked", args.id))?;
    } else {
        output::data(format_args!("{} is revoked", args.id))?;
        output::note(
            "Another hand than this bridge's had changed or removed it in the store. It does not count any more, even\n\
             if it is put back as it was. Find out who can write store.sqlite.",
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// A key that is given where a name is meant is not repeated, with its prefix or without.
pub fn refuse_whole_key(text: &str) -> Result<(), Failure> {
    let whole = ["", "ibk_", "ibs_"].map(|prefix| format!("{prefix}{text}"));
    let Some(key) = whole.iter().find_map(|text| ApiKey::parse(text.as_bytes())) else { return Ok(()) };
    Err(Failure::new("that is a whole key, and now it stands in your shell's history")
        .help(format!("revoke it by its id: ironbridge key revoke {}", key.id())))
}

/// `None` where another hand had changed or removed it, so that nobody can tell whose it was.
async fn revoke_in(home: &Home, id: &str) -> Result<Option<IssuedCredential>, Failure> {
    let keys = home.store.issued(None).await?;
    let key = keys.into_iter().find(|key| key.id == id);
    if home.store.revoke(id, home.clock.now()).await? {
        return Ok(key);
    }
    Err(match key {
        None => Failure::new(format!("there is no key `{id}`")).help("`ironbridge key list` lists them"),
        Some(key) => {
            let when = times::show_or_dash(key.revoked);
            Failure::new(format!("key `{id}` was revoked already ({when})"))
        }
    })
}

impl Kind {
    const fn ring(self) -> KeyKind {
        match self {
            Kind::ApiKey => KeyKind::ApiKey,
            Kind::ClientSecret => KeyKind::ClientSecret,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Kind::ApiKey => "api-key",
            Kind::ClientSecret => "client-secret",
        }
    }
}
