//! The operators, one file each, all pure. [`crate::recipe`] runs them in the order that a recipe lists.
//!
//! An operator on one row has a `check` (why the row goes, if it does) or a function from text to text; how rows pass
//! through them is written in [`crate::rows`]. An operator on all rows has an `apply`: rows in, rows out, with a count
//! and a reason for every row that is left out; [`crate::flow`] has its twin for rows that lie on disk.

pub mod balance;
pub mod boilerplate;
pub mod consent;
pub mod embedding_dedup;
pub mod exact_dedup;
pub(crate) mod filters;
pub mod html;
pub mod label_check;
pub mod label_conflict;
pub mod language;
pub mod length;
pub mod line_dedup;
pub mod minhash;
pub mod mix;
pub mod near_dedup;
pub mod perplexity;
pub mod quota;
pub mod redact;
pub mod repair;
pub(crate) mod rows_kinds;
pub mod split;
pub mod whitespace;
