//! Signing packages (OpenSSF model signing v1.0) and single documents.
//!
//! A package's statement lists every file with its SHA-256, sorted by path; its subject's digest is the SHA-256 of
//! those digests in a row (`sigstore/model-transparency`, `model_signing/_signing/signing.py`). The reference verifier
//! accepts it: `model_signing verify key PACKAGE --signature PACKAGE/model.sig --public_key KEY`.
//!
//! A document's statement names the document and its digest; the document itself lies beside the bundle.

use crate::{
    Error, Kind, Result,
    dsse::{Bundle, Statement, only_subject},
    key::{PublicKey, SigningKey},
    layout,
    package::write_file,
    unpack::read_index,
};
use loopwright_types::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, fs, io, path::Path};

/// Predicate type of a model's signature.
pub const PREDICATE_MODEL: &str = "https://model_signing/signature/v1.0";
/// Predicate type of a document's signature.
pub const PREDICATE_DOCUMENT: &str = "urn:loopwright:document:v1";
/// Most files that a package may have to be signed or verified.
pub const FILES_MAX: usize = 10_000;

#[derive(Debug, Serialize, Deserialize)]
struct ModelPredicate {
    serialization: Serialization,
    resources: Vec<Resource>,
}

/// How the list of files was made.
#[derive(Debug, Serialize, Deserialize)]
struct Serialization {
    method: String,
    hash_type: String,
    allow_symlinks: bool,
    #[serde(default)]
    ignore_paths: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct DocumentPredicate {
    size_bytes: u64,
}

/// A package whose signature holds for every file in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// The name that was signed, e.g. `support@2`.
    pub name: String,
    /// Fingerprint of the key that signed.
    pub signed_by: String,
    /// Digest of the package's manifest.
    pub manifest: Digest,
    /// Files covered.
    pub n_files: u64,
}

/// Signs every file of a package under a name and writes the bundle into it as `model.sig`. Blocking.
pub fn sign_package(package: &Path, name: &str, key: &SigningKey) -> Result<Bundle> {
    // What a killed call may have left behind.
    let passing = package.join(format!(".{}.partial", layout::SIGNATURE_FILE));
    match fs::remove_file(&passing) {
        Err(problem) if problem.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &passing, problem));
        }
        _ => {}
    }
    let files = hash_files(package)?;
    let predicate = ModelPredicate {
        serialization: Serialization {
            method: "files".into(),
            hash_type: "sha256".into(),
            allow_symlinks: false,
            ignore_paths: vec![layout::SIGNATURE_FILE.into()],
        },
        resources: files
            .iter()
            .map(|(name, digest)| Resource {
                name: name.0.clone(),
                algorithm: "sha256".into(),
                digest: digest.hex().into(),
            })
            .collect(),
    };
    let root = root_digest(&predicate.resources)?;
    let bundle = Bundle::sign(&Statement::about(name, &root, PREDICATE_MODEL, predicate), key);
    let target = package.join(layout::SIGNATURE_FILE);
    write_file(&passing, &bundle.to_json())?;
    fs::rename(&passing, &target).map_err(|source| Error::io("write", &target, source))?;
    Ok(bundle)
}

/// The bundle that lies in a package.
pub fn read_bundle(package: &Path) -> Result<Bundle> {
    let path = package.join(layout::SIGNATURE_FILE);
    if !path.exists() {
        return Err(Error::untrusted(format!("the package `{}` is not signed", package.display())));
    }
    Bundle::from_json(&layout::read_document(&path)?)
}

/// Checks that a trusted key signed exactly the files that are in the package: none changed, missing or added. Blocking.
///
/// Compare [`Verified::name`] with the model that is to be served: a valid package of another model is valid, too.
pub fn verify_package(package: &Path, bundle: &Bundle, trusted: &[PublicKey]) -> Result<Verified> {
    let (statement, key) = bundle.statement::<ModelPredicate>(PREDICATE_MODEL, trusted)?;
    let (name, root) = only_subject(&statement)?;
    let how = &statement.predicate.serialization;
    if how.method != "files" || how.hash_type != "sha256" || how.allow_symlinks {
        return Err(Error::untrusted("expected a signature over plain files by SHA-256"));
    }
    if root_digest(&statement.predicate.resources)? != root {
        return Err(Error::untrusted("the signed list of files does not fit its own digest"));
    }
    let signed: BTreeMap<&str, &str> =
        statement.predicate.resources.iter().map(|file| (file.name.as_str(), file.digest.as_str())).collect();
    let found = hash_files(package)?;
    for (FilePath(file), digest) in &found {
        match signed.get(file.as_str()) {
            None => return Err(Error::untrusted(format!("`{file}` is in the package but was not signed"))),
            Some(expected) if *expected != digest.hex() => {
                return Err(Error::untrusted(format!(
                    "`{file}` is not what was signed: expected sha256:{expected}, got {digest}"
                )));
            }
            Some(_) => {}
        }
    }
    if let Some(file) = signed.keys().find(|file| !found.contains_key(&FilePath(file.to_string()))) {
        return Err(Error::untrusted(format!("`{file}` was signed but is not in the package")));
    }
    Ok(Verified {
        name: name.into(),
        signed_by: key.fingerprint(),
        manifest: read_index(package)?.digest,
        n_files: found.len() as u64,
    })
}

/// Signs one document, such as a receipt, under a name. The document is not in the bundle.
pub fn sign_bytes(name: &str, bytes: &[u8], key: &SigningKey) -> Bundle {
    let predicate = DocumentPredicate { size_bytes: bytes.len() as u64 };
    Bundle::sign(&Statement::about(name, Digest::of(bytes).hex(), PREDICATE_DOCUMENT, predicate), key)
}

/// Checks that a trusted key signed these bytes under this name; tells the key's fingerprint.
pub fn verify_bytes(name: &str, bytes: &[u8], bundle: &Bundle, trusted: &[PublicKey]) -> Result<String> {
    let (statement, key) = bundle.statement::<DocumentPredicate>(PREDICATE_DOCUMENT, trusted)?;
    let (signed_name, digest) = only_subject(&statement)?;
    if signed_name != name {
        return Err(Error::untrusted(format!("the signature is for `{signed_name}`, expected `{name}`")));
    }
    if digest != Digest::of(bytes).hex() || statement.predicate.size_bytes != bytes.len() as u64 {
        return Err(Error::untrusted(format!("`{name}` is not what was signed")));
    }
    Ok(key.fingerprint())
}

/// A relative path with `/`, in the order of its parts, as the reference implementation sorts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FilePath(String);

impl Ord for FilePath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.split('/').cmp(other.0.split('/'))
    }
}

impl PartialOrd for FilePath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn root_digest(resources: &[Resource]) -> Result<String> {
    let mut hash = Sha256::new();
    for file in resources {
        let digest = hex::decode(&file.digest).ok().filter(|digest| digest.len() == 32 && file.algorithm == "sha256");
        hash.update(digest.ok_or_else(|| Error::untrusted(format!("expected a SHA-256 digest for `{}`", file.name)))?);
    }
    Ok(hex::encode(hash.finalize()))
}

/// Every file under a package but its signature, with its digest.
fn hash_files(package: &Path) -> Result<BTreeMap<FilePath, Digest>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![(package.to_path_buf(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let wrong = |source| Error::io("read", &folder, source);
        for entry in fs::read_dir(&folder).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            let name = entry
                .file_name()
                .into_string()
                .map_err(|name| Error::damaged(format!("`{}` has a name that is not text", name.to_string_lossy())))?;
            let path = format!("{prefix}{name}");
            if path == layout::SIGNATURE_FILE {
                continue;
            }
            if entry.file_type().map_err(wrong)?.is_dir() {
                folders.push((entry.path(), format!("{path}/")));
            } else {
                files.insert(FilePath(path), hash_file(&entry.path())?);
            }
            if files.len() > FILES_MAX {
                return Err(Error::refused(format!("`{}` has more than {FILES_MAX} files", package.display())));
            }
        }
    }
    Ok(files)
}

fn hash_file(path: &Path) -> Result<Digest> {
    let (mut file, _) = layout::open_plain(path).map_err(|problem| match problem.kind() {
        Kind::Damaged => Error::untrusted(format!("{problem}, so it cannot be signed")),
        _ => problem,
    })?;
    let mut sink = crate::package::Hashed::new(io::sink());
    io::copy(&mut file, &mut sink).map_err(|source| Error::io("read", path, source))?;
    Ok(sink.finish().1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::{PackFile, PackageSpec, pack};
    use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
    use loopwright_types::ModelRef;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    use std::path::PathBuf;

    fn key(seed: u64) -> SigningKey {
        SigningKey::generate(&mut ChaCha8Rng::seed_from_u64(seed))
    }

    fn package(dir: &Path, version: u32) -> PathBuf {
        let package = dir.join(format!("v{version}"));
        let spec = PackageSpec::new(ModelRef::new("support", version))
            .with_file(PackFile::bytes("model.safetensors", vec![version as u8; 999]));
        pack(&spec, &package).unwrap();
        package
    }

    fn untrusted(result: Result<Verified>, said: &str) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Untrusted, "{error}");
        assert!(error.to_string().contains(said), "`{error}` does not say `{said}`");
    }

    #[test]
    fn a_signed_package_verifies_and_signing_is_deterministic() {
        let dir = tempfile::tempdir().unwrap();
        let package = package(dir.path(), 1);
        let bundle = sign_package(&package, "support@1", &key(1)).unwrap();
        let verified =
            verify_package(&package, &read_bundle(&package).unwrap(), &[key(2).public(), key(1).public()]).unwrap();
        assert_eq!((verified.name.as_str(), verified.n_files), ("support@1", 5));
        assert_eq!(verified.signed_by, key(1).public().fingerprint());
        assert_eq!(bundle.to_json(), sign_package(&package, "support@1", &key(1)).unwrap().to_json());
        assert_eq!(Bundle::from_json(&bundle.to_json()).unwrap(), bundle);
    }

    #[test]
    fn every_tampering_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let package = package(dir.path(), 1);
        let key = key(1);
        let bundle = sign_package(&package, "support@1", &key).unwrap();
        let trusted = [key.public()];
        let verify = |bundle: &Bundle| verify_package(&package, bundle, &trusted);
        // a changed, an added and a missing file
        let blob = fs::read_dir(package.join(layout::BLOBS_DIR)).unwrap().next().unwrap().unwrap().path();
        let bytes = fs::read(&blob).unwrap();
        fs::write(&blob, [&bytes[..], b"!"].concat()).unwrap();
        untrusted(verify(&bundle), "is not what was signed");
        fs::remove_file(&blob).unwrap();
        untrusted(verify(&bundle), "was signed but is not in the package");
        fs::write(&blob, &bytes).unwrap();
        fs::write(package.join("extra"), "x").unwrap();
        untrusted(verify(&bundle), "`extra` is in the package but was not signed");
        fs::remove_file(package.join("extra")).unwrap();
        verify(&bundle).unwrap();
        // a changed statement
        let mut altered = bundle.clone();
        let payload = String::from_utf8(BASE64.decode(&altered.dsse_envelope.payload).unwrap()).unwrap();
        altered.dsse_envelope.payload = BASE64.encode(payload.replace("support@1", "support@9"));
        untrusted(verify(&altered), "is not one by the key");
        // a changed signature, a removed one, another type
        let mut altered = bundle.clone();
        altered.dsse_envelope.signatures[0].sig = BASE64.encode(b"nonsense");
        untrusted(verify(&altered), "is not one by the key");
        altered.dsse_envelope.signatures.clear();
        untrusted(verify(&altered), "expected one signature");
        let mut altered = bundle.clone();
        altered.dsse_envelope.payload_type = "text/plain".into();
        untrusted(verify(&altered), "payload type");
    }

    #[test]
    fn a_wrong_key_or_the_signature_of_another_package_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (package(dir.path(), 1), package(dir.path(), 2));
        untrusted(read_bundle(&one).and_then(|bundle| verify_package(&one, &bundle, &[])), "is not signed");
        let bundle_one = sign_package(&one, "support@1", &key(1)).unwrap();
        let bundle_two = sign_package(&two, "support@2", &key(1)).unwrap();
        untrusted(verify_package(&one, &bundle_one, &[key(2).public()]), "not trusted");
        untrusted(verify_package(&one, &bundle_two, &[key(1).public()]), "");
        // claiming the other key's hint does not help
        let mut forged = sign_package(&one, "support@1", &key(2)).unwrap();
        forged.verification_material = bundle_one.verification_material.clone();
        untrusted(verify_package(&one, &forged, &[key(1).public()]), "is not one by the key");
    }

    #[test]
    fn documents_are_signed_by_name_and_content() {
        let receipt = b"{\"subject\":\"abc\"}";
        let bundle = sign_bytes("erasure:e1", receipt, &key(1));
        let trusted = [key(1).public()];
        assert_eq!(verify_bytes("erasure:e1", receipt, &bundle, &trusted).unwrap(), key(1).public().fingerprint());
        assert!(verify_bytes("erasure:e2", receipt, &bundle, &trusted).is_err());
        assert!(verify_bytes("erasure:e1", b"{\"subject\":\"abd\"}", &bundle, &trusted).is_err());
        assert!(verify_bytes("erasure:e1", receipt, &bundle, &[key(2).public()]).is_err());
        // a package's signature is no document's signature
        let dir = tempfile::tempdir().unwrap();
        let package = package(dir.path(), 1);
        let other = sign_package(&package, "erasure:e1", &key(1)).unwrap();
        assert!(
            verify_bytes("erasure:e1", receipt, &other, &trusted).unwrap_err().to_string().contains("predicate type")
        );
    }

    #[test]
    fn paths_sort_by_their_parts() {
        let mut paths: Vec<FilePath> = ["b", "a.b", "a/c", "a/b/c"].map(|path| FilePath(path.into())).into();
        paths.sort();
        assert_eq!(paths.iter().map(|path| path.0.as_str()).collect::<Vec<_>>(), ["a/b/c", "a/c", "a.b", "b"]);
    }
}
