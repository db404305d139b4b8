//! Sources of every format, written to a folder of their own and read back as a stream.

// The functions around the tests stop a test where it should stop.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod arrow_tables;
mod child;
mod folders;
mod hostile;
mod real;
mod texts;

use loopwright_sources::{Conversation, Error, OpenSettings, Read, Record, Spec, open};
use loopwright_types::dataset::RejectedRow;
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Everything that a source gives.
#[derive(Debug, Default)]
struct All {
    rows: Vec<Record>,
    rejected: Vec<RejectedRow>,
    error: Option<Error>,
}

impl All {
    fn of(reads: impl Iterator<Item = Result<Read, Error>>) -> Self {
        let mut all = Self::default();
        for read in reads {
            match read {
                Ok(Read::Row(row)) => all.rows.push(*row),
                Ok(Read::Rejected(row)) => all.rejected.push(row),
                Err(error) => all.error = Some(error),
            }
        }
        all
    }

    fn texts(&self) -> Vec<&str> {
        assert_eq!(self.error, None);
        self.rows.iter().map(|row| row.text.as_str()).collect()
    }

    /// The error's text, which must name a place and give a hint.
    fn error_text(&self) -> String {
        let text = self.error.as_ref().expect("an error").to_string();
        assert!(text.contains('`') && text.contains("\nhint: "), "{text}");
        text
    }

    fn n_turns(&self) -> usize {
        let turns = |row: &Record| match &row.conversation {
            Some(Conversation::Turns(turns)) => turns.len(),
            _ => 0,
        };
        self.rows.iter().map(turns).sum()
    }
}

fn at(path: &Path) -> Spec {
    Spec { location: path.to_string_lossy().into_owned(), ..Spec::default() }
}

fn read(spec: &Spec) -> All {
    All::of(open(spec, &OpenSettings::default()))
}

/// A folder with files of these names and contents.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    folder
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn datasets() -> Option<PathBuf> {
    let path = std::env::var_os("LOOPWRIGHT_DATASETS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/datasets")), PathBuf::from);
    if !path.is_dir() {
        println!("skipped: no datasets at {}", path.display());
        return None;
    }
    Some(path)
}
