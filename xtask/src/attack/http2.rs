//! HTTP/2 as nobody should speak it: requests that RFC 9113 calls malformed, frames where they may not be, and frames
//! without end, while somebody honest asks beside.

use super::outcome::Outcome;
use super::stage::{Honest, Stage};
use anyhow::Result;
use ironbridge_testkit::{Dialer, Wire};
use std::time::Duration;
use tokio::time::timeout;

const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// Of a flood, in the operator's log.
const MOST_LINES: usize = 4;

pub async fn attack(stage: &Stage, short: bool) -> Result<Outcome> {
    let (mut broken, dialer) = (Vec::new(), stage.dialer("h2")?);
    let malformed = malformed(&stage.key);
    for (name, frames) in &malformed {
        stage.target.forget();
        let mut wire = begin(&dialer).await?;
        wire.send(frames).await;
        wire.ends(Duration::from_millis(300)).await;
        if let Some(seen) = stage.target.seen().first() {
            broken.push(format!("{name}: the target saw {} {}", seen.method, seen.path));
        }
    }
    let mut figures = Vec::new();
    let lines = |stage: &Stage| stage.bridge.output().lines().count();
    let frames = if short { 20_000 } else { 200_000 };
    for (name, before, frame) in floods(&stage.key) {
        let before_it = lines(stage);
        let flood = flood(&dialer, &before, &frame, frames);
        let (cut, honest) = Honest::beside(stage, flood).await?;
        if !cut? {
            broken.push(format!("{name}: {frames} of them, and the connection is still open"));
        }
        if honest.failed > 0 {
            broken.push(format!("{name}: {} of others failed meanwhile", honest.failed));
        }
        // A flood is worth a line or two to the operator, and the record of one connection.
        let told = lines(stage) - before_it;
        if told > MOST_LINES {
            broken.push(format!("{name}: {told} lines in the log"));
        }
        figures.push(format!("{name}: {told} lines, {}", honest.describe()));
    }
    Ok(Outcome {
        sent: format!("{} malformed requests, {} floods of {frames} frames", malformed.len(), figures.len()),
        seen: figures.join("; "),
        broken,
    })
}

async fn begin(dialer: &Dialer) -> Result<Wire> {
    let mut wire = dialer.dial().await?;
    wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    wire.send(&frame(SETTINGS, 0, 0, b"")).await;
    Ok(wire)
}

/// Whether the bridge closed the connection before so many frames were sent.
async fn flood(dialer: &Dialer, before: &[u8], frame: &dyn Fn(u32) -> Vec<u8>, frames: u32) -> Result<bool> {
    let mut wire = begin(dialer).await?;
    wire.send(before).await;
    for first in (0..frames).step_by(500) {
        let some: Vec<u8> = (first..first + 500).flat_map(frame).collect();
        // A bridge that reads no more has held the flood back; that it closes is still wanted.
        if timeout(Duration::from_secs(5), wire.send(&some)).await.is_err() {
            break;
        }
        wire.read_until(Duration::from_millis(1), |_| false).await;
        wire.received.clear();
        if wire.is_closed {
            return Ok(true);
        }
    }
    Ok(wire.ends(Duration::from_secs(5)).await)
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = length.get(1..).unwrap_or_default().to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header section without compression (RFC 7541 §6.2.2).
pub fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut section = Vec::new();
    for (name, value) in fields {
        section.push(0);
        for text in [name, value] {
            string(&mut section, text.as_bytes());
        }
    }
    section
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    let mut length = text.len();
    if length < 127 {
        out.push(u8::try_from(length).unwrap_or(0));
    } else {
        out.push(127);
        length -= 127;
        while length >= 128 {
            out.push(u8::try_from(length % 128).unwrap_or(0) | 128);
            length /= 128;
        }
        out.push(u8::try_from(length).unwrap_or(0));
    }
    out.extend(text);
}

type Flood = (&'static str, Vec<u8>, Box<dyn Fn(u32) -> Vec<u8>>);

fn floods(key: &str) -> Vec<Flood> {
    let request = request(key, "GET", "/store/items/one", &[]);
    let odd = |number: u32| number * 2 + 1;
    let open = frame(HEADERS, END_HEADERS, 1, &fields(&post(key)));
    let start = frame(HEADERS, 0, 1, &fields(&get(key)));
    let reset = {
        let section = fields(&get(key));
        move |number| {
            let stream = odd(number);
            [
                frame(HEADERS, END_HEADERS | END_STREAM, stream, &section),
                frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
            ]
            .concat()
        }
    };
    vec![
        ("PING", Vec::new(), Box::new(|_| frame(PING, 0, 0, &[0; 8]))),
        ("SETTINGS", Vec::new(), Box::new(|_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]))),
        ("WINDOW_UPDATE", Vec::new(), Box::new(|_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]))),
        ("PRIORITY", Vec::new(), Box::new(move |number| frame(PRIORITY, 0, odd(number), &[0, 0, 0, 0, 1]))),
        ("unknown frames", Vec::new(), Box::new(|_| frame(0x77, 0, 0, b"x"))),
        ("empty DATA", open, Box::new(|_| frame(DATA, 0, 1, b""))),
        ("RST_STREAM at once", Vec::new(), Box::new(reset)),
        (
            "CONTINUATION",
            start,
            Box::new(|_| frame(CONTINUATION, 0, 1, &fields(&[("x-more", "more of it")]))),
        ),
        ("PING after a request", request, Box::new(|_| frame(PING, 0, 0, &[1; 8]))),
    ]
}

fn get(key: &str) -> [(&str, &str); 5] {
    [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/store/items/one"),
        ("x-api-key", key),
    ]
}

fn post(key: &str) -> [(&str, &str); 5] {
    [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/store/echo"),
        ("x-api-key", key),
    ]
}

fn request(key: &str, method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut all = vec![
        (":method", method),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", path),
        ("x-api-key", key),
    ];
    all.extend(more);
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&all))
}

/// What must not reach the target, by name.
fn malformed(key: &str) -> Vec<(String, Vec<u8>)> {
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, value) in [
        ("X-Upper", "1"),
        ("connection", "close"),
        ("keep-alive", "1"),
        ("proxy-connection", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("host", "evil"),
        (":path", "/store/items/two"),
        (":method", "DELETE"),
        (":status", "200"),
        (":unknown", "x"),
        (":authority", "evil"),
        ("", "empty"),
        ("a b", "x"),
        ("a:b", "x"),
        ("x", "a\r\nb: c"),
        ("x", "a\0b"),
        ("x", "a\nb"),
        ("x\r\ny", "z"),
        ("content-length", "5"),
        ("content-length", "-1"),
        ("content-length", "0, 0"),
        ("content-length", "x"),
    ] {
        cases.push((
            format!("{name:?}: {value:?}"),
            request(key, "GET", "/store/items/one", &[(name, value)]),
        ));
    }
    for path in [
        "",
        "*",
        "store/items/one",
        "//store/items/one",
        "/store/items/a b",
        "/store/items/a\tb",
        "/store/items/\u{e4}",
        "https://localhost/store/items/one",
    ] {
        cases.push((format!(":path {path:?}"), request(key, "GET", path, &[])));
    }
    for method in ["", "G ET", "GET\r\n", "get\0", "CONNECT"] {
        cases.push((format!(":method {method:?}"), request(key, method, "/store/items/one", &[])));
    }
    for (place, value) in [
        (":scheme", "file"),
        (":scheme", ""),
        (":scheme", "https://x"),
        (":authority", ""),
        (":authority", "user@localhost"),
        (":authority", "localhost evil"),
        (":authority", "localhost/x"),
        (":authority", "evil.example"),
    ] {
        let all = get(key).map(|(name, usual)| if name == place { (name, value) } else { (name, usual) });
        cases
            .push((format!("{place} {value:?}"), frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&all))));
    }
    for missing in [":method", ":scheme", ":path"] {
        let all: Vec<_> = get(key).into_iter().filter(|(name, _)| *name != missing).collect();
        cases.push((format!("no {missing}"), frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&all))));
    }
    let late = [
        ("x", "y"),
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/store/items/one"),
        ("x-api-key", key),
    ];
    cases.push((
        "pseudo-fields after others".into(),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&late)),
    ));

    let section = fields(&get(key));
    let whole = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &section);
    let posted =
        |more: &[(&str, &str)]| frame(HEADERS, END_HEADERS, 1, &fields(&[&post(key), more].concat()));
    for (name, frames) in [
        ("a stream of the server's", whole(2)),
        ("stream 0", whole(0)),
        (
            "padding longer than the frame",
            frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &[&[255][..], b"x"].concat()),
        ),
        ("CONTINUATION alone", frame(CONTINUATION, END_HEADERS, 1, &section)),
        (
            "a PING within a header section",
            [frame(HEADERS, END_STREAM, 1, &section), frame(PING, 0, 0, &[0; 8])].concat(),
        ),
        ("PUSH_PROMISE", frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &section].concat())),
        ("an index that is not there", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff, 0xff, 0x7f])),
        (
            "a table of 4 GiB",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &[&[0x3f, 0xff, 0xff, 0xff, 0xff, 0x0f][..], &section].concat(),
            ),
        ),
        ("a frame that is too large", frame(HEADERS, END_HEADERS | END_STREAM, 1, &vec![0; 16_385])),
        ("a SETTINGS of five bytes", [frame(SETTINGS, 0, 0, &[0; 5]), whole(1)].concat()),
        ("a SETTINGS of a stream", [frame(SETTINGS, 0, 1, b""), whole(1)].concat()),
        ("a PING of seven bytes", [frame(PING, 0, 0, &[0; 7]), whole(1)].concat()),
        ("a window of nothing", [frame(WINDOW_UPDATE, 0, 0, &[0; 4]), whole(1)].concat()),
        ("a window beyond 2^31", [frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), whole(1)].concat()),
        ("DATA of stream 0", [frame(DATA, 0, 0, b"x"), whole(1)].concat()),
        ("DATA of an idle stream", [frame(DATA, 0, 1, b"x"), whole(1)].concat()),
        (
            "a length below the data",
            [posted(&[("content-length", "2")]), frame(DATA, END_STREAM, 1, b"{}GET /store/items/two")]
                .concat(),
        ),
        (
            "a length above the data",
            [posted(&[("content-length", "20")]), frame(DATA, END_STREAM, 1, b"{}")].concat(),
        ),
        (
            "two lengths",
            [posted(&[("content-length", "2"), ("content-length", "3")]), frame(DATA, END_STREAM, 1, b"{}")]
                .concat(),
        ),
    ] {
        // What the target has seen of a body that is then cut off is its business; a bridge that reads it first has
        // nothing to send.
        cases.push((name.to_owned(), frames));
    }
    cases
}
