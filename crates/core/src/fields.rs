//! The header and trailer fields that the bridge knows by name: what crosses without being declared, and what no
//! declaration can let across. Manifest, framing gate and transport ask this one table; the manual prints it.

mod all;

pub use all::{AS_USUAL, LEFT_OUT, LeftOut, Side, left_out_of_all};

/// Where a field crosses that nobody declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Only where it is declared.
    Declared,
    /// Wherever it is sent.
    Always,
    /// Where no control reads the reply: parts and encodings of one cannot be judged as a whole.
    Unread,
    /// Where no keep list filters the replies: it says something of the whole body, held-back members included.
    Unfiltered,
    /// In the handshake of an operation that may switch to WebSocket.
    Handshake,
}

impl When {
    /// As the manual says it.
    pub const fn words(self) -> &'static str {
        match self {
            When::Declared => "where declared",
            When::Always => "always",
            When::Unread => "where no control reads the reply",
            When::Unfiltered => "where no keep list filters replies",
            When::Handshake => "in its handshake",
        }
    }
}

/// Fields that cross for one reason.
#[derive(Debug)]
pub struct Group {
    /// What they have in common, as the manual says it.
    pub what: &'static str,
    /// When they cross toward the target.
    pub request: When,
    /// When they cross back.
    pub reply: When,
    /// In small letters.
    pub names: &'static [&'static str],
}

/// What crosses although nothing declares it: what HTTP, gRPC and WebSocket need to mean the same on both sides.
pub const CROSSING: &[Group] = &[
    Group {
        what: "What the body is",
        request: When::Always,
        reply: When::Always,
        names: &["content-type", "content-language", "content-encoding", "cache-control"],
    },
    Group {
        what: "Content negotiation",
        request: When::Always,
        reply: When::Declared,
        names: &["accept", "accept-language", "prefer"],
    },
    Group {
        what: "Parts and encodings of a reply",
        request: When::Unread,
        reply: When::Declared,
        names: &["accept-encoding", "range", "if-range"],
    },
    Group { what: "Parts of a body", request: When::Always, reply: When::Unread, names: &["content-range"] },
    Group {
        // An entity tag is often a hash of the whole body: guessed ones would tell what a keep list holds back.
        what: "Conditions",
        request: When::Unfiltered,
        reply: When::Declared,
        names: &["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"],
    },
    Group {
        what: "Tracing, repeated requests, resumed event streams",
        request: When::Always,
        reply: When::Declared,
        names: &["traceparent", "tracestate", "idempotency-key", "last-event-id"],
    },
    Group {
        what: "Which state of the thing a reply shows, and how long it holds",
        request: When::Declared,
        reply: When::Always,
        names: &["last-modified", "expires", "age", "vary", "date"],
    },
    Group {
        what: "The same, of the whole body",
        request: When::Declared,
        reply: When::Unfiltered,
        names: &["etag", "accept-ranges"],
    },
    Group {
        what: "What to do with a reply",
        request: When::Declared,
        reply: When::Always,
        names: &["location", "link", "retry-after", "content-disposition", "preference-applied"],
    },
    Group {
        what: "gRPC",
        request: When::Always,
        reply: When::Always,
        names: &["grpc-encoding", "grpc-accept-encoding"],
    },
    Group { what: "gRPC", request: When::Always, reply: When::Declared, names: &["grpc-timeout"] },
    Group { what: "gRPC, also as trailers", request: When::Declared, reply: When::Always, names: &TRAILERS },
    Group {
        what: "WebSocket",
        request: When::Handshake,
        reply: When::Declared,
        // The target judges whether it serves pages of that origin (RFC 6455 §10.2).
        names: &["sec-websocket-key", "sec-websocket-version", "origin"],
    },
    Group {
        what: "WebSocket",
        request: When::Handshake,
        reply: When::Handshake,
        names: &["sec-websocket-protocol", "sec-websocket-extensions"],
    },
    Group {
        what: "WebSocket",
        request: When::Declared,
        reply: When::Handshake,
        names: &["sec-websocket-accept"],
    },
];

/// What may follow the body of a reply although nothing declares it.
pub const TRAILERS: [&str; 3] = ["grpc-status", "grpc-message", "grpc-status-details-bin"];

/// Fields that say something of the whole body, so that they are wrong, and tell of what was held back, where a
/// keep list filters it.
pub const OF_THE_WHOLE_BODY: &[&str] = &[
    "etag",
    "accept-ranges",
    "content-range",
    "content-digest",
    "repr-digest",
    "unencoded-digest",
    "digest",
    "content-md5",
    "signature",
    "signature-input",
];

/// Fields that are the bridge's, for one reason. A name that ends in `*` stands for all that begin so.
#[derive(Debug)]
pub struct Owned {
    /// Follows the field's name: "`host` …".
    pub why: &'static str,
    /// In small letters.
    pub names: &'static [&'static str],
}

const OF_THE_CONNECTION: &str = "belongs to one connection, or frames and routes the message";
const OF_SOFTWARE: &str = "names the target's software or what stands before it";
const WHO_CALLS: &str = "says who calls, which only the bridge may say";

/// What no declaration lets across, in either direction.
pub const OWNED: &[Owned] = &[
    Owned {
        why: OF_THE_CONNECTION,
        names: &[
            "connection",
            "content-length",
            "expect",
            "host",
            "http2-settings",
            "keep-alive",
            "max-forwards",
            "proxy-*",
            "sec-websocket-*",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "via",
        ],
    },
    Owned {
        why: "carries a credential, or asks for one",
        names: &[
            "authentication-info",
            "authorization",
            "cookie",
            "cookie2",
            "set-cookie",
            "set-cookie2",
            "www-authenticate",
            "x-api-key",
        ],
    },
    Owned {
        why: WHO_CALLS,
        names: &[
            "cdn-loop",
            "cf-*",
            "client-cert",
            "client-cert-chain",
            "client-ip",
            "fastly-client-ip",
            "fly-client-ip",
            "forwarded",
            "forwarded-*",
            "remote-*",
            "ssl-client-*",
            "true-client-ip",
            "x-amzn-mtls-*",
            "x-arr-clientcert",
            "x-auth-request-*",
            "x-azure-clientip",
            "x-azure-socketip",
            "x-client-cert*",
            "x-client-ip",
            "x-cluster-client-ip",
            "x-envoy-*",
            "x-forwarded*",
            "x-original-forwarded-for",
            "x-original-host",
            "x-originating-ip",
            "x-real-ip",
            "x-remote-*",
            "x-ssl-*",
        ],
    },
    Owned {
        why: "puts another method, path or host in place of what was judged",
        names: &[
            "x-http-method",
            "x-http-method-override",
            "x-method-override",
            "x-host",
            "x-original-method",
            "x-original-uri",
            "x-original-url",
            "x-rewrite-url",
        ],
    },
    Owned {
        why: "is what the bridge itself says of an exchange",
        names: &["idempotency-replayed", "ratelimit", "ratelimit-policy", "x-correlation-id"],
    },
    Owned {
        why: "speaks for the bridge's whole address, or names another",
        names: &[
            "alt-svc",
            "clear-site-data",
            "content-location",
            "expect-ct",
            "nel",
            "public-key-pins*",
            "refresh",
            "report-to",
            "reporting-endpoints",
            "service-worker-allowed",
            "strict-transport-security",
        ],
    },
    Owned {
        why: OF_SOFTWARE,
        names: &[
            "server",
            "x-aspnet-version",
            "x-aspnetmvc-version",
            "x-backend-server",
            "x-powered-by",
            "x-served-by",
            "x-upstream",
        ],
    },
];

/// Why a field is the bridge's, if it is. Any punctuation counts as a hyphen: targets in the manner of CGI (RFC 3875
/// §4.1.18) make an underscore of a hyphen, and some of them of every such character. Case does not matter.
pub fn owned(name: &str) -> Option<&'static str> {
    OWNED.iter().find(|owned| owned.names.iter().any(|known| belongs(name, known))).map(|owned| owned.why)
}

fn belongs(name: &str, known: &str) -> bool {
    match known.strip_suffix('*') {
        Some(family) => name.as_bytes().get(..family.len()).is_some_and(|start| alike(start, family)),
        None => alike(name.as_bytes(), known),
    }
}

/// The field, or family of fields, that only a proxy sends: who does forwards for somebody.
pub fn of_a_proxy(name: &str) -> Option<&'static str> {
    let of_proxies = OWNED.iter().filter(|owned| owned.why == WHO_CALLS).flat_map(|owned| owned.names);
    of_proxies.copied().chain(["via"]).find(|known| belongs(name, known))
}

/// Whether nobody misses a field that stays here: the bridge takes it up itself or writes its own, or it says nothing of
/// the message.
pub fn is_written_anew(name: &str) -> bool {
    ["authorization", "x-api-key", "forwarded", "x-forwarded-for", "x-forwarded-proto"].contains(&name)
        || owned(name).is_some_and(|why| why == OF_THE_CONNECTION || why == OF_SOFTWARE)
}

/// Whether a field may follow a body: none that is the bridge's, and none that means something only before the
/// body (RFC 9110 §6.5.1).
pub fn may_trail(name: &str) -> bool {
    let before = |name: &str| {
        CROSSING.iter().flat_map(|group| group.names).any(|known| alike(name.as_bytes(), known))
            || OF_CONTROL.iter().any(|known| alike(name.as_bytes(), known))
    };
    owned(name).is_none() && (is_trailer(name) || !before(name))
}

/// Whether it may follow the body of a reply without being declared.
pub fn is_trailer(name: &str) -> bool {
    TRAILERS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether two names are one to a target that takes all punctuation for the same.
pub fn twins(one: &str, other: &str) -> bool {
    alike(one.as_bytes(), other)
}

/// Fields that name the attempt or who makes it, and may differ when the same request is sent again.
pub const OF_THE_ATTEMPT: &[&str] = &[
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "b3",
    "baggage",
    "correlation-context",
    "date",
    "elastic-apm-traceparent",
    "newrelic",
    "request-id",
    "sentry-trace",
    "uber-trace-id",
    "user-agent",
    "x-amzn-trace-id",
    "x-b3-flags",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-client-request-id",
    "x-cloud-trace-context",
    "x-datadog-origin",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-tags",
    "x-datadog-trace-id",
    "x-goog-api-client",
    "x-instana-l",
    "x-instana-s",
    "x-instana-t",
    "x-ms-client-request-id",
    "x-newrelic-id",
    "x-newrelic-transaction",
    "x-ot-span-context",
    "x-request-id",
    "x-retry-attempt",
    "x-retry-count",
    "x-stainless-read-timeout",
    "x-stainless-retry-count",
    "x-stainless-timeout",
    "x-trace-id",
];

/// Further fields that control how a message is taken (RFC 9110 §6.5.1).
const OF_CONTROL: &[&str] =
    &["accept-charset", "allow", "origin", "pragma", "referer", "user-agent", "warning"];

/// `known` is in lower case.
fn alike(name: &[u8], known: &str) -> bool {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    name.len() == known.len()
        && name.iter().zip(known.bytes()).all(|(byte, known)| fold(*byte) == fold(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_bridges_is_no_ones_to_declare() {
        for name in [
            "Host",
            "x-forwarded-for",
            "X_Forwarded_For",
            "x-forwarded",
            "proxy-status",
            "CF-Connecting-IP",
            "remote_user",
            "sec-websocket-key",
            "x-client-certificate",
            "Set-Cookie2",
            "idempotency_replayed",
            "x.real.ip",
            "set.cookie",
            "x~api~key",
            "proxy_authorization",
            "X+HTTP|Method!Override",
        ] {
            assert!(owned(name).is_some(), "{name}");
        }
        for name in ["x-tenant", "etag", "hosts", "x-request-id", "x-forward", "linked", "server-timing", ""]
        {
            assert_eq!(owned(name), None, "{name}");
        }
    }

    #[test]
    fn what_means_something_before_the_body_does_not_follow_it() {
        for name in ["grpc-status", "Grpc-Message", "x-sum", "content-digest", "server-timing"] {
            assert!(may_trail(name), "{name}");
        }
        for name in [
            "x-real-ip",
            "client-cert",
            "x-http-method-override",
            "Range",
            "if_match",
            "content-type",
            "grpc-timeout",
            "x-api-key",
            "x_api_key",
            "location",
            "link",
            "retry-after",
            "age",
            "cookie",
            "max-forwards",
            "pragma",
            "trailer",
        ] {
            assert!(!may_trail(name), "{name}");
        }
    }

    #[test]
    fn no_name_stands_twice() {
        let mut seen = std::collections::HashSet::new();
        let crossing = CROSSING.iter().flat_map(|group| group.names);
        for name in crossing.chain(OWNED.iter().flat_map(|owned| owned.names)) {
            assert!(seen.insert(name), "{name}");
            assert_eq!(name.to_ascii_lowercase(), **name);
        }
        // Only the handshake of a WebSocket is both: it crosses as a whole, checked, and never because it is declared.
        for group in
            CROSSING.iter().filter(|group| group.request != When::Handshake && group.reply != When::Handshake)
        {
            for name in group.names {
                assert_eq!(owned(name), None, "{name}");
            }
        }
    }
}
