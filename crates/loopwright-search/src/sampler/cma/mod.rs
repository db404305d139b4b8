//! CMA
use super::{Draw, History, random};
use crate::Result;
use serde::{Deserialize, Serialize};
/// Settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct CmaSettings {}
impl CmaSettings {
    pub(super) fn check(&self) -> Result<()> { Ok(()) }
}
pub(super) fn suggest(_s: &CmaSettings, history: &History<'_>, draw: &mut Draw) -> Vec<f64> { random(history.space, draw) }
