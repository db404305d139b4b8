//! Reading a package back, trusting nothing in it.
//!
//! Every document and layer is checked against its digest and length; the layers' entries must be plain files with
//! plain relative names. What is unpacked appears under its name only after everything was checked.

use crate::{
    Error, Result,
    layout::{self, Descriptor, Index, LayoutMarker, Manifest, ModelConfig},
    package::{Hashed, is_plain_name, put_in_place, remove_if_there, sibling},
};
use loopwright_types::Digest;
use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read, Write},
    path::Path,
};

/// Bounds on what a package may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files in all layers together.
    pub n_files_max: u64,
    /// Bytes of one file.
    pub file_bytes_max: u64,
    /// Bytes of all files together.
    pub total_bytes_max: u64,
}

impl Default for Limits {
    /// 10,000 files, 64 GiB each, 256 GiB together.
    fn default() -> Self {
        Self { n_files_max: 10_000, file_bytes_max: 64 << 30, total_bytes_max: 256 << 30 }
    }
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedFile {
    /// Its relative path.
    pub name: String,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

/// A package whose every byte was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// Digest of the manifest.
    pub digest: Digest,
    /// The manifest.
    pub manifest: Manifest,
    /// The model's configuration.
    pub config: ModelConfig,
    /// All files, in the order of the layers.
    pub files: Vec<PackedFile>,
}

/// Checks a package without writing anything. Blocking: it reads every byte.
pub fn open(package: &Path, limits: &Limits) -> Result<Opened> {
    walk(package, limits, &mut |_| Ok(Box::new(io::sink())))
}

/// Checks a package and writes its files into the folder `target`, replacing what was there. Blocking.
///
/// Fails with [`crate::Kind::Damaged`], naming the blob or entry, if anything is not what it says; `target` is then as
/// it was.
pub fn unpack(package: &Path, target: &Path, limits: &Limits) -> Result<Opened> {
    let work = sibling(target, "partial")?;
    remove_if_there(&work)?;
    fs::create_dir_all(&work).map_err(|source| Error::io("create", &work, source))?;
    let opened = walk(package, limits, &mut |name| {
        let path = work.join(name);
        let wrong = |source| Error::io("write", &path, source);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(wrong)?;
        }
        Ok(Box::new(fs::File::create_new(&path).map_err(wrong)?))
    });
    if opened.is_err() {
        remove_if_there(&work)?;
    }
    let opened = opened?;
    put_in_place(&work, target)?;
    Ok(opened)
}

/// Where the bytes of an entry go.
type Sink<'a> = dyn FnMut(&str) -> Result<Box<dyn Write>> + 'a;

fn walk(package: &Path, limits: &Limits, sink: &mut Sink<'_>) -> Result<Opened> {
    let entry = read_index(package)?;
    let manifest: Manifest = read_blob(package, &entry, layout::MEDIA_MANIFEST)?;
    if manifest.artifact_type != layout::ARTIFACT_MODEL {
        return Err(Error::damaged(format!(
            "expected a manifest of type `{}`, got `{}`",
            layout::ARTIFACT_MODEL,
            manifest.artifact_type
        )));
    }
    let config: ModelConfig = read_blob(package, &manifest.config, layout::MEDIA_CONFIG)?;
    let diff_ids: Vec<&Digest> = manifest.layers.iter().map(|layer| &layer.digest).collect();
    if config.modelfs.diff_ids.iter().collect::<Vec<_>>() != diff_ids {
        return Err(Error::damaged("the configuration lists other layers than the manifest"));
    }
    refuse_strangers(package, &entry, &manifest)?;
    let mut reading = Reading { limits, sink, names: BTreeSet::new(), files: Vec::new(), n_bytes: 0 };
    for layer in &manifest.layers {
        reading.layer(package, layer)?;
    }
    Ok(Opened { digest: entry.digest, files: reading.files, manifest, config })
}

/// The digest of the one manifest that the index names. It says nothing about the manifest's bytes.
pub(crate) fn read_index(package: &Path) -> Result<Descriptor> {
    let path = package.join(layout::LAYOUT_FILE);
    let marker: LayoutMarker = layout::parse(&layout::read_document(&path)?, &path)?;
    if marker.image_layout_version != "1.0.0" {
        return Err(Error::damaged(format!(
            "expected image layout version 1.0.0, got {}",
            marker.image_layout_version
        )));
    }
    let path = package.join(layout::INDEX_FILE);
    let index: Index = layout::parse(&layout::read_document(&path)?, &path)?;
    match <[Descriptor; 1]>::try_from(index.manifests) {
        Ok([entry]) => Ok(entry),
        Err(manifests) => {
            Err(Error::damaged(format!("`{}` names {} manifests, expected one", path.display(), manifests.len())))
        }
    }
}

fn read_blob<T: serde::de::DeserializeOwned>(package: &Path, blob: &Descriptor, media_type: &str) -> Result<T> {
    let path = layout::blob_path(package, &blob.digest)?;
    if blob.media_type != media_type {
        return Err(Error::damaged(format!(
            "blob {} is of type `{}`, expected `{media_type}`",
            blob.digest, blob.media_type
        )));
    }
    let bytes = layout::read_document(&path).map_err(|problem| missing(problem, blob))?;
    check_blob(blob, &Digest::of(&bytes), bytes.len() as u64)?;
    layout::parse(&bytes, &path)
}

/// An unreadable blob is a damaged package, whatever the disk says.
fn missing(problem: Error, blob: &Descriptor) -> Error {
    match std::error::Error::source(&problem).and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(source) if source.kind() == io::ErrorKind::NotFound => {
            Error::damaged(format!("blob {} is missing", blob.digest))
        }
        _ => problem,
    }
}

fn check_blob(blob: &Descriptor, digest: &Digest, n_bytes: u64) -> Result<()> {
    if n_bytes != blob.size {
        return Err(Error::damaged(format!("blob {} has {n_bytes} bytes, expected {}", blob.digest, blob.size)));
    }
    if *digest != blob.digest {
        return Err(Error::damaged(format!("blob {} is damaged: its bytes have the digest {digest}", blob.digest)));
    }
    Ok(())
}

/// A blob that nothing names has no business in a package.
fn refuse_strangers(package: &Path, entry: &Descriptor, manifest: &Manifest) -> Result<()> {
    let named: BTreeSet<&str> =
        manifest.layers.iter().chain([entry, &manifest.config]).map(|blob| blob.digest.hex()).collect();
    let dir = package.join(layout::BLOBS_DIR);
    let wrong = |source| Error::io("read", &dir, source);
    for file in fs::read_dir(&dir).map_err(wrong)? {
        let name = file.map_err(wrong)?.file_name();
        if !name.to_str().is_some_and(|name| named.contains(name)) {
            return Err(Error::damaged(format!("blob `{}` is not named by the manifest", name.to_string_lossy())));
        }
    }
    Ok(())
}

/// The state of one pass over the layers.
struct Reading<'a, 'b> {
    limits: &'a Limits,
    sink: &'a mut Sink<'b>,
    names: BTreeSet<String>,
    files: Vec<PackedFile>,
    n_bytes: u64,
}

impl Reading<'_, '_> {
    fn layer(&mut self, package: &Path, layer: &Descriptor) -> Result<()> {
        if ![layout::MEDIA_WEIGHT, layout::MEDIA_WEIGHT_CONFIG, layout::MEDIA_DOC].contains(&layer.media_type.as_str())
        {
            return Err(Error::damaged(format!(
                "layer {} is of type `{}`, which is not one of ours",
                layer.digest, layer.media_type
            )));
        }
        let path = layout::blob_path(package, &layer.digest)?;
        let (file, size) = layout::open_plain(&path).map_err(|problem| missing(problem, layer))?;
        if size != layer.size {
            return Err(Error::damaged(format!("blob {} has {size} bytes, expected {}", layer.digest, layer.size)));
        }
        let mut archive = tar::Archive::new(Hashed::new(io::BufReader::new(file)));
        let wrong = |source| Error::io("read", &path, source);
        // A damaged layer may be unreadable as tar; then the digest tells the better story.
        let entries = self.entries(&mut archive, layer);
        let mut rest = archive.into_inner();
        io::copy(&mut rest, &mut io::sink()).map_err(wrong)?;
        let (_, digest, n_bytes) = rest.finish();
        check_blob(layer, &digest, n_bytes)?;
        entries
    }

    fn entries<R: Read>(&mut self, archive: &mut tar::Archive<R>, layer: &Descriptor) -> Result<()> {
        let broken =
            |problem: io::Error| Error::damaged(format!("layer {} is not a valid archive: {problem}", layer.digest));
        // Raw: extension headers (long names, sparse files) arrive as entries of their own and are refused as such.
        for entry in archive.entries().map_err(broken)?.raw(true) {
            let mut entry = entry.map_err(broken)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            self.admit(&name, entry.header().entry_type(), entry.size(), layer)?;
            let mut writer = Hashed::new((self.sink)(&name)?);
            let copied =
                io::copy(&mut entry, &mut writer).map_err(|source| Error::io("unpack", Path::new(&name), source))?;
            if copied != entry.size() {
                return Err(Error::damaged(format!(
                    "entry `{name}` of layer {} ends after {copied} of {} bytes",
                    layer.digest,
                    entry.size()
                )));
            }
            writer.flush().map_err(|source| Error::io("unpack", Path::new(&name), source))?;
            let (_, digest, size_bytes) = writer.finish();
            self.files.push(PackedFile { name, size_bytes, digest });
        }
        Ok(())
    }

    /// May this entry be unpacked?
    fn admit(&mut self, name: &str, kind: tar::EntryType, size: u64, layer: &Descriptor) -> Result<()> {
        let refuse =
            |problem: String| Err(Error::damaged(format!("entry `{name}` of layer {} {problem}", layer.digest)));
        if kind != tar::EntryType::Regular {
            return refuse(format!("is of type {kind:?}, expected a plain file"));
        }
        if !is_plain_name(name) {
            return refuse("leaves the folder it is unpacked into, or is not a plain path".into());
        }
        self.n_bytes = self.n_bytes.saturating_add(size);
        if size > self.limits.file_bytes_max || size > layer.size {
            return refuse(format!(
                "claims {size} bytes, expected at most {}",
                self.limits.file_bytes_max.min(layer.size)
            ));
        }
        if self.n_bytes > self.limits.total_bytes_max || self.files.len() as u64 >= self.limits.n_files_max {
            return refuse(format!(
                "goes past the limit of {} files and {} bytes",
                self.limits.n_files_max, self.limits.total_bytes_max
            ));
        }
        if !self.names.insert(name.to_string()) {
            return refuse("occurs twice".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
