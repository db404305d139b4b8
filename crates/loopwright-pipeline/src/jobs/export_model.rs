//! Models for elsewhere: a version's files in the layout of Hugging Face, or PEFT's for an adapter.

use super::{collect::in_background, package::files_of, predict};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
};
use loopwright_store::ObjectKey;
use loopwright_types::ModelVersion;
use std::path::{Path, PathBuf};

/// Writes a version's files into a new folder; returns their names. `is_merged` works an adapter into its base.
pub async fn export(ctx: &Context, version: &ModelVersion, to: &Path, is_merged: bool) -> Result<Vec<String>> {
    if to.exists() {
        return Err(Error::user(format!("`{}` is there already", to.display())).hint("name a new folder with `--to`"));
    }
    if is_merged && version.base.is_none() {
        return Err(Error::user(format!("`{}` is no adapter", version.model)).hint("leave out `--merged`"));
    }
    let (work, version, to) = (ctx.clone(), version.clone(), to.to_path_buf());
    in_background(move || {
        let doing = || format!("failed to write `{}`", to.display());
        let partial = to.with_extension("partial");
        match std::fs::remove_dir_all(&partial) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).outside(doing),
            _ => {}
        }
        std::fs::create_dir_all(&partial).outside(doing)?;
        let own = work.store.objects().local_dir(&ObjectKey::ModelDir { model: version.model.clone() })?;
        let files: Vec<PathBuf> = match is_merged {
            false => std::fs::read_dir(&own).outside(doing)?.flatten().map(|entry| entry.path()).collect(),
            // The tokenizer and what else stands beside the base's weights.
            true => files_of(&work.store, &version)?
                .into_iter()
                .filter(|(name, _)| !is_weights(name))
                .map(|it| it.1)
                .collect(),
        };
        for file in files {
            std::fs::copy(&file, partial.join(file.file_name().unwrap_or_default())).outside(doing)?;
        }
        if is_merged {
            let merged = predict::load(&work, &version)?.model.merged().doing(doing)?;
            merged.save(&partial).outside(doing)?;
        }
        let mut names: Vec<String> = std::fs::read_dir(&partial)
            .outside(doing)?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        std::fs::rename(&partial, &to).outside(doing)?;
        Ok(names)
    })
    .await
}

/// Files that a merged model writes anew, or that belong to the adapter alone.
fn is_weights(name: &str) -> bool {
    name == "config.json" || name.starts_with("adapter_") || name.contains(".safetensors") || name.ends_with(".gguf")
}
