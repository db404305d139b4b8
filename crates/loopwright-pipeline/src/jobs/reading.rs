//! How a project's sources are read: where they lie, what their columns mean, who parses them.

use super::collect::in_background;
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::DataSettings,
};
use loopwright_sources::{self as sources, OpenSettings, Read, Reads, SourceFile, Spec};
use loopwright_types::Digest;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeSet,
    fs::File,
    io::Read as _,
    path::{Component, Path},
};

/// Bytes read at a time for a digest.
const CHUNK_BYTES: usize = 1 << 20;

/// How a source of a loop is read.
pub fn spec(ctx: &Context, data: &DataSettings, source: &str) -> Spec {
    let column = |name: &str| (!name.is_empty()).then(|| name.to_string());
    let location = ctx.project.dir.join(source);
    // Files of a pattern have their own names; a file or a folder is named as the project file does.
    let name = location.exists().then(|| source.trim_end_matches('/').to_string());
    Spec {
        location: location.to_string_lossy().into_owned(),
        name,
        shape: data.shape,
        text_unit: data.text_unit,
        mapping: sources::Mapping {
            text: column(&data.text),
            label: column(&data.label),
            id: column(&data.id),
            subject: column(&data.subject),
            group: column(&data.group),
            at: column(&data.at),
            licence: column(&data.licence),
            tags: column(&data.tags),
            ..sources::Mapping::default()
        },
        licence: column(&data.rows_licence),
        tags: data.rows_tags.clone(),
        ..Spec::default()
    }
}

/// The files of a source.
pub fn files(ctx: &Context, data: &DataSettings, source: &str) -> Result<Vec<SourceFile>> {
    let found = sources::files(&spec(ctx, data, source), &settings(ctx).limits);
    found.map_err(|error| {
        Error::user(format!("failed to read the source `{source}`"))
            .because(error)
            .hint("name files, folders or patterns in `sources` of `[data.*]`, relative to the project file")
    })
}

/// Opens a source, without the files of these names.
pub fn open(ctx: &Context, data: &DataSettings, source: &str, skip: BTreeSet<String>) -> Reads {
    sources::open(&Spec { skip, ..spec(ctx, data, source) }, &settings(ctx))
}

/// The next rows; reading them may take a while.
pub async fn next_batch(mut reads: Reads) -> Result<(Option<sources::Result<Vec<Read>>>, Reads)> {
    in_background(move || {
        let batch = reads.next_batch();
        Ok((batch, reads))
    })
    .await
}

/// Size and digest of a file.
pub fn digest(path: &Path) -> Result<(u64, Digest)> {
    let doing = || format!("failed to read `{}`", path.display());
    let mut file = File::open(path).outside(doing)?;
    let (mut hash, mut chunk, mut size) = (Sha256::new(), vec![0; CHUNK_BYTES], 0);
    loop {
        match file.read(&mut chunk).outside(doing)? {
            0 => return Ok((size, Digest::from_hash(&hash.finalize()))),
            n => {
                hash.update(&chunk[..n]);
                size += n as u64;
            }
        }
    }
}

/// Does this path lead out of the project folder?
pub fn is_outside(path: &Path) -> bool {
    path.is_absolute() || path.components().any(|part| part == Component::ParentDir)
}

/// How far to go, and who parses what cannot be trusted.
pub fn settings(ctx: &Context) -> OpenSettings {
    OpenSettings { child: ctx.reading_child.clone(), ..OpenSettings::default() }
}
