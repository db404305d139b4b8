//! Where the stages of a model's life meet: the project, its jobs, and the loop that turns.
//!
//! A [`project::Project`] is read from `loopwright.toml` and opened as a [`context::Context`]: the project with its
//! store and somebody to report to. Each file in [`jobs`] is one thing that can be done to a project, and every command
//! of the program is one of them:
//!
//! ```text
//! collect → curate → train → judge → package → deploy → (traffic) → drift → retrain → canary → …
//! ```
//!
//! [`graph`] knows the order, [`runner`] runs a step once for the same input, [`work`] takes queued jobs, and
//! [`reconcile`] queues them when what is differs from what should be. [`walk`] is the demo: all of it in a row.
//! [`export`] writes the same graph for Kubeflow Pipelines and Airflow.
//!
//! This is the only crate in which one stage hears of another.

pub mod context;
pub mod error;
pub mod export;
pub mod graph;
pub mod jobs;
pub mod progress;
pub mod project;
pub mod reconcile;
pub mod runner;
mod tables;
pub mod walk;
pub mod work;

pub use context::Context;
pub use error::{Error, Kind, Result};
pub use loopwright_data::{card::to_markdown as data_card_markdown, diff, flow, recipe as recipes};
pub use loopwright_lm::keep_tensors_on_one_thread;
pub use loopwright_search as search;
pub use loopwright_sources as sources;
pub use loopwright_store as store;
