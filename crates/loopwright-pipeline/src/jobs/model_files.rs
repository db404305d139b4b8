//! The files of a model version that was trained here.

use super::import_model;
use crate::error::{Doing, Result};
use loopwright_lm::{Model, Tokenizer};
use loopwright_types::Digest;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// What stands beside the weights of a version.
pub(super) enum Beside {
    /// Nothing: an adapter is read with its base.
    Nothing,
    /// The tokenizer that was made with it.
    Tokenizer,
    /// Tokenizer, template and the like of another version's folder.
    FilesOf(PathBuf),
}

/// Writes a model's files into a folder beside the target and swaps it in; returns the digest over the files.
pub(super) fn save(model: &Model, beside: &Beside, tokenizer: &Tokenizer, dir: &Path) -> Result<Digest> {
    let partial = dir.with_extension("partial");
    let clear = |path: &Path| match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let doing = || format!("failed to write the model to `{}`", dir.display());
    clear(&partial).outside(doing)?;
    std::fs::create_dir_all(&partial).outside(doing)?;
    match model.adapter() {
        Some(adapter) => adapter.save(&partial).outside(doing)?,
        None => model.save(&partial).outside(doing)?,
    }
    match beside {
        Beside::Nothing => {}
        Beside::Tokenizer => tokenizer.save(&partial).outside(doing)?,
        Beside::FilesOf(other) => {
            for name in import_model::FILES.into_iter().filter(|name| other.join(name).exists()) {
                // What the model wrote itself is newer.
                if !partial.join(name).exists() {
                    std::fs::copy(other.join(name), partial.join(name)).outside(doing)?;
                }
            }
        }
    }
    let digest = digest_of(&partial).outside(doing)?;
    clear(dir).outside(doing)?;
    std::fs::rename(&partial, dir).outside(doing)?;
    Ok(digest)
}

fn digest_of(dir: &Path) -> std::io::Result<Digest> {
    let mut parts: BTreeSet<(Vec<u8>, Vec<u8>)> = BTreeSet::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        parts.insert((entry.file_name().into_encoded_bytes(), std::fs::read(entry.path())?));
    }
    Ok(Digest::of_parts(parts.iter().flat_map(|(name, bytes)| [name.as_slice(), bytes.as_slice()])))
}
