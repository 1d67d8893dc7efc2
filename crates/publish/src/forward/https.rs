//! Records as the bodies of POST requests.

use super::outlet::{Outgoing, Outlet, Rejected};
use crate::trouble::Trouble;
use ironbridge_core::{BoxFuture, Fetch, FetchMethod, FetchRequest, Fetched, Sensitive};
use std::sync::Arc;
use std::time::Duration;

/// How records share one body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One a line; `application/x-ndjson`.
    Lines,
    /// One JSON array; `application/json`.
    Array,
}

/// For one request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What is read of an answer: enough for a reason, or for OTLP's partial success.
const LARGEST_ANSWER: usize = 64 * 1024;

pub(super) struct Https {
    pub url: String,
    pub framing: Framing,
    pub authorization: Option<Sensitive>,
    pub client: Arc<dyn Fetch>,
}

impl Outlet for Https {
    fn send<'a>(&'a mut self, records: &'a [Outgoing]) -> BoxFuture<'a, Result<Rejected, Trouble>> {
        let body = body(self.framing, records);
        let media_type = match self.framing {
            Framing::Lines => "application/x-ndjson",
            Framing::Array => "application/json",
        };
        Box::pin(async move {
            post(&*self.client, &self.url, self.authorization.as_ref(), media_type, body).await?;
            Ok(Rejected::default())
        })
    }
}

/// The answer, if it was a success.
pub(super) async fn post(
    client: &dyn Fetch,
    url: &str,
    authorization: Option<&Sensitive>,
    media_type: &'static str,
    body: Vec<u8>,
) -> Result<Fetched, Trouble> {
    let request = FetchRequest {
        method: FetchMethod::Post(media_type, body),
        url: url.to_owned(),
        headers: authorization.map(|value| ("authorization", value.clone())).into_iter().collect(),
        max_reply: LARGEST_ANSWER,
        timeout: TIMEOUT,
    };
    let answer = client.fetch(request).await.map_err(Trouble::new)?;
    match answer.status {
        200..=299 => Ok(answer),
        status => Err(Trouble::answered(status, answer.retry_after, answer.body.expose())),
    }
}

fn body(framing: Framing, records: &[Outgoing]) -> Vec<u8> {
    let (before, between, after) = match framing {
        Framing::Lines => ("", "\n", "\n"),
        Framing::Array => ("[", ",", "]"),
    };
    let texts: Vec<&[u8]> = records.iter().map(|record| record.text.as_slice()).collect();
    [before.as_bytes(), &texts.join(between.as_bytes()), after.as_bytes()].concat()
}
