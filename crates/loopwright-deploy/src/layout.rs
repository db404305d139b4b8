//! The documents of a package and the names of its parts.
//!
//! A package is an OCI image layout (OCI image specification 1.1, `image-layout.md`) that holds one model in the CNCF
//! ModelPack format (`modelpack/model-spec`, `docs/spec.md`, `schema/config-schema.json`):
//!
//! ```text
//! oci-layout            {"imageLayoutVersion":"1.0.0"}
//! index.json            → manifest
//! blobs/sha256/<hex>    manifest, configuration, layers (tar, not compressed)
//! model.sig             signature over all of the above, once signed
//! ```
//!
//! The structs have maps in key order and no clock, so a document of the same content has the same bytes.

use crate::{Error, Result};
use loopwright_types::Digest;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

/// The layout's marker file.
pub const LAYOUT_FILE: &str = "oci-layout";
/// The list of manifests.
pub const INDEX_FILE: &str = "index.json";
/// The folder of the blobs.
pub const BLOBS_DIR: &str = "blobs/sha256";
/// The signature, beside the files that it covers.
pub const SIGNATURE_FILE: &str = "model.sig";

/// Media type of an OCI index.
pub const MEDIA_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of an OCI manifest.
pub const MEDIA_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// `artifactType` of a model's manifest.
pub const ARTIFACT_MODEL: &str = "application/vnd.cncf.model.manifest.v1+json";
/// Media type of a model's configuration.
pub const MEDIA_CONFIG: &str = "application/vnd.cncf.model.config.v1+json";
/// Media type of a layer with `config.json`, `tokenizer.json` and the like.
pub const MEDIA_WEIGHT_CONFIG: &str = "application/vnd.cncf.model.weight.config.v1.tar";
/// Media type of a layer with weights.
pub const MEDIA_WEIGHT: &str = "application/vnd.cncf.model.weight.v1.tar";
/// Media type of a layer with documents.
pub const MEDIA_DOC: &str = "application/vnd.cncf.model.doc.v1.tar";

/// Annotation with the path of a layer's only file.
pub const ANNOTATION_FILEPATH: &str = "org.cncf.model.filepath";
/// Annotation with a name for people.
pub const ANNOTATION_TITLE: &str = "org.opencontainers.image.title";
/// Annotation with the version.
pub const ANNOTATION_VERSION: &str = "org.opencontainers.image.version";
/// Annotation with the time of making (RFC 3339).
pub const ANNOTATION_CREATED: &str = "org.opencontainers.image.created";
/// Annotation by which tools name a manifest of an index.
pub const ANNOTATION_REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Largest document that is read into memory: 4 MiB, what registries accept for a manifest.
pub const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// A pointer to a blob: what it is, its digest and its length (OCI `descriptor.md`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: String,
    /// On the index's entry: what the manifest describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// SHA-256 of the blob.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// `index.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// Always [`MEDIA_INDEX`].
    pub media_type: String,
    /// Exactly one in our packages.
    pub manifests: Vec<Descriptor>,
}

/// A model's manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Always [`MEDIA_MANIFEST`].
    pub media_type: String,
    /// Always [`ARTIFACT_MODEL`].
    pub artifact_type: String,
    /// The model's configuration.
    pub config: Descriptor,
    /// The layers, in the order of [`crate::package::Role`].
    pub layers: Vec<Descriptor>,
    /// Name, version, and what the caller added.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A model's configuration (ModelPack `config.md`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// Who and when.
    pub descriptor: ModelDescriptor,
    /// Technical facts.
    pub config: ModelFacts,
    /// Digests of the layers.
    pub modelfs: ModelFs,
}

/// The general part of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelDescriptor {
    /// RFC 3339, if the caller gave a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// The model's name.
    pub name: String,
    /// Its version number.
    pub version: String,
}

/// The technical part of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelFacts {
    /// `transformer`.
    pub architecture: String,
    /// `safetensors`.
    pub format: String,
    /// Parameters as `<count><scale>`, e.g. `5.8M`; left out when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param_size: Option<String>,
}

/// Digests of the layers' tar archives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelFs {
    /// Always `layers`.
    pub r#type: String,
    /// In the manifest's order; our layers are not compressed, so they equal the layers' digests.
    pub diff_ids: Vec<Digest>,
}

/// `oci-layout`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayoutMarker {
    /// Always `1.0.0`.
    pub image_layout_version: String,
}

/// Where a blob lies. The digest may come from a stranger's document, so its form is checked here.
pub fn blob_path(package: &Path, digest: &Digest) -> Result<PathBuf> {
    let checked: Digest = digest
        .as_str()
        .parse()
        .map_err(|problem: String| Error::damaged(format!("the package names a bad digest: {problem}")))?;
    Ok(package.join(BLOBS_DIR).join(checked.hex()))
}

/// Opens a file of a package; links and folders are refused.
pub(crate) fn open_plain(path: &Path) -> Result<(fs::File, u64)> {
    let wrong = |source| Error::io("read", path, source);
    let metadata = fs::symlink_metadata(path).map_err(wrong)?;
    if !metadata.file_type().is_file() {
        return Err(Error::damaged(format!("`{}` is not a plain file", path.display())));
    }
    Ok((fs::File::open(path).map_err(wrong)?, metadata.len()))
}

/// Reads a document whole, up to [`DOCUMENT_BYTES_MAX`].
pub(crate) fn read_document(path: &Path) -> Result<Vec<u8>> {
    let (file, size) = open_plain(path)?;
    if size > DOCUMENT_BYTES_MAX {
        return Err(Error::damaged(format!(
            "`{}` has {size} bytes, expected at most {DOCUMENT_BYTES_MAX}",
            path.display()
        )));
    }
    let mut bytes = Vec::new();
    file.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes).map_err(|source| Error::io("read", path, source))?;
    Ok(bytes)
}

/// Parses a document and says which one it was if it cannot.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], path: &Path) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|problem| Error::damaged(format!("`{}` is not a valid document: {problem}", path.display())))
}

/// The bytes of a document.
pub(crate) fn to_json<T: Serialize>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document).expect("our documents have text keys and finite numbers")
}
