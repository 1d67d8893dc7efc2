//! Which fields may cross, in a header section or after a body.

use http::{HeaderMap, HeaderName};
use ironbridge_core::fields::{self, Side};

/// The fields that cross in one place of one operation. Whatever is not among them is left out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Names {
    listed: Box<[HeaderName]>,
    /// Besides the listed ones, all that `all` stands for on this side, but these.
    all_but: Option<(Side, Box<[HeaderName]>)>,
}

impl Names {
    /// Lets these pass.
    pub fn listed(names: impl IntoIterator<Item = HeaderName>) -> Names {
        Names { listed: names.into_iter().collect(), all_but: None }
    }

    /// Lets everything pass that `all` stands for ([`fields::left_out_of_all`]), less `but`.
    pub fn and_all_but(self, side: Side, but: impl IntoIterator<Item = HeaderName>) -> Names {
        Names { all_but: Some((side, but.into_iter().collect())), ..self }
    }

    /// Those that are named one by one, in their order.
    pub fn listed_ones(&self) -> &[HeaderName] {
        &self.listed
    }

    /// Whether it is named, and not only among all.
    pub fn lists(&self, name: &HeaderName) -> bool {
        self.listed.contains(name)
    }

    /// Whether it crosses.
    pub fn pass(&self, name: &HeaderName) -> bool {
        self.listed.contains(name)
            || self.all_but.as_ref().is_some_and(|(side, but)| is_free(name, *side, but))
    }

    /// Keeps, of what follows a body, what may.
    pub fn keep_trailers(&self, trailers: &mut HeaderMap) {
        let refused: Vec<_> = trailers
            .keys()
            .filter(|name| !self.pass(name) || !fields::may_trail(name.as_str()))
            .cloned()
            .collect();
        for name in refused {
            trailers.remove(name);
        }
    }
}

fn is_free(name: &HeaderName, side: Side, but: &[HeaderName]) -> bool {
    let name = name.as_str();
    fields::left_out_of_all(name, side).is_none()
        && !but.iter().any(|other| fields::twins(name, other.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<HeaderName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn only_what_is_declared_and_may_follow_a_body_does() {
        let sent = [
            "grpc-status",
            "x-sum",
            "x-api-key",
            "x-forwarded-for",
            "x-real-ip",
            "client-cert",
            "x-http-method-override",
            "range",
            "set-cookie",
            "x-erp-key",
            "x_erp_key",
            "server-timing",
            "via",
        ];
        let left = |allowed: &Names| {
            let mut trailers: HeaderMap =
                names(&sent).into_iter().map(|name| (name, "x".parse().unwrap())).collect();
            allowed.keep_trailers(&mut trailers);
            let mut left: Vec<_> = trailers.keys().map(ToString::to_string).collect();
            left.sort_unstable();
            left
        };
        assert_eq!(left(&Names::default()), [""; 0]);
        assert_eq!(left(&Names::listed(names(&["grpc-status", "x-sum", "range"]))), ["grpc-status", "x-sum"]);
        let all = Names::default().and_all_but(Side::Reply, names(&["x-erp-key"]));
        assert_eq!(left(&all), ["grpc-status", "server-timing", "x-sum"]);
    }
}
