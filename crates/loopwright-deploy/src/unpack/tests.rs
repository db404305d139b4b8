//! Packages made wrong in every way we could think of.

use super::*;
use crate::{
    Kind,
    layout::{ModelDescriptor, ModelFacts, ModelFs},
    package::{PackFile, PackageSpec, pack},
};
use loopwright_types::ModelRef;
use std::{collections::BTreeMap, path::PathBuf};

fn good(dir: &Path) -> PathBuf {
    let spec = PackageSpec::new(ModelRef::new("support", 1))
        .with_file(PackFile::bytes("config.json", "{\"hidden_size\": 8}"))
        .with_file(PackFile::bytes("model.safetensors", (0..5_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>()));
    let package = dir.join("package");
    pack(&spec, &package).unwrap();
    package
}

fn blobs(package: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(package.join(layout::BLOBS_DIR)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn refused(package: &Path, said: &str) {
    let target = package.with_file_name("out");
    let error = unpack(package, &target, &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    assert!(error.to_string().contains(said), "`{error}` does not say `{said}`");
    assert!(!target.exists(), "something was unpacked: {error}");
    assert!(open(package, &Limits::default()).is_err());
}

#[test]
fn what_was_packed_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let package = good(dir.path());
    let opened = open(&package, &Limits::default()).unwrap();
    let out = dir.path().join("out");
    assert_eq!(unpack(&package, &out, &Limits::default()).unwrap(), opened);
    assert_eq!(opened.config.descriptor.name, "support");
    let names: Vec<&str> = opened.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["config.json", "model.safetensors"]);
    for file in &opened.files {
        let bytes = fs::read(out.join(&file.name)).unwrap();
        assert_eq!((Digest::of(&bytes), bytes.len() as u64), (file.digest.clone(), file.size_bytes));
    }
    assert_eq!(fs::read(out.join("config.json")).unwrap(), b"{\"hidden_size\": 8}");
}

#[test]
fn a_flipped_byte_anywhere_is_found_and_its_blob_named() {
    let dir = tempfile::tempdir().unwrap();
    let package = good(dir.path());
    for blob in blobs(&package) {
        let bytes = fs::read(&blob).unwrap();
        let hex = blob.file_name().unwrap().to_str().unwrap().to_string();
        for at in [0, bytes.len() / 3, bytes.len() - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            fs::write(&blob, &flipped).unwrap();
            refused(&package, &hex);
        }
        fs::write(&blob, &bytes[..bytes.len() - 1]).unwrap();
        refused(&package, &hex);
        fs::remove_file(&blob).unwrap();
        refused(&package, &format!("blob sha256:{hex} is missing"));
        fs::write(&blob, &bytes).unwrap();
    }
    open(&package, &Limits::default()).expect("whole again");
}

#[test]
fn a_stranger_among_the_blobs_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let package = good(dir.path());
    fs::write(package.join(layout::BLOBS_DIR).join("stranger"), "x").unwrap();
    refused(&package, "`stranger` is not named");
}

#[cfg(unix)]
#[test]
fn a_link_in_place_of_a_blob_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let package = good(dir.path());
    let blob = blobs(&package).remove(0);
    let away = dir.path().join("away");
    fs::rename(&blob, &away).unwrap();
    std::os::unix::fs::symlink(&away, &blob).unwrap();
    refused(&package, "not a plain file");
}

/// A package, consistent in itself, around any layer bytes.
fn around(dir: &Path, layer: &[u8], media_type: &str) -> PathBuf {
    let package = dir.join("made");
    remove_if_there(&package).unwrap();
    fs::create_dir_all(package.join(layout::BLOBS_DIR)).unwrap();
    let put = |bytes: &[u8], media_type: &str| {
        let digest = Digest::of(bytes);
        fs::write(layout::blob_path(&package, &digest).unwrap(), bytes).unwrap();
        Descriptor {
            media_type: media_type.into(),
            artifact_type: None,
            digest,
            size: bytes.len() as u64,
            annotations: BTreeMap::new(),
        }
    };
    let layer = put(layer, media_type);
    let config = ModelConfig {
        descriptor: ModelDescriptor { created_at: None, name: "m".into(), version: "1".into() },
        config: ModelFacts { architecture: "transformer".into(), format: "safetensors".into(), param_size: None },
        modelfs: ModelFs { r#type: "layers".into(), diff_ids: vec![layer.digest.clone()] },
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: layout::MEDIA_MANIFEST.into(),
        artifact_type: layout::ARTIFACT_MODEL.into(),
        config: put(&layout::to_json(&config), layout::MEDIA_CONFIG),
        layers: vec![layer],
        annotations: BTreeMap::new(),
    };
    let entry = put(&layout::to_json(&manifest), layout::MEDIA_MANIFEST);
    let index = Index { schema_version: 2, media_type: layout::MEDIA_INDEX.into(), manifests: vec![entry] };
    fs::write(package.join(layout::INDEX_FILE), layout::to_json(&index)).unwrap();
    fs::write(package.join(layout::LAYOUT_FILE), "{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();
    package
}

/// One tar entry, its name written straight into the header past the library's own checks.
fn entry(name: &str, kind: tar::EntryType, size: u64, data: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    if kind == tar::EntryType::Symlink {
        header.set_link_name_literal("/etc/passwd").unwrap();
    }
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(data);
    bytes.resize(bytes.len().div_ceil(512) * 512, 0);
    bytes
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

#[test]
fn hostile_entries_are_refused_by_name() {
    use tar::EntryType::{Directory, GNULongName, GNUSparse, Link, Regular, Symlink, XHeader};
    let dir = tempfile::tempdir().unwrap();
    let check = |layer: Vec<u8>, said: &str| refused(&around(dir.path(), &layer, layout::MEDIA_WEIGHT), said);
    for name in ["../../escape", "/etc/cron.d/x", "a/../../b", "./../x", "a\\..\\b", "c:x"] {
        check(archive(&[entry(name, Regular, 1, b"x")]), "leaves the folder");
    }
    for kind in [Symlink, Link, Directory, GNULongName, GNUSparse, XHeader] {
        check(archive(&[entry("model.safetensors", kind, 0, b"")]), "expected a plain file");
    }
    check(archive(&[entry("big", Regular, 1 << 32, b"x")]), "claims 4294967296 bytes");
    check(entry("short", Regular, 1_000, b"x"), "ends after");
    check(archive(&[entry("twice", Regular, 1, b"x"), entry("twice", Regular, 1, b"y")]), "occurs twice");
    check(b"this is no archive, though it is longer than a tar header would be ".repeat(10), "not a valid archive");
    refused(&around(dir.path(), &archive(&[]), "application/vnd.cncf.model.weight.v1.tar+gzip"), "not one of ours");
}

#[test]
fn limits_hold() {
    let dir = tempfile::tempdir().unwrap();
    let regular = tar::EntryType::Regular;
    let package = around(
        dir.path(),
        &archive(&[entry("a", regular, 600, &[1; 600]), entry("b", regular, 600, &[2; 600])]),
        layout::MEDIA_WEIGHT,
    );
    let check = |limits: Limits| open(&package, &limits).map(|opened| opened.files.len()).map_err(|error| error.kind());
    let wide = Limits::default();
    assert_eq!(check(wide), Ok(2));
    assert_eq!(check(Limits { n_files_max: 1, ..wide }), Err(Kind::Damaged));
    assert_eq!(check(Limits { file_bytes_max: 599, ..wide }), Err(Kind::Damaged));
    assert_eq!(check(Limits { total_bytes_max: 1_199, ..wide }), Err(Kind::Damaged));
}

#[test]
fn a_digest_cannot_point_outside() {
    let dir = tempfile::tempdir().unwrap();
    let package = good(dir.path());
    let index = fs::read_to_string(package.join(layout::INDEX_FILE)).unwrap();
    let digest = open(&package, &Limits::default()).unwrap().digest;
    fs::write(package.join(layout::INDEX_FILE), index.replace(digest.as_str(), "sha256:../../../../etc/hostname"))
        .unwrap();
    refused(&package, "bad digest");
}
