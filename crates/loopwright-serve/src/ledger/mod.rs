//! What each key has used, what is reserved, and whether there is room for one more request.
//!
//! ```text
//! reserve(bound)  ─▶ answer ─▶ settle(actual)
//!      └ refused: 429          └ dropped without: the reservation is released
//! ```
//!
//! A request first reserves what it can cost at most; there is room if what was used in the window, what is reserved, and
//! this bound stay within the limit. So however many requests run at once, no limit is ever passed, as long as no request
//! uses more than it reserved. Windows slide in sixty steps, and a step counts until it lies wholly outside: in no stretch
//! of time as long as the window is more let in than the limit says, and what was used is free again at most a sixtieth
//! of the window late.
//!
//! Integers and the time come in, decisions come out. What survives a kill is the journal's business
//! (`observe::sink`); [`Ledger::load`] takes up what it kept.

mod account;

use crate::{Error, Result};
use account::Account;
use loopwright_types::{
    Timestamp,
    id::KeyId,
    key::{Amount, ApiKey, Limit, Measure, Spending},
};
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Accounts are spread over so many locks.
const N_SHARDS: usize = 16;

/// All accounts. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    shards: [Mutex<HashMap<KeyId, Account>>; N_SHARDS],
    hash: RandomState,
}

/// Room that was made for a request. Dropped without [`Reservation::settle`], it is given back.
#[derive(Debug)]
pub struct Reservation {
    ledger: Ledger,
    key: KeyId,
    held: Amount,
}

/// How much of a limit is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The limit.
    pub limit: Limit,
    /// What may still be asked for.
    pub remaining: u64,
    /// Milliseconds until all of it may be, if nothing else comes; none if it never will.
    pub resets_in_ms: Option<u64>,
}

impl Ledger {
    /// Takes up what was kept of former times; to be called before anything is reserved.
    pub fn load(&self, spendings: &[Spending]) {
        for spending in spendings {
            let mut shard = self.shard(&spending.key);
            shard.entry(spending.key.clone()).or_default().load(spending);
        }
    }

    /// Makes room for a request that uses at most `bound`, and counts it. Refused, it leaves nothing behind.
    pub fn reserve(&self, key: &ApiKey, bound: Amount, now: Timestamp) -> Result<Reservation> {
        let mut shard = self.shard(&key.id);
        let account = shard.entry(key.id.clone()).or_default();
        for limit in &key.limits {
            account.check(limit, bound, now)?;
        }
        // The request counts from now on; what it uses, when that is known.
        account.add(Amount { requests: bound.requests, ..Amount::default() }, now);
        let held = Amount { requests: 0, ..bound };
        account.held = account.held.plus(held);
        Ok(Reservation { ledger: self.clone(), key: key.id.clone(), held })
    }

    /// What is left of each of a key's limits.
    pub fn room(&self, key: &ApiKey, now: Timestamp) -> Vec<Room> {
        let mut shard = self.shard(&key.id);
        let account = shard.entry(key.id.clone()).or_default();
        let left = |limit: &Limit| Room {
            limit: *limit,
            remaining: account.remaining(limit, now),
            resets_in_ms: account.resets_in_ms(limit, now),
        };
        key.limits.iter().map(left).collect()
    }

    /// All that a key ever used, and what is reserved for it.
    pub fn total(&self, key: &KeyId) -> (Amount, Amount) {
        self.shard(key).get(key).map(|account| (account.total, account.held)).unwrap_or_default()
    }

    fn shard(&self, key: &KeyId) -> MutexGuard<'_, HashMap<KeyId, Account>> {
        let index = self.0.hash.hash_one(key) as usize % N_SHARDS;
        // Sums stay sums if a thread died between two of them.
        self.0.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// The request has ended and used this much; the rest is given back.
    pub fn settle(mut self, used: Amount, now: Timestamp) {
        let held = std::mem::take(&mut self.held);
        let mut shard = self.ledger.shard(&self.key);
        let account = shard.entry(self.key.clone()).or_default();
        account.held = account.held.minus(held);
        account.add(Amount { requests: 0, ..used }, now);
    }

    /// What was reserved.
    pub fn held(&self) -> Amount {
        self.held
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.held != Amount::default() {
            let mut shard = self.ledger.shard(&self.key);
            if let Some(account) = shard.get_mut(&self.key) {
                account.held = account.held.minus(self.held);
            }
        }
    }
}

/// The error of a limit that leaves no room.
fn over(limit: &Limit, retry_after_ms: Option<u64>) -> Error {
    match limit.of {
        Measure::MicroUsd => Error::OverBudget { limit: *limit, retry_after_ms },
        Measure::Requests | Measure::Tokens => Error::OverLimit { limit: *limit, retry_after_ms },
    }
}

#[cfg(test)]
mod tests;
