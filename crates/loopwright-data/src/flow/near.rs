//! Near-duplicates of any number of rows: [`clusters`](super::clusters), of which the first rows stay.

use super::{
    clusters::{ClusterFinder, Found},
    set_phase::{Judging, Looking, Scratch},
    shelf::{Shelf, ShelfWriter},
};
use crate::{
    Result,
    clean::near_dedup,
    dedup::NearSettings,
    draft::{Draft, Reason, Verdict},
};
use loopwright_types::Example;
use rayon::prelude::*;
use std::path::Path;

/// The step in its first pass.
pub(crate) struct NearDedup {
    finder: ClusterFinder,
    ids: ShelfWriter,
}

impl NearDedup {
    pub(crate) fn new(settings: &NearSettings, scratch: Scratch) -> Result<Self> {
        let ids = ShelfWriter::create(&scratch.folder, "ids")?;
        Ok(Self { finder: ClusterFinder::new(settings, scratch)?, ids })
    }
}

impl Looking for NearDedup {
    fn look(&mut self, drafts: &[Draft]) -> Result<()> {
        drafts.iter().try_for_each(|draft| self.ids.push(draft.row.row_id.as_bytes()))?;
        let texts: Vec<&str> = drafts.iter().map(|draft| draft.row.text.as_str()).collect();
        self.finder.look(&texts)
    }

    fn decide(self: Box<Self>) -> Result<Box<dyn Judging>> {
        Ok(Box::new(Nearest { found: self.finder.finish()?, ids: self.ids.finish()?, row: 0 }))
    }
}

/// Near-duplicates among the rows of a version, for those who only want to know of them.
pub(crate) struct Near(NearDedup);

impl Near {
    /// Has seen no row yet; puts texts and ids aside in `folder`, which is emptied first. A refusal names `step`.
    pub(crate) fn begin(settings: &NearSettings, folder: &Path, memory_bytes: u64, step: &'static str) -> Result<Self> {
        super::part::emptied(folder)?;
        Ok(Self(NearDedup::new(settings, Scratch { folder: folder.to_path_buf(), memory_bytes, step })?))
    }

    /// The next rows.
    pub(crate) fn look(&mut self, rows: &[Example]) -> Result<()> {
        rows.iter().try_for_each(|row| self.0.ids.push(row.row_id.as_str().as_bytes()))?;
        self.0.finder.look(&rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>())
    }

    /// All rows were seen.
    pub(crate) fn finish(self) -> Result<NearFound> {
        Ok(NearFound { found: self.0.finder.finish()?, ids: self.0.ids.finish()? })
    }
}

/// Near-duplicates that were found.
pub(crate) struct NearFound {
    found: Found,
    ids: Shelf,
}

impl NearFound {
    /// Each row that is like an earlier one, with the first of its cluster.
    pub(crate) fn repeats(&self) -> impl Iterator<Item = (usize, usize)> {
        self.found.first.iter().copied().enumerate().filter(|(row, first)| row != first)
    }

    pub(crate) fn row_id(&self, row: usize) -> Result<String> {
        self.ids.read_text(row as u64)
    }

    pub(crate) fn similarity(&self, row: usize, other: usize) -> Result<f64> {
        self.found.similarity_of(row, other)
    }
}

/// The step in its second pass.
struct Nearest {
    found: Found,
    ids: Shelf,
    /// The next row.
    row: usize,
}

impl Judging for Nearest {
    fn judge(&mut self, drafts: &mut [Draft]) -> Result<Vec<Verdict>> {
        let start = self.row;
        self.row += drafts.len();
        let reason = |(index, draft): (usize, &Draft)| -> Result<Option<Reason>> {
            let first = self.found.first[start + index];
            if first == start + index {
                return Ok(None);
            }
            let similarity = self.found.similarity(&draft.row.text, first)?;
            Ok(Some(near_dedup::reason(&self.ids.read_text(first as u64)?, similarity)))
        };
        drafts.par_iter().enumerate().map(|row| reason(row).map(Verdict::dropped)).collect()
    }
}
