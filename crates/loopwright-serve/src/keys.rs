//! API keys: made from 32 random bytes, kept as a SHA-256, compared in constant time.
//!
//! A secret holds 256 random bits, so a fast hash is enough: there is nothing to guess.
//!
//! ```
//! use loopwright_serve::keys;
//! let secret = keys::secret_from(&[7; 32]);
//! assert!(secret.starts_with("lw_0707"));
//! assert_ne!(keys::hash(&secret).as_str(), secret);
//! ```

use crate::{Error, Result};
use loopwright_types::{
    Digest, Timestamp,
    key::{ApiKey, Scope},
};
use rand::{TryRng, rngs::SysRng};
use std::{collections::HashMap, sync::Arc};

/// What every secret begins with, so that secret scanners find a leaked one.
pub const SECRET_PREFIX: &str = "lw_";

/// The secret made of these random bytes: `lw_` and 64 hex digits.
pub fn secret_from(random: &[u8; 32]) -> String {
    use std::fmt::Write;
    let mut secret = String::with_capacity(SECRET_PREFIX.len() + 64);
    secret.push_str(SECRET_PREFIX);
    for byte in random {
        write!(secret, "{byte:02x}").expect("writing to a string cannot fail");
    }
    secret
}

/// A secret from the operating system's random numbers.
pub fn fresh_secret() -> Result<String> {
    let mut random = [0; 32];
    SysRng.try_fill_bytes(&mut random).map_err(|e| Error::Thread(format!("the system gave no random numbers: {e}")))?;
    Ok(secret_from(&random))
}

/// What is stored of a secret.
pub fn hash(secret: &str) -> Digest {
    Digest::of(secret.as_bytes())
}

/// The keys that exist, ready to be asked. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    by_hash: Arc<HashMap<Digest, Arc<ApiKey>>>,
}

impl KeyRing {
    /// A ring of these keys.
    pub fn new(keys: Vec<ApiKey>) -> Self {
        let by_hash = keys.into_iter().map(|key| (key.hash.clone(), Arc::new(key))).collect();
        Self { by_hash: Arc::new(by_hash) }
    }

    /// Number of keys, withdrawn ones included.
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// True if there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// The key with this secret, if it may do what `needed` says.
    ///
    /// It is found by the SHA-256 of what was sent, so how long that takes tells nothing of any secret: whoever wants to
    /// learn from it would have to choose hashes. The one that is found is compared in constant time.
    pub fn verify(&self, secret: Option<&str>, needed: Scope, now: Timestamp) -> Result<&Arc<ApiKey>> {
        let secret = secret.ok_or(Error::NoKey)?;
        let sent = hash(secret);
        let is_it = |key: &&Arc<ApiKey>| equal_in_constant_time(key.hash.as_str().as_bytes(), sent.as_str().as_bytes());
        let key = self.by_hash.get(&sent).filter(is_it).ok_or(Error::UnknownKey)?;
        if key.revoked_at.is_some() {
            return Err(Error::RevokedKey);
        }
        if let Some(at) = key.expires_at.filter(|_| key.is_expired(now)) {
            return Err(Error::ExpiredKey { at });
        }
        match (needed, key.scope) {
            (Scope::Inference, Scope::Inference | Scope::Admin) | (Scope::Admin, Scope::Admin) => Ok(key),
            (Scope::Admin, Scope::Inference) => Err(Error::MissingScope { needed: "admin" }),
        }
    }
}

/// Refuses a route that the key may not ask.
pub fn check_route(key: &ApiKey, route: &str) -> Result<()> {
    if key.may_ask(route) {
        return Ok(());
    }
    Err(Error::RouteNotAllowed { route: route.into(), allowed: key.routes.clone() })
}

/// True if both are the same bytes; takes as long whether they differ early or late.
pub fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

/// The secret in an `Authorization` header: `Bearer SECRET`, the scheme in any case (RFC 6750 section 2.1, RFC 9110 section 11.1).
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, secret) = header.trim().split_once(' ')?;
    let secret = secret.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then_some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::id::KeyId;

    fn key(byte: u8, scope: Scope, revoked: bool) -> ApiKey {
        ApiKey {
            id: KeyId::new(format!("key_{byte}")),
            owner: "somebody".into(),
            hash: hash(&secret_from(&[byte; 32])),
            scope,
            created_at: Timestamp(0),
            revoked_at: revoked.then_some(Timestamp(1)),
            expires_at: None,
            routes: Vec::new(),
            limits: Vec::new(),
        }
    }

    #[test]
    fn a_secret_is_a_prefix_and_64_hex_digits_and_never_the_same_twice() {
        let secret = secret_from(&[0xab; 32]);
        assert_eq!(secret, format!("lw_{}", "ab".repeat(32)));
        assert_ne!(fresh_secret().unwrap(), fresh_secret().unwrap());
    }

    #[test]
    fn keys_open_what_their_scope_says_and_no_more() {
        let ring = KeyRing::new(vec![
            key(1, Scope::Inference, false),
            key(2, Scope::Admin, false),
            key(3, Scope::Admin, true),
        ]);
        let check = |byte: Option<u8>, needed| {
            let secret = byte.map(|byte| secret_from(&[byte; 32]));
            ring.verify(secret.as_deref(), needed, Timestamp(5)).map(|key| key.id.0.clone()).map_err(|e| e.to_string())
        };
        assert_eq!(check(Some(1), Scope::Inference), Ok("key_1".into()));
        assert_eq!(check(Some(2), Scope::Inference), Ok("key_2".into()));
        assert_eq!(check(Some(2), Scope::Admin), Ok("key_2".into()));
        assert_eq!(check(Some(1), Scope::Admin), Err(Error::MissingScope { needed: "admin" }.to_string()));
        assert_eq!(check(Some(3), Scope::Inference), Err(Error::RevokedKey.to_string()));
        assert_eq!(check(Some(9), Scope::Inference), Err(Error::UnknownKey.to_string()));
        assert_eq!(check(None, Scope::Inference), Err(Error::NoKey.to_string()));
    }

    #[test]
    fn a_key_is_good_for_its_time_and_its_routes() {
        let key = ApiKey {
            expires_at: Some(Timestamp(10)),
            routes: vec!["a".into(), "b".into()],
            ..key(1, Scope::Inference, false)
        };
        let (ring, secret) = (KeyRing::new(vec![key.clone()]), secret_from(&[1; 32]));
        assert!(ring.verify(Some(&secret), Scope::Inference, Timestamp(9)).is_ok());
        let late = ring.verify(Some(&secret), Scope::Inference, Timestamp(10)).unwrap_err();
        assert_eq!((late.code(), late.kind()), ("expired_api_key", crate::Kind::Unauthenticated));
        assert!(check_route(&key, "b").is_ok());
        let other = check_route(&key, "c").unwrap_err().to_string();
        assert_eq!(other, "the API key may not ask the model `c`; it may ask `a`, `b`");
    }

    #[test]
    fn a_hash_or_a_part_of_a_secret_opens_nothing() {
        let ring = KeyRing::new(vec![key(1, Scope::Admin, false)]);
        let secret = secret_from(&[1; 32]);
        for wrong in [hash(&secret).as_str(), &secret[..66], &format!("{secret}0"), "", "lw_"] {
            assert!(ring.verify(Some(wrong), Scope::Inference, Timestamp(0)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bearer_headers_are_read_as_the_rfc_says() {
        assert_eq!(bearer("Bearer lw_1"), Some("lw_1"));
        assert_eq!(bearer("bearer   lw_1 "), Some("lw_1"));
        for wrong in ["lw_1", "Basic lw_1", "Bearer", "Bearer ", ""] {
            assert_eq!(bearer(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn comparison_sees_length_and_content() {
        assert!(equal_in_constant_time(b"ab", b"ab"));
        for (a, b) in [("ab", "ac"), ("ab", "abc"), ("", "a")] {
            assert!(!equal_in_constant_time(a.as_bytes(), b.as_bytes()), "{a} {b}");
        }
    }
}
