//! Watching a model that is in use: traces, metrics, feedback, drift.
//!
//! - [`sink::TraceSink`] keeps an answered request: personal data masked, written to a journal that survives a kill, and
//!   folded into the store in batches ([`fold`]). What there is no room for is dropped and counted; it never blocks.
//! - [`metrics::Metrics`] counts requests and latencies per route and variant, and renders them for Prometheus.
//! - [`feedback`] turns what people say about an answer into a checked and masked record.
//! - [`summary`] tells from traces and feedback how each variant does.
//! - [`drift`] compares recent inputs with a reference by a permutation test whose false-alarm rate is stated and held
//!   at any number of rows; [`budget`] turns a monthly budget of false alarms into the test's level.
//!
//! The server calls the sink for each answer, the pipeline's reconcilers call [`summary`] and [`drift`]. Nothing here
//! acts on what it sees.
//!
//! ```
//! use loopwright_observe::{budget, drift::{self, DriftSettings}};
//!
//! # fn main() -> loopwright_observe::Result<()> {
//! // One false alarm a month at most, checked four times a day.
//! let alpha = budget::alpha_for(1.0, 120.0)?;
//! let settings = DriftSettings { n_permutations: budget::n_permutations_for(alpha)?, alpha, ..DriftSettings::default() };
//! let before: Vec<String> = (0..40).map(|i| format!("where is my parcel number {i}")).collect();
//! let after: Vec<String> = (0..40).map(|i| format!("my new scooter {i} does not start")).collect();
//! assert!(drift::check(&before, &after, &settings)?.alarm);
//! # Ok(())
//! # }
//! ```

mod error;

pub mod budget;
pub mod drift;
pub mod entry;
pub mod features;
pub mod feedback;
pub mod fold;
pub mod histogram;
pub mod metrics;
pub mod sink;
pub mod summary;

pub use error::{Error, Kind, Result};
