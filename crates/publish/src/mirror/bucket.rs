//! A copy in a bucket, over the four requests of S3 that it takes.

use super::medium::Medium;
use super::signature::{Credentials, Request, authorization, encode_path};
use crate::moment;
use crate::trouble::Trouble;
use ironbridge_core::{BoxFuture, Clock, Fetch, FetchMethod, FetchRequest, Fetched, Sensitive};
use ironbridge_seal::hash::{base64, hex, sha256};
use std::sync::Arc;
use std::time::Duration;

/// A bucket of Amazon S3, or of another store that speaks its protocol; addressed by path.
pub struct Bucket {
    /// `https://host[:port]`, without a path.
    pub url: String,
    /// Its name.
    pub bucket: String,
    /// Before every object's name; empty, or it ends in `/`.
    pub prefix: String,
    /// That requests are signed for, such as `eu-central-1`.
    pub region: String,
    /// Whose key signs them.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: Sensitive,
    /// Trusts the store's certificate.
    pub client: Arc<dyn Fetch>,
}

const TIMEOUT: Duration = Duration::from_secs(60);

/// The largest file of a log is a full bundle: 256 records of 65,535 bytes with their lengths.
const LARGEST: usize = 256 * (65_535 + 2);

const OBJECT: &str = "application/octet-stream";

/// The objects of a bucket.
pub(super) struct Objects {
    bucket: Bucket,
    clock: Arc<dyn Clock>,
}

impl Objects {
    pub fn new(bucket: Bucket, clock: Arc<dyn Clock>) -> Objects {
        Objects { bucket, clock }
    }

    async fn ask(&self, verb: Verb, path: &str) -> Result<Fetched, Trouble> {
        let request = self.request(verb, path);
        self.bucket.client.fetch(request).await.map_err(Trouble::new)
    }

    fn request(&self, verb: Verb, path: &str) -> FetchRequest {
        let Bucket { url, bucket, prefix, region, access_key_id, secret_access_key, .. } = &self.bucket;
        let path = encode_path(&format!("/{bucket}/{prefix}{path}"));
        let time = moment::basic(self.clock.now());
        let hash = sha256(verb.body());
        let body_hash = hex(&hash);
        let mut headers = vec![("x-amz-content-sha256", body_hash.clone()), ("x-amz-date", time.clone())];
        if let Verb::Put(_) = verb {
            // The store checks it before it answers, and keeps it with the object.
            headers.push(("x-amz-checksum-sha256", base64(&hash)));
        }
        let host = url.strip_prefix("https://").unwrap_or(url).trim_end_matches('/');
        let signed =
            Request { method: verb.method(), host, path: &path, headers: &headers, body_hash: &body_hash };
        let credentials = Credentials { access_key_id, secret: secret_access_key.expose(), region };
        headers.push(("authorization", authorization(&signed, &credentials, &time)));
        let sensitive = |(name, value): (&'static str, String)| (name, Sensitive::new(value.into_bytes()));
        FetchRequest {
            url: format!("https://{host}{path}"),
            method: verb.into_method(),
            headers: headers.into_iter().map(sensitive).collect(),
            max_reply: LARGEST,
            timeout: TIMEOUT,
        }
    }
}

enum Verb {
    Get,
    Put(Vec<u8>),
    Delete,
}

impl Verb {
    fn method(&self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::Put(_) => "PUT",
            Verb::Delete => "DELETE",
        }
    }

    fn body(&self) -> &[u8] {
        match self {
            Verb::Put(bytes) => bytes,
            Verb::Get | Verb::Delete => &[],
        }
    }

    fn into_method(self) -> FetchMethod {
        match self {
            Verb::Get => FetchMethod::Get,
            Verb::Put(bytes) => FetchMethod::Put(OBJECT, bytes),
            Verb::Delete => FetchMethod::Delete,
        }
    }
}

impl Medium for Objects {
    fn get(&self, path: String) -> BoxFuture<'_, Result<Option<Vec<u8>>, Trouble>> {
        Box::pin(async move {
            let answer = self.ask(Verb::Get, &path).await?;
            match answer.status {
                200 => Ok(Some(answer.body.expose().to_vec())),
                // Not where the bucket itself is missing: that is NoSuchBucket.
                404 if code(answer.body.expose()) == "NoSuchKey" => Ok(None),
                _ => Err(refused(&answer)),
            }
        })
    }

    fn put(&self, path: String, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), Trouble>> {
        Box::pin(async move {
            let answer = self.ask(Verb::Put(bytes), &path).await?;
            if answer.status == 200 { Ok(()) } else { Err(refused(&answer)) }
        })
    }

    /// What the store acknowledged is durable.
    fn settle(&self) -> BoxFuture<'_, Result<(), Trouble>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove(&self, path: String) -> BoxFuture<'_, Result<(), Trouble>> {
        Box::pin(async move {
            let answer = self.ask(Verb::Delete, &path).await?;
            if matches!(answer.status, 200 | 204) { Ok(()) } else { Err(refused(&answer)) }
        })
    }
}

fn refused(answer: &Fetched) -> Trouble {
    Trouble::answered(answer.status, answer.retry_after, code(answer.body.expose()).as_bytes())
}

/// The code in S3's error document, `<Error><Code>…</Code>…</Error>`; empty where there is none. Nothing depends on
/// more of the XML than this.
fn code(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    code.map(|(code, _)| code.to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_document() {
        let body = b"<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>x</Message></Error>";
        assert_eq!(code(body), "NoSuchKey");
        for body in [&b""[..], b"<Code>", b"</Code><Code>", b"\xff<Code>"] {
            assert_eq!(code(body), "");
        }
    }
}
