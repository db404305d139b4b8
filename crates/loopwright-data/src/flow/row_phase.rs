//! A phase of row steps: each chunk of rows goes through all of them and becomes a segment.
//!
//! A segment that is there is finished, so a restart goes on behind the last one. In the first phase the rows come from
//! outside; those of finished segments are taken again and compared by their hash, which tells whether the input is
//! still the same.

use super::{
    chunks::{self, Chunks},
    part::{self, PartBook, Rows},
    segment::{self, Block, encode},
};
use crate::{
    Error, Result,
    draft::Draft,
    recipe::CurateContext,
    rows::{self, RowSteps},
};
use loopwright_types::SourceRow;
use std::path::Path;

/// Where the phase writes, what it does, and whom it tells of each segment (rows and bytes that went in).
pub(crate) struct RowPhase<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) steps: &'a RowSteps<'a>,
    pub(crate) ctx: &'a CurateContext<'a>,
    pub(crate) tell: &'a mut dyn FnMut(u64, u64) -> Result<()>,
}

impl RowPhase<'_> {
    /// Runs over the input, in chunks of at most so many rows and bytes.
    pub(crate) fn read_input<I: Iterator<Item = Result<Vec<SourceRow>>>>(
        &mut self,
        batches: I,
        n_rows_max: usize,
        bytes_max: usize,
    ) -> Result<()> {
        let mut chunks = Chunks::new(batches);
        for index in 0.. {
            if part::path(self.folder, index).exists() {
                self.pass_over(index, &mut chunks)?;
                continue;
            }
            let rows = chunks.take(n_rows_max, bytes_max)?;
            if rows.is_empty() {
                break;
            }
            let (n_source_rows, source_hash) = (rows.len() as u64, chunks::hash(&rows));
            let drafts = rows.into_iter().map(Draft::new).collect();
            self.write(index, drafts, PartBook { n_source_rows, source_hash, ..PartBook::default() })?;
        }
        Ok(())
    }

    /// Takes the rows of a finished segment from the input.
    fn pass_over<I: Iterator<Item = Result<Vec<SourceRow>>>>(
        &mut self,
        index: usize,
        chunks: &mut Chunks<I>,
    ) -> Result<()> {
        let found: PartBook = segment::read(&part::path(self.folder, index), Block::Book)?;
        let rows = chunks.take(found.n_source_rows as usize, usize::MAX)?;
        if rows.len() as u64 != found.n_source_rows || chunks::hash(&rows) != found.source_hash {
            return Err(Error::work_folder(self.folder, "the input is not the one that was begun with"));
        }
        (self.tell)(found.n_source_rows, found.n_bytes)
    }

    /// Runs over the rows that other phases left.
    pub(crate) fn read_rows(&mut self, rows: &Rows) -> Result<()> {
        for index in 0..rows.n_parts {
            match part::path(self.folder, index) {
                path if path.exists() => {
                    let found: PartBook = segment::read(&path, Block::Book)?;
                    (self.tell)(found.n_source_rows, found.n_bytes)?;
                }
                _ => {
                    let drafts = rows.part(index)?;
                    let n_source_rows = drafts.len() as u64;
                    self.write(index, drafts, PartBook { n_source_rows, ..PartBook::default() })?;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, index: usize, drafts: Vec<Draft>, mut book: PartBook) -> Result<()> {
        book.n_bytes = part::text_bytes(&drafts);
        let out = rows::run(self.steps, drafts, self.ctx)?;
        book.book = out.book;
        let blocks = [encode(&book)?, encode(&out.dropped)?, encode(&out.changed)?, encode(&out.drafts)?];
        segment::write(&part::path(self.folder, index), blocks)?;
        (self.tell)(book.n_source_rows, book.n_bytes)
    }
}
