//! That an answer reaches whoever asked: callers that write all before they read, callers that close their half, and
//! targets that close connections in the middle of traffic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_testkit::{Authority, FakeTarget, Process, Reply, free_port, peer};
use serde_json::json;
use std::io::{Read, Write};
use std::process::Command;
use std::time::Duration;
use world::{Declared, World, eventually, expires_soon, issue_key, system};

const OPERATIONS: &str = r#"read: { match: "GET /read/{id}", permission: orders.read }
    write: { match: POST /write, permission: orders.write }
    small: { match: POST /small, permission: orders.write, request: { max_body: 1KiB } }"#;

fn declared() -> Declared {
    Declared { operations: OPERATIONS, ..Declared::default() }
}

/// Python's http.client, as requests uses it, writes the whole body before it looks for an answer.
const UPLOADS: &str = r#"
import http.client, json, ssl, sys
port, ca, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
context = ssl.create_default_context(cafile=ca)
for size in (1000, 300_000, 1_000_000, 5_000_000, 20_000_000):
    for path, fields in (("/erp/v1/write", {}), ("/erp/v1/small", {"X-API-Key": key}), ("/erp/v1/none", {"X-API-Key": key})):
        connection = http.client.HTTPSConnection("localhost", port, context=context)
        try:
            connection.request("POST", path, body=b"x" * size, headers=fields)
            reply = connection.getresponse()
            print(size, path, reply.status, json.loads(reply.read())["code"])
        except Exception as error:
            print(size, path, repr(error))
"#;

#[test]
fn an_early_refusal_reaches_a_caller_that_writes_all_before_it_reads() {
    let (world, key) = World::with_key(&declared(), |_, _| Ok(())).unwrap();
    let output = python(UPLOADS, &[&world.port.to_string(), world.ca().to_str().unwrap(), &key]);
    for size in [1000, 300_000, 1_000_000, 5_000_000, 20_000_000] {
        let small = if size == 1000 { "200" } else { "413 body-too-large" };
        for expected in [
            format!("{size} /erp/v1/write 401 credentials-missing"),
            format!("{size} /erp/v1/small {small}"),
            format!("{size} /erp/v1/none 404 operation-unknown"),
        ] {
            let echoed = expected.ends_with(" 200") && output.contains("KeyError");
            assert!(output.contains(&expected) || echoed, "{expected}\n{output}");
        }
    }
}

/// RFC 9112 §9.3, §9.6: a request behind an answer that says nothing of the connection is answered, too.
#[test]
fn a_connection_goes_on_after_an_answer_or_the_answer_says_that_it_ends() {
    let (world, key) = World::with_key(&declared(), |_, _| Ok(())).unwrap();
    let known = format!("X-API-Key: {key}\r\n");
    let known = known.as_str();
    let (pieces, piece) = ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n");
    let long = format!("Content-Length: 20000\r\n\r\n{}", "x".repeat(20_000));
    for (request, fields, body, status, goes_on) in [
        ("POST /erp/v1/write", "", "Content-Length: 50\r\n\r\n", 401, false),
        ("POST /erp/v1/write", "", "Expect: 100-continue\r\nContent-Length: 50\r\n\r\n", 401, false),
        ("POST /erp/v1/write", "", "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", 401, false),
        ("POST /erp/v1/write", "", "Content-Length: 50\r\n\r\nabc", 401, false),
        ("POST /erp/v1/write", "", &format!("{pieces}\r\n{piece}"), 401, false),
        ("POST /erp/v1/none", known, "Content-Length: 50\r\n\r\n", 404, false),
        ("POST /erp/v1/%2e", known, "Content-Length: 50\r\n\r\n", 400, false),
        ("POST /erp/v1/read/1", known, "Content-Length: 50\r\n\r\n", 405, false),
        (
            "POST /erp/v1/write",
            "X-API-Key: one\r\nX-API-Key: two\r\n",
            "Content-Length: 5\r\n\r\n",
            400,
            false,
        ),
        ("POST /.ironbridge/health", "", "Content-Length: 50\r\n\r\n", 405, false),
        ("POST /erp/v1/write", "", "Content-Length: 3\r\n\r\nabc", 401, true),
        ("POST /erp/v1/none", known, &long, 404, true),
        ("POST /erp/v1/write", "", &format!("{pieces}\r\n{piece}{piece}{piece}0\r\n\r\n"), 401, true),
        ("POST /erp/v1/write", "", &format!("{pieces}\r\n0\r\n\r\n"), 401, true),
        ("POST /erp/v1/read/1", known, "Content-Length: 0\r\n\r\n", 405, true),
        ("GET /erp/v1/read/1", "", "\r\n", 401, true),
        ("POST /erp/v1/write", known, "Content-Length: 3\r\n\r\nabc", 200, true),
        ("POST /erp/v1/write", known, &format!("{pieces}\r\n{piece}0\r\n\r\n"), 200, true),
    ] {
        let what = format!("{request} {fields}{}", body.get(..60).unwrap_or(body));
        let mut raw = world.raw().unwrap();
        raw.send(format!("{request} HTTP/1.1\r\nHost: localhost\r\n{fields}{body}"));
        let reply = raw.reply();
        let said = reply.header("connection");
        // A body that is still on its way when the answer is there may end the connection, which then says so.
        let goes_on = goes_on && !(body.len() > 16_000 && said == Some("close"));
        assert_eq!((reply.status, said), (status, (!goes_on).then_some("close")), "{what}");
        if goes_on {
            raw.send(format!("GET /erp/v1/read/1 HTTP/1.1\r\nHost: localhost\r\n{known}\r\n"));
            assert_eq!(raw.replies(2).last().unwrap().json()["path"], json!("/read/1"), "{what}");
        } else {
            raw.wait_until_closed();
        }
    }
}

/// Sends one request, closes its half in one of the ways there are, and prints what comes.
const HALF_CLOSED: &str = r#"
import socket, ssl, sys
port, ca, key, path, how = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5]
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = ssl.create_default_context(cafile=ca).wrap_bio(incoming, outgoing, server_hostname="localhost")
raw = socket.create_connection(("localhost", port))
def flush():
    data = outgoing.read()
    if data:
        raw.sendall(data)
def until(work):
    while True:
        try:
            return work()
        except ssl.SSLWantReadError:
            flush()
            data = raw.recv(65536)
            incoming.write(data) if data else incoming.write_eof()
until(tls.do_handshake)
flush()
method = "POST" if path.endswith("write") else "GET"
tls.write(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\nContent-Length: 0\r\n\r\n".encode())
flush()
if how != "fin":
    try:
        tls.unwrap()
    except ssl.SSLWantReadError:
        pass
    flush()
if how != "notify":
    raw.shutdown(socket.SHUT_WR)
received = b""
while True:
    try:
        data = until(lambda: tls.read(65536))
    except ssl.SSLError:
        break
    if not data:
        break
    received += data
print(received.decode())
"#;

#[test]
fn a_caller_that_closes_its_half_is_answered() {
    let (world, key) = World::with_key(&declared(), |_, _| Ok(())).unwrap();
    world.target.on("GET /read/slow", Reply::After(Duration::from_millis(300), Box::new(Reply::Echo)));
    let (port, ca) = (world.port.to_string(), world.ca());
    for how in ["notify", "fin", "both"] {
        for path in ["/erp/v1/read/slow", "/erp/v1/read/1", "/erp/v1/write"] {
            let output = python(HALF_CLOSED, &[&port, ca.to_str().unwrap(), &key, path, how]);
            assert!(
                output.starts_with("HTTP/1.1 200 ") && output.contains("\"path\""),
                "{how} {path}: {output}"
            );
        }
    }
    eventually(|| {
        let records = world.records().unwrap();
        assert!(records.iter().all(|record| record["code"] == json!("delivered")), "{records:?}");
        (records.len() == 9).then_some(())
    });
}

/// Uploads of 5 MB that the target refuses with 413 by their heads.
fn uploads_are_declined(world: &World, key: &str, path: &str) {
    let (port, ca) = (world.port.to_string(), world.ca());
    let told = python(DECLINED, &[&port, ca.to_str().unwrap(), key, path]);
    assert_eq!(told.lines().count(), 12, "{told}");
    assert!(told.lines().all(|line| line == "413 target-declined"), "{path}: {told}");
}

const DECLINED: &str = r#"
import http.client, json, ssl, sys
port, ca, key, path = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
context = ssl.create_default_context(cafile=ca)
for attempt in range(12):
    connection = http.client.HTTPSConnection("localhost", port, context=context)
    try:
        connection.request("POST", path, body=b"x" * 5_000_000, headers={"X-API-Key": key})
        reply = connection.getresponse()
        print(reply.status, json.loads(reply.read())["code"])
    except Exception as error:
        print(repr(error))
"#;

#[test]
fn an_early_answer_of_the_target_is_passed_on() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(
                b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nsmall",
            );
        }
    });
    let (world, key) = World::with_key(&declared(), |dir, _| {
        let plain = format!("danger_plaintext: {{ reason: a test, expires: {} }}", expires_soon());
        let http = format!("url: \"http://127.0.0.1:{port}\", {plain}");
        let operations = "upload: { match: POST /upload, permission: orders.write }";
        Ok(std::fs::write(dir.join("raw.yaml"), system("raw", &http, operations))?)
    })
    .unwrap();
    uploads_are_declined(&world, &key, "/raw/upload");
    // Whoever has not sent it all by then hears that nothing may follow on this connection.
    let mut raw = world.raw().unwrap();
    let head = format!("POST /raw/upload HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n");
    raw.send(format!("{head}Content-Length: 5000\r\n\r\nabc"));
    let reply = raw.reply();
    assert_eq!((reply.status, reply.header("connection")), (413, Some("close")));
    raw.wait_until_closed();
}

fn python(script: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(peer("python3").unwrap()).args(["-c", script]).args(arguments).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

const NGINX: &str = "daemon off; master_process off; pid @DIR@/nginx.pid; error_log stderr notice;
events { worker_connections 256; }
http {
    access_log off; keepalive_requests 20; client_body_temp_path @DIR@/body; proxy_temp_path @DIR@/proxy;
    fastcgi_temp_path @DIR@/fastcgi; uwsgi_temp_path @DIR@/uwsgi; scgi_temp_path @DIR@/scgi;
    server {
        listen 127.0.0.1:@PORT@ ssl @HTTP2@;
        ssl_certificate @DIR@/nginx.crt; ssl_certificate_key @DIR@/nginx.key;
        location / { return 200 'ok'; }
        location /upload { client_max_body_size 1k; proxy_pass http://127.0.0.1:1; }
    }
}
";

/// nginx ends a connection after so many requests: over HTTP/2 with GOAWAY while further ones are on their way.
#[test]
fn a_target_that_ends_connections_under_load_costs_nobody_an_answer() {
    for version in ["http2", ""] {
        let authority = Authority::new("erp authority").unwrap();
        let target = FakeTarget::start(&authority).unwrap();
        let identity = authority.server(&["localhost"]).unwrap();
        let nginx = free_port().unwrap();
        let (mut key, mut process) = (String::new(), None);
        let world = World::with(&declared(), authority, target, |dir| {
            identity.write(dir, "nginx")?;
            let conf = NGINX
                .replace("@DIR@", dir.to_str().unwrap())
                .replace("@PORT@", &nginx.to_string())
                .replace("@HTTP2@", version);
            std::fs::write(dir.join("nginx.conf"), conf)?;
            let mut started =
                Process::start(Command::new(peer("nginx")?).arg("-p").arg(dir).args(["-c", "nginx.conf"]))?;
            started.wait_for_line("event method", Duration::from_secs(10))?;
            process = Some(started);
            let http = format!("url: \"https://localhost:{nginx}\", ca: ./erp-ca.pem");
            let operations = r#"read: { match: "GET /{id}", permission: orders.read },
                upload: { match: POST /upload, permission: orders.write }"#;
            std::fs::write(dir.join("more.yaml"), system("nginx", &http, operations))?;
            key = issue_key(dir, "order-service")?;
            Ok(())
        })
        .unwrap();
        let output = Command::new(peer("h2load").unwrap())
            .args(["-n", "1200", "-c", "12", "-m", "1", "-H", &format!("x-api-key: {key}")])
            .arg(world.url("/nginx/1"))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("status codes: 1200 2xx, 0 3xx, 0 4xx, 0 5xx"), "{version}: {text}");
        // It refuses a body before it has read it.
        uploads_are_declined(&world, &key, "/nginx/upload");
        drop(process);
    }
}
