//! What every object store must do.

use crate::{Kind, ObjectKey, Objects, Result};
use bytes::Bytes;
use loopwright_types::{ModelRef, id::RunId};

/// Runs all checks; see the module's text.
pub async fn objects_conformance(objects: &Objects) -> Result<()> {
    objects_are_whole(objects).await?;
    folders_are_listed_and_removed(objects).await
}

async fn objects_are_whole(objects: &Objects) -> Result<()> {
    let key = ObjectKey::Report { name: "gate.md".into() };
    assert!(!objects.exists(&key).await?);
    assert_eq!(objects.get(&key).await.expect_err("nothing is there").kind(), Kind::NotFound);
    let large = Bytes::from((0..3_000_000u32).map(|i| (i % 251) as u8).collect::<Vec<u8>>());
    for bytes in [Bytes::from_static(b"first"), large, Bytes::new()] {
        objects.put(&key, bytes.clone()).await?;
        assert!(objects.exists(&key).await?);
        assert_eq!(objects.get(&key).await?, bytes);
    }
    objects.delete(&key).await?;
    assert!(!objects.exists(&key).await?);
    // Deleting what is not there is no mistake: a rerun does it.
    objects.delete(&key).await
}

async fn folders_are_listed_and_removed(objects: &Objects) -> Result<()> {
    let file =
        |version, file: &str| ObjectKey::ModelFile { model: ModelRef::new("a b/ü", version), file: file.into() };
    let dir = |version| ObjectKey::ModelDir { model: ModelRef::new("a b/ü", version) };
    for (version, name, size) in [(1, "b", 2), (1, "a", 1), (1, "o p", 3), (10, "b", 4)] {
        objects.put(&file(version, name), Bytes::from(vec![7; size])).await?;
    }
    let listed = objects.list(&dir(1)).await?;
    let expected = [("a", 1), ("b", 2), ("o p", 3)].map(|(name, size)| (name.to_string(), size));
    assert_eq!(listed, expected);
    let blob = ObjectKey::Package { model: ModelRef::new("p", 1), path: "blobs/sha256/x".into() };
    objects.put(&blob, Bytes::from_static(b"x")).await?;
    let package = ObjectKey::PackageDir { model: ModelRef::new("p", 1) };
    assert_eq!(objects.list(&package).await?, [("blobs/sha256/x".to_string(), 1)]);

    objects.delete_prefix(&dir(1)).await?;
    assert_eq!(objects.list(&dir(1)).await?, []);
    assert_eq!(objects.list(&dir(10)).await?.len(), 1, "version 10 is not version 1");
    let nothing = ObjectKey::CheckpointDir { run: RunId::new("none") };
    objects.delete_prefix(&nothing).await?;
    assert_eq!(objects.list(&nothing).await?, []);
    assert_eq!(objects.list(&ObjectKey::Root).await?.len(), 2);
    objects.delete_prefix(&ObjectKey::Root).await?;
    assert_eq!(objects.list(&ObjectKey::Root).await?, []);
    objects.put(&blob, Bytes::from_static(b"again")).await
}
