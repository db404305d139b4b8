//! Byte strings on disk, found by their number.
//!
//! What a step needs of some rows only, and only later (the text of a candidate, the id of a first row), is put on a
//! shelf while all rows pass by. One file holds the strings, another where each of them begins, eight bytes a row; memory
//! holds neither.

use crate::{Error, Result};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// A shelf that is being filled.
pub(crate) struct ShelfWriter {
    path: PathBuf,
    strings: BufWriter<File>,
    starts: BufWriter<File>,
    end: u64,
}

impl ShelfWriter {
    /// An empty shelf called `name` in `folder`.
    pub(crate) fn create(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        let open = |path: &Path| {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path);
            file.map(BufWriter::new).map_err(|error| Error::file("create", path, error))
        };
        let (strings, starts) = (open(&path)?, open(&path.with_extension("starts"))?);
        Ok(Self { path, strings, starts, end: 0 })
    }

    /// Puts the next string on.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let mut write = || -> io::Result<()> {
            self.starts.write_all(&self.end.to_le_bytes())?;
            self.strings.write_all(bytes)
        };
        write().map_err(|error| Error::file("write", &self.path, error))?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// The shelf, to read from.
    pub(crate) fn finish(mut self) -> Result<Shelf> {
        let path = self.path;
        let failed = |error: io::Error| Error::file("write", &path, error);
        self.starts.write_all(&self.end.to_le_bytes()).map_err(failed)?;
        let strings = self.strings.into_inner().map_err(|error| failed(error.into_error()))?;
        let starts = self.starts.into_inner().map_err(|error| failed(error.into_error()))?;
        Ok(Shelf { path, strings, starts })
    }
}

/// A filled shelf. Threads may read from it at once.
pub(crate) struct Shelf {
    path: PathBuf,
    strings: File,
    starts: File,
}

impl Shelf {
    /// The string with this number, from 0.
    pub(crate) fn read(&self, number: u64) -> Result<Vec<u8>> {
        let read = || -> io::Result<Vec<u8>> {
            let mut bounds = [[0; 8]; 2];
            read_at(&self.starts, bounds.as_flattened_mut(), number * 8)?;
            let [start, end] = bounds.map(u64::from_le_bytes);
            let mut bytes = vec![0; (end - start) as usize];
            read_at(&self.strings, &mut bytes, start)?;
            Ok(bytes)
        };
        read().map_err(|error| Error::file("read", &self.path, error))
    }

    /// The string with this number, which was put on as a text.
    pub(crate) fn read_text(&self, number: u64) -> Result<String> {
        let damaged = |_| Error::work_folder(&self.path, "the file is damaged: it holds no text");
        String::from_utf8(self.read(number)?).map_err(damaged)
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = std::os::windows::fs::FileExt::seek_read(file, bytes, at)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[n..];
        at += n as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_found_by_number() {
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = ShelfWriter::create(folder.path(), "test").unwrap();
        let texts = ["one", "", "zwölf", "🦀"];
        texts.iter().for_each(|text| shelf.push(text.as_bytes()).unwrap());
        let shelf = shelf.finish().unwrap();
        for (number, text) in texts.iter().enumerate().rev() {
            assert_eq!(shelf.read_text(number as u64).unwrap(), *text);
        }
        assert!(shelf.read(4).is_err());
    }
}
