//! Schema files: read, compiled, and doubted where they may not do what their author thinks.

use crate::{schema_doubts, schema_words};
use ironbridge_controls::schema::JsonSchema;
use ironbridge_core::json;
use ironbridge_core::memory::Charge;
use ironbridge_manifest::finding::{
    SCHEMA_CHECKS_NOTHING, SCHEMA_IN_VAIN, SCHEMA_UNFITTABLE, SCHEMA_WORD_UNKNOWN,
};
use ironbridge_manifest::{Observed, open_regular};
use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// A schema that a manifest names.
pub(super) struct ReadSchema {
    pub document: Value,
    pub compiled: JsonSchema,
}

/// A schema file may be so large. Real ones stay below 100 KiB.
const MAX_SCHEMA: u64 = 1024 * 1024;

impl ReadSchema {
    /// The schema, and what is doubtful about it, told `at` the keys that name it.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn of(file: &Path, at: &[&str]) -> Result<(ReadSchema, Vec<Observed>), String> {
        let shown = file.display();
        let opened = open_regular(file).map_err(|error| format!("{shown}: {error}"))?;
        let mut bytes = Vec::new();
        opened.take(MAX_SCHEMA + 1).read_to_end(&mut bytes).map_err(|error| format!("{shown}: {error}"))?;
        if u64::try_from(bytes.len()).is_ok_and(|size| size > MAX_SCHEMA) {
            return Err(format!("{shown} is larger than 1 MiB"));
        }
        let document = json::parse(&bytes).map_err(|fault| format!("{shown} is not JSON: {fault}"))?;
        if let Some(kind) = schema_words::other_document(&document) {
            return Err(format!("{shown} is {kind}, not a JSON Schema: as one it would accept every body"));
        }
        // A limit that is rounded would let pass what it says to refuse.
        let tape = json::Tape::read(bytes.into(), Charge::default());
        if let Some(pointer) = tape.ok().and_then(|tape| tape.first_inexact()) {
            return Err(format!("{shown}: the number at {pointer} has more digits than a double holds"));
        }
        let compiled = JsonSchema::compile(&document).map_err(|error| format!("{shown}: {error}"))?;
        let unknown = schema_words::unknown(&document).into_iter().map(|keyword| {
            let message = format!("{shown}: no draft of JSON Schema knows {keyword}, so it checks nothing");
            Observed::new(&SCHEMA_WORD_UNKNOWN, at, message)
        });
        let mut doubts: Vec<Observed> = unknown.collect();
        if schema_words::accepts_everything(&document) {
            doubts.push(Observed::new(&SCHEMA_CHECKS_NOTHING, at, format!("{shown} accepts every body")));
        }
        for (finding, told) in [
            (&SCHEMA_IN_VAIN, schema_doubts::in_vain(&document)),
            (&SCHEMA_UNFITTABLE, schema_doubts::unfittable(&document)),
        ] {
            let told = told.iter().map(|told| Observed::new(finding, at, format!("{shown}: {told}")));
            doubts.extend(told);
        }
        Ok((ReadSchema { document, compiled }, doubts))
    }
}
