//! Whose data is it? (F1, F5)
//!
//! A place says where the id of a data subject stands: in a JSON body, as a JSON Pointer in which `*` stands for
//! every element of an array and every member of an object (as in keep lists), or in the path, as `{name}`. Bodies
//! are looked at before anything of them is held back.
//!
//! - An id is a text of 1 to 256 bytes, or an integer of 64 bits, which counts as the text of its digits.
//! - Any other text or number, `true` and `false`, and a list or an object that no other place goes on into, could not
//!   be recorded: who wraps an id would keep its data out of the trail. A request is refused with `subject-id-refused`
//!   and a reply with `reply-refused`.
//! - A member of a request that some reader takes for one on the way to an id (`ID` for `/customer/id`) is refused with
//!   `json-name-refused`: an id would be there for the target and not for the trail.
//! - Where a list stands on the way in a request and a place names a member, the ids in it would not be found: refused
//!   likewise, unless another place has a `*` there. A whole body that is a list, and what targets answer, may be another
//!   operation's; there nobody is found.
//! - Where nothing, `null` or an empty text stands, there is nobody. Of an object's members that a `*` at the end stands
//!   for, those that are texts and numbers are ids.
//!
//! An answer that is given again to a repeated request is not looked at: the first exchange's record names whom it
//! concerns.

use crate::keep::{PatternError, Step, parse};
use crate::order;
use ironbridge_core::json::{Kind, Node, Number, are_alike};
use ironbridge_core::{
    Control, Denial, Exchange, FieldError, Judgement, Reading, Reads, Row, Side, Subject, SubjectKeys,
    Verdict, code,
};
use ironbridge_seal::hash;
use std::collections::HashSet;
use std::sync::Arc;

/// Longest id, in bytes. Ours; an e-mail address has at most 254 (RFC 5321 §4.5.3.1.3).
const MAX_ID: usize = 256;

/// So many subjects in one exchange, request and reply together. Ours: their sealed ids still make a modest record.
const MAX_SUBJECTS: usize = 1000;

/// What is wrong with a member that passes for one on the way to an id.
const MISTAKEN: &str = "under which the id of a person is looked for";

/// Where to look; compile it once per load of the manifest and share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    pointers: Vec<Place>,
    parameters: Vec<String>,
}

/// A place in bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// As written, for messages.
    text: String,
    steps: Vec<Step>,
    /// Whether another place leads on from here, so that objects and lists are expected.
    goes_on: bool,
    /// Where another place that begins alike has a `*` instead of a name, so that a list is expected: how many steps
    /// are left there.
    lists: Vec<usize>,
}

impl Place {
    fn is_list_at(&self, left: usize) -> bool {
        self.lists.contains(&left)
    }
}

impl Places {
    /// Reads places such as `/items/*/customer/id` and `{customer_id}`.
    ///
    /// # Errors
    /// When one is neither a name in braces nor a JSON Pointer.
    pub fn compile<P: AsRef<str>>(places: impl IntoIterator<Item = P>) -> Result<Places, PatternError> {
        let mut compiled = Places { pointers: Vec::new(), parameters: Vec::new() };
        for place in places {
            let place = place.as_ref();
            match place.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(name) => compiled.parameters.push(name.to_owned()),
                None => {
                    let (text, steps) = (place.to_owned(), parse(place)?);
                    compiled.pointers.push(Place { text, steps, goes_on: false, lists: Vec::new() });
                }
            }
        }
        let all: Vec<Vec<Step>> = compiled.pointers.iter().map(|place| place.steps.clone()).collect();
        for place in &mut compiled.pointers {
            place.goes_on = all.iter().any(|other| leads_on(&place.steps, other));
            place.lists = all.iter().filter_map(|other| parts_at_star(&place.steps, other)).collect();
        }
        Ok(compiled)
    }

    /// Whether any of them is in a body. Then requests and replies must be JSON, and are held whole.
    pub fn reads_body(&self) -> bool {
        !self.pointers.is_empty()
    }

    /// What has to be read of the bodies of one side to look there.
    pub fn reads(&self, side: Side) -> Reads {
        if self.reads_body() { side.reads(Reading::Json) } else { Reads::NOTHING }
    }

    /// Tells the places in bodies from all others, in whatever order they are written.
    pub fn digest(&self) -> [u8; 32] {
        let mut texts: Vec<&[u8]> = self.pointers.iter().map(|place| place.text.as_bytes()).collect();
        texts.sort_unstable();
        texts.dedup();
        let lengths: Vec<[u8; 8]> = texts.iter().map(|text| text.len().to_be_bytes()).collect();
        let parts = lengths.iter().zip(texts).flat_map(|(length, text)| [&length[..], text]);
        hash::sha256_parts(&parts.collect::<Vec<_>>())
    }
}

/// Whether the steps of one place are the first of another, longer one.
fn leads_on(steps: &[Step], other: &[Step]) -> bool {
    let is_same = |(one, two): (&Step, &Step)| one == two || *one == Step::Star || *two == Step::Star;
    steps.len() < other.len() && steps.iter().zip(other).all(is_same)
}

/// How many steps are left where the other place has its first `*` that is a name here.
fn parts_at_star(steps: &[Step], other: &[Step]) -> Option<usize> {
    let at = steps.iter().zip(other).position(|(one, two)| one != two)?;
    let is_list = matches!((steps.get(at), other.get(at)), (Some(Step::Name(_)), Some(Step::Star)));
    is_list.then(|| steps.len() - at)
}

/// Puts the subjects of an exchange on it, each once, in the order in which they are found, with their keys.
///
/// More than 1,000 of them in one exchange are `subjects-too-many`. Without their keys the exchange is refused with
/// `audit-unavailable`, because its record could not name them. A reply that is not strict JSON is `reply-refused`.
#[derive(Clone)]
pub struct DataSubjects {
    side: Side,
    places: Arc<Places>,
    keys: Arc<dyn SubjectKeys>,
}

impl DataSubjects {
    /// Looks at the path and at the request's body.
    pub fn request(places: Arc<Places>, keys: Arc<dyn SubjectKeys>) -> DataSubjects {
        DataSubjects { side: Side::Request, places, keys }
    }

    /// Looks at the reply's body; of use only where a place [is in a body](Places::reads_body).
    pub fn reply(places: Arc<Places>, keys: Arc<dyn SubjectKeys>) -> DataSubjects {
        DataSubjects { side: Side::Reply, places, keys }
    }

    /// The ids that the exchange does not have yet.
    fn find(&self, exchange: &mut Exchange) -> Result<Vec<Box<str>>, Denial> {
        if self.side == Side::Reply {
            crate::body::check_reply_charset(exchange)?;
        }
        let mut found = Found::new(self.side, &exchange.subjects);
        let payload = match self.side {
            Side::Request => {
                found.parameters(&self.places, &exchange.asked.parameters)?;
                &mut exchange.request
            }
            Side::Reply => &mut exchange.reply,
        };
        let document = payload.document().filter(|document| !document.bytes().is_empty());
        if let Some(document) = document.filter(|_| self.places.reads_body()) {
            let body = document.json().map_err(|fault| match self.side {
                Side::Request => crate::body::refusal(fault),
                Side::Reply => crate::schema::reply_refusal(fault),
            })?;
            for place in &self.places.pointers {
                found.values(place, &place.steps, body.root())?;
            }
        }
        Ok(found.new)
    }

    async fn identify(&self, exchange: &mut Exchange, ids: Vec<Box<str>>) -> Verdict {
        let keys = self.keys.keys(&ids).await?;
        if keys.len() != ids.len() {
            return Err(Denial::new(&code::AUDIT_UNAVAILABLE).internal("not every subject got a key").into());
        }
        let subjects = ids.into_iter().zip(keys).map(|(id, owner)| Subject { id, owner });
        exchange.subjects.extend(subjects);
        Ok(())
    }
}

impl Control for DataSubjects {
    fn row(&self) -> &'static Row {
        match self.side {
            Side::Request => &order::REQUEST_SUBJECTS,
            Side::Reply => &order::REPLY_SUBJECTS,
        }
    }

    fn reads(&self) -> Reads {
        self.places.reads(self.side)
    }

    fn inspect(&self, exchange: &mut Exchange) -> Result<(), Box<Denial>> {
        exchange.found = self.find(exchange)?;
        Ok(())
    }

    fn judge<'a>(&'a self, exchange: &'a mut Exchange) -> Judgement<'a> {
        match std::mem::take(&mut exchange.found) {
            ids if ids.is_empty() => Judgement::PASS,
            ids => Judgement::Later(Box::pin(self.identify(exchange, ids))),
        }
    }
}

/// The ids of one exchange so far.
struct Found {
    side: Side,
    all: HashSet<Box<str>>,
    new: Vec<Box<str>>,
}

impl Found {
    fn new(side: Side, known: &[Subject]) -> Found {
        Found { side, all: known.iter().map(|subject| subject.id.clone()).collect(), new: Vec::new() }
    }

    fn parameters(&mut self, places: &Places, parameters: &[(Arc<str>, Box<str>)]) -> Result<(), Denial> {
        for wanted in &places.parameters {
            for (_, value) in parameters.iter().filter(|(name, _)| **name == **wanted) {
                self.text(&format!("{{{wanted}}}"), value)?;
            }
        }
        Ok(())
    }

    /// Follows the steps. Their number is bounded by that of the compiled place, at most 64.
    fn values(&mut self, place: &Place, steps: &[Step], value: Node<'_>) -> Result<(), Denial> {
        let Some((step, rest)) = steps.split_first() else { return self.value(place, value) };
        match (step, value.kind()) {
            (Step::Name(name), Kind::Object) => {
                self.unmistakable(value, name)?;
                value.member(name).map_or(Ok(()), |member| self.values(place, rest, member))
            }
            (Step::Star, Kind::Array) => value.elements().try_for_each(|item| self.values(place, rest, item)),
            // Not every member of an object is an id.
            (Step::Star, Kind::Object) => value
                .members()
                .filter(|(_, member)| !rest.is_empty() || matches!(member.kind(), Kind::Text | Kind::Number))
                .try_for_each(|(_, member)| self.values(place, rest, member)),
            // Of the whole body another operation's may be meant; below it, an id would be there and not be found.
            (_, Kind::Null) => Ok(()),
            (Step::Name(_), Kind::Array)
                if self.side == Side::Request
                    && steps.len() < place.steps.len()
                    && !place.is_list_at(steps.len()) =>
            {
                Err(self.no_id(&place.text))
            }
            _ => Ok(()),
        }
    }

    /// A target's answer is read by callers that know it as it is.
    fn unmistakable(&self, object: Node<'_>, name: &str) -> Result<(), Denial> {
        if self.side == Side::Reply {
            return Ok(());
        }
        match object.members().find(|(other, _)| are_alike(other, name)) {
            Some((_, member)) => Err(crate::body::mistakable(member, format_args!("`{name}`"), MISTAKEN)),
            None => Ok(()),
        }
    }

    fn value(&mut self, place: &Place, value: Node<'_>) -> Result<(), Denial> {
        match (value.text(), value.number(), value.kind()) {
            (Some(text), ..) => self.text(&place.text, &text),
            (None, Some(number), _) => match digits(number) {
                Some(digits) => self.text(&place.text, &digits),
                None => Err(self.no_id(&place.text)),
            },
            (.., Kind::Null) => Ok(()),
            (.., Kind::Array | Kind::Object) if place.goes_on => Ok(()),
            _ => Err(self.no_id(&place.text)),
        }
    }

    fn text(&mut self, place: &str, text: &str) -> Result<(), Denial> {
        if text.is_empty() || self.all.contains(text) {
            return Ok(());
        }
        if text.len() > MAX_ID {
            return Err(self.no_id(place));
        }
        if self.all.len() == MAX_SUBJECTS {
            return Err(self.too_many());
        }
        self.all.insert(text.into());
        self.new.push(text.into());
        Ok(())
    }

    fn no_id(&self, place: &str) -> Denial {
        let rule = format!("must be a text of at most {MAX_ID} bytes or an integer of 64 bits");
        match self.side {
            Side::Request => Denial::new(&code::SUBJECT_ID_REFUSED)
                .fields(vec![FieldError { pointer: place.to_owned(), rule }]),
            Side::Reply => Denial::new(&code::REPLY_REFUSED)
                .internal(format_args!("the id of a subject at `{place}` {rule}")),
        }
    }

    fn too_many(&self) -> Denial {
        let denial = Denial::new(&code::SUBJECTS_TOO_MANY);
        match self.side {
            Side::Request => denial,
            Side::Reply => denial.detail("The request has reached the target; its answer is too large."),
        }
    }
}

fn digits(number: Number<'_>) -> Option<String> {
    let signed = number.signed().map(|number| number.to_string());
    signed.or_else(|| number.unsigned().map(|number| number.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_path_and_body_are_searched_or_refused(
            place in "(/[a*~01]{0,2}){0,4}|\\{[a-c]\\}",
            raw in "\\PC{0,12}|(%[0-9a-f]{2}|[a-z]){0,8}",
            body in "[\\[\\]{}\"a:,0-9. ]{0,40}",
        ) {
            let Ok(places) = Places::compile([&place]) else { return Ok(()) };
            let mut found = Found::new(Side::Request, &[]);
            let _ = found.parameters(&places, &[("a".into(), raw.into())]);
            if let Ok(body) = ironbridge_core::json::Tape::read(body.into(), Default::default()) {
                for place in &places.pointers {
                    let _ = found.values(place, &place.steps, body.root());
                }
            }
            prop_assert!(found.new.iter().all(|id| (1..=MAX_ID).contains(&id.len())));
        }
    }
}
