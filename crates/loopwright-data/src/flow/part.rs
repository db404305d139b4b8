//! The segments of a phase, and rows as several phases together left them.
//!
//! A row phase writes rows. A set phase writes no rows again, only each row's [`Fate`]: one byte, or a few with a place
//! in a split, or the new text of a row that it changes. Whoever reads rows reads those of the last row phase through the fates of the set phases after it.

use super::segment::{self, Block};
use crate::{
    Error, Result,
    book::Book,
    draft::Draft,
    rows::{ChangedRow, OfStep, rewrite::Rewritten},
};
use loopwright_types::{Split, dataset::DroppedRow};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// An empty folder: what lies in it goes.
pub(crate) fn emptied(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file("empty", folder, error)),
        _ => fs::create_dir_all(folder).map_err(|error| Error::file("create", folder, error)),
    }
}

/// What is to be known of a segment beside its rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartBook {
    /// The steps' counts.
    pub(crate) book: Book,
    /// How many source rows it was made of, and their hash; only the first phase reads source rows.
    pub(crate) n_source_rows: u64,
    pub(crate) source_hash: u64,
    /// Bytes of text that went in.
    pub(crate) n_bytes: u64,
}

/// What became of a row in a set phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Fate {
    /// It is left out.
    Out,
    /// It stays as it is.
    Stays,
    /// It stays, in this cluster.
    Clustered(u64),
    /// It stays, in this cluster and split.
    Placed(u64, Split),
    /// It stays, with another text.
    Rewritten(Box<Rewritten>),
}

/// The file of a phase's segment with this number.
pub(crate) fn path(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("part-{index:06}"))
}

/// How many segments a finished phase has: they are numbered without gaps.
pub(crate) fn count(folder: &Path) -> usize {
    (0..).take_while(|index| path(folder, *index).exists()).count()
}

/// The book of each of a phase's segments added up. A phase without segments has none.
pub(crate) fn book(folder: &Path) -> Result<Option<PartBook>> {
    let mut sum: Option<PartBook> = None;
    for index in 0..count(folder) {
        let part: PartBook = segment::read(&path(folder, index), Block::Book)?;
        match &mut sum {
            None => sum = Some(part),
            Some(sum) => {
                sum.book.add(part.book);
                sum.n_source_rows += part.n_source_rows;
                sum.n_bytes += part.n_bytes;
            }
        }
    }
    Ok(sum)
}

/// Rows that were left out.
pub(crate) fn dropped(folder: &Path, index: usize) -> Result<Vec<OfStep<DroppedRow>>> {
    segment::read(&path(folder, index), Block::Dropped)
}

/// Changes of rows.
pub(crate) fn changed(folder: &Path, index: usize) -> Result<Vec<OfStep<ChangedRow>>> {
    segment::read(&path(folder, index), Block::Changed)
}

/// The rows that are left after some phases.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    /// The folder of the last row phase.
    written: PathBuf,
    /// The folders of the set phases since then.
    sieves: Vec<PathBuf>,
    /// Number of segments.
    pub(crate) n_parts: usize,
}

impl Rows {
    /// The rows of a finished row phase.
    pub(crate) fn of(folder: PathBuf) -> Self {
        let n_parts = count(&folder);
        Self { written: folder, sieves: Vec::new(), n_parts }
    }

    /// These rows after a finished set phase.
    pub(crate) fn through(mut self, folder: PathBuf) -> Self {
        self.sieves.push(folder);
        self
    }

    /// The rows of one segment.
    pub(crate) fn part(&self, index: usize) -> Result<Vec<Draft>> {
        let mut drafts: Vec<Draft> = segment::read(&path(&self.written, index), Block::Rows)?;
        for sieve in &self.sieves {
            let fates: Vec<Fate> = segment::read(&path(sieve, index), Block::Rows)?;
            drafts = sift(drafts, fates);
        }
        Ok(drafts)
    }
}

fn sift(drafts: Vec<Draft>, fates: Vec<Fate>) -> Vec<Draft> {
    let rows = drafts.into_iter().zip(fates);
    rows.filter_map(|(mut draft, fate)| {
        match fate {
            Fate::Out => return None,
            Fate::Stays => {}
            Fate::Clustered(cluster) => draft.cluster = cluster,
            Fate::Placed(cluster, split) => (draft.cluster, draft.split) = (cluster, Some(split)),
            Fate::Rewritten(rewritten) => {
                rewritten.put_into(&mut draft.row);
            }
        }
        Some(draft)
    })
    .collect()
}

/// Bytes of text.
pub(crate) fn text_bytes(drafts: &[Draft]) -> u64 {
    drafts.iter().map(|draft| draft.row.text.len() as u64).sum()
}
