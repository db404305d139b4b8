//! Secrets of a project: 32 random bytes each, in a file that only its owner may read.

use crate::{Error, Kind, Result, error::Doing, key::Layout};
use hmac::{Hmac, KeyInit, Mac};
use loopwright_types::id::SubjectId;
use rand::TryRng;
use sha2::Sha256;
use std::{
    fs,
    io::{ErrorKind, Write},
    path::Path,
};

/// Length of every secret, in bytes.
pub const SECRET_BYTES: usize = 32;

/// The secret that pseudonyms are made with.
pub(crate) const SUBJECTS: &str = "subjects";

/// Reads a secret, making it first if it is not there yet.
pub(crate) fn read_or_make(layout: &Layout, name: &str) -> Result<[u8; SECRET_BYTES]> {
    match read(layout, name) {
        Err(error) if error.kind() == Kind::NotFound => make(layout, name),
        found => found,
    }
}

/// Reads a secret that must be there.
pub(crate) fn read(layout: &Layout, name: &str) -> Result<[u8; SECRET_BYTES]> {
    let path = layout.secret(name);
    let bytes = fs::read(&path).doing(|| format!("read secret `{}`", path.display()))?;
    let n_bytes = bytes.len();
    bytes.try_into().map_err(|_| {
        let message = format!("secret `{}` is damaged: expected {SECRET_BYTES} bytes, got {n_bytes}", path.display());
        Error::new(Kind::Damaged, message)
            .with_hint("restore it from a backup; without it, pseudonyms and signatures change")
    })
}

/// Two processes may try at once: the hard link succeeds for one of them only, and both then read what it wrote.
fn make(layout: &Layout, name: &str) -> Result<[u8; SECRET_BYTES]> {
    let path = layout.secret(name);
    let mut secret = [0; SECRET_BYTES];
    rand::rngs::SysRng.try_fill_bytes(&mut secret).doing(|| "draw random bytes from the operating system".into())?;
    let draft = layout.secrets().join(format!(".draft-{}", hex::encode(&secret[..8])));
    let write = || {
        fs::create_dir_all(layout.secrets())?;
        private_file(&draft)?.write_all(&secret)?;
        match fs::hard_link(&draft, &path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    };
    let written = write().doing(|| format!("write secret `{}`", path.display()));
    fs::remove_file(&draft).ok();
    written.and_then(|()| read(layout, name))
}

/// A new file with mode 0600, on systems that have modes.
fn private_file(path: &Path) -> std::io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A person's pseudonym: the first 32 hex digits of HMAC-SHA-256 (RFC 2104) of the external id under the secret.
pub(crate) fn pseudonym(secret: &[u8; SECRET_BYTES], external_id: &str) -> SubjectId {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(external_id.as_bytes());
    SubjectId(hex::encode(&mac.finalize().into_bytes()[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        assert_eq!(read(&layout, "signing").unwrap_err().kind(), Kind::NotFound);
        let secret = read_or_make(&layout, "signing").unwrap();
        assert_eq!(read_or_make(&layout, "signing").unwrap(), secret);
        assert_ne!(read_or_make(&layout, SUBJECTS).unwrap(), secret);
        assert_eq!(fs::read_dir(layout.secrets()).unwrap().count(), 2);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(layout.secret("signing")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::write(layout.secret("signing"), b"short").unwrap();
        assert_eq!(read_or_make(&layout, "signing").unwrap_err().kind(), Kind::Damaged);
    }

    #[test]
    fn pseudonyms_follow_rfc_4231() {
        // Test case 1 has a key of 20 bytes; HMAC pads keys with zeros to the block size, so 12 more change nothing.
        let mut key = [0u8; SECRET_BYTES];
        key[..20].fill(0x0b);
        assert_eq!(pseudonym(&key, "Hi There").as_str(), "b0344c61d8db38535ca8afceaf0bf12b");
    }
}
