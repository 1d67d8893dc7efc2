use anyhow::{Context, Result, ensure};
use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

/// A bridge to measure, and what it is called in the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub label: String,
    pub program: PathBuf,
}

impl Subject {
    pub fn unnamed(program: PathBuf) -> Subject {
        Subject { label: "Ironbridge".to_owned(), program }
    }
}

/// `NAME=PATH`, or a path alone. A name holds no slash, so that a path may hold an equals sign.
impl FromStr for Subject {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Subject, Infallible> {
        Ok(match text.split_once('=') {
            Some((name, path)) if !name.is_empty() && !name.contains('/') => {
                Subject { label: name.to_owned(), program: path.into() }
            }
            _ => Subject::unnamed(text.into()),
        })
    }
}

/// Each is there, and told from the others by its name.
pub fn resolve(subjects: &[Subject]) -> Result<Vec<Subject>> {
    let mut resolved: Vec<Subject> = Vec::new();
    for Subject { label, program } in subjects {
        let is_taken = resolved.iter().any(|other| other.label == *label);
        ensure!(!is_taken, "two bridges are called {label}: name each, as in `--binary before=PATH`");
        let program = program.canonicalize().with_context(|| format!("no {}", program.display()))?;
        resolved.push(Subject { label: label.clone(), program });
    }
    Ok(resolved)
}

/// What is said of one bridge, which is named only where there are several.
pub fn of(subjects: &[Subject], subject: &Subject, what: &str) -> String {
    if subjects.len() > 1 { format!("{}, {what}", subject.label) } else { what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_is_named_before_its_path() {
        for (text, label, program) in [
            ("before=old/ironbridge", "before", "old/ironbridge"),
            ("before=/a=b/ironbridge", "before", "/a=b/ironbridge"),
            ("target/release/ironbridge", "Ironbridge", "target/release/ironbridge"),
            ("./a=b/ironbridge", "Ironbridge", "./a=b/ironbridge"),
            ("=ironbridge", "Ironbridge", "=ironbridge"),
        ] {
            let expected = Subject { label: label.into(), program: program.into() };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn bridges_that_are_measured_together_are_there_and_have_names_of_their_own() {
        let here = Subject::unnamed(env!("CARGO_MANIFEST_DIR").into());
        let named = Subject { label: "after".into(), ..here.clone() };
        assert_eq!(resolve(&[here.clone(), named]).unwrap().len(), 2);
        assert!(resolve(&[here.clone(), here]).unwrap_err().to_string().contains("two bridges are called"));
        assert!(resolve(&[Subject::unnamed("/nowhere".into())]).is_err());
    }
}
