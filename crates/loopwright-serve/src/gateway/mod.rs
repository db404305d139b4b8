//! The gateway: from a model name on the wire to the model version that answers.
//!
//! A client names a [`Route`](loopwright_types::deployment::Route); the [`RouteTable`] picks one of its variants by
//! weight, from a hash, so that the same trace always meets the same variant. What a changed route may do before its
//! models are ready is decided in [`settle`].

mod settle;
mod table;

pub use settle::{Settled, settle};
pub use table::{RouteTable, answer_tokens_max, bucket};
