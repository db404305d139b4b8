//! Hyperparameter search: what to try next, what to give up early, and which parameters mattered.
//!
//! A [`Study`] has a [`Space`] of parameters, a [`Sampler`] that chooses points, and a [`Pruner`] that finds trials without
//! a prospect. The caller asks for a trial, runs it, reports on the way if it likes, and tells its value. Nothing here runs
//! a trial, reads a clock or a file: the next suggestion is a function of the seed and of the trials so far, so that a
//! study that was stored and read goes on as if it had not been. [`importance`] says which parameters mattered, [`plot`]
//! has the data of pictures. `docs/search.md` is the page for users.
//!
//! ```
//! use loopwright_search::{Direction, Settings, Space, Study, importance};
//!
//! let space: Space = toml::from_str(
//!     r#"
//!     lr = { type = "float", low = 1e-5, high = 1e-1, log = true }
//!     layers = { type = "int", low = 1, high = 4 }
//!     "#,
//! )?;
//! let settings =
//!     Settings { space, direction: Direction::Minimise, sampler: Default::default(), pruner: Default::default(), seed: 1 };
//! let mut study = Study::new(settings)?;
//! for _ in 0..25 {
//!     let trial = study.ask()?;
//!     let lr = trial.params["lr"].as_f64().expect("a float is a number");
//!     study.tell(trial.number, (lr.log10() + 3.0).powi(2))?;
//! }
//! let best = study.best().expect("some trial is complete");
//! assert!((best.params["lr"].as_f64().expect("a float is a number").log10() + 3.0).abs() < 0.2);
//! assert_eq!(importance::importances(&study, 1)?[0].param, "lr");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod error;
pub mod importance;
pub mod plot;
pub mod pruner;
pub mod sampler;
pub mod space;
pub mod study;
pub mod trial;

pub use error::{Error, Kind, Result};
pub use importance::Importance;
pub use pruner::{AshaSettings, MedianSettings, Pruner};
pub use sampler::{CmaSettings, GpSettings, Sampler, TpeSettings};
pub use space::{Param, Params, Space, When};
pub use study::{Settings, Study};
pub use trial::{Direction, Report, State, Trial};
