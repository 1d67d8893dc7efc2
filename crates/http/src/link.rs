//! Link (RFC 8288), as far as it can cross: of a target's links, those that lead to a declared operation.

use http::HeaderValue;
use http::header::HeaderMap;

/// Links of one reply; a page of results has a handful. The rest is left out.
const MAX_LINKS: usize = 32;

/// Parameters that tell of the link alone (RFC 8288 §3.4.1). `anchor` would make it one of another thing.
const PARAMETERS: [&str; 5] = ["rel", "title", "type", "hreflang", "media"];

/// The links of the field's values whose target `locate` finds, written anew with what it finds; and how many are left
/// out.
pub fn located<'v>(
    values: impl Iterator<Item = &'v HeaderValue>,
    locate: impl Fn(&str) -> Option<String>,
) -> (Option<HeaderValue>, usize) {
    let (mut text, mut kept, mut left_out) = (String::new(), 0, 0);
    for value in values {
        // What cannot be read as a whole is not read in part: a comma may stand in a URI or in a title.
        let Some(links) = value.to_str().ok().and_then(parse) else {
            left_out += 1;
            continue;
        };
        for link in links {
            let Some(to) = link.rel().filter(|_| kept < MAX_LINKS).and_then(|_| locate(link.to)) else {
                left_out += 1;
                continue;
            };
            if !text.is_empty() {
                text.push_str(", ");
            }
            kept += 1;
            link.write(&mut text, &to);
        }
    }
    let value = HeaderValue::try_from(text).ok().filter(|value| !value.is_empty());
    (value, left_out)
}

/// Takes what a target's Link is out of a header section.
pub fn take(headers: &mut HeaderMap) -> Vec<HeaderValue> {
    match headers.entry(http::header::LINK) {
        http::header::Entry::Occupied(entry) => entry.remove_entry_mult().1.collect(),
        http::header::Entry::Vacant(_) => Vec::new(),
    }
}

#[derive(Debug)]
struct Link<'t> {
    to: &'t str,
    /// Names and raw values, quotes included.
    parameters: Vec<(&'t str, &'t str)>,
}

impl Link<'_> {
    /// The first relation counts (RFC 8288 §3.3). One that is a URI can name an internal host.
    fn rel(&self) -> Option<&str> {
        let is = |name: &str| self.parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        if is("anchor").is_some() {
            return None;
        }
        let (_, rel) = is("rel")?;
        let names = rel.trim_matches('"');
        let registered = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_alphabetic())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
        };
        let mut names = names.split(' ').filter(|name| !name.is_empty()).peekable();
        (names.peek().is_some() && names.all(registered)).then_some(*rel)
    }

    fn write(&self, text: &mut String, to: &str) {
        text.push('<');
        text.push_str(to);
        text.push('>');
        for known in PARAMETERS {
            let Some((_, value)) = self.parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(known))
            else {
                continue;
            };
            text.push_str("; ");
            text.push_str(known);
            if !value.is_empty() {
                text.push('=');
                text.push_str(value);
            }
        }
    }
}

/// RFC 8288, appendix B.2, without what it forgives.
fn parse(mut rest: &str) -> Option<Vec<Link<'_>>> {
    let mut links = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(links);
        }
        let (to, after) = rest.strip_prefix('<')?.split_once('>')?;
        let mut link = Link { to: to.trim(), parameters: Vec::new() };
        rest = after.trim_start_matches([' ', '\t']);
        while let Some(after) = rest.strip_prefix(';') {
            rest = after.trim_start_matches([' ', '\t']);
            let name;
            (name, rest) = rest.split_at(rest.find(|c| !is_token(c)).unwrap_or(rest.len()));
            rest = rest.trim_start_matches([' ', '\t']);
            let mut value = "";
            if let Some(after) = rest.strip_prefix('=') {
                (value, rest) = parameter(after.trim_start_matches([' ', '\t']))?;
                rest = rest.trim_start_matches([' ', '\t']);
            }
            if !name.is_empty() {
                link.parameters.push((name, value));
            }
        }
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
        links.push(link);
    }
}

/// A token or a quoted string with its quotes, and what follows it.
fn parameter(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with('"') {
        let end = text.find(|c| !is_token(c) && !"/".contains(c)).unwrap_or(text.len());
        return (end > 0).then(|| text.split_at(end));
    }
    let mut escaped = true;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return text.split_at_checked(at + 1),
            _ => {}
        }
    }
    None
}

fn is_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(values: &[&str]) -> (Option<String>, usize) {
        let values: Vec<HeaderValue> = values.iter().map(|value| value.parse().unwrap()).collect();
        let (text, left_out) =
            located(values.iter(), |to| to.strip_prefix("/t").map(|rest| format!("/b{rest}")));
        (text.map(|value| value.to_str().unwrap().to_owned()), left_out)
    }

    #[test]
    fn links_that_lead_somewhere_cross_and_no_others() {
        for (sent, got, left_out) in [
            ("</t/2>; rel=next", Some("</b/2>; rel=next"), 0),
            ("</t/2>;rel=\"next\"", Some("</b/2>; rel=\"next\""), 0),
            ("</t/2> ; REL = next", Some("</b/2>; rel=next"), 0),
            ("</t/2>; rel=next, </t/9>; rel=last", Some("</b/2>; rel=next, </b/9>; rel=last"), 0),
            (", </t/2>; rel=next,, ,", Some("</b/2>; rel=next"), 0),
            // A comma, a semicolon and quotes within their bounds.
            (
                r#"</t/a,b;c>; rel=item; title="x, <y>; \"z\"""#,
                Some(r#"</b/a,b;c>; rel=item; title="x, <y>; \"z\"""#),
                0,
            ),
            (
                "</t/2>; rel=\"next last\"; type=text/html",
                Some("</b/2>; rel=\"next last\"; type=text/html"),
                0,
            ),
            ("<https://erp.internal/x>; rel=next, </t/1>; rel=prev", Some("</b/1>; rel=prev"), 1),
            // What tells more than where it leads.
            ("</t/2>; rel=next; anchor=\"https://erp.internal/\"", None, 1),
            ("</t/2>; rel=\"https://erp.internal/rel\"", None, 1),
            ("</t/2>; rel=\"next https://erp.internal/rel\"", None, 1),
            ("</t/2>; rel=next; x-node=erp-7; title*=UTF-8''x; rev=x", Some("</b/2>; rel=next"), 0),
            // Of a repeated parameter the first counts.
            ("</t/2>; rel=next; rel=\"https://erp.internal/\"", Some("</b/2>; rel=next"), 0),
            ("</t/2>; rel=https://erp.internal/", None, 1),
            // No links.
            ("</t/2>", None, 1),
            ("</t/2>; rel", None, 1),
            ("</t/2>; rel=\"\"", None, 1),
            ("/t/2; rel=next", None, 1),
            ("</t/2; rel=next", None, 1),
            ("</t/2>; rel=\"next", None, 1),
            ("</t/2>; rel=next </t/3>; rel=x", None, 1),
            ("<>; rel=self", None, 1),
            ("", None, 0),
        ] {
            assert_eq!(through(&[sent]), (got.map(str::to_owned), left_out), "{sent}");
        }
        assert_eq!(
            through(&["</t/1>; rel=a", "broken", "</t/2>; rel=b"]),
            (Some("</b/1>; rel=a, </b/2>; rel=b".to_owned()), 1)
        );
        let many = vec!["</t/1>; rel=item"; 40].join(", ");
        let (text, left_out) = through(&[&many]);
        assert_eq!((text.unwrap().matches('<').count(), left_out), (32, 8));
    }
}
