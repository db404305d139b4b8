//! Identifiers. Random parts are made in the store; here they are only words.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// Wraps an id that was made or read elsewhere.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_string())
            }
        }
    )*};
}

text_id! {
    /// A training run.
    RunId,
    /// A row of a source or a dataset; the same row has the same id in every version.
    RowId,
    /// One answered request.
    TraceId,
    /// One piece of feedback on a trace.
    FeedbackId,
    /// A queued job.
    JobId,
    /// A person, as a keyed pseudonym (HMAC-SHA-256 under the project's secret, hex), never the person's own identifier.
    SubjectId,
    /// An API key's public half.
    KeyId,
    /// An evaluation of a model version.
    EvaluationId,
    /// A drift check.
    DriftCheckId,
    /// An erasure of one subject.
    ErasureId,
}

impl TraceId {
    /// The trace of a request that came with an idempotency key: the same key names the same trace, so that a client may
    /// send again without being counted twice.
    pub fn from_request_key(key: &str) -> Self {
        Self(format!("tr_{}", &Digest::of(key.as_bytes()).hex()[..26]))
    }
}

/// A SHA-256 digest, written `sha256:<64 hex digits>` as in the OCI image specification.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// The digest of these bytes.
    ///
    /// ```
    /// # use loopwright_types::Digest;
    /// assert!(Digest::of(b"").as_str().starts_with("sha256:e3b0c442"));
    /// ```
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_hash(&Sha256::digest(bytes))
    }

    /// The digest of several parts, each preceded by its length (u64, little endian), so that moving a byte from one
    /// part to the next gives another digest.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self::from_hash(&hash.finalize())
    }

    /// A finished SHA-256 hash (32 bytes) as a digest.
    pub fn from_hash(hash: &[u8]) -> Self {
        Self(format!("sha256:{}", hex::encode(hash)))
    }

    /// The whole text, `sha256:…`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 hex digits.
    pub fn hex(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or(&self.0)
    }

    /// The first 12 hex digits, for people.
    pub fn short(&self) -> &str {
        let hex = self.hex();
        &hex[..hex.len().min(12)]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text
            .strip_prefix("sha256:")
            .ok_or_else(|| format!("expected a digest that starts with `sha256:`, got `{text}`"))?;
        if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()) {
            Ok(Self(text.to_string()))
        } else {
            Err(format!("expected 64 lower-case hex digits after `sha256:`, got `{hex}`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_delimited() {
        assert_ne!(Digest::of_parts([b"ab".as_slice(), b"c"]), Digest::of_parts([b"a".as_slice(), b"bc"]));
    }

    #[test]
    fn digests_are_parsed_strictly() {
        let digest = Digest::of(b"x");
        assert_eq!(digest.as_str().parse::<Digest>(), Ok(digest));
        assert!("sha256:12".parse::<Digest>().is_err());
        assert!("md5:00".parse::<Digest>().is_err());
    }
}
