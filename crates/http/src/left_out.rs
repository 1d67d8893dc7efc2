//! Tells the operator which fields stay at the bridge, so that nobody has to guess why a target does not see one: each
//! name once for an operation, and with `RUST_LOG=debug` all of every exchange. Names only, never values.

use http::HeaderName;
use ironbridge_core::{Exchange, fields};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Names of one operation and direction that are told one by one. A caller chooses what it sends, and the log must not
/// grow with it.
const TOLD: usize = 32;

/// What was told of an operation since the manifest was loaded.
#[derive(Debug, Default)]
pub struct LeftOut {
    pub(crate) request: Told,
    pub(crate) reply: Told,
    links: AtomicBool,
}

impl LeftOut {
    /// Whether links of a reply are left out for the first time.
    pub(crate) fn are_links_new(&self) -> bool {
        !self.links.load(Ordering::Relaxed) && !self.links.swap(true, Ordering::Relaxed)
    }
}

/// Names that are remembered of those that nobody misses. Most exchanges leave the same few.
const UNMISSED: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Told {
    told: Few<TOLD>,
    unmissed: Few<UNMISSED>,
}

/// Filled from the front and never emptied; looked through by every exchange that leaves something out, on every core.
#[derive(Debug)]
struct Few<const MOST: usize>([OnceLock<HeaderName>; MOST]);

impl<const MOST: usize> Default for Few<MOST> {
    fn default() -> Self {
        Few(std::array::from_fn(|_| OnceLock::new()))
    }
}

impl Told {
    /// Nobody misses what the bridge itself takes up or writes anew.
    fn is_missed(&self, name: &HeaderName) -> bool {
        let is_missed = !self.unmissed.has(name) && !fields::is_written_anew(name.as_str());
        if !is_missed {
            self.unmissed.is_new(name);
        }
        is_missed
    }
}

impl<const MOST: usize> Few<MOST> {
    fn has(&self, name: &HeaderName) -> bool {
        self.0.iter().map_while(OnceLock::get).any(|known| known == name)
    }

    /// Takes a name that it has not, as long as there is a place.
    fn is_new(&self, name: &HeaderName) -> bool {
        for place in &self.0 {
            match place.get() {
                Some(known) if known == name => return false,
                Some(_) => {}
                None if place.set(name.clone()).is_ok() => return true,
                // Another core was first here.
                None if place.get() == Some(name) => return false,
                None => {}
            }
        }
        false
    }

    fn is_full(&self) -> bool {
        self.0.last().is_some_and(|place| place.get().is_some())
    }
}

/// The fields that one header section loses.
pub(crate) struct Noted<'t> {
    told: &'t Told,
    side: &'static str,
    every: bool,
    new: Vec<HeaderName>,
    known: Vec<HeaderName>,
}

impl<'t> Noted<'t> {
    pub fn of_request(left_out: &'t LeftOut) -> Noted<'t> {
        Noted::new(&left_out.request, "request.headers")
    }

    pub fn of_reply(left_out: &'t LeftOut) -> Noted<'t> {
        Noted::new(&left_out.reply, "response.headers")
    }

    fn new(told: &'t Told, side: &'static str) -> Noted<'t> {
        let every = tracing::enabled!(tracing::Level::DEBUG);
        Noted { told, side, every, new: Vec::new(), known: Vec::new() }
    }

    pub fn note(&mut self, name: &HeaderName) {
        let told = &self.told.told;
        let is_told = told.has(name);
        if !is_told && !self.told.is_missed(name) {
            return;
        }
        if !is_told && told.is_new(name) {
            self.new.push(name.clone());
        } else if self.every && !self.new.contains(name) && !self.known.contains(name) {
            self.known.push(name.clone());
        }
    }

    pub fn tell(self, exchange: &Exchange) {
        if self.new.is_empty() && self.known.is_empty() {
            return;
        }
        let id = &exchange.id;
        let integration = &*exchange.flow.integration.name;
        let operation = exchange.flow.operation.as_ref().map(|operation| &*operation.name);
        if !self.new.is_empty() {
            let (fields, to_list) = (listed(&self.new), self.side);
            let more = if self.told.told.is_full() {
                "; further names of this operation are told at debug only"
            } else {
                ""
            };
            tracing::info!(
                %id, integration, operation, fields, to_list,
                "header fields stay at the bridge: what is needed is listed there, unless docs/reference/fields.md says that it never crosses{more}"
            );
        }
        if !self.known.is_empty() {
            let (fields, to_list) = (listed(&self.known), self.side);
            tracing::debug!(%id, integration, operation, fields, to_list, "header fields stay at the bridge");
        }
    }
}

fn listed(names: &[HeaderName]) -> String {
    names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_names(left_out: &LeftOut, names: &[&str]) -> String {
        let mut noted = Noted::of_request(left_out);
        for name in names {
            noted.note(&name.parse().unwrap());
        }
        listed(&noted.new)
    }

    #[test]
    fn a_name_is_told_once_for_an_operation_and_the_log_stays_small() {
        let left_out = LeftOut::default();
        let sent =
            ["host", "x-debug", "authorization", "x-api-key", "content-length", "connection", "user-agent"];
        assert_eq!(new_names(&left_out, &sent), "x-debug, user-agent");
        assert_eq!(new_names(&left_out, &sent), "");
        assert_eq!(
            new_names(&left_out, &["x-debug", "cookie", "x-original-url", "cookie"]),
            "cookie, x-original-url"
        );
        assert_eq!(new_names(&LeftOut::default(), &["x-debug"]), "x-debug");
        let mut told = 0;
        for number in 0..100 {
            told += usize::from(!new_names(&left_out, &[&format!("x-{number}")]).is_empty());
        }
        assert_eq!(told, TOLD - 4);
        assert!(left_out.request.told.is_full() && !left_out.reply.told.is_full());
        // With every name of every exchange asked for, none is missing.
        let mut noted = Noted { every: true, ..Noted::of_request(&left_out) };
        for name in ["x-debug", "x-1000", "x-debug"] {
            noted.note(&name.parse().unwrap());
        }
        assert_eq!(listed(&noted.known), "x-debug, x-1000");
    }
}
