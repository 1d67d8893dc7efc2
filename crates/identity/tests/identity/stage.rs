//! What the tests own: time, the network, one manifest's accounts, a store.

use ironbridge_core::{
    Account, BoxFuture, Clock, Fetch, FetchError, FetchRequest, Fetched, PermissionTable, Sensitive,
    Timestamp,
};
use ironbridge_identity::accounts::{
    CertificateMatch, CertificateRule, Directory, Registration, TokenSubject,
};
use ironbridge_seal::envelope::Keys;
use ironbridge_store::{Actor, Sealer, SealerError, SqliteStore};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// When every test begins: 2027-01-15T08:00:00Z.
pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub const ISSUER: &str = "https://idp.example/tenant";
pub const BRIDGE: &str = "https://bridge.example";

/// Reads the cases beside the crate.
pub fn cases<T: DeserializeOwned>(file: &str) -> Vec<T> {
    let path = format!("{}/cases/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Fills `{name}` in a case's text.
pub fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// Follows Tokio's clock, which tests can stop and move.
pub struct TestClock(Instant);

impl TestClock {
    pub fn new() -> Arc<TestClock> {
        Arc::new(TestClock(Instant::now()))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        NOW.plus(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A network of prepared replies; every other URL refuses the connection.
#[derive(Default)]
pub struct FakeNetwork {
    replies: Mutex<HashMap<String, Fetched>>,
    pub seen: Mutex<Vec<FetchRequest>>,
}

impl FakeNetwork {
    pub fn put(&self, url: &str, status: u16, body: impl Into<Vec<u8>>, max_age: Option<u64>) {
        self.replies.lock().insert(
            url.to_owned(),
            Fetched { status, body: Sensitive::new(body), max_age, retry_after: None },
        );
    }

    pub fn put_with_retry(&self, url: &str, status: u16, wait: u64) {
        let fetched = Fetched { status, body: Sensitive::default(), max_age: None, retry_after: Some(wait) };
        self.replies.lock().insert(url.to_owned(), fetched);
    }

    pub fn cut(&self) {
        self.replies.lock().clear();
    }

    pub fn count(&self, url: &str) -> usize {
        self.seen.lock().iter().filter(|request| request.url == url).count()
    }
}

impl Fetch for FakeNetwork {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Fetched, FetchError>> {
        let reply = self.replies.lock().get(&request.url).cloned();
        self.seen.lock().push(request);
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            reply.ok_or_else(|| FetchError("connection refused".to_owned()))
        })
    }
}

/// `order-service` may use everything, `token-only` tokens alone; `elsewhere` may call from 192.0.2.0/24 only.
pub fn directory(more: impl IntoIterator<Item = Registration>) -> Arc<Directory> {
    let mut permissions = PermissionTable::default();
    let (read, write) = (permissions.intern("orders.read"), permissions.intern("orders.write"));
    let account = |name: &str, network: Option<&str>| Account {
        name: name.into(),
        system: "orders".into(),
        permissions: [read, write].into_iter().collect(),
        addresses: network.map(|network| network.parse().unwrap()).into_iter().collect(),
        owner: None,
    };
    let subject = |client: &str| TokenSubject { issuer: "idp".into(), client_id: client.into() };
    let registrations = [
        Registration {
            scopes: vec!["orders.read".into(), "orders.write".into()],
            api_key: true,
            oauth_client: Some(Duration::from_secs(600)),
            tokens: vec![subject("order-client")],
            certificates: vec![CertificateRule {
                matches: CertificateMatch::Name("spiffe://acme.example/order-service".into()),
                cas: None,
            }],
            ..Registration::new(Arc::new(account("order-service", None)))
        },
        Registration {
            tokens: vec![subject("token-client")],
            ..Registration::new(Arc::new(account("token-only", None)))
        },
        Registration {
            oauth_client: Some(Duration::from_secs(600)),
            ..Registration::new(Arc::new(account("elsewhere", Some("192.0.2.0/24"))))
        },
    ];
    Arc::new(Directory::new(registrations.into_iter().chain(more), Arc::new(permissions)).unwrap())
}

/// A store on disk that is gone with the test.
pub struct Shelf {
    pub store: Arc<SqliteStore>,
    pub keys: Arc<Keys>,
    _folder: TempDir,
}

impl Shelf {
    pub fn new() -> Shelf {
        let folder = tempfile::tempdir().unwrap();
        let keys = Arc::new(Keys::ephemeral().unwrap());
        let sealer = Arc::new(Envelopes(Arc::clone(&keys)));
        let store =
            SqliteStore::open(&folder.path().join("state.db"), sealer, TestClock::new(), Actor::new("test"))
                .unwrap();
        Shelf { store: Arc::new(store), keys, _folder: folder }
    }
}

struct Envelopes(Arc<Keys>);

impl Sealer for Envelopes {
    fn seal(&self, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, SealerError> {
        self.0.seal(plain, context).map_err(|error| SealerError(error.to_string()))
    }

    fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealerError> {
        self.0.open(sealed, context).map_err(|error| SealerError(error.to_string()))
    }

    fn mac(&self, key: &[u8; 32], text: &[u8]) -> [u8; 32] {
        ironbridge_seal::hash::hmac_sha256(key, &[text])
    }
}
