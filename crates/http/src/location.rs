//! Where what a target refers to (Location, RFC 9110 §10.2.2) is reached at the bridge: the declared routes, backwards.

use crate::passes::Members;
use crate::rewrite::{Rewrite, below};
use http::Method;
use ironbridge_core::uri::{CanonicalPath, Query};

/// The operations of one integration by their path at the target.
pub struct WayBack {
    /// The target's.
    secure: bool,
    host: Box<str>,
    port: u16,
    /// The target URL's own path, decoded.
    base: Box<str>,
    /// The integration's own path.
    mount: Box<str>,
    tree: matchit::Router<Vec<Leading>>,
}

/// An operation that a path at the target belongs to.
#[derive(Clone)]
struct Leading {
    method: Method,
    matched: Rewrite,
    query: Members,
}

/// Why a reference is not passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Astray {
    #[error("it leads to another system, {0}")]
    Foreign(Box<str>),
    #[error("no operation of the integration leads there")]
    Undeclared,
    #[error("the operation that it leads to would refuse it: {0}")]
    Query(Box<str>),
    #[error("it stands there more than once")]
    Repeated,
    #[error("it is no reference that every system reads alike (RFC 3986)")]
    Unreadable,
}

impl WayBack {
    /// For a target at this origin and path, and an integration mounted there.
    pub fn new(secure: bool, host: &str, port: u16, base: &str, mount: &str) -> WayBack {
        let base = CanonicalPath::parse(base).map_or(base.into(), |base| base.decoded().into());
        WayBack { secure, host: host.into(), port, base, mount: mount.into(), tree: matchit::Router::new() }
    }

    /// An operation with its path at the target, in which `None` stands for any one segment, how the matched path is put
    /// together of that path's segments, and the query members that it declares.
    pub fn insert(&mut self, method: &Method, at_target: &[Option<&str>], matched: Rewrite, query: Members) {
        // Parameters are named by their place, so that operations that call them otherwise meet.
        let mut pattern = String::new();
        for (number, segment) in at_target.iter().enumerate() {
            pattern.push('/');
            match segment {
                Some(text) => pattern.push_str(text),
                None => pattern.push_str(&format!("{{s{number}}}")),
            }
        }
        let pattern = if pattern.is_empty() { "/" } else { &pattern };
        // Literal text that matches a pattern finds its parameter; a new one is then still to be inserted.
        let entry = vec![Leading { method: method.clone(), matched, query }];
        if let Err(error) = self.tree.insert(pattern, entry.clone())
            && matches!(error, matchit::InsertError::Conflict { .. })
            && let Ok(known) = self.tree.at_mut(pattern)
        {
            known.value.extend(entry);
        }
    }

    /// The reference in the bridge's terms: a path of a declared operation, with a query that it takes and the fragment.
    /// `asked` is the
    /// path that was asked for at the target, as it was delivered, to which a relative reference is relative, with
    /// `method`. Of operations for one path the one that answers GET is meant, else the one with the same method.
    ///
    /// # Errors
    /// Says why it has to be left out.
    pub fn locate(&self, reference: &str, asked: &str, method: &str) -> Result<String, Astray> {
        if !reference.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)) {
            return Err(Astray::Unreadable);
        }
        let (reference, fragment) = split(reference, '#');
        let (reference, query) = split(reference, '?');
        let path = self.resolve(reference, asked)?;
        let path = CanonicalPath::parse(&path).map_err(|_| Astray::Unreadable)?;
        let query = Query::parse(query.unwrap_or_default()).map_err(|_| Astray::Unreadable)?;
        let leading = self.operation(&path, method)?;
        leading
            .query
            .judge(&query)
            .map_err(|denial| Astray::Query(denial.detail.unwrap_or_default().into()))?;
        let mut located = String::from(&*self.mount);
        leading.matched.write(&mut located, below(path.spelling(), &self.base));
        if located.is_empty() {
            located.push('/');
        }
        if !query.is_empty() {
            located.push('?');
            located.push_str(query.spelling());
        }
        if let Some(fragment) = fragment {
            located.push('#');
            located.push_str(fragment);
        }
        Ok(located)
    }

    /// The absolute path at the target (RFC 3986 §5.2.2).
    fn resolve(&self, reference: &str, asked: &str) -> Result<String, Astray> {
        let path = match scheme(reference) {
            Some((scheme, rest)) => {
                let secure = scheme.eq_ignore_ascii_case("https");
                let is_http = secure || scheme.eq_ignore_ascii_case("http");
                let rest = rest.strip_prefix("//").filter(|_| is_http);
                self.own_path(secure, rest.ok_or_else(|| Astray::Foreign(scheme.into()))?)?
            }
            None => match reference.strip_prefix("//") {
                Some(rest) => self.own_path(self.secure, rest)?,
                None => reference,
            },
        };
        Ok(match path {
            "" if scheme(reference).is_some() || reference.starts_with("//") => "/".to_owned(),
            "" => asked.to_owned(),
            absolute if absolute.starts_with('/') => without_dots(absolute),
            relative => {
                let folder = asked.rfind('/').and_then(|at| asked.get(..=at)).unwrap_or("/");
                without_dots(&format!("{folder}{relative}"))
            }
        })
    }

    /// The path behind an authority, if that is the target's.
    fn own_path<'r>(&self, secure: bool, rest: &'r str) -> Result<&'r str, Astray> {
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let foreign = || Astray::Foreign(authority.into());
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (authority, ""),
        };
        let port = match port {
            "" => {
                if secure {
                    443
                } else {
                    80
                }
            }
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| foreign())?
            }
            _ => return Err(foreign()),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_own = secure == self.secure && port == self.port && host.eq_ignore_ascii_case(&self.host);
        is_own.then_some(path).ok_or_else(foreign)
    }

    fn operation(&self, path: &CanonicalPath<'_>, method: &str) -> Result<&Leading, Astray> {
        let below = path.decoded().strip_prefix(&*self.base).ok_or(Astray::Undeclared)?;
        let below = match below {
            "" => "/",
            below if below.starts_with('/') => below,
            _ => return Err(Astray::Undeclared),
        };
        let found = self.tree.at(below).map_err(|_| Astray::Undeclared)?;
        let by = |wanted: &str| found.value.iter().find(|leading| leading.method.as_str() == wanted);
        by("GET").or_else(|| by(method)).or(found.value.first()).ok_or(Astray::Undeclared)
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// The scheme of a reference that has one (RFC 3986 §3.1), and what follows its colon.
fn scheme(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some((scheme, rest))
}

/// RFC 3986 §5.2.4. Encoded dots are refused afterwards, where the path is read.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => {
                kept.push(other);
                continue;
            }
        }
        if last {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewrite::Piece;

    /// `GET /things/{id}`, at the target `/api/v2/things/{id}`; `POST` and `GET /orders/{id}/lines/{line}`, there with
    /// the parameters the other way round; `DELETE /same`.
    fn way_back(secure: bool, port: u16, base: &str) -> WayBack {
        let mut way = WayBack::new(secure, "erp.internal", port, base, "/e");
        let literal = |text: &str| Piece::Literal(text.into());
        let things = [Some("api"), Some("v2"), Some("things"), None];
        way.insert(&Method::POST, &things, Rewrite(vec![literal("/wrong")]), Members::default());
        let takes = Members::Listed([("x".into(), false), ("y".into(), true), ("page".into(), false)].into());
        way.insert(&Method::GET, &things, Rewrite(vec![literal("/things/"), Piece::Segment(3)]), takes);
        way.insert(
            &Method::GET,
            &[Some("l"), None, None],
            Rewrite(vec![literal("/orders/"), Piece::Segment(2), literal("/lines/"), Piece::Segment(1)]),
            Members::all(["limit"]),
        );
        way.insert(
            &Method::GET,
            &[Some("l"), Some("x"), None],
            Rewrite(vec![literal("/x/"), Piece::Segment(2)]),
            Members::default(),
        );
        way.insert(&Method::DELETE, &[Some("same")], Rewrite(vec![literal("/same")]), Members::default());
        way
    }

    #[test]
    fn references_are_mapped_back_through_the_routes() {
        let way = way_back(true, 8443, "/base");
        for (reference, located) in [
            ("/base/api/v2/things/7", "/e/things/7"),
            ("https://erp.internal:8443/base/api/v2/things/7?x=1&y=a+b#top", "/e/things/7?x=1&y=a%20b#top"),
            ("HTTPS://ERP.Internal:8443/base/api/v2/things/7", "/e/things/7"),
            ("//erp.internal:8443/base/api/v2/things/7", "/e/things/7"),
            ("/base/api/v2/things/7:cancel", "/e/things/7:cancel"),
            ("/base/api/v2/things/a%20%c3%a4%41", "/e/things/a%20%C3%A4A"),
            ("/b%61se/api/v2/things/7", "/e/things/7"),
            ("/base/l/1/2", "/e/orders/2/lines/1"),
            ("/base/l/x/2", "/e/x/2"),
            ("/base/same", "/e/same"),
            // Relative to /base/api/v2/things/6.
            ("7", "/e/things/7"),
            ("./7", "/e/things/7"),
            ("../things/7", "/e/things/7"),
            ("../../../same", "/e/same"),
            ("?page=2", "/e/things/6?page=2"),
            ("?", "/e/things/6"),
            ("?&", "/e/things/6"),
            ("7?y=1&%78=2&y=3", "/e/things/7?y=1&x=2&y=3"),
            ("/base/l/1/2?any=1&limit=5&any=2", "/e/orders/2/lines/1?any=1&limit=5&any=2"),
            ("#part", "/e/things/6#part"),
            ("", "/e/things/6"),
            ("/base/x/../same", "/e/same"),
        ] {
            let found = way.locate(reference, "/base/api/v2/things/6", "GET");
            assert_eq!(found.as_deref(), Ok(located), "{reference}");
        }
    }

    #[test]
    fn what_leads_elsewhere_is_left_out() {
        let way = way_back(true, 8443, "/base");
        let foreign = |host: &str| Astray::Foreign(host.into());
        for (reference, why) in [
            ("https://erp.internal/base/same", foreign("erp.internal")),
            ("http://erp.internal:8443/base/same", foreign("erp.internal:8443")),
            ("https://erp.internal:84430/base/same", foreign("erp.internal:84430")),
            ("https://10.0.0.7/base/same", foreign("10.0.0.7")),
            ("https://erp.internal.evil:8443/base/same", foreign("erp.internal.evil:8443")),
            ("https://a@erp.internal:8443/base/same", foreign("a@erp.internal:8443")),
            ("//evil/base/same", foreign("evil")),
            ("https:same", foreign("https")),
            ("javascript:alert(1)", foreign("javascript")),
            ("urn:x:y", foreign("urn")),
            ("/same", Astray::Undeclared),
            ("/baseball", Astray::Undeclared),
            ("/base", Astray::Undeclared),
            ("/base/same/", Astray::Undeclared),
            ("/base/api/v2/secret", Astray::Undeclared),
            ("https://erp.internal:8443", Astray::Undeclared),
            ("8", Astray::Undeclared),
            ("/base/%2e%2e/same", Astray::Unreadable),
            ("/base//same", Astray::Unreadable),
            ("/base/same;x", Astray::Unreadable),
            ("/base\\same", Astray::Unreadable),
            ("\\\\evil/base", Astray::Unreadable),
            ("/base/a b", Astray::Unreadable),
            ("/base/same?x%0d%0a=1", Astray::Unreadable),
        ] {
            assert_eq!(way.locate(reference, "/base/same", "GET"), Err(why), "{reference}");
        }
    }

    /// Whoever follows it would be refused.
    #[test]
    fn a_query_that_the_operation_does_not_take_is_left_out_with_its_reference() {
        let way = way_back(true, 8443, "/base");
        for reference in [
            "?debug=1",
            "?page=1&debug=1",
            "?page=1&page=2",
            "?%70age=1&page=2",
            "?Page=1",
            "?page%5B%5D=1",
            "?session",
            "/base/same?x=1",
            "https://erp.internal:8443/base/same?x=1#top",
            "/base/l/x/2?limit=1",
            "/base/l/1/2?LIMIT=1",
            "/base/l/1/2?limit%5B%5D=1",
        ] {
            let located = way.locate(reference, "/base/api/v2/things/6", "GET");
            assert!(matches!(located, Err(Astray::Query(_))), "{reference}: {located:?}");
        }
        let why = way.locate("?debug=s3cret", "/base/api/v2/things/6", "GET").unwrap_err().to_string();
        assert!(why.contains("`debug`") && !why.contains("s3cret"), "{why}");
    }

    #[test]
    fn default_ports_need_not_be_written() {
        for (secure, port, scheme) in [(true, 443, "https"), (false, 80, "http")] {
            let way = way_back(secure, port, "");
            for authority in ["erp.internal", "erp.internal:", &format!("ERP.internal:{port}")] {
                let found = way.locate(&format!("{scheme}://{authority}/same"), "/", "GET");
                assert_eq!(found.as_deref(), Ok("/e/same"), "{scheme} {authority}");
            }
        }
    }
}
