//! Queries: read once, decoded, with the spelling that is delivered.

use super::escape::{Octet, Octets, holds_escape, push};
use super::{Ambiguous, AtMember};

/// The members of a query, decoded, in their order, and the spelling that is delivered.
///
/// It is read as a form (WHATWG URL §5.1): members are divided by `&`, name and value by the first `=`, and `+` is a
/// blank. It is delivered so that readers with other rules see the same: a blank as `%20`, a semicolon as `%3B`, no
/// empty member, and nothing that may not stand in a query (RFC 3986 §3.4). Values are data and may hold line breaks
/// and other control characters but NUL, which stay encoded; names hold none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Names and values, decoded, one behind the other.
    text: String,
    members: Vec<Member>,
    spelling: String,
}

/// Where in the text a name and its value end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    name: usize,
    value: usize,
}

/// Most members of one query. Ours; form readers of targets leave out what comes after a number of their own, 1000
/// as a rule.
const MAX_MEMBERS: usize = 256;

impl Query {
    /// Reads what stands behind the question mark of a request target.
    ///
    /// # Errors
    /// When systems are known to read it in different ways; the words say why.
    pub fn parse(raw: &str) -> Result<Query, Ambiguous> {
        let mut query = Query::default();
        for (number, member) in (1..).zip(raw.split('&').filter(|member| !member.is_empty())) {
            if number > MAX_MEMBERS {
                return Err(Ambiguous::new("the query has more than 256 members"));
            }
            let start = query.text.len();
            if !query.spelling.is_empty() {
                query.spelling.push('&');
            }
            query.member(member).map_err(|why| {
                let name = query.text.get(start..).unwrap_or_default().into();
                Ambiguous { member: Some(AtMember { number, name }), ..why }
            })?;
        }
        Ok(query)
    }

    fn member(&mut self, member: &str) -> Result<(), Ambiguous> {
        let (name, value) = match member.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (member, None),
        };
        if name.is_empty() {
            return Err(Ambiguous::new("a member of the query has no name"));
        }
        let name = self.part(name)?;
        if name.chars().any(char::is_control) {
            return Err(Ambiguous::new("a name in the query holds a control character"));
        }
        if holds_escape(&name) {
            return Err(Ambiguous::new("a name in the query is encoded twice"));
        }
        self.text.push_str(&name);
        let of_name = self.text.len();
        if let Some(value) = value {
            self.spelling.push('=');
            let value = self.part(value)?;
            // Other control characters are data, a line break among them; systems written in C end a text here.
            if value.contains('\0') {
                return Err(Ambiguous::new("a value in the query holds a NUL"));
            }
            self.text.push_str(&value);
        }
        self.members.push(Member { name: of_name, value: self.text.len() });
        Ok(())
    }

    /// A name or a value, decoded; its spelling is appended.
    fn part(&mut self, raw: &str) -> Result<String, Ambiguous> {
        let mut bytes = Vec::with_capacity(raw.len());
        for octet in Octets::of(raw) {
            let octet = match octet.map_err(|_| Ambiguous::new("the query's percent-encoding is broken"))? {
                Octet::Plain(b'+') => Octet::Escaped(b' '),
                Octet::Plain(byte) if is_plain(byte) => Octet::Plain(byte),
                Octet::Plain(byte) if byte.is_ascii_graphic() => Octet::Escaped(byte),
                Octet::Plain(_) => {
                    return Err(Ambiguous::new("the query holds a character that has to be encoded"));
                }
                escaped @ Octet::Escaped(_) => escaped,
            };
            let (Octet::Plain(byte) | Octet::Escaped(byte)) = octet;
            bytes.push(byte);
            push(&mut self.spelling, octet);
        }
        String::from_utf8(bytes).map_err(|_| Ambiguous::new("the query is not UTF-8"))
    }

    /// Names and values in their order, decoded. A member without `=` has an empty value.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.members.iter().map(move |member| {
            let name = self.text.get(start..member.name).unwrap_or_default();
            start = member.value;
            (name, self.text.get(member.name..member.value).unwrap_or_default())
        })
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// As it is delivered, without the question mark.
    pub fn spelling(&self) -> &str {
        &self.spelling
    }
}

/// What RFC 3986 §3.4 lets stand in a query, less what some readers take for structure or for a blank.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$'()*,=:@/?".contains(&byte)
}
