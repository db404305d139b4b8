//! The way back from stand-ins to values, and its encrypted form.

use crate::PiiKind;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::collections::BTreeMap;

/// The version of the sealed form.
const VERSION: u8 = 1;

/// Which stand-in belongs to which value. It is as secret as the values; keep it sealed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    pub(super) by_stand_in: BTreeMap<String, Value>,
    by_original: BTreeMap<PiiKind, BTreeMap<String, String>>,
}

/// What a stand-in stands for.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) kind: PiiKind,
    pub(super) original: String,
    /// It was once found inside a longer word.
    pub(super) is_joined: bool,
}

/// A mapping, encrypted and authenticated: a synthetic nonce (the HMAC of the plain bytes, which also is the seal), then the
/// bytes under a key stream of HMAC-SHA-256 in counter mode. The same mapping and key give the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedMapping {
    /// The version of this form.
    pub version: u8,
    /// HMAC of version and plain bytes.
    pub seal: [u8; 32],
    /// The encrypted bytes.
    pub bytes: Vec<u8>,
}

/// Why a sealed mapping cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MappingError {
    /// It was written by a later version.
    UnknownVersion(u8),
    /// The key is another one, or the bytes were altered.
    BrokenSeal,
}

impl std::fmt::Display for MappingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownVersion(version) => {
                write!(f, "expected a sealed mapping of version {VERSION}, got version {version}")
            }
            Self::BrokenSeal => write!(f, "the seal of the mapping does not fit: another key, or altered bytes"),
        }
    }
}

impl std::error::Error for MappingError {}

impl std::fmt::Debug for Mapping {
    /// Shows how many values there are and none of them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapping").field("n_values", &self.len()).finish_non_exhaustive()
    }
}

impl Mapping {
    /// How many values have a stand-in.
    pub fn len(&self) -> usize {
        self.by_stand_in.len()
    }

    /// Has no value a stand-in?
    pub fn is_empty(&self) -> bool {
        self.by_stand_in.is_empty()
    }

    /// The stand-in of a value.
    pub fn stand_in(&self, kind: PiiKind, original: &str) -> Option<&str> {
        self.by_original.get(&kind)?.get(original).map(String::as_str)
    }

    /// Forgets the values that this refuses; their stand-ins have no way back any more.
    pub fn retain(&mut self, mut keep: impl FnMut(PiiKind, &str) -> bool) {
        self.by_stand_in.retain(|_, value| keep(value.kind, &value.original));
        let by_stand_in = &self.by_stand_in;
        for values in self.by_original.values_mut() {
            values.retain(|_, stand_in| by_stand_in.contains_key(stand_in));
        }
    }

    /// Is this string neither a stand-in nor a value?
    pub(super) fn is_free(&self, drawn: &str) -> bool {
        !self.by_stand_in.contains_key(drawn) && !self.by_original.values().any(|values| values.contains_key(drawn))
    }

    pub(super) fn add(&mut self, kind: PiiKind, original: &str, stand_in: &str, is_joined: bool) {
        self.by_original.entry(kind).or_default().insert(original.to_string(), stand_in.to_string());
        let value = self.by_stand_in.entry(stand_in.to_string());
        value.or_insert_with(|| Value { kind, original: original.to_string(), is_joined: false }).is_joined |=
            is_joined;
    }

    /// Encrypts the mapping under a secret of 32 random bytes.
    pub fn seal(&self, key: &[u8; 32]) -> SealedMapping {
        let mut bytes = Vec::new();
        for (stand_in, value) in &self.by_stand_in {
            bytes.push(u8::from(value.is_joined));
            [value.kind.as_str(), &value.original, stand_in]
                .into_iter()
                .for_each(|field| write_field(&mut bytes, field));
        }
        let seal = mac(key, b"seal", &[&bytes]);
        apply_key_stream(key, &seal, &mut bytes);
        SealedMapping { version: VERSION, seal, bytes }
    }

    /// Decrypts a mapping and checks its seal.
    pub fn open(sealed: &SealedMapping, key: &[u8; 32]) -> Result<Self, MappingError> {
        if sealed.version != VERSION {
            return Err(MappingError::UnknownVersion(sealed.version));
        }
        let mut bytes = sealed.bytes.clone();
        apply_key_stream(key, &sealed.seal, &mut bytes);
        let mut check = keyed(key, b"seal");
        check.update(&bytes);
        check.verify_slice(&sealed.seal).map_err(|_| MappingError::BrokenSeal)?;
        let mut mapping = Self::default();
        let mut rest = bytes.as_slice();
        while let [is_joined, fields @ ..] = rest {
            rest = mapping.read(*is_joined == 1, fields).ok_or(MappingError::BrokenSeal)?;
        }
        Ok(mapping)
    }

    fn read<'a>(&mut self, is_joined: bool, fields: &'a [u8]) -> Option<&'a [u8]> {
        let (kind, rest) = read_field(fields)?;
        let (original, rest) = read_field(rest)?;
        let (stand_in, rest) = read_field(rest)?;
        let kind = PiiKind::ALL.into_iter().find(|it| it.as_str() == kind)?;
        self.add(kind, original, stand_in, is_joined);
        Some(rest)
    }
}

fn write_field(bytes: &mut Vec<u8>, field: &str) {
    bytes.extend((field.len() as u32).to_be_bytes());
    bytes.extend(field.as_bytes());
}

fn read_field(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (field, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((std::str::from_utf8(field).ok()?, rest))
}

/// An HMAC under a key for this purpose alone.
fn keyed(key: &[u8; 32], purpose: &[u8]) -> Hmac<Sha256> {
    let own_key = {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
        mac.update(b"surrogate mapping 1\0");
        mac.update(purpose);
        mac.finalize().into_bytes()
    };
    Hmac::new_from_slice(&own_key).expect("HMAC takes a key of any length")
}

fn mac(key: &[u8; 32], purpose: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed(key, purpose);
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn apply_key_stream(key: &[u8; 32], nonce: &[u8; 32], bytes: &mut [u8]) {
    for (counter, block) in bytes.chunks_mut(32).enumerate() {
        let stream = mac(key, b"stream", &[nonce, &(counter as u64).to_be_bytes()]);
        block.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Mapping {
        let mut mapping = Mapping::default();
        mapping.add(PiiKind::Person, "Ana Ruiz", "Tessa Holm", false);
        mapping.add(PiiKind::Email, "ana@mail.example", "a.b12@example.org", true);
        mapping
    }

    #[test]
    fn a_seal_opens_with_its_key_only() {
        let sealed = sample().seal(&[1; 32]);
        assert_eq!(Mapping::open(&sealed, &[1; 32]), Ok(sample()));
        assert_eq!(Mapping::open(&sealed, &[2; 32]), Err(MappingError::BrokenSeal));
        let clear = String::from_utf8_lossy(&sealed.bytes).into_owned();
        assert!(!clear.contains("Ana") && !clear.contains("email"));
    }

    #[test]
    fn an_altered_byte_breaks_the_seal() {
        let sealed = sample().seal(&[1; 32]);
        for index in 0..sealed.bytes.len() {
            let mut altered = sealed.clone();
            altered.bytes[index] ^= 1;
            assert_eq!(Mapping::open(&altered, &[1; 32]), Err(MappingError::BrokenSeal));
        }
        assert_eq!(
            Mapping::open(&SealedMapping { version: 9, ..sealed }, &[1; 32]),
            Err(MappingError::UnknownVersion(9))
        );
    }

    #[test]
    fn a_forgotten_value_is_gone_both_ways() {
        let mut mapping = sample();
        mapping.retain(|kind, _| kind == PiiKind::Email);
        assert_eq!((mapping.len(), mapping.stand_in(PiiKind::Person, "Ana Ruiz")), (1, None));
        assert!(mapping.is_free("Tessa Holm") && mapping.is_free("Ana Ruiz"));
    }

    #[test]
    fn debug_output_shows_no_value() {
        assert_eq!(format!("{:?}", sample()), "Mapping { n_values: 2, .. }");
    }
}
