//! Any text is a manifest or gives diagnostics that can be shown. A NUL separates two files that are merged.
#![no_main]

use ironbridge_manifest::{Date, Files, load_sources};
use libfuzzer_sys::fuzz_target;
use std::path::{Path, PathBuf};

fuzz_target!(|text: &str| {
    let sources = ["a.yaml", "b.yaml"].into_iter().zip(text.splitn(2, '\0'));
    let sources: Vec<(PathBuf, String)> = sources.map(|(name, text)| (name.into(), text.into())).collect();
    // 2026-11-21
    let today = Date { days: 20_778 };
    let (refused, diagnostics) = match load_sources(sources, &Everything, today) {
        Ok(loaded) => (false, loaded.findings),
        Err(diagnostics) => (true, diagnostics),
    };
    assert_eq!(diagnostics.has_errors(), refused);
    let _ = diagnostics.render_text(true);
    let _ = diagnostics.to_json();
});

/// Every file that a manifest names is there.
struct Everything;

impl Files for Everything {
    fn exists(&self, _path: &Path) -> bool {
        true
    }
}
