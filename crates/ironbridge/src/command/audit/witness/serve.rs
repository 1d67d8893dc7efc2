use crate::command::audit::verify::parse_keys;
use crate::command::{block_on, home, init, run};
use crate::failure::{Failure, Outcome};
use crate::inspect;
use crate::output;
use ironbridge_manifest::{Bridge, Manifest, WitnessService};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first time it writes a manifest into the directory: a bridge without integrations that cosigns.
It is yours from then on: add logs to it, it is read again. Later starts need the directory only.
A log that was set back or forked is not cosigned any more: its own bridge shows that in
`ironbridge audit status`, and `ironbridge audit witness check` names it from here.

Example:
  ironbridge audit witness serve ~/witness --key \"$(cat acme-bridge.key)\" \\
    --address 0.0.0.0:8444 --url https://auditor.example:8444")]
pub struct Args {
    /// Directory of its manifest, made if it is not there; instead of -C
    #[arg(conflicts_with = "manifest")]
    dir: Option<PathBuf>,
    /// A key of the log that is cosigned, as kept from before; one for each log
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    /// The witness's name; its keys are named NAME/witness [default: the directory's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where it listens [default: 127.0.0.1:8444]
    #[arg(long, value_name = "ADDRESS")]
    address: Option<SocketAddr>,
    /// How bridges reach it: a URL with the name for its certificate [default: the address]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    manner: run::Manner,
}

const FILE: &str = "ironbridge.yaml";
const ADDRESS: &str = "127.0.0.1:8444";

pub fn run(manifest: &Path, args: &Args) -> Outcome {
    let dir = args.dir.as_deref().unwrap_or(manifest);
    let logs = logs(&args.key)?;
    let manifest = if has_manifest(dir) { inspect::manifest(dir)? } else { begin(dir, args, &logs)? };
    let bridge = &manifest.bridge;
    let service = agreed(dir, bridge, args, &logs)?;
    let home = home(&manifest)?;
    let signers = block_on(async { Ok(home.witness_signers(&bridge.name).await?) })?;
    let key = signers.first().map(|signer| signer.verifier_key()).unwrap_or_default();
    run::start(dir, &args.manner, &|running| tell(bridge, service, &key, running))
}

/// A key of each log, by the log's name.
fn logs(keys: &[String]) -> Result<BTreeMap<String, &str>, Failure> {
    let mut logs = BTreeMap::new();
    for text in keys {
        // A log signs with all its keys, so that the first of several is enough.
        let key = text.trim().lines().next().unwrap_or_default().trim();
        for verifier in parse_keys("--key", &[key.to_owned()])? {
            if logs.insert(verifier.name().to_owned(), key).is_some() {
                return Err(Failure::new(format!("two keys of the log {} are given", verifier.name()))
                    .help("give one: a log signs with all its keys"));
            }
        }
    }
    Ok(logs)
}

fn has_manifest(dir: &Path) -> bool {
    let is_yaml = |path: PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    fs::read_dir(dir)
        .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|entry| is_yaml(entry.path()))))
}

/// Writes the manifest; one that does not load is not left behind.
fn begin(dir: &Path, args: &Args, logs: &BTreeMap<String, &str>) -> Result<Manifest, Failure> {
    if logs.is_empty() {
        return Err(Failure::new("a new witness needs to know which logs it cosigns")
            .help("give a key of each: --key \"$(cat acme-bridge.key)\""));
    }
    if args.url.is_none() && args.address.is_some_and(|address| address.ip().is_unspecified()) {
        return Err(Failure::new("who listens on every address must say under which name bridges reach it")
            .help("add it: --url https://auditor.example:8444"));
    }
    let name = init::name(args.name.as_deref(), dir)?;
    let file = dir.join(FILE);
    init::write_new(&file, &text(&name, args, logs))?;
    let loaded = inspect::manifest(dir);
    match &loaded {
        Ok(_) => output::data(format_args!("wrote {}", file.display()))?,
        Err(_) => fs::remove_file(&file)?,
    }
    loaded
}

fn text(name: &str, args: &Args, logs: &BTreeMap<String, &str>) -> String {
    // A JSON string is one of YAML too.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let url = args.url.as_deref().map(|url| format!("\n  public_url: {}", quoted(url))).unwrap_or_default();
    let address = args.address.map_or_else(|| ADDRESS.to_owned(), |address| address.to_string());
    let logs: String =
        logs.iter().map(|(origin, key)| format!("\n        {}: {}", quoted(origin), quoted(key))).collect();
    format!(
        "\
# A witness: it cosigns the checkpoints of these logs as long as they only grow.
# Run it with `ironbridge audit witness serve` in this directory.
bridge:
  name: {}{url}
  data_dir: ./data                  # its keys, and what it has seen of the logs: never set it back
  listeners:
    api: {{ address: {} }}
  audit:
    witness:
      logs:                         # the key of each log, by the log's name{logs}
",
        quoted(name),
        quoted(&address),
    )
}

/// What the manifest says must be what the command line says, where that says anything.
fn agreed<'m>(
    dir: &Path,
    bridge: &'m Bridge,
    args: &Args,
    logs: &BTreeMap<String, &str>,
) -> Result<&'m WitnessService, Failure> {
    let differs = |what: &str| {
        let failure = Failure::new(format!("the manifest in {} {what}", dir.display()));
        failure.help("edit it, and start without options that it answers already")
    };
    let service = bridge.audit.witness.as_ref().ok_or_else(|| differs("is not that of a witness"))?;
    if let Some((origin, _)) = logs
        .iter()
        .find(|(origin, key)| !service.logs.iter().any(|(known, of)| **known == ***origin && **of == ***key))
    {
        return Err(differs(&format!("does not give this key to the log {origin}")));
    }
    if args.name.as_ref().is_some_and(|name| **name != *bridge.name) {
        return Err(differs(&format!("names the witness {}", &*bridge.name)));
    }
    if args.url.as_ref().is_some_and(|url| url.trim_end_matches('/') != bridge.origin()) {
        return Err(differs("has another URL"));
    }
    let listener = bridge.listener_called(service.listener.as_ref());
    if args.address.is_some_and(|address| listener.is_none_or(|(_, listener)| listener.address != address)) {
        return Err(differs("lets it listen elsewhere"));
    }
    Ok(service)
}

/// What the manifest of a bridge that asks needs.
fn tell(
    bridge: &Bridge,
    service: &WitnessService,
    key: &str,
    running: &run::Running<'_>,
) -> Result<(), Failure> {
    let Some((listener, declared)) = bridge.listener_called(service.listener.as_ref()) else { return Ok(()) };
    let address = running.addresses.iter().find(|(name, _)| **name == **listener);
    let url = match (&bridge.public_url, address) {
        (None, Some((_, address))) => format!("https://{address}"),
        _ => bridge.origin(),
    };
    let url = format!("{url}/{}", service.path.0.trim_matches('/'));
    if !running.for_people {
        tracing::info!(url, key, "cosigning");
        return Ok(());
    }
    let name = &*bridge.name;
    let (ca, copy) = match declared.certificate {
        None => (
            format!(", ca: ./{name}-ca.pem"),
            format!(" {name}-ca.pem is a copy of {}.", running.ca.display()),
        ),
        Some(_) => (String::new(), String::new()),
    };
    output::data(format_args!(
        "\nA bridge whose log it knows asks it with these lines below `bridge.audit`.{copy}\n  witnesses:\n    \
         {name}: {{ url: {url}, key: \"{key}\"{ca} }}"
    ))?;
    Ok(())
}
