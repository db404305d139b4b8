//! Which parameters mattered: functional analysis of variance.
//!
//! Hutter, Hoos and Leyton-Brown, "An efficient approach for assessing hyperparameter importance", 2014 (fANOVA). A random
//! forest is fitted to the losses. In each tree, which is constant on boxes, the variance of the loss over the whole space
//! splits exactly: into what each parameter explains alone, and what only combinations explain. A parameter's part is the
//! variance of the mean loss as a function of that parameter, all others averaged out.

mod forest;
mod tree;

use crate::{
    Error, Result,
    sampler::{Draw, History, Outcome},
    study::Study,
};
use forest::Forest;
use serde::{Deserialize, Serialize};

/// Complete trials that the figures need at least.
const TRIALS_MIN: usize = 10;

/// What one parameter explains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// The parameter.
    pub param: String,
    /// Its part of what all parameters explain alone; these add up to 1.
    pub share: f64,
    /// Its part of the whole variance of the forest. What is missing from a sum of 1 is explained by combinations only.
    pub of_variance: f64,
}

/// Importances, the greatest first. The seed makes the forest.
///
/// A parameter under a condition counts where it takes part; elsewhere it stands in the middle of its range. Pruned and
/// failed trials are left out. If all losses are equal, so are all shares.
///
/// # Errors
/// [`Error::TooFew`] with less than 10 complete trials.
pub fn importances(study: &Study, seed: u64) -> Result<Vec<Importance>> {
    let space = &study.settings().space;
    let history = History::of(space, study.settings().direction, study.trials());
    let complete = history.seen.iter().filter_map(|seen| match seen.outcome {
        Outcome::Complete(loss) => Some((seen.point.clone(), loss)),
        _ => None,
    });
    let (points, losses): (Vec<Vec<f64>>, Vec<f64>) = complete.unzip();
    if points.len() < TRIALS_MIN {
        return Err(Error::TooFew { what: "importance".to_string(), needed: TRIALS_MIN, got: points.len() });
    }
    let n_choices: Vec<Option<usize>> =
        space.axes().iter().map(|axis| axis.n_values().filter(|_| axis.is_choice()).map(|n| n as usize)).collect();
    let forest = Forest::grow(&points, &losses, &n_choices, &mut Draw::new(seed, 0));
    let of_variance = forest.main_effects();
    let sum: f64 = of_variance.iter().sum();
    let share = |part: f64| if sum > 0.0 { part / sum } else { 1.0 / of_variance.len() as f64 };
    let mut importances: Vec<Importance> = space
        .names()
        .zip(&of_variance)
        .map(|(name, &part)| Importance { param: name.to_string(), share: share(part), of_variance: part })
        .collect();
    importances.sort_by(|a, b| b.share.total_cmp(&a.share));
    Ok(importances)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Direction, Param, Params, Sampler, Settings, Space};

    fn shares(space: Space, n: usize, objective: impl Fn(&Params) -> f64) -> Vec<(String, f64, f64)> {
        let settings = Settings {
            space,
            direction: Direction::Maximise,
            sampler: Sampler::Sobol,
            pruner: Default::default(),
            seed: 3,
        };
        let mut study = Study::new(settings).unwrap();
        for _ in 0..n {
            let trial = study.ask().unwrap();
            study.tell(trial.number, objective(&trial.params)).unwrap();
        }
        let importances = importances(&study, 1).unwrap();
        assert!((importances.iter().map(|one| one.share).sum::<f64>() - 1.0).abs() < 1e-12);
        importances.into_iter().map(|one| (one.param, one.share, one.of_variance)).collect()
    }

    fn number(params: &Params, name: &str) -> f64 {
        params[name].as_f64().unwrap()
    }

    #[test]
    fn a_linear_function_splits_by_its_squared_slopes() {
        // Var(3a + b) on the unit square: 9/12 and 1/12; c has none.
        let space = Space::new(["a", "b", "c"].map(|name| (name, Param::float(0.0, 1.0)))).unwrap();
        let found = shares(space, 400, |params| 3.0 * number(params, "a") + number(params, "b"));
        assert_eq!(found.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        for ((_, share, _), expected) in found.iter().zip([0.9, 0.1, 0.0]) {
            assert!((share - expected).abs() < 0.02, "{found:?}");
        }
    }

    #[test]
    fn a_pure_interaction_is_explained_by_no_parameter_alone() {
        // (a − ½)(b − ½) has no main effects; 0.1·c has nearly the whole of what is explained alone.
        let space = Space::new(["a", "b", "c"].map(|name| (name, Param::float(0.0, 1.0)))).unwrap();
        let found = shares(space, 600, |params| {
            (number(params, "a") - 0.5) * (number(params, "b") - 0.5) + 0.1 * number(params, "c")
        });
        // Var = 1/144 and 0.01/12: c explains 0.107 of the whole.
        assert_eq!(found[0].0, "c");
        // A forest of 600 points takes some of the interaction for main effects.
        assert!(found[0].1 > 0.7 && (found[0].2 - 0.107).abs() < 0.05, "{found:?}");
    }

    #[test]
    fn choices_and_numbers_stand_side_by_side() {
        // A choice worth 0, 1 or 2: variance 2/3. A number of variance 4/12.
        let space = Space::new([("c", Param::categorical(["x", "y", "z"])), ("n", Param::float(0.0, 2.0))]).unwrap();
        let worth = |params: &Params| match params["c"].as_str() {
            Some("x") => 0.0,
            Some("y") => 1.0,
            _ => 2.0,
        };
        let found = shares(space, 300, |params| worth(params) + number(params, "n"));
        assert!(found[0].0 == "c" && (found[0].1 - 2.0 / 3.0).abs() < 0.03, "{found:?}");
    }

    #[test]
    fn equal_losses_give_equal_shares_and_few_trials_none() {
        let space = || Space::new(["a", "b"].map(|name| (name, Param::float(0.0, 1.0)))).unwrap();
        assert!(shares(space(), 20, |_| 1.0).iter().all(|(_, share, _)| *share == 0.5));
        let settings = Settings {
            space: space(),
            direction: Direction::Minimise,
            sampler: Sampler::Random,
            pruner: Default::default(),
            seed: 0,
        };
        let error = importances(&Study::new(settings).unwrap(), 0).unwrap_err();
        assert_eq!(error.to_string(), "importance needs 10 complete trials, got 0");
    }
}
