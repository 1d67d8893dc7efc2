//! Files and directories that a manifest names.

use super::{Wrong, report, scalar};
use crate::KeySource;
use crate::findings::finding;
use crate::keys::Read;
use crate::reader::Reader;
use crate::schema::Definitions;
use crate::yaml::Node;
use ironbridge_core::SecretName;
use serde_json::{Value, json};
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// A file that a manifest names. Written relative to the file that names it; held joined with that file's
/// directory, so it can be opened as it is. It was there when the manifest was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(PathBuf);

/// A directory that the bridge makes if it is not there. Written relative to the file that names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Directory(PathBuf);

impl Deref for FilePath {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Deref for Directory {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Read for FilePath {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let path = path(node, reader)?;
        if !reader.exists(&path) {
            let site = reader.site_of(node);
            let message = format!("there is no file `{}`", path.display());
            reader
                .report(&finding::FILE_MISSING, site, message)
                .label("not found")
                .help("the path is relative to the file that names it");
            return None;
        }
        Some(FilePath(path))
    }

    fn schema(_: &mut Definitions) -> Value {
        json!({ "type": "string", "title": "path", "minLength": 1, "examples": ["./ca/erp.pem"] })
    }
}

impl Read for Directory {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        path(node, reader).map(Directory)
    }

    fn schema(_: &mut Definitions) -> Value {
        json!({ "type": "string", "title": "path", "minLength": 1 })
    }
}

impl Read for KeySource {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match scalar(node, reader, "a path or a reference to a secret")? {
            text if text.starts_with("secret:") => SecretName::read(node, reader).map(KeySource::Secret),
            _ => FilePath::read(node, reader).map(KeySource::File),
        }
    }

    fn schema(_: &mut Definitions) -> Value {
        json!({ "type": "string", "title": "path or secret", "minLength": 1, "examples": ["./tls/key.pem", "secret://sealed/tls-key"] })
    }
}

fn path(node: &Node, reader: &mut Reader<'_>) -> Option<PathBuf> {
    const EXPECTED: &str = "a path, such as ./ca/erp.pem";
    let text = scalar(node, reader, EXPECTED)?;
    let wrong = if text.contains("-----BEGIN") {
        // Whether a key or a certificate is not worth telling apart: neither is shown.
        Wrong::secret("a path is expected here, not the file's contents")
            .help("put the contents into a file of their own, or into the secret store")
    } else if text.trim().is_empty() {
        Wrong::malformed("is no path")
    } else if text.len() > 1024 || text.chars().any(char::is_control) {
        reader.hide(node);
        let site = reader.site_of(node);
        reader.report(&finding::MALFORMED, site, "this is no path").label(format!("expected {EXPECTED}"));
        return None;
    } else {
        return Some(reader.resolve(text));
    };
    report(wrong, node, text, EXPECTED, reader);
    None
}
