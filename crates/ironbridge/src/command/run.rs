use crate::command::audit::accept_loss;
use crate::failure::{Failure, Outcome};
use crate::inspect;
use crate::log::{self, Log};
use crate::output;
use ironbridge_audit::{AuditError, FaultKind};
use ironbridge_engine::{Bridge, BuildError, ReloadError, ServiceError, StartError, Watch};
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Signals:
  SIGHUP           read the manifest again; if it has errors, the one in force stays
  SIGTERM, SIGINT  take no more connections, finish open exchanges, exit; another one, a
                   second or more later, exits now

Examples:
  ironbridge run
  ironbridge run /etc/ironbridge --log-format json --no-watch")]
pub struct Args {
    /// Directory of the manifest, instead of -C
    #[arg(conflicts_with = "manifest")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    manner: Manner,
}

/// How a bridge runs, whatever it is for.
#[derive(Debug, clap::Args)]
pub struct Manner {
    /// Do not read the manifest again when its files change; SIGHUP still does
    #[arg(long)]
    no_watch: bool,
    #[command(flatten)]
    log: log::Form,
}

/// A bridge that takes connections.
pub struct Running<'r> {
    /// By listener.
    pub addresses: &'r [(Arc<str>, SocketAddr)],
    /// The file with the CA that callers trust.
    pub ca: &'r Path,
    /// Whether people read standard output, rather than programs the log.
    pub for_people: bool,
}

/// Told once, after the addresses.
type Announce<'a> = &'a dyn Fn(&Running<'_>) -> Result<(), Failure>;

pub fn run(manifest: &Path, args: &Args) -> Outcome {
    start(args.dir.as_deref().unwrap_or(manifest), &args.manner, &|_| Ok(()))
}

/// Runs the bridge of this directory until it is told to stop.
pub fn start(dir: &Path, manner: &Manner, announce: Announce<'_>) -> Outcome {
    let log = Log::start(&manner.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(dir, manner, &log, announce));
    // Nothing of it is waited for any more.
    runtime.shutdown_background();
    // Whoever collects the log wants the reason there; and where nobody reads it, nothing else may wait for that either.
    match outcome {
        Err(failure) if !failure.is_silent() => {
            log.failure(&failure);
            Ok(ExitCode::FAILURE)
        }
        outcome => outcome,
    }
}

async fn serve(dir: &Path, manner: &Manner, log: &Log, more: Announce<'_>) -> Outcome {
    let mut signals = Signals::new()?;
    let started = tokio::select! {
        started = Bridge::start(dir) => started,
        () = signals.stop() => return Ok(ExitCode::SUCCESS),
    };
    let (bridge, findings) = started.map_err(|error| start_failure(dir, error))?;
    log.findings(&findings);
    // Before anybody is told that it runs: a change from then on must not be missed.
    let watch = if manner.no_watch { None } else { watch(&bridge, dir).await };
    announce(&bridge, manner, more).await?;
    attend(&bridge, watch, log, &mut signals).await;

    tracing::info!("stopping: open exchanges may finish; another signal stops at once");
    let mut hurried = false;
    let told_again = async {
        // Supervisors tell the process and then its group: that is one signal.
        let together = async {
            loop {
                signals.next().await;
            }
        };
        let _: Result<(), _> = tokio::time::timeout(ONE_SIGNAL, together).await;
        signals.stop().await;
        hurried = true;
    };
    let stopped = bridge.stop_by(told_again).await;
    stopped.trail.map_err(|error| unclosed(&error))?;
    if hurried {
        return Err(Failure::new("stopped at once; open exchanges were cut"));
    }
    tracing::info!(connections_cut = stopped.connections_cut, "stopped");
    Ok(ExitCode::SUCCESS)
}

/// Until it is told to stop.
async fn attend(bridge: &Bridge, mut watch: Option<Watch>, log: &Log, signals: &mut Signals) {
    /// Certificates are renewed weeks ahead; but a machine may have slept, or its clock may have been set.
    const RENEWAL: Duration = Duration::from_secs(60);
    /// What could not be renewed is not tried every minute.
    const AGAIN: Duration = Duration::from_secs(3600);
    let mut renewal = tokio::time::interval(RENEWAL);
    let mut tried: Option<Instant> = None;
    loop {
        let why = tokio::select! {
            told = signals.next() => match told {
                Told::Stop => return,
                Told::Reload => "SIGHUP",
            },
            () = changed(watch.as_ref()) => "its files changed",
            _ = renewal.tick() => {
                if tried.is_some_and(|tried| tried.elapsed() < AGAIN) || !bridge.renewal_due().await {
                    continue;
                }
                tried = Some(Instant::now());
                "a certificate is due"
            }
        };
        tokio::select! {
            () = reload(bridge, why, log) => {}
            // One that waits for a disk that hangs must not keep the bridge from being stopped.
            () = signals.stop() => return,
        }
        if tried.is_some() && !bridge.renewal_due().await {
            tried = None;
        }
        if let Some(watch) = &mut watch
            && let Err(error) = watch.follow(&bridge.files().await)
        {
            tracing::warn!(%error, "not all files of the manifest are watched");
        }
    }
}

async fn watch(bridge: &Bridge, dir: &Path) -> Option<Watch> {
    match Watch::new(dir, &bridge.files().await) {
        Ok(watch) => Some(watch),
        Err(error) => {
            tracing::warn!(%error, "the manifest is not watched; send SIGHUP after a change");
            None
        }
    }
}

async fn changed(watch: Option<&Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

async fn reload(bridge: &Bridge, why: &'static str, log: &Log) {
    match bridge.reload().await {
        Ok(reloaded) => {
            log.findings(&reloaded.findings);
            let took_ms = u64::try_from(reloaded.took.as_millis()).unwrap_or(u64::MAX);
            let (generation, integrations) = (reloaded.generation, reloaded.integrations);
            tracing::info!(why, generation, integrations, took_ms, "the manifest is read again and in force");
        }
        Err(error) => {
            if let ReloadError::Start(StartError::Manifest(findings)) = &error {
                log.findings(findings);
            }
            tracing::error!(why, %error, "the manifest is not taken over; the one before stays in force");
        }
    }
}

/// Where it listens, and which CA callers trust for that.
async fn announce(bridge: &Bridge, manner: &Manner, more: Announce<'_>) -> Result<(), Failure> {
    let ca = bridge.data_dir().join("ca.pem");
    fs::write(&ca, bridge.ca_pem())
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", ca.display())))?;
    let (addresses, chains) = (bridge.addresses().await, bridge.chains().await);
    let for_people = manner.log.is_for_people();
    let running = Running { addresses: &addresses, ca: &ca, for_people };
    if !for_people {
        for (listener, address) in &addresses {
            match chains.get(listener) {
                Some(chain) => {
                    tracing::info!(%listener, %address, certificate = %chain.display(), "listening");
                }
                None => tracing::info!(%listener, %address, ca = %ca.display(), "listening"),
            }
        }
        return more(&running);
    }
    let width = addresses.iter().map(|(listener, _)| listener.len()).max().unwrap_or(0).max(2);
    let mut lines: String = addresses
        .iter()
        .map(|(listener, address)| {
            let of = chains.get(listener).map(|chain| format!(" (certificate: {})", chain.display()));
            format!("\n  {listener:width$}  https://{address}{}", of.unwrap_or_default())
        })
        .collect();
    // Where every certificate is declared, callers trust whoever issued those, and we do not know them.
    if addresses.iter().any(|(listener, _)| !chains.contains_key(listener)) {
        let (label, shown) = ("CA", ca.display());
        lines.push_str(&format!("\n  {label:width$}  {shown} (curl --cacert {shown})"));
    }
    output::data(format_args!("Ironbridge {} is running.{lines}", env!("CARGO_PKG_VERSION")))?;
    more(&running)
}

/// Records are lost, or not signed yet: whoever stopped the bridge must not take that for a good end.
fn unclosed(error: &AuditError) -> Failure {
    let help = match error {
        AuditError::Unwritten(_) => {
            "these records are lost, though their exchanges crossed; the lines above say why the disk refused them"
        }
        _ => "every record is on disk; the next start integrates what is not under a checkpoint yet",
    };
    Failure::new(format!("stopped, but not in order: {error}")).help(help)
}

fn start_failure(dir: &Path, error: StartError) -> Failure {
    let help = match &error {
        StartError::Manifest(findings) => return inspect::failure(dir, findings),
        StartError::Build(BuildError::Bind { key, reason, .. }) => match reason.kind() {
            ErrorKind::AddrInUse => format!(
                "another program listens there; stop it, or change {key} (`ss -ltnp` shows which)"
            ),
            ErrorKind::PermissionDenied => format!(
                "ports below 1024 need a privilege; use a higher one in {key}, or grant CAP_NET_BIND_SERVICE"
            ),
            _ => format!("correct {key}"),
        },
        StartError::Descriptors => {
            "raise it to 1,024 at the least: `ulimit -n` in a shell, LimitNOFILE in a unit of systemd".into()
        }
        StartError::Service(ServiceError::Audit(AuditError::Locked(_))) => {
            "another bridge runs on this data directory; stop it first, or give this one its own `data_dir`"
                .into()
        }
        StartError::Service(ServiceError::Audit(AuditError::OtherName { found, .. })) => format!(
            "a bridge keeps its name: call it `{found}` again (bridge.name); for a new one, give it another `data_dir`. If it \
             never had that name, the directory is another bridge's, or another hand put its trail there"
        ),
        StartError::Service(ServiceError::Audit(AuditError::NotAsLeft(_))) => accept_loss::HELP.into(),
        StartError::Service(ServiceError::Audit(AuditError::Io { .. })) => UNREADABLE.into(),
        StartError::Service(ServiceError::Audit(AuditError::Damaged(fault)))
            if fault.kind == FaultKind::Unreadable =>
        {
            UNREADABLE.into()
        }
        StartError::Service(ServiceError::Audit(AuditError::Damaged(_))) => {
            "keep `audit/` in the data directory as evidence, and bring its `log/` back from a mirror or a backup".into()
        }
        _ => return Failure::from(error),
    };
    Failure::from(error).help(help)
}

const UNREADABLE: &str = "check the permissions, whether the disk is full or failing, and that it is a plain file or directory: if \
                          another hand put something else there, keep it as evidence, and bring back what was there from \
                          a mirror or a backup";

/// Signals to stop that come within this time are one.
const ONE_SIGNAL: Duration = Duration::from_secs(1);

/// The same number on Linux (but for MIPS, which is not built for), macOS and the BSDs: signal(7).
const SIGXFSZ: i32 = 25;

/// What the bridge is told from outside.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    /// Never waited for: it is there so that a write beyond RLIMIT_FSIZE fails as on a full disk, instead of ending the
    /// process.
    _file_too_long: Signal,
}

enum Told {
    Reload,
    Stop,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_too_long: signal(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    /// A SIGHUP that comes meanwhile waits for whoever reloads next.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
