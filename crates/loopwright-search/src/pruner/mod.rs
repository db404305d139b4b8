//! Pruners.
use crate::{Result, trial::{Direction, Trial}};
use serde::{Deserialize, Serialize};
/// How trials without a prospect are found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Pruner {
    /// None.
    #[default]
    None,
}
impl Pruner {
    pub(crate) fn check(&self) -> Result<()> { Ok(()) }
    pub(crate) fn should_prune(&self, _: &[Trial], _: usize, _: Direction) -> bool { false }
}
