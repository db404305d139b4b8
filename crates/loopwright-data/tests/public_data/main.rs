//! What the algorithms do on real public rows, where they are at hand: `LOOPWRIGHT_DATASETS` names the folder.

// All of this file's modules are tests; the lints' own exception covers only functions marked as such.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod augmentation;
mod contamination;
mod labels;
mod rows;
