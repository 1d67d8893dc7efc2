//! Modules of a room that need each other in a circle cannot be read one after the other.
//!
//! What is seen: names behind `use`, and paths that begin with `crate`, `self`, `super`, a module of the room or a name
//! that was imported. A re-export is followed to where the name is declared, and is no need of its own. What is not seen:
//! methods, macros, fields whose type nobody names, and what only a unit test needs.

use crate::sources::{code_of, files, is_test, root, shown, without_words};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Modules that still stand in circles, each as a room and its name. May only shrink.
const LEFT: &str = include_str!("circles.txt");

#[test]
fn no_modules_need_each_other_in_a_circle() {
    let left: BTreeSet<&str> = LEFT.lines().collect();
    let mut found = BTreeSet::new();
    let mut faults = Vec::new();
    for room in rooms() {
        let needs = Room::read(&room).needs();
        for circle in circles(&needs) {
            let names: Vec<String> = circle.iter().map(|module| format!("{room} {module}")).collect();
            if !names.iter().all(|name| left.contains(name.as_str())) {
                faults.push(told(&room, &circle, &needs));
            }
            found.extend(names);
        }
    }
    let free = left.iter().filter(|name| !found.contains(**name));
    faults.extend(free.map(|name| format!("{name} is in no circle now: take it out of circles.txt")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn told(room: &str, circle: &BTreeSet<String>, needs: &Needs) -> String {
    let mut text = format!("{room}: a circle of {}", circle.iter().cloned().collect::<Vec<_>>().join(", "));
    for module in circle {
        for (other, why) in needs[module].iter().filter(|(other, _)| circle.contains(*other)) {
            let why = why.iter().cloned().collect::<Vec<_>>().join(", ");
            text.push_str(&format!("\n  {module} needs {other}: {why}"));
        }
    }
    text
}

fn rooms() -> Vec<String> {
    let folders = fs::read_dir(root().join("crates")).unwrap();
    let mut rooms: Vec<String> =
        folders.map(|folder| format!("crates/{}", folder.unwrap().file_name().to_string_lossy())).collect();
    rooms.push("xtask".to_owned());
    rooms.sort();
    rooms
}

/// What a module needs of which other one.
type Needs = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Where each is reached from the other.
fn circles(needs: &Needs) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        needs.keys().map(|module| (module, reach(needs, module))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for module in needs.keys().filter(|module| reached[module].contains(module)) {
        if !found.iter().any(|circle| circle.contains(module)) {
            let both =
                |other: &&&String| reached[module].contains(**other) && reached[**other].contains(module);
            found.push(
                needs.keys().collect::<Vec<_>>().iter().filter(both).map(|other| (*other).clone()).collect(),
            );
        }
    }
    found
}

fn reach<'n>(needs: &'n Needs, from: &str) -> BTreeSet<&'n String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&String> = needs[from].keys().collect();
    while let Some(module) = open.pop() {
        if reached.insert(module) {
            open.extend(needs[module].keys());
        }
    }
    reached
}

/// The modules of a crate by their path, such as `keep::pattern`; the crate itself is `crate`.
struct Room {
    modules: BTreeMap<String, Module>,
}

/// What stands in the file of one module.
#[derive(Default)]
struct Module {
    /// Without comments, texts and imports.
    code: String,
    /// Where a name in it comes from, and whether it is handed on.
    imports: Vec<Import>,
}

struct Import {
    /// `*` for all names.
    name: String,
    path: Vec<String>,
    is_public: bool,
}

impl Room {
    fn read(folder: &str) -> Room {
        let source = root().join(folder).join("src");
        let mut modules = BTreeMap::new();
        for path in files(&[&format!("{folder}/src")], "rs").into_iter().filter(|path| !is_test(path)) {
            let text = fs::read_to_string(&path).unwrap();
            modules.insert(name_of(path.strip_prefix(&source).unwrap()), Module::read(code_of(&text)));
        }
        assert!(modules.contains_key(ROOT), "{} holds no crate", shown(&source));
        Room { modules }
    }

    fn needs(&self) -> Needs {
        let mut all = Needs::new();
        for (name, module) in &self.modules {
            let needs = all.entry(name.clone()).or_default();
            let used = words(&module.code);
            for import in &module.imports {
                if import.is_public && !used.contains(&*import.name) {
                    continue;
                }
                self.note(name, &import.path, needs);
            }
            for path in paths(&module.code) {
                self.note(name, &path, needs);
            }
        }
        all
    }

    fn note(&self, from: &str, path: &[String], needs: &mut BTreeMap<String, BTreeSet<String>>) {
        let Some((module, item)) = self.resolve(from, path, 0) else { return };
        if module != from && !item.is_empty() {
            needs.entry(module).or_default().insert(item);
        }
    }

    /// The module that declares what a path in another one names, and the name there.
    fn resolve(&self, from: &str, path: &[String], depth: usize) -> Option<(String, String)> {
        let (first, rest) = path.split_first()?;
        let mut module = match first.as_str() {
            "crate" => ROOT.to_owned(),
            "self" => from.to_owned(),
            "super" => parent(from)?,
            _ if self.modules.contains_key(&child(from, first)) => child(from, first),
            _ => return self.imported(from, path, depth),
        };
        for (at, step) in rest.iter().enumerate() {
            if step == "super" {
                module = parent(&module)?;
            } else if self.modules.contains_key(&child(&module, step)) {
                module = child(&module, step);
            } else {
                let rest = &rest[at..];
                let found = self.imported(&module, rest, depth);
                return found.or_else(|| self.declared(&module, step));
            }
        }
        Some((module, String::new()))
    }

    /// What a macro declares in one of several modules that are handed on whole is not looked for.
    fn declared(&self, module: &str, name: &str) -> Option<(String, String)> {
        let Module { imports, code } = self.modules.get(module)?;
        let is_its_own = declares(code, name) || !imports.iter().any(|import| import.name == "*");
        is_its_own.then(|| (module.to_owned(), name.to_owned()))
    }

    /// A path that begins with a name which the module took from elsewhere.
    fn imported(&self, module: &str, path: &[String], depth: usize) -> Option<(String, String)> {
        let Module { imports, code } = self.modules.get(module)?;
        let (first, rest) = path.split_first()?;
        // What a crate outside is called stands for itself.
        let known = imports.iter().filter(|import| import.path[0] != import.name || import.path.len() > 1);
        let of_name = known.clone().find(|import| import.name == *first);
        let declared = || declares(code, first);
        let of_all = || known.filter(|import| import.name == "*" && !declared());
        if depth > 8 {
            return None;
        }
        if let Some(import) = of_name {
            let whole: Vec<String> = import.path.iter().chain(rest).cloned().collect();
            return self.resolve(module, &whole, depth + 1);
        }
        of_all().find_map(|import| {
            let (of, _) = self.resolve(module, &import.path, depth + 1)?;
            let whole: Vec<String> = std::iter::once("self".to_owned()).chain(path.iter().cloned()).collect();
            let (found, item) = self.resolve(&of, &whole, depth + 1)?;
            self.modules
                .get(&found)
                .is_some_and(|module| declares(&module.code, &item))
                .then_some((found, item))
        })
    }
}

const ROOT: &str = "crate";

fn name_of(path: &Path) -> String {
    let text = path.with_extension("").to_string_lossy().replace('/', "::");
    let text = text.strip_suffix("::mod").unwrap_or(&text);
    if ["lib", "main"].contains(&text) { ROOT.to_owned() } else { text.to_owned() }
}

fn parent(module: &str) -> Option<String> {
    if module == ROOT {
        return None;
    }
    Some(module.rsplit_once("::").map_or(ROOT, |(parent, _)| parent).to_owned())
}

fn child(module: &str, name: &str) -> String {
    if module == ROOT { name.to_owned() } else { format!("{module}::{name}") }
}

fn declares(code: &str, name: &str) -> bool {
    const KINDS: [&str; 9] =
        ["fn", "struct", "enum", "trait", "type", "const", "static", "mod", "macro_rules!"];
    let tokens: Vec<&str> = tokens(code);
    tokens.windows(2).any(|pair| KINDS.contains(&pair[0]) && pair[1] == name)
}

impl Module {
    fn read(source: &str) -> Module {
        let mut module = Module::default();
        let text = without_words(source);
        let mut rest = text.as_str();
        while let Some((before, after)) = next_import(rest) {
            let (tree, behind) = after.split_once(';').unwrap_or((after, ""));
            let is_public = before.trim_end().ends_with(['b', ')']) && {
                let last = before.trim_end().rsplit(['\n', ';', '{', '}']).next().unwrap_or_default();
                last.trim_start().starts_with("pub")
            };
            module.code.push_str(before);
            // Below the margin `super` may be this module.
            if before.ends_with("\n") || before.is_empty() || is_public || !tree.starts_with("super") {
                import(&tokens(tree), &[], is_public, &mut module.imports);
            }
            rest = behind;
        }
        module.code.push_str(rest);
        // That a module is there is no need of it.
        let is_declaration =
            |line: &&str| line.ends_with(';') && line.split_whitespace().rev().nth(1) == Some("mod");
        module.code = module.code.lines().filter(|line| !is_declaration(line)).collect::<Vec<_>>().join("\n");
        module
    }
}

/// The text before and after the next `use`.
fn next_import(text: &str) -> Option<(&str, &str)> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find("use ")?;
        let line = text[..at].rsplit('\n').next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with("pub") && !line.contains("fn ") {
            return Some((&text[..at], &text[at + 4..]));
        }
        from = at + 4;
    }
}

/// Reads a tree of imports such as `crate::{a, b::{self, c as d}}`.
fn import(tree: &[&str], before: &[String], is_public: bool, found: &mut Vec<Import>) {
    let mut path: Vec<String> = before.to_vec();
    let mut at = 0;
    while let Some(token) = tree.get(at) {
        match *token {
            "{" => {
                for part in parts(&tree[at + 1..tree.len() - 1]) {
                    import(part, &path, is_public, found);
                }
                return;
            }
            "as" => {
                let name = tree[at + 1].to_owned();
                found.push(Import { name, path, is_public });
                return;
            }
            "::" => {}
            "self" if !path.is_empty() => {}
            "*" => {
                found.push(Import { name: "*".to_owned(), path, is_public });
                return;
            }
            step => path.push(step.to_owned()),
        }
        at += 1;
    }
    if let Some(name) = path.last().cloned() {
        found.push(Import { name, path, is_public });
    }
}

/// What stands between commas that are in no braces.
fn parts<'t, 's>(tree: &'t [&'s str]) -> Vec<&'t [&'s str]> {
    let mut deep = 0;
    let parts = tree.split(|token| {
        match *token {
            "{" => deep += 1,
            "}" => deep -= 1,
            _ => {}
        }
        *token == "," && deep == 0
    });
    parts.filter(|part| !part.is_empty()).collect()
}

/// Paths of at least two steps.
fn paths(code: &str) -> Vec<Vec<String>> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let mut path = Vec::new();
        while is_word(tokens[at]) && (path.is_empty() || tokens[at - 1] == "::") {
            path.push(tokens[at].to_owned());
            if tokens.get(at + 1) != Some(&"::") || at + 2 >= tokens.len() {
                break;
            }
            at += 2;
        }
        if path.len() > 1 {
            found.push(path);
        }
        at += 1;
    }
    found
}

fn words(code: &str) -> BTreeSet<&str> {
    tokens(code).into_iter().filter(|token| is_word(token)).collect()
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, double colons, and every other sign for itself.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            ':' if rest.starts_with("::") => 2,
            c if is_part(c) => rest.find(|c: char| !is_part(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        found.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    found
}
