//! A TLS client that sends what it is told, well-formed or not: openssl's.

use super::eventually;
use anyhow::{Context, Result};
use parking_lot::Mutex;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

pub struct Raw {
    child: Child,
    input: ChildStdin,
    received: Arc<Mutex<Received>>,
}

#[derive(Default)]
struct Received {
    bytes: Vec<u8>,
    /// The connection is closed, and everything that came is here.
    ended: bool,
}

/// One reply as it stood on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawReply {
    pub status: u16,
    /// The header section, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The trailer section as text.
    pub trailers: String,
}

impl RawReply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Raw {
    pub fn open(port: u16, ca: &Path, protocol: &str) -> Result<Raw> {
        let mut child = Command::new("openssl")
            .args([
                "s_client",
                "-quiet",
                "-verify_return_error",
                "-servername",
                "localhost",
                "-alpn",
                protocol,
            ])
            .args(["-connect", &format!("localhost:{port}"), "-CAfile"])
            .arg(ca)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("openssl")?;
        let input = child.stdin.take().context("stdin")?;
        let mut output = child.stdout.take().context("stdout")?;
        let received = Arc::new(Mutex::new(Received::default()));
        let known = Arc::clone(&received);
        std::thread::spawn(move || {
            let mut chunk = [0; 16 * 1024];
            while let Ok(length @ 1..) = output.read(&mut chunk) {
                known.lock().bytes.extend_from_slice(&chunk[..length]);
            }
            known.lock().ended = true;
        });
        Ok(Raw { child, input, received })
    }

    /// The other end may be gone already; what comes back tells.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.input.write_all(bytes.as_ref());
        let _ = self.input.flush();
    }

    /// Waits for so many replies, or for the connection's end.
    pub fn replies(&self, wanted: usize) -> Vec<RawReply> {
        eventually(|| {
            let received = self.received.lock();
            let replies = parse(&received.bytes);
            (replies.len() >= wanted || received.ended).then_some(replies)
        })
    }

    pub fn reply(&self) -> RawReply {
        self.replies(1).into_iter().next().expect("a reply")
    }

    /// Everything that came so far.
    pub fn received(&self) -> Vec<u8> {
        self.received.lock().bytes.clone()
    }

    pub fn is_closed(&self) -> bool {
        self.received.lock().ended
    }

    pub fn wait_until_closed(&self) {
        eventually(|| self.is_closed().then_some(()));
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(mut bytes: &[u8]) -> Vec<RawReply> {
    let mut replies = Vec::new();
    while let Some((reply, rest)) = parse_one(bytes) {
        replies.push(reply);
        bytes = rest;
    }
    replies
}

/// The first reply, if it is whole, and what follows it. Replies to HEAD are not known here.
fn parse_one(bytes: &[u8]) -> Option<(RawReply, &[u8])> {
    let (head, rest) = cut(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(head).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut reply = RawReply { status, headers, body: Vec::new(), trailers: String::new() };
    if status < 200 || status == 204 || status == 304 {
        return Some((reply, rest));
    }
    if let Some(length) = reply.header("content-length") {
        let (body, rest) = rest.split_at_checked(length.parse().ok()?)?;
        reply.body = body.to_vec();
        return Some((reply, rest));
    }
    if reply.header("transfer-encoding") != Some("chunked") {
        return Some((reply, rest));
    }
    let mut rest = rest;
    loop {
        let (size, after) = cut(rest, b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            // The trailers, or the empty line at once.
            if let Some(rest) = after.strip_prefix(b"\r\n") {
                return Some((reply, rest));
            }
            let (trailers, rest) = cut(after, b"\r\n\r\n")?;
            reply.trailers = String::from_utf8_lossy(trailers).into_owned();
            return Some((reply, rest));
        }
        let (chunk, after) = after.split_at_checked(size)?;
        reply.body.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n")?;
    }
}

fn cut<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    Some((&bytes[..at], &bytes[at + mark.len()..]))
}
