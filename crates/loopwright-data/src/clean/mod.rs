//! The operators: rows in, rows out, with counts and a reason for every row that is left out. One file each, all pure.
//!
//! [`crate::recipe`] runs them in the order that a recipe lists.

pub mod consent;
pub mod exact_dedup;
pub mod html;
pub mod label_conflict;
pub mod language;
pub mod length;
pub mod near_dedup;
pub mod redact;
pub mod repair;
pub mod split;
pub mod whitespace;
