use super::accept_loss::not_as_left;
use super::detail::Keyring;
use super::fault::tampered;
use super::file;
use crate::actor;
use crate::command::{block_on, open, open_as_it_lies};
use crate::failure::{Failure, Outcome};
use crate::inspect;
use crate::output;
use ironbridge_audit::{self as audit, AuditError, Fault, FaultKind, Log};
use ironbridge_core::OwnerTag;
use ironbridge_engine::{Home, HomeError};
use ironbridge_manifest::Manifest;
use ironbridge_net::address::Policy;
use ironbridge_net::fetch::GuardedClient;
use ironbridge_net::tls::Roots;
use ironbridge_publish::RemoteLog;
use ironbridge_seal::note;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Where the trail is.
#[derive(Debug, clap::Args)]
pub struct Trail {
    /// Read this trail, a copy of the data directory's `audit` or a log served at an https URL; the manifest is not
    /// read
    #[arg(long, value_name = "DIR|URL", conflicts_with = "manifest", value_parser = Place::parse)]
    trail: Option<Place>,
    /// Trust the server's certificate if it comes from this CA (PEM) [default: the system's]
    #[arg(long, value_name = "FILE", requires = "trail")]
    ca: Option<PathBuf>,
}

#[derive(Debug, Clone)]
enum Place {
    Directory(PathBuf),
    /// An `https` URL without query and fragment.
    Served(String),
}

/// Whose keys open personal detail.
#[derive(Debug, clap::Args)]
pub struct KeysArg {
    /// Open personal detail with the keys of this data directory [default: the manifest's]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

/// An opened trail.
pub struct Source {
    pub log: Log,
    /// The audit directory; `None` for a log that is served elsewhere.
    pub dir: Option<PathBuf>,
    /// The data directory, unless the trail was named itself.
    data_dir: Option<PathBuf>,
    /// As the trail.
    pub manifest: Option<Manifest>,
    /// Somebody was looked for, with keys of which some are missing.
    incomplete: Cell<bool>,
}

impl Trail {
    pub fn open(&self, manifest: &Path) -> Result<Source, Failure> {
        let (dir, manifest) = match &self.trail {
            Some(Place::Served(url)) => {
                return Ok(Source {
                    log: served(url, self.ca.as_deref())?,
                    dir: None,
                    data_dir: None,
                    manifest: None,
                    incomplete: Cell::new(false),
                });
            }
            Some(Place::Directory(_)) if self.ca.is_some() => {
                return Err(Failure::new("--ca has no use here: a directory is read without a connection"));
            }
            Some(Place::Directory(dir)) => (dir.clone(), None),
            None => {
                let help = "mend what is marked above, or name the trail itself: --trail data/audit";
                let manifest = inspect::manifest(manifest).map_err(|failure| failure.help(help))?;
                (ironbridge_engine::audit_dir(&manifest.bridge.data_dir), Some(manifest))
            }
        };
        let data_dir = manifest.as_ref().map(|manifest| manifest.bridge.data_dir.to_path_buf());
        let home = data_dir.as_deref().filter(|dir| Home::is_begun(dir));
        let home = home.map(|dir| Home::open(dir, actor::of_command())).transpose();
        let log = match Log::open(&dir) {
            Ok(log) => authenticated(log, home)?,
            Err(fault) if fault.kind == FaultKind::Missing => {
                return Err(no_log(&fault, &dir, home?.as_ref()));
            }
            Err(fault) => return Err(tampered(&fault)),
        };
        log.check_kept()?;
        Ok(Source { log, dir: Some(dir), data_dir, manifest, incomplete: Cell::new(false) })
    }
}

fn no_log(fault: &Fault, dir: &Path, home: Option<&Home>) -> Failure {
    if begun(home) {
        not_as_left(fault)
    } else if !dir.join("log").exists() {
        Failure::new(format!("there is no audit trail in {}", dir.display()))
            .help("the bridge begins it when it first runs: ironbridge run")
    } else {
        tampered(fault)
    }
}

/// Whether a bridge has written a trail here.
fn begun(home: Option<&Home>) -> bool {
    let anchor = home.map(|home| block_on(async { Ok(home.trail_anchor().await?) }));
    anchor.is_some_and(|anchor| anchor.is_ok_and(|anchor| anchor.is_some_and(|anchor| anchor.begun)))
}

/// Believes only what the bridge wrote, where its keys can be read. Whoever may read the trail only is told what that
/// means, and so is who looks at a trail that is not as it was left.
fn authenticated(log: Log, home: Result<Option<Home>, HomeError>) -> Result<Log, Failure> {
    let anchor = match home {
        Ok(None) => Ok(None),
        Ok(Some(home)) => block_on(async { Ok(home.trail_anchor().await?) }),
        Err(error) => Err(error.into()),
    };
    let anchor = anchor.unwrap_or_else(|failure| {
        output::note("Records that no checkpoint covers yet, and detail, are not authenticated:");
        failure.tell();
        None
    });
    let Some(anchor) = anchor else { return Ok(log) };
    log.clone().authenticated(&anchor).or_else(|fault| {
        output::note(format_args!("Records that no checkpoint covers yet are not authenticated: {fault}"));
        Ok(log)
    })
}

impl Place {
    fn parse(text: &str) -> Result<Place, String> {
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(Place::Directory(text.into())) };
        if !scheme.eq_ignore_ascii_case("https") {
            return Err("a served log is read over https only".to_owned());
        }
        if rest.contains(['?', '#', '@']) {
            return Err("a log's URL has no query, fragment or password".to_owned());
        }
        Ok(Place::Served(format!("https://{rest}")))
    }
}

fn served(url: &str, ca: Option<&Path>) -> Result<Log, Failure> {
    let roots = match ca {
        None => Roots::System,
        Some(path) => {
            let pem = file::read(path, note::MAX_BYTES)?;
            let wrong = |error| Failure::new(format!("{}: {error}", path.display()));
            Roots::from_pem(pem.as_bytes()).map_err(wrong)?
        }
    };
    let client = GuardedClient::new(&roots, Policy::Declared)?;
    Log::open_on(Arc::new(RemoteLog::new(url, Arc::new(client))?), "").map_err(|fault| match fault.kind {
        FaultKind::Missing => Failure::new(format!("no log is served at {url}"))
            .help("a bridge serves its log where `bridge.audit.serve` says, by default below /log"),
        FaultKind::Unreadable => Failure::new(format!("the log at {url} cannot be read: {}", fault.detail))
            .help("is it the address of the bridge, and does its certificate come from the CA of --ca?"),
        _ => tampered(&fault),
    })
}

impl Source {
    /// The data directory that belongs to the trail, if there is one with a store, as it lies there.
    pub fn home(&self) -> Result<Option<Home>, Failure> {
        self.begun().map(open_as_it_lies).transpose()
    }

    fn begun(&self) -> Option<&Path> {
        self.data_dir.as_deref().filter(|dir| Home::is_begun(dir))
    }

    /// What of trail and store is not as it was left, as a start judges it: what it refuses, or what lies beside the log
    /// wrongly, which it writes anew. Of a copy nothing, and while the bridge runs only of the store.
    pub fn judged(&self) -> Result<Result<Vec<Fault>, AuditError>, Failure> {
        let Some(home) = self.home()? else { return Ok(Ok(Vec::new())) };
        match block_on(async { Ok(home.demand_as_left().await) })? {
            Err(HomeError::NotAsLeft(fault)) => return Ok(Err(AuditError::NotAsLeft(fault))),
            judged => judged?,
        }
        // Whatever is wrong with the checkpoint, verification tells better.
        let Ok(head) = self.log.checkpoint(None) else { return Ok(Ok(Vec::new())) };
        let origin = head.origin;
        let options = block_on(async {
            let begun = home.trail_anchor().await?.is_some();
            Ok(if begun { Some(home.trail_options(&origin).await?) } else { None })
        })?;
        Ok(options.map_or(Ok(Vec::new()), |options| audit::Trail::examine(&options)))
    }

    /// The keys that were named, or those that belong to the trail.
    pub fn keyring(&self, keys: &KeysArg) -> Result<Option<Keyring>, Failure> {
        match &keys.keys {
            None => self.begun().map(|dir| Keyring::open(&open(dir)?, self.log.clone())).transpose(),
            Some(dir) if Home::is_begun(dir) => Keyring::open(&open(dir)?, self.log.clone()).map(Some),
            Some(dir) => Err(Failure::new(format!("{} is no data directory", dir.display()))
                .help("name the directory that the manifest calls `data_dir`")),
        }
    }

    /// Under which tag a person's detail lies. Where there is none, that is said.
    ///
    /// # Errors
    /// Where there is none, and nobody can tell whether there was: [`Source::end`] says so where there is one.
    pub fn subject(&self, id: &str, keys: &KeysArg) -> Result<Option<OwnerTag>, Failure> {
        let keyring = self.required_keyring(keys)?;
        self.incomplete.set(!keyring.is_whole()?);
        let tag = keyring.subject(id)?;
        if tag.is_none() {
            self.end()?;
            output::note("Nothing can be found of that person: never seen, or erased.");
        }
        Ok(tag)
    }

    /// How a command ends that read records, or looked for a person: what could not be read is told, and the command has
    /// not done what it was asked.
    pub fn end(&self) -> Outcome {
        if !self.incomplete.get() {
            return self.all_read();
        }
        Err(Failure::new(
            "what is found of that person may be incomplete: another hand than this bridge's has removed keys of data \
             subjects from the store, or put some back",
        )
        .help("find out who can write store.sqlite, and restore it from a backup; `ironbridge audit query --action \
               store.refuse` says since when, `--action subject.erase` who was erased"))
    }

    fn all_read(&self) -> Outcome {
        if self.log.went_by_index() {
            output::note(
                "An index told which records to read, and nothing authenticates it: `--whole` reads all of them, \
                 `ironbridge audit reindex` builds it anew.",
            );
        }
        let damage = self.log.damage();
        let Some(first) = damage.first() else { return Ok(ExitCode::SUCCESS) };
        let more = match damage.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let message = format!("not all of it could be read: {first}{more}");
        Err(Failure::new(message).help(
            "records without their detail are shown as they are, and a person's may be missing; \
             `ironbridge audit verify` says what differs, and a backup may have it",
        ))
    }

    /// As [`Source::keyring`], for what cannot be done without.
    pub fn required_keyring(&self, keys: &KeysArg) -> Result<Keyring, Failure> {
        self.keyring(keys)?.ok_or_else(|| {
            Failure::new("personal detail is sealed, and its keys are not beside this trail")
                .help("name the bridge's data directory: --keys DIR")
        })
    }
}
