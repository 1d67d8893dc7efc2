//! What rules see, as the evaluator's values: only what they name, borrowed from the exchange.

use super::compile::{Needs, VARIABLES};
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelTimestamp, CelUInt,
};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use ironbridge_core::{Account, RequestFacts, Timestamp};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;

/// Longest text that a rule may compare inside a loop, in bytes.
const MAX_TEXT_IN_LOOP: usize = 256;

/// The parts of an exchange that rules see.
pub(super) struct Seen<'x> {
    pub body: Option<&'x Value>,
    pub account: Option<&'x Account>,
    pub facts: &'x RequestFacts,
    pub address: IpAddr,
    pub now: Timestamp,
}

/// Why the rules cannot be evaluated for an exchange; names no value of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Undecided(pub &'static str);

type Converted<'x> = Result<Box<dyn Val + 'x>, Undecided>;

/// The variables that rules name, in the order of [`VARIABLES`].
pub(super) struct Variables<'x>([Option<Box<dyn Val + 'x>>; VARIABLES.len()]);

impl<'x> Variables<'x> {
    pub fn new(seen: &Seen<'x>, needs: &Needs) -> Result<Variables<'x>, Undecided> {
        seen.check_singles(needs)?;
        let variable = |name: &str, needs: &Needs| match name {
            "body" => Ok(seen.body.map(|body| json(body, needs))),
            "request" => request(seen.facts, needs).map(Some),
            "account" => Ok(seen.account.map(|account| caller(account, needs))),
            "address" => Ok(Some(text(seen.address.to_canonical().to_string()))),
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

impl VariableResolver for Variables<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let place = VARIABLES.iter().position(|variable| *variable == name)?;
        self.0.get(place)?.as_deref().map(CowVal::Borrowed)
    }
}

fn json<'x>(value: &'x Value, needs: &Needs) -> Box<dyn Val + 'x> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(truth) => Box::new(CelBool::from(*truth)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => Box::new(CelInt::from(integer)),
            (None, Some(large)) => Box::new(CelUInt::from(large)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(string) => Box::new(CelString::from(string.as_str())),
        Value::Array(items) if needs.whole => {
            Box::new(CelList::from(items.iter().map(|item| json(item, needs)).collect::<Vec<_>>()))
        }
        // Elements cannot be reached by a name.
        Value::Array(_) => Box::new(CelList::default()),
        Value::Object(members) if needs.whole => {
            map(members.iter().map(|(name, member)| (name.as_str(), json(member, needs))))
        }
        Value::Object(members) => map(needs.named().filter_map(|(name, needs)| {
            let (name, member) = members.get_key_value(name)?;
            Some((name.as_str(), json(member, needs)))
        })),
    }
}

fn request<'x>(facts: &'x RequestFacts, needs: &Needs) -> Converted<'x> {
    let mut members: Vec<(&str, Box<dyn Val + 'x>)> = Vec::new();
    if needs.of("method").is_some() {
        members.push(("method", text(&*facts.method)));
    }
    if needs.of("path").is_some() {
        members.push(("path", text(&*facts.path)));
    }
    if let Some(needs) = needs.of("params") {
        let parameters = facts.parameters.iter().map(|(name, value)| (&**name, &**value));
        members.push(("params", texts(parameters, needs)?));
    }
    if let Some(needs) = needs.of("query") {
        members.push(("query", texts(facts.query.members(), needs)?));
    }
    Ok(map(members))
}

fn caller<'x>(account: &'x Account, needs: &Needs) -> Box<dyn Val + 'x> {
    let mut members: Vec<(&str, Box<dyn Val + 'x>)> = Vec::new();
    for (name, value) in [("name", &account.name), ("system", &account.system)] {
        if needs.of(name).is_some() {
            members.push((name, text(&**value)));
        }
    }
    map(members)
}

fn moment<'x>(now: Timestamp) -> Option<Box<dyn Val + 'x>> {
    let micros = i64::try_from(now.micros()).ok()?;
    let moment = chrono::DateTime::from_timestamp_micros(micros)?.fixed_offset();
    Some(Box::new(CelTimestamp::from(moment)))
}

/// A map of texts. A name that comes twice is not decided: systems disagree on which one counts.
fn texts<'x>(pairs: impl IntoIterator<Item = (&'x str, &'x str)>, needs: &Needs) -> Converted<'x> {
    let mut members: HashMap<CelMapKey<'x>, Box<dyn Val + 'x>> = HashMap::new();
    for (name, value) in pairs {
        if needs.of(name).is_none() {
            continue;
        }
        if members.insert(CelMapKey::from(name), text(value)).is_some() {
            return Err(Undecided("a parameter comes twice"));
        }
    }
    Ok(Box::new(CelMap::from(members)))
}

fn text<'x>(text: impl Into<Cow<'x, str>>) -> Box<dyn Val + 'x> {
    Box::new(CelString::from(text.into()))
}

fn map<'x>(members: impl IntoIterator<Item = (&'x str, Box<dyn Val + 'x>)>) -> Box<dyn Val + 'x> {
    let members: HashMap<CelMapKey<'x>, Box<dyn Val + 'x>> =
        members.into_iter().map(|(name, value)| (CelMapKey::from(name), value)).collect();
    Box::new(CelMap::from(members))
}

impl Seen<'_> {
    /// Refuses what would let a loop do more than look at its own element in each round.
    fn check_singles(&self, needs: &Needs) -> Result<(), Undecided> {
        for path in &needs.singles {
            let is_single = match &**path {
                [variable, path @ ..] if &**variable == "body" => {
                    self.body.is_none_or(|body| leads_to_single(body, path))
                }
                [variable, ..] if &**variable == "request" => {
                    let query = self.facts.query.spelling();
                    self.facts.path.len() <= MAX_TEXT_IN_LOOP && query.len() <= MAX_TEXT_IN_LOOP
                }
                // What remains is the operator's own text, an address or a moment.
                _ => true,
            };
            if !is_single {
                return Err(Undecided("what is read inside a loop is no single value, or a long text"));
            }
        }
        Ok(())
    }
}

fn leads_to_single(body: &Value, path: &[Box<str>]) -> bool {
    match path.iter().try_fold(body, |value, name| value.get(&**name)) {
        None => true,
        Some(Value::String(text)) => text.len() <= MAX_TEXT_IN_LOOP,
        Some(value) => !value.is_array() && !value.is_object(),
    }
}
