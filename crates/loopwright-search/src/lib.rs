//! Search.
pub mod error;
pub mod pruner;
pub mod sampler;
pub mod space;
pub mod study;
pub mod trial;

pub use error::{Error, Kind, Result};
pub use pruner::Pruner;
pub use sampler::{CmaSettings, GpSettings, Sampler, TpeSettings};
pub use space::{Param, Params, Space};
pub use study::{Settings, Study};
pub use trial::{Direction, Report, State, Trial};
