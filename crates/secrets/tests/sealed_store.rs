//! The embedded secret store, on real files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ironbridge_core::{BoxFuture, Denial, Fault, SecretName, SystemClock, code};
use ironbridge_seal::envelope::{KeyFile, Keys};
use ironbridge_secrets::{
    MAX_VALUE, SealedStore, SecretError, SecretKeeper, SecretStore, SecretValue, Secrets, suite,
};
use ironbridge_store::{Actor, SealedItems, Sealer, SealerError, SqliteStore};
use proptest::prelude::*;
use std::sync::Arc;
use tempfile::TempDir;
use zeroize::Zeroizing;

#[tokio::test]
async fn a_secret_is_set_read_listed_and_removed() {
    let place = Place::new();
    let bridge = place.open(place.keys());
    assert_eq!(bridge.sealed.list().await.unwrap(), []);
    assert_eq!(bridge.sealed.set("erp", b"first").await.unwrap(), 1);
    assert_eq!(bridge.read("secret://sealed/erp").await.unwrap().expose(), b"first");
    assert_eq!(bridge.sealed.set("erp", br#"{"id":"a","client_secret":"s3cr\u0065t"}"#).await.unwrap(), 2);
    let field = bridge.read("secret://sealed/erp#client_secret").await.unwrap();
    assert_eq!(field.expose(), b"s3cret");
    let listed = bridge.sealed.list().await.unwrap();
    assert_eq!(
        listed.iter().map(|item| (item.name.as_str(), item.version)).collect::<Vec<_>>(),
        [("erp", 2)]
    );
    assert!(bridge.sealed.remove("erp").await.unwrap());
    assert!(!bridge.sealed.remove("erp").await.unwrap());
    assert_eq!(bridge.read("secret://sealed/erp").await.unwrap_err(), SecretError::Missing("erp".into()));
}

#[tokio::test]
async fn keeps_every_promise_of_a_secret_store() {
    let place = Place::new();
    let (bridge, command) = (place.open(place.keys()), place.open(place.keys()));
    let set = |name, value| {
        let set = command.sealed.set(name, value);
        Box::pin(async move { set.await.map(|_| ()).unwrap() }) as BoxFuture<'_, ()>
    };
    suite::all(bridge.sealed, &set).await;
}

#[tokio::test]
async fn values_are_sealed_at_rest() {
    let place = Place::new();
    let bridge = place.open(place.keys());
    let needle = b"correct horse battery staple";
    bridge.sealed.set("erp", needle).await.unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(place.0.path().join("data")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(needle.len()).any(|part| part == needle));
        files += 1;
    }
    assert_eq!(files, 3, "database, write-ahead log and its index");
}

#[tokio::test]
async fn a_value_moved_to_another_name_does_not_open() {
    let place = Place::new();
    let bridge = place.open(place.keys());
    bridge.sealed.set("mine", b"my value").await.unwrap();
    bridge.sealed.set("theirs", b"their value").await.unwrap();
    let theirs = bridge.store.get("secret", "theirs").await.unwrap().unwrap();
    bridge.store.put("secret", "mine", theirs.sealed, theirs.created).await.unwrap();
    let error = bridge.read("secret://sealed/mine").await.unwrap_err();
    assert!(matches!(error, SecretError::Sealed { .. }), "{error}");
    assert_eq!(bridge.read("secret://sealed/theirs").await.unwrap().expose(), b"their value");
}

#[tokio::test]
async fn a_wrong_key_file_is_told_clearly() {
    let place = Place::new();
    place.open(place.keys()).sealed.set("erp", b"value").await.unwrap();
    let other = TempDir::new().unwrap();
    let stranger = place.open(KeyFile::create(&other.path().join("kek")).unwrap());
    let error = stranger.read("secret://sealed/erp").await.unwrap_err();
    let key = place.keys().newest();
    assert!(error.to_string().starts_with(&format!("secret `erp` cannot be opened: sealed under key {key}")));
    assert_eq!((error.fault(), error.retry()), (Fault::Operator, false));
}

#[tokio::test]
async fn errors_say_how_to_mend() {
    let place = Place::new();
    let bridge = place.open(place.keys());
    bridge.sealed.set("plain", b"text").await.unwrap();
    for (reference, message) in [
        ("secret://sealed/none", "there is no secret `none`; set it with `ironbridge secret set none`"),
        (
            "secret://sealed/plain#key",
            "secret `plain` is not a JSON object with a text member `key`, once; set it anew with \
             `ironbridge secret set plain`, or refer to it without #key",
        ),
        ("secret://corp/erp", "secret://corp/erp: there is no secret store `corp`; declared are: sealed"),
    ] {
        let error = bridge.read(reference).await.unwrap_err();
        assert_eq!(error.to_string(), message);
        let denial = Denial::from(error);
        assert_eq!(denial.code, &code::SECRET_UNAVAILABLE);
        assert_eq!(denial.detail, None, "nothing of it is for the caller");
    }
}

#[tokio::test]
async fn unfit_names_and_values_are_not_set() {
    let place = Place::new();
    let sealed = place.open(place.keys()).sealed;
    for name in ["", "Erp", "a/b", "../a", "a b", &"a".repeat(65)] {
        assert!(matches!(sealed.set(name, b"x").await, Err(SecretError::Name(_))), "{name}");
    }
    assert_eq!(sealed.set("a", b"").await, Err(SecretError::Empty("a".into())));
    assert_eq!(sealed.set("a", &[0; MAX_VALUE + 1]).await, Err(SecretError::TooLong("a".into())));
    assert_eq!(sealed.set("a", &[0; MAX_VALUE]).await, Ok(1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever a value is, nothing that can be printed shows it.
    #[test]
    fn values_never_show(value in "[A-Z]{16,40}", tail in "[\\PC]{0,20}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let place = Place::new();
            let bridge = place.open(place.keys());
            let shown = |what: String| assert!(!what.contains(&value), "{what}");
            let read = SecretValue::from(value.clone().into_bytes());
            shown(format!("{read:?}"));
            for stored in [
                format!("{value}{tail}"),
                format!("{{\"{value}\": 1, \"key\": [\"{value}\"]}}"),
                format!("{{\"key\": {value}}}"),
                format!("{{\"key\": \"{value}"),
            ] {
                bridge.sealed.set("erp", stored.as_bytes()).await.unwrap();
                let error = bridge.read("secret://sealed/erp#key").await.unwrap_err();
                shown(format!("{error} {error:?}"));
                let denial = Denial::from(error);
                shown(format!("{denial} {denial:?}"));
                shown(format!("{:?}", bridge.read("secret://sealed/erp").await));
                shown(format!("{:?}", bridge.sealed.list().await));
            }
            let error = SecretName::parse(&value).unwrap_err();
            shown(format!("{error} {error:?}"));
            let error = SecretName::parse(&format!("secret://sealed/{value}")).unwrap_err();
            shown(format!("{error} {error:?}"));
            let error = bridge.sealed.set(&value, b"x").await.unwrap_err();
            shown(format!("{error} {error:?}"));
        });
    }
}

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(TempDir::new().unwrap());
        KeyFile::create(&place.0.path().join("kek")).unwrap();
        place
    }

    fn keys(&self) -> Keys {
        KeyFile::open(&self.0.path().join("kek")).unwrap()
    }

    fn open(&self, keys: Keys) -> Bridge {
        let clock = Arc::new(SystemClock::default());
        let path = self.0.path().join("data/store.sqlite");
        let sealer = Envelopes(self.keys());
        let store = Arc::new(
            SqliteStore::open(&path, Arc::new(sealer), Arc::clone(&clock) as _, Actor::new("test")).unwrap(),
        );
        let sealed = Arc::new(SealedStore::new(Arc::clone(&store) as _, Arc::new(keys), clock));
        let secrets = Secrets::new([("sealed".to_owned(), Arc::clone(&sealed) as Arc<dyn SecretStore>)]);
        Bridge { store, sealed, secrets }
    }
}

struct Bridge {
    store: Arc<SqliteStore>,
    sealed: Arc<SealedStore>,
    secrets: Secrets,
}

impl Bridge {
    async fn read(&self, reference: &str) -> Result<SecretValue, SecretError> {
        self.secrets.read(&name(reference)).await
    }
}

fn name(reference: &str) -> SecretName {
    SecretName::parse(reference).unwrap()
}

/// What authenticates the store's rows.
struct Envelopes(Keys);

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
