//! One optimiser step: loss, gradients, new weights.

use crate::{
    crew::Crew,
    error::{Error, Kind, Result},
    objective::{Learning, Measured, Objective, Share},
    plan::TrainSettings,
    preference::Preference,
};
use candle_core::backprop::GradStore;
use loopwright_lm::{AdamW, Model};

/// What a step measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    /// Mean loss of the batch before the step.
    pub loss: f32,
    /// How the step's pairs stood, where there are pairs.
    pub preference: Option<Preference>,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
}

/// How a step is taken.
#[derive(Clone, Copy)]
pub(crate) struct Pace<'a> {
    pub settings: &'a TrainSettings,
    /// The threads of the run.
    pub crew: &'a Crew,
    /// Learning rate of this step.
    pub lr: f64,
    /// Seed of this step's dropout masks.
    pub dropout_seed: u64,
}

/// Examples of a failed step that its message names.
const EXAMPLES_NAMED: usize = 32;

/// Takes one step on some examples, forward pass by forward pass.
///
/// The examples of a pass are dealt into parts whose losses and gradients are computed at the same time and added in their order:
/// operations as small as those of a small model are worth a second thread only in this way.
pub(crate) fn step<E: Objective>(
    model: &Model,
    optimizer: &mut AdamW,
    (from, passes): (Measured<E>, &[Vec<usize>]),
    pace: &Pace,
) -> Result<Step> {
    let doing = format!("failed at training step {}", optimizer.n_steps() + 1);
    let failed = |source| Error::model(doing.clone(), source);
    let deal =
        |which: &[usize], part: usize| which.iter().copied().skip(part).step_by(E::PARTS).collect::<Vec<usize>>();
    let of_pass = |which: &Vec<usize>| -> Result<Vec<E::Part>> {
        (0..E::PARTS.min(which.len())).map(|part| E::part(from, &deal(which, part))).collect()
    };
    let passes_parts = passes.iter().map(of_pass).collect::<Result<Vec<_>>>()?;
    let total = passes_parts.iter().flatten().map(E::weight).sum::<loopwright_lm::Result<f32>>().map_err(failed)?;
    let mut sum: Option<(Share, GradStore)> = None;
    for (pass, parts) in passes_parts.iter().enumerate() {
        let how = |part: usize| Learning {
            settings: pace.settings,
            total,
            dropout_seed: pace.dropout_seed ^ (((pass * E::PARTS + part) as u64) << 48),
        };
        for result in pace.crew.side_by_side(parts, |i, part| E::gradients(part, model, how(i))) {
            let (share, gradients) = result.map_err(failed)?;
            sum = Some(match sum {
                None => (share, gradients),
                Some((sum, mut all)) => {
                    all.extend(gradients).map_err(|source| failed(source.into()))?;
                    (sum.plus(share), all)
                }
            });
        }
    }
    let Some((Share { loss, preference }, gradients)) = sum else {
        return Err(Error::new(Kind::BadData, format!("{doing}: a batch without examples")));
    };
    if !loss.is_finite() {
        return Err(Error::new(Kind::NotFinite, format!("{doing}: the loss of examples {} is {loss}", named(passes))));
    }
    let gradient_norm = optimizer.step(&gradients, pace.lr).map_err(|source| match source.kind() {
        loopwright_lm::Kind::NotFinite => Error::model(format!("{doing}, on examples {}", named(passes)), source),
        _ => failed(source),
    })?;
    Ok(Step { loss, preference, gradient_norm })
}

/// The examples of a step, by their numbers.
fn named(passes: &[Vec<usize>]) -> String {
    let mut all: Vec<String> = passes.iter().flatten().take(EXAMPLES_NAMED).map(ToString::to_string).collect();
    if passes.iter().map(Vec::len).sum::<usize>() > EXAMPLES_NAMED {
        all.push("…".into());
    }
    all.join(", ")
}
