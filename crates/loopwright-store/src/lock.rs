//! Locks between processes: a file that the operating system unlocks when its holder ends, however it ends.

use crate::{Error, Kind, Result, error::Doing};
use std::{
    fs::File,
    path::{Path, PathBuf},
};

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct FileLock(#[allow(dead_code)] pub(crate) File);

/// Waits for the lock, off the async threads.
pub(crate) async fn exclusive(path: PathBuf) -> Result<FileLock> {
    let waiting =
        tokio::task::spawn_blocking(move || exclusive_here(&path).doing(|| format!("lock `{}`", path.display())));
    waiting.await.map_err(|_| Error::new(Kind::Bug, "the thread that waited for a lock ended early"))?
}

/// Waits for the lock on this thread: for locks that are held for a moment only.
pub(crate) fn exclusive_here(path: &Path) -> std::io::Result<FileLock> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    file.lock().map(|()| FileLock(file))
}

/// Takes the lock if nobody holds it.
pub(crate) fn try_exclusive(path: &Path) -> Option<FileLock> {
    let file = File::options().create(true).truncate(false).write(true).open(path).ok()?;
    file.try_lock().ok().map(|()| FileLock(file))
}
