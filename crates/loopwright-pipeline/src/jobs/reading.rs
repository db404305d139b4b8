//! How a project's sources are read: where they lie, what their columns mean, who parses them.

use super::{collect::in_background, elsewhere::Elsewhere};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::DataSettings,
};
use loopwright_sources::{
    self as sources, OpenSettings, Read, Reads, SourceFile, Spec,
    schema::{Schema, infer},
};
use loopwright_store::remote::{self, RemotePart};
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
    let name = location.exists().then(|| name(source));
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

/// A source's name in records: as the project file names it, without where a machine keeps its files.
fn name(source: &str) -> String {
    let source = source.trim_end_matches('/');
    let parts: Vec<&str> = source.rsplitn(3, '/').collect();
    match parts[..] {
        [last, folder, _] if source.starts_with('/') => format!("{folder}/{last}"),
        _ => source.to_string(),
    }
}

/// How a source looks, with the columns that the settings name.
pub async fn schema(ctx: &Context, data: &DataSettings, source: &str) -> Result<Schema> {
    if remote::is_remote(source) {
        let spec = spec(ctx, data, source);
        return Elsewhere::look(source, &ctx.project.dir).await?.schema(spec, settings(ctx)).await;
    }
    let (spec, settings) = (spec(ctx, data, source), settings(ctx));
    let name = source.to_string();
    in_background(move || infer(&spec, &settings).doing(|| format!("failed to look at `{name}`"))).await
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

/// A file's name in its source, its size and its digest.
pub type Part = (String, (u64, Digest));

/// What a source is made of, and the source itself if it is not on this machine.
pub async fn parts(ctx: &Context, data: &DataSettings, source: &str) -> Result<(Option<Elsewhere>, Vec<Part>)> {
    if remote::is_remote(source) {
        let elsewhere = Elsewhere::look(source, &ctx.project.dir).await?;
        let part = |part: &RemotePart| (part.name.clone(), (part.size_bytes.unwrap_or(0), part.digest.clone()));
        let parts = elsewhere.parts.iter().map(part).collect();
        return Ok((Some(elsewhere), parts));
    }
    let files = files(ctx, data, source)?.into_iter();
    let parts = files.map(|SourceFile { path, name }| Ok((name, digest(&path)?))).collect::<Result<_>>()?;
    Ok((None, parts))
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
