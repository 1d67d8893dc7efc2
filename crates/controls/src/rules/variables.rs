//! What rules see, as the evaluator's values: only what they name, borrowed from the exchange.

use super::forms::VARIABLES;
use super::metered::{Mistaken, PATTERN, STEPS, Searched, Steps};
use super::needs::{Judged, Needs};
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelTimestamp, CelUInt,
};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use ironbridge_core::json::{Kind, Node};
use ironbridge_core::memory::{Charge, Full};
use ironbridge_core::{Account, Asked, Denial, Timestamp, code};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Longest text that a rule may compare inside a loop, in bytes.
const MAX_TEXT_IN_LOOP: usize = 256;

/// The parts of an exchange that rules see.
pub(super) struct Seen<'x> {
    pub body: Option<Node<'x>>,
    pub account: Option<&'x Account>,
    pub asked: &'x Asked,
    /// Members of the query that are lists.
    pub lists: &'x [Box<str>],
    pub address: Option<IpAddr>,
    pub now: Timestamp,
}

/// Why the rules cannot be evaluated for an exchange; names no value of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unseen {
    Undecided(&'static str),
    /// The body tells which number.
    Inexact,
    Full(Full),
}

type Converted<'x> = Result<Box<dyn Val + 'x>, Unseen>;

/// What the evaluator's values take: 112 bytes for each value and name, measured on lists of small objects.
pub(super) struct Costs {
    charge: Charge,
    values: usize,
}

const COST: usize = 112;

impl Costs {
    pub fn new(charge: Charge) -> Costs {
        Costs { charge, values: 0 }
    }

    fn add(&mut self, values: usize) -> Result<(), Unseen> {
        self.values = self.values.saturating_add(values);
        self.charge.grow_to(self.values.saturating_mul(COST)).map_err(Unseen::Full)
    }
}

/// The variables that rules name, in the order of [`VARIABLES`].
pub(super) struct Variables<'x>([Option<Box<dyn Val + 'x>>; VARIABLES.len()]);

impl<'x> Variables<'x> {
    /// For what names none.
    pub fn none() -> Variables<'x> {
        Variables([const { None }; VARIABLES.len()])
    }

    pub fn new(seen: &Seen<'x>, needs: &Needs, costs: &mut Costs) -> Result<Variables<'x>, Unseen> {
        seen.check_singles(needs)?;
        let mut variable = |name: &str, needs: &Needs| match name {
            "body" => seen.body.map(|body| json(body, needs, costs)).transpose(),
            "request" => request(seen, needs).map(Some),
            "account" => Ok(seen.account.map(|account| caller(account, needs))),
            "address" => match seen.address {
                Some(address) => Ok(Some(text(address.to_canonical().to_string()))),
                None => Err(Unseen::Undecided("nobody knows the address")),
            },
            _ => Ok(moment(seen.now)),
        };
        let mut variables = [const { None }; VARIABLES.len()];
        for (slot, name) in variables.iter_mut().zip(VARIABLES) {
            if let Some(needs) = needs.of(name) {
                *slot = variable(name, needs)?;
            }
        }
        Ok(Variables(variables))
    }
}

/// All that one rule can name.
pub(super) struct Scope<'r> {
    pub variables: &'r Variables<'r>,
    pub steps: &'r Steps,
    pub patterns: &'r [Searched],
}

impl VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        if name == STEPS {
            return Some(CowVal::Borrowed(self.steps));
        }
        if let Some(place) = name.strip_prefix(PATTERN) {
            return self
                .patterns
                .get(place.parse::<usize>().ok()?)
                .map(|pattern| CowVal::Borrowed(pattern as _));
        }
        let place = VARIABLES.iter().position(|variable| *variable == name)?;
        self.variables.0.get(place)?.as_deref().map(CowVal::Borrowed)
    }
}

fn json<'x>(value: Node<'x>, needs: &Needs, costs: &mut Costs) -> Converted<'x> {
    // Of a part that is needed whole the parts are, so it is counted once.
    if needs.whole {
        costs.add(value.size())?;
        return whole(value);
    }
    Ok(match value.kind() {
        // Elements cannot be reached by a name.
        Kind::Array => Box::new(CelList::default()),
        Kind::Object => {
            let members = needs.named().filter_map(|(name, needs)| {
                let (name, member) = value.members().find(|(written, _)| written == name)?;
                Some(json(member, needs, costs).map(|value| (name, value)))
            });
            map(members.collect::<Result<Vec<_>, _>>()?)
        }
        _ => whole(value)?,
    })
}

fn whole(value: Node<'_>) -> Converted<'_> {
    Ok(match value.kind() {
        Kind::Null => Box::new(CelNull),
        Kind::Truth => Box::new(CelBool::from(value.truth() == Some(true))),
        Kind::Number => number(value)?,
        Kind::Text => Box::new(CelString::from(value.text().unwrap_or_default())),
        Kind::Array => Box::new(CelList::from(value.elements().map(whole).collect::<Result<Vec<_>, _>>()?)),
        Kind::Object => {
            let members = value.members().map(|(name, member)| Ok((name, whole(member)?)));
            map(members.collect::<Result<Vec<_>, Unseen>>()?)
        }
    })
}

/// JSON knows one kind of number, so 5 and 5.0 are the same integer to a rule.
fn number(value: Node<'_>) -> Converted<'_> {
    let Some(number) = value.number() else { return Ok(Box::new(CelNull)) };
    let signed = number.signed().or_else(|| i64::try_from(number.integer()?).ok());
    let unsigned = || number.integer().and_then(|integer| u64::try_from(integer).ok());
    Ok(match signed {
        Some(integer) => Box::new(CelInt::from(integer)),
        None => match unsigned() {
            Some(large) => Box::new(CelUInt::from(large)),
            None => Box::new(CelDouble::from(number.double().ok_or(Unseen::Inexact)?)),
        },
    })
}

fn request<'x>(seen: &Seen<'x>, needs: &Needs) -> Converted<'x> {
    let asked = seen.asked;
    let mut members: Vec<(Cow<'x, str>, Box<dyn Val + 'x>)> = Vec::new();
    if needs.of("method").is_some() {
        members.push(("method".into(), text(&*asked.verb)));
    }
    if needs.of("path").is_some() {
        members.push(("path".into(), text(&*asked.resource)));
    }
    if let Some(needs) = needs.of("params") {
        let parameters = asked.parameters.iter().map(|(name, value)| (&**name, &**value));
        members.push(("params".into(), texts(parameters, needs, &[])?));
    }
    if let Some(needs) = needs.of("query") {
        members.push(("query".into(), texts(asked.query.members(), needs, seen.lists)?));
    }
    Ok(map(members))
}

fn caller<'x>(account: &'x Account, needs: &Needs) -> Box<dyn Val + 'x> {
    let mut members: Vec<(Cow<'x, str>, Box<dyn Val + 'x>)> = Vec::new();
    for (name, value) in [("name", &account.name), ("system", &account.system)] {
        if needs.of(name).is_some() {
            members.push((name.into(), text(&**value)));
        }
    }
    map(members)
}

fn moment<'x>(now: Timestamp) -> Option<Box<dyn Val + 'x>> {
    let micros = i64::try_from(now.micros()).ok()?;
    let moment = chrono::DateTime::from_timestamp_micros(micros)?.fixed_offset();
    Some(Box::new(CelTimestamp::from(moment)))
}

/// A map of texts, and of lists of them. What is no list and comes twice is not decided: systems disagree on which one
/// counts.
fn texts<'x>(
    pairs: impl IntoIterator<Item = (&'x str, &'x str)>,
    needs: &Needs,
    lists: &[Box<str>],
) -> Converted<'x> {
    let mut members: HashMap<CelMapKey<'x>, Box<dyn Val + 'x>> = HashMap::new();
    let mut listed: BTreeMap<&'x str, Vec<Box<dyn Val + 'x>>> = BTreeMap::new();
    for (name, value) in pairs {
        if needs.of(name).is_none() {
            continue;
        }
        if lists.iter().any(|list| **list == *name) {
            listed.entry(name).or_default().push(text(value));
        } else if members.insert(CelMapKey::from(name), text(value)).is_some() {
            return Err(Unseen::Undecided("a parameter comes twice"));
        }
    }
    members.extend(listed.into_iter().map(|(name, values)| {
        let list: Box<dyn Val + 'x> = Box::new(CelList::from(values));
        (CelMapKey::from(name), list)
    }));
    Ok(Box::new(CelMap::from(members)))
}

fn text<'x>(text: impl Into<Cow<'x, str>>) -> Box<dyn Val + 'x> {
    Box::new(CelString::from(text.into()))
}

fn map<'x>(members: impl IntoIterator<Item = (Cow<'x, str>, Box<dyn Val + 'x>)>) -> Box<dyn Val + 'x> {
    let members: HashMap<CelMapKey<'x>, Box<dyn Val + 'x>> =
        members.into_iter().map(|(name, value)| (key(name), value)).collect();
    Box::new(CelMap::from(members))
}

fn key(name: Cow<'_, str>) -> CelMapKey<'_> {
    match name {
        Cow::Borrowed(name) => CelMapKey::from(name),
        Cow::Owned(name) => CelMapKey::String(name.into()),
    }
}

/// A rule judges a member by its name, and the target must not find another under it. Looked for in the parts of the
/// body that rules see.
pub(super) fn unmistakable(value: Node<'_>, needs: &Needs, judged: &Judged) -> Result<(), Denial> {
    match value.kind() {
        Kind::Array if needs.whole => {
            value.elements().try_for_each(|element| unmistakable(element, needs, judged))
        }
        Kind::Object => value.members().try_for_each(|(name, member)| {
            if let Some(meant) = judged.mistaken_for(&name, needs) {
                return Err(crate::body::mistakable(
                    member,
                    format_args!("`{meant}`"),
                    "which a rule judges",
                ));
            }
            needs.of(&name).map_or(Ok(()), |needs| unmistakable(member, needs, judged))
        }),
        _ => Ok(()),
    }
}

/// As [`unmistakable`], of a name that was found when a rule was evaluated.
pub(super) fn mistaken(seen: &Seen<'_>, names: &Mistaken) -> Denial {
    let is_one = |name: &str| names.iter().any(|mistaken| **mistaken == *name);
    match names.iter().find_map(|name| seen.body.and_then(|body| found(body, name))) {
        Some(member) => crate::body::mistakable(member, "another name", "which a rule judges"),
        None if seen.asked.query.members().any(|(name, _)| is_one(name)) => {
            Denial::new(&code::QUERY_AMBIGUOUS)
                .detail("some systems read a name in it as another, which a rule judges")
        }
        // A rule may have joined it to something.
        None => Denial::new(&code::JSON_NAME_REFUSED),
    }
}

/// Bodies are bounded in depth, so this is too.
fn found<'b>(value: Node<'b>, sought: &str) -> Option<Node<'b>> {
    match value.kind() {
        Kind::Array => value.elements().find_map(|element| found(element, sought)),
        Kind::Object => value
            .members()
            .find_map(|(name, member)| if name == sought { Some(member) } else { found(member, sought) }),
        _ => None,
    }
}

impl Seen<'_> {
    /// Refuses what would let a loop do more than look at its own element in each round.
    fn check_singles(&self, needs: &Needs) -> Result<(), Unseen> {
        for path in &needs.singles {
            let is_single = match &**path {
                [variable, path @ ..] if &**variable == "body" => {
                    self.body.is_none_or(|body| leads_to_single(body, path))
                }
                [variable, query, name] if &**query == "query" && self.lists.contains(name) => {
                    &**variable != "request"
                }
                [variable, ..] if &**variable == "request" => {
                    let query = self.asked.query.spelling();
                    self.asked.resource.len() <= MAX_TEXT_IN_LOOP && query.len() <= MAX_TEXT_IN_LOOP
                }
                // What remains is the operator's own text, an address or a moment.
                _ => true,
            };
            if !is_single {
                return Err(Unseen::Undecided(
                    "what is read inside a loop is no single value, or a long text",
                ));
            }
        }
        Ok(())
    }
}

fn leads_to_single(body: Node<'_>, path: &[Box<str>]) -> bool {
    match path.iter().try_fold(body, |value, name| value.member(name)) {
        None => true,
        Some(value) => match value.text() {
            Some(text) => text.len() <= MAX_TEXT_IN_LOOP,
            None => !matches!(value.kind(), Kind::Array | Kind::Object),
        },
    }
}
