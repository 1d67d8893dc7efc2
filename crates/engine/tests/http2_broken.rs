//! HTTP/2 that is broken or too much: whoever refuses it, hyper or the bridge, there is a record; and others are served.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_testkit::Reply;
use serde_json::{Value, json};
use world::{Declared, Raw, World, eventually};

const OPERATIONS: &str = "read: { match: GET /read, permission: orders.read }";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn world() -> (World, String) {
    let declared = Declared { operations: OPERATIONS, ..Declared::default() };
    World::with_key(&declared, |_, _| Ok(())).unwrap()
}

fn open(world: &World) -> Raw {
    let mut raw = world.raw_http2().unwrap();
    raw.send(PREFACE);
    raw.send(frame(SETTINGS, 0, 0, b""));
    raw
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field without indexing and without Huffman (RFC 7541 §6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        match text.len() {
            short @ ..127 => bytes.push(u8::try_from(short).unwrap()),
            long => {
                // RFC 7541 §5.1.
                let mut rest = long - 127;
                bytes.push(127);
                while rest >= 128 {
                    bytes.push(u8::try_from(rest % 128 + 128).unwrap());
                    rest /= 128;
                }
                bytes.push(u8::try_from(rest).unwrap());
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/erp/v1/read")];

fn block<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    fields.into_iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// A request without a body, its header section in frames of at most 16 KiB.
fn request(stream: u32, block: &[u8]) -> Vec<u8> {
    let mut pieces = block.chunks(16_384).peekable();
    let first = pieces.next().unwrap_or_default();
    let flag = |last: bool| if last { END_HEADERS } else { 0 };
    let mut bytes = frame(HEADERS, END_STREAM | flag(pieces.peek().is_none()), stream, first);
    while let Some(piece) = pieces.next() {
        bytes.extend(frame(CONTINUATION, flag(pieces.peek().is_none()), stream, piece));
    }
    bytes
}

/// A header section of about so many bytes in fields that are each small enough for anybody.
fn large(bytes: usize) -> Vec<u8> {
    let value = "x".repeat(4_000);
    let mut section = block(GET);
    for at in 0.. {
        if section.len() >= bytes {
            break;
        }
        let left = (bytes - section.len()).min(value.len());
        section.extend(field(&format!("x-{at}"), &value[..left]));
    }
    section
}

/// What came, frame by frame: kind, stream and payload.
fn frames(raw: &Raw) -> Vec<(u8, u32, Vec<u8>)> {
    let received = raw.received();
    let (mut rest, mut found) = (&received[..], Vec::new());
    while rest.len() >= 9 {
        let length = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
        let Some(payload) = rest.get(9..9 + length) else { break };
        let stream = u32::from_be_bytes([rest[5] & 0x7f, rest[6], rest[7], rest[8]]);
        found.push((rest[3], stream, payload.to_vec()));
        rest = &rest[9 + length..];
    }
    found
}

/// The problem codes that came as DATA, by stream.
fn problems(raw: &Raw) -> Vec<(u32, String)> {
    let data = frames(raw).into_iter().filter(|(kind, ..)| *kind == DATA);
    data.filter_map(|(_, stream, payload)| {
        let problem: Value = serde_json::from_slice(&payload).ok()?;
        Some((stream, problem["code"].as_str().unwrap_or_default().to_owned()))
    })
    .collect()
}

/// The codes of what was refused before the service could look for a credential, as often as records count them: many of
/// a kind may stand in one record.
fn codes(world: &World) -> Vec<Value> {
    let records = world.records().unwrap().into_iter();
    let refused =
        records.filter(|record| record["code"] != "credentials-missing" && record["code"] != "delivered");
    refused
        .flat_map(|record| {
            let count = record["count"].as_u64().unwrap_or(1);
            std::iter::repeat_n(record["code"].clone(), usize::try_from(count).unwrap())
        })
        .collect()
}

/// Waits for one more record than `before`, and returns its code.
fn recorded(world: &World, before: usize) -> Value {
    eventually(|| codes(world).get(before).cloned())
}

/// The connection still serves: this request is answered by the bridge itself.
fn is_served(raw: &mut Raw, stream: u32) {
    raw.send(request(stream, &block(GET)));
    let answered = || problems(raw).contains(&(stream, "credentials-missing".to_owned())).then_some(());
    eventually(answered);
}

#[test]
fn a_header_section_of_any_size_has_a_code_and_a_record() {
    let (world, _) = world();
    for kilobytes in [17, 20, 30, 40, 60] {
        let before = codes(&world).len();
        let mut raw = open(&world);
        raw.send(request(1, &large(kilobytes << 10)));
        let problem = eventually(|| problems(&raw).into_iter().next());
        assert_eq!(problem, (1, "header-too-large".to_owned()), "{kilobytes} KiB");
        assert_eq!(recorded(&world, before), "header-too-large");
        is_served(&mut raw, 3);
    }
    // Far above, hyper answers or ends the connection without a word; the trail has it all the same.
    for kilobytes in [70, 90, 120, 250, 1_000] {
        let before = codes(&world).len();
        let mut raw = open(&world);
        raw.send(request(1, &large(kilobytes << 10)));
        let code = recorded(&world, before);
        assert_eq!(code, "header-too-large", "{kilobytes} KiB");
        assert!(problems(&raw).is_empty());
    }
    // A small one just below every limit passes, and a hundred fields are enough.
    let mut raw = open(&world);
    raw.send(request(1, &large(12 << 10)));
    eventually(|| problems(&raw).contains(&(1, "credentials-missing".to_owned())).then_some(()));
    let many: Vec<(String, String)> = (0..101).map(|at| (format!("x-{at}"), "1".to_owned())).collect();
    let many = many.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    raw.send(request(3, &block(GET.into_iter().chain(many))));
    eventually(|| problems(&raw).contains(&(3, "header-too-large".to_owned())).then_some(()));
}

#[test]
fn what_the_library_refuses_is_recorded_once_and_the_connection_goes_on() {
    let (world, _) = world();
    let with = |more: &[(&'static str, &'static str)]| block(GET.into_iter().chain(more.iter().copied()));
    let without = |name: &str| block(GET.into_iter().filter(|(known, _)| *known != name));
    let empty_path = block([(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "")]);
    // What HPACK cannot take ends the connection; what is only malformed ends the stream (RFC 9113 §8.1.1).
    for (what, section, ends) in [
        ("no path", without(":path"), false),
        ("no method", without(":method"), false),
        ("no scheme", without(":scheme"), false),
        ("an empty path", empty_path, false),
        ("a repeated path", with(&[(":path", "/erp/v1/read")]), false),
        ("a pseudo-field after a field", with(&[("x-a", "1"), (":authority", "localhost")]), false),
        ("a reply's pseudo-field", with(&[(":status", "200")]), false),
        ("Connection", with(&[("connection", "close")]), false),
        ("Transfer-Encoding", with(&[("transfer-encoding", "chunked")]), false),
        ("Upgrade", with(&[("upgrade", "websocket")]), false),
        ("Keep-Alive", with(&[("keep-alive", "1")]), false),
        ("TE: gzip", with(&[("te", "gzip")]), false),
        ("a content length that is not there", with(&[("content-length", "5")]), false),
        ("a malformed content length", with(&[("content-length", "x")]), false),
        (":protocol", with(&[(":protocol", "websocket")]), false),
        ("an unknown pseudo-field", with(&[(":unknown", "1")]), true),
        ("a name in capitals", with(&[("X-Capital", "1")]), true),
        ("a name with a space", with(&[("x a", "1")]), true),
        ("a value with a line feed", with(&[("x-a", "1\n2")]), true),
    ] {
        let before = codes(&world).len();
        let mut raw = open(&world);
        raw.send(request(1, &section));
        assert_eq!(recorded(&world, before), "http2-refused", "{what}");
        assert!(problems(&raw).is_empty(), "{what}");
        if ends {
            raw.wait_until_closed();
        } else {
            is_served(&mut raw, 3);
        }
        assert_eq!(codes(&world).len(), before + 1, "{what}");
    }
}

/// A body that is not as long as it says is malformed (RFC 9113 §8.1.1), and the library tells the body only.
#[test]
fn a_body_of_another_length_is_recorded_as_what_it_is() {
    let declared = Declared {
        operations: r#"read: { match: GET /read, permission: orders.read }
    write: { match: POST /write, permission: orders.write }
    judged: { match: POST /judged, permission: orders.write, replay: { idempotency_key: optional } }"#,
        ..Declared::default()
    };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    let gone = &frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())[..];
    let data = |flags, bytes: &[u8]| frame(DATA, flags, 1, bytes);
    let trailers = frame(HEADERS, END_STREAM | END_HEADERS, 1, &field("x-sum", "1"));
    let cases = [
        ("5", vec![data(END_STREAM, b"abc")], "body-incomplete"),
        ("5", vec![data(0, b"abc"), data(END_STREAM, b"")], "body-incomplete"),
        ("5", vec![data(0, b"abc"), trailers], "body-incomplete"),
        ("5", vec![data(END_STREAM, b"")], "body-incomplete"),
        ("2", vec![data(END_STREAM, b"abc")], "body-incomplete"),
        // Whoever goes away has done nothing wrong; where its body was read here, that is what it left.
        ("5", vec![data(0, b"abc"), gone.to_vec()], "caller-gone"),
        ("5", vec![gone.to_vec()], "caller-gone"),
        // hyper takes a reset without an error for the end of the body.
        ("5", vec![data(0, b"abc"), frame(RST_STREAM, 0, 1, &[0; 4])], "caller-gone"),
        ("", vec![data(0, b"abc"), frame(RST_STREAM, 0, 1, &[0; 4])], "caller-gone"),
    ];
    for path in ["/erp/v1/write", "/erp/v1/judged"] {
        for (length, frames, code) in &cases {
            let code = if path == "/erp/v1/judged" { &"body-incomplete" } else { code };
            let before = codes(&world).len();
            let mut raw = open(&world);
            let head =
                [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", path)];
            let announced = Some(("content-length", *length)).filter(|(_, length)| !length.is_empty());
            let head = block(head.into_iter().chain([("x-api-key", &*key)]).chain(announced));
            raw.send(frame(HEADERS, END_HEADERS, 1, &head));
            for frame in frames {
                // By then it is on its way to the target.
                std::thread::sleep(std::time::Duration::from_millis(100));
                raw.send(frame);
            }
            assert_eq!(recorded(&world, before), *code, "{path}, {length}: {frames:?}");
            is_served(&mut raw, 3);
            assert_eq!(codes(&world).len(), before + 1, "{path}, {length}: {frames:?}");
        }
    }
    assert!(world.target.seen().is_empty(), "{:?}", world.target.seen());
}

#[test]
fn connections_that_the_library_ends_have_a_record() {
    let (world, _) = world();
    let mut continued = frame(HEADERS, END_STREAM, 1, &block(GET));
    for _ in 0..200 {
        continued.extend(frame(CONTINUATION, 0, 1, &field("x-a", "1")));
    }
    let interrupted = [frame(HEADERS, END_STREAM, 1, &block(GET)), frame(PING, 0, 0, &[0; 8])].concat();
    for (what, bytes) in [
        ("no preface", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("a flood of continuations", [PREFACE, &frame(SETTINGS, 0, 0, b""), &continued].concat()),
        (
            "a header section that is interrupted",
            [PREFACE, &frame(SETTINGS, 0, 0, b""), &interrupted].concat(),
        ),
        (
            "a frame above the limit",
            [PREFACE, &frame(SETTINGS, 0, 0, b""), &frame(DATA, 0, 1, &[0; 20_000])].concat(),
        ),
        ("DATA on no stream", [PREFACE, &frame(SETTINGS, 0, 0, b""), &frame(DATA, 0, 0, b"x")].concat()),
        ("an even stream", [PREFACE, &frame(SETTINGS, 0, 0, b""), &request(2, &block(GET))].concat()),
        ("broken HPACK", [PREFACE, &frame(SETTINGS, 0, 0, b""), &request(1, &[0xff; 40])].concat()),
        (
            "a window that overflows",
            [PREFACE, &frame(SETTINGS, 0, 0, b""), &frame(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255])]
                .concat(),
        ),
        ("a malformed PING", [PREFACE, &frame(SETTINGS, 0, 0, b""), &frame(PING, 0, 0, b"x")].concat()),
    ] {
        let before = codes(&world).len();
        let mut raw = world.raw_http2().unwrap();
        raw.send(bytes);
        assert_eq!(recorded(&world, before), "http2-refused", "{what}");
        raw.wait_until_closed();
        assert_eq!(codes(&world).len(), before + 1, "{what}");
    }
}

/// RFC 9113 §8.1: they are for what stands before a body.
#[test]
fn pseudo_fields_after_a_body_end_the_connection() {
    let (world, _) = world();
    let sent = |trailers: &[u8]| {
        [
            frame(HEADERS, END_HEADERS, 1, &block(GET)),
            frame(DATA, 0, 1, b"x"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers),
        ]
        .concat()
    };
    let padded = [&[3][..], &field(":path", "/b"), &[0; 3]].concat();
    for (what, bytes) in [
        ("a path", sent(&field(":path", "/b"))),
        ("a status after a field", sent(&block([("x-sum", "1"), (":status", "200")]))),
        ("an unknown one", sent(&field(":x", "1"))),
        ("one of the static table", sent(&[0x82])),
        ("one with a name of the static table", sent(&[0x04, 1, b'/'])),
        (
            "one of the dynamic table",
            [
                frame(
                    HEADERS,
                    END_HEADERS,
                    1,
                    &[&block(GET.into_iter().take(3))[..], &[0x44, 2, b'/', b'b']].concat(),
                ),
                frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xbe]),
            ]
            .concat(),
        ),
        (
            "one behind padding, in two frames",
            [
                frame(HEADERS, END_HEADERS, 1, &block(GET)),
                frame(HEADERS, 8 | END_STREAM, 1, &padded),
                frame(CONTINUATION, END_HEADERS, 1, &field("x-sum", "1")),
            ]
            .concat(),
        ),
    ] {
        let before = codes(&world).len();
        let mut raw = open(&world);
        raw.send(bytes);
        assert_eq!(recorded(&world, before), "http2-refused", "{what}");
        raw.wait_until_closed();
    }
    // Fields alone may follow, however they are written.
    for trailers in [
        block([("x-sum", "1")]),
        vec![0x00, 0x83, 0xac, 0xe8, 0x4f, 1, b'1'],
        [&[0x0f, 0x00, 1][..], b"1"].concat(),
    ] {
        let mut raw = open(&world);
        raw.send(sent(&trailers));
        eventually(|| problems(&raw).contains(&(1, "credentials-missing".to_owned())).then_some(()));
        is_served(&mut raw, 3);
    }
}

#[test]
fn frames_that_carry_nothing_are_not_taken_without_end() {
    let (world, key) = world();
    let ready = [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat();
    let body = frame(HEADERS, END_HEADERS, 1, &block(GET));
    for (what, first, flood) in [
        ("PING", vec![], frame(PING, 0, 0, &[0; 8])),
        ("SETTINGS", vec![], frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
        ("acknowledged SETTINGS", vec![], frame(SETTINGS, 1, 0, b"")),
        ("WINDOW_UPDATE", vec![], frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("PRIORITY", vec![], frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("unknown", vec![], frame(0xee, 0, 0, b"")),
        ("large unknown", vec![], frame(0xee, 0, 0, &[0; 16_000])),
        ("empty DATA", body.clone(), frame(DATA, 0, 1, b"")),
        ("DATA of padding", body.clone(), frame(DATA, 8, 1, &[8, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("resets", vec![], frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
    ] {
        let before = codes(&world).iter().filter(|code| *code == "http2-refused").count();
        let mut raw = world.raw_http2().unwrap();
        raw.send([&ready[..], &first, &flood.repeat(200)].concat());
        for _ in 0..200 {
            raw.send(flood.repeat(100));
        }
        raw.wait_until_closed();
        let refused = || codes(&world).iter().filter(|code| *code == "http2-refused").count() > before;
        eventually(|| refused().then_some(()));
        let reply = world.curl("/erp/v1/read", &["-H", &format!("X-API-Key: {key}")]).unwrap();
        assert_eq!(reply.status, 200, "{what}");
    }
    // As many as clients send that mean well.
    let mut raw = open(&world);
    raw.send(frame(PING, 0, 0, &[0; 8]).repeat(500));
    raw.send(frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]).repeat(100));
    is_served(&mut raw, 1);
}

#[test]
fn refused_requests_end_a_connection_when_they_are_many() {
    let (mut world, _) = world();
    let mut raw = open(&world);
    let malformed = block([(":method", "GET")]);
    for stream in 0..200 {
        raw.send(request(2 * stream + 1, &malformed));
    }
    raw.wait_until_closed();
    // Refusals of one kind share a record, which is written when its window ends, or with the stop.
    world.stop().unwrap();
    let refused = codes(&world).iter().filter(|code| **code == json!("http2-refused")).count();
    assert!((64..=201).contains(&refused), "{refused}");
}

/// What comes after the last GOAWAY the library passes over, and does not count.
#[test]
fn a_caller_that_goes_on_after_it_was_told_to_go_is_cut() {
    let declared =
        Declared { operations: OPERATIONS, bridge: "timeouts: { header: 1s }", ..Declared::default() };
    let (mut world, _) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    let mut raw = open(&world);
    let payloads = |raw: &Raw, wanted: u8| -> Vec<Vec<u8>> {
        frames(raw).into_iter().filter(|(kind, ..)| *kind == wanted).map(|(.., payload)| payload).collect()
    };
    let asked = eventually(|| payloads(&raw, PING).pop());
    // Its stream stays, for the rest of its body.
    raw.send(frame(
        HEADERS,
        END_HEADERS,
        1,
        &block([(":method", "POST")].into_iter().chain(GET.into_iter().skip(1))),
    ));
    eventually(|| (!problems(&raw).is_empty()).then_some(()));
    raw.send(frame(PING, 1, 0, &asked));
    eventually(|| (payloads(&raw, GOAWAY).len() > 1).then_some(()));
    let get = block(GET);
    let flood: Vec<u8> = (1..20_000).flat_map(|stream| request(2 * stream + 1, &get)).collect();
    raw.send(flood);
    raw.wait_until_closed();
    world.stop().unwrap();
    let refused = codes(&world).iter().filter(|code| **code == json!("http2-refused")).count();
    assert!((1..=64).contains(&refused), "{refused}");
}

/// Nobody who broke the protocol is waited for, and what was under way says why it ended.
#[test]
fn what_is_under_way_when_the_protocol_is_broken_says_so() {
    let (world, key) = world();
    world.target.on("GET /read", Reply::Hang);
    let mut raw = open(&world);
    let fields = GET.into_iter().chain([("x-api-key", key.as_str())]);
    raw.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(fields)));
    eventually(|| (!world.target.seen_on("GET /read").is_empty()).then_some(()));
    raw.send(frame(PING, 0, 0, b"x"));
    let record = eventually(|| {
        world.records().unwrap().into_iter().find(|record| record["outcome"] == json!("failed"))
    });
    assert_eq!(record["code"], json!("http2-refused"), "{record}");
}
