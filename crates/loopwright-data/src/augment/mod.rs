//! More rows out of the rows there are, and a check that they are worth having.
//!
//! - [`noise`]: the mistakes that people make while typing, each with a rate;
//! - [`slots`]: values that rows of one label share a place for, swapped among them;
//! - [`check`]: which of the new rows may be learned from;
//! - [`enlarge`]: a version's rows and the new ones as the next version;
//! - [`report`]: what they did to the accuracy on clean and on noisy test rows.
//!
//! Only train rows are parents, every new row names its parent and its generator ([`Synthetic`]), and nothing here knows
//! the test rows but the check, which keeps away from them. Whether augmentation helps is a question for the report: the
//! literature is full of cases where it does (EDA, Wei and Zou 2019; noise against noise, Belinkov and Bisk 2018) and
//! where a stronger model gains nothing from it (Longpre et al. 2020).

pub mod check;
pub mod enlarge;
pub mod near;
pub mod noise;
pub mod report;
pub mod slots;

use loopwright_types::id::{RowId, SubjectId};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A row that new rows are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parent<'a> {
    /// Its id.
    pub row_id: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Its label.
    pub label: &'a str,
    /// Whose words these are.
    pub subject: Option<&'a SubjectId>,
}

/// A row that nobody wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Synthetic {
    /// The parent's id, `~`, the generator and a number: `r-12~noise-1`.
    pub row_id: RowId,
    /// The text.
    pub text: String,
    /// The label, the parent's.
    pub label: String,
    /// The row that it was made of.
    pub parent: RowId,
    /// What made it.
    pub generator: String,
    /// Whose words it was made of: who asks for an erasure is owed these rows too.
    pub subject: Option<SubjectId>,
}

impl Synthetic {
    /// A row made of another, the `number`th of its generator.
    pub fn new(parent: &Parent<'_>, generator: &str, number: usize, text: String) -> Self {
        Self {
            row_id: RowId(format!("{}~{generator}-{number}", parent.row_id)),
            text,
            label: parent.label.to_string(),
            parent: parent.row_id.into(),
            generator: generator.to_string(),
            subject: parent.subject.cloned(),
        }
    }
}

/// The random numbers of one copy of one row: they do not depend on the other rows or on their order.
fn rng_of(seed: u64, row_id: &str, number: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(xxh3_64_with_seed(row_id.as_bytes(), seed));
    rng.set_stream(number as u64);
    rng
}
