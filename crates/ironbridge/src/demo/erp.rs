//! The demo's ERP: it speaks TLS under a private CA, gives out OAuth 2.0 tokens of its own, answers with more than
//! anybody needs to know, and keeps an exact diary of what reached it.

use crate::demo::server::{Program, Reply, Server, json};
use crate::failure::Failure;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use ironbridge_net::tls::Identity;
use ironbridge_seal::{hash, random};
use serde_json::{Value, json as value};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub struct Erp {
    port: u16,
    identity: Identity,
    desk: Arc<Desk>,
    server: Option<Server>,
}

/// One request as it arrived, and what was answered.
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
    pub answer: String,
}

/// The order that makes the ERP stumble.
pub const BROKEN_ORDER: &str = "4711";

impl Erp {
    /// `secret` is the bridge's client secret, which the ERP's administrator gave out.
    pub fn start(port: u16, identity: Identity, secret: &str) -> Result<Erp, Failure> {
        let desk = Desk { secret: secret.to_owned(), state: Mutex::default() };
        let mut erp = Erp { port, identity, desk: Arc::new(desk), server: None };
        erp.power_on()?;
        Ok(erp)
    }

    pub fn power_on(&mut self) -> Result<(), Failure> {
        let site = Arc::clone(&self.desk) as Arc<dyn Program>;
        self.server = Some(Server::start(self.port, self.identity.clone(), site)?);
        Ok(())
    }

    /// Its port is closed and its connections are gone when this returns.
    pub fn power_off(&mut self) {
        self.server = None;
    }

    /// What arrived since this was last asked.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.desk.state().seen)
    }

    /// Tokens given out so far.
    pub fn tokens(&self) -> Vec<String> {
        self.desk.state().tokens.clone()
    }
}

impl Seen {
    /// `GET /orders, bearer token erp-1f…`.
    pub fn line(&self) -> String {
        let credential = match self.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) {
            Some(field) if field.starts_with("Basic ") => {
                ", the bridge's own client id and secret".to_owned()
            }
            Some(field) => format!(", {field}"),
            None => ", no credential".to_owned(),
        };
        let body = if self.body.is_empty() || self.path == "/token" {
            String::new()
        } else {
            format!(", body {}", self.body)
        };
        format!("{} {}{credential}{body}", self.method, self.path)
    }

    /// Whether a text is anywhere in what arrived.
    pub fn holds(&self, text: &str) -> bool {
        let in_headers =
            self.headers.values().any(|value| String::from_utf8_lossy(value.as_bytes()).contains(text));
        in_headers || self.path.contains(text) || self.body.contains(text)
    }
}

struct Desk {
    secret: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tokens: Vec<String>,
    seen: Vec<Seen>,
    shipments: u64,
}

impl Program for Desk {
    fn answer(&self, request: &Request<Bytes>) -> Reply {
        let reply = self.decide(request);
        self.state().seen.push(Seen {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            headers: request.headers().clone(),
            body: String::from_utf8_lossy(request.body()).into_owned(),
            answer: String::from_utf8_lossy(reply.body()).into_owned(),
        });
        reply
    }
}

impl Desk {
    fn decide(&self, request: &Request<Bytes>) -> Reply {
        let path: Vec<&str> = request.uri().path().split('/').skip(1).collect();
        if (request.method(), path.as_slice()) == (&Method::POST, &["token"]) {
            return self.token(request);
        }
        if !self.knows(request) {
            return json(StatusCode::UNAUTHORIZED, &value!({ "error": "invalid_token" }));
        }
        match (request.method(), path.as_slice()) {
            (&Method::GET, ["orders"]) => {
                let mut items = vec![order("7"), order("8")];
                let wanted = request.uri().query().and_then(|query| query.strip_prefix("status="));
                items.retain(|order| {
                    wanted.is_none_or(|wanted| order.get("status").is_some_and(|status| status == wanted))
                });
                json(StatusCode::OK, &value!({ "items": items, "cache": "node-3.erp.internal" }))
            }
            (&Method::GET, ["orders", BROKEN_ORDER]) => stumble(),
            (&Method::GET, ["orders", id]) => json(StatusCode::OK, &order(id)),
            (&Method::GET, ["reports", "daily"]) => {
                json(StatusCode::OK, &value!({ "day": "2026-11-21", "orders": 214, "margin_percent": 31.5 }))
            }
            (&Method::GET, ["levels"]) => json(StatusCode::OK, &value!({ "AB-1001": 17, "CD-2002": 0 })),
            (&Method::POST, ["orders", id, "shipments"]) => self.ship(id, request.body()),
            _ => json(StatusCode::NOT_FOUND, &value!({ "error": "not found" })),
        }
    }

    /// Client credentials (RFC 6749 §4.4) with client_secret_basic.
    fn token(&self, request: &Request<Bytes>) -> Reply {
        let expected = format!("Basic {}", hash::base64(format!("ironbridge:{}", self.secret).as_bytes()));
        let form = String::from_utf8_lossy(request.body());
        if request.headers().get(AUTHORIZATION).is_none_or(|field| field.as_bytes() != expected.as_bytes()) {
            return json(StatusCode::UNAUTHORIZED, &value!({ "error": "invalid_client" }));
        }
        if !form.split('&').any(|field| field == "grant_type=client_credentials") {
            return json(StatusCode::BAD_REQUEST, &value!({ "error": "unsupported_grant_type" }));
        }
        let token = format!("erp-{}", hash::hex(&random::bytes::<20>()));
        self.state().tokens.push(token.clone());
        let granted =
            value!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600, "scope": "orders" });
        json(StatusCode::OK, &granted)
    }

    fn knows(&self, request: &Request<Bytes>) -> bool {
        let field = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = field.and_then(|field| field.strip_prefix("Bearer "));
        token.is_some_and(|token| self.state().tokens.iter().any(|known| known == token))
    }

    fn ship(&self, order: &str, body: &[u8]) -> Reply {
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return json(StatusCode::BAD_REQUEST, &value!({ "error": "not JSON" }));
        };
        let number = {
            let mut state = self.state();
            state.shipments += 1;
            state.shipments
        };
        let shipped = value!({
            "shipment": format!("S-{number:04}"), "order": order, "carrier": body.get("carrier"),
            "cost_centre": "4400-17", "operator": "j.doe@erp.internal",
        });
        json(StatusCode::CREATED, &shipped)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the ERP knows of an order: more than any caller needs.
fn order(id: &str) -> Value {
    value!({
        "id": id, "status": "open",
        "customer": { "id": "C-1009", "name": "Erika Mustermann", "phone": "+49 30 901820", "iban": "DE02120300000000202051" },
        "margin_percent": 31.5, "internal_note": "credit limit reached twice",
    })
}

/// The kind of answer that should never leave a company.
fn stumble() -> Reply {
    let trace = "java.lang.NullPointerException: customer\n\
        \tat com.acme.erp.OrderBean.load(OrderBean.java:412)\n\
        \tat jdbc:oracle:thin:@db-7.internal:1521/ERP user=erp_app password=hunter2\n";
    let mut reply = Response::new(Bytes::from_static(trace.as_bytes()));
    *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    reply
}
