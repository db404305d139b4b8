//! Files of any size: models, checkpoints, packages, receipts, reports.
//!
//! [`ObjectKey`] owns every path; on disk an object is a plain file under `.loopwright/objects/`, so other programs
//! can read it, and a stage that needs a real folder gets it from [`Objects::local_dir`].

use crate::{Error, Kind, Result, error::Doing, key::ObjectKey};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, memory::InMemory, path::Path};
use std::{
    fs,
    path::{Path as DiskPath, PathBuf},
    sync::Arc,
};

/// The objects of a project. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    disk_root: Option<PathBuf>,
}

impl Objects {
    /// Objects in a folder, which is made if it is not there.
    pub fn on_disk(root: &DiskPath) -> Result<Self> {
        let opening = || format!("open the object folder `{}`", root.display());
        fs::create_dir_all(root).doing(opening)?;
        let store = Arc::new(LocalFileSystem::new_with_prefix(root).doing(opening)?);
        Ok(Self { store, disk_root: Some(root.to_path_buf()) })
    }

    /// Objects that are gone with the process.
    pub fn in_memory() -> Self {
        Self::in_store(Arc::new(InMemory::new()))
    }

    /// Objects in any object store.
    pub fn in_store(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, disk_root: None }
    }

    /// Writes an object whole, replacing what was there: whoever reads sees the old bytes or the new, never a part.
    pub async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<()> {
        let put = self.store.put(&path(key)?, bytes.into()).await;
        put.doing(|| format!("write object `{}`", key.path())).map(|_| ())
    }

    /// Reads an object whole.
    pub async fn get(&self, key: &ObjectKey) -> Result<Bytes> {
        let reading = || format!("read object `{}`", key.path());
        self.store.get(&path(key)?).await.doing(reading)?.bytes().await.doing(reading)
    }

    /// Is there an object with this key?
    pub async fn exists(&self, key: &ObjectKey) -> Result<bool> {
        match self.store.head(&path(key)?).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error).doing(|| format!("look for object `{}`", key.path())),
        }
    }

    /// All objects in a folder and its sub-folders: path inside the folder and size in bytes, sorted by path.
    pub async fn list(&self, folder: &ObjectKey) -> Result<Vec<(String, u64)>> {
        let root = path(folder)?;
        let found = self.store.list(Some(&root)).try_collect::<Vec<_>>().await;
        let found = found.doing(|| format!("list objects in `{}`", folder.path()))?;
        let inside = |location: &Path| {
            let parts: Vec<_> =
                location.prefix_match(&root)?.map(|part| crate::key::unescaped(part.as_ref())).collect();
            Some(parts.join("/"))
        };
        let mut files: Vec<_> = found.iter().filter_map(|it| Some((inside(&it.location)?, it.size))).collect();
        files.sort();
        Ok(files)
    }

    /// Removes an object, if it is there.
    pub async fn delete(&self, key: &ObjectKey) -> Result<()> {
        match self.store.delete(&path(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error).doing(|| format!("delete object `{}`", key.path())),
        }
    }

    /// Removes a folder with everything in it, leftovers of interrupted writes included.
    pub async fn delete_prefix(&self, folder: &ObjectKey) -> Result<()> {
        let deleting = || format!("delete objects in `{}`", folder.path());
        if let Some(root) = &self.disk_root {
            return remove_dir(&root.join(folder.path())).doing(deleting);
        }
        let locations = self.store.list(Some(&path(folder)?)).map_ok(|it| it.location);
        let locations = locations.try_collect::<Vec<_>>().await.doing(deleting)?;
        for location in &locations {
            self.store.delete(location).await.doing(deleting)?;
        }
        Ok(())
    }

    /// Where an object or a folder of objects lies on this machine, whether it is there yet or not.
    pub fn local_dir(&self, key: &ObjectKey) -> Result<PathBuf> {
        let in_memory = || Error::new(Kind::Bug, format!("object `{}` has no path: it is not on disk", key.path()));
        Ok(self.disk_root.as_ref().ok_or_else(in_memory)?.join(key.path()))
    }
}

fn path(key: &ObjectKey) -> Result<Path> {
    Path::parse(key.path()).map_err(|_| Error::new(Kind::Bug, format!("`{}` is no object path", key.path())))
}

/// Removes a folder, if it is there.
pub(crate) fn remove_dir(dir: &DiskPath) -> std::io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
