//! Packing a model version: named files in, an OCI image layout out.
//!
//! The same files give the same bytes: entries are sorted by name, tar headers carry no time, owner or mode of the
//! machine, layers are not compressed (weights hardly shrink, and a compressor's version would change the digest), and
//! the time of making is an argument. Files are streamed; the package appears under its name only when it is whole.

use crate::{
    Error, Result,
    layout::{self, Descriptor, Index, LayoutMarker, Manifest, ModelConfig, ModelDescriptor, ModelFacts, ModelFs},
};
use loopwright_types::{Digest, ModelRef, Timestamp, deployment::Package};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Cursor, Read, Write},
    path::{Path, PathBuf},
};

/// What a file is for. Each role becomes one layer, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Configuration and tokenizer.
    Config,
    /// The base weights.
    Weights,
    /// A LoRA adapter in PEFT layout.
    Adapter,
    /// Data and model cards.
    Card,
}

impl Role {
    /// The role of a file by the names that Hugging Face and PEFT use; anything unknown counts as configuration.
    pub fn of_file(name: &str) -> Self {
        let base = name.rsplit('/').next().unwrap_or(name);
        if base.starts_with("adapter_") {
            Self::Adapter
        } else if base.ends_with(".safetensors") || base.ends_with(".gguf") {
            Self::Weights
        } else if base.ends_with(".md") {
            Self::Card
        } else {
            Self::Config
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Config => layout::MEDIA_WEIGHT_CONFIG,
            Self::Weights | Self::Adapter => layout::MEDIA_WEIGHT,
            Self::Card => layout::MEDIA_DOC,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Config => "configuration and tokenizer",
            Self::Weights => "base weights",
            Self::Adapter => "adapter",
            Self::Card => "card",
        }
    }
}

/// Where a file's bytes come from.
#[derive(Clone, Debug)]
pub enum Content {
    /// A file on disk, streamed.
    Path(PathBuf),
    /// Bytes at hand.
    Bytes(Vec<u8>),
}

/// A file to be packed.
#[derive(Clone, Debug)]
pub struct PackFile {
    /// Its name in the package: a relative path with `/`, at most 100 bytes, no `..`.
    pub name: String,
    /// The layer it goes into.
    pub role: Role,
    /// Its bytes.
    pub content: Content,
}

impl PackFile {
    /// A file on disk, with the role that its name tells.
    pub fn path(name: &str, path: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), role: Role::of_file(name), content: Content::Path(path.into()) }
    }

    /// Bytes at hand, with the role that the name tells.
    pub fn bytes(name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), role: Role::of_file(name), content: Content::Bytes(bytes.into()) }
    }

    /// The same file in another layer.
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }
}

/// What to pack.
#[derive(Clone, Debug)]
pub struct PackageSpec {
    /// The version.
    pub model: ModelRef,
    /// Its files, in any order.
    pub files: Vec<PackFile>,
    /// Number of parameters, if known.
    pub n_parameters: Option<u64>,
    /// Time of making. It becomes part of the digest: leave it out, or give the model version's own time.
    pub created_at: Option<Timestamp>,
    /// Further annotations of the manifest, e.g. the dataset version and the run.
    pub annotations: BTreeMap<String, String>,
}

impl PackageSpec {
    /// A specification without files.
    pub fn new(model: ModelRef) -> Self {
        Self { model, files: Vec::new(), n_parameters: None, created_at: None, annotations: BTreeMap::new() }
    }

    /// The same with one more file.
    pub fn with_file(mut self, file: PackFile) -> Self {
        self.files.push(file);
        self
    }
}

/// A layer as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// What it holds.
    pub role: Role,
    /// SHA-256 of the tar archive.
    pub digest: Digest,
    /// Length of the tar archive in bytes.
    pub size_bytes: u64,
    /// Names of its files, sorted.
    pub files: Vec<String>,
}

/// A package as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// Digest of the manifest: the package's name in any registry.
    pub digest: Digest,
    /// All blobs, in bytes.
    pub size_bytes: u64,
    /// The layers in order.
    pub layers: Vec<Layer>,
}

impl Packed {
    /// The record of this package, once it is signed by the key with this fingerprint.
    pub fn record(&self, model: &ModelRef, signed_by: &str, created_at: Timestamp) -> Package {
        Package {
            model: model.clone(),
            digest: self.digest.clone(),
            size_bytes: self.size_bytes,
            signed_by: signed_by.into(),
            created_at,
        }
    }
}

/// Packs the files into the folder `target`, replacing an older package there. Blocking: it hashes every byte.
///
/// Fails if a name is not a plain relative path or occurs twice, if there are no weights, or if a file changes while it
/// is read. A failed or killed call leaves `target` as it was.
pub fn pack(spec: &PackageSpec, target: &Path) -> Result<Packed> {
    check_names(spec)?;
    let work = sibling(target, "partial")?;
    remove_if_there(&work)?;
    let blobs = work.join(layout::BLOBS_DIR);
    fs::create_dir_all(&blobs).map_err(|source| Error::io("create", &blobs, source))?;
    let packed = write_layout(spec, &work)?;
    put_in_place(&work, target)?;
    Ok(packed)
}

fn check_names(spec: &PackageSpec) -> Result<()> {
    let mut seen = BTreeSet::new();
    for file in &spec.files {
        if !is_plain_name(&file.name) {
            return Err(Error::refused(format!(
                "`{}` cannot be packed: expected a relative path of at most 100 bytes without `..`",
                file.name
            )));
        }
        if !seen.insert(&file.name) {
            return Err(Error::refused(format!("`{}` is named twice in the package of {}", file.name, spec.model)));
        }
    }
    if spec.files.iter().any(|file| matches!(file.role, Role::Weights | Role::Adapter)) {
        Ok(())
    } else {
        Err(Error::refused(format!("the package of {} has neither weights nor an adapter", spec.model)))
    }
}

/// Is this a relative path that stays where it is unpacked, on every system, and fits a plain tar header?
pub(crate) fn is_plain_name(name: &str) -> bool {
    let plain_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    name.len() <= 100 && name.split('/').all(plain_part) && !name.contains(['\\', ':', '\0'])
}

fn write_layout(spec: &PackageSpec, work: &Path) -> Result<Packed> {
    let mut by_role: BTreeMap<Role, Vec<&PackFile>> = BTreeMap::new();
    spec.files.iter().for_each(|file| by_role.entry(file.role).or_default().push(file));
    let mut layers = Vec::new();
    for (role, mut files) in by_role {
        files.sort_by(|a, b| a.name.cmp(&b.name));
        layers.push(write_layer(role, &files, work)?);
    }
    let config = write_blob(&layout::to_json(&model_config(spec, &layers)), layout::MEDIA_CONFIG, work)?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: layout::MEDIA_MANIFEST.into(),
        artifact_type: layout::ARTIFACT_MODEL.into(),
        config: config.clone(),
        layers: layers.iter().map(layer_descriptor).collect(),
        annotations: manifest_annotations(spec),
    };
    let mut entry = write_blob(&layout::to_json(&manifest), layout::MEDIA_MANIFEST, work)?;
    let size_bytes = entry.size + config.size + layers.iter().map(|layer| layer.size_bytes).sum::<u64>();
    let digest = entry.digest.clone();
    entry.artifact_type = Some(layout::ARTIFACT_MODEL.into());
    entry.annotations.insert(layout::ANNOTATION_REF_NAME.into(), spec.model.version.to_string());
    let index = Index { schema_version: 2, media_type: layout::MEDIA_INDEX.into(), manifests: vec![entry] };
    write_file(&work.join(layout::INDEX_FILE), &layout::to_json(&index))?;
    let marker = LayoutMarker { image_layout_version: "1.0.0".into() };
    write_file(&work.join(layout::LAYOUT_FILE), &layout::to_json(&marker))?;
    Ok(Packed { digest, size_bytes, layers })
}

fn model_config(spec: &PackageSpec, layers: &[Layer]) -> ModelConfig {
    ModelConfig {
        descriptor: ModelDescriptor {
            created_at: spec.created_at.map(|at| at.to_string()),
            name: spec.model.name.clone(),
            version: spec.model.version.to_string(),
        },
        config: ModelFacts {
            architecture: "transformer".into(),
            format: if spec.files.iter().any(|file| file.name.ends_with(".gguf")) { "gguf" } else { "safetensors" }
                .into(),
            param_size: spec.n_parameters.map(param_size),
        },
        modelfs: ModelFs {
            r#type: "layers".into(),
            diff_ids: layers.iter().map(|layer| layer.digest.clone()).collect(),
        },
    }
}

/// A parameter count as ModelPack writes it: one digit after the point and a scale letter.
fn param_size(n: u64) -> String {
    let scales = [(1_000_000_000_000, "T"), (1_000_000_000, "B"), (1_000_000, "M"), (1_000, "K")];
    let (unit, letter) = scales.into_iter().find(|(unit, _)| n >= *unit).unwrap_or((1_000, "K"));
    format!("{:.1}{letter}", n as f64 / unit as f64)
}

fn manifest_annotations(spec: &PackageSpec) -> BTreeMap<String, String> {
    let mut notes = spec.annotations.clone();
    notes.insert(layout::ANNOTATION_TITLE.into(), spec.model.name.clone());
    notes.insert(layout::ANNOTATION_VERSION.into(), spec.model.version.to_string());
    if let Some(at) = spec.created_at {
        notes.insert(layout::ANNOTATION_CREATED.into(), at.to_string());
    }
    notes
}

fn layer_descriptor(layer: &Layer) -> Descriptor {
    let mut annotations = BTreeMap::from([(layout::ANNOTATION_TITLE.to_string(), layer.role.title().to_string())]);
    if let [only] = layer.files.as_slice() {
        annotations.insert(layout::ANNOTATION_FILEPATH.into(), only.clone());
    }
    Descriptor {
        media_type: layer.role.media_type().into(),
        artifact_type: None,
        digest: layer.digest.clone(),
        size: layer.size_bytes,
        annotations,
    }
}

/// Writes one tar archive under a passing name, then under its digest.
fn write_layer(role: Role, files: &[&PackFile], work: &Path) -> Result<Layer> {
    let passing = work.join("layer.partial");
    let wrong = |source| Error::io("write", &passing, source);
    let file = fs::File::create(&passing).map_err(wrong)?;
    let mut tar = tar::Builder::new(Hashed::new(io::BufWriter::new(file)));
    for file in files {
        append(&mut tar, file)?;
    }
    let (writer, digest, size_bytes) = tar.into_inner().map_err(wrong)?.finish();
    let file = writer.into_inner().map_err(|problem| wrong(problem.into_error()))?;
    file.sync_all().map_err(wrong)?;
    let blob = layout::blob_path(work, &digest)?;
    fs::rename(&passing, &blob).map_err(|source| Error::io("write", &blob, source))?;
    Ok(Layer { role, digest, size_bytes, files: files.iter().map(|file| file.name.clone()).collect() })
}

fn append<W: Write>(tar: &mut tar::Builder<W>, file: &PackFile) -> Result<()> {
    let (reader, size, place): (Box<dyn Read + '_>, u64, PathBuf) = match &file.content {
        Content::Bytes(bytes) => (Box::new(Cursor::new(bytes)), bytes.len() as u64, PathBuf::from(&file.name)),
        Content::Path(path) => {
            let wrong = |source| Error::io("read", path, source);
            let handle = fs::File::open(path).map_err(wrong)?;
            let metadata = handle.metadata().map_err(wrong)?;
            if !metadata.is_file() {
                return Err(Error::refused(format!("`{}` is not a file", path.display())));
            }
            (Box::new(handle), metadata.len(), path.clone())
        }
    };
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    // One byte more than promised shows that the file grew while it was read.
    let mut reader = Counted { inner: reader.take(size.saturating_add(1)), n_bytes: 0 };
    tar.append_data(&mut header, &file.name, &mut reader).map_err(|source| Error::io("pack", &place, source))?;
    if reader.n_bytes == size {
        Ok(())
    } else {
        Err(Error::refused(format!("`{}` changed while it was packed: expected {size} bytes", place.display())))
    }
}

fn write_blob(bytes: &[u8], media_type: &str, work: &Path) -> Result<Descriptor> {
    let digest = Digest::of(bytes);
    write_file(&layout::blob_path(work, &digest)?, bytes)?;
    Ok(Descriptor {
        media_type: media_type.into(),
        artifact_type: None,
        digest,
        size: bytes.len() as u64,
        annotations: BTreeMap::new(),
    })
}

/// Writes a file and waits until the disk has it.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let wrong = |source| Error::io("write", path, source);
    let mut file = fs::File::create(path).map_err(wrong)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(wrong)
}

/// The folder beside `target` that is worked in until it is whole.
pub(crate) fn sibling(target: &Path, suffix: &str) -> Result<PathBuf> {
    let name =
        target.file_name().ok_or_else(|| Error::refused(format!("`{}` does not name a folder", target.display())))?;
    Ok(target.with_file_name(format!(".{}.{suffix}", name.to_string_lossy())))
}

/// Moves a finished folder to its name. A folder that was there goes aside first and is deleted last.
pub(crate) fn put_in_place(work: &Path, target: &Path) -> Result<()> {
    let old = sibling(target, "old")?;
    remove_if_there(&old)?;
    if target.symlink_metadata().is_ok() {
        fs::rename(target, &old).map_err(|source| Error::io("replace", target, source))?;
    }
    fs::rename(work, target).map_err(|source| Error::io("write", target, source))?;
    remove_if_there(&old)
}

pub(crate) fn remove_if_there(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(problem) if problem.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", dir, problem)),
        _ => Ok(()),
    }
}

/// A writer or reader that hashes what passes.
pub(crate) struct Hashed<T> {
    inner: T,
    hash: Sha256,
    n_bytes: u64,
}

impl<T> Hashed<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner, hash: Sha256::new(), n_bytes: 0 }
    }

    /// What was wrapped, the digest and the number of bytes that passed.
    pub(crate) fn finish(self) -> (T, Digest, u64) {
        (self.inner, Digest::from_hash(&self.hash.finalize()), self.n_bytes)
    }

    fn saw(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.n_bytes += bytes.len() as u64;
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.saw(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.saw(&buffer[..n]);
        Ok(n)
    }
}

/// A reader that counts what passes.
struct Counted<R> {
    inner: R,
    n_bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.n_bytes += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn spec() -> PackageSpec {
        let mut spec = PackageSpec::new(ModelRef::new("support", 3))
            .with_file(PackFile::bytes("tokenizer.json", "{\"a\":1}"))
            .with_file(PackFile::bytes("model.safetensors", vec![7u8; 70_000]))
            .with_file(PackFile::bytes("adapter_model.safetensors", vec![9u8; 1_000]))
            .with_file(PackFile::bytes("adapter_config.json", "{}"))
            .with_file(PackFile::bytes("config.json", "{}"))
            .with_file(PackFile::bytes("README.md", "# Card"));
        spec.n_parameters = Some(5_812_000);
        spec
    }

    #[test]
    fn packed_twice_gives_the_same_digest_and_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let one = pack(&spec(), &dir.path().join("one")).unwrap();
        let mut shuffled = spec();
        shuffled.files.reverse();
        // From disk this time, with another time and mode on the file.
        let weights = dir.path().join("w");
        fs::write(&weights, vec![7u8; 70_000]).unwrap();
        let slot = shuffled.files.iter_mut().find(|file| file.name == "model.safetensors").unwrap();
        slot.content = Content::Path(weights);
        let two = pack(&shuffled, &dir.path().join("two")).unwrap();
        assert_eq!(one, two);
        for name in [layout::INDEX_FILE, layout::LAYOUT_FILE] {
            assert_eq!(
                fs::read(dir.path().join("one").join(name)).unwrap(),
                fs::read(dir.path().join("two").join(name)).unwrap()
            );
        }
        let mut other = spec();
        other.files[0] = PackFile::bytes("tokenizer.json", "{\"a\":2}");
        assert_ne!(pack(&other, &dir.path().join("three")).unwrap().digest, one.digest);
        let mut dated = spec();
        dated.created_at = Some(Timestamp(1));
        assert_ne!(pack(&dated, &dir.path().join("four")).unwrap().digest, one.digest);
    }

    #[test]
    fn an_independent_reader_accepts_the_documents() {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("p");
        let packed = pack(&spec(), &package).unwrap();
        let index = oci_spec::image::ImageIndex::from_file(package.join("index.json")).unwrap();
        let entry = &index.manifests()[0];
        assert_eq!(entry.digest().to_string(), packed.digest.to_string());
        oci_spec::image::OciLayout::from_file(package.join("oci-layout")).unwrap();
        let manifest =
            oci_spec::image::ImageManifest::from_file(layout::blob_path(&package, &packed.digest).unwrap()).unwrap();
        assert_eq!(manifest.artifact_type().as_ref().unwrap().to_string(), layout::ARTIFACT_MODEL);
        let media: Vec<String> = manifest.layers().iter().map(|layer| layer.media_type().to_string()).collect();
        assert_eq!(media, [layout::MEDIA_WEIGHT_CONFIG, layout::MEDIA_WEIGHT, layout::MEDIA_WEIGHT, layout::MEDIA_DOC]);
        let sizes: u64 =
            manifest.layers().iter().map(|layer| layer.size()).sum::<u64>() + manifest.config().size() + entry.size();
        assert_eq!(sizes, packed.size_bytes);
        let mut names: Vec<String> = fs::read_dir(package.join(layout::BLOBS_DIR))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), 6);
        for name in names {
            assert_eq!(Digest::of(&fs::read(package.join(layout::BLOBS_DIR).join(&name)).unwrap()).hex(), name);
        }
    }

    #[test]
    fn nonsense_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let check = |files: Vec<PackFile>| {
            let target = dir.path().join("p");
            let spec = PackageSpec { files, ..PackageSpec::new(ModelRef::new("m", 1)) };
            let error = pack(&spec, &target).unwrap_err();
            assert!(!target.exists());
            error
        };
        let weights = || PackFile::bytes("model.safetensors", "w");
        for name in ["../x", "/etc/x", "a//b", "", ".", "a/../b", "c:\\x", &"n".repeat(101)] {
            assert_eq!(check(vec![weights(), PackFile::bytes(name, "x")]).kind(), Kind::Refused, "{name}");
        }
        assert_eq!(check(vec![weights(), weights()]).kind(), Kind::Refused);
        assert_eq!(check(vec![PackFile::bytes("config.json", "{}")]).kind(), Kind::Refused);
        assert_eq!(check(vec![PackFile::path("model.safetensors", dir.path().join("none"))]).kind(), Kind::Io);
        assert_eq!(check(vec![PackFile::path("model.safetensors", dir.path())]).kind(), Kind::Refused);
    }

    #[test]
    fn a_new_package_replaces_an_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("p");
        pack(&spec(), &target).unwrap();
        let mut smaller = spec();
        smaller.files.retain(|file| file.role == Role::Weights);
        pack(&smaller, &target).unwrap();
        assert_eq!(fs::read_dir(target.join(layout::BLOBS_DIR)).unwrap().count(), 3);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn parameter_counts_as_modelpack_writes_them() {
        for (n, text) in [(900, "0.9K"), (5_812_000, "5.8M"), (134_000_000, "134.0M"), (7_000_000_000, "7.0B")] {
            assert_eq!(param_size(n), text);
        }
    }
}
