//! Clusters: which documents belong together, and which one of each cluster stays.
//!
//! Pairs of documents are joined one after another into disjoint sets, by size: the smaller set's root comes under the
//! larger one's, and of two equal ones the pair's second under its first (Tarjan, "Efficiency of a good but not linear
//! set union algorithm", JACM 22(2), 1975). The document that is the root in the end is the one that stays. It depends on
//! the order of the pairs, so [`super::Finder`] takes care that this order depends on the documents alone.
//!
//! One document costs four bytes: its parent's index, or at a root the size of its set, negative.

/// The most documents of one corpus: their indices must fit 31 bits.
pub const DOCUMENTS_MAX: u64 = 1 << 31;

/// What is known of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The index of the cluster's document that is kept; the document's own index if it is alone.
    pub id: u64,
    /// How many documents the cluster has.
    pub size: u64,
    /// Whether this document is the one that is kept.
    pub is_kept: bool,
}

/// The clusters of all documents.
///
/// ```
/// use loopwright_corpus::minhash::Clusters;
///
/// let clusters = Clusters::of_pairs(4, [(1, 3)]);
/// assert_eq!(clusters.kept().collect::<Vec<_>>(), [0, 1, 2]);
/// assert_eq!((clusters.of(3).id, clusters.of(3).size, clusters.of(3).is_kept), (1, 2, false));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clusters {
    parents: Vec<i32>,
}

impl Clusters {
    /// Joins pairs of documents, in the order in which they come. Indices must be below `n_documents`, and that at most
    /// [`DOCUMENTS_MAX`].
    pub fn of_pairs(n_documents: usize, pairs: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut forest = Forest::new(n_documents);
        pairs.into_iter().for_each(|(a, b)| forest.join(a as usize, b as usize));
        forest.into_clusters()
    }

    /// The cluster of the document at `index`, which must be below [`Clusters::n_documents`].
    pub fn of(&self, index: u64) -> Cluster {
        let own = self.parents[index as usize];
        let is_kept = own < 0;
        let (id, size) = if is_kept { (index, own) } else { (own as u64, self.parents[own as usize]) };
        Cluster { id, size: u64::from(size.unsigned_abs()), is_kept }
    }

    /// The indices of the documents that stay, in ascending order.
    pub fn kept(&self) -> impl Iterator<Item = u64> {
        self.parents.iter().enumerate().filter(|(_, parent)| **parent < 0).map(|(index, _)| index as u64)
    }

    /// How many documents there are.
    pub fn n_documents(&self) -> u64 {
        self.parents.len() as u64
    }
}

/// Disjoint sets while they grow.
pub(super) struct Forest {
    parents: Vec<i32>,
}

impl Forest {
    /// Bytes for each document.
    pub(super) const DOCUMENT_BYTES: u64 = size_of::<i32>() as u64;

    pub(super) fn new(n_documents: usize) -> Self {
        Self { parents: vec![-1; n_documents] }
    }

    fn root(&mut self, mut index: usize) -> usize {
        while let Ok(parent) = usize::try_from(self.parents[index]) {
            // Path halving: what it points to never changes whose set it is.
            if let Ok(above) = usize::try_from(self.parents[parent]) {
                self.parents[index] = above as i32;
            }
            index = parent;
        }
        index
    }

    pub(super) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if a == b {
            return;
        }
        // Sizes are negative: the larger number is the smaller set.
        let (stays, goes) = if self.parents[a] > self.parents[b] { (b, a) } else { (a, b) };
        self.parents[stays] += self.parents[goes];
        self.parents[goes] = stays as i32;
    }

    pub(super) fn into_clusters(mut self) -> Clusters {
        for index in 0..self.parents.len() {
            let root = self.root(index);
            if root != index {
                self.parents[index] = root as i32;
            }
        }
        Clusters { parents: self.parents }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_larger_set_stays_and_of_equals_the_first() {
        let check = |pairs: &[(u32, u32)], kept: &[u64]| {
            let clusters = Clusters::of_pairs(6, pairs.iter().copied());
            assert_eq!(clusters.kept().collect::<Vec<_>>(), kept, "{pairs:?}");
        };
        check(&[], &[0, 1, 2, 3, 4, 5]);
        check(&[(4, 2)], &[0, 1, 3, 4, 5]);
        check(&[(2, 4), (4, 2), (2, 2)], &[0, 1, 2, 3, 5]);
        // 3-4-5 has three when 0 comes to it.
        check(&[(3, 4), (4, 5), (0, 5)], &[1, 2, 3]);
        // Two sets of two: the root of the pair's first document stays, whoever has the smaller index.
        check(&[(0, 1), (4, 5), (5, 1)], &[2, 3, 4]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn clusters_are_the_components_of_the_pairs(pairs in prop::collection::vec((0u32..30, 0u32..30), 0..40)) {
            let clusters = Clusters::of_pairs(30, pairs.iter().copied());
            // Labels spread along pairs until nothing changes.
            let mut labels: Vec<u32> = (0..30).collect();
            for _ in 0..30 {
                for &(a, b) in &pairs {
                    let label = labels[a as usize].min(labels[b as usize]);
                    labels[a as usize] = label;
                    labels[b as usize] = label;
                }
            }
            for a in 0..30 {
                let cluster = clusters.of(a);
                let members: Vec<u64> = (0..30).filter(|b| labels[*b as usize] == labels[a as usize]).collect();
                prop_assert_eq!(members.len() as u64, cluster.size);
                prop_assert!(members.iter().all(|b| clusters.of(*b).id == cluster.id));
                prop_assert!(members.contains(&cluster.id));
                prop_assert_eq!(cluster.is_kept, cluster.id == a);
            }
        }
    }
}
