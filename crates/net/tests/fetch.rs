//! The guarded client against servers that behave, and servers that don't.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod authority;

use authority::Authority;
use ironbridge_core::{Fetch, FetchMethod, FetchRequest, Sensitive};
use ironbridge_net::address::Policy;
use ironbridge_net::fetch::GuardedClient;
use ironbridge_net::tls::server::{ClientAuth, ListenerTls, Protocol, ServerIdentity, Turns, server_config};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Answers one connection with fixed bytes; tells what it was asked.
async fn server(authority: &Authority, answer: &'static str) -> (u16, oneshot::Receiver<String>) {
    let identity = ServerIdentity::new(authority.issue(&["localhost"]).identity());
    let config = server_config(identity, &ClientAuth::Off, &[Protocol::Http1]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, question) = oneshot::channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let turns = Turns::default();
        let tls = ListenerTls::new(config);
        let Ok(secured) = tls.accept(stream, Duration::from_secs(10), &turns).await else { return };
        let mut stream = secured.stream;
        let mut request = vec![0; 4096];
        let mut length = 0;
        while !request[..length].ends_with(b"\r\n\r\n") && !request[..length].ends_with(b"=x") {
            match stream.read(&mut request[length..]).await {
                Ok(read @ 1..) => length += read,
                _ => return,
            }
        }
        drop(asked.send(String::from_utf8_lossy(&request[..length]).into_owned()));
        stream.write_all(answer.as_bytes()).await.unwrap();
        drop(stream.shutdown().await);
    });
    (port, question)
}

fn get(port: u16) -> FetchRequest {
    FetchRequest {
        method: FetchMethod::Get,
        url: format!("https://localhost:{port}/keys?a=b"),
        headers: vec![("x-key", Sensitive::new(b"secret".to_vec()))],
        max_reply: 100,
        timeout: Duration::from_secs(5),
    }
}

#[tokio::test]
async fn fetches_what_is_there() {
    let authority = Authority::new("issuer");
    let answer = "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=90\r\nContent-Length: 2\r\n\r\n{}";
    let (port, question) = server(&authority, answer).await;
    let client = GuardedClient::new(&authority.roots(), Policy::Declared).unwrap();
    let fetched = client.fetch(get(port)).await.unwrap();
    assert_eq!((fetched.status, fetched.body.expose(), fetched.max_age), (200, &b"{}"[..], Some(90)));
    let asked = question.await.unwrap().to_ascii_lowercase();
    assert!(asked.starts_with("get /keys?a=b http/1.1\r\n"), "{asked}");
    assert!(
        asked.contains(&format!("host: localhost:{port}\r\n")) && asked.contains("x-key: secret"),
        "{asked}"
    );
}

#[tokio::test]
async fn posts_a_form() {
    let authority = Authority::new("issuer");
    let (port, question) = server(&authority, "HTTP/1.1 201 Created\r\n\r\nuntil the end").await;
    let client = GuardedClient::new(&authority.roots(), Policy::Declared).unwrap();
    let form = FetchMethod::PostForm(Sensitive::new(b"secret=x".to_vec()));
    let fetched = client.fetch(FetchRequest { method: form, ..get(port) }).await.unwrap();
    assert_eq!((fetched.status, fetched.body.expose()), (201, &b"until the end"[..]));
    let asked = question.await.unwrap().to_ascii_lowercase();
    assert!(asked.starts_with("post ") && asked.contains("content-length: 8\r\n"), "{asked}");
    assert!(asked.contains("content-type: application/x-www-form-urlencoded\r\n"), "{asked}");
}

#[tokio::test]
async fn bodies_go_out_under_their_media_type() {
    let authority = Authority::new("store");
    let answer = "HTTP/1.1 503 Slow Down\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
    let client = GuardedClient::new(&authority.roots(), Policy::Declared).unwrap();
    let body = b"=x".to_vec();
    for (method, verb) in [
        (FetchMethod::Put("application/octet-stream", body.clone()), "put "),
        (FetchMethod::Post("application/octet-stream", body), "post "),
    ] {
        let (port, question) = server(&authority, answer).await;
        let fetched = client.fetch(FetchRequest { method, ..get(port) }).await.unwrap();
        assert_eq!((fetched.status, fetched.retry_after), (503, Some(7)));
        let asked = question.await.unwrap().to_ascii_lowercase();
        assert!(asked.starts_with(verb) && asked.ends_with("\r\n\r\n=x"), "{asked}");
        assert!(asked.contains("content-type: application/octet-stream\r\n"), "{asked}");
    }
    let dated = "HTTP/1.1 200 OK\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n";
    let (port, question) = server(&authority, dated).await;
    let fetched = client.fetch(FetchRequest { method: FetchMethod::Delete, ..get(port) }).await.unwrap();
    assert_eq!(fetched.retry_after, Some(0));
    assert!(question.await.unwrap().starts_with("DELETE /keys?a=b HTTP/1.1\r\n"));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let authority = Authority::new("issuer");
    let answer = "HTTP/1.1 302 Found\r\nLocation: https://169.254.169.254/\r\nContent-Length: 0\r\n\r\n";
    let (port, _) = server(&authority, answer).await;
    let client = GuardedClient::new(&authority.roots(), Policy::Declared).unwrap();
    assert_eq!(client.fetch(get(port)).await.unwrap().status, 302);
}

#[tokio::test]
async fn size_and_time_are_bounded() {
    let authority = Authority::new("issuer");
    let client = GuardedClient::new(&authority.roots(), Policy::Declared).unwrap();
    let long = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    let (port, _) = server(&authority, long).await;
    let error = client.fetch(FetchRequest { max_reply: 1, ..get(port) }).await.unwrap_err();
    assert!(error.0.contains("larger than 1"), "{error}");
    let (port, _) = server(&authority, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort").await;
    assert!(client.fetch(get(port)).await.is_err());
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let error = client.fetch(FetchRequest { timeout: Duration::from_millis(50), ..get(port) }).await;
    assert!(error.is_err());
}

#[tokio::test]
async fn trust_and_addresses_are_checked() {
    let authority = Authority::new("issuer");
    let (port, _) = server(&authority, "HTTP/1.1 200 OK\r\n\r\n").await;
    let stranger = GuardedClient::new(&Authority::new("stranger").roots(), Policy::Declared).unwrap();
    let error = stranger.fetch(get(port)).await.unwrap_err();
    assert!(error.0.starts_with("TLS: "), "{error}");

    let public = GuardedClient::new(&authority.roots(), Policy::Public).unwrap();
    let error = public.fetch(get(port)).await.unwrap_err();
    assert!(error.0.starts_with("address refused"), "{error}");
    let client = GuardedClient::new(&authority.roots(), Policy::Declared).unwrap();
    for url in [
        "http://localhost/",
        "https://user:password@localhost/",
        "https://localhost/#x",
        "file:///etc/passwd",
        "localhost",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:169.254.169.254]/",
        "https://0.0.0.0/",
    ] {
        let error = client.fetch(FetchRequest { url: url.to_owned(), ..get(1) }).await.unwrap_err();
        assert!(!error.0.contains("password"), "{error}");
    }
}

#[tokio::test]
async fn values_that_break_out_of_a_header_are_refused() {
    let authority = Authority::new("issuer");
    let client: Arc<dyn Fetch> = Arc::new(GuardedClient::new(&authority.roots(), Policy::Declared).unwrap());
    let headers = vec![("x", Sensitive::new(b"a\r\nb: c".to_vec()))];
    let error = client.fetch(FetchRequest { headers, ..get(1) }).await.unwrap_err();
    assert!(error.0.contains("header field x"), "{error}");
}
