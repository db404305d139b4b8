//! The input, cut anew: batches of any size come in, chunks of bounded size go out.

use crate::Result;
use loopwright_types::{Conversation, SourceRow};
use std::vec;
use xxhash_rust::xxh3::Xxh3;

/// What a row takes beside its text, roughly, in bytes: ids, label, source and the row itself.
const ROW_BYTES: usize = 256;

/// Batches, to be taken in chunks.
pub(crate) struct Chunks<I> {
    batches: I,
    waiting: vec::IntoIter<SourceRow>,
}

impl<I: Iterator<Item = Result<Vec<SourceRow>>>> Chunks<I> {
    pub(crate) fn new(batches: I) -> Self {
        Self { batches, waiting: Vec::new().into_iter() }
    }

    /// The next rows, at most so many, and no further row once they take so many bytes. None at the end.
    pub(crate) fn take(&mut self, n_rows_max: usize, bytes_max: usize) -> Result<Vec<SourceRow>> {
        let mut chunk = Vec::new();
        let mut bytes = 0;
        while chunk.len() < n_rows_max && bytes < bytes_max {
            match self.waiting.next() {
                Some(row) => {
                    bytes += ROW_BYTES + row.text.len() * if row.conversation.is_some() { 2 } else { 1 };
                    chunk.push(row);
                }
                None => match self.batches.next() {
                    Some(batch) => self.waiting = batch?.into_iter(),
                    None => break,
                },
            }
        }
        Ok(chunk)
    }
}

/// A hash of rows, every field with its length: it tells whether an input is still the one it was.
pub(crate) fn hash(rows: &[SourceRow]) -> u64 {
    let mut hash = Xxh3::new();
    for row in rows {
        // Taken apart in full, so that a new field cannot be forgotten here.
        let SourceRow { row_id, source, row_index, text, label, subject, group, at, licence, tags, conversation } = row;
        let turns = conversation.as_ref().map(Conversation::render);
        let subject = subject.as_ref().map(|subject| subject.as_str());
        for field in [
            Some(row_id.as_str()),
            Some(source.as_str()),
            Some(text.as_str()),
            label.as_deref(),
            subject,
            group.as_deref(),
            licence.as_deref(),
            turns.as_deref(),
        ]
        .into_iter()
        .chain(tags.iter().map(|tag| Some(tag.as_str())))
        {
            hash.update(&field.map_or(u64::MAX, |field| field.len() as u64).to_le_bytes());
            hash.update(field.unwrap_or_default().as_bytes());
        }
        hash.update(&row_index.to_le_bytes());
        hash.update(&at.map_or(i64::MIN, |at| at.0).to_le_bytes());
    }
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: usize) -> Vec<SourceRow> {
        (0..n).map(|i| SourceRow { row_id: format!("r{i}"), text: "four".into(), ..SourceRow::default() }).collect()
    }

    fn check(batches: &[usize], n_rows_max: usize, bytes_max: usize, expected: &[usize]) {
        let mut chunks = Chunks::new(batches.iter().map(|n| Ok(rows(*n))));
        let taken = std::iter::from_fn(|| Some(chunks.take(n_rows_max, bytes_max).unwrap().len()).filter(|n| *n > 0));
        assert_eq!(taken.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn chunks_keep_to_both_limits() {
        check(&[], 3, usize::MAX, &[]);
        check(&[0, 0], 3, usize::MAX, &[]);
        check(&[5, 0, 2], 3, usize::MAX, &[3, 3, 1]);
        check(&[5, 2], 10, usize::MAX, &[7]);
        check(&[3], 10, 300, &[2, 1]);
    }

    #[test]
    fn every_field_counts() {
        let row = || SourceRow { row_id: "a".into(), text: "b".into(), ..SourceRow::default() };
        let others = [
            SourceRow { row_id: "ab".into(), text: String::new(), ..SourceRow::default() },
            SourceRow { label: Some(String::new()), ..row() },
            SourceRow { group: Some(String::new()), ..row() },
            SourceRow { row_index: 1, ..row() },
        ];
        for other in others {
            assert_ne!(hash(&[row()]), hash(std::slice::from_ref(&other)), "{other:?}");
        }
        assert_eq!(hash(&[row(), row()]), hash(&[row(), row()]));
    }
}
