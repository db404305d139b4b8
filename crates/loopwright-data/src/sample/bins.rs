//! Finding a bin with room among many, in logarithmic time. The tests of [`super::pack`] compare both ways with a search
//! through all bins.

use std::collections::{BTreeMap, BTreeSet};

/// A way to find a bin with room and to remember how much is left in it.
pub(super) trait Bins {
    /// A bin with room for so many tokens.
    fn find(&self, n_tokens: usize) -> Option<usize>;
    /// Notes that this bin has `now` tokens left; it had `before`, none if it is new.
    fn set(&mut self, bin: usize, before: Option<usize>, now: usize);
}

/// Bins by what is left in them: the least that is enough, the first of equals.
#[derive(Default)]
pub(super) struct LeastRoom(BTreeMap<usize, BTreeSet<usize>>);

impl Bins for LeastRoom {
    fn find(&self, n_tokens: usize) -> Option<usize> {
        self.0.range(n_tokens..).next().and_then(|(_, bins)| bins.first().copied())
    }

    fn set(&mut self, bin: usize, before: Option<usize>, now: usize) {
        if let Some(before) = before
            && let Some(bins) = self.0.get_mut(&before)
        {
            bins.remove(&bin);
            if bins.is_empty() {
                self.0.remove(&before);
            }
        }
        if now > 0 {
            self.0.entry(now).or_default().insert(bin);
        }
    }
}

/// A tree of the most that is left below each node, over bins in their order: the first with room is found from the top
/// down. Bins that are not opened yet count as full here, since opening one is the caller's work.
pub(super) struct FirstRoom {
    /// A binary heap's layout: the children of node i are 2i and 2i + 1, the leaves are the bins.
    most: Vec<usize>,
    n_leaves: usize,
}

impl Default for FirstRoom {
    fn default() -> Self {
        Self { most: vec![0; 2], n_leaves: 1 }
    }
}

impl FirstRoom {
    fn grow(&mut self) {
        let leaves = self.most[self.n_leaves..].to_vec();
        self.n_leaves *= 2;
        self.most = vec![0; self.n_leaves * 2];
        self.most[self.n_leaves..self.n_leaves + leaves.len()].copy_from_slice(&leaves);
        for node in (1..self.n_leaves).rev() {
            self.most[node] = self.most[2 * node].max(self.most[2 * node + 1]);
        }
    }
}

impl Bins for FirstRoom {
    fn find(&self, n_tokens: usize) -> Option<usize> {
        if self.most[1] < n_tokens {
            return None;
        }
        let mut node = 1;
        while node < self.n_leaves {
            node = if self.most[2 * node] >= n_tokens { 2 * node } else { 2 * node + 1 };
        }
        Some(node - self.n_leaves)
    }

    fn set(&mut self, bin: usize, _before: Option<usize>, now: usize) {
        while bin >= self.n_leaves {
            self.grow();
        }
        let mut node = self.n_leaves + bin;
        self.most[node] = now;
        while node > 1 {
            node /= 2;
            self.most[node] = self.most[2 * node].max(self.most[2 * node + 1]);
        }
    }
}
