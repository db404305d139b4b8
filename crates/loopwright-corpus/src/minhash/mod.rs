//! Duplicates in corpora that are larger than memory: near ones by MinHash, exact ones by a hash of the words.
//!
//! `loopwright_data::dedup` is for short messages. This module is for documents by the million, and its
//! survivors are those of datatrove's pipeline (`MinhashDedupSignature` to `MinhashDedupFilter`, version 0.10) at the same
//! settings and with whitespace words, to the document; see `docs/near-duplicates.md`.
//!
//! 1. [`Signer`] cuts a text into [`Words`], hashes each run of five and keeps the least value of 112 permutations: the
//!    [`Signature`] (Broder 1997). Documents without five words have none, and are always kept.
//! 2. [`Finder::add`] signs batches in parallel. A signature is cut into 14 buckets of 8 values; each gives a record, the
//!    values and the document's index. Full memory is sorted and written as a run.
//! 3. [`Finder::finish`] merges the runs of each bucket. Neighbours that agree in all 8 values are a pair: what datatrove,
//!    and before it Lee et al., "Deduplicating Training Data Makes Language Models Better" (ACL 2022), take for likeness;
//!    nothing is compared again.
//! 4. Pairs are joined bucket by bucket, in the order of the values, into [`Clusters`], and one document of each stays.
//!    Which one depends on that order alone, and so neither on batches, nor on threads, nor on memory.
//!
//! [`clusters`] does the same with documents that all are in memory, and without a folder.
//!
//! The bound on memory: `memory_bytes` for whatever waits, sorts or merges, and never less than four bytes for each
//! document, which the clusters need in the end. A document takes 952 bytes on disk, and twice as much for a while
//! if the runs are too many to be merged in one round.

mod buffer;
mod coverage;
mod finder;
mod forest;
mod held;
mod merge;
mod method;
mod pairs;
mod punctuation;
mod random;
mod run;
mod segment;
mod settings;
mod sign;
mod words;

pub use finder::{Finder, MEMORY_BYTES_MIN};
pub use forest::{Cluster, Clusters, DOCUMENTS_MAX};
pub use held::clusters;
pub use settings::{MinHashSettings, ShingleHash};
pub use sign::{Scratch, Signature, Signer};
pub use words::{Simplify, Words};
