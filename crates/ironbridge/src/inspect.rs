//! A manifest directory, read and compiled as far as that goes without a running bridge.

use crate::failure::Failure;
use crate::output;
use ironbridge_core::{Clock, SystemClock};
use ironbridge_engine::Plan;
use ironbridge_manifest::{Diagnostics, Manifest, Severity};
use ironbridge_secrets::Secrets;
use std::path::Path;

/// The manifest with its warnings and notes, or everything that is wrong with it, with the files and secrets that it
/// names and what is seen of the bridge's data directory.
pub fn observe(dir: &Path) -> Result<(Manifest, Diagnostics), Diagnostics> {
    let clock = SystemClock::default();
    let observed = Plan::observe(dir, &clock);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let plan = match runtime {
        Ok(runtime) => runtime.block_on(observed)?,
        // Without one nothing else would work either; the manifest can still be read.
        Err(_) => Plan::load(dir, &clock)?,
    };
    // What time has taken away keeps no bridge from running; whoever asks is told that it is wrong.
    if plan.findings.has_errors() {
        return Err(plan.findings);
    }
    Ok((plan.manifest, plan.findings))
}

/// The manifest, for commands that need some of it: whether a bridge could run is `check`'s business.
pub fn manifest(dir: &Path) -> Result<Manifest, Failure> {
    let plan = Plan::read(dir, &SystemClock::default());
    plan.map(|plan| plan.manifest).map_err(|found| failure(dir, &found))
}

/// Where the manifest names this secret, as the keys that lead there.
pub fn uses_of_secret(dir: &Path, name: &str) -> Result<Vec<String>, Failure> {
    let plan = Plan::read(dir, &SystemClock::default()).map_err(|found| failure(dir, &found))?;
    Ok(plan.uses_of_secret(name))
}

/// What is wrong with a secret where the manifest names it. A manifest that does not load is `check`'s business.
pub async fn faults_of_secret(dir: &Path, name: &str, secrets: &Secrets) -> Vec<String> {
    let clock = SystemClock::default();
    match Plan::read(dir, &clock) {
        Ok(plan) => plan.faults_of_secret(name, secrets, clock.now()).await,
        Err(_) => Vec::new(),
    }
}

/// For commands that cannot go on with such a manifest.
pub fn failure(dir: &Path, found: &Diagnostics) -> Failure {
    let message = format!("the manifest in {} does not load: {}", dir.display(), summary(found));
    Failure::new(message)
        .above(found.render_text(output::color_of_stderr()))
        .findings(found.to_json())
        .help("mend what is marked above; `ironbridge explain ID` says more about each")
}

/// How many errors, warnings and notes.
pub fn summary(found: &Diagnostics) -> String {
    let counts = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")];
    let counts = counts.map(|(severity, name)| (found.count(severity), name));
    let shown = counts.iter().filter(|(count, _)| *count > 0).map(|(count, name)| plural(*count, name));
    match shown.collect::<Vec<_>>() {
        none if none.is_empty() => "no findings".to_owned(),
        some => some.join(", "),
    }
}

pub fn plural(count: usize, name: &str) -> String {
    if count == 1 { format!("1 {name}") } else { format!("{count} {name}s") }
}
