//! Every way that we know of to say Transfer-Encoding, Content-Length or a chunk so that one side reads it and the
//! other does not. Behind each hides a request that nobody may ever see as one.

use super::outcome::Outcome;
use super::stage::Stage;
use anyhow::Result;
use ironbridge_testkit::Dialer;
use std::collections::BTreeMap;
use std::time::Duration;

const HIDDEN: &str = "/items/smuggled";

pub async fn attack(stage: &Stage, short: bool) -> Result<Outcome> {
    let mut payloads = payloads(stage);
    if short {
        payloads = payloads.into_iter().step_by(10).collect();
    }
    let dialer = stage.dialer("http/1.1")?;
    let (mut statuses, mut broken) = (BTreeMap::<String, usize>::new(), Vec::new());
    for batch in payloads.chunks(32) {
        let mut running = tokio::task::JoinSet::new();
        for (name, bytes) in batch {
            running.spawn(answers(dialer.clone(), name.clone(), bytes.clone()));
        }
        while let Some(done) = running.join_next().await {
            let (name, answers) = done?;
            let first = answers.first().map_or_else(|| "none".to_owned(), ToString::to_string);
            *statuses.entry(first).or_default() += 1;
            if answers.len() > 1 {
                broken.push(format!("{name}: {} answers to one request: {answers:?}", answers.len()));
            }
        }
    }
    for seen in stage.target.seen() {
        if seen.path.contains(HIDDEN) {
            broken.push(format!("the target saw {} {}", seen.method, seen.path));
        }
        // A target may be more lenient about a name than the bridge.
        let odd = seen.headers.iter().find(|(name, _)| {
            let plain: String = name.chars().filter(char::is_ascii_alphabetic).collect();
            plain.contains("transferencoding") && name != "transfer-encoding"
        });
        if let Some((name, value)) = odd {
            broken.push(format!("the target saw {name:?}: {value:?}"));
        }
    }
    let seen = statuses.iter().map(|(status, count)| format!("{count} × {status}")).collect::<Vec<_>>();
    Ok(Outcome { sent: format!("{} requests", payloads.len()), seen: seen.join(", "), broken })
}

/// The status of every answer on the connection.
async fn answers(dialer: Dialer, name: String, bytes: Vec<u8>) -> (String, Vec<u16>) {
    let Ok(mut wire) = dialer.dial().await else { return (name, Vec::new()) };
    wire.send(&bytes).await;
    // Two answers, an end, or silence: the target answers within milliseconds.
    wire.read_until(Duration::from_millis(400), |bytes| statuses(bytes).len() > 1).await;
    (name, statuses(&wire.received))
}

fn statuses(bytes: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(bytes);
    text.match_indices("HTTP/1.1 ")
        .filter_map(|(at, mark)| text.get(at + mark.len()..)?.get(..3)?.parse().ok())
        .collect()
}

/// What is sent, by name.
fn payloads(stage: &Stage) -> Vec<(String, Vec<u8>)> {
    let hidden =
        format!("GET /store{HIDDEN} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\n\r\n", stage.key);
    let tail = format!("0\r\n\r\n{hidden}");
    let begin = format!("POST /store/echo HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\n", stage.key);
    let mut payloads = Vec::new();
    let mut add = |name: String, fields: &[u8], body: &[u8]| {
        payloads.push((name, [begin.as_bytes(), fields, b"\r\n", body].concat()));
    };
    let both =
        |coding: &[u8]| [format!("Content-Length: {}\r\n", tail.len()).as_bytes(), coding, b"\r\n"].concat();
    // One odd byte in each place of the field line.
    for byte in (0..=255_u8).filter(|byte| !byte.is_ascii_alphanumeric()) {
        let odd = [byte];
        for (place, line) in [
            ("before the name", [&odd[..], b"Transfer-Encoding: chunked"].concat()),
            ("within the name", [b"Transfer", &odd[..], b"Encoding: chunked"].concat()),
            ("after the name", [b"Transfer-Encoding", &odd[..], b": chunked"].concat()),
            ("before the value", [b"Transfer-Encoding:", &odd[..], b"chunked"].concat()),
            ("after the value", [b"Transfer-Encoding: chunked", &odd[..]].concat()),
            ("on a line before", [b"X: y", &odd[..], b"Transfer-Encoding: chunked"].concat()),
        ] {
            add(format!("{byte:#04x} {place}"), &both(&line), tail.as_bytes());
        }
    }
    for value in [
        "chunked",
        "Chunked",
        "CHUNKED",
        "xchunked",
        "chunkedx",
        "chunked, identity",
        "identity, chunked",
        "gzip, chunked",
        "chunked, chunked",
        "\"chunked\"",
        "'chunked'",
        "chunked;x=1",
        ", chunked",
        "chunked,",
        "identity",
        "cow",
        "",
        "\tchunked",
        "chunked\r\n\tx",
        "x\r\n chunked",
        "chun\u{212a}ed",
    ] {
        add(
            format!("Transfer-Encoding {value:?}"),
            &both(format!("Transfer-Encoding: {value}").as_bytes()),
            tail.as_bytes(),
        );
        let twice = format!("Transfer-Encoding: {value}\r\nTransfer-Encoding: x");
        add(format!("{value:?} and another"), &both(twice.as_bytes()), tail.as_bytes());
    }
    let length = tail.len();
    for value in [
        "0".to_owned(),
        format!("0, {length}"),
        format!("{length}, 0"),
        format!("{length}, {length}"),
        format!("+{length}"),
        format!("-{length}"),
        format!("0x{length:x}"),
        format!("{length}."),
        format!("{length}e0"),
        format!("0{length}"),
        format!("{length}\r\nContent-Length: 0"),
        format!("0\r\nContent-Length: {length}"),
        format!(" {length} "),
        format!("\u{b}{length}"),
        format!("{length}\u{c}"),
        format!("\"{length}\""),
        "18446744073709551616".to_owned(),
    ] {
        add(
            format!("Content-Length {value:?}"),
            format!("Content-Length: {value}\r\n").as_bytes(),
            tail.as_bytes(),
        );
    }
    for size in [
        "0x0",
        "+0",
        "-0",
        " 0",
        "0 ",
        "0\t",
        "0;\n",
        "0;\r",
        "0;a=\"\n\"",
        "\n0",
        "0\n",
        "G",
        "",
        "10000000000000000",
        "FFFFFFFFFFFFFFFF",
        "7fffffffffffffff",
        "0_0",
        "０",
    ] {
        add(
            format!("chunk size {size:?}"),
            b"Transfer-Encoding: chunked\r\n",
            format!("{size}\r\n\r\n{hidden}").as_bytes(),
        );
        let longer = format!("3\r\nabc\r\n{size}\r\n\r\n{hidden}");
        add(format!("second chunk size {size:?}"), b"Transfer-Encoding: chunked\r\n", longer.as_bytes());
    }
    for body in [
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nab\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabc\n\r0\r\n\r\n",
    ] {
        add(
            format!("chunks {body:?}"),
            b"Transfer-Encoding: chunked\r\n",
            format!("{body}{hidden}").as_bytes(),
        );
    }
    for trailer in [
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Host: evil",
        " folded",
        "X-API-Key: x",
        "\u{0}: x",
        "no colon",
    ] {
        let body = format!("0\r\n{trailer}\r\n\r\n{hidden}");
        // What follows a whole body is another request, and an honest one: it must not pass as a trailer.
        add(
            format!("trailer {trailer:?}"),
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n",
            body.as_bytes(),
        );
    }
    payloads
}
