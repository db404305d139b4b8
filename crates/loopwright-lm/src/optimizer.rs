//! AdamW (Loshchilov & Hutter 2019), with the gradient clipped to a norm over all parameters.
//!
//! m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w − lr·(m̂/(√v̂ + ε) + λw), with the bias corrections m̂, v̂. Decay λ is for
//! matrices; norms are left alone.

use crate::{
    error::{Error, Kind, Result},
    kernel::{dot, each, map, wide},
    ops,
    weights::{self, WeightFile},
};
use candle_core::{CpuStorage, InplaceOp2, Layout, Var, backprop::GradStore};
use serde::{Deserialize, Serialize};
use std::{path::Path, sync::Mutex};

/// Settings of [`AdamW`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamWSettings {
    /// Memory of the mean gradient.
    pub beta_1: f64,
    /// Memory of the mean square.
    pub beta_2: f64,
    /// Added to the root of the mean square.
    pub eps: f64,
    /// Decay of matrices for each unit of learning rate.
    pub weight_decay: f64,
    /// Largest norm of a step's gradient; longer ones are scaled down. None leaves them.
    pub grad_clip: Option<f64>,
}

impl Default for AdamWSettings {
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.98, eps: 1e-8, weight_decay: 0.01, grad_clip: Some(1.0) }
    }
}

/// The optimiser of some named parameters, with its moments.
#[derive(Debug)]
pub struct AdamW {
    settings: AdamWSettings,
    parameters: Vec<Parameter>,
    n_steps: u64,
}

#[derive(Debug)]
struct Parameter {
    name: String,
    var: Var,
    mean: Vec<f32>,
    square: Vec<f32>,
}

/// What one step does to every number, with the bias corrections worked in.
#[derive(Clone, Copy)]
struct Update {
    gradient_scale: f32,
    beta_1: f32,
    beta_2: f32,
    rate: f32,
    square_correction: f32,
    eps: f32,
    keep: f32,
}

/// Moments of one parameter and the update, as an in-place operation on its weights.
struct Apply<'a> {
    moments: Mutex<(&'a mut [f32], &'a mut [f32])>,
    update: Update,
}

/// Numbers that one task takes.
const BLOCK: usize = 1 << 14;

impl InplaceOp2 for Apply<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, s1: &mut CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> candle_core::Result<()> {
        let gradient = ops::slice(s2, l2)?;
        let (Some((start, end)), CpuStorage::F32(weights)) = (l1.contiguous_offsets(), s1) else {
            candle_core::bail!("expected contiguous f32 weights, got {l1:?}")
        };
        let mut moments = self.moments.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (mean, square) = &mut *moments;
        let update = self.update;
        let moments = mean.chunks_mut(BLOCK).zip(square.chunks_mut(BLOCK));
        let tasks = weights[start..end].chunks_mut(BLOCK).zip(moments).zip(gradient.chunks(BLOCK));
        each(tasks, |((weights, (mean, square)), gradient)| {
            wide!({
                for (((w, m), v), g) in weights.iter_mut().zip(mean).zip(square).zip(gradient) {
                    let g = g * update.gradient_scale;
                    *m = update.beta_1 * *m + (1.0 - update.beta_1) * g;
                    *v = update.beta_2 * *v + (1.0 - update.beta_2) * g * g;
                    *w = update.keep * *w - update.rate * *m / ((*v * update.square_correction).sqrt() + update.eps);
                }
            });
        });
        Ok(())
    }
}

impl AdamW {
    /// An optimiser at step 0 for the given parameters.
    pub fn new(parameters: Vec<(String, Var)>, settings: AdamWSettings) -> Self {
        let parameters = parameters
            .into_iter()
            .map(|(name, var)| {
                let n = var.elem_count();
                Parameter { name, var, mean: vec![0.0; n], square: vec![0.0; n] }
            })
            .collect();
        Self { settings, parameters, n_steps: 0 }
    }

    /// Steps taken.
    pub fn n_steps(&self) -> u64 {
        self.n_steps
    }

    /// One step at the learning rate `lr`; returns the gradient's norm before clipping. Every parameter must have a
    /// gradient: a missing one is refused by name, and an infinite norm before anything changes.
    pub fn step(&mut self, gradients: &GradStore, lr: f64) -> Result<f64> {
        let mut sum = 0.0;
        for parameter in &self.parameters {
            let Some(gradient) = gradients.get(&parameter.var) else {
                return Err(Error::new(Kind::Bug, format!("parameter `{}` got no gradient", parameter.name)));
            };
            sum += sum_of_squares(&ops::read(gradient)?);
        }
        let norm = sum.sqrt();
        if !norm.is_finite() {
            return Err(Error::new(Kind::NotFinite, format!("the gradient's norm is {norm} at step {}", self.n_steps)));
        }
        self.n_steps += 1;
        let clip = self.settings.grad_clip.map_or(1.0, |limit| (limit / norm.max(f64::MIN_POSITIVE)).min(1.0));
        for parameter in &mut self.parameters {
            let Some(gradient) = gradients.get(&parameter.var) else { continue };
            let update = update(self.settings, self.n_steps, lr, (clip, parameter.var.rank()));
            let moments = Mutex::new((parameter.mean.as_mut_slice(), parameter.square.as_mut_slice()));
            parameter.var.inplace_op2(gradient, &Apply { moments, update })?;
        }
        Ok(norm)
    }

    /// Writes the moments and the step count as safetensors.
    pub fn save(&self, path: &Path) -> Result<()> {
        let names: Vec<_> = self.parameters.iter().map(|p| moment_names(&p.name)).collect();
        // Two halves of 24 bits each, which f32 holds exactly.
        let steps = [(self.n_steps >> 24) as f32, (self.n_steps & 0xff_ffff) as f32];
        let moments = self.parameters.iter().zip(&names).flat_map(|(parameter, (mean, square))| {
            let shape = parameter.var.dims();
            [(mean.as_str(), shape, parameter.mean.as_slice()), (square.as_str(), shape, parameter.square.as_slice())]
        });
        weights::write_numbers(path, moments.chain([("n_steps", [2].as_slice(), steps.as_slice())]))
    }

    /// Reads what [`AdamW::save`] wrote for the same parameters.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let mut file = WeightFile::read(path)?;
        for parameter in &mut self.parameters {
            let (mean, square) = moment_names(&parameter.name);
            parameter.mean = file.take(&mean, parameter.var.dims())?;
            parameter.square = file.take(&square, parameter.var.dims())?;
        }
        let steps = file.take("n_steps", &[2])?;
        self.n_steps = ((steps[0] as u64) << 24) | steps[1] as u64;
        file.finish()
    }
}

fn moment_names(name: &str) -> (String, String) {
    (format!("exp_avg.{name}"), format!("exp_avg_sq.{name}"))
}

fn update(settings: AdamWSettings, step: u64, lr: f64, (clip, rank): (f64, usize)) -> Update {
    let step = step as f64;
    let decay = if rank >= 2 { settings.weight_decay } else { 0.0 };
    Update {
        gradient_scale: clip as f32,
        beta_1: settings.beta_1 as f32,
        beta_2: settings.beta_2 as f32,
        rate: (lr / (1.0 - settings.beta_1.powf(step))) as f32,
        square_correction: (1.0 / (1.0 - settings.beta_2.powf(step))) as f32,
        eps: settings.eps as f32,
        keep: (1.0 - lr * decay) as f32,
    }
}

/// Partial sums of fixed blocks, added in their order.
fn sum_of_squares(numbers: &[f32]) -> f64 {
    let parts = map(numbers.chunks(BLOCK), |block| f64::from(wide!(dot(block, block))));
    parts.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn parameter(numbers: &[f32]) -> (String, Var) {
        ("w".into(), Var::from_slice(numbers, (1, numbers.len()), &Device::Cpu).unwrap())
    }

    #[test]
    fn two_steps_by_hand() {
        // Loss w², so g = 2w. Without decay and clipping the first step is lr·g/(|g|+ε) = lr, whatever g is.
        let settings = AdamWSettings { weight_decay: 0.0, grad_clip: None, beta_1: 0.9, beta_2: 0.99, eps: 0.0 };
        let (name, var) = parameter(&[1.0]);
        let mut optimizer = AdamW::new(vec![(name, var.clone())], settings);
        let mut step = |lr| {
            let loss = var.sqr().unwrap().sum_all().unwrap();
            optimizer.step(&loss.backward().unwrap(), lr).unwrap();
            var.to_vec2::<f32>().unwrap()[0][0]
        };
        assert!((step(0.1) - 0.9).abs() < 1e-6);
        // m = 0.9·0.2 + 0.1·1.8 = 0.36, m̂ = 0.36/0.19; v = 0.99·0.04 + 0.01·3.24 = 0.072, v̂ = 0.072/0.0199.
        let want = 0.9 - 0.1 * (0.36 / 0.19) / f32::sqrt(0.072 / 0.0199);
        assert!((step(0.1) - want).abs() < 1e-6);
    }

    #[test]
    fn clipping_decay_and_reported_norm() {
        // g = 2w = (6, 8) has norm 10; Adam's first step is lr in each direction, decay takes lr·λ·w.
        let settings = AdamWSettings { weight_decay: 0.5, grad_clip: Some(1.0), eps: 0.0, ..Default::default() };
        let (name, var) = parameter(&[3.0, 4.0]);
        let mut optimizer = AdamW::new(vec![(name, var.clone())], settings);
        let norm = optimizer.step(&var.sqr().unwrap().sum_all().unwrap().backward().unwrap(), 0.1).unwrap();
        assert!((norm - 10.0).abs() < 1e-5);
        let got = var.to_vec2::<f32>().unwrap();
        for (got, want) in got[0].iter().zip([3.0 * 0.95 - 0.1, 4.0 * 0.95 - 0.1]) {
            assert!((got - want).abs() < 1e-6);
        }
    }

    #[test]
    fn a_missing_or_infinite_gradient_changes_nothing() {
        let (name, var) = parameter(&[1.0]);
        let mut optimizer = AdamW::new(vec![(name, var.clone())], AdamWSettings::default());
        let other = Var::from_slice(&[1f32], 1, &Device::Cpu).unwrap();
        let unrelated = other.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        assert!(optimizer.step(&unrelated, 0.1).unwrap_err().to_string().contains("`w`"));
        let infinite = (var.sum_all().unwrap() * f64::INFINITY).unwrap().backward().unwrap();
        assert_eq!(optimizer.step(&infinite, 0.1).unwrap_err().kind(), Kind::NotFinite);
        assert_eq!(var.to_vec2::<f32>().unwrap(), [[1.0]]);
        assert_eq!(optimizer.n_steps(), 0);
    }

    #[test]
    fn saved_state_continues_to_the_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("optimizer.safetensors");
        let step = |optimizer: &mut AdamW, var: &Var| {
            optimizer.step(&var.sqr().unwrap().sum_all().unwrap().backward().unwrap(), 0.01).unwrap();
        };
        let (name, var) = parameter(&[0.3, -1.7]);
        let mut optimizer = AdamW::new(vec![(name.clone(), var.clone())], AdamWSettings::default());
        (0..3).for_each(|_| step(&mut optimizer, &var));
        optimizer.save(&path).unwrap();
        let (_, copy) = parameter(&var.to_vec2::<f32>().unwrap()[0]);
        let mut resumed = AdamW::new(vec![(name, copy.clone())], AdamWSettings::default());
        resumed.load(&path).unwrap();
        (0..3).for_each(|_| {
            step(&mut optimizer, &var);
            step(&mut resumed, &copy);
        });
        assert_eq!(var.to_vec2::<f32>().unwrap(), copy.to_vec2::<f32>().unwrap());
        assert_eq!(resumed.n_steps(), 6);
    }
}
