//! How a job tells what it is doing, without printing itself.

use std::sync::Arc;

/// Receives what jobs say. The command line draws it; tests collect it.
pub trait Report: Send + Sync {
    /// A stage begins: its number, how many there are, its title.
    fn stage(&self, number: usize, n_stages: usize, title: &str);
    /// A sentence about what was found or done.
    fn say(&self, line: &str);
    /// Progress within long work.
    fn progress(&self, at: &Progress);
}

/// How far long work has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What is being done, e.g. `fine-tuning`.
    pub what: String,
    /// Units done.
    pub done: u64,
    /// Units in all.
    pub total: u64,
    /// Live figures, e.g. `loss 0.31, 12,400 tokens/s`.
    pub note: String,
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Report for Silent {
    fn stage(&self, _: usize, _: usize, _: &str) {}
    fn say(&self, _: &str) {}
    fn progress(&self, _: &Progress) {}
}

/// A shared reporter.
pub type SharedReport = Arc<dyn Report>;
