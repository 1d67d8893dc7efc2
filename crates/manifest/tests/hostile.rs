//! Nothing that a file may hold makes loading panic, hang, or show a secret.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ironbridge_manifest::{Date, Files, load_sources};
use proptest::prelude::*;
use std::path::Path;

struct Any;

impl Files for Any {
    fn exists(&self, _: &Path) -> bool {
        true
    }
}

/// Loads, and renders whatever is found in every form.
fn survive(text: String) -> String {
    let today = Date::of(2026, 11, 21).unwrap();
    let found = match load_sources(vec![("manifest.yaml".into(), text)], &Any, today) {
        Ok(loaded) => loaded.findings,
        Err(found) => found,
    };
    [found.render_text(true), found.to_json().to_string()].concat()
}

const STANDARD: &str = include_str!("../cases/standard.txt");

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text(text in "\\PC*") {
        survive(text);
    }

    #[test]
    fn anything_like_yaml(text in "([a-c \\n\t:\\-\\[\\]{},&*!|>'\"#%@`?~\\r\u{feff}äé•]|bridge: |name: |<<: |systems:\n )*") {
        survive(text);
    }

    #[test]
    fn a_manifest_with_a_piece_replaced(at in 0usize..STANDARD.len(), length in 0usize..60, piece in "[ -~\n\t•]{0,12}") {
        let mut text = STANDARD.to_owned();
        let end = (at + length).min(text.len());
        text.replace_range(at..end, &piece);
        survive(text);
    }

    #[test]
    fn a_secret_is_never_shown(at in 0usize..STANDARD.len(), length in 0usize..40, piece in "[ -~\n]{0,6}") {
        // A mistake anywhere before or after must not make the password show.
        let mut text = STANDARD.to_owned();
        text.replace_range(at..(at + length).min(text.len()), &piece);
        let with_secret = text.replace("password: secret://sealed/erp", "password: zq9geheim7x");
        let shown = survive(with_secret);
        prop_assert!(!shown.contains("zq9geheim7x"), "{}", shown);
    }
}

#[test]
fn long_lines_and_many_keys_end() {
    survive(format!("bridge: {{ name: '{}' }}", "a".repeat(1_000_000)));
    survive("bridge: ".to_owned() + &"{a: ".repeat(200_000));
    survive("- ".repeat(300_000));
    survive((0..40_000).map(|n| format!("k{n}: v\n")).collect());
    survive((0..20_000).map(|_| "bridge: {}\n").collect());
    survive(format!("roles: {{ r: {{ permissions: [{}] }} }}", "x, ".repeat(200_000)));
    survive("? ".repeat(100_000));
    survive(
        "bridge:\n".to_owned() + &(0..500).map(|depth| " ".repeat(depth + 1) + "a:\n").collect::<String>(),
    );
}
