//! How many rows are near-duplicates of an earlier one.

use super::{Failing, Tally};
use crate::{
    Result,
    dedup::{NearSettings, clusters},
    flow::{Near, NearFound},
};
use loopwright_types::{Example, id::RowId};
use std::path::Path;

/// The rows so far.
pub(super) enum Repeats {
    /// In memory.
    Held(Vec<(RowId, String)>),
    /// On disk.
    Shelved(Box<Near>),
}

impl Repeats {
    pub(super) fn on_disk(settings: &NearSettings, folder: &Path, memory_bytes: u64) -> Result<Self> {
        Ok(Self::Shelved(Box::new(Near::begin(settings, folder, memory_bytes, "duplicate_share_max")?)))
    }

    pub(super) fn see(&mut self, rows: &[Example]) -> Result<()> {
        match self {
            Self::Held(held) => held.extend(rows.iter().map(|row| (row.row_id.clone(), row.text.clone()))),
            Self::Shelved(near) => near.look(rows)?,
        }
        Ok(())
    }

    /// Counts the near-duplicates, and shows the first of them.
    pub(super) fn find(self, settings: &NearSettings, shown: usize) -> Result<Tally> {
        let mut tally = Tally::new(shown);
        let failing = |row_id: RowId, first: &str, similarity: f64| {
            let measured = format!("like {first} (similarity {similarity:.2})");
            Failing { row_id: Some(row_id), measured }
        };
        match self {
            Self::Held(rows) => {
                let texts: Vec<&str> = rows.iter().map(|(_, text)| text.as_str()).collect();
                let found = clusters(&texts, settings);
                for (row, first) in found.first.iter().enumerate().filter(|(row, first)| row != *first) {
                    tally.add(|| failing(rows[row].0.clone(), rows[*first].0.as_str(), found.similarity[row]));
                }
            }
            Self::Shelved(near) => {
                let found: NearFound = near.finish()?;
                for (row, first) in found.repeats() {
                    if tally.is_full() {
                        tally.count();
                        continue;
                    }
                    let (row_id, first_id) = (found.row_id(row)?, found.row_id(first)?);
                    let similarity = found.similarity(row, first)?;
                    tally.add(|| failing(RowId::new(row_id), &first_id, similarity));
                }
            }
        }
        Ok(tally)
    }
}
