//! A phase of one step that must see all rows before it can say anything about one.
//!
//! Such a step reads the rows twice. In the first pass it *looks*: it notes of each row only what it needs, a few bytes
//! in memory and the rest on disk. Between the passes it makes up its mind. In the second pass it *judges* row by row.
//! The rows themselves are not written again; what is written is each row's fate, with the new text of those that the
//! step changes.
//!
//! | step | in memory per row | on disk per row while the phase runs |
//! |---|---:|---|
//! | `boilerplate` | 32 bytes per different line | 0 |
//! | `line_dedup` | 0 | 32 bytes per line, 16 more for a repeated one |
//! | `exact_dedup` | 0 | 24 bytes and the id; 16 bytes per repetition |
//! | `near_dedup` | 8 bytes | 16 bytes per band, the text, the id, half a byte per n-gram |
//! | `minhash` | 4 bytes | 952 bytes, twice that while it is merged, and the id |
//! | `embedding_dedup` | its text eight times and its vector twice; 4 bytes a place | the id |
//! | `label_check` | 24 bytes per different word or pair, 12 per label, and the classifiers | 0 |
//! | `balance`, `mix` | 9 bytes | 0 |
//! | `label_conflict` | 29 bytes at most, and the classifiers | 8 bytes per different word or pair |
//! | `split` | 25 bytes at most, by time or group 40 more | as `near_dedup`, by label without the id |
//!
//! A further step of this kind is a type of its own with these two traits, and a line in `looking` of [`super::phases`].

use super::{
    part::{self, Fate, PartBook, Rows},
    segment::{self, encode},
};
use crate::{
    Error, Result,
    book::Book,
    draft::{Draft, Verdict, changed_row, dropped_row},
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
    /// Says of the next rows (the same as in the first pass, in the same order) what becomes of each. It may also place
    /// rows in clusters and splits, but not those whose text it changes.
    fn judge(&mut self, drafts: &mut [Draft]) -> Result<Vec<Verdict>>;
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
    mut looking: Box<dyn Looking + '_>,
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
        let verdicts = judging.judge(&mut drafts)?;
        write(step, drafts, verdicts, &part::path(folder, index))?;
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

fn write(step: &str, drafts: Vec<Draft>, verdicts: Vec<Verdict>, path: &Path) -> Result<()> {
    let book = PartBook { book: Book::of_verdicts(step, &verdicts), ..PartBook::default() };
    let mut fates = Vec::with_capacity(drafts.len());
    let mut dropped: Vec<OfStep<DroppedRow>> = Vec::new();
    let mut changed: Vec<OfStep<ChangedRow>> = Vec::new();
    for (mut draft, verdict) in drafts.into_iter().zip(verdicts) {
        fates.push(match (verdict, draft.split) {
            (Verdict::Drop(reason), _) => {
                dropped.push((0, dropped_row(step, reason.text, draft.row)));
                Fate::Out
            }
            (Verdict::Change(rewritten), _) => {
                changed.push((0, changed_row(step, rewritten.clone(), &mut draft.row)));
                Fate::Rewritten(Box::new(rewritten))
            }
            (Verdict::Keep, Some(split)) => Fate::Placed(draft.cluster, split),
            (Verdict::Keep, None) if draft.cluster != 0 => Fate::Clustered(draft.cluster),
            (Verdict::Keep, None) => Fate::Stays,
        });
    }
    segment::write(path, [encode(&book)?, encode(&dropped)?, encode(&changed)?, encode(&fates)?])
}
