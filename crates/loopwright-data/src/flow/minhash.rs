//! Near-duplicates among any number of documents: the search spills to the step's folder.

use super::{
    set_phase::{Judging, Looking, Scratch},
    shelf::{Shelf, ShelfWriter},
};
use crate::{
    Result,
    clean::minhash,
    draft::{Draft, Verdict},
};
use loopwright_corpus::minhash::{Clusters, Finder, MEMORY_BYTES_MIN, MinHashSettings};

/// Bytes in memory per row once clusters are joined.
const ROW_BYTES: u64 = 4;

/// The step in its first pass.
pub(crate) struct MinHash {
    finder: Finder,
    ids: ShelfWriter,
    n_rows: u64,
    scratch: Scratch,
}

impl MinHash {
    pub(crate) fn new(settings: &MinHashSettings, scratch: Scratch) -> Result<Self> {
        let memory_bytes = (scratch.memory_bytes / 2).max(MEMORY_BYTES_MIN);
        let finder = Finder::near(settings, &scratch.folder.join("documents"), memory_bytes)?;
        let ids = ShelfWriter::create(&scratch.folder, "ids")?;
        Ok(Self { finder, ids, n_rows: 0, scratch })
    }
}

impl Looking for MinHash {
    fn look(&mut self, drafts: &[Draft]) -> Result<()> {
        drafts.iter().try_for_each(|draft| self.ids.push(draft.row.row_id.as_bytes()))?;
        let texts: Vec<&str> = drafts.iter().map(|draft| draft.row.text.as_str()).collect();
        self.finder.add(self.n_rows, &texts)?;
        self.n_rows += drafts.len() as u64;
        Ok(())
    }

    fn decide(self: Box<Self>) -> Result<Box<dyn Judging>> {
        let n_rows = self.n_rows;
        self.scratch.check_fits(|| format!("the clusters of {n_rows} rows"), n_rows * ROW_BYTES)?;
        Ok(Box::new(Clustered { clusters: self.finder.finish()?, ids: self.ids.finish()?, row: 0 }))
    }
}

/// The step in its second pass.
struct Clustered {
    clusters: Clusters,
    ids: Shelf,
    /// The next row.
    row: u64,
}

impl Judging for Clustered {
    fn judge(&mut self, drafts: &mut [Draft]) -> Result<Vec<Verdict>> {
        let mut verdicts = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let cluster = self.clusters.of(self.row);
            self.row += 1;
            draft.cluster = minhash::number(cluster);
            verdicts.push(match cluster.is_kept {
                true => Verdict::Keep,
                false => Verdict::Drop(minhash::reason(&self.ids.read_text(cluster.id)?, cluster)),
            });
        }
        Ok(verdicts)
    }
}
