//! What `all` does not stand for. A declaration that lists a field by its name says that the target does not take it
//! for the bridge's word; one that says `all` has looked at none.

use super::owned;

/// Which way a field would cross.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Toward the target.
    Request,
    /// Back to the caller.
    Reply,
}

/// Names that `all` leaves out, by the words that they hold. What proxies, identity providers and frameworks call such
/// fields is without end, but not the words that they call them with.
#[derive(Debug)]
pub struct LeftOut {
    /// Follows the field's name: "`x-user` …".
    pub why: &'static str,
    /// Whether replies leave it out too.
    pub reply: bool,
    /// Words between punctuation, also behind an `x` without any. A `*` stands for anything: behind a word, before it, or
    /// on both sides of one that is long enough to mean nothing else.
    pub words: &'static [&'static str],
}

/// The words, by what they give away.
pub const LEFT_OUT: &[LeftOut] = &[
    LeftOut {
        why: "may say who calls, or what they may do",
        reply: false,
        words: &[
            "*account*",
            "acl",
            "acr",
            "acting",
            "as",
            "doas",
            "org",
            "orange*",
            "phone*",
            "runas",
            "team*",
            "actor",
            "addr*",
            "*admin*",
            "arr",
            "assert*",
            "attest*",
            "*auth*",
            "*behalf*",
            "delegat*",
            "employee*",
            "logged*",
            "obo",
            "operator*",
            "originip",
            "visitor*",
            "bypass*",
            "*caller*",
            "*calling*",
            "cert*",
            "cf",
            "*claim*",
            "*client*",
            "cn",
            "connecting",
            "consumer*",
            "customip",
            "dcmguid",
            "deviceid*",
            "dn",
            "*email*",
            "*entitlement*",
            "eppn",
            "*forward*",
            "from*",
            "group*",
            "*identit*",
            "idp",
            "iccid*",
            "imei*",
            "imsi*",
            "*impersonat*",
            "internal*",
            "ip",
            "ipaddr*",
            "iv",
            "ldap*",
            "*login*",
            "mail",
            "*msisdn*",
            "nokia*",
            "member*",
            "oidc*",
            "origip",
            "originat*",
            "*owner*",
            "peer*",
            "*permission*",
            "persona",
            "*principal*",
            "*privilege*",
            "profile*",
            "real",
            "realip",
            "remote*",
            "*role*",
            "saml*",
            "scope*",
            "shib*",
            "source",
            "sourceip",
            "*spiffe*",
            "ssl*",
            "sso*",
            "sub",
            "subno*",
            "*subscriber*",
            "subject*",
            "sudo",
            "tailscale",
            "tls*",
            "true",
            "trueip",
            "trust*",
            "uid",
            "uidh",
            "upn",
            "vodafone*",
            "*user*",
            "webauth*",
            "whoami",
            "x509*",
        ],
    },
    LeftOut {
        why: "may carry a credential",
        reply: false,
        words: &[
            "access*",
            "ak",
            "api*",
            "*bearer*",
            "*cookie*",
            "*cred*",
            "mfa*",
            "passcode*",
            "passphrase*",
            "passw*",
            "psw",
            "*pswd",
            "pw",
            "sk",
            "totp*",
            "csrf*",
            "jwe",
            "jws",
            "*jwt*",
            "*key",
            "*keys",
            "krb*",
            "otp",
            "pass",
            "*passwd",
            "*password*",
            "pin",
            "private*",
            "*pwd",
            "*secret*",
            "*session*",
            "sid",
            "*ticket*",
            "*token*",
            "xsrf*",
        ],
    },
    LeftOut {
        why: "may put another method, path, host or file in place of what was judged",
        reply: true,
        words: &[
            "accel*",
            "copy*",
            "destination*",
            "*host",
            "host*",
            "litespeed*",
            "location*",
            "*method",
            "method*",
            "middleware*",
            "original*",
            "*overrid*",
            "*path",
            "path*",
            "query",
            "querystring",
            "proto*",
            "proxied*",
            "proxy*",
            "*redirect*",
            "reproxy*",
            "*rewrit*",
            "script*",
            "sendfile*",
            "subrequest*",
            "translate",
            "*uri",
            "uri*",
            "*url",
            "url*",
            "*verb",
            "verb",
        ],
    },
    LeftOut {
        why: "is what a platform or proxy says to what stands behind it",
        reply: false,
        words: &[
            "akamai*",
            "appengine*",
            "arbitrary",
            "azure*",
            "bae",
            "bigip*",
            "citrix*",
            "geo",
            "geoip*",
            "haproxy*",
            "heroku*",
            "nginx*",
            "varnish*",
            "viewer*",
            "backend*",
            "base",
            "dest",
            "grafana*",
            "route*",
            "routing*",
            "target*",
            "cdn*",
            "cgi*",
            "cloud*",
            "cluster*",
            "dapr*",
            "edge*",
            "envoy*",
            "fastly*",
            "fly*",
            "gateway*",
            "google*",
            "http*",
            "https*",
            "imforwards",
            "incap*",
            "invoke*",
            "istio*",
            "kong*",
            "kubernetes*",
            "l5d*",
            "lighttpd*",
            "linkerd*",
            "matched",
            "netlify*",
            "nf",
            "ngrok*",
            "port*",
            "scheme*",
            "send",
            "server*",
            "slb",
            "sucuri*",
            "traefik*",
            "tyk*",
            "*upstream*",
            "uwsgi*",
            "vercel*",
            "via",
            "wap",
            "waws*",
            "wl",
        ],
    },
];

/// Fields whose names hold such a word and mean something else.
pub const AS_USUAL: &[&str] = &[
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "cdn-cache-control",
    "sec-gpc",
    "server-timing",
    "upgrade-insecure-requests",
    "user-agent",
    "x-frame-options",
];

/// Why `all` leaves a field out, if it does.
pub fn left_out_of_all(name: &str, side: Side) -> Option<&'static str> {
    if let Some(why) = owned(name) {
        return Some(why);
    }
    if AS_USUAL.iter().any(|usual| name.eq_ignore_ascii_case(usual)) {
        return None;
    }
    let groups = LEFT_OUT.iter().filter(|group| side == Side::Request || group.reply);
    let mut groups =
        groups.filter(|group| words(name).any(|word| group.words.iter().any(|known| is(word, known))));
    groups.next().map(|group| group.why)
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

/// `known` is in lower case.
fn is(word: &str, known: &str) -> bool {
    let fits = |word: &[u8]| match (known.strip_prefix('*'), known.strip_suffix('*')) {
        (Some(rest), Some(_)) => {
            let middle = rest.strip_suffix('*').unwrap_or(rest).as_bytes();
            word.windows(middle.len()).any(|part| part.eq_ignore_ascii_case(middle))
        }
        (None, Some(start)) => {
            word.get(..start.len()).is_some_and(|part| part.eq_ignore_ascii_case(start.as_bytes()))
        }
        (Some(end), None) => {
            let before = word.len().checked_sub(end.len());
            let part = before.and_then(|before| word.get(before..));
            part.is_some_and(|part| part.eq_ignore_ascii_case(end.as_bytes()))
        }
        (None, None) => word.eq_ignore_ascii_case(known.as_bytes()),
    };
    let word = word.as_bytes();
    fits(word) || word.strip_prefix(b"x").or_else(|| word.strip_prefix(b"X")).is_some_and(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_leaves_out_who_calls_what_opens_and_where_to() {
        let text = include_str!("../../cases/left_out_of_all.txt");
        let names: Vec<&str> =
            text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        let crossing: Vec<_> =
            names.iter().filter(|name| left_out_of_all(name, Side::Request).is_none()).collect();
        assert!(crossing.is_empty(), "{crossing:?}");
        assert!(names.len() > 250, "{}", names.len());
    }

    #[test]
    fn all_stands_for_what_nobody_takes_for_the_bridges_word() {
        for name in [
            "user-agent",
            "x-tenant",
            "x-trace",
            "x-request-id",
            "x-b3-traceid",
            "b3",
            "baggage",
            "dnt",
            "origin",
            "referer",
            "pragma",
            "x-requested-with",
            "sec-fetch-site",
            "sec-ch-ua-platform",
            "x-order",
            "soapaction",
            "x-hub-signature-256",
            "x-github-event",
            "x-github-delivery",
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
            "stripe-signature",
            "x-correlation",
            "x-sum",
            "content-digest",
            "digest",
            "x-version",
            "x-language",
            "x-amzn-trace-id",
            "x-datadog-trace-id",
            "sentry-trace",
            "x-goog-meta-colour",
            "x-ms-version",
            "x-ms-date",
            "ce-id",
            "ce-type",
            "accept-charset",
            "odata-version",
            "save-data",
            "priority",
            "upgrade-insecure-requests",
            "x-flight-7",
            "x-relay",
            "x-region",
            "x-currency",
            "x-dry-run",
        ] {
            assert_eq!(left_out_of_all(name, Side::Request), None, "{name}");
        }
        for name in [
            "x-backend",
            "x-error",
            "x-user-count",
            "x-total",
            "server-timing",
            "x-session-expires",
            "etag",
            "access-control-allow-methods",
            "x-frame-options",
            "warning",
            "x-ratelimit-remaining",
        ] {
            assert_eq!(left_out_of_all(name, Side::Reply), None, "{name}");
        }
        for name in [
            "x-accel-redirect",
            "x-sendfile",
            "x-reproxy-url",
            "x-lighttpd-sendfile",
            "x-litespeed-location",
            "x-middleware-rewrite",
            "x-rewrite-url",
            "x-accel-buffering",
            "server",
            "set-cookie",
        ] {
            assert!(left_out_of_all(name, Side::Reply).is_some(), "{name}");
        }
    }
}
