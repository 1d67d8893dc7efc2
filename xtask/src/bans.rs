use crate::root::root;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

/// Reads the part of `deny.toml` that needs no network: banned crates, licences, sources. `cargo deny check` reads
/// the same file and adds the advisory database.
pub fn run() -> Result<()> {
    let rules: Rules = toml::from_str(&fs::read_to_string(root().join("deny.toml"))?).context("deny.toml")?;
    let mut faults = Vec::new();
    let mut packages = BTreeMap::new();
    for target in &rules.graph.targets {
        for package in metadata(target)?.built(&tree(target)?) {
            packages.insert(package.package.id.clone(), package);
        }
    }
    for built in packages.values() {
        rules.judge(built, &mut faults);
    }
    if !faults.is_empty() {
        faults.sort();
        bail!("dependencies break deny.toml:\n  {}", faults.join("\n  "));
    }
    println!("{} packages keep deny.toml", packages.len());
    Ok(())
}

#[derive(Deserialize)]
struct Rules {
    graph: Graph,
    bans: Bans,
    licenses: Licenses,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
    /// Crates that may depend on it all the same.
    #[serde(default)]
    wrappers: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: BTreeSet<String>,
}

impl Rules {
    fn judge(&self, built: &Built, faults: &mut Vec<String>) {
        let package = &built.package;
        for ban in self.bans.deny.iter().filter(|ban| ban.matches(package)) {
            for parent in built.parents.iter().filter(|parent| !ban.wrappers.contains(parent)) {
                faults.push(format!("{} is banned, and {parent} uses it: {}", package.name, ban.reason));
            }
        }
        if package.source.as_ref().is_some_and(|source| !source.starts_with("registry+")) {
            faults.push(format!("{} does not come from the registry: {:?}", package.name, package.source));
        }
        let exception = self.licenses.exceptions.iter().find(|exception| exception.name == package.name);
        let allowed = |license: &str| {
            self.licenses.allow.contains(license)
                || exception.is_some_and(|more| more.allow.contains(license))
        };
        let license = package.license.as_deref().unwrap_or("none stated");
        if !Expression(license).holds(&allowed) {
            faults.push(format!("{} has a licence that is not on the list: {license}", package.name));
        }
    }
}

impl Ban {
    /// `name`, or `name@X.Y` for one line of versions.
    fn matches(&self, package: &Package) -> bool {
        match self.name.split_once('@') {
            None => self.name == package.name,
            Some((name, line)) => {
                name == package.name
                    && package.version.strip_prefix(line).is_some_and(|rest| rest.starts_with('.'))
            }
        }
    }
}

fn metadata(target: &str) -> Result<Metadata> {
    let text = cargo(&["metadata", "--format-version", "1", "--locked", "--filter-platform", target])?;
    Ok(serde_json::from_str(&text)?)
}

/// Name and version of every package that is built for the target. Metadata alone also names packages that an
/// optional feature would bring in.
fn tree(target: &str) -> Result<BTreeSet<(String, String)>> {
    let text = cargo(&[
        "tree",
        "--workspace",
        "--locked",
        "--target",
        target,
        "--prefix",
        "none",
        "--format",
        "{p}",
    ])?;
    let package = |line: &str| {
        let (name, version) = line.split_once(" v")?;
        Some((name.to_owned(), version.split(' ').next()?.to_owned()))
    };
    Ok(text.lines().filter_map(package).collect())
}

fn cargo(arguments: &[&str]) -> Result<String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program).args(arguments).current_dir(root()).output()?;
    if !output.status.success() {
        bail!("cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize, Clone)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

/// A package that is really built, with the names of those that depend on it.
struct Built {
    package: Package,
    parents: Vec<String>,
}

impl Metadata {
    fn built(mut self, tree: &BTreeSet<(String, String)>) -> Vec<Built> {
        self.packages.retain(|package| tree.contains(&(package.name.clone(), package.version.clone())));
        let names: BTreeMap<_, _> =
            self.packages.iter().map(|package| (&package.id, &package.name)).collect();
        let mut parents: BTreeMap<&String, Vec<String>> = BTreeMap::new();
        for node in &self.resolve.nodes {
            if let Some(parent) = names.get(&node.id) {
                for dependency in &node.dependencies {
                    parents.entry(dependency).or_default().push((*parent).clone());
                }
            }
        }
        self.packages
            .iter()
            .map(|package| Built {
                package: package.clone(),
                parents: parents.get(&package.id).cloned().unwrap_or_default(),
            })
            .collect()
    }
}

/// An SPDX licence expression; the `/` of old manifests means `OR`.
struct Expression<'a>(&'a str);

impl Expression<'_> {
    fn holds(&self, allowed: &dyn Fn(&str) -> bool) -> bool {
        let spaced = self.0.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let mut words = spaced.split_whitespace().peekable();
        let holds = any(&mut words, allowed);
        holds && words.peek().is_none()
    }
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut holds = every(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        holds |= every(words, allowed);
    }
    holds
}

fn every(words: &mut Words, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut holds = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        holds &= one(words, allowed);
    }
    holds
}

fn one(words: &mut Words, allowed: &dyn Fn(&str) -> bool) -> bool {
    match words.next() {
        Some("(") => {
            let holds = any(words, allowed);
            words.next_if_eq(&")").is_some() && holds
        }
        Some(license) if words.next_if_eq(&"WITH").is_some() => {
            words.next().is_some_and(|exception| allowed(&format!("{license} WITH {exception}")))
        }
        Some(license) => allowed(license),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_expressions_are_understood() {
        let allowed = |license: &str| ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].contains(&license);
        for (expression, holds) in [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("MIT/GPL-3.0-only", true),
            ("GPL-3.0-only OR MIT", true),
            ("MIT AND GPL-3.0-only", false),
            ("ISC AND (GPL-3.0-only OR MIT)", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0", false),
            ("MIT )", false),
            ("(MIT", false),
            ("", false),
        ] {
            assert_eq!(Expression(expression).holds(&allowed), holds, "{expression}");
        }
    }
}
