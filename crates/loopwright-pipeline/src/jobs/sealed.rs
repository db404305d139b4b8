//! What an erasure's closing scan looks for, kept unreadable until then.
//!
//! The strings are encrypted with ChaCha20 (RFC 8439's block function, from `rand_chacha`) under a key derived from a
//! secret of the project and the erasure's id, so that a killed erasure can go on without the strings lying on disk.

use crate::{
    context::Context,
    error::{Doing, Error, Result},
};
use loopwright_types::id::ErasureId;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// Name of the secret that the keys are derived from.
const SECRET: &str = "erasure";

/// Seals the strings.
pub fn write(ctx: &Context, id: &ErasureId, strings: &[String]) -> Result<()> {
    let plain =
        serde_json::to_vec(strings).map_err(|error| Error::bug("failed to write strings as JSON").because(error))?;
    let path = path(ctx, id);
    let partial = path.with_extension("partial");
    let folder = path.parent().expect("the path has a folder");
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&partial, crypt(ctx, id, plain)?))
        .and_then(|()| std::fs::rename(&partial, &path))
        .outside(|| format!("failed to write `{}`", path.display()))
}

/// Opens them again; `None` once they were removed.
pub fn read(ctx: &Context, id: &ErasureId) -> Result<Option<Vec<String>>> {
    let path = path(ctx, id);
    let sealed = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.outside(|| format!("failed to read `{}`", path.display()))?,
    };
    let plain = crypt(ctx, id, sealed).outside(|| format!("failed to open `{}`", path.display()))?;
    serde_json::from_slice(&plain).map(Some).outside(|| format!("`{}` is damaged", path.display()))
}

/// Removes them: the scan is done.
pub fn remove(ctx: &Context, id: &ErasureId) -> Result<()> {
    let path = path(ctx, id);
    std::fs::remove_file(&path).outside(|| format!("failed to delete `{}`", path.display()))
}

fn path(ctx: &Context, id: &ErasureId) -> PathBuf {
    ctx.store.layout().state().join("sealed").join(id.as_str())
}

/// Encrypts and decrypts: the key stream is the same.
fn crypt(ctx: &Context, id: &ErasureId, mut bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let secret = ctx.store.secret(SECRET).map_err(std::io::Error::other)?;
    let mut key = Sha256::new();
    key.update(secret);
    key.update(id.as_str());
    let mut stream = vec![0; bytes.len()];
    ChaCha20Rng::from_seed(key.finalize().into()).fill_bytes(&mut stream);
    bytes.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
    Ok(bytes)
}
