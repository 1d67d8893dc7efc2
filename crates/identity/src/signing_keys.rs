//! The keys that the built-in token endpoint signs with: one signs, its predecessor stays published until the
//! next change, so that no token dies of a rotation.

use crate::issuer_keys::IssuerKeys;
use crate::sealed::{KeptKeyError, SealedKey};
use arc_swap::ArcSwap;
use ironbridge_core::Timestamp;
use ironbridge_seal::envelope::Keys;
use ironbridge_seal::hash;
use ironbridge_seal::jose::{JwkSet, SigningKey};
use ironbridge_store::SealedItems;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Ours; SP 800-57 allows a private signing key one to three years.
const ROTATED_EVERY: Duration = Duration::from_secs(30 * 24 * 3600);

/// The keys in force, and in the store.
pub struct SigningKeys {
    kept: SealedKey,
    current: ArcSwap<Pair>,
    published: Arc<IssuerKeys>,
}

struct Pair {
    key: SigningKey,
    created: Timestamp,
    document: Arc<[u8]>,
}

/// As it lies in the store, sealed.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Stored {
    /// PKCS #8, base64.
    key: String,
    /// Seconds since the epoch.
    created: u64,
    /// The predecessor's public JWK.
    #[zeroize(skip)]
    previous: Option<Value>,
}

impl SigningKeys {
    /// The keys kept in the store, or a first one that is then kept there. `issuer` is the bridge's public URL.
    pub async fn load_or_create(
        items: Arc<dyn SealedItems>,
        keys: Arc<Keys>,
        issuer: &str,
        now: Timestamp,
    ) -> Result<SigningKeys, KeptKeyError> {
        let kept = SealedKey::new(items, keys, "token-endpoint", "signing-key");
        let text = match kept.read().await? {
            Some(text) => text,
            None => kept.write_first(&fresh(None, now)?, now).await?,
        };
        let stored: Stored = serde_json::from_slice(&text).map_err(|reason| kept.unreadable(reason))?;
        let pair = Pair::open(&stored).map_err(|reason| kept.unreadable(reason))?;
        let published = JwkSet::parse(&pair.document).map_err(|reason| kept.unreadable(reason))?;
        let published = IssuerKeys::local(issuer, published);
        Ok(SigningKeys { kept, current: ArcSwap::from_pointee(pair), published })
    }

    /// Signs with a new key from now on if the current one is thirty days old; says whether it did. To be called
    /// at start and daily.
    pub async fn rotate_if_due(&self, now: Timestamp) -> Result<bool, KeptKeyError> {
        let current = self.current.load_full();
        if now.since(current.created) < ROTATED_EVERY {
            return Ok(false);
        }
        let text = fresh(Some(current.key.public_jwk()), now)?;
        let stored: Stored = serde_json::from_slice(&text).map_err(|reason| self.kept.unreadable(reason))?;
        let pair = Pair::open(&stored).map_err(KeptKeyError::Making)?;
        self.kept.write(&text, now).await?;
        let published = JwkSet::parse(&pair.document).map_err(|reason| self.kept.unreadable(reason))?;
        // Published before it signs: a verifier never meets a token whose key it cannot find.
        self.published.replace(Some(published));
        self.current.store(Arc::new(pair));
        Ok(true)
    }

    /// The JWKS document (RFC 7517 §5).
    pub fn jwks(&self) -> Arc<[u8]> {
        Arc::clone(&self.current.load().document)
    }

    /// The same keys for this bridge's own verifier.
    pub fn published(&self) -> &Arc<IssuerKeys> {
        &self.published
    }

    pub(crate) fn sign(&self, typ: &str, claims: &Value) -> Result<String, String> {
        self.current.load().key.sign(typ, claims).map_err(|error| error.to_string())
    }
}

/// A key as it is kept.
fn fresh(previous: Option<Value>, now: Timestamp) -> Result<Zeroizing<Vec<u8>>, KeptKeyError> {
    let making = |error: String| KeptKeyError::Making(error);
    let key = SigningKey::generate().map_err(|error| making(error.to_string()))?;
    let pkcs8 = key.to_pkcs8().map_err(|error| making(error.to_string()))?;
    let stored = Stored { key: hash::base64(&pkcs8), created: now.seconds(), previous };
    let text = serde_json::to_vec(&stored).map_err(|error| making(error.to_string()))?;
    Ok(Zeroizing::new(text))
}

impl Pair {
    fn open(stored: &Stored) -> Result<Pair, String> {
        let pkcs8 = Zeroizing::new(hash::unbase64(&stored.key).ok_or("the key is not base64")?);
        let key = SigningKey::from_pkcs8(&pkcs8).map_err(|error| error.to_string())?;
        let keys: Vec<Value> = [key.public_jwk()].into_iter().chain(stored.previous.clone()).collect();
        let document = serde_json::to_vec(&json!({ "keys": keys })).map_err(|error| error.to_string())?;
        Ok(Pair { key, created: Timestamp::from_seconds(stored.created), document: document.into() })
    }
}
