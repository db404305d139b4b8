//! A run as data: what another trainer needs to take the very steps that [`crate::run`] takes, and the way back.
//!
//! The other trainer leaves checkpoints as this one does, in the same format and of the same plan; [`reached`] makes of
//! the last one what a run returns.

use crate::{
    checkpoint,
    data::{TrainExample, epoch_batches},
    error::{Error, Kind, Result},
    objective::{self, Objective},
    plan::TrainSettings,
    run::{Job, Trained, base_of, chosen, identity, start},
    schedule::learning_rate,
};
use loopwright_lm::Model;

/// Everything that decides what a run makes, but the numbers of its examples' tokens.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Identity of the plan; every checkpoint carries it.
    pub plan: String,
    /// The weights that the run starts from: a whole model that learns, or a base under the adapter that learns.
    pub start: Model,
    /// What each step does.
    pub steps: Vec<RecipeStep>,
    /// The validation examples in batches, by number.
    pub validation: Vec<Vec<usize>>,
}

/// What an optimiser step does.
#[derive(Clone, Debug, PartialEq)]
pub struct RecipeStep {
    /// Learning rate.
    pub lr: f64,
    /// The examples of each forward pass, by number.
    pub passes: Vec<Vec<usize>>,
    /// Tokens that are predicted in all passes; the loss is the mean over them.
    pub n_predictions: u64,
    /// Tokens read.
    pub n_tokens: u64,
}

/// A job as data. Refuses what [`crate::run`] refuses before its first step.
pub fn recipe(job: &Job) -> Result<Recipe> {
    let settings = job.settings;
    check(job)?;
    let lengths: Vec<usize> = job.examples.iter().map(Objective::n_tokens).collect();
    let mut course = Course::new(settings, &lengths);
    let of = |numbers: &[Vec<usize>], count: fn(&TrainExample) -> usize| {
        numbers.iter().flatten().map(|i| count(&job.examples[*i]) as u64).sum()
    };
    let steps = (0..course.n_steps).map(|at| {
        let passes = course.passes(at).to_vec();
        let (n_predictions, n_tokens) = (of(&passes, n_predicted), of(&passes, Objective::n_tokens));
        RecipeStep { lr: course.lr(at), passes, n_predictions, n_tokens }
    });
    let steps = steps.collect();
    let validation = objective::by_length(job.validation).chunks(settings.batch_size).map(<[usize]>::to_vec).collect();
    Ok(Recipe { plan: identity(job)?, start: start(job)?, steps, validation })
}

/// How far the checkpoints in the job's folder have come: a run that another trainer took its steps for. The validation
/// loss is known only of a run that was stopped early, and the last step's progress of none.
pub fn reached(job: &Job) -> Result<Trained> {
    check(job)?;
    let missing = || Error::new(Kind::BadCheckpoint, "the run left no checkpoint");
    let dir = job.checkpoints.ok_or_else(missing)?;
    let (state, path) = checkpoint::latest(dir, &identity(job)?)?.ok_or_else(missing)?;
    let (model, _) = checkpoint::load(&path, base_of(job).as_ref(), job.settings.clone())?;
    let trained = Trained {
        model,
        step: state.step,
        best_step: state.step,
        finished: state.step >= job.settings.n_steps(job.examples.len()) || state.health.is_over(job.settings),
        n_tokens: state.n_tokens,
        last: None,
        validation_loss: None,
        validation_metrics: Vec::new(),
    };
    if trained.finished { chosen(job, trained, &state.health, None) } else { Ok(trained) }
}

/// Refuses settings and examples that no run can begin with.
pub(crate) fn check<E: Objective>(job: &Job<E>) -> Result<()> {
    job.settings.check()?;
    if job.examples.is_empty() {
        return Err(Error::new(Kind::BadData, "there are no examples to learn from"));
    }
    objective::check(job.examples, job.settings.sequence_len)?;
    objective::check(job.validation, job.settings.sequence_len)
}

fn n_predicted(example: &TrainExample) -> usize {
    example.loss_mask.iter().skip(1).filter(|counts| **counts).count()
}

/// Which examples each step takes, and at which rate. Every trainer follows it.
pub(crate) struct Course<'a> {
    settings: &'a TrainSettings,
    lengths: &'a [usize],
    pub n_steps: u64,
    steps_each: u64,
    /// The epoch under way and its batches.
    epoch: (u64, Vec<Vec<usize>>),
}

impl<'a> Course<'a> {
    /// Over examples of these lengths in tokens.
    pub(crate) fn new(settings: &'a TrainSettings, lengths: &'a [usize]) -> Self {
        let (n_steps, steps_each) = (settings.n_steps(lengths.len()), settings.steps_each(lengths.len()));
        Self { settings, lengths, n_steps, steps_each, epoch: (u64::MAX, Vec::new()) }
    }

    /// The forward passes of the step that follows `at` others.
    pub(crate) fn passes(&mut self, at: u64) -> &[Vec<usize>] {
        let (settings, number) = (self.settings, at / self.steps_each);
        if self.epoch.0 != number {
            self.epoch = (number, epoch_batches(self.lengths, settings.batch_size, settings.seed, number));
        }
        let first = (at % self.steps_each) as usize * settings.gradient_accumulation_steps;
        &self.epoch.1[first..(first + settings.gradient_accumulation_steps).min(self.epoch.1.len())]
    }

    /// Its learning rate.
    pub(crate) fn lr(&self, at: u64) -> f64 {
        let n_warmup = self.settings.n_warmup(self.n_steps);
        learning_rate(self.settings.schedule, at, (self.n_steps, n_warmup), self.settings.lr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::Length,
        run::{Start, run},
    };
    use loopwright_lm::ModelConfig;
    use std::{ops::ControlFlow, time::Duration};

    #[test]
    fn a_recipe_tells_the_steps_that_a_run_takes_and_its_checkpoints_are_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let base = Model::init(&ModelConfig::sized(300, 32, 1, 2), 1).unwrap();
        let examples: Vec<TrainExample> = (0..7).map(|n| TrainExample::whole((0..4 + n).collect())).collect();
        let settings = TrainSettings {
            batch_size: 2,
            gradient_accumulation_steps: 2,
            length: Length::Epochs(3),
            ..TrainSettings::lora(3)
        };
        let job = Job {
            settings: &settings,
            start: Start::NewAdapter(base),
            examples: &examples,
            validation: &[],
            checkpoints: Some(dir.path()),
            samples: crate::samples::Samples::default(),
            clock: &|| Duration::ZERO,
        };
        let recipe = recipe(&job).unwrap();
        assert_eq!(reached(&job).unwrap_err().kind(), Kind::BadCheckpoint);
        let mut rates = Vec::new();
        let stopped = run(&job, |at| {
            rates.push(at.lr);
            if at.step == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(!stopped.unwrap().finished);
        let half = reached(&job).unwrap();
        assert_eq!((half.step, half.finished), (4, false));
        let trained = run(&job, |at| {
            rates.push(at.lr);
            ControlFlow::Continue(())
        });
        let trained = trained.unwrap();
        assert_eq!(recipe.steps.iter().map(|step| step.lr).collect::<Vec<_>>(), rates);
        assert_eq!(recipe.steps.iter().map(|step| step.n_tokens).sum::<u64>(), trained.n_tokens);
        // Every token but a row's first is predicted, three times.
        let n_predictions = 3 * examples.iter().map(|row| row.tokens.len() as u64 - 1).sum::<u64>();
        assert_eq!(recipe.steps.iter().map(|step| step.n_predictions).sum::<u64>(), n_predictions);
        let whole = reached(&job).unwrap();
        assert_eq!((whole.step, whole.finished, whole.n_tokens), (trained.step, true, trained.n_tokens));
        let weights = |model: &Model| -> Vec<Vec<f32>> {
            let all = model.trainable_parameters();
            all.iter().map(|(_, var)| var.flatten_all().unwrap().to_vec1().unwrap()).collect()
        };
        assert_eq!(weights(&whole.model), weights(&trained.model));
        assert_ne!(weights(&whole.model), weights(&recipe.start));
    }
}
