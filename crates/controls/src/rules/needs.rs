//! What a rule looks at.

use ironbridge_core::json::are_alike;
use std::collections::{BTreeMap, BTreeSet};

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
    selected: Box<[Box<str>]>,
    /// Where a rule looks at all members, any text in it may be the name of one, as in `"admin" in body.flags`.
    texts: Box<[Box<str>]>,
}

impl Judged {
    pub fn by<'n>(rules: impl Iterator<Item = &'n Needs> + Clone) -> Judged {
        let sorted = |names: Vec<&Box<str>>| {
            let names: BTreeSet<Box<str>> = names.into_iter().cloned().collect();
            names.into_iter().collect()
        };
        Judged {
            selected: sorted(rules.clone().flat_map(|needs| &needs.selected).collect()),
            texts: sorted(rules.flat_map(|needs| &needs.texts).collect()),
        }
    }

    /// The one that a member passes for to some reader, in an object of which this is looked at.
    pub fn mistaken_for(&self, name: &str, object: &Needs) -> Option<&str> {
        let texts = if object.whole { &*self.texts } else { &[] };
        self.selected.iter().chain(texts).map(|judged| &**judged).find(|judged| are_alike(name, judged))
    }
}
