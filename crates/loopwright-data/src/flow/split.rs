//! Splits of any number of rows: clusters are found on disk, sized and dealt.

use super::{
    clusters::ClusterFinder,
    labels::Labels,
    set_phase::{Judging, Looking, Scratch},
    sorter::{Sorted, Sorter},
};
use crate::{
    Error, Result,
    clean::split::{By, ClusterSize, Settings, deal_sized},
    dedup::NearSettings,
    draft::{Draft, Verdict},
};
use loopwright_types::Split;
use std::cmp::Reverse;

/// Bytes in memory per row while clusters are dealt: its cluster's number, its cluster with its size, its split.
const ROW_BYTES: u64 = 8 + 16 + 1;

/// The step in its first pass.
pub(crate) struct Splitting {
    settings: Settings,
    seed: u64,
    finder: ClusterFinder,
    labels: Labels,
    scratch: Scratch,
}

impl Splitting {
    pub(crate) fn new(settings: &Settings, seed: u64, scratch: Scratch) -> Result<Self> {
        if settings.by != By::Stratified {
            let expected = "`stratified`: rows that stream are dealt by label only; `recipe::curate` knows the others";
            return Err(Error::setting("split.by", format!("{:?}", settings.by).to_lowercase(), expected));
        }
        let near = NearSettings::looser(settings.cluster_threshold);
        let finder = ClusterFinder::new(&near, scratch.clone())?;
        Ok(Self { settings: settings.clone(), seed, finder, labels: Labels::default(), scratch })
    }
}

impl Looking for Splitting {
    fn look(&mut self, drafts: &[Draft]) -> Result<()> {
        self.labels.look(drafts);
        let texts: Vec<&str> = drafts.iter().map(|draft| draft.row.text.as_str()).collect();
        self.finder.look(&texts)
    }

    fn decide(self: Box<Self>) -> Result<Box<dyn Judging>> {
        let Self { settings, seed, finder, labels, scratch } = *self;
        let clusters = numbered(finder.finish()?.first);
        let n_rows = clusters.len() as u64;
        scratch.check_fits(|| format!("the clusters of {n_rows} rows"), n_rows * ROW_BYTES)?;
        let (labels, of_rows) = labels.ranked();
        let mut pairs = Sorter::new(&scratch.folder, "labelled", scratch.sorter_bytes());
        for (cluster, label) in clusters.iter().zip(&of_rows) {
            pairs.push([*cluster, u64::from(*label)])?;
        }
        drop(of_rows);
        let by_label = sized(pairs.finish()?, labels.len())?;
        // Clusters are numbered from 1.
        let mut splits = vec![Split::Train; clusters.iter().max().map_or(0, |last| *last as usize + 1)];
        let tell = |cluster: u64, split| splits[cluster as usize] = split;
        deal_sized(by_label.into_iter().filter(|sizes| !sizes.is_empty()), &settings.shares(), seed, tell);
        Ok(Box::new(Dealt { clusters, splits, row: 0 }))
    }
}

/// Clusters numbered from 1 in the order of their first rows.
fn numbered(first: Vec<usize>) -> Vec<u64> {
    let mut clusters: Vec<u64> = Vec::with_capacity(first.len());
    let mut n_clusters = 0;
    for (row, first) in first.into_iter().enumerate() {
        if first == row {
            n_clusters += 1;
        }
        clusters.push(if first == row { n_clusters } else { clusters[first] });
    }
    clusters
}

/// The clusters of each label with their sizes, from sorted pairs of cluster and label. A cluster counts for the label
/// that most of its rows carry, the first in order among equals.
fn sized(pairs: Sorted<2>, n_labels: usize) -> Result<Vec<Vec<ClusterSize>>> {
    let mut by_label: Vec<Vec<ClusterSize>> = vec![Vec::new(); n_labels];
    let mut close = |cluster: u64, counts: &[(u64, u64)]| {
        if let Some((label, _)) = counts.iter().max_by_key(|(label, n)| (*n, Reverse(*label))) {
            by_label[*label as usize].push((counts.iter().map(|(_, n)| n).sum(), cluster));
        }
    };
    let mut cluster_now = 0;
    let mut counts: Vec<(u64, u64)> = Vec::new();
    for pair in pairs {
        let [cluster, label] = pair?;
        if cluster != cluster_now {
            close(cluster_now, &counts);
            (cluster_now, counts) = (cluster, Vec::new());
        }
        match counts.last_mut() {
            Some((last, n)) if *last == label => *n += 1,
            _ => counts.push((label, 1)),
        }
    }
    close(cluster_now, &counts);
    Ok(by_label)
}

/// Nothing is held out: every row is there to learn from.
pub(crate) struct AllTrain;

impl Looking for AllTrain {
    fn look(&mut self, _drafts: &[Draft]) -> Result<()> {
        Ok(())
    }

    fn decide(self: Box<Self>) -> Result<Box<dyn Judging>> {
        Ok(self)
    }
}

impl Judging for AllTrain {
    fn judge(&mut self, drafts: &mut [Draft]) -> Result<Vec<Verdict>> {
        drafts.iter_mut().for_each(|draft| draft.split = Some(Split::Train));
        Ok(vec![Verdict::Keep; drafts.len()])
    }
}

/// The step in its second pass.
struct Dealt {
    clusters: Vec<u64>,
    splits: Vec<Split>,
    /// The next row.
    row: usize,
}

impl Judging for Dealt {
    fn judge(&mut self, drafts: &mut [Draft]) -> Result<Vec<Verdict>> {
        for draft in drafts.iter_mut() {
            draft.cluster = self.clusters[self.row];
            draft.split = Some(self.splits[draft.cluster as usize]);
            self.row += 1;
        }
        Ok(vec![Verdict::Keep; drafts.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_counts_for_its_commonest_label() {
        assert_eq!(numbered(vec![0, 1, 0, 3, 1]), [1, 2, 1, 3, 2]);
        let folder = tempfile::tempdir().unwrap();
        let mut pairs = Sorter::new(folder.path(), "test", 0);
        for pair in [[1, 2], [2, 1], [2, 0], [1, 2], [1, 0], [3, 1]] {
            pairs.push(pair).unwrap();
        }
        let sizes = sized(pairs.finish().unwrap(), 3).unwrap();
        assert_eq!(sizes, [vec![(2, 2)], vec![(1, 3)], vec![(3, 1)]]);
    }
}
