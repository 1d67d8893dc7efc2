//! AWS Signature Version 4 in the Authorization header, as S3 takes it: the path is encoded once, and the body's hash
//! is part of what is signed.

use ironbridge_seal::hash::{hex, hmac_sha256, sha256};

/// A request's parts that are signed.
pub(super) struct Request<'r> {
    pub method: &'r str,
    pub host: &'r str,
    /// As it is sent: see [`encode_path`].
    pub path: &'r str,
    /// Names in lower case; `host` is not among them.
    pub headers: &'r [(&'static str, String)],
    /// SHA-256 of the body, in hexadecimal.
    pub body_hash: &'r str,
}

pub(super) struct Credentials<'c> {
    pub access_key_id: &'c str,
    pub secret: &'c [u8],
    pub region: &'c str,
}

/// The value of Authorization. `time` in the basic form, as in the header field `x-amz-date`.
pub(super) fn authorization(request: &Request<'_>, credentials: &Credentials<'_>, time: &str) -> String {
    let date = time.get(..8).unwrap_or(time);
    let scope = format!("{date}/{}/s3/aws4_request", credentials.region);
    let (names, canonical) = canonical(request);
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&sha256(canonical.as_bytes())));
    let secret = [b"AWS4", credentials.secret].concat();
    let key = [date, credentials.region, "s3", "aws4_request"]
        .iter()
        .fold(secret, |key, part| hmac_sha256(&key, &[part.as_bytes()]).to_vec());
    let signature = hex(&hmac_sha256(&key, &[text.as_bytes()]));
    let id = credentials.access_key_id;
    format!("AWS4-HMAC-SHA256 Credential={id}/{scope},SignedHeaders={names},Signature={signature}")
}

/// The names of the signed header fields, and the text whose hash is signed.
fn canonical(request: &Request<'_>) -> (String, String) {
    let mut headers: Vec<(&str, &str)> =
        request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    headers.push(("host", request.host));
    headers.sort_unstable();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let Request { method, path, body_hash, .. } = request;
    // The empty line stands for the query.
    (names.clone(), format!("{method}\n{path}\n\n{lines}\n{names}\n{body_hash}"))
}

/// Everything but unreserved characters (RFC 3986 §2.3) and `/` as `%XX`.
pub(super) fn encode_path(path: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    path.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: Credentials<'_> = Credentials {
        access_key_id: "AKIAIOSFODNN7EXAMPLE",
        secret: b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        region: "us-east-1",
    };
    const TIME: &str = "20130524T000000Z";
    const SCOPE: &str = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request";

    fn signed(method: &str, path: &str, body: &[u8], headers: &[(&'static str, &str)]) -> String {
        let body_hash = hex(&sha256(body));
        let mut headers: Vec<(&'static str, String)> =
            headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        headers.push(("x-amz-date", TIME.to_owned()));
        headers.push(("x-amz-content-sha256", body_hash.clone()));
        let host = "examplebucket.s3.amazonaws.com";
        let request = Request { method, host, path, headers: &headers, body_hash: &body_hash };
        authorization(&request, &CREDENTIALS, TIME)
    }

    /// The two examples of a single-chunk request in Amazon's S3 API reference that sign no query.
    #[test]
    fn amazons_examples() {
        assert_eq!(
            signed("GET", "/test.txt", b"", &[("range", "bytes=0-9")]),
            format!(
                "AWS4-HMAC-SHA256 Credential={SCOPE},SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
                 Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
            )
        );
        let headers =
            [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")];
        assert_eq!(
            signed("PUT", &encode_path("/test$file.text"), b"Welcome to Amazon S3.", &headers),
            format!(
                "AWS4-HMAC-SHA256 Credential={SCOPE},\
                 SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,\
                 Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
            )
        );
    }

    #[test]
    fn paths_are_encoded_once() {
        assert_eq!(encode_path("/a b/ü~.%2F"), "/a%20b/%C3%BC~.%252F");
    }
}
