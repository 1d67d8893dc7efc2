//! HTTP/2 on either side: streams, trailers, gRPC, bodies that are there or not, and large ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use bytes::Bytes;
use ironbridge_testkit::{Authority, NodeServer, Reply, call, peer};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use world::{Declared, World, eventually, expires_soon, frames, system};

const OPERATIONS: &str = r#"read: { match: "GET /read/{id}", permission: orders.read }
    head: { match: "HEAD /read/{id}", permission: orders.read, response: { headers: [X-Order] } }
    delete: { match: "DELETE /read/{id}", permission: orders.write }
    echo: { match: POST /echo, permission: orders.write, request: { trailers: [X-In], query: [x] }, response: { trailers: [X-Sum] } }
    upload: { match: PUT /upload, permission: orders.write }"#;

/// Toward a target over HTTP/1.1 or HTTP/2.
fn world(protocol: &str) -> (World, String) {
    let declared =
        Declared { operations: OPERATIONS, system: format!("protocol: {protocol}"), ..Declared::default() };
    World::with_key(&declared, |_, _| Ok(())).unwrap()
}

#[test]
fn every_pair_of_versions_works() {
    for (protocol, spoken) in [("http1", "HTTP/1.1"), ("http2", "HTTP/2.0"), ("auto", "HTTP/2.0")] {
        let (world, key) = world(protocol);
        for (version, via) in [("--http1.1", "1.1 test-bridge"), ("--http2", "2.0 test-bridge")] {
            let key = format!("X-API-Key: {key}");
            let arguments = [version, "-H", &key, "-d", r#"{"a":1}"#];
            let reply = world.curl("/erp/v1/echo?x=%20", &arguments).unwrap();
            let echo = reply.json().unwrap();
            assert_eq!(
                (&echo["version"], &echo["path"]),
                (&json!(spoken), &json!("/echo?x=%20")),
                "{protocol} {version}"
            );
            assert_eq!((&echo["headers"]["via"], &echo["body"]), (&json!([via]), &json!({ "a": 1 })));
            let reply_via = if spoken == "HTTP/2.0" { "2.0 test-bridge" } else { "1.1 test-bridge" };
            assert_eq!(reply.header("via"), Some(reply_via));
        }
    }
}

#[test]
fn many_streams_at_once() {
    for protocol in ["http1", "http2"] {
        let (world, key) = world(protocol);
        let output = Command::new(peer("h2load").unwrap())
            .args([
                "-n",
                "600",
                "-c",
                "3",
                "-m",
                "50",
                "-H",
                &format!("x-api-key: {key}"),
                &world.url("/erp/v1/read/1"),
            ])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("600 succeeded, 0 failed, 0 errored, 0 timeout"), "{text}");
        assert!(text.contains("status codes: 600 2xx"), "{text}");
        assert!(text.contains("Application protocol: h2"), "{text}");
        assert_eq!(world.target.seen().len(), 600);
        eventually(|| {
            let records = world.records().unwrap();
            (records.iter().filter(|record| record["outcome"] == "success").count() == 600).then_some(())
        });
    }
}

#[test]
fn replies_without_a_body_stay_without() {
    for protocol in ["http1", "http2"] {
        let (world, key) = world(protocol);
        world
            .target
            .on("DELETE /read/1", Reply::Raw(204, vec![], Bytes::new()))
            .on("GET /read/304", Reply::Raw(304, vec![("etag", "\"v1\"".into())], Bytes::new()))
            .on("GET /read/empty", Reply::Raw(200, vec![], Bytes::new()))
            .on("HEAD /read/1", Reply::Raw(200, vec![("x-order", "7".into())], Bytes::from("12345")));
        let key = format!("X-API-Key: {key}");
        for version in ["--http1.1", "--http2"] {
            let ask = |path: &str, more: &[&str]| {
                let all: Vec<&str> = [version, "-H", &key].into_iter().chain(more.iter().copied()).collect();
                let reply = world.curl(path, &all).unwrap();
                // With --head, curl writes the header section out as the body.
                assert!(more == ["--head"] || reply.body.is_empty(), "{protocol} {version} {path} {more:?}");
                assert_eq!(
                    world.record_of(&reply)["outcome"],
                    "success",
                    "{protocol} {version} {path} {more:?}"
                );
                reply
            };
            assert_eq!(ask("/erp/v1/read/1", &["-X", "DELETE"]).status, 204);
            let unchanged = ask("/erp/v1/read/304", &["-H", "If-None-Match: \"v1\""]);
            assert_eq!((unchanged.status, unchanged.header("etag")), (304, Some("\"v1\"")));
            let empty = ask("/erp/v1/read/empty", &[]);
            assert_eq!(empty.status, 200);
            assert!(empty.header("content-length").is_none_or(|length| length == "0"));
            let head = ask("/erp/v1/read/1", &["--head"]);
            assert_eq!((head.status, head.header("x-order")), (200, Some("7")));
            assert_eq!(head.header("content-length"), Some("5"), "{protocol} {version}");
        }
    }
}

#[test]
fn trailers_pass_both_ways() {
    let (world, key) = world("http2");
    world.target.on(
        "POST /echo",
        Reply::Trailers(vec![Bytes::from("one "), Bytes::from("two")], vec![("x-sum", "7")]),
    );
    // HTTP/1.1 in: chunked, with a trailer section.
    let mut raw = world.raw().unwrap();
    raw.send(format!(
        "POST /erp/v1/echo HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nTE: trailers\r\nTrailer: X-In\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-In: yes\r\n\r\n"
    ));
    let reply = raw.reply();
    assert_eq!((reply.status, reply.body.as_slice()), (200, &b"one two"[..]));
    // Over HTTP/2 the target need not announce them; over HTTP/1.1 the bridge does, to whoever takes any.
    assert_eq!(
        (reply.header("trailer"), reply.trailers.to_lowercase().as_str()),
        (Some("x-sum"), "x-sum: 7")
    );
    let mut raw = world.raw().unwrap();
    raw.send(format!(
        "POST /erp/v1/echo HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Length: 0\r\n\r\n"
    ));
    let without = raw.reply();
    assert_eq!((without.body.as_slice(), without.trailers.as_str()), (&b"one two"[..], ""));
    let seen = &world.target.seen_on("POST /echo")[0];
    assert_eq!(
        (seen.body.as_ref(), seen.trailers.as_slice()),
        (&b"abc"[..], &[("x-in".into(), "yes".into())][..])
    );
    // HTTP/2 in.
    let ca = world.ca();
    let output = Command::new("curl")
        .args(["-q", "-s", "--http2", "-D", "-", "--cacert", ca.to_str().unwrap(), "-d", "x", "-H"])
        .args([&format!("X-API-Key: {key}"), "-H", "TE: trailers", &world.url("/erp/v1/echo")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("one two") && text.contains("x-sum: 7"), "{text}");
    assert_eq!(world.target.seen_on("POST /echo")[2].header("te"), Some("trailers"));
}

#[test]
fn trailers_pass_where_nobody_speaks_http2() {
    let (world, key, listener) = beside_a_raw_target();
    let target = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut byte) = (Vec::new(), [0]);
        while !request.ends_with(b"yes\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n";
        stream.write_all(reply.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    let mut raw = world.raw().unwrap();
    raw.send(format!(
        "PUT /raw/large HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nTE: trailers\r\nTrailer: X-In\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-In: yes\r\n\r\n"
    ));
    let reply = raw.reply();
    assert_eq!((reply.body.as_slice(), reply.trailers.to_lowercase().as_str()), (&b"abc"[..], "x-sum: 7"));
    let request = target.join().unwrap().to_lowercase();
    assert!(
        request.contains("\r\ntrailer: x-in\r\n") && request.ends_with("0\r\nx-in: yes\r\n\r\n"),
        "{request}"
    );
}

/// A caller over HTTP/2 announces nothing; a target over HTTP/1.1 gets what is declared all the same.
#[test]
fn declared_trailers_of_a_request_need_no_announcement() {
    let (world, key, listener) = beside_a_raw_target();
    let target = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (mut request, mut byte) = (Vec::new(), [0]);
        while !request.ends_with(b"yes\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        String::from_utf8(request).unwrap().to_lowercase()
    });
    let mut raw = world.raw_http2().unwrap();
    raw.send(frames::with_trailers(
        &[
            (":method", "PUT"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/raw/large"),
            ("x-api-key", &key),
        ],
        b"abc",
        &[("x-other", "no"), ("x-in", "yes")],
    ));
    let request = target.join().unwrap();
    assert!(request.contains("\r\ntrailer: x-in\r\n"), "{request}");
    assert!(request.ends_with("0\r\nx-in: yes\r\n\r\n"), "{request}");
}

#[test]
fn grpc_passes() {
    let authority = Authority::new("grpc authority").unwrap();
    let files = tempfile::tempdir().unwrap();
    let identity = authority.server(&["localhost"]).unwrap();
    let server = NodeServer::start("grpc.mjs", &identity, files.path(), json!({})).unwrap();
    let declared = Declared { operations: OPERATIONS, ..Declared::default() };
    let (world, key) = World::with_key(&declared, |dir, _| {
        authority.write(dir.join("grpc-ca.pem"))?;
        let http = format!("url: \"{}\", ca: ./grpc-ca.pem, protocol: http2", server.url());
        let operations = "unary: { match: POST /echo.Echo/Unary, permission: orders.read, response: { trailers: [X-Received] } }, \
                          chat: { match: POST /echo.Echo/Chat, permission: orders.read, response: { trailers: [X-Chat] } }, \
                          fail: { match: POST /echo.Echo/Fail, permission: orders.read, response: { trailers: [X-Reason] } }";
        Ok(std::fs::write(dir.join("grpc.yaml"), system("rpc", &http, operations))?)
    })
    .unwrap();
    let ask = |method: &str, messages: &[&str], key: &str| {
        let wish = json!({
            "url": world.url("/rpc"), "ca": world.ca(), "method": format!("/echo.Echo/{method}"),
            "messages": messages, "metadata": { "x-api-key": key },
        });
        call("grpc.mjs", &wish).unwrap()
    };
    let unary = ask("Unary", &["ping"], &key);
    assert_eq!((&unary["messages"], &unary["status"]), (&json!(["ping"]), &json!(0)), "{unary}");
    assert!(unary["trailers"]["x-received"].is_string(), "{unary}");
    let chat = ask("Chat", &["a", "b", "c"], &key);
    assert_eq!(
        (&chat["messages"], &chat["status"], &chat["trailers"]["x-chat"]),
        (&json!(["a", "b", "c"]), &json!(0), &json!("over"))
    );
    let failed = ask("Fail", &["x"], &key);
    assert_eq!((&failed["status"], &failed["trailers"]["x-reason"]), (&json!(9), &json!("test")), "{failed}");
    // UNAUTHENTICATED and UNIMPLEMENTED, in the bridge's words.
    for (method, key, status, code) in
        [("Unary", "wrong", 16, "api-key-malformed"), ("Other", &*key, 12, "operation-unknown")]
    {
        let refused = ask(method, &["x"], key);
        let details = refused["details"].as_str().unwrap();
        assert!(refused["status"] == status && details.starts_with(&format!("{code}: ")), "{refused}");
    }
    let records = eventually(|| Some(world.records().unwrap()).filter(|records| records.len() == 5));
    let outcomes: Vec<&Value> = records.iter().map(|record| &record["outcome"]).collect();
    assert_eq!(outcomes, ["success", "success", "success", "denied", "denied"]);
}

const LARGE: usize = 50 << 20;

/// What may be under way between two ends of which one has stopped: the kernel's and HTTP's windows, far below the
/// whole.
const IN_BETWEEN: usize = 20 << 20;

/// A target whose bytes the test writes, in the clear, and a world that reaches it at `/raw`.
fn beside_a_raw_target() -> (World, String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let declared = Declared { operations: OPERATIONS, ..Declared::default() };
    let (world, key) = World::with_key(&declared, |dir, _| {
        let plain = format!("danger_plaintext: {{ reason: a test, expires: {} }}", expires_soon());
        let http = format!("url: \"http://127.0.0.1:{port}\", {plain}");
        let operations = "get: { match: GET /large, permission: orders.read, timeout: 20s }, \
                          put: { match: PUT /large, permission: orders.write, timeout: 20s, \
                                 request: { trailers: [X-In] }, response: { trailers: [X-Sum] } }";
        Ok(std::fs::write(dir.join("raw.yaml"), system("raw", &http, operations))?)
    })
    .unwrap();
    (world, key, listener)
}

fn read_head(stream: &mut TcpStream) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
}

/// Waits until the count stops growing.
fn settled(count: &AtomicUsize) -> usize {
    let (mut last, mut since) = (0, Instant::now());
    eventually(|| {
        let now = count.load(Ordering::Relaxed);
        if now != last || now == 0 {
            (last, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_millis(300)).then_some(last)
    })
}

#[test]
fn a_large_reply_waits_for_its_reader() {
    for version in ["--http1.1", "--http2"] {
        let (world, key, listener) = beside_a_raw_target();
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let target = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            read_head(&mut stream);
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n").unwrap();
            let chunk = vec![b'x'; 64 << 10];
            for _ in 0..LARGE / chunk.len() {
                stream.write_all(&chunk).unwrap();
                counted.fetch_add(chunk.len(), Ordering::Relaxed);
            }
        });
        let mut caller = Command::new("curl")
            .args(["-q", "-s", version, "--cacert", world.ca().to_str().unwrap(), "-H"])
            .args([&format!("X-API-Key: {key}"), &world.url("/raw/large")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let waiting = settled(&sent);
        assert!(waiting < IN_BETWEEN, "{version}: {waiting} bytes went nowhere");
        let mut received = 0;
        let (mut output, mut chunk) = (caller.stdout.take().unwrap(), vec![0; 64 << 10]);
        while let Ok(length @ 1..) = output.read(&mut chunk) {
            assert!(chunk[..length].iter().all(|byte| *byte == b'x'));
            received += length;
        }
        assert_eq!(received, LARGE, "{version}");
        assert!(caller.wait().unwrap().success());
        target.join().unwrap();
        let record = eventually(|| world.records().unwrap().pop());
        assert_eq!((&record["outcome"], &record["bytes_out"]), (&json!("success"), &json!(LARGE)));
    }
}

#[test]
fn a_large_request_waits_for_its_reader() {
    for version in ["--http1.1", "--http2"] {
        let (world, key, listener) = beside_a_raw_target();
        let mut caller = Command::new("curl")
            .args(["-q", "-s", version, "--cacert", world.ca().to_str().unwrap(), "-T", "-", "-H"])
            .args([&format!("X-API-Key: {key}"), "-w", "%{http_code}", &world.url("/raw/large")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = caller.stdin.take().unwrap();
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&taken);
        let feeding = std::thread::spawn(move || {
            let chunk = vec![b'x'; 64 << 10];
            for _ in 0..LARGE / chunk.len() {
                input.write_all(&chunk).unwrap();
                counted.fetch_add(chunk.len(), Ordering::Relaxed);
            }
        });
        let (mut stream, _) = listener.accept().unwrap();
        read_head(&mut stream);
        let waiting = settled(&taken);
        assert!(waiting < IN_BETWEEN, "{version}: {waiting} bytes went nowhere");
        let (mut data, mut last, mut chunk) = (0, Vec::new(), vec![0; 64 << 10]);
        while !last.ends_with(b"\r\n0\r\n\r\n") {
            let length = stream.read(&mut chunk).unwrap();
            data += chunk[..length].iter().filter(|byte| **byte == b'x').count();
            last.extend_from_slice(&chunk[..length]);
            last.drain(..last.len().saturating_sub(16));
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        assert_eq!(data, LARGE, "{version}");
        feeding.join().unwrap();
        assert_eq!(caller.wait_with_output().unwrap().stdout, b"200", "{version}");
        let record = eventually(|| world.records().unwrap().pop());
        assert_eq!((&record["outcome"], &record["bytes_in"]), (&json!("success"), &json!(LARGE)));
    }
}

#[test]
fn a_refusal_reaches_a_caller_that_is_still_sending() {
    let operations = "send: { match: POST /send, permission: orders.delete }";
    let (world, key) =
        World::with_key(&Declared { operations, ..Declared::default() }, |_, _| Ok(())).unwrap();
    for path in ["/erp/v1/send", "/erp/v1/unknown"] {
        let mut caller = Command::new("curl")
            .args([
                "-q",
                "-s",
                "-S",
                "--http2",
                "--cacert",
                world.ca().to_str().unwrap(),
                "-T",
                "-",
                "-X",
                "POST",
            ])
            .args([
                "-H",
                &format!("X-API-Key: {key}"),
                "-w",
                "%{http_code}",
                "-o",
                "/dev/null",
                &world.url(path),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = caller.stdin.take().unwrap();
        input.write_all(b"one").unwrap();
        // The refusal is there by now; the rest comes after it.
        eventually(|| world.records().unwrap().pop());
        std::thread::sleep(Duration::from_millis(200));
        let _ = input.write_all(b"two");
        drop(input);
        let output = caller.wait_with_output().unwrap();
        let status = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(["403", "404"].contains(&status.as_str()), "{path}: {status} {:?}", output.status);
        assert!(output.status.success(), "{path}: curl ended with {:?}", output.status);
    }
}

#[test]
fn a_body_that_is_refused_half_way_does_not_take_the_answer_with_it() {
    let declared = Declared {
        bridge: "public_url: https://bridge.test\n  audit: { serve: {} }",
        credentials: "oauth_client: {}",
        operations: "put: { match: POST /put, permission: orders.write, request: { max_body: 1KiB, keep: [/a] } }",
        ..Declared::default()
    };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    let file = world.dir.path().join("large");
    std::fs::write(&file, vec![b'x'; 60_000]).unwrap();
    let data = format!("@{}", file.display());
    let key = format!("X-API-Key: {key}");
    for path in ["/log/checkpoint", "/oauth/token", "/erp/v1/put"] {
        let method = if path.starts_with("/log") { "GET" } else { "POST" };
        for _ in 0..20 {
            let sent = ["--http2", "-H", "Expect:", "-H", &key, "-X", method, "--data-binary", &data];
            assert_eq!(world.curl(path, &sent).unwrap().status, 413, "{path}");
        }
    }
}

/// Of a reply as many fields and bytes are read as the manual says.
#[test]
fn a_header_section_without_measure_is_refused() {
    let fields = |count: usize, length: usize| {
        (0..count).map(|number| (&*format!("x-{number}").leak(), "v".repeat(length))).collect::<Vec<_>>()
    };
    let (world, key) = world("http2");
    let key = format!("X-API-Key: {key}");
    // The target adds a few of its own.
    for (count, length, status) in
        [(90, 10, 200), (101, 10, 502), (250, 1, 502), (1, 31_000, 200), (1, 33_000, 502), (2, 17_000, 502)]
    {
        world.target.on("GET /read/1", Reply::Raw(200, fields(count, length), Bytes::from_static(b"{}")));
        let reply = world.curl("/erp/v1/read/1", &["-H", &key]).unwrap();
        assert_eq!(reply.status, status, "{count} of {length}");
        if status == 502 {
            assert_eq!(reply.json().unwrap()["code"], "reply-malformed", "{count} of {length}");
        }
    }
    world.target.on("GET /read/1", Reply::Raw(200, fields(1, 1), Bytes::from_static(b"{}")));
    assert_eq!(world.curl("/erp/v1/read/1", &["-H", &key]).unwrap().status, 200);
}

/// A stream of so many messages like gRPC's, of ten bytes each.
fn messages(stream: u32, count: usize) -> Vec<u8> {
    let mut message = Vec::new();
    frames::frame(&mut message, 0, 0, stream, b"\0\0\0\0\x05hello");
    message.repeat(count)
}

/// The body of a chunked request, read at once.
fn read_chunks(stream: &mut TcpStream) -> usize {
    let (mut length, mut bytes) = (0, std::io::BufReader::new(stream));
    loop {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut bytes, &mut line).unwrap();
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        bytes.read_exact(&mut chunk).unwrap();
        if size == 0 {
            return length;
        }
        length += size;
    }
}

#[test]
fn small_messages_wait_for_a_slow_target_however_many_they_are() {
    const COUNT: usize = 20_000;
    let (world, key, listener) = beside_a_raw_target();
    let target = std::thread::spawn(move || {
        // Two streams at once, of which the first is left waiting for long.
        let mut streams = [listener.accept().unwrap().0, listener.accept().unwrap().0];
        for stream in &streams {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        }
        std::thread::sleep(Duration::from_millis(1_500));
        let lengths = streams.each_mut().map(|stream| {
            read_head(stream);
            let length = read_chunks(stream);
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            length
        });
        // Kept open until the caller has its answers.
        (lengths, streams)
    });
    let mut raw = world.raw_http2().unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frames::frame(&mut bytes, 4, 0, 0, b"");
    for stream in [1, 3] {
        let fields = [
            (":method", "PUT"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/raw/large"),
            ("x-api-key", &*key),
        ];
        frames::frame(&mut bytes, 1, 4, stream, &frames::block(&fields));
    }
    raw.send(&bytes);
    for _ in 0..COUNT / 1_000 {
        raw.send([messages(1, 1_000), messages(3, 1_000)].concat());
    }
    let mut ends = Vec::new();
    for stream in [1, 3] {
        frames::frame(&mut ends, 0, 1, stream, b"");
    }
    raw.send(ends);
    let (lengths, _streams) = target.join().unwrap();
    assert_eq!(lengths, [COUNT * 10; 2]);
    let records = eventually(|| Some(world.records().unwrap()).filter(|records| records.len() >= 2));
    assert!(records.iter().all(|record| record["code"] == "delivered"), "{records:?}");
}
