//! Signing keys: ECDSA on the curve P-256, kept as PEM.
//!
//! The private half lies in a file that only its owner may read; the public half is given to whoever verifies.

use crate::{Error, Result, package::sibling};
use p256::{
    ecdsa::{
        self,
        signature::{Signer as _, Verifier as _},
    },
    elliptic_curve::Generate as _,
    pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding},
};
use rand::CryptoRng;
use sha2::{Digest as _, Sha256};
use std::{fmt, fs, io::Write as _, path::Path};

/// The private half. It signs without randomness (RFC 6979): the same key and bytes give the same signature.
#[derive(Clone)]
pub struct SigningKey(ecdsa::SigningKey);

impl fmt::Debug for SigningKey {
    /// Shows the public fingerprint only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().fingerprint())
    }
}

impl SigningKey {
    /// A new key from the given randomness.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(ecdsa::SigningKey::generate_from_rng(rng))
    }

    /// Reads a key from PKCS#8 PEM (`BEGIN PRIVATE KEY`).
    pub fn from_pem(pem: &str) -> Result<Self> {
        // The parser's own message is not passed on: it could quote the key.
        ecdsa::SigningKey::from_pkcs8_pem(pem)
            .map(Self)
            .map_err(|_| Error::damaged("the signing key is not a P-256 key in PKCS#8 PEM"))
    }

    /// Reads a key from a file.
    pub fn load(path: &Path) -> Result<Self> {
        Self::from_pem(&fs::read_to_string(path).map_err(|source| Error::io("read the signing key", path, source))?)
    }

    /// Reads the key in this file, or makes one and keeps it there (mode 0600 from the first byte on).
    ///
    /// Of two processes that start at once, one makes the key and both use it.
    pub fn load_or_create(path: &Path, rng: &mut impl CryptoRng) -> Result<Self> {
        if path.exists() {
            return Self::load(path);
        }
        let key = Self::generate(rng);
        let passing = sibling(path, &format!("{}.partial", &key.public().fingerprint()[..16]))?;
        let wrong = |source| Error::io("write the signing key", path, source);
        write_private(&passing, key.to_pem().as_bytes()).map_err(wrong)?;
        // A hard link, unlike a rename, never replaces a key that another process put there in between.
        let linked = fs::hard_link(&passing, path);
        fs::remove_file(&passing).map_err(wrong)?;
        match linked {
            Err(problem) if problem.kind() != std::io::ErrorKind::AlreadyExists => Err(wrong(problem)),
            _ => Self::load(path),
        }
    }

    /// The key as PKCS#8 PEM: a secret.
    fn to_pem(&self) -> impl std::ops::Deref<Target = String> {
        self.0.to_pkcs8_pem(LineEnding::LF).expect("a valid key has a PEM form")
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.verifying_key())
    }

    /// An ASN.1 DER signature over SHA-256 of these bytes.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let signature: ecdsa::Signature = self.0.sign(bytes);
        signature.to_der().as_bytes().to_vec()
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The public half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(ecdsa::VerifyingKey);

impl PublicKey {
    /// Reads a key from PEM (`BEGIN PUBLIC KEY`).
    pub fn from_pem(pem: &str) -> Result<Self> {
        ecdsa::VerifyingKey::from_public_key_pem(pem)
            .map(Self)
            .map_err(|problem| Error::damaged(format!("the public key is not a P-256 key in PEM: {problem}")))
    }

    /// The key as PEM, as `openssl` and `model_signing` read it.
    pub fn to_pem(&self) -> String {
        self.0.to_public_key_pem(LineEnding::LF).expect("a valid key has a PEM form")
    }

    /// SHA-256 of the key's DER form, in hex: how records name the key.
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(self.0.to_public_key_der().expect("a valid key has a DER form").as_bytes()))
    }

    /// SHA-256 of the key's PEM form, in hex: how a bundle of the model-signing format hints at its key.
    pub fn hint(&self) -> String {
        hex::encode(Sha256::digest(self.to_pem()))
    }

    /// Is this DER signature one by this key over these bytes?
    pub(crate) fn accepts(&self, bytes: &[u8], signature: &[u8]) -> bool {
        ecdsa::Signature::from_der(signature).is_ok_and(|signature| self.0.verify(bytes, &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    fn rng(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    #[test]
    fn the_signature_of_rfc_6979_is_reproduced() {
        // RFC 6979 A.2.5, SHA-256, message "sample".
        let secret = hex::decode("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721").unwrap();
        let key = SigningKey(ecdsa::SigningKey::from_slice(&secret).unwrap());
        let signature = ecdsa::Signature::from_der(&key.sign(b"sample")).unwrap();
        let expected = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
        assert_eq!(hex::encode(signature.to_bytes()), expected);
        assert!(key.public().accepts(b"sample", &key.sign(b"sample")));
        assert!(!key.public().accepts(b"simple", &key.sign(b"sample")));
    }

    #[test]
    fn a_key_is_kept_for_its_owner_only_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signing.pem");
        let key = SigningKey::load_or_create(&path, &mut rng(1)).unwrap();
        let again = SigningKey::load_or_create(&path, &mut rng(2)).unwrap();
        assert_eq!(key.public(), again.public());
        assert_ne!(key.public(), SigningKey::generate(&mut rng(2)).public());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(!format!("{key:?}").contains("PRIVATE"));
    }

    #[test]
    fn pem_round_trips_and_nonsense_is_refused() {
        let key = SigningKey::generate(&mut rng(3));
        let public = key.public();
        assert_eq!(PublicKey::from_pem(&public.to_pem()).unwrap(), public);
        assert_eq!(SigningKey::from_pem(&key.to_pem()).unwrap().public(), public);
        assert_eq!(public.fingerprint().len(), 64);
        assert!(PublicKey::from_pem("no key").is_err());
        assert!(SigningKey::from_pem(&public.to_pem()).is_err());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        fs::write(&path, "damaged").unwrap();
        assert!(SigningKey::load_or_create(&path, &mut rng(4)).is_err(), "a damaged key is not silently replaced");
    }
}
