//! What crosses for one operation besides the body: the fields that HTTP needs, and those that it declares. Built
//! once, when the manifest is loaded.

use crate::left_out::LeftOut;
use crate::member::{self, Member};
use http::HeaderName;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, TRAILER};
use ironbridge_core::fields::Side::{self, Reply, Request};
use ironbridge_core::fields::{self, Group, When};
use ironbridge_core::uri::{Lookalike, Query, Read};
use ironbridge_core::{Code, Denial, code};
use ironbridge_net::Names;
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Passes {
    pub query: Members,
    pub request: Names,
    /// Of these, what a request that is sent again must bring alike.
    pub same: Names,
    pub request_trailers: Arc<Names>,
    pub reply: Names,
    pub reply_trailers: Arc<Names>,
    /// Of a request that asks for WebSocket, besides.
    pub handshake: Names,
    /// Of the reply that agrees to one, besides: what is declared.
    pub switched: Names,
    /// A keep list filters what the target answers, so that nothing may tell of the whole.
    pub filters_reply: bool,
    /// What does not cross, as far as it was told.
    pub left_out: LeftOut,
}

/// What an operation declares.
#[derive(Debug, Default)]
pub struct Declared {
    pub query: Members,
    pub request: Listed,
    pub request_trailers: Listed,
    pub reply: Listed,
    pub reply_trailers: Listed,
    /// A control reads the reply, so that it must come whole and uncompressed.
    pub reads_reply: bool,
    /// A keep list filters what the target answers to this, or to a GET of the same thing.
    pub filters_reply: bool,
    /// A keep list filters what the caller sends.
    pub filters_request: bool,
    /// The field in which the target takes the bridge's credential. Nobody else's crosses, whatever is declared.
    pub credential: Option<HeaderName>,
}

/// Names that are listed, or all.
#[derive(Debug, Default, Clone)]
pub struct Listed {
    pub names: Vec<HeaderName>,
    pub all: bool,
}

/// The query members that cross.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// By their decoded names, and whether they may be repeated.
    Listed(Box<[(Box<str>, bool)]>),
    /// Every member, unless some system could read it as one of these, which a rule judges.
    All(Box<[Lookalike]>),
}

impl Default for Members {
    fn default() -> Members {
        Members::Listed(Box::default())
    }
}

impl Members {
    /// `judged` are the names of those that a rule judges.
    pub fn all<'n>(judged: impl IntoIterator<Item = &'n str>) -> Members {
        let mut judged: Vec<&str> = judged.into_iter().filter(|name| !name.is_empty()).collect();
        judged.sort_unstable();
        judged.dedup();
        Members::All(judged.into_iter().map(Lookalike::new).collect())
    }

    /// Refuses what is not declared: left out, it would change the question.
    pub fn judge(&self, query: &Query) -> Result<(), Box<Denial>> {
        let listed = match self {
            Members::Listed(listed) => listed,
            Members::All(judged) => return unmistakable(judged, query),
        };
        let repeats =
            |name: &str| listed.iter().find(|(known, _)| &**known == name).map(|(_, repeats)| *repeats);
        let (mut undeclared, mut repeated) = (Vec::new(), Vec::new());
        for (index, (name, value)) in query.members().enumerate() {
            let member = Member { number: index + 1, name, bare: value.is_empty() };
            match repeats(name) {
                None => undeclared.push(member),
                Some(false) if query.members().take(index).any(|(earlier, _)| earlier == name) => {
                    repeated.push(member);
                }
                Some(_) => {}
            }
        }
        match (undeclared.is_empty(), repeated.is_empty()) {
            (true, true) => Ok(()),
            (false, _) => refuse(&code::QUERY_UNDECLARED, undeclared, "not listed in request.query"),
            (true, false) => {
                refuse(&code::QUERY_REPEATED, repeated, "listed without the * that lets it repeat")
            }
        }
    }
}

/// A rule judges a member by its name, and the target must not find another under it.
fn unmistakable(judged: &[Lookalike], query: &Query) -> Result<(), Box<Denial>> {
    let is_judged = |name: &str| judged.iter().any(|known| known.text() == name);
    for (number, (name, value)) in (1..).zip(query.members()) {
        if is_judged(name) {
            continue;
        }
        let read = Read::new(name);
        let Some(known) = judged.iter().find(|known| known.is_named_by(&read)) else { continue };
        let member = Member { number, name, bare: value.is_empty() };
        let (sent, meant) = (member::quoted(name), member::quoted(known.text()));
        let detail = format!("some systems read the query member {sent} as {meant}, which a rule judges");
        let by = member::recorded(&[member]);
        return Err(Box::new(
            Denial::new(&code::QUERY_AMBIGUOUS).detail(detail).by(format_args!("{by}: read as {meant}")),
        ));
    }
    Ok(())
}

/// Names the members, never their values.
fn refuse(code: &'static Code, mut members: Vec<Member<'_>>, why: &str) -> Result<(), Box<Denial>> {
    members.dedup_by_key(|member| member.name);
    let shown = members.iter().take(member::NAMED).map(|member| member::quoted(member.name));
    let shown = shown.collect::<Vec<_>>().join(", ");
    let more = if members.len() > member::NAMED { " and others" } else { "" };
    let by = member::recorded(&members);
    Err(Box::new(Denial::new(code).detail(format!("the query members that are {why}: {shown}{more}")).by(by)))
}

impl Passes {
    pub fn new(declared: Declared) -> Passes {
        let Declared { reads_reply, filters_reply, filters_request, .. } = declared;
        let crosses = |when: When| match when {
            When::Always => true,
            When::Unread => !reads_reply,
            When::Unfiltered => !filters_reply,
            When::Declared | When::Handshake => false,
        };
        let known = |side: fn(&Group) -> When| {
            let groups = fields::CROSSING.iter().filter(move |group| crosses(side(group)));
            groups.flat_map(|group| group.names).copied()
        };
        let credential = declared.credential.as_ref();
        // A compressed reply cannot be searched for a credential, so it is asked for only where that is declared.
        let request = known(|group| group.request);
        let request = request.filter(|name| credential.is_none() || *name != "accept-encoding");
        let whole = fields::CROSSING.iter().filter(|group| reads_reply && group.request == When::Unread);
        let whole: Vec<&str> = whole.flat_map(|group| group.names).copied().collect();
        // Without a body, gRPC puts its trailers into the header section.
        let mut replied = declared.reply;
        replied.names.extend(declared.reply_trailers.names.iter().cloned());
        let of_whole = |filters: bool| if filters { fields::OF_THE_WHOLE_BODY } else { &[] };
        let not_in_request = [&whole, of_whole(filters_request)].concat();
        let same = declared.request.clone();
        let needed = fields::CROSSING.iter().filter(|group| group.request != When::Declared);
        let needed = needed.flat_map(|group| group.names).chain(fields::OF_THE_ATTEMPT).copied();
        let not_the_same: Vec<&str> = not_in_request.iter().copied().chain(needed).collect();
        Passes {
            query: declared.query,
            same: names(Request, [], same, &not_the_same, credential),
            request: names(Request, request, declared.request, &not_in_request, credential),
            request_trailers: Arc::new(names(Request, [], declared.request_trailers, &[], credential)),
            switched: names(Side::Reply, [], replied.clone(), OF_A_REPLY, credential),
            handshake: Names::listed(handshake(|group| group.request)),
            reply: names(Reply, known(|group| group.reply), replied, of_whole(filters_reply), credential),
            reply_trailers: Arc::new(names(
                Reply,
                fields::TRAILERS,
                declared.reply_trailers,
                &[],
                credential,
            )),
            filters_reply,
            left_out: LeftOut::default(),
        }
    }
}

/// What says something of a body, which a reply that switches has not.
const OF_A_REPLY: &[&str] = &[
    "content-type",
    "content-language",
    "content-encoding",
    "content-disposition",
    "content-range",
    "location",
    "link",
    "retry-after",
];

fn handshake(side: fn(&Group) -> When) -> impl Iterator<Item = HeaderName> {
    let groups = fields::CROSSING.iter().filter(move |group| side(group) == When::Handshake);
    groups.flat_map(|group| group.names).map(|name| HeaderName::from_static(name))
}

/// What crosses of its own and what is declared, less what never does; for `all` also the rest.
fn names(
    side: Side,
    known: impl IntoIterator<Item = &'static str>,
    declared: Listed,
    never: &[&str],
    credential: Option<&HeaderName>,
) -> Names {
    let listed = declared.names.into_iter().filter(|name| !never.contains(&name.as_str()));
    let names = Names::listed(known.into_iter().map(HeaderName::from_static).chain(listed));
    if !declared.all {
        return names;
    }
    let compressed = credential.map(|_| ACCEPT_ENCODING);
    let never = never.iter().filter_map(|name| name.parse().ok());
    names.and_all_but(side, never.chain(credential.cloned()).chain(compressed))
}

/// The Trailer field anew: of the names that the sender announces, those that cross (RFC 9110 §6.6.2).
pub fn announced(headers: &HeaderMap, trailers: &Names) -> Option<HeaderValue> {
    let announced = headers.get_all(TRAILER).iter();
    let names = announced.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    let names = names.filter_map(|name| name.trim().parse::<HeaderName>().ok());
    let crossing: Vec<HeaderName> =
        names.filter(|name| trailers.pass(name) && fields::may_trail(name.as_str())).collect();
    let text: Vec<&str> = crossing.iter().map(HeaderName::as_str).collect();
    if text.is_empty() { None } else { HeaderValue::try_from(text.join(", ")).ok() }
}

/// Announces what is declared to follow a body besides what its sender announces: over HTTP/2 nobody needs to, and
/// HTTP/1.1 sends on only what is announced. Of gRPC's own, only where it is gRPC.
pub fn announce(headers: &mut HeaderMap, trailers: &Names) {
    let is_grpc =
        headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let said = headers.get(TRAILER).and_then(|names| names.to_str().ok()).unwrap_or_default();
    let listed = trailers.listed_ones().iter().map(HeaderName::as_str);
    let more = listed.filter(|name| fields::may_trail(name) && (is_grpc || !fields::is_trailer(name)));
    let more = more.filter(|name| !said.split(", ").any(|known| known == *name));
    let all: Vec<&str> = Some(said).filter(|said| !said.is_empty()).into_iter().chain(more).collect();
    if let Ok(names) = HeaderValue::try_from(all.join(", "))
        && !names.is_empty()
    {
        headers.insert(TRAILER, names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_member_passes_for_one_that_a_rule_judges() {
        let judged = Members::all(["limit", "filter[name]", "limit", "page_size", "PageSize"]);
        for query in [
            "limit=1",
            "limit=1&limit=2",
            "filter[name]=x&page=1",
            "page_size=1&PageSize=2",
            "limits=1&x.limit=2",
        ] {
            assert!(judged.judge(&Query::parse(query).unwrap()).is_ok(), "{query}");
        }
        for query in [
            "limit[]=1",
            "limit%5B%5D=1",
            "+limit=1",
            "%20limit=1",
            "limit%20=1",
            "LIMIT=1",
            "%4cimit=1",
            "limit.=1",
            "limit;x=1",
            "limit%3Bx=1",
            "limit=1&limit%3D5=1",
            "limit:int=1",
            "$limit=1",
            "%EF%BD%8Cimit=1",
            "a=1&limit[0]",
            "filter.name=x",
            "filter%5Bname%5D%5B%5D=x",
            "pageSize=1",
            "page-size=1",
            "page.size=1",
        ] {
            let refused = judged.judge(&Query::parse(query).unwrap()).unwrap_err();
            assert_eq!(refused.code, &code::QUERY_AMBIGUOUS, "{query}");
            assert!(refused.by.is_some_and(|by| by.starts_with("query member ")), "{query}");
        }
        // Where no rule looks, nothing is mistaken.
        assert!(Members::all([]).judge(&Query::parse("limit[]=1&LIMIT=2").unwrap()).is_ok());
    }

    #[test]
    fn a_query_holds_what_is_declared_as_often_as_it_is_declared() {
        let some =
            Members::Listed([("page".into(), false), ("tag".into(), true), ("a[b]".into(), false)].into());
        for (query, refused) in [
            ("", None),
            ("page=1", None),
            ("page", None),
            ("%70age=1", None),
            ("tag=1&page=2&tag=1", None),
            ("a%5Bb%5D=1", None),
            ("a[b]=1", None),
            ("page=1&&page=2", Some("query-repeated")),
            ("page=1&%70age=2", Some("query-repeated")),
            ("page=1&tag=2&debug=true", Some("query-undeclared")),
            ("Page=1", Some("query-undeclared")),
            ("page[]=1", Some("query-undeclared")),
            ("page%20=1", Some("query-undeclared")),
            ("page;debug=1", Some("query-undeclared")),
        ] {
            let query = Query::parse(query).unwrap();
            let judged = some.judge(&query).map_err(|denial| denial.code.id).err();
            assert_eq!(judged, refused, "{query:?}");
            assert_eq!(Members::default().judge(&query).is_ok(), query.is_empty(), "{query:?}");
            assert!(Members::all([]).judge(&query).is_ok());
        }
        let long = Query::parse(&format!("{}=s3cret", "x".repeat(5000))).unwrap();
        let detail = some.judge(&long).unwrap_err().detail.unwrap();
        assert!(detail.len() < 150 && !detail.contains("s3cret"), "{detail}");
        let many: Vec<String> = (0..20).map(|number| format!("m{number}=s3cret")).collect();
        let detail = some.judge(&Query::parse(&many.join("&")).unwrap()).unwrap_err().detail.unwrap();
        assert!(detail.contains("`m0`, `m1`") && detail.ends_with("`m7` and others"), "{detail}");
    }
}
