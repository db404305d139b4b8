//! The words of the domain: what every other crate of Loopwright talks about.
//!
//! A model's life is a circle of immutable records:
//!
//! ```text
//! DatasetVersion → Run → ModelVersion → Evaluation → Route → Trace → Feedback → DatasetVersion …
//! ```
//!
//! Each of them is an [`Entity`]: a plain struct with a kind, an id and a state, that the store keeps as it is. What
//! came from what is told by [`lineage::Edge`]s between [`EntityRef`]s, and every change of any of them is an
//! [`event::Event`] in one hash-chained log.
//!
//! Nothing here performs IO, reads a clock or draws a random number: ids and times are made by the store and come in
//! as values.
//!
//! ```
//! use loopwright_types::{DatasetRef, Entity, EntityRef, model::ModelRef};
//!
//! let data = DatasetRef::new("support", 1);
//! assert_eq!(data.to_string(), "support@1");
//! assert_eq!("support@1".parse::<DatasetRef>().unwrap(), data);
//! assert_eq!(EntityRef::from(&ModelRef::new("support", 2)).to_string(), "model_version:support@2");
//! ```

pub mod answer;
pub mod conversation;
pub mod dataset;
pub mod deployment;
pub mod drift;
pub mod entity;
pub mod event;
pub mod explain;
pub mod feedback;
pub mod id;
pub mod job;
pub mod key;
pub mod lineage;
pub mod model;
pub mod openai;
pub mod prompt;
pub mod run;
pub mod score;
pub mod subject;
pub mod time;
pub mod trace;

pub use conversation::Conversation;
pub use dataset::{DatasetRef, DatasetVersion, Example, SourceRow, Split};
pub use entity::{Entity, EntityRef};
pub use id::Digest;
pub use model::{ModelRef, ModelVersion};
pub use time::Timestamp;
