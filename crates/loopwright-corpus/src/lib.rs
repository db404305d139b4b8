//! What is done to corpora, text by the million: the published rules by which web text is filtered, and near-duplicates.
//!
//! [`quality`] has the filters of Gopher, C4 and FineWeb with their published bounds, and further operators and presets;
//! one view of a text ([`quality::Text`]) is counted once and shared by all of them. [`minhash`] finds near-duplicates in
//! two passes and bounded memory, and keeps the same documents as the pipelines that published corpora came out of.
//! Both are pure but for what a search puts aside in its work folder: `loopwright-data` makes steps of a recipe of them.
//!
//! ```
//! use loopwright_corpus::quality::{Text, gopher_quality};
//!
//! let reason = gopher_quality::check(&Text::new("too short"), &Default::default()).expect("it is dropped");
//! assert!(reason.text.contains("words"), "{}", reason.text);
//! ```

pub mod error;
pub mod minhash;
pub mod quality;
mod reason;

pub use error::{Error, Kind, Result};
pub use reason::Reason;
