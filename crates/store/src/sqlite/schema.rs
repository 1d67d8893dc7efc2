//! Whether the file's schema is this program's. Whoever may write the data directory may plant triggers, views and
//! indexes, or change a table's definition, and have the file itself undo what a command has just confirmed. So a file
//! that holds anything else, or lacks something, is not gone on with, and what a schema may do by itself is off.

use super::failure::{Failure, altered};
use crate::StoreError;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Nothing that stands in the file acts by itself, whatever the schema says: before anything of it is read.
pub(super) fn distrust(db: &Connection) -> rusqlite::Result<()> {
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    ] {
        db.set_db_config(setting, on)?;
    }
    db.pragma_update(None, "cell_size_check", true)
}

/// Changes with every change of the schema that SQLite makes. The transaction sees the file as it is now.
pub(super) fn cookie(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get(0))
}

/// Compares all of it, and has what the connection made of it before read again. In a transaction, so that it is read as
/// it was compared: who edits the schema by hand need not change the cookie.
///
/// # Errors
/// [`StoreError::Altered`] where it is not the one of this version, [`StoreError::Newer`] where a newer program was here.
pub(super) fn refuse_other(db: &Connection, version: i64) -> Result<(), Failure> {
    let found = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > KNOWN {
        return Err(StoreError::Newer { found, known: KNOWN }.into());
    }
    for (setting, ours) in [("user_version", version), ("application_id", 0), ("auto_vacuum", 0)] {
        if db.pragma_query_value(None, setting, |row| row.get::<_, i64>(0))? != ours {
            return Err(
                other(format!("its setting `{setting}` is another{}", way_out(unset(setting)))).into()
            );
        }
    }
    if db.pragma_query_value(None, "encoding", |row| row.get::<_, String>(0))? != "UTF-8" {
        return Err(other("its texts are not in UTF-8".to_owned()).into());
    }
    let (ours, mut found) = (parts_of(version)?, parts(db)?);
    for (name, part) in ours.iter() {
        match found.remove(name) {
            Some(same) if same == *part => {}
            Some(_) => return Err(other(format!("{} is another", told(name))).into()),
            None => return Err(other(format!("{} is missing", told(name))).into()),
        }
    }
    // With a table go its own indexes and triggers.
    let first = found.keys().min_by_key(|(kind, ..)| kind != "table");
    if let Some(name) = first {
        return Err(other(format!("{} was put there{}", told(name), way_out(removal(name)))).into());
    }
    db.pragma_update(None, "writable_schema", "RESET")?;
    Ok(())
}

/// For whoever did it: `ANALYZE`, a program that replicates the file, a look around with a shell.
fn way_out(sql: Option<String>) -> String {
    sql.map_or_else(String::new, |sql| {
        format!(" (if that was you, stop the bridge and run: sqlite3 store.sqlite '{sql}')")
    })
}

/// Takes it out again. A name that could say anything else to a shell or to SQLite is not repeated.
fn removal((kind, name, _): &Name) -> Option<String> {
    let kind = ["table", "view", "trigger", "index"].into_iter().find(|known| kind == known)?;
    let is_plain = name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
    let may_go = !["sqlite_sequence", "sqlite_schema", "sqlite_master"].contains(&&**name)
        && !name.starts_with("sqlite_autoindex_");
    (is_plain && may_go && name.len() <= LONGEST_NAME)
        .then(|| format!("DROP {} \"{name}\"", kind.to_ascii_uppercase()))
}

fn unset(setting: &str) -> Option<String> {
    match setting {
        "application_id" => Some("PRAGMA application_id = 0".to_owned()),
        "auto_vacuum" => Some("PRAGMA auto_vacuum = 0; VACUUM".to_owned()),
        _ => None,
    }
}

fn other(what: String) -> StoreError {
    altered(&format!("its schema is not this program's: {what}"))
}

/// Type, name and table.
type Name = (String, String, String);
/// What makes a part, word by word, of each row that has the name: versions of SQLite may put other spaces between them.
type Part = Vec<Option<Vec<String>>>;
type Parts = BTreeMap<Name, Part>;

/// What another hand wrote is shown as one short line.
fn told((kind, name, table): &Name) -> String {
    let short = |text: &String| text.escape_debug().take(LONGEST_NAME).collect::<String>();
    match name == table {
        true => format!("{} `{}`", short(kind), short(name)),
        false => format!("{} `{}` of `{}`", short(kind), short(name), short(table)),
    }
}

fn parts(db: &Connection) -> Result<Parts, Failure> {
    let mut parts = Parts::new();
    let mut roots = Vec::new();
    let mut select = db.prepare("SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let name = (row.get(0)?, row.get(1)?, row.get(2)?);
        roots.push(row.get::<_, Option<i64>>(3)?.unwrap_or(0));
        let sql: Option<String> = row.get(4)?;
        parts.entry(name).or_default().push(sql.map(|sql| words(&sql)));
    }
    let count = roots.len();
    roots.sort_unstable();
    roots.dedup();
    if roots.len() < count {
        return Err(other("two of its parts are in one place".to_owned()).into());
    }
    Ok(parts)
}

/// Ours hold neither comments nor quotes, so what is the same word by word holds none either.
fn words(sql: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in sql.split_ascii_whitespace() {
        let mut word = String::new();
        for letter in part.chars() {
            if letter == '_' || letter.is_alphanumeric() {
                word.push(letter);
                continue;
            }
            words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
            words.push(letter.to_string());
        }
        words.extend(Some(word).filter(|word| !word.is_empty()));
    }
    words
}

/// The schema that this program gives a store of a version.
fn parts_of(version: i64) -> Result<Parts, Failure> {
    static NEWEST: OnceLock<Parts> = OnceLock::new();
    let make = || {
        let steps = usize::try_from(version).ok().and_then(|steps| MIGRATIONS.get(..steps));
        let db = Connection::open_in_memory()?;
        for step in steps.unwrap_or_default() {
            db.execute_batch(step)?;
        }
        parts(&db)
    };
    match NEWEST.get() {
        Some(newest) if version == KNOWN => Ok(newest.clone()),
        None if version == KNOWN => make().map(|made| NEWEST.get_or_init(|| made).clone()),
        _ => make(),
    }
}

/// The step at index n takes a file from version n to n + 1; a step that was released is never changed.
pub(super) const MIGRATIONS: [&str; 8] = [
    include_str!("v1.sql"),
    include_str!("v2.sql"),
    include_str!("v3.sql"),
    include_str!("v4.sql"),
    include_str!("v5.sql"),
    include_str!("v6.sql"),
    include_str!("v7.sql"),
    include_str!("v8.sql"),
];
pub(super) const KNOWN: i64 = 8;
const LONGEST_NAME: usize = 64;
