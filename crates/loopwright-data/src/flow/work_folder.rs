//! The folder that a flow works in, and what is written there about how far it came.
//!
//! ```text
//! flow.json          what the flow is (a digest) and which phases are done
//! flow.lock          held while somebody works here
//! 00-rows/part-…     segments of the phase's rows
//! 01-exact_dedup/…   segments of what became of them
//! …/scratch/         what a phase needs while it runs; it is emptied when the phase ends
//! ```

use super::segment;
use crate::{Error, Result};
use loopwright_types::Digest;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// The format of everything in the folder. A change of the segments or of what a phase means is another format.
const FORMAT: u32 = 2;
const MANIFEST: &str = "flow.json";
const LOCK: &str = "flow.lock";
const SCRATCH: &str = "scratch";

/// How far the flow came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    identity: Digest,
    done: Vec<String>,
}

/// An open work folder, locked against others as long as it is held.
#[derive(Debug)]
pub(crate) struct WorkFolder {
    dir: PathBuf,
    manifest: Manifest,
    _lock: File,
}

impl WorkFolder {
    /// Opens the folder for the flow with this identity: makes it, or goes on where that flow stopped. The folder of
    /// another flow is refused.
    pub(crate) fn open(dir: &Path, identity: Digest) -> Result<Self> {
        let lock = lock(dir)?;
        let manifest = match read_manifest(dir)? {
            None => Manifest { format: FORMAT, identity, done: Vec::new() },
            Some(found) if found.format != FORMAT => {
                return Err(Error::work_folder(dir, format!("its format is {}, expected {FORMAT}", found.format)));
            }
            Some(found) if found.identity != identity => {
                return Err(Error::work_folder(dir, "another recipe, seed or input was begun in it"));
            }
            Some(found) => found,
        };
        let folder = Self { dir: dir.to_path_buf(), manifest, _lock: lock };
        write_manifest(dir, &folder.manifest)?;
        Ok(folder)
    }

    /// Whether a phase was finished.
    pub(crate) fn is_done(&self, phase: &str) -> bool {
        self.manifest.done.iter().any(|done| done == phase)
    }

    /// The folder of a phase.
    pub(crate) fn phase(&self, phase: &str) -> Result<PathBuf> {
        made(self.dir.join(phase))
    }

    /// An empty folder for what a phase needs while it runs.
    pub(crate) fn scratch(&self, phase: &str) -> Result<PathBuf> {
        let scratch = self.dir.join(phase).join(SCRATCH);
        remove(&scratch)?;
        made(scratch)
    }

    /// Notes that a phase is finished.
    pub(crate) fn finish(&mut self, phase: &str) -> Result<()> {
        remove(&self.dir.join(phase).join(SCRATCH))?;
        self.manifest.done.push(phase.to_string());
        write_manifest(&self.dir, &self.manifest)
    }
}

fn write_manifest(dir: &Path, manifest: &Manifest) -> Result<()> {
    let json = serde_json::to_vec_pretty(manifest).map_err(|error| Error::outside("write a manifest", error))?;
    segment::write_whole(&dir.join(MANIFEST), &[&json])
}

/// Empties a work folder: the flow's own files and folders, nothing else. A folder that somebody works in is refused.
pub fn clear(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    let _lock = lock(dir)?;
    let failed = |error| Error::file("read", dir, error);
    // Nobody's flow has this identity: if we are stopped half-way, the rest is never taken for finished work.
    write_manifest(dir, &Manifest { format: FORMAT, identity: Digest::of(b"cleared"), done: Vec::new() })?;
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if is_phase(&entry.file_name().to_string_lossy()) {
            remove(&entry.path())?;
        }
    }
    remove(&dir.join(MANIFEST))?;
    remove(&dir.join(LOCK))
}

/// Phase folders begin with two digits and a hyphen.
fn is_phase(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() > 3 && bytes[..2].iter().all(u8::is_ascii_digit) && bytes[2] == b'-'
}

fn lock(dir: &Path) -> Result<File> {
    let path = made(dir.to_path_buf())?.join(LOCK);
    let file = File::create(&path).map_err(|error| Error::file("create", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::work_folder(dir, "another flow works in it right now")),
        Err(TryLockError::Error(error)) => Err(Error::file("lock", &path, error)),
    }
}

fn read_manifest(dir: &Path) -> Result<Option<Manifest>> {
    let path = dir.join(MANIFEST);
    match fs::read(&path) {
        Ok(json) => serde_json::from_slice(&json)
            .map(Some)
            .map_err(|error| Error::work_folder(dir, format!("its `{MANIFEST}` cannot be read: {error}"))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", &path, error)),
    }
}

fn made(dir: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&dir).map_err(|error| Error::file("create", &dir, error))?;
    Ok(dir)
}

/// Removes a file or a folder, if it is there.
fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file("remove", path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn open(dir: &Path, identity: &str) -> Result<WorkFolder> {
        WorkFolder::open(dir, Digest::of(identity.as_bytes()))
    }

    #[test]
    fn a_folder_remembers_what_is_done_and_for_whom() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = open(dir.path(), "a").unwrap();
        let scratch = folder.scratch("00-rows").unwrap();
        fs::write(scratch.join("x"), "y").unwrap();
        folder.finish("00-rows").unwrap();
        assert!(!scratch.exists());
        assert_eq!(open(dir.path(), "a").unwrap_err().kind(), Kind::WorkFolder, "one at a time");
        drop(folder);
        let folder = open(dir.path(), "a").unwrap();
        assert!(folder.is_done("00-rows") && !folder.is_done("01-split"));
        drop(folder);
        let error = open(dir.path(), "b").unwrap_err();
        assert!(error.to_string().contains("another recipe"), "{error}");
        clear(dir.path()).unwrap();
        assert!(!open(dir.path(), "b").unwrap().is_done("00-rows"));
    }

    #[test]
    fn clearing_leaves_what_is_not_the_flows() {
        let dir = tempfile::tempdir().unwrap();
        clear(&dir.path().join("nowhere")).unwrap();
        fs::write(dir.path().join("notes.txt"), "mine").unwrap();
        let folder = open(dir.path(), "a").unwrap();
        folder.phase("00-rows").unwrap();
        assert_eq!(clear(dir.path()).unwrap_err().kind(), Kind::WorkFolder);
        drop(folder);
        clear(dir.path()).unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["notes.txt"]);
    }

    #[test]
    fn a_manifest_of_another_format_or_none_at_all_is_refused() {
        for (json, expected) in
            [("{", "cannot be read"), (r#"{"format": 9, "identity": "sha256:0", "done": []}"#, "is 9")]
        {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(MANIFEST), json).unwrap();
            let error = open(dir.path(), "a").unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
