//! Rows put aside on disk, to be read again from the first one on as often as need be.
//!
//! Each batch that comes is a file of its own, so reading takes as much memory as a batch did. Rows lie there as JSON:
//! some of their types say by a name which variant they are, which the format of the segments cannot.

use super::{
    part,
    segment::{self, Block, encode},
};
use crate::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::{marker::PhantomData, path::PathBuf};

/// Rows in the order they came.
pub(crate) struct Spool<T> {
    folder: PathBuf,
    /// Number of batches.
    pub(crate) n_parts: usize,
    _rows: PhantomData<fn(T) -> T>,
}

impl<T: Serialize + DeserializeOwned> Spool<T> {
    /// An empty one; what an earlier start left in the folder goes.
    pub(crate) fn create(folder: PathBuf) -> Result<Self> {
        part::emptied(&folder)?;
        Ok(Self { folder, n_parts: 0, _rows: PhantomData })
    }

    /// Puts the next rows aside.
    pub(crate) fn push(&mut self, rows: &[T]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let json = serde_json::to_string(rows).map_err(|error| Error::outside("encode rows", error))?;
        let rows = encode(&json)?;
        drop(json);
        segment::write(&part::path(&self.folder, self.n_parts), [Vec::new(), Vec::new(), Vec::new(), rows])?;
        self.n_parts += 1;
        Ok(())
    }

    /// The rows of one batch.
    pub(crate) fn part(&self, index: usize) -> Result<Vec<T>> {
        let path = part::path(&self.folder, index);
        let json: String = segment::read(&path, Block::Rows)?;
        serde_json::from_str(&json).map_err(|error| Error::work_folder(&path, format!("the file is damaged: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::{Example, dataset::Origin};

    #[test]
    fn rows_come_back_as_they_were_and_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let origin = [
            Origin::Source,
            Origin::Correction { trace: "t".into() },
            Origin::Augmented { parent: "a".into(), generator: "noise".into() },
        ];
        let rows = origin.map(|origin| Example { origin, tags: vec!["x".into()], ..Example::default() });
        let mut spool = Spool::create(dir.path().join("rows")).unwrap();
        for batch in [&rows[..2], &[], &rows[2..]] {
            spool.push(batch).unwrap();
        }
        let read: Vec<Example> = (0..spool.n_parts).flat_map(|index| spool.part(index).unwrap()).collect();
        assert_eq!((read, spool.n_parts), (rows.to_vec(), 2));
        let spool: Spool<Example> = Spool::create(dir.path().join("rows")).unwrap();
        assert!(spool.n_parts == 0 && spool.part(0).is_err(), "a new one is empty");
    }
}
