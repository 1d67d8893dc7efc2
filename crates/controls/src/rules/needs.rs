//! What a rule looks at.

use ironbridge_core::json::common_name;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What of the variables a rule looks at: a tree of member names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Everything below.
    pub whole: bool,
    members: BTreeMap<Box<str>, Needs>,
    /// Paths that a loop reads in every round, so that they must lead to single values. Kept at the root.
    pub singles: Vec<Box<[Box<str>]>>,
    /// Texts that stand in the rule. Kept at the root.
    pub texts: Vec<Box<str>>,
    /// Names that are selected anywhere. Kept at the root.
    pub selected: Vec<Box<str>>,
}

static WHOLE: Needs = Needs {
    whole: true,
    members: BTreeMap::new(),
    singles: Vec::new(),
    texts: Vec::new(),
    selected: Vec::new(),
};

impl Needs {
    /// What is needed of a member; `None` when it is not looked at.
    pub fn of(&self, name: &str) -> Option<&Needs> {
        if self.whole { Some(&WHOLE) } else { self.members.get(name) }
    }

    pub fn named(&self) -> impl Iterator<Item = (&str, &Needs)> {
        self.members.iter().map(|(name, needs)| (&**name, needs))
    }

    pub fn merge(&mut self, other: &Needs) {
        self.whole |= other.whole;
        for (name, needs) in &other.members {
            self.members.entry(name.clone()).or_default().merge(needs);
        }
        self.singles.extend_from_slice(&other.singles);
    }

    pub fn add(&mut self, path: &[&str]) {
        match path {
            [] => self.whole = true,
            [name, rest @ ..] => self.members.entry((*name).into()).or_default().add(rest),
        }
    }
}

/// The members of a body that rules judge by their names.
#[derive(Debug)]
pub(super) struct Judged {
    selected: Alike,
    /// Where a rule looks at all members, any text in it may be the name of one, as in `"admin" in body.flags`.
    texts: Alike,
}

/// By what is common to those that are alike, so that a name of a body is looked up once, however many are judged.
type Alike = HashMap<String, Vec<Box<str>>>;

impl Judged {
    pub fn by<'n>(rules: impl Iterator<Item = &'n Needs> + Clone) -> Judged {
        let alike = |names: Vec<&Box<str>>| {
            let mut alike = Alike::new();
            for name in names.into_iter().collect::<BTreeSet<_>>() {
                alike.entry(common_name(name)).or_default().push(name.clone());
            }
            alike
        };
        Judged {
            selected: alike(rules.clone().flat_map(|needs| &needs.selected).collect()),
            texts: alike(rules.flat_map(|needs| &needs.texts).collect()),
        }
    }

    /// The one that a member passes for to some reader, in an object of which this is looked at.
    pub fn mistaken_for(&self, name: &str, object: &Needs) -> Option<&str> {
        if self.selected.is_empty() && self.texts.is_empty() {
            return None;
        }
        if !object.whole && object.members.contains_key(name) {
            return None;
        }
        let common = common_name(name);
        let texts = object.whole.then(|| self.texts.get(&common)).flatten();
        let judged = self.selected.get(&common).into_iter().chain(texts).flatten();
        // What is selected elsewhere means nothing here, where it is known what is looked at.
        let is_here = |judged: &str| object.whole || object.members.contains_key(judged);
        judged.map(|judged| &**judged).find(|judged| *judged != name && is_here(judged))
    }
}
