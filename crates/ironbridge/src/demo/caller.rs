//! The callers: HTTPS clients that trust the bridge's CA and nobody else.

use crate::failure::Failure;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use ironbridge_net::tls::client::client_config;
use ironbridge_net::tls::server::Protocol;
use ironbridge_net::tls::{Identity, Roots};
use ironbridge_seal::hash;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// Far more than anything here takes; a demo must end.
const PATIENCE: Duration = Duration::from_secs(10);

/// One way to the bridge, with or without a client certificate.
#[derive(Clone)]
pub struct Caller {
    port: u16,
    tls: Arc<ClientConfig>,
    /// Requests that should each have left one record, counted by all callers together.
    crossings: Arc<AtomicU64>,
}

/// A request before it is sent.
pub struct Call {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
    /// What stands in the narration for the credential.
    credential: String,
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A connection that is kept open.
pub struct Line {
    caller: Caller,
    sender: SendRequest<Full<Bytes>>,
}

impl Caller {
    pub fn new(port: u16, bridge_ca: &str) -> Result<Caller, Failure> {
        let tls = client_config(&Roots::from_pem(bridge_ca.as_bytes())?, None, &[Protocol::Http1])?;
        Ok(Caller { port, tls: Arc::new(tls), crossings: Arc::default() })
    }

    /// The same caller with a client certificate.
    pub fn with_certificate(&self, bridge_ca: &str, identity: Identity) -> Result<Caller, Failure> {
        let tls = client_config(&Roots::from_pem(bridge_ca.as_bytes())?, Some(identity), &[Protocol::Http1])?;
        Ok(Caller { tls: Arc::new(tls), ..self.clone() })
    }

    pub fn crossings(&self) -> u64 {
        self.crossings.load(Ordering::Relaxed)
    }

    /// Sends one request over a connection of its own.
    pub async fn send(&self, call: &Call) -> Result<Answer, Failure> {
        self.open().await?.send(call).await
    }

    pub async fn open(&self) -> Result<Line, Failure> {
        let opening = async {
            let (sender, connection) = handshake(TokioIo::new(self.connect().await?)).await?;
            // How it ends is told by the answers.
            tokio::spawn(async { drop(connection.await) });
            Ok::<_, Failure>(sender)
        };
        let sender = timeout(PATIENCE, opening).await??;
        Ok(Line { caller: self.clone(), sender })
    }

    /// Writes bytes as they are and reads until the bridge closes the connection.
    pub async fn send_raw(&self, bytes: &[u8]) -> Result<String, Failure> {
        self.crossings.fetch_add(1, Ordering::Relaxed);
        let exchange = async {
            let mut stream = self.connect().await?;
            stream.write_all(bytes).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            Ok::<_, Failure>(String::from_utf8_lossy(&answer).into_owned())
        };
        timeout(PATIENCE, exchange).await?
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>, Failure> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        let name = ServerName::try_from("localhost")?;
        Ok(TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?)
    }
}

impl Line {
    pub async fn send(&mut self, call: &Call) -> Result<Answer, Failure> {
        if call.is_exchange() {
            self.caller.crossings.fetch_add(1, Ordering::Relaxed);
        }
        let request = call.request(self.caller.port)?;
        let exchange = async {
            let (head, body) = self.sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, Failure>(Answer { status: head.status, headers: head.headers, body })
        };
        timeout(PATIENCE, exchange).await?
    }
}

impl Call {
    pub fn get(path: &str) -> Call {
        Call::new(Method::GET, path, String::new())
    }

    pub fn post(path: &str, body: impl ToString) -> Call {
        Call::new(Method::POST, path, body.to_string()).header("content-type", "application/json")
    }

    pub fn delete(path: &str) -> Call {
        Call::new(Method::DELETE, path, String::new())
    }

    /// Asks the built-in token endpoint for a token (RFC 6749 §4.4).
    pub fn token(client: &str, secret: &str) -> Call {
        let basic = hash::base64(format!("{client}:{secret}").as_bytes());
        let call = Call::new(Method::POST, "/oauth/token", "grant_type=client_credentials".to_owned())
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", &format!("Basic {basic}"));
        Call { credential: format!("client {client} with its secret"), ..call }
    }

    fn new(method: Method, path: &str, body: String) -> Call {
        Call {
            method,
            path: path.to_owned(),
            headers: Vec::new(),
            body,
            credential: "no credential".to_owned(),
        }
    }

    pub fn bearer(self, token: &str) -> Call {
        let call = self.header("authorization", &format!("Bearer {token}"));
        Call { credential: format!("bearer token {token}"), ..call }
    }

    pub fn api_key(self, key: &str) -> Call {
        let call = self.header("x-api-key", key);
        Call { credential: format!("API key {key}"), ..call }
    }

    /// What the TLS session shows.
    pub fn certificate(self, name: &str) -> Call {
        Call { credential: format!("certificate {name}"), ..self }
    }

    pub fn idempotency_key(self, key: &str) -> Call {
        self.header("idempotency-key", &format!("\"{key}\""))
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Call {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The request line, the credential and the body, as the narration shows them.
    pub fn line(&self) -> String {
        let key = self.headers.iter().find(|(name, _)| *name == "idempotency-key");
        let key = key.map_or(String::new(), |(_, value)| format!(", Idempotency-Key {value}"));
        let body = if self.body.is_empty() { String::new() } else { format!(", body {}", self.body) };
        format!("{} {}, {}{key}{body}", self.method, self.path, self.credential)
    }

    /// What the bridge answers itself, for no integration, is no exchange and leaves no record.
    pub fn is_exchange(&self) -> bool {
        !self.path.starts_with("/oauth/") && !self.path.starts_with("/.ironbridge/")
    }

    fn request(&self, port: u16) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.path);
        request = request.header(HOST, format!("localhost:{port}"));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        Ok(request.body(Full::from(Bytes::from(self.body.clone())))?)
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Null when the body is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The text at a JSON Pointer; empty where there is none.
    pub fn at(&self, pointer: &str) -> String {
        let value = self.json();
        value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The code of a refusal.
    pub fn code(&self) -> String {
        self.at("/code")
    }

    /// Whether it is this refusal, told in the way all are told.
    pub fn is_refusal(&self, status: u16, code: &str) -> bool {
        let id = self.at("/correlation_id");
        let told = self.code() == code && !id.is_empty() && id == self.header("x-correlation-id");
        self.status.as_u16() == status && told
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Status and body; of a problem its code, detail and errors.
    pub fn line(&self) -> String {
        let status = self.status.as_u16();
        if self.header(CONTENT_TYPE.as_str()) != "application/problem+json" {
            return format!("{status} {}", self.text());
        }
        let errors = self.json().get("errors").map_or(String::new(), |errors| format!(" {errors}"));
        format!("{status} {}: {}{errors}", self.code(), self.at("/detail"))
    }
}
