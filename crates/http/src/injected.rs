//! What a target must not give back: the credentials that the bridge presented to it, in the forms in which one
//! comes back.

use crate::plain::Plain;
use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue};
use ironbridge_seal::hash;
use memchr::memmem::Finder;
use std::sync::Arc;

/// Credentials presented to one target lately, the newest first. A renewed one may be good for a while, and a
/// target may have kept it; so it is the target's, and outlives what is declared of it.
#[derive(Default)]
pub struct Injected(ArcSwap<Vec<Arc<Credential>>>);

/// So many, and not more, are looked for.
const REMEMBERED: usize = 4;

/// A secret of fewer bytes is found only where it stands alone: within a text it would be found by chance.
const FOUND_WITHIN: usize = 8;

/// So much of a secret that comes in pieces may leave before the rest is seen. Holding back less would now and then
/// keep the last bytes of a message that has nothing to do with it.
pub(crate) const HELD_FROM: usize = 4;

/// One credential.
pub struct Credential {
    value: HeaderValue,
    /// What gives it away, wherever it stands.
    within: Box<[Finder<'static>]>,
    /// The same in a field's name, which has no case.
    in_names: Box<[Finder<'static>]>,
    /// What gives it away where it is the whole of a value.
    alone: Box<[Box<[u8]>]>,
    longest: usize,
}

impl Injected {
    /// Remembers what is about to be presented. `secrets` are the parts of the value that are secret by themselves.
    pub fn note<'s>(&self, value: &HeaderValue, secrets: impl FnOnce() -> Vec<&'s [u8]>) {
        let known = self.0.load();
        if known.first().is_some_and(|newest| newest.value == value) {
            return;
        }
        let new = Arc::new(Credential::new(value.clone(), &secrets()));
        self.0.rcu(|known| {
            let older = known.iter().filter(|older| older.value != value).take(REMEMBERED - 1);
            std::iter::once(&new).chain(older).map(Arc::clone).collect::<Vec<_>>()
        });
    }

    /// What was presented by now; `None` where that is nothing.
    pub fn known(&self) -> Option<Known> {
        let known = self.0.load_full();
        (!known.is_empty()).then_some(Known(known))
    }
}

/// The credentials to look for in one reply.
#[derive(Clone)]
pub struct Known(Arc<Vec<Arc<Credential>>>);

impl Known {
    /// These and those that were presented since, where there are such.
    pub fn renewed(&self, injected: &Injected) -> Option<Known> {
        let now = injected.0.load();
        if now.iter().all(|credential| self.has(credential)) {
            return None;
        }
        let older = self.0.iter().filter(|older| !now.iter().any(|newer| newer.value == older.value));
        let all = now.iter().chain(older).take(2 * REMEMBERED).map(Arc::clone);
        Some(Known(Arc::new(all.collect())))
    }

    fn has(&self, credential: &Arc<Credential>) -> bool {
        self.0.iter().any(|known| Arc::ptr_eq(known, credential))
    }

    /// Whether a field holds one, in its name or in its value.
    pub fn in_field(&self, name: &HeaderName, value: &HeaderValue) -> bool {
        let name = name.as_str().as_bytes();
        let named = |finder: &Finder<'_>| finder.needle().len() <= name.len() && finder.find(name).is_some();
        self.0.iter().any(|credential| credential.in_names.iter().any(named))
            || self.in_value(value.as_bytes())
    }

    /// Whether a field's value holds one.
    fn in_value(&self, value: &[u8]) -> bool {
        self.0.iter().any(|credential| credential.alone.iter().any(|alone| **alone == *value.trim_ascii()))
            || self.in_body(value)
    }

    /// Whether a whole body holds one, also where encodings write it in another way.
    pub fn in_body(&self, body: &[u8]) -> bool {
        let mut found = self.in_bytes(body);
        Plain::each(body, |reading| found = found || self.in_bytes(reading));
        found
    }

    /// Whether these bytes hold one as it is.
    pub fn in_bytes(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|credential| credential.within.iter().any(|finder| finder.find(bytes).is_some()))
    }

    /// How many bytes at the end may be the beginning of one.
    pub fn begun(&self, bytes: &[u8]) -> usize {
        let finders = self.0.iter().flat_map(|credential| &credential.within);
        finders.map(|finder| begun(finder.needle(), bytes)).max().unwrap_or(0)
    }

    /// The longest form of one, in bytes.
    pub fn longest(&self) -> usize {
        self.0.iter().map(|credential| credential.longest).max().unwrap_or(0)
    }
}

impl Credential {
    fn new(value: HeaderValue, secrets: &[&[u8]]) -> Credential {
        let (mut within, mut alone) = (Vec::new(), Vec::<Box<[u8]>>::new());
        for secret in secrets {
            alone.push((*secret).into());
            if secret.len() < FOUND_WITHIN {
                within.push([b"\"", *secret, b"\""].concat());
                continue;
            }
            within.push(secret.to_vec());
            // Of JSON in base64, as the payload of a token is, the text below is not looked at.
            for written in [secret.to_vec(), json(secret, ""), json(secret, "/")] {
                within.extend((0..3).filter_map(|offset| encoded(&written, offset)));
            }
            within.push(xml(secret));
            let hex = hash::hex(secret);
            within.extend([hex.to_ascii_uppercase().into_bytes(), hex.into_bytes()]);
        }
        let in_url: Vec<Vec<u8>> = within.iter().map(|form| url_alphabet(form)).collect();
        within.extend(in_url);
        // A secret that looks encoded itself is found in what reads it so, too.
        let plain: Vec<Vec<u8>> = within.iter().map(|form| Plain::whole(form)).collect();
        within.extend(plain);
        within.retain(|form| form.len() >= FOUND_WITHIN || form.starts_with(b"\""));
        within.sort();
        within.dedup();
        let longest = within.iter().map(Vec::len).max().unwrap_or(0);
        let mut in_names: Vec<Vec<u8>> = within.iter().map(|form| form.to_ascii_lowercase()).collect();
        in_names.retain(|form| HeaderName::from_bytes(form).is_ok());
        in_names.sort();
        in_names.dedup();
        let in_names = in_names.iter().map(|form| Finder::new(form).into_owned()).collect();
        let within = within.iter().map(|form| Finder::new(form).into_owned()).collect();
        Credential { value, within, in_names, alone: alone.into(), longest }
    }
}

/// What base64 makes of a secret that begins so many bytes after a group of three, less the characters at both ends
/// that depend on what stands beside it.
fn encoded(secret: &[u8], offset: usize) -> Option<Vec<u8>> {
    let text = hash::base64(&[&vec![0; offset], secret].concat());
    let (first, last) = ((offset * 8).div_ceil(6), (offset + secret.len()) * 8 / 6);
    text.as_bytes().get(first..last).map(<[u8]>::to_vec)
}

/// The same in the alphabet of base64url; other texts have few of these characters.
fn url_alphabet(form: &[u8]) -> Vec<u8> {
    let url = |byte: &u8| match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => *other,
    };
    form.iter().map(url).collect()
}

/// As JSON writes it within a text: some put a backslash before `/`, too.
fn json(secret: &[u8], also: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(secret.len());
    for byte in secret {
        if matches!(byte, b'"' | b'\\') || also.as_bytes().contains(byte) {
            text.push(b'\\');
        }
        text.push(*byte);
    }
    text
}

/// As XML and HTML write it. Of a secret with a backslash, this is not seen once that is taken for an escape.
fn xml(secret: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(secret.len());
    for byte in secret {
        match byte {
            b'&' => text.extend_from_slice(b"&amp;"),
            b'<' => text.extend_from_slice(b"&lt;"),
            b'>' => text.extend_from_slice(b"&gt;"),
            b'"' => text.extend_from_slice(b"&quot;"),
            other => text.push(*other),
        }
    }
    text
}

/// How many bytes at the end of `bytes` are a beginning of `needle`, from [`HELD_FROM`] on.
fn begun(needle: &[u8], bytes: &[u8]) -> usize {
    let Some(first) = needle.first() else { return 0 };
    let from = bytes.len().saturating_sub(needle.len().saturating_sub(1));
    let end = bytes.get(from..).unwrap_or_default();
    memchr::memchr_iter(*first, end)
        .filter_map(|at| end.get(at..))
        .find(|rest| rest.len() >= HELD_FROM && needle.starts_with(rest))
        .map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn known(secrets: &[&str]) -> Known {
        let injected = Injected::default();
        for secret in secrets {
            let value = HeaderValue::try_from(format!("Bearer {secret}")).unwrap();
            injected.note(&value, || vec![secret.as_bytes()]);
        }
        injected.known().unwrap()
    }

    #[test]
    fn a_credential_is_found_in_every_form() {
        let known = known(&["s3cr/t<T>+0\"ken"]);
        let twice = r#"{"a":"{\"b\":\"s3cr\\/t<T>+0\\\"ken\"}"}"#;
        for body in [
            "s3cr/t<T>+0\"ken",
            r#"{"authorization":"Bearer s3cr/t<T>+0\"ken"}"#,
            r#"{"a":"s3cr\/t<T>+0\"ken"}"#,
            r#"{"a":"\u0073\u0033cr\u002Ft\u003cT\u003e+0\u0022ken"}"#,
            twice,
            "<a>s3cr/t&lt;T&gt;+0&quot;ken</a>",
            "?t=s3cr%2Ft%3CT%3E%2b0%22ken",
            "?t=%73%33cr%252Ft%253CT%253E%252b0%2522ken",
            "<a>s3cr&#x2F;t&lt;T&gt;&plus;0&#34;ken</a>",
            r#"{"html":"<a>s3cr\/t&lt;T&gt;+0&quot;ken</a>"}"#,
            "s\x003\0c\0r\0/\0t\0<\0T\0>\0+\x000\0\"\0k\0e\0n\0",
            "7333 and 733363722f743c543e2b30226b656e",
            "733363722F743C543E2B30226B656E",
        ] {
            assert!(known.in_body(body.as_bytes()), "{body}");
        }
        for broken in ["\n ", "\r\n\t", "\n    ", "\\n  ", "%0A%20", "&#10;&#32;"] {
            let folded = hash::base64(b"bridge:s3cr/t<T>+0\"ken").replace("0", &format!("0{broken}"));
            assert!(known.in_body(folded.as_bytes()), "{folded}");
        }
        for token in [r#"{"a":"s3cr\/t<T>+0\"ken"}"#, r#"{"key":"s3cr/t<T>+0\"ken"}"#] {
            assert!(known.in_body(hash::base64url(token.as_bytes()).as_bytes()), "{token}");
        }
        for before in ["", "u:", "us:", "bridge:"] {
            let encoded = hash::base64(format!("{before}s3cr/t<T>+0\"ken and more").as_bytes());
            assert!(known.in_body(encoded.as_bytes()), "{before}");
            let url = hash::base64url(format!("{before}s3cr/t<T>+0\"ken").as_bytes());
            assert!(known.in_body(url.as_bytes()), "{before}");
        }
        let lines = hash::base64(b"bridge:s3cr/t<T>+0\"ken");
        let (first, second) = lines.split_at(13);
        for broken in ["\r\n", "\n", "\\r\\n", "%0D%0A", "&#10;"] {
            assert!(known.in_body(format!("{first}{broken}{second}").as_bytes()), "{broken}");
        }
        for body in ["", "s3cr/t<T>+0", r#"{"a":"\u00"}"#, "%", "%2", "\\", r"\u", r"\ud800"] {
            assert!(!known.in_body(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn a_credential_that_looks_encoded_is_found() {
        for secret in ["abc%41def%2Fghi", r"abc\u0041\def", "abc&amp;def&#43;ghi"] {
            let known = known(&[secret]);
            let percent: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
            for body in [secret.to_owned(), format!("{secret:?}"), percent, secret.replace('&', "&amp;")] {
                assert!(known.in_body(body.as_bytes()), "{body}");
            }
        }
    }

    #[test]
    fn a_short_secret_is_found_where_it_stands_alone() {
        let known = known(&["pw"]);
        assert!(known.in_value(b"pw") && known.in_value(b" pw ") && known.in_body(br#"{"a":"pw"}"#));
        assert!(!known.in_value(b"pwd") && !known.in_body(b"the pw is pw"));
    }

    #[test]
    fn a_fields_name_gives_it_away_too() {
        let known = known(&["abc-DEF_123", "s3cr/t-of-the-bridge"]);
        let holds = |name: &str, value: &str| {
            known.in_field(&HeaderName::try_from(name).unwrap(), &HeaderValue::try_from(value).unwrap())
        };
        for name in [
            "x-abc-def_123",
            "abc-def_123-x",
            "x-733363722f742d6f662d7468652d627269646765",
            &format!("x-{}", hash::base64url(b"abc-DEF_123")),
        ] {
            assert!(holds(name, "1"), "{name}");
        }
        assert!(holds("x-a", "s3cr/t-of-the-bridge") && !holds("x-abc-def", "s3cr/t-of-the"));
    }

    #[test]
    fn older_credentials_are_remembered_for_a_while() {
        let known = known(&[
            "token-number-1",
            "token-number-2",
            "token-number-3",
            "token-number-4",
            "token-number-5",
        ]);
        assert!(!known.in_body(b"token-number-1"));
        for number in 2..=5 {
            assert!(known.in_body(format!("token-number-{number}").as_bytes()));
        }
    }

    #[test]
    fn what_begins_at_the_end_is_seen() {
        let known = known(&["abcabcabcd"]);
        for (bytes, begun) in [
            ("xabcabc", 6),
            ("xabc", 0),
            ("abca", 4),
            ("abcabcabc", 9),
            ("abcabcabcabcab", 8),
            ("abcabcabcabcabc", 9),
            ("", 0),
        ] {
            assert_eq!(known.begun(bytes.as_bytes()), begun, "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let known = known(&["abcabcabcd"]);
            let _ = (known.in_body(&bytes), known.in_value(&bytes), known.begun(&bytes));
        }

        #[test]
        fn whatever_stands_around_it(before in "[a-z\\\\%\"]{0,8}", after in "[a-z\\\\%\"]{0,8}") {
            let text = format!("{before}-abcabcabcd-{after}");
            prop_assert!(known(&["abcabcabcd"]).in_body(text.as_bytes()));
        }
    }
}
