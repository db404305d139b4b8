//! A phase of one step that must see all rows before it can say anything about one.
//!
//! Such a step reads the rows twice. In the first pass it *looks*: it notes of each row only what it needs, a few bytes
//! in memory and the rest on disk. Between the passes it makes up its mind. In the second pass it *judges* row by row.
//! The rows themselves are not written again; what is written is each row's fate.
//!
//! | step | in memory per row | on disk per row while the phase runs |
//! |---|---:|---|
//! | `exact_dedup` | 0 | 24 bytes and the id; 16 bytes per repetition |
//! | `near_dedup` | 8 bytes | 16 bytes per band, the text, the id, half a byte per n-gram |
//! | `label_conflict` | 29 bytes at most, and the classifiers | 8 bytes per different word or pair |
//! | `split` | 21 bytes at most | as `near_dedup`, without the id |
//!
//! A further step of this kind is a type of its own with these two traits, and a line in `looking` of [`super::phases`].

use super::{
    part::{self, Fate, PartBook, Rows},
    segment::{self, encode},
};
use crate::{
    Error, Result,
    book::Book,
    draft::{Draft, Reason, dropped_row},
    rows::{ChangedRow, OfStep},
};
use loopwright_types::dataset::DroppedRow;
use std::path::{Path, PathBuf};

/// A step in its first pass.
pub(crate) trait Looking {
    /// Looks at the next rows.
    fn look(&mut self, drafts: &[Draft]) -> Result<()>;

    /// Makes up its mind once it has seen all rows.
    fn decide(self: Box<Self>) -> Result<Box<dyn Judging>>;
}

/// A step in its second pass.
pub(crate) trait Judging {
    /// Says of the next rows (the same as in the first pass, in the same order) why each goes, if it does. It may also
    /// place rows in clusters and splits.
    fn judge(&mut self, drafts: &mut [Draft]) -> Result<Vec<Option<Reason>>>;
}

/// Where a step may put things aside, and how much memory it may take.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    /// An empty folder.
    pub(crate) folder: PathBuf,
    /// All that the curation may take, in bytes.
    pub(crate) memory_bytes: u64,
    /// The step's name, for refusals.
    pub(crate) step: &'static str,
}

impl Scratch {
    /// How much a sorter may hold. Two may be at work at once, beside a batch of rows and the tables of a step.
    pub(crate) fn sorter_bytes(&self) -> u64 {
        self.memory_bytes / 8
    }

    /// Refuses tables of so many bytes that they would take more than half of the memory.
    pub(crate) fn check_fits(&self, what: impl FnOnce() -> String, needed_bytes: u64) -> Result<()> {
        if needed_bytes <= self.memory_bytes / 2 {
            return Ok(());
        }
        let hint = format!("allow {} bytes or more, or leave the step out", needed_bytes.saturating_mul(2));
        let (step, memory_bytes) = (self.step.to_string(), self.memory_bytes / 2);
        Err(Error::Memory { step, what: what(), needed_bytes, memory_bytes, hint })
    }
}

/// Runs a step over rows and writes what became of them into `folder`. `tell` hears of rows and bytes in each pass.
pub(crate) fn run(
    step: &'static str,
    mut looking: Box<dyn Looking>,
    rows: &Rows,
    folder: &Path,
    tell: &mut dyn FnMut(Pass, u64, u64) -> Result<()>,
) -> Result<()> {
    for index in 0..rows.n_parts {
        let drafts = rows.part(index)?;
        looking.look(&drafts)?;
        tell(Pass::Look, drafts.len() as u64, part::text_bytes(&drafts))?;
    }
    let mut judging = looking.decide()?;
    for index in 0..rows.n_parts {
        let mut drafts = rows.part(index)?;
        let (n_rows, n_bytes) = (drafts.len() as u64, part::text_bytes(&drafts));
        let reasons = judging.judge(&mut drafts)?;
        write(step, drafts, reasons, &part::path(folder, index))?;
        tell(Pass::Judge, n_rows, n_bytes)?;
    }
    Ok(())
}

/// Which time the rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// The first.
    Look,
    /// The second.
    Judge,
}

impl Pass {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Judge => "judge",
        }
    }
}

fn write(step: &str, drafts: Vec<Draft>, reasons: Vec<Option<Reason>>, path: &Path) -> Result<()> {
    let book = PartBook { book: Book::of_reasons(step, &reasons), ..PartBook::default() };
    let mut fates = Vec::with_capacity(drafts.len());
    let mut dropped: Vec<OfStep<DroppedRow>> = Vec::new();
    for (draft, reason) in drafts.into_iter().zip(reasons) {
        fates.push(match (reason, draft.split) {
            (Some(reason), _) => {
                dropped.push((0, dropped_row(step, reason.text, draft.row)));
                Fate::Out
            }
            (None, Some(split)) => Fate::Placed(draft.cluster, split),
            (None, None) => Fate::Stays,
        });
    }
    let changed: Vec<OfStep<ChangedRow>> = Vec::new();
    segment::write(path, [encode(&book)?, encode(&dropped)?, encode(&changed)?, encode(&fates)?])
}
