//! Splits of any number of rows: clusters are found on disk, sized and dealt; or, where time or groups give the boundary,
//! rows are put on its sides and those left out that are like one of an earlier split.

use super::{
    clusters::ClusterFinder,
    labels::Labels,
    set_phase::{Judging, Looking, Scratch},
    shelf::{Shelf, ShelfWriter},
    sorter::{Sorted, Sorter},
};
use crate::{
    Result,
    clean::split::{self, By, ClusterSize, GroupBy, Settings, deal_sized, time},
    dedup::NearSettings,
    draft::{Draft, Verdict},
};
use loopwright_types::{Split, Timestamp};
use std::{cmp::Reverse, collections::HashMap};
use xxhash_rust::xxh3::xxh3_128;

/// Bytes in memory per row while clusters are dealt: its cluster's number, its cluster with its size, its split.
const ROW_BYTES: u64 = 8 + 16 + 1;
/// More per row where a split is by time or by group: its time or its group's number; sorted, both with its place.
const BOUND_ROW_BYTES: u64 = 16 + 24;

/// The step in its first pass.
pub(crate) struct Splitting {
    settings: Settings,
    seed: u64,
    finder: ClusterFinder,
    labels: Labels,
    bounds: Bounds,
    ids: ShelfWriter,
    scratch: Scratch,
}

/// What decides where a row goes, beside its cluster.
enum Bounds {
    /// Its label alone.
    Label,
    Time(Vec<Option<Timestamp>>),
    /// The group of each row, numbered from 1 by its first row, and the numbers of those seen by their hashes (XXH3, 128
    /// bits).
    Group(GroupBy, Vec<u64>, HashMap<u128, u64>),
}

impl Splitting {
    pub(crate) fn new(settings: &Settings, seed: u64, scratch: Scratch) -> Result<Self> {
        let near = NearSettings::looser(settings.cluster_threshold);
        let finder = ClusterFinder::new(&near, scratch.clone())?;
        let ids = ShelfWriter::create(&scratch.folder, "ids")?;
        let bounds = match settings.by {
            By::Stratified => Bounds::Label,
            By::Time => Bounds::Time(Vec::new()),
            By::Group => Bounds::Group(settings.group_by, Vec::new(), HashMap::new()),
        };
        Ok(Self { settings: settings.clone(), seed, finder, labels: Labels::default(), bounds, ids, scratch })
    }
}

impl Looking for Splitting {
    fn look(&mut self, drafts: &[Draft]) -> Result<()> {
        self.labels.look(drafts);
        if self.settings.by != By::Stratified {
            drafts.iter().try_for_each(|draft| self.ids.push(draft.row.row_id.as_bytes()))?;
        }
        self.bounds.look(drafts);
        let texts: Vec<&str> = drafts.iter().map(|draft| draft.row.text.as_str()).collect();
        self.finder.look(&texts)
    }

    fn decide(self: Box<Self>) -> Result<Box<dyn Judging>> {
        let Self { settings, seed, finder, labels, bounds, ids, scratch } = *self;
        let clusters = numbered(finder.finish()?.first);
        let n_rows = clusters.len() as u64;
        let bound_bytes = if settings.by == By::Stratified { 0 } else { BOUND_ROW_BYTES };
        scratch.check_fits(|| format!("the clusters of {n_rows} rows"), n_rows * (ROW_BYTES + bound_bytes))?;
        let shares = settings.shares();
        let splits = match bounds {
            Bounds::Label => {
                let splits = dealt(&clusters, labels, &shares, seed, &scratch)?;
                return Ok(Box::new(Dealt { clusters, splits, row: 0 }));
            }
            Bounds::Time(times) => time::splits(&times, &shares),
            Bounds::Group(_, groups, _) => {
                let splits = dealt(&groups, labels, &shares, seed, &scratch)?;
                groups.into_iter().map(|group| Some(splits[group as usize])).collect()
            }
        };
        let firsts = earliest(&clusters, &splits);
        Ok(Box::new(Bounded { clusters, splits, firsts, ids: ids.finish()?, row: 0 }))
    }
}

impl Bounds {
    fn look(&mut self, drafts: &[Draft]) {
        match self {
            Self::Label => {}
            Self::Time(times) => times.extend(drafts.iter().map(|draft| draft.row.at)),
            Self::Group(by, groups, numbers) => {
                for draft in drafts {
                    let row = &draft.row;
                    let next = groups.len() as u64 + 1;
                    let key = by.key(row.subject.as_ref(), row.group.as_deref(), &row.source);
                    let number = key.map(|key| *numbers.entry(xxh3_128(key.as_bytes())).or_insert(next));
                    groups.push(number.unwrap_or(next));
                }
            }
        }
    }
}

/// The split of each cluster or group, by its number: every label gets its shares.
fn dealt(of_rows: &[u64], labels: Labels, shares: &[(Split, f64)], seed: u64, scratch: &Scratch) -> Result<Vec<Split>> {
    let (labels, labels_of_rows) = labels.ranked();
    let mut pairs = Sorter::new(&scratch.folder, "labelled", scratch.sorter_bytes());
    for (number, label) in of_rows.iter().zip(&labels_of_rows) {
        pairs.push([*number, u64::from(*label)])?;
    }
    drop(labels_of_rows);
    let by_label = sized(pairs.finish()?, labels.len())?;
    let mut splits = vec![Split::Train; of_rows.iter().max().map_or(0, |last| *last as usize + 1)];
    let tell = |number: u64, split| splits[number as usize] = split;
    deal_sized(by_label.into_iter().filter(|sizes| !sizes.is_empty()), shares, seed, tell);
    Ok(splits)
}

/// For each cluster the earliest split of its rows, and the first row there, from 0.
fn earliest(clusters: &[u64], splits: &[Option<Split>]) -> Vec<Option<(Split, u64)>> {
    let mut firsts = vec![None; clusters.iter().max().map_or(0, |last| *last as usize + 1)];
    for (row, (cluster, split)) in clusters.iter().zip(splits).enumerate() {
        let Some(split) = split else { continue };
        let first: &mut Option<(Split, u64)> = &mut firsts[*cluster as usize];
        if first.is_none_or(|(earliest, _)| *split < earliest) {
            *first = Some((*split, row as u64));
        }
    }
    firsts
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

/// The second pass of a split whose boundary is given: rows that are like one of an earlier split go.
struct Bounded {
    clusters: Vec<u64>,
    splits: Vec<Option<Split>>,
    firsts: Vec<Option<(Split, u64)>>,
    ids: Shelf,
    /// The next row.
    row: usize,
}

impl Judging for Bounded {
    fn judge(&mut self, drafts: &mut [Draft]) -> Result<Vec<Verdict>> {
        let mut verdicts = Vec::with_capacity(drafts.len());
        for draft in drafts.iter_mut() {
            draft.cluster = self.clusters[self.row];
            draft.split = self.splits[self.row];
            self.row += 1;
            verdicts.push(match (draft.split, self.firsts[draft.cluster as usize]) {
                (None, _) => Verdict::Drop(split::no_time()),
                (Some(split), Some((earliest, first))) if split != earliest => {
                    Verdict::Drop(split::leak(&self.ids.read_text(first)?, earliest))
                }
                _ => Verdict::Keep,
            });
        }
        Ok(verdicts)
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
