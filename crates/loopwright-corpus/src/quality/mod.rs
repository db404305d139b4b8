//! The published rules by which web corpora are filtered, and a few of our own, as pure functions.
//!
//! | file | what it judges | source |
//! |---|---|---|
//! | [`gopher_quality`] | is it a text of words and sentences? | Rae et al. 2021 |
//! | [`gopher_repetition`] | does it repeat itself? | Rae et al. 2021, Table A1 |
//! | [`c4`] | which lines are sentences? (changes the text) | Raffel et al. 2020 |
//! | [`fineweb`] | is it a menu, a list, a template? | Penedo et al. 2024 |
//! | [`symbols`] | symbols, digits, words without letters | ours, after Gopher |
//! | [`words_list`] | words that you name | as C4 |
//! | [`urls`] | hosts and words of addresses that you name | Penedo et al. 2023 |
//! | [`boilerplate`] | lines that many documents share (two passes) | as CCNet |
//! | [`rows`] | conversations, instructions, labelled texts | ours |
//!
//! A [`Text`] is a document split into words once; the filters share it and each returns the first
//! [`Reason`](crate::Reason) it finds, with the measured figure and its bound. [`filters::Filters`] runs a list of
//! them, [`presets`] has the lists of the well-known corpora. Nothing allocates per word. The verdicts
//! of the four published filters are those of datatrove, the library that FineWeb was made with, given the same words;
//! `docs/quality.md` says how that was measured.
//!
//! ```
//! use loopwright_corpus::quality::{filters::Filters, presets};
//!
//! let filters = Filters::new(&presets::fineweb())?;
//! let dropped = filters.run("Home\nAbout us\nContact\nHome\n").unwrap_err();
//! assert_eq!(dropped.step, "gopher_repetition");
//! assert_eq!(dropped.reason.text, "share of characters in the most frequent 2-gram is 0.370, above 0.2");
//! # Ok::<(), loopwright_corpus::Error>(())
//! ```

pub mod boilerplate;
mod bounds;
pub mod c4;
mod classes;
pub mod filters;
pub mod fineweb;
pub mod gopher_quality;
pub mod gopher_repetition;
mod ngrams;
pub mod presets;
pub mod rows;
pub mod sentences;
pub mod symbols;
pub mod text;
pub mod urls;
pub mod words_list;

pub use text::Text;
