//! A body that was read, as a list of where its values stand in the text: 12 bytes a value, where a tree of them
//! can take eighty times the text.

use super::reader::{Read, Reader, plain_length};
use super::{JsonFault, Number};
use crate::memory::Charge;
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A strict JSON text with its values' places.
#[derive(Debug)]
pub struct Tape {
    text: Bytes,
    slots: Vec<Slot>,
    /// 1 more than the place of a number that somebody read and that has no exact reading; 0 for none.
    inexact: AtomicU32,
    _charge: Charge,
}

/// One value, or one member's name, in the order of the text.
#[derive(Debug, Clone, Copy)]
struct Slot {
    start: u32,
    end: u32,
    /// Place after the last value within this one.
    next: u32,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Truth,
    /// A number.
    Number,
    /// A string.
    Text,
    /// A list of values.
    Array,
    /// Members with names.
    Object,
}

impl Tape {
    /// Reads a text, under `charge`.
    ///
    /// # Errors
    /// What is wrong with it, or [`JsonFault::Unheld`] where there is no room for its values.
    pub fn read(text: Bytes, mut charge: Charge) -> Result<Tape, JsonFault> {
        if u32::try_from(text.len()).is_err() {
            return Err(JsonFault::TooLong);
        }
        let (values, names) = count(&text);
        let slots = (values + names).saturating_mul(size_of::<Slot>());
        // While it is read, the names of open objects are kept too.
        let reading = slots.saturating_add(names.saturating_mul(size_of::<(Cow<'_, [u8]>, usize)>()));
        charge.grow_beside(reading, text.len()).map_err(JsonFault::Unheld)?;
        let list = Vec::with_capacity(values + names);
        let ((), slots) = Reader::read_whole(&text, list, value)?;
        charge.shrink_to(slots.capacity().saturating_mul(size_of::<Slot>()));
        Ok(Tape { text, slots, inexact: AtomicU32::new(0), _charge: charge })
    }

    /// The value that the whole text is.
    pub fn root(&self) -> Node<'_> {
        Node { tape: self, place: 0 }
    }

    /// Where a number stands (RFC 6901) that was read and has no exact reading, if one was.
    pub fn inexact(&self) -> Option<String> {
        let place = self.inexact.load(Relaxed).checked_sub(1)?;
        Some(self.pointer(place))
    }

    /// Where the first number stands that has no exact reading.
    pub fn first_inexact(&self) -> Option<String> {
        let places = 0..offset(self.slots.len());
        let mut numbers = places.filter_map(|place| Node { tape: self, place }.number());
        numbers.find(|number| !number.is_exact()).and_then(|number| {
            number.double();
            self.inexact()
        })
    }

    fn slot(&self, place: u32) -> Slot {
        let nothing = Slot { start: 0, end: 0, next: u32::MAX };
        usize::try_from(place).ok().and_then(|place| self.slots.get(place)).copied().unwrap_or(nothing)
    }

    fn written(&self, place: u32) -> &[u8] {
        let Slot { start, end, .. } = self.slot(place);
        let range = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
        self.text.get(range).unwrap_or_default()
    }

    fn pointer(&self, wanted: u32) -> String {
        let mut pointer = String::new();
        let mut at = self.root();
        while at.place != wanted {
            let holds = |node: &Node<'_>| (node.place..self.slot(node.place).next).contains(&wanted);
            let member = at.members().find(|(_, node)| holds(node));
            let element = || at.elements().enumerate().find(|(_, node)| holds(node));
            let Some((name, node)) =
                member.or_else(|| element().map(|(number, node)| (number.to_string().into(), node)))
            else {
                break;
            };
            pointer.push('/');
            pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
            at = node;
        }
        pointer
    }
}

fn value(reader: &mut Reader<'_, Vec<Slot>>) -> Read {
    let place = reader.out.len();
    let start = offset(reader.at());
    reader.out.push(Slot { start, end: 0, next: 0 });
    match reader.peek() {
        Some(b'{') => reader.members(|reader, _, name| {
            let next = offset(reader.out.len() + 1);
            reader.out.push(Slot { start: offset(name.start), end: offset(name.end), next });
            value(reader)
        })?,
        Some(b'[') => reader.elements(value)?,
        _ => {
            let start = reader.at();
            reader.scalar()?;
            let written = reader.text().get(start..reader.at()).unwrap_or_default();
            if is_beyond_doubles(written) {
                return Err(reader.malformed_at(start));
            }
        }
    }
    let (end, next) = (offset(reader.at()), offset(reader.out.len()));
    if let Some(slot) = reader.out.get_mut(place) {
        *slot = Slot { start, end, next };
    }
    Ok(())
}

/// Whether it is a number larger than any double: readers take it for infinity, for an error or for null.
fn is_beyond_doubles(written: &[u8]) -> bool {
    // Smaller ones have neither an exponent nor so many digits.
    let may_be = written.len() > 300 || written.iter().any(|byte| matches!(byte, b'e' | b'E'));
    let is_number = matches!(written.first(), Some(b'-' | b'0'..=b'9'));
    is_number
        && may_be
        && std::str::from_utf8(written).ok().and_then(|text| text.parse().ok()).is_some_and(f64::is_infinite)
}

/// The text is shorter than 4 GiB, and no value takes less than a byte of it.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// How many values and names a text has, if it is JSON; or more.
fn count(text: &[u8]) -> (usize, usize) {
    let (mut values, mut names, mut at) = (1, 0, 0);
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'[' | b'{' if matches!(text.get(at), Some(b']' | b'}')) => {}
            b',' | b'[' | b'{' => values += 1,
            b':' => names += 1,
            b'"' => loop {
                at += plain_length(text.get(at..).unwrap_or_default());
                match text.get(at) {
                    Some(b'\\') => at += 2,
                    _ => break at += 1,
                }
            },
            _ => {}
        }
    }
    (values, names)
}

/// A value of a [`Tape`].
#[derive(Debug, Clone, Copy)]
pub struct Node<'t> {
    tape: &'t Tape,
    place: u32,
}

impl<'t> Node<'t> {
    /// What it is.
    pub fn kind(self) -> Kind {
        match self.written().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::Text,
            Some(b't' | b'f') => Kind::Truth,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// The value as it stands in the text.
    pub fn written(self) -> &'t [u8] {
        self.tape.written(self.place)
    }

    /// The text that it stands in.
    pub fn tape(self) -> &'t Tape {
        self.tape
    }

    /// How many values and names it holds, itself among them.
    pub fn size(self) -> usize {
        let end = self.tape.slot(self.place).next;
        usize::try_from(end.saturating_sub(self.place)).unwrap_or(usize::MAX)
    }

    /// Tells it from every other value of the same body.
    pub fn place(self) -> u32 {
        self.place
    }

    /// Where it stands (RFC 6901).
    pub fn pointer(self) -> String {
        self.tape.pointer(self.place)
    }

    /// Its value, where it is `true` or `false`.
    pub fn truth(self) -> Option<bool> {
        (self.kind() == Kind::Truth).then(|| self.written() == b"true")
    }

    /// What a text says.
    pub fn text(self) -> Option<Cow<'t, str>> {
        (self.kind() == Kind::Text).then(|| said(self.written()))
    }

    /// Its value, where it is a number.
    pub fn number(self) -> Option<Number<'t>> {
        (self.kind() == Kind::Number)
            .then(|| Number::new(std::str::from_utf8(self.written()).unwrap_or_default(), self))
    }

    /// An object's members; nothing of any other value.
    pub fn members(self) -> Members<'t> {
        Members(self.within(Kind::Object))
    }

    /// An array's elements; nothing of any other value.
    pub fn elements(self) -> Elements<'t> {
        self.within(Kind::Array)
    }

    /// The member of this name.
    pub fn member(self, name: &str) -> Option<Node<'t>> {
        self.member_behind(name).0
    }

    /// The member of this name, and how many there are before it.
    pub fn member_behind(self, name: &str) -> (Option<Node<'t>>, usize) {
        let mut within = self.within(Kind::Object);
        let mut passed = 0;
        while let (Some(written), Some(value)) = (within.next(), within.next()) {
            if is_called(written.written(), name) {
                return (Some(value), passed);
            }
            passed += 1;
        }
        (None, passed)
    }

    /// Remembers that it was read and has no exact reading.
    pub(super) fn is_inexact(self) {
        self.tape.inexact.store(self.place.saturating_add(1), Relaxed);
    }

    fn within(self, kind: Kind) -> Elements<'t> {
        let end = if self.kind() == kind { self.tape.slot(self.place).next } else { 0 };
        Elements { tape: self.tape, next: self.place.saturating_add(1), end }
    }
}

/// Values in the order of the text.
#[derive(Debug, Clone)]
pub struct Elements<'t> {
    tape: &'t Tape,
    next: u32,
    end: u32,
}

impl<'t> Iterator for Elements<'t> {
    type Item = Node<'t>;

    fn next(&mut self) -> Option<Node<'t>> {
        let place = self.next;
        (place < self.end).then(|| {
            self.next = self.tape.slot(place).next;
            Node { tape: self.tape, place }
        })
    }
}

/// Members in the order of the text, by name.
#[derive(Debug, Clone)]
pub struct Members<'t>(Elements<'t>);

impl<'t> Iterator for Members<'t> {
    type Item = (Cow<'t, str>, Node<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        let name = self.0.next()?;
        Some((said(name.written()), self.0.next()?))
    }
}

/// What a string says that was read before, quotes included.
fn said(written: &[u8]) -> Cow<'_, str> {
    let plain = written.get(1..written.len().saturating_sub(1)).unwrap_or_default();
    if !plain.contains(&b'\\') {
        return Cow::Borrowed(std::str::from_utf8(plain).unwrap_or_default());
    }
    let said = Reader::read_whole(written, (), Reader::string).map(|(said, ())| said.into_owned());
    Cow::Owned(said.ok().and_then(|said| String::from_utf8(said).ok()).unwrap_or_default())
}

fn is_called(written: &[u8], name: &str) -> bool {
    let plain = written.get(1..written.len().saturating_sub(1)).unwrap_or_default();
    plain == name.as_bytes() && !plain.contains(&b'\\') || plain.contains(&b'\\') && said(written) == name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Full, Memory};
    use proptest::prelude::*;
    use serde_json::Value;

    fn read(text: &str) -> Result<Tape, JsonFault> {
        Tape::read(Bytes::copy_from_slice(text.as_bytes()), Charge::default())
    }

    fn value_of(node: Node<'_>) -> Value {
        match node.kind() {
            Kind::Null => Value::Null,
            Kind::Truth => node.truth().unwrap().into(),
            Kind::Number => serde_json::from_slice(node.written()).unwrap(),
            Kind::Text => node.text().unwrap().into(),
            Kind::Array => node.elements().map(value_of).collect(),
            Kind::Object => node.members().map(|(name, node)| (name.into_owned(), value_of(node))).collect(),
        }
    }

    #[test]
    fn faults_are_told_apart_and_where_they_are() {
        use JsonFault::*;
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        for (text, fault) in [
            (r#"{"a":1,"a":2}"#, DuplicateName { line: 1, column: 8 }),
            (r#"{"a":{"b":1,"\u0062":2}}"#, DuplicateName { line: 1, column: 13 }),
            (r#"{"__proto__":1}"#, HostileName),
            (r#"{"a":1} x"#, Malformed { line: 1, column: 9 }),
            ("[1,\n 02]", Malformed { line: 2, column: 3 }),
            (r#""\ud800""#, Malformed { line: 1, column: 8 }),
            (deep.as_str(), TooDeep),
        ] {
            assert_eq!(read(text).err(), Some(fault), "{text}");
        }
        for (text, at, what) in [
            (&b"\"a\xff\""[..], (1, 3), "no UTF-8"),
            (b"{\"a\": \"M\xfcller\"}", (1, 9), "Latin-1"),
            (b"\xef\xbb\xbf{}", (1, 1), "byte order mark"),
            (b"{\0}\0", (1, 2), "UTF-16"),
            (b"\xff\xfe{\0}\0", (1, 1), "UTF-16"),
            (b"\0\0\0{", (1, 1), "UTF-32"),
            (b"{'a':1}", (1, 2), "double quotes"),
            ("{“a”:1}".as_bytes(), (1, 2), "straight"),
            (b"[1,\n ]", (2, 2), "a comma"),
            (b"{\"a\":1,}", (1, 8), "a comma"),
            (b"[1] // one", (1, 5), "comments"),
            (b"{\"a\":NaN}", (1, 6), "NaN"),
            (b"{\"a\":None}", (1, 6), "null"),
            (b"[True]", (1, 2), "small letters"),
            (b"\"a\nb\"", (1, 3), "an escape"),
            (b"", (1, 1), "too early"),
            (b"{\"a\":", (1, 6), "too early"),
        ] {
            let fault = Tape::read(Bytes::copy_from_slice(text), Charge::default()).err();
            let Some(Slip { line, column, why }) = fault else { panic!("{what}: {fault:?}") };
            assert!((line, column) == at && why.contains(what), "{what}: {line}, {column}, {why}");
        }
        assert!(read(&format!("{}{}", "[".repeat(64), "]".repeat(64))).is_ok());
    }

    #[test]
    fn a_read_body_takes_a_small_multiple_of_its_text_and_is_charged() {
        for text in [r#"{"a":0},"#, "[],", "0,", r#"{"a":{"b":[]}},"#, r#""\"",[],"#] {
            let text = format!("[{}0]", text.repeat(10_000));
            let memory = Memory::new(1 << 30);
            let tape = Tape::read(Bytes::from(text.clone()), memory.charge("a")).unwrap();
            let held = memory.held();
            assert_eq!(held, (tape.slots.capacity() * size_of::<Slot>()) as u64);
            assert!(held <= text.len() as u64 * 6 + 100, "{held} for {}", text.len());
            drop(tape);
            assert_eq!(memory.held(), 0);
            let refused = Tape::read(Bytes::from(text), Memory::new(held).charge("a"));
            assert_eq!(refused.err(), Some(JsonFault::Unheld(Full::Ever)));
        }
    }

    #[test]
    fn pointers_lead_to_numbers() {
        let tape = read(r#"{"a/b":[0,{"~":[1.00000000000000000001]}]}"#).unwrap();
        let number = tape.root().member("a/b").unwrap().elements().nth(1).unwrap().member("~").unwrap();
        assert_eq!(tape.inexact(), None);
        assert_eq!(number.elements().next().unwrap().number().unwrap().double(), None);
        assert_eq!(tape.inexact().as_deref(), Some("/a~1b/1/~0/0"));
    }

    proptest! {
        #[test]
        fn reads_what_the_plain_reader_reads(text in "[\\[\\]{}:,\"a\\\\nu0-9e.+\\- ]{0,40}|\\PC{0,40}") {
            match (super::super::parse(text.as_bytes()), read(&text)) {
                (Ok(value), Ok(tape)) => prop_assert_eq!(value_of(tape.root()), value),
                (Err(_), Err(_)) => {}
                (plain, tape) => prop_assert!(false, "{text}: {plain:?}, {:?}", tape.err()),
            }
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = Tape::read(Bytes::from(bytes), Charge::default());
        }
    }
}
