//! One request head, judged line by line: RFC 9112 §2.2, §3, §5, §6, and stricter where systems are known to
//! disagree. A line is judged when its line feed has come, so how the bytes are split into reads changes nothing.

use super::Limits;
use super::class::{Class, is_of};
use ironbridge_core::{Code, code};
use std::net::Ipv6Addr;

/// How far a head has come.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Partial,
    Complete(Complete),
    Refused(&'static Code),
}

#[derive(Debug, PartialEq)]
pub(super) struct Complete {
    /// Of the head, its empty line included.
    pub length: usize,
    pub framing: Framing,
    /// Whether the request asks to leave HTTP (RFC 9110 §7.8).
    pub upgrade: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// The longest method; the longest registered one is UPDATEREDIRECTREF.
const METHOD: usize = 24;

/// 19 digits always fit in 64 bits.
const LENGTH_DIGITS: usize = 19;

/// Host names have at most 253 characters (RFC 1035 §2.3.4).
const HOST: usize = 253;

/// What the lines so far said. Offsets count from the head's first byte.
#[derive(Debug, Default)]
pub(super) struct Head {
    lines: Lines,
    fields: usize,
    request_line: Option<RequestLine>,
    host: Option<(usize, usize)>,
    length: Option<u64>,
    chunked: bool,
    upgrade_field: bool,
    connection_upgrade: bool,
}

#[derive(Debug, Clone, Copy)]
struct RequestLine {
    http_11: bool,
    /// The authority of a target in absolute form.
    authority: Option<(usize, usize)>,
}

type Judged<T> = Result<T, &'static Code>;

impl Head {
    /// `bytes` begin where the head begins and hold at least as much as in the call before.
    pub fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Verdict {
        loop {
            let (start, line) = match self.lines.next(bytes, limits.head) {
                Line::Partial => return Verdict::Partial,
                Line::TooLong => return Verdict::Refused(self.too_large()),
                Line::Bare => return Verdict::Refused(&code::FRAMING_REFUSED),
                Line::Whole { start, line } => (start, line),
            };
            let judged = match self.request_line {
                // RFC 9112 §2.2: some clients send one empty line too many after a body.
                None if line.is_empty() && start == 0 => Ok(()),
                None => self.request_line(line, start, limits),
                Some(_) if !line.is_empty() => self.field(line, start, limits),
                Some(first) => {
                    return match self.end(first, bytes) {
                        Ok(complete) => Verdict::Complete(complete),
                        Err(code) => Verdict::Refused(code),
                    };
                }
            };
            if let Err(code) = judged {
                return Verdict::Refused(code);
            }
        }
    }

    fn too_large(&self) -> &'static Code {
        if self.request_line.is_none() { &code::URI_TOO_LONG } else { &code::HEADER_TOO_LARGE }
    }

    /// `method SP target SP HTTP/1.x`, with nothing more lenient (RFC 9112 §3).
    fn request_line(&mut self, line: &[u8], from: usize, limits: &Limits) -> Judged<()> {
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        let (Some(method), Some(target), Some(version)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(&code::FRAMING_REFUSED);
        };
        if method.is_empty() || method.len() > METHOD || !is_of(method, Class::TOKEN) {
            return Err(&code::FRAMING_REFUSED);
        }
        if target.len() > limits.target {
            return Err(&code::URI_TOO_LONG);
        }
        let http_11 = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ => return Err(&code::FRAMING_REFUSED),
        };
        if method == b"CONNECT" {
            return Err(&code::METHOD_REFUSED);
        }
        if !is_of(target, Class::TARGET) {
            return Err(misspelt(target));
        }
        let authority = match target {
            [b'/', ..] => None,
            b"*" if method == b"OPTIONS" => None,
            _ => {
                let rest = after_scheme(target)?;
                let scheme = target.len() - rest.len();
                let length = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
                let start = from + method.len() + 1 + scheme;
                Some((start, start + length))
            }
        };
        self.request_line = Some(RequestLine { http_11, authority });
        Ok(())
    }

    /// `name: value` (RFC 9112 §5).
    fn field(&mut self, line: &[u8], start: usize, limits: &Limits) -> Judged<()> {
        self.fields += 1;
        if self.fields > limits.fields {
            return Err(&code::HEADER_TOO_LARGE);
        }
        let (name, value) = split_field(line)?;
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                if self.host.is_some() {
                    return Err(&code::HOST_REFUSED);
                }
                let leading = value.len() - value.trim_ascii_start().len();
                let from = start + name.len() + 1 + leading;
                self.host = Some((from, from + value.trim_ascii().len()));
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade_field = true,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                let mut options = value.split(|byte| *byte == b',');
                self.connection_upgrade |=
                    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if self.length.is_some() {
                    return Err(&code::FRAMING_REFUSED);
                }
                self.length = Some(content_length(value.trim_ascii())?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(&code::FRAMING_REFUSED);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&self, first: RequestLine, bytes: &[u8]) -> Judged<Complete> {
        let framing = match (self.chunked, self.length) {
            (false, None) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
            // RFC 9112 §6.1: both together is how smuggling begins; on HTTP/1.0 the framing is faulty.
            (true, None) if first.http_11 => Framing::Chunked,
            (true, _) => return Err(&code::FRAMING_REFUSED),
        };
        let part = |(from, to): (usize, usize)| bytes.get(from..to).unwrap_or_default();
        let host = self.host.map(part).ok_or(&code::HOST_REFUSED)?;
        if !is_host(host) || first.authority.is_some_and(|at| !is_same_host(part(at), host)) {
            return Err(&code::HOST_REFUSED);
        }
        let upgrade = first.http_11 && self.upgrade_field && self.connection_upgrade;
        Ok(Complete { length: self.lines.judged(), framing, upgrade })
    }
}

/// Finds the lines of a head, one after the other, however its bytes come.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Start of the first line that is not judged yet.
    line: usize,
    /// How far that line was searched for its end.
    searched: usize,
}

pub(super) enum Line<'b> {
    /// Its end has not come.
    Partial,
    /// The head is longer than allowed.
    TooLong,
    /// It ends in a line feed alone. RFC 9112 §2.2 would let that pass; we do not.
    Bare,
    Whole {
        start: usize,
        /// Without its end.
        line: &'b [u8],
    },
}

impl Lines {
    /// `bytes` begin where the head begins and hold at least as much as in the call before.
    pub fn next<'b>(&mut self, bytes: &'b [u8], limit: usize) -> Line<'b> {
        let Some(found) = memchr::memchr(b'\n', bytes.get(self.searched..).unwrap_or_default()) else {
            self.searched = bytes.len();
            return if bytes.len() >= limit { Line::TooLong } else { Line::Partial };
        };
        let feed = self.searched + found;
        if feed >= limit {
            return Line::TooLong;
        }
        let start = self.line;
        self.line = feed + 1;
        self.searched = self.line;
        match bytes.get(start..feed).and_then(|line| line.strip_suffix(b"\r")) {
            Some(line) => Line::Whole { start, line },
            None => Line::Bare,
        }
    }

    /// Bytes of the lines so far.
    pub fn judged(&self) -> usize {
        self.line
    }
}

/// Name and raw value of a field line; also of a trailer line.
pub(super) fn split_field(line: &[u8]) -> Judged<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line).ok_or(&code::FRAMING_REFUSED)?;
    let (name, rest) = line.split_at(colon);
    let value = rest.get(1..).unwrap_or_default();
    if !is_of(name, Class::TOKEN) || name.is_empty() {
        // White space (a folded line, or space before the colon) changes where fields begin and end.
        let framing = name.is_empty() || name.iter().any(|b| matches!(b, b' ' | b'\t' | b'\r'));
        return Err(if framing { &code::FRAMING_REFUSED } else { &code::HEADER_REFUSED });
    }
    if !is_of(value, Class::VALUE) {
        let framing = memchr::memchr(b'\r', value).is_some();
        return Err(if framing { &code::FRAMING_REFUSED } else { &code::HEADER_REFUSED });
    }
    Ok((name, value))
}

/// What follows `https://`: a listener speaks TLS, and is for no other scheme (RFC 9110 §7.4).
fn after_scheme(target: &[u8]) -> Judged<&[u8]> {
    let after = |scheme: &[u8]| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    match (after(b"https://"), after(b"http://")) {
        (Some(rest), _) => Ok(rest),
        (None, Some(_)) => Err(&code::MISDIRECTED),
        (None, None) => Err(&code::FRAMING_REFUSED),
    }
}

pub(crate) fn content_length(digits: &[u8]) -> Judged<u64> {
    if digits.is_empty() || digits.len() > LENGTH_DIGITS {
        return Err(&code::FRAMING_REFUSED);
    }
    digits.iter().try_fold(0_u64, |length, digit| match digit {
        b'0'..=b'9' => Ok(length * 10 + u64::from(digit - b'0')),
        _ => Err(&code::FRAMING_REFUSED),
    })
}

/// Digits may be missing, and stand in any number before it (RFC 3986 §3.2.3, §6.2.3).
fn is_port(digits: &[u8]) -> bool {
    digits.is_empty() || content_length(digits).is_ok_and(|number| u16::try_from(number).is_ok())
}

/// Why a request line with these bytes in its target is refused: characters that have to be encoded say nothing of
/// where the message ends.
fn misspelt(target: &[u8]) -> &'static Code {
    let printable = |byte: &u8| byte.is_ascii_graphic() || !byte.is_ascii();
    match (target.iter().all(printable), target.contains(&b'?')) {
        (false, _) => &code::FRAMING_REFUSED,
        (true, true) => {
            let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
            if is_of(path, Class::TARGET) { &code::QUERY_AMBIGUOUS } else { &code::PATH_AMBIGUOUS }
        }
        (true, false) => &code::PATH_AMBIGUOUS,
    }
}

/// Whether two authorities are one: in the case of a name, and in the port that https has without saying so, nothing
/// differs (RFC 3986 §6.2.2.1, §6.2.3).
pub fn is_same_host(one: &[u8], other: &[u8]) -> bool {
    let bare = |host: &[u8]| {
        let end = [&b":443"[..], b":"].into_iter().find_map(|port| host.strip_suffix(port).map(<[u8]>::len));
        end.unwrap_or(host.len())
    };
    let (one, other) = (one.get(..bare(one)), other.get(..bare(other)));
    one.zip(other).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
}

/// A name, IPv4 or bracketed IPv6 address, with an optional port (RFC 9110 §7.2); no percent-encoding, no user.
pub fn is_host(host: &[u8]) -> bool {
    let (name, rest) = match host {
        [b'[', inner @ ..] => {
            let Some(end) = memchr::memchr(b']', inner) else { return false };
            let (address, rest) = inner.split_at(end);
            if std::str::from_utf8(address).ok().and_then(|text| text.parse::<Ipv6Addr>().ok()).is_none() {
                return false;
            }
            (address, rest.get(1..).unwrap_or_default())
        }
        _ => host.split_at(memchr::memchr(b':', host).unwrap_or(host.len())),
    };
    let bracketed = host.first() == Some(&b'[');
    let named = bracketed || (!name.is_empty() && name.len() <= HOST && is_of(name, Class::HOST));
    let port = match rest {
        [] => true,
        [b':', digits @ ..] => is_port(digits),
        _ => false,
    };
    named && port
}
