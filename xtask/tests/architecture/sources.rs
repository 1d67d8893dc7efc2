//! The sources of the workspace, as text.

use std::fs;
use std::path::{Path, PathBuf};

/// Every file below the folders whose name ends like this, by its path.
pub fn files(folders: &[&str], extension: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_symlink() || name == "target" || name == "node_modules" {
                continue;
            }
            if path.is_dir() {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|known| known == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in folders {
        walk(&root().join(folder), extension, &mut found);
    }
    found.sort();
    found
}

/// The workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// A path as it reads in a message.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// A source file before its unit tests.
pub fn code_of(source: &str) -> &str {
    source.split("#[cfg(test)]\nmod ").next().unwrap()
}

/// A source file's unit tests.
pub fn tests_of(source: &str) -> &str {
    source.split_once("#[cfg(test)]\nmod ").map_or("", |(_, tests)| tests)
}

/// Whether all of a file is tests.
pub fn is_test(path: &Path) -> bool {
    let text = shown(path);
    text.contains("/tests/") || text.ends_with("/tests.rs")
}

/// Lines that hold code: neither blank nor a comment alone.
pub fn lines_of_code(source: &str) -> usize {
    source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

/// The text with blanks for comments and for what stands between quotes, line for line.
pub fn without_words(source: &str) -> String {
    let mut text: Vec<char> = source.chars().collect();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let length = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['r', '"' | '#', ..] if !continues_word(&text, at) => raw_text(rest).unwrap_or(1),
            ['"', ..] => quoted(rest, '"'),
            // A lifetime has no second quote behind its first letter.
            ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(rest, '\''),
            _ => {
                at += 1;
                continue;
            }
        };
        if length > 1 {
            text[at..at + length].iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
        }
        at += length;
    }
    text.into_iter().collect()
}

fn continues_word(text: &[char], at: usize) -> bool {
    at > 0 && (text[at - 1].is_alphanumeric() || text[at - 1] == '_')
}

fn block_comment(text: &[char]) -> usize {
    let end = text.windows(2).position(|pair| pair == ['*', '/']);
    end.map_or(text.len(), |end| end + 2)
}

fn raw_text(text: &[char]) -> Option<usize> {
    let hashes = text[1..].iter().take_while(|c| **c == '#').count();
    if text.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let start = hashes + 2;
    let end = text[start..].windows(closing.len()).position(|part| part == closing.as_slice())?;
    Some(start + end + closing.len())
}

fn quoted(text: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}
