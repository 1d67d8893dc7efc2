//! What crosses for one operation: the fields that HTTP needs, and those that it declares. Built once, when the
//! manifest is loaded.

use http::HeaderName;
use http::header::{HeaderMap, HeaderValue, TRAILER};
use ironbridge_core::fields;
use ironbridge_net::Names;
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Passes {
    pub request_trailers: Arc<Names>,
    pub reply_trailers: Arc<Names>,
}

/// What an operation declares.
#[derive(Debug, Default)]
pub struct Declared {
    pub request_trailers: Listed,
    pub reply_trailers: Listed,
    /// The field in which the target takes the bridge's credential. Nobody else's crosses, whatever is declared.
    pub credential: Option<HeaderName>,
}

/// Names that are listed, or all.
#[derive(Debug, Default)]
pub struct Listed {
    pub names: Vec<HeaderName>,
    pub all: bool,
}

impl Passes {
    pub fn new(declared: Declared) -> Passes {
        let but = declared.credential;
        let names = |known: &mut dyn Iterator<Item = &'static str>, listed: Listed| {
            let names = Names::listed(known.map(HeaderName::from_static).chain(listed.names));
            if listed.all { names.and_all_but(but.clone()) } else { names }
        };
        Passes {
            request_trailers: Arc::new(names(&mut std::iter::empty(), declared.request_trailers)),
            reply_trailers: Arc::new(names(&mut fields::TRAILERS.into_iter(), declared.reply_trailers)),
        }
    }
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
