//! Which paths are plain enough to be routed. Systems disagree on how to read the others, so they are refused.

/// Longest request target accepted, in bytes: RFC 9110 §4.1 recommends at least 8000.
pub const MAX_TARGET: usize = 8000;

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambiguous(pub &'static str);

/// Accepts an absolute path that every system reads alike (RFC 3986 §3.3): no empty or dot segments, no
/// backslash, no control character, and percent-encoding that is complete and hides none of these.
pub fn check(path: &str) -> Result<(), Ambiguous> {
    let Some(rest) = path.strip_prefix('/') else { return Err(Ambiguous("it does not start with a slash")) };
    if !path.is_ascii() {
        return Err(Ambiguous("it holds bytes above ASCII"));
    }
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err(Ambiguous("it has an empty segment"));
        }
        check_segment(segment)?;
    }
    Ok(())
}

fn check_segment(segment: &str) -> Result<(), Ambiguous> {
    if segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_~!$&'()*+,=:@".contains(&byte)) {
        return Ok(());
    }
    let decoded = decode(segment).ok_or(Ambiguous("its percent-encoding is broken"))?;
    if decoded.chars().any(|c| c.is_control()) {
        return Err(Ambiguous("it holds a control character"));
    }
    if decoded.contains(['/', '\\']) {
        return Err(Ambiguous("it holds an encoded slash or a backslash"));
    }
    // Some servers cut path parameters off before they resolve dots: `..;x` becomes `..`.
    let name = decoded.split(';').next().unwrap_or_default();
    if !segment.is_empty() && matches!(name, "." | "..") {
        return Err(Ambiguous("it has a dot segment"));
    }
    // A second decoding must not bring out what the first one hid.
    if let Some(twice) = decode(&decoded)
        && (twice.contains(['/', '\\', '\0']) || matches!(twice.as_str(), "." | ".."))
    {
        return Err(Ambiguous("it is encoded twice"));
    }
    Ok(())
}

/// Percent-decodes; `None` when an escape is cut off or the result is not UTF-8.
pub fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => (hex(bytes.next()?)? << 4) | hex(bytes.next()?)?,
            plain => plain,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_paths_pass() {
        for path in [
            "/",
            "/orders",
            "/orders/",
            "/a/b%20c/d",
            "/a/%C3%A4",
            "/v1/x;y=1/z",
            "/a..b",
            "/.well",
            "/50%25",
        ] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for path in [
            "",
            "orders",
            "//",
            "/a//b",
            "/.",
            "/..",
            "/a/../b",
            "/a/./b",
            "/%2e%2e/a",
            "/%2E/a",
            "/.%2e/a",
            "/a%2fb",
            "/a%2Fb",
            "/a\\b",
            "/a%5cb",
            "/a%00b",
            "/a%0d%0ab",
            "/a%",
            "/a%2",
            "/a%zz",
            "/%ff",
            "/..;/a",
            "/..;x=1/a",
            "/.;/a",
            "/%252e%252e/a",
            "/%252fetc",
            "/%255c",
            "/a%7f",
            "/\u{e4}",
        ] {
            assert!(check(path).is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_passes_has_no_hidden_structure(path in "/[a-z./%25cCeEfF;\\\\]{0,24}") {
            if check(&path).is_ok() {
                let decoded = decode(&path).unwrap();
                prop_assert_eq!(decoded.matches('/').count(), path.matches('/').count());
                prop_assert!(!decoded.split('/').any(|s| s == "." || s == ".."));
            }
        }
    }
}
