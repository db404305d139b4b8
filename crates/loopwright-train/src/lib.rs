//! Training: settings and examples in, a model or an adapter out.
//!
//! A [`Job`] holds the resolved [`TrainSettings`], the weights to [`Start`] from and the [`TrainExample`]s; [`run`] takes
//! it step by step, shows [`Progress`] to an observer that may stop it, and leaves checkpoints. The order of the examples,
//! the fresh weights and the dropout follow from the seed, so the same job gives the same weights to the bit, also when it
//! was stopped in between and resumed. A job of [`PreferenceExample`]s learns which of two answers is better, one of
//! [`ClassExample`]s which class a text is of, one of [`PairExample`]s which texts belong together. [`recipe`] writes a job
//! down as data for another trainer, and [`reached`] takes over what that one left. The models, their losses and the
//! optimiser live a floor down, in `loopwright-lm`.
//!
//! ```
//! use loopwright_lm::{ModelConfig, Tokenizer, chat};
//! use loopwright_train::{Job, Length, Samples, Start, TrainExample, TrainSettings, pack, run};
//! use std::{ops::ControlFlow, time::Duration};
//!
//! let tokenizer = Tokenizer::train_bpe(&["where is my card"], 261, &chat::SPECIAL_TOKENS)?;
//! let texts = vec![tokenizer.encode("where is my card"); 8];
//! let settings = TrainSettings { length: Length::Epochs(2), batch_size: 4, ..TrainSettings::pretrain(7) };
//! let job = Job {
//!     settings: &settings,
//!     start: Start::Fresh(ModelConfig::sized(tokenizer.vocab_size(), 32, 1, 2)),
//!     examples: &pack(&texts, settings.sequence_len),
//!     validation: &[],
//!     checkpoints: None,
//!     samples: Samples::default(),
//!     clock: &|| Duration::ZERO,
//! };
//! let mut losses = Vec::new();
//! let trained = run(&job, |progress| {
//!     losses.push(progress.loss);
//!     ControlFlow::Continue(())
//! })?;
//! assert!(trained.finished && losses.len() as u64 == trained.step);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod checkpoint;
mod classes;
mod crew;
mod data;
mod error;
mod health;
mod objective;
mod plan;
mod preference;
mod recipe;
mod run;
mod samples;
mod schedule;
mod similarity;
mod step;

pub use classes::ClassExample;
pub use data::{TrainExample, epoch_batches, pack, pack_between};
pub use error::{Error, Kind, Result};
pub use plan::{Length, Method, TrainSettings};
pub use preference::{Preference, PreferenceExample};
pub use recipe::{Recipe, RecipeStep, reached, recipe};
pub use run::{Job, Progress, Start, Trained, run};
pub use samples::Samples;
pub use schedule::{Schedule, learning_rate};
pub use similarity::PairExample;
