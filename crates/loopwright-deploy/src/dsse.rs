//! Signed statements: in-toto statements in DSSE envelopes in Sigstore bundles.
//!
//! - in-toto Statement v1 (`in-toto/attestation`, `spec/v1/statement.md`): what is claimed about which digests.
//! - DSSE v1.0.2 (`secure-systems-lab/dsse`, `protocol.md`): the signature covers the pre-authentication encoding
//!   `DSSEv1 <len(type)> <type> <len(payload)> <payload>`, so that bytes of one type cannot pass as another.
//! - Sigstore bundle v0.3 with a public-key hint: one file that existing tools read.

use crate::{
    Error, Result,
    key::{PublicKey, SigningKey},
    layout,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, path::Path};

/// Media type of our bundles.
pub const MEDIA_BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Type of the signed payload.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Type of the statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// A bundle: a signed statement and a hint at the key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    /// Always [`MEDIA_BUNDLE`].
    pub media_type: String,
    /// Which key to try.
    pub verification_material: VerificationMaterial,
    /// The signed statement.
    pub dsse_envelope: Envelope,
}

/// Which key to try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationMaterial {
    /// The hint.
    pub public_key: KeyHint,
    /// Entries of a transparency log: none, we sign offline.
    #[serde(default)]
    pub tlog_entries: Vec<serde_json::Value>,
}

/// A hint at a public key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyHint {
    /// SHA-256 of the public key's PEM form, in hex ([`PublicKey::hint`]).
    pub hint: String,
}

/// A DSSE envelope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// The statement's bytes in base64.
    pub payload: String,
    /// Always [`PAYLOAD_TYPE`].
    pub payload_type: String,
    /// Exactly one.
    pub signatures: Vec<EnvelopeSignature>,
}

/// A signature in an envelope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvelopeSignature {
    /// ASN.1 DER in base64.
    pub sig: String,
    /// Empty: the bundle has the hint.
    #[serde(default)]
    pub keyid: String,
}

/// A claim about named digests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement<P> {
    /// Always [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub statement_type: String,
    /// What the claim is about.
    pub subject: Vec<Subject>,
    /// What kind of claim it is.
    pub predicate_type: String,
    /// The claim.
    pub predicate: P,
}

/// A name with its digests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// The name.
    pub name: String,
    /// Digests in hex by algorithm; ours have `sha256`.
    pub digest: BTreeMap<String, String>,
}

impl<P> Statement<P> {
    /// A statement about one SHA-256 digest.
    pub fn about(name: &str, sha256_hex: &str, predicate_type: &str, predicate: P) -> Self {
        let digest = BTreeMap::from([("sha256".to_string(), sha256_hex.to_string())]);
        Self {
            statement_type: STATEMENT_TYPE.into(),
            subject: vec![Subject { name: name.into(), digest }],
            predicate_type: predicate_type.into(),
            predicate,
        }
    }
}

impl Bundle {
    /// Signs a statement.
    pub fn sign<P: Serialize>(statement: &Statement<P>, key: &SigningKey) -> Self {
        let payload = layout::to_json(statement);
        let sig = BASE64.encode(key.sign(&pre_authentication(PAYLOAD_TYPE, &payload)));
        let envelope = Envelope {
            payload: BASE64.encode(payload),
            payload_type: PAYLOAD_TYPE.into(),
            signatures: vec![EnvelopeSignature { sig, keyid: String::new() }],
        };
        let hint = KeyHint { hint: key.public().hint() };
        Self {
            media_type: MEDIA_BUNDLE.into(),
            verification_material: VerificationMaterial { public_key: hint, tlog_entries: Vec::new() },
            dsse_envelope: envelope,
        }
    }

    /// Reads a bundle from its JSON.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        layout::parse(bytes, Path::new(layout::SIGNATURE_FILE))
    }

    /// The bundle as JSON, always the same bytes.
    pub fn to_json(&self) -> Vec<u8> {
        layout::to_json(self)
    }

    /// The statement, once its signature by one of the trusted keys was checked, and that key.
    ///
    /// Nothing of the payload is looked at before. Fails with [`crate::Kind::Untrusted`].
    pub fn statement<'k, P: DeserializeOwned>(
        &self,
        predicate_type: &str,
        trusted: &'k [PublicKey],
    ) -> Result<(Statement<P>, &'k PublicKey)> {
        expect("bundle type", MEDIA_BUNDLE, &self.media_type)?;
        expect("payload type", PAYLOAD_TYPE, &self.dsse_envelope.payload_type)?;
        let hint = &self.verification_material.public_key.hint;
        let key = trusted
            .iter()
            .find(|key| key.hint() == *hint)
            .ok_or_else(|| Error::untrusted(format!("signed by a key that is not trusted (hint {hint})")))?;
        let [signature] = self.dsse_envelope.signatures.as_slice() else {
            return Err(Error::untrusted(format!(
                "expected one signature, got {}",
                self.dsse_envelope.signatures.len()
            )));
        };
        let decode = |text: &str| {
            BASE64
                .decode(text)
                .map_err(|problem| Error::untrusted(format!("the bundle is not valid base64: {problem}")))
        };
        let payload = decode(&self.dsse_envelope.payload)?;
        if !key.accepts(&pre_authentication(PAYLOAD_TYPE, &payload), &decode(&signature.sig)?) {
            return Err(Error::untrusted(format!(
                "the signature is not one by the key {} over this statement",
                key.fingerprint()
            )));
        }
        let head: Statement<serde_json::Value> = layout::parse(&payload, Path::new("the signed statement"))?;
        expect("statement type", STATEMENT_TYPE, &head.statement_type)?;
        expect("predicate type", predicate_type, &head.predicate_type)?;
        Ok((layout::parse(&payload, Path::new("the signed statement"))?, key))
    }
}

fn expect(what: &str, expected: &str, got: &str) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::untrusted(format!("expected {what} `{expected}`, got `{got}`"))) }
}

/// The one name and SHA-256 digest that a statement is about.
pub(crate) fn only_subject<P>(statement: &Statement<P>) -> Result<(&str, &str)> {
    match statement.subject.as_slice() {
        [Subject { name, digest }] if digest.contains_key("sha256") => Ok((name, &digest["sha256"])),
        _ => Err(Error::untrusted("expected a statement about one SHA-256 digest")),
    }
}

/// DSSE's pre-authentication encoding (PAE).
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_the_one_of_the_protocol() {
        // The example of DSSE's protocol.md.
        let got = pre_authentication("http://example.com/HelloWorld", b"hello world");
        assert_eq!(got, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
