//! Which rows are learned from, how often, in which order, and how they fill a batch.
//!
//! - [`balance`]: labels evened out, down, up, or to a temperature, with a cap on repeats;
//! - [`mix`]: how many rows each of several sources gives, by weight or by temperature;
//! - [`shuffle`]: a seeded order for rows that do not fit in memory;
//! - [`pack`]: texts of differing length put together into sequences of one length;
//! - [`tokens`]: how many tokens there are, by text and by label.
//!
//! All of it works on counts, ids and lengths; the texts stay where they are.

pub mod balance;
mod bins;
pub mod mix;
pub mod pack;
pub mod shuffle;
pub mod tokens;
