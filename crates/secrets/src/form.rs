//! What a secret can be, by what it goes into.

use serde::de::IgnoredAny;
use std::str;

/// What a secret goes into, which decides what it can be. What it cannot be is refused before it is sent: a target says
/// to it no more than 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretForm {
    /// What stands behind `Bearer ` (RFC 6750 §2.1).
    Token,
    /// A password (RFC 7617 §2).
    Password,
    /// What a client proves itself with (RFC 6749 §A.2).
    ClientSecret,
    /// The whole value of a header field (RFC 9110 §5.5).
    FieldValue,
    /// The whole value of an Authorization field: a scheme and what belongs to it (RFC 9110 §11.4).
    Authorization,
    /// A key that only signs: it is not sent, so nothing else bounds what it is made of.
    SigningKey,
}

impl SecretForm {
    /// Why a value cannot be right; never with any of it.
    ///
    /// # Errors
    /// The rest of a sentence that begins with what the secret is.
    pub fn judge(self, value: &[u8]) -> Result<(), &'static str> {
        self.begins(value)?;
        match self {
            SecretForm::Token => token(value),
            SecretForm::Password | SecretForm::ClientSecret => controls(value),
            SecretForm::FieldValue => field_value(value),
            SecretForm::Authorization => authorization(value),
            SecretForm::SigningKey => visible(value),
        }
    }

    /// What a program puts before a text to say how it is encoded, or around it to say what it is.
    fn begins(self, value: &[u8]) -> Result<(), &'static str> {
        match value {
            [] => Err("is empty"),
            [b'{', ..] if self.stands_in_json() && is_json(value) => {
                Err("is a JSON object: name the member that is meant, as in secret://sealed/NAME#MEMBER")
            }
            [0xef, 0xbb, 0xbf, ..] | [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                Err("begins with a byte order mark, as editors on Windows put it before a text")
            }
            _ => Ok(()),
        }
    }

    /// Who issues one often hands it out as a member of an object, and it is none itself. A password may be one (the key
    /// file of a Google service account is, beside the name `_json_key`), and so may the value of a field.
    fn stands_in_json(self) -> bool {
        matches!(self, SecretForm::Token | SecretForm::ClientSecret)
    }
}

/// Without keeping copies of what it holds.
fn is_json(value: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(value).is_ok()
}

fn token(value: &[u8]) -> Result<(), &'static str> {
    if scheme(value).is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer")) {
        return Err("begins with `Bearer `, which the bridge puts before it: the token alone is meant");
    }
    visible(value)?;
    // Beside b64token what some issuers write, as `12|abc` and `12:abc`; no quotation marks, braces or pointed brackets,
    // which come from where it was copied.
    let may_stand = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=!#$%&*^`|:@;,()?[]".contains(byte);
    match value.iter().all(may_stand) {
        true => Ok(()),
        false => {
            Err("holds a quotation mark, a brace or another character that no token has (RFC 6750 §2.1)")
        }
    }
}

fn controls(value: &[u8]) -> Result<(), &'static str> {
    match value.iter().any(u8::is_ascii_control) {
        true => Err("holds a line break or another control character"),
        false => Ok(()),
    }
}

fn visible(value: &[u8]) -> Result<(), &'static str> {
    controls(value)?;
    if value.contains(&b' ') {
        return Err("holds a blank");
    }
    match value.is_ascii() {
        true => Ok(()),
        false => Err("holds a character outside ASCII, perhaps one that is not seen"),
    }
}

fn field_value(value: &[u8]) -> Result<(), &'static str> {
    // A tab may stand inside a field's value.
    if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err("holds a line break or another control character, which no header field can carry");
    }
    let blank = |byte: Option<&u8>| byte.is_some_and(|byte| b" \t".contains(byte));
    if blank(value.first()) || blank(value.last()) {
        return Err("begins or ends with a blank, which no header field keeps");
    }
    match str::from_utf8(value).is_ok_and(|text| text.chars().any(is_unseen)) {
        true => Err("holds a character that is not seen, such as a no-break space"),
        false => Ok(()),
    }
}

/// What comes along when a text is copied out of a page: blanks of other kinds, and characters of no width.
fn is_unseen(c: char) -> bool {
    !c.is_ascii() && (c.is_whitespace() || c.is_control())
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

fn authorization(value: &[u8]) -> Result<(), &'static str> {
    field_value(value)?;
    match scheme(value) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer") => token(rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"basic") => visible(rest),
        Some(_) => Ok(()),
        None => Err("is no scheme with what belongs to it, as in `Bearer …`"),
    }
}

/// The scheme and what stands behind its blanks.
fn scheme(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = value.split_at(at);
    let is_word =
        !scheme.is_empty() && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    is_word.then(|| (scheme, rest.trim_ascii_start()))
}

#[cfg(test)]
mod tests {
    use super::SecretForm::{Authorization, ClientSecret, FieldValue, Password, SigningKey, Token};

    #[test]
    fn what_can_be_right_is_taken() {
        for (form, values) in [
            (
                Token,
                &[
                    "abc",
                    "a.b-c_d~e+f/g==",
                    "12|abc",
                    "12:AbC",
                    "a@b;c,d(e)?[f]",
                    "bearer",
                    "xoxb-1-2",
                    "%24a*b!",
                ][..],
            ),
            (
                Password,
                &[
                    "{x}",
                    "{",
                    " two words ",
                    "\u{fc}ber",
                    "a:b",
                    "\"",
                    "Bearer x",
                    "{}",
                    "{\"type\": \"service_account\", \"private_key\": \"x\\ny\"}",
                ],
            ),
            (ClientSecret, &["{x}", "{", "{\"a\":", " two words ", "a:b", "Bearer x"]),
            (
                FieldValue,
                &[
                    "{\"user\":\"a\",\"key\":\"b\"}",
                    "abc",
                    "Token token=\"x\", n=1",
                    "a\tb",
                    "\u{fc}ber",
                    "Bearer abc",
                ],
            ),
            (Authorization, &["Bearer abc", "Basic dTpw", "Splunk 1-2", "Token token=\"a b\""]),
            (SigningKey, &["wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"]),
        ] {
            for value in values {
                assert_eq!(form.judge(value.as_bytes()), Ok(()), "{form:?} {value:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_right_is_refused() {
        for (form, values) in [
            (
                Token,
                &[
                    "",
                    "Bearer abc",
                    "bearer  abc",
                    "BEARER abc",
                    "\u{feff}abc",
                    " abc",
                    "abc ",
                    "a b",
                    "a\tb",
                    "\tabc",
                    "abc\u{a0}",
                    "t\u{f6}ken",
                    "\u{200b}abc",
                    "\"abc\"",
                    "'abc'",
                    "{\"token\":\"abc\"}",
                    "<token>",
                    "${TOKEN}",
                    "a\nb",
                    "abc\r",
                    "a\0b",
                    "a\u{7f}",
                    "Authorization: Bearer abc",
                    "Basic dTpw",
                    "abc\\",
                    "\u{ff41}bc",
                ][..],
            ),
            (Password, &["", "\u{feff}pw", "p\nw", "p\tw", "p\0w", "pw\r", "\u{7f}pw", "\u{1b}[0m"]),
            (
                ClientSecret,
                &[
                    "",
                    "{\"client_secret\":\"x\",\"other\":1}",
                    "{\"client_secret\":\"x\"}",
                    "{}",
                    "{ }\n",
                    "\u{feff}s",
                    "s\n",
                ],
            ),
            (
                FieldValue,
                &[
                    "",
                    "\u{feff}k",
                    " k",
                    "k ",
                    "\tk",
                    "k\t",
                    "k\n",
                    "a\0b",
                    "a\u{7f}",
                    "k\u{a0}",
                    "\u{200b}k",
                    "k\u{2060}",
                ],
            ),
            (
                Authorization,
                &[
                    "",
                    "abc",
                    "Bearer",
                    "Bearer ",
                    "Bearer Bearer abc",
                    "Bearer a b",
                    "Bearer \"abc\"",
                    "Basic u:p w",
                    " Bearer abc",
                    "Bearer abc ",
                    "\u{feff}Bearer abc",
                    "Authorization: Bearer abc",
                    "Bearer a\u{a0}",
                ],
            ),
            (SigningKey, &["", " k", "k\n", "k\t", "\u{feff}k", "k\u{a0}"]),
        ] {
            for value in values {
                assert!(form.judge(value.as_bytes()).is_err(), "{form:?} {value:?}");
            }
        }
        for value in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a"] {
            assert!(FieldValue.judge(value).is_err());
        }
    }
}
