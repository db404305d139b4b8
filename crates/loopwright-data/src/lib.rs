//! From raw rows to a dataset version: clean, filter, deduplicate, mask, split; and the example project's data.
//!
//! Rows come from `loopwright-sources` as [`SourceRow`](loopwright_types::SourceRow)s.
//! [`recipe::curate`] runs a [`recipe::Recipe`] over them: an ordered list of the operators in [`clean`], each a pure
//! function with a count and a reason for every row it leaves out ([`recipe::operators()`] lists them). [`flow::run`] does the same for more rows than fit in
//! memory. [`extend::extend`] makes the next version from the last one and people's corrections. [`version::digest`]
//! names the result, [`card::to_markdown`] describes it. [`example::generate`] writes the support desk that the demo
//! works on. What is done to text by the million is in `loopwright-corpus`.
//!
//! Nothing here stores anything but what a flow puts aside in its work folder: rows come in as values and go out as
//! values, and the same rows, recipe and seed give the same version.
//!
//! ```
//! use loopwright_data::recipe::{CurateContext, Recipe, Resources, curate};
//! use loopwright_guard::{RedactPolicy, Redactor};
//!
//! let file = b"text,label\nwhere is my parcel?,track_order\nWhere is my parcel,track_order\nmail me: a@b.example,contact\n";
//! let reads = loopwright_sources::open_reader("mail.csv", &file[..], &Default::default(), &Default::default());
//! let rows = loopwright_sources::ReadRows::of(reads, &|id| id.into())?.rows;
//! let redactor = Redactor::new(&RedactPolicy::default());
//! let (opted_out, resources) = (Default::default(), Resources::none());
//! let ctx = CurateContext { redactor: &redactor, known: &|_| vec![], opted_out: &opted_out, seed: 1, resources };
//! let curated = curate(rows, &Recipe::default(), &ctx)?;
//! assert_eq!(curated.examples[1].text, "mail me: <EMAIL>");
//! assert_eq!(curated.dropped[0].reason, "same text as mail.csv-1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod augment;
mod book;
pub mod card;
pub mod clean;
pub mod coverage;
pub mod decontaminate;
pub mod dedup;
pub mod diff;
pub mod diversity;
pub mod draft;
mod eigen;
pub mod embed;
pub mod embedding_dedup;
pub mod error;
pub mod example;
pub mod expectations;
pub mod extend;
pub mod flow;
mod histogram;
pub mod kmeans;
pub mod label_check;
pub mod linear;
pub mod profile;
pub mod proportion;
pub mod recipe;
pub mod rows;
pub mod sample;
pub mod tokens;
pub mod version;

pub use error::{Error, Kind, Result};
