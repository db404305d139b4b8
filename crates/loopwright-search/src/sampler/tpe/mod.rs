//! TPE, the tree-structured Parzen estimator, over all parameters at once.
//!
//! Finished points are split: the best tenth (25 at most), and the rest. Each part becomes a density, l and g, a mixture
//! of one kernel per point. Points are drawn from l, and the one with the greatest l/g is tried, which is the one of
//! greatest expected improvement (Bergstra et al. 2011). Kernels are products over all parameters, so that what goes
//! together stays together (Falkner et al. 2018, BOHB). Running trials count as bad ones, so that parallel suggestions
//! keep apart (Ginsbourger et al. 2010, constant liar). Pruned trials come after the complete ones, the ones that came far
//! first; trials whose point is to blame come last.

mod parzen;

use super::{Draw, History, Outcome, Seen, random};
use crate::{Error, Result};
use parzen::Parzen;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Settings of the tree-structured Parzen estimator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TpeSettings {
    /// Random trials before the estimator is asked. Default: 10.
    pub n_startup_trials: usize,
    /// Points drawn from the good density for one suggestion. More exploit more. Default: 24.
    pub n_candidates: usize,
    /// Share of the finished trials that are good. Default: 0.1.
    pub good_share: f64,
    /// Good trials at most. Default: 25.
    pub n_good_max: usize,
}

impl Default for TpeSettings {
    fn default() -> Self {
        Self { n_startup_trials: 10, n_candidates: 24, good_share: 0.1, n_good_max: 25 }
    }
}

impl TpeSettings {
    pub(super) fn check(&self) -> Result<()> {
        if !(1..=10_000).contains(&self.n_startup_trials) {
            return Err(Error::setting("tpe.n_startup_trials", "1 to 10000", self.n_startup_trials));
        }
        if !(1..=10_000).contains(&self.n_candidates) {
            return Err(Error::setting("tpe.n_candidates", "1 to 10000", self.n_candidates));
        }
        if !(self.good_share > 0.0 && self.good_share < 1.0) {
            return Err(Error::setting("tpe.good_share", "between 0 and 1", self.good_share));
        }
        if !(1..=1000).contains(&self.n_good_max) {
            return Err(Error::setting("tpe.n_good_max", "1 to 1000", self.n_good_max));
        }
        Ok(())
    }
}

pub(super) fn suggest(settings: &TpeSettings, history: &History<'_>, draw: &mut Draw) -> Vec<f64> {
    if history.n_finished() < settings.n_startup_trials {
        return random(history.space, draw);
    }
    let mut order: Vec<&Seen> = history.seen.iter().collect();
    order.sort_by(|a, b| better_first(a, b));
    let n_good = (settings.good_share * history.n_finished() as f64).ceil() as usize;
    let (good, rest) = order.split_at(n_good.clamp(1, settings.n_good_max).min(order.len()));
    let (good, rest) = (Parzen::of(history.space, good), Parzen::of(history.space, rest));
    let mut best: Option<(f64, Vec<f64>)> = None;
    for _ in 0..settings.n_candidates {
        let point = good.draw(draw);
        let active = history.space.active(&point);
        let score = good.log_density(&point, &active) - rest.log_density(&point, &active);
        if best.as_ref().is_none_or(|(known, _)| score > *known) {
            best = Some((score, point));
        }
    }
    best.map_or_else(|| random(history.space, draw), |(_, point)| point)
}

/// Complete ones by loss, pruned ones by how far they came and by loss, bad ones, running ones.
fn better_first(a: &Seen, b: &Seen) -> Ordering {
    let rank = |seen: &Seen| match seen.outcome {
        Outcome::Complete(loss) => (0, 0, loss),
        Outcome::Pruned(step, loss) => (1, u64::MAX - step, loss),
        Outcome::Bad => (2, 0, 0.0),
        Outcome::Running => (3, 0, 0.0),
    };
    let (a, b) = (rank(a), rank(b));
    (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2))
}
