//! A study: what was tried, what came of it, and what to try next.

use crate::{
    Error, Result,
    pruner::Pruner,
    sampler::{self, Sampler},
    space::{Params, Space},
    trial::{Direction, Report, State, Trial},
};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The version of the stored form of a study.
const VERSION: u32 = 1;
/// Trials of one study.
const TRIALS_MAX: usize = 100_000;

/// What a study is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where to search.
    pub space: Space,
    /// Which values are good.
    pub direction: Direction,
    /// How points are chosen. Default: `auto`.
    #[serde(default)]
    pub sampler: Sampler,
    /// How trials without a prospect are found. Default: none.
    #[serde(default)]
    pub pruner: Pruner,
    /// Seed of all randomness. Default: 0.
    #[serde(default)]
    pub seed: u64,
}

/// A study: its settings, all trials, and given points that were not tried yet.
///
/// The next suggestion is a function of exactly these; a study that was stored and read goes on as if it had not been.
/// Several trials may run at a time.
///
/// ```
/// use loopwright_search::{Direction, Param, Settings, Space, Study};
///
/// let space = Space::new([("x", Param::float(-2.0, 2.0)), ("n", Param::int(1, 4))]).unwrap();
/// let settings = Settings { space, direction: Direction::Minimise, sampler: Default::default(), pruner: Default::default(), seed: 7 };
/// let mut study = Study::new(settings).unwrap();
/// for _ in 0..30 {
///     let trial = study.ask().unwrap();
///     let (x, n) = (trial.params["x"].as_f64().unwrap(), trial.params["n"].as_f64().unwrap());
///     study.tell(trial.number, (x - 1.0).powi(2) + n).unwrap();
/// }
/// assert!(study.best().and_then(|best| best.value()).unwrap() < 1.01);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Study {
    version: u32,
    settings: Settings,
    trials: Vec<Trial>,
    queue: VecDeque<Params>,
}

/// A study as it was stored, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    settings: Settings,
    trials: Vec<Trial>,
    queue: VecDeque<Params>,
}

impl TryFrom<Stored> for Study {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        let Stored { version, settings, trials, queue } = stored;
        if version != VERSION {
            return Err(Error::setting("study.version", &VERSION.to_string(), version));
        }
        let study = Self::resume(settings, trials)?;
        queue.iter().try_for_each(|params| study.settings.space.check_given(params))?;
        Ok(Self { queue, ..study })
    }
}

impl Study {
    /// A study without trials.
    ///
    /// # Errors
    /// [`Error::Setting`] if the sampler or pruner is set to what makes no sense.
    pub fn new(settings: Settings) -> Result<Self> {
        settings.sampler.check()?;
        settings.pruner.check()?;
        Ok(Self { version: VERSION, settings, trials: Vec::new(), queue: VecDeque::new() })
    }

    /// A study with the trials that it had; the next suggestion is the one that it would have made.
    ///
    /// # Errors
    /// Settings as in [`new`](Self::new); a trial whose number is not its place, or whose values are not in the space.
    pub fn resume(settings: Settings, trials: Vec<Trial>) -> Result<Self> {
        let study = Self::new(settings)?;
        for (index, trial) in trials.iter().enumerate() {
            if trial.number != index as u64 {
                return Err(Error::trial(trial.number, &format!("number {index} at this place"), trial.number));
            }
            if trial.is_running() == trial.finished_index.is_some() {
                return Err(Error::trial(
                    trial.number,
                    "a `finished_index` if it has finished, only then",
                    trial.state.name(),
                ));
            }
            study.settings.space.check(&trial.params)?;
        }
        Ok(Self { trials, ..study })
    }

    /// What it is about.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// All trials, by number.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// A trial by number.
    pub fn trial(&self, number: u64) -> Option<&Trial> {
        self.trials.get(usize::try_from(number).ok()?)
    }

    /// The complete trial with the best value, the first one of equals.
    pub fn best(&self) -> Option<&Trial> {
        let direction = self.settings.direction;
        let complete = self.trials.iter().filter_map(|trial| Some((direction.loss(trial.value()?), trial)));
        complete.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, trial)| trial)
    }

    /// Has a point tried before the sampler's next one. Parameters that are missing are left to the sampler.
    ///
    /// # Errors
    /// [`Error::Value`] if a value is not in the space.
    pub fn enqueue(&mut self, params: Params) -> Result<()> {
        self.settings.space.check_given(&params)?;
        self.queue.push_back(params);
        Ok(())
    }

    /// Begins the next trial.
    ///
    /// # Errors
    /// [`Error::Setting`] if the study has 100,000 trials.
    pub fn ask(&mut self) -> Result<Trial> {
        if self.trials.len() >= TRIALS_MAX {
            return Err(Error::setting("study.trials", &format!("at most {TRIALS_MAX}"), self.trials.len() + 1));
        }
        let Settings { space, direction, sampler, seed, .. } = &self.settings;
        let number = self.trials.len() as u64;
        let mut point = sampler::suggest(sampler, space, *direction, &self.trials, *seed);
        let given = self.queue.pop_front().unwrap_or_default();
        for (name, value) in &given {
            // `enqueue` checked both.
            if let Some((index, at)) = space.index(name).and_then(|i| Some((i, space.axes()[i].coordinate(value)?))) {
                point[index] = at;
            }
        }
        let mut params = space.decode(&point);
        for (name, value) in given {
            // As it was given: a coordinate and back is off by a rounding.
            params.entry(name).and_modify(|known| *known = value);
        }
        let trial =
            Trial { number, params, state: State::Running, reports: Vec::new(), diverged: None, finished_index: None };
        self.trials.push(trial.clone());
        Ok(trial)
    }

    /// Notes how a running trial does at a step, and says whether it should be given up.
    ///
    /// A value that is not finite is not kept; the answer is yes, and [`prune`](Self::prune) then makes it a failed trial.
    ///
    /// # Errors
    /// [`Error::Trial`] if it does not run, or the step is not greater than the last one.
    pub fn report(&mut self, number: u64, step: u64, value: f64) -> Result<bool> {
        let trial = self.running(number)?;
        if let Some(last) = trial.reports.last().filter(|last| last.step >= step) {
            return Err(Error::trial(number, &format!("a step after {}", last.step), step));
        }
        if !value.is_finite() {
            trial.diverged = Some(format!("step {step} reported {value}"));
            return Ok(true);
        }
        trial.reports.push(Report { step, value });
        Ok(self.settings.pruner.should_prune(&self.trials, number as usize, self.settings.direction))
    }

    /// Ends a trial with its value. One that is not finite makes it a failed trial.
    ///
    /// # Errors
    /// [`Error::Trial`] if it does not run.
    pub fn tell(&mut self, number: u64, value: f64) -> Result<&Trial> {
        let state = if value.is_finite() {
            State::Complete { value }
        } else {
            State::Failed { reason: format!("its value is {value}"), is_bad_point: true }
        };
        self.finish(number, state)
    }

    /// Ends a trial that was given up: without a value, but its reports count.
    ///
    /// # Errors
    /// [`Error::Trial`] if it does not run.
    pub fn prune(&mut self, number: u64) -> Result<&Trial> {
        let state = match self.running(number)?.diverged.clone() {
            None => State::Pruned,
            Some(reason) => State::Failed { reason, is_bad_point: true },
        };
        self.finish(number, state)
    }

    /// Ends a trial for a reason that says nothing about its point: a machine that died, a job that was cancelled.
    ///
    /// # Errors
    /// [`Error::Trial`] if it does not run.
    pub fn fail(&mut self, number: u64, reason: &str) -> Result<&Trial> {
        self.finish(number, State::Failed { reason: reason.to_string(), is_bad_point: false })
    }

    fn finish(&mut self, number: u64, state: State) -> Result<&Trial> {
        let n_finished = self.trials.iter().filter(|trial| !trial.is_running()).count() as u64;
        let trial = self.running(number)?;
        trial.state = state;
        trial.finished_index = Some(n_finished);
        Ok(trial)
    }

    fn running(&mut self, number: u64) -> Result<&mut Trial> {
        let found = usize::try_from(number).ok().and_then(|index| self.trials.get_mut(index));
        match found {
            None => Err(Error::trial(number, "a trial that was asked for", "none")),
            Some(trial) if trial.is_running() => Ok(trial),
            Some(trial) => Err(Error::trial(number, "a running trial", format!("a {} one", trial.state.name()))),
        }
    }
}

#[cfg(test)]
mod tests;
