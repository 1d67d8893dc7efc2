//! The same toward targets: reads what a target answers before hyper does, and lets through only replies whose
//! framing can be read in one way (RFC 9112 §6.3). hyper drops a Content-Length beside Transfer-Encoding here, takes
//! `8, 8` for a length, and would pass bytes that nobody asked for on to whoever asks next.
//!
//! All of it passes without being copied, except for the beginning of a head that comes in pieces.

use super::Limits;
use super::chunked::{Chunked, From, Progress};
use super::class::{Class, is_of};
use super::head::{Line, Lines, content_length};
use crate::to_target::{Follows, Read, ToTarget};
use http::Method;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes of a reply's head; hyper's buffer is no larger.
pub(crate) const HEAD: usize = 64 * 1024;

/// Fields of a reply's head, as many as hyper reads; and of its trailers.
pub(crate) const FIELDS: usize = 100;

/// Interim replies (RFC 9110 §15.2) before the final one. A target that reports progress sends a few.
const INTERIM: u8 = 32;

/// How a reply breaks the rules. The text is for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

impl Malformed {
    /// The fault within an error that a [`ReplyGate`] made.
    pub(crate) fn within(error: &io::Error) -> Option<Malformed> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// What one connection's next reply belongs to. The pool sets it, the gate reads it. (hyper wants upgradable
/// connections to be `Send`, hence an atomic; nothing contends.)
#[derive(Debug, Default)]
pub struct Expected(AtomicU8);

/// Nothing was asked: what comes is for nobody.
const NOTHING: u8 = 0;
const REPLY: u8 = 1;
/// A reply without a body (RFC 9110 §9.3.2).
const HEAD_ONLY: u8 = 2;
/// A reply, or the switch to another protocol.
const UPGRADE: u8 = 3;
/// The target broke the rules, and nothing more will be read.
const SPOILT: u8 = 4;
const WHAT: u8 = 0x0f;

/// Beside what is expected: something of the request was written, something of the reply came.
const WRITTEN: u8 = 0x10;
const ANSWERED: u8 = 0x20;
/// Instead of both, once the reply has ended here: hyper may yet find fault with it.
const ENDED: u8 = 0x40;

impl Expected {
    /// Call before a request is sent.
    pub fn ask(&self, method: &Method) {
        self.0.store(if *method == Method::HEAD { HEAD_ONLY } else { REPLY }, Ordering::Relaxed);
    }

    /// The same, for a request that asks to leave HTTP.
    pub fn ask_upgrade(&self) {
        self.0.store(UPGRADE, Ordering::Relaxed);
    }

    /// Whether everything asked was answered to its end, and nothing more came: another request may be sent.
    pub fn is_at_rest(&self) -> bool {
        self.0.load(Ordering::Relaxed) & !ENDED == NOTHING
    }

    /// Whether anything of the request may have reached the target, and whether anything of an answer came back.
    pub fn progress(&self) -> (bool, bool) {
        let now = self.0.load(Ordering::Relaxed);
        (now & (WRITTEN | ENDED) > 0, now & (ANSWERED | ENDED) > 0)
    }

    fn what(&self) -> u8 {
        self.0.load(Ordering::Relaxed) & WHAT
    }

    fn note(&self, progress: u8) {
        self.0.fetch_or(progress, Ordering::Relaxed);
    }
}

/// Sits between a connection to a target and hyper.
pub struct ReplyGate {
    phase: Phase,
    /// The beginning of a head whose rest has not come.
    begun: Vec<u8>,
    interim: u8,
    /// The target takes no more of the request.
    deaf: bool,
    expected: Arc<Expected>,
}

enum Phase {
    Head(Head),
    Length(u64),
    Chunked(Chunked),
    /// A body that ends with the connection, or what follows a switch of protocols.
    Open,
    Spoilt(Malformed),
}

impl ReplyGate {
    /// What is read of this passes it.
    pub fn over<Io>(io: Io) -> (ToTarget<Io, ReplyGate>, Arc<Expected>) {
        let (gate, expected) = ReplyGate::new();
        (ToTarget::new(io, gate), expected)
    }

    fn new() -> (ReplyGate, Arc<Expected>) {
        let expected = Arc::new(Expected::default());
        let gate = ReplyGate {
            phase: Phase::Head(Head::default()),
            begun: Vec::new(),
            interim: 0,
            deaf: false,
            expected: Arc::clone(&expected),
        };
        (gate, expected)
    }

    fn judge(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let judged = self.follow(bytes);
        if let Err(fault) = judged {
            self.phase = Phase::Spoilt(fault);
            self.expected.0.store(SPOILT | WRITTEN | ANSWERED, Ordering::Relaxed);
        }
        judged
    }

    /// Follows the replies; bytes beyond the end of the one in hand are nobody's.
    fn follow(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            match &mut self.phase {
                Phase::Head(head) => {
                    if self.expected.what() == NOTHING {
                        return Err(Malformed("it sent bytes beyond its answer, or without being asked"));
                    }
                    self.expected.note(ANSWERED);
                    let known = self.begun.len();
                    let complete = if known == 0 {
                        head.scan(bytes)?
                    } else {
                        self.begun.extend_from_slice(bytes);
                        head.scan(&self.begun)?
                    };
                    let Some(complete) = complete else {
                        if known == 0 {
                            self.begun.extend_from_slice(bytes);
                        }
                        return Ok(());
                    };
                    self.begun = Vec::new();
                    bytes = bytes.get(complete.length.saturating_sub(known)..).unwrap_or_default();
                    self.head_ended(complete)?;
                }
                Phase::Length(left) => {
                    let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    bytes = bytes.get(taken..).unwrap_or_default();
                    *left -= taken as u64;
                    if *left == 0 {
                        self.reply_ended();
                    }
                }
                Phase::Chunked(body) => match body.scan(bytes, &TRAILERS) {
                    Progress::More => return Ok(()),
                    Progress::Fault(_) => return Err(Malformed("its chunks are malformed")),
                    Progress::Done(length) => {
                        bytes = bytes.get(length..).unwrap_or_default();
                        self.reply_ended();
                    }
                },
                Phase::Open => return Ok(()),
                Phase::Spoilt(fault) => return Err(*fault),
            }
        }
        Ok(())
    }

    fn head_ended(&mut self, complete: Complete) -> Result<(), Malformed> {
        let asked = self.expected.what();
        let framed = complete.chunked || complete.length_field.is_some();
        self.phase = match (complete.status, complete.length_field) {
            (101, _) if asked == UPGRADE => Phase::Open,
            (101, _) => return Err(Malformed("it switched protocols without being asked")),
            (100..200, _) => {
                self.interim += 1;
                if framed {
                    return Err(Malformed("an interim answer announces a body"));
                }
                if self.interim > INTERIM {
                    return Err(Malformed("it sends one interim answer after the other"));
                }
                Phase::Head(Head::default())
            }
            (204, length) if complete.chunked || length > Some(0) => {
                return Err(Malformed("a 204 announces a body"));
            }
            // Whatever the fields say, these end here (RFC 9112 §6.3).
            (204 | 304, _) => return self.bodiless(),
            _ if asked == HEAD_ONLY => return self.bodiless(),
            _ if complete.chunked => Phase::Chunked(Chunked::new(From::Target)),
            (_, Some(0)) => return self.bodiless(),
            (_, Some(length)) => Phase::Length(length),
            (_, None) => Phase::Open,
        };
        Ok(())
    }

    fn bodiless(&mut self) -> Result<(), Malformed> {
        self.reply_ended();
        Ok(())
    }

    fn reply_ended(&mut self) {
        self.phase = Phase::Head(Head::default());
        self.interim = 0;
        self.expected.0.store(NOTHING | ENDED, Ordering::Relaxed);
    }
}

/// Bounds on a reply's trailers: those on its head.
const TRAILERS: Limits = Limits {
    head: HEAD,
    fields: FIELDS,
    target: 0,
    head_timeout: std::time::Duration::ZERO,
    idle_timeout: std::time::Duration::ZERO,
};

/// What the lines of a reply's head say of its framing.
#[derive(Debug, Default)]
struct Head {
    lines: Lines,
    status: Option<Status>,
    length: Option<u64>,
    chunked: bool,
    fields: usize,
}

#[derive(Debug, Clone, Copy)]
struct Status {
    http_11: bool,
    code: u16,
}

#[derive(Debug)]
struct Complete {
    /// Bytes of the head, its empty line included.
    length: usize,
    status: u16,
    length_field: Option<u64>,
    chunked: bool,
}

impl Head {
    /// `bytes` begin where the head begins and hold at least as much as in the call before.
    fn scan(&mut self, bytes: &[u8]) -> Result<Option<Complete>, Malformed> {
        loop {
            let line = match self.lines.next(bytes, HEAD) {
                // Whoever speaks something else may never send a line feed.
                Line::Partial if self.status.is_none() && !may_begin(bytes) => return Err(NO_STATUS_LINE),
                Line::Partial => return Ok(None),
                Line::TooLong => return Err(Malformed("its head is larger than 64 KiB")),
                Line::Bare => return Err(Malformed("a line of its head ends in a line feed alone")),
                Line::Whole { line, .. } => line,
            };
            match self.status {
                None => self.status = Some(status_line(line)?),
                Some(_) if !line.is_empty() => self.field(line)?,
                Some(status) => return self.end(status).map(Some),
            }
        }
    }

    /// Names are checked here, values by hyper: both refuse what they check, so that nothing is read in two ways.
    fn field(&mut self, line: &[u8]) -> Result<(), Malformed> {
        self.fields += 1;
        if self.fields > FIELDS {
            return Err(TOO_MANY_FIELDS);
        }
        let colon = memchr::memchr(b':', line).unwrap_or(0);
        let (name, value) = line.split_at(colon);
        if name.is_empty() || !is_of(name, Class::TOKEN) {
            return Err(Malformed("a field line is folded, or its name is malformed"));
        }
        let value = || value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                return Err(Malformed("Content-Length is repeated"));
            }
            let length = content_length(value()).map_err(|_| Malformed("Content-Length is no number"))?;
            self.length = Some(length);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || !value().eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed("Transfer-Encoding is something else than chunked"));
            }
            self.chunked = true;
        }
        Ok(())
    }

    fn end(&self, status: Status) -> Result<Complete, Malformed> {
        if self.chunked && self.length.is_some() {
            return Err(Malformed("Content-Length stands beside Transfer-Encoding"));
        }
        if self.chunked && !status.http_11 {
            return Err(Malformed("Transfer-Encoding in an answer of HTTP/1.0"));
        }
        Ok(Complete {
            length: self.lines.judged(),
            status: status.code,
            length_field: self.length,
            chunked: self.chunked,
        })
    }
}

pub(crate) const TOO_MANY_FIELDS: Malformed = Malformed("it has more than 100 header fields");

const NO_STATUS_LINE: Malformed = Malformed("it does not begin with a status line of HTTP/1");

fn may_begin(bytes: &[u8]) -> bool {
    bytes.iter().zip(b"HTTP/1.").all(|(byte, wanted)| byte == wanted)
}

/// `HTTP/1.x SP status [SP reason]` (RFC 9112 §4); the space before an absent reason is often left out.
fn status_line(line: &[u8]) -> Result<Status, Malformed> {
    let malformed = NO_STATUS_LINE;
    let (version, rest) = line.split_at_checked(9).ok_or(malformed)?;
    let http_11 = match version {
        b"HTTP/1.1 " => true,
        b"HTTP/1.0 " => false,
        _ => return Err(malformed),
    };
    let (digits, reason) = rest.split_at_checked(3).ok_or(malformed)?;
    let code = match digits {
        // RFC 9110 §15: from 100 to 599.
        [first @ b'1'..=b'5', second @ b'0'..=b'9', third @ b'0'..=b'9'] => {
            u16::from(first - b'0') * 100 + u16::from(second - b'0') * 10 + u16::from(third - b'0')
        }
        _ => return Err(Malformed("its status is not between 100 and 599")),
    };
    match reason {
        [] | [b' ', ..] => Ok(Status { http_11, code }),
        _ => Err(malformed),
    }
}

impl<Io: AsyncRead> Follows<Io> for ReplyGate {
    fn read(&mut self, io: Pin<&mut Io>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Read {
        let before = buf.filled().len();
        ready!(io.poll_read(cx, buf))?;
        let new = buf.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.judge(new).map_err(|fault| {
            buf.set_filled(before);
            io::Error::other(fault)
        }))
    }

    fn wrote(&mut self) {
        self.expected.note(WRITTEN);
    }

    /// The end of the stream follows at once.
    fn takes_no_more(&mut self) -> bool {
        self.deaf = self.expected.progress().0 && self.expected.what() != NOTHING;
        self.deaf
    }

    fn is_dropped(&self) -> bool {
        self.deaf
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        reply: String,
        body: Option<String>,
        fill: Option<(String, usize)>,
    }

    /// Whether the bytes pass, and whether another request may follow.
    fn judge(method: &Method, pieces: &[&[u8]]) -> Result<bool, Malformed> {
        let (mut gate, expected) = ReplyGate::new();
        expected.ask(method);
        let judged = pieces.iter().try_for_each(|piece| gate.judge(piece));
        assert!(judged.is_ok() || !expected.is_at_rest());
        judged.map(|()| expected.is_at_rest())
    }

    #[test]
    fn every_reply_meets_its_verdict_however_it_is_split() {
        let text =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/cases/replies.yaml")).unwrap();
        let cases: Vec<Case> = serde_saphyr::from_str(&text).unwrap();
        for case in &cases {
            let fill = case.fill.as_ref().map(|(text, times)| text.repeat(*times)).unwrap_or_default();
            let bytes = case.reply.replace("@@", &fill).into_bytes();
            for split in [usize::MAX, 1, 2, 3, 7, 64, 1000] {
                let pieces: Vec<&[u8]> = bytes.chunks(split).collect();
                // What only hyper refuses: control characters in a value.
                let ours = case.body.is_some() || !case.name.contains("carriage return");
                let judged = judge(&Method::POST, &pieces);
                assert_eq!(
                    judged.is_ok(),
                    case.body.is_some() || !ours,
                    "{}, {split}: {judged:?}",
                    case.name
                );
                assert!(!ours || judged.is_err() || judged == Ok(true), "{}", case.name);
            }
        }
        assert!(cases.len() >= 50, "only {} cases", cases.len());
    }

    #[test]
    fn what_nobody_asked_for_is_refused_and_the_connection_not_used_again() {
        let (mut gate, expected) = ReplyGate::new();
        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert!(gate.judge(reply).is_err() && !expected.is_at_rest());
        let (mut gate, expected) = ReplyGate::new();
        for _ in 0..3 {
            expected.ask(&Method::GET);
            assert!(!expected.is_at_rest());
            assert!(gate.judge(reply).is_ok() && expected.is_at_rest());
        }
        // One that lasts as long as the connection leaves none to use again.
        assert_eq!(judge(&Method::GET, &[b"HTTP/1.1 200 OK\r\n\r\nok"]), Ok(false));
        assert_eq!(judge(&Method::HEAD, &[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"]), Ok(true));
        assert!(judge(&Method::HEAD, &[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]).is_err());
    }

    /// Heads that targets send, well formed and not, each with what may follow.
    fn reply() -> impl Strategy<Value = Vec<u8>> {
        let status = prop::sample::select(vec![
            "200 OK",
            "204 No Content",
            "100 Continue",
            "304 -",
            "101 Switch",
            "2x0",
        ]);
        let field = prop::sample::select(vec![
            "Content-Length: 5",
            "Content-Length: 2",
            "Content-Length: 5, 5",
            "content-length:+5",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding : chunked",
            "Connection: close",
            "X: y",
            " folded",
        ]);
        let body = prop::sample::select(vec![
            "",
            "hello",
            "5\r\nhello\r\n0\r\n\r\n",
            "5\nhello\n0\n\n",
            "0\r\nA: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ]);
        let end = prop::sample::select(vec!["\r\n", "\n", "\r\r\n"]);
        let one = (
            status,
            prop::collection::vec(field, 0..4),
            prop::sample::select(vec![true, true, true, false]),
            end,
            body,
        )
            .prop_map(|(status, fields, plain, end, body)| {
                let end = if plain { "\r\n" } else { end };
                let fields: String = fields.iter().map(|field| format!("{field}{end}")).collect();
                format!("HTTP/1.1 {status}{end}{fields}{end}{body}")
            });
        prop::collection::vec(one, 1..3).prop_map(|replies| replies.concat().into_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn no_split_changes_how_a_reply_is_read(bytes in reply(), cuts in prop::collection::vec(1_usize..30, 1..20)) {
            let pieces = super::super::tests::pieces(&bytes, &cuts);
            for method in [Method::GET, Method::HEAD] {
                let whole = judge(&method, &[&bytes]);
                prop_assert_eq!(judge(&method, &pieces).ok(), whole.ok());
                // What passes and leaves the connection to be used again is one answer: with another byte it is refused.
                if whole == Ok(true) {
                    prop_assert!(judge(&method, &[&bytes, b"H"]).is_err());
                }
            }
        }

        #[test]
        fn noise_never_panics(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..9)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let _ = judge(&Method::GET, &pieces);
        }
    }
}
