//! Whose turn it is: requests wait by owner, and the owner that was served least comes next.
//!
//! Each owner has a counter of tokens served, answers counting twice as much as prompts. An owner that comes back after a
//! pause begins at the least counter of those that wait or are served, so that nobody saves up turns (virtual token
//! counter, Sheng et al. 2024).

use std::collections::{BTreeMap, VecDeque};

/// What a token of an answer counts.
pub(crate) const WRITTEN_COST: u64 = 2;

/// Owners remembered; the idle ones beyond are forgotten, which costs them nothing.
const N_OWNERS_MAX: usize = 4096;

/// Waiting items by owner.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    owners: BTreeMap<String, Owner<T>>,
}

#[derive(Debug)]
struct Owner<T> {
    waiting: VecDeque<T>,
    n_active: usize,
    served: u64,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { owners: BTreeMap::new() }
    }
}

impl<T> FairQueue<T> {
    /// Does nobody wait?
    pub(crate) fn is_empty(&self) -> bool {
        self.owners.values().all(|owner| owner.waiting.is_empty())
    }

    /// Puts an item at the end of its owner's line.
    pub(crate) fn push(&mut self, owner: &str, item: T) {
        let least = self.least_served();
        let owner = self.owner(owner);
        if owner.waiting.is_empty() && owner.n_active == 0 {
            owner.served = owner.served.max(least);
        }
        owner.waiting.push_back(item);
    }

    /// The next item, of the owner that was served least; it is active until [`FairQueue::done`].
    pub(crate) fn pop(&mut self) -> Option<T> {
        let waiting = self.owners.values_mut().filter(|owner| !owner.waiting.is_empty());
        let owner = waiting.min_by_key(|owner| owner.served)?;
        owner.n_active += 1;
        owner.waiting.pop_front()
    }

    /// So much was done for an owner.
    pub(crate) fn charge(&mut self, owner: &str, cost: u64) {
        self.owner(owner).served += cost;
    }

    /// An active item of an owner has ended.
    pub(crate) fn done(&mut self, owner: &str) {
        if let Some(owner) = self.owners.get_mut(owner) {
            owner.n_active = owner.n_active.saturating_sub(1);
        }
        if self.owners.len() > N_OWNERS_MAX {
            self.owners.retain(|_, owner| owner.n_active > 0 || !owner.waiting.is_empty());
        }
    }

    /// Takes out the items that a rule picks.
    pub(crate) fn take_where(&mut self, picks: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for owner in self.owners.values_mut() {
            let (out, kept) = std::mem::take(&mut owner.waiting).into_iter().partition::<VecDeque<T>, _>(&picks);
            taken.extend(out);
            owner.waiting = kept;
        }
        taken
    }

    fn owner(&mut self, name: &str) -> &mut Owner<T> {
        if !self.owners.contains_key(name) {
            self.owners.insert(name.to_owned(), Owner { waiting: VecDeque::new(), n_active: 0, served: 0 });
        }
        self.owners.get_mut(name).expect("it was put there if it was missing")
    }

    fn least_served(&self) -> u64 {
        let busy = self.owners.values().filter(|owner| owner.n_active > 0 || !owner.waiting.is_empty());
        busy.map(|owner| owner.served).min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_shared_out_among_owners_not_among_requests() {
        let mut queue = FairQueue::default();
        (0..6).for_each(|i| queue.push("many", format!("many {i}")));
        queue.push("one", "one 0".to_string());
        let mut order = Vec::new();
        while let Some(item) = queue.pop() {
            let owner = item.split(' ').next().unwrap().to_string();
            queue.charge(&owner, 10);
            order.push(item);
        }
        assert_eq!(order[..3], ["many 0", "one 0", "many 1"]);
    }

    #[test]
    fn long_work_costs_turns_and_a_pause_saves_none() {
        let mut queue = FairQueue::default();
        queue.push("a", 1);
        queue.pop();
        queue.charge("a", 1_000);
        queue.push("a", 2);
        queue.push("b", 3);
        queue.push("b", 4);
        // b begins where the only busy owner stands.
        assert_eq!(queue.pop(), Some(2));
        queue.charge("a", 5);
        assert_eq!((queue.pop(), queue.pop()), (Some(3), Some(4)));
        queue.push("b", 5);
        assert_eq!(queue.take_where(|item| *item == 5), [5]);
        assert_eq!(queue.pop(), None);
    }
}
