//! A manifest directory, read and compiled as far as that goes without a running bridge.

use crate::failure::Failure;
use crate::output;
use ironbridge_core::SystemClock;
use ironbridge_engine::Plan;
use ironbridge_manifest::{Diagnostics, Manifest, Severity};
use std::path::Path;

/// The manifest with its warnings and notes, or everything that is wrong with it.
pub fn inspect(dir: &Path) -> Result<(Manifest, Diagnostics), Diagnostics> {
    Plan::load(dir, &SystemClock::default()).map(|plan| (plan.manifest, plan.findings))
}

/// As [`inspect`], with what is seen of the bridge's data directory among the findings.
pub fn observe(dir: &Path) -> Result<(Manifest, Diagnostics), Diagnostics> {
    Plan::observe(dir, &SystemClock::default()).map(|plan| (plan.manifest, plan.findings))
}

/// The manifest, for commands that need some of it: warnings are `check`'s business.
pub fn manifest(dir: &Path) -> Result<Manifest, Failure> {
    inspect(dir).map(|(manifest, _)| manifest).map_err(|found| failure(dir, &found))
}

/// For commands that cannot go on with such a manifest.
pub fn failure(dir: &Path, found: &Diagnostics) -> Failure {
    let message = format!("the manifest in {} does not load: {}", dir.display(), summary(found));
    Failure::new(message)
        .above(found.render_text(output::color_of_stderr()))
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
