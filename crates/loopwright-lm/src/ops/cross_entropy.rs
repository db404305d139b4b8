//! Cross entropy of the next token: L = Σ wᵢ·(log Σⱼ e^{zᵢⱼ} − zᵢ,targetᵢ), with the weights wᵢ given.
//!
//! z [rows, vocabulary]. [`head_cross_entropy`] computes the logits z = h Wᵀ itself, a block of rows at a time, and
//! never holds all of them; its gradients are taken in the same sweep. Logits may be bent below a cap, see [`super::cap`].

use super::{read, slice, tensor};
use crate::{
    kernel::{each, map, softmax, tanh, wide},
    matrix::{Blend, Mat, Precision, multiply},
};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use std::sync::Mutex;

/// Rows whose logits are held at a time.
const BLOCK_ROWS: usize = 256;

/// Rows of logits that one task takes.
const TASK_ROWS: usize = 16;

/// What each row should have predicted, and how much it counts.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    pub ids: Vec<u32>,
    pub weights: Vec<f32>,
}

/// Loss of given logits.
pub(crate) fn cross_entropy(logits: &Tensor, ids: Vec<u32>, weights: Vec<f32>) -> Result<Tensor> {
    logits.apply_op1(CrossEntropy(Targets { ids, weights }))
}

/// Loss of the logits h Wᵀ, for h [rows, width] and W [vocabulary, width], bent below the cap if there is one.
pub(crate) fn head_cross_entropy(
    (hidden, head): (&Tensor, &Tensor),
    (cap, precision): (Option<f32>, Precision),
    ids: Vec<u32>,
    weights: Vec<f32>,
) -> Result<Tensor> {
    let (wants, targets) = ((hidden.track_op(), head.track_op()), Targets { ids, weights });
    hidden.apply_op2(head, HeadCrossEntropy { targets, cap, precision, wants, gradients: Mutex::default() })
}

/// log p(target) of each row of given logits, without gradients.
pub(crate) fn log_probabilities(logits: &Tensor, ids: &[u32]) -> Result<Vec<f32>> {
    let (rows, vocabulary) = logits.dims2()?;
    check_ids(ids, rows, vocabulary)?;
    Ok(target_scores(&mut read(logits)?.to_vec(), vocabulary, ids))
}

/// The same of the logits h Wᵀ; see [`head_cross_entropy`].
pub(crate) fn head_log_probabilities(
    (hidden, head): (&Tensor, &Tensor),
    bound: Option<f32>,
    ids: &[u32],
) -> Result<Vec<f32>> {
    let ((rows, width), (vocabulary, _)) = (hidden.dims2()?, head.dims2()?);
    check_ids(ids, rows, vocabulary)?;
    let (hidden, head) = (read(hidden)?, read(head)?);
    let weight = Mat::new(&head, vocabulary, width);
    let mut logits = vec![0f32; BLOCK_ROWS.min(rows) * vocabulary];
    let mut found = Vec::with_capacity(rows);
    for (hidden, ids) in hidden.chunks(BLOCK_ROWS * width).zip(ids.chunks(BLOCK_ROWS)) {
        let logits = &mut logits[..ids.len() * vocabulary];
        multiply(logits, Mat::new(hidden, ids.len(), width), weight.t(), Blend::SET);
        if let Some(bound) = bound {
            bend(logits, bound);
        }
        found.extend(target_scores(logits, vocabulary, ids));
    }
    Ok(found)
}

/// Replaces logits by probabilities and returns the logarithm of each row's target's.
fn target_scores(logits: &mut [f32], vocabulary: usize, ids: &[u32]) -> Vec<f32> {
    let tasks = logits.chunks_mut(TASK_ROWS * vocabulary).zip(ids.chunks(TASK_ROWS));
    let parts = map(tasks, |(logits, ids)| {
        let of_row = |(row, &id): (&mut [f32], &u32)| {
            let score = row[id as usize];
            score - wide!(softmax(row))
        };
        logits.chunks_exact_mut(vocabulary).zip(ids).map(of_row).collect::<Vec<f32>>()
    });
    parts.concat()
}

/// Replaces logits by probabilities and sums the weighted losses. Partial sums are of fixed rows, in their order.
fn losses(logits: &mut [f32], vocabulary: usize, ids: &[u32], weights: &[f32]) -> f64 {
    let tasks = logits.chunks_mut(TASK_ROWS * vocabulary).zip(ids.chunks(TASK_ROWS)).zip(weights.chunks(TASK_ROWS));
    let parts = map(tasks, |((logits, ids), weights)| {
        wide!({
            let rows = logits.chunks_exact_mut(vocabulary).zip(ids).zip(weights);
            rows.map(|((row, &id), &weight)| {
                let score = row[id as usize];
                f64::from(weight) * f64::from(softmax(row) - score)
            })
            .sum::<f64>()
        })
    });
    parts.iter().sum()
}

/// Turns probabilities into the gradient of the loss by the logits: w·(p − onehot(target)).
fn to_gradient(probabilities: &mut [f32], vocabulary: usize, ids: &[u32], weights: &[f32]) {
    let tasks =
        probabilities.chunks_mut(TASK_ROWS * vocabulary).zip(ids.chunks(TASK_ROWS)).zip(weights.chunks(TASK_ROWS));
    each(tasks, |((rows, ids), weights)| {
        for ((row, &id), &weight) in rows.chunks_exact_mut(vocabulary).zip(ids).zip(weights) {
            row[id as usize] -= 1.0;
            wide!(row.iter_mut().for_each(|p| *p *= weight));
        }
    });
}

/// Numbers that one task bends.
const BEND_BLOCK: usize = 1 << 13;

/// z ← c·tanh(z/c) in place; returns the slopes 1 − tanh²(z/c).
fn bend(logits: &mut [f32], cap: f32) -> Vec<f32> {
    let mut slopes = vec![0f32; logits.len()];
    each(logits.chunks_mut(BEND_BLOCK).zip(slopes.chunks_mut(BEND_BLOCK)), |(logits, slopes)| {
        wide!({
            for (z, slope) in logits.iter_mut().zip(slopes) {
                let t = tanh(*z / cap);
                (*z, *slope) = (t * cap, 1.0 - t * t);
            }
        });
    });
    slopes
}

/// z ← c·tanh(z/c) (Gemma 2, Gemma Team 2024), with gradient.
pub(crate) fn cap(logits: &Tensor, cap: f32) -> Result<Tensor> {
    logits.apply_op1(Cap(cap))
}

struct Cap(f32);

impl CustomOp1 for Cap {
    fn name(&self) -> &'static str {
        "cap"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut logits = slice(storage, layout)?.to_vec();
        bend(&mut logits, self.0);
        Ok((CpuStorage::F32(logits), layout.shape().clone()))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let shape = logits.dims2()?;
        let mut slopes = bend(&mut read(logits)?.to_vec(), self.0);
        let grad = grad.contiguous()?;
        slopes.iter_mut().zip(&*read(&grad)?).for_each(|(slope, dy)| *slope *= dy);
        Ok(Some(tensor(slopes, shape)?))
    }
}

fn check(targets: &Targets, rows: usize, vocabulary: usize) -> Result<()> {
    if targets.ids.len() != rows || targets.weights.len() != rows {
        bail!("{rows} rows of logits, {} targets, {} weights", targets.ids.len(), targets.weights.len());
    }
    check_ids(&targets.ids, rows, vocabulary)
}

fn check_ids(ids: &[u32], rows: usize, vocabulary: usize) -> Result<()> {
    if ids.len() != rows {
        bail!("{rows} rows of logits, {} targets", ids.len());
    }
    if let Some(id) = ids.iter().find(|id| **id as usize >= vocabulary) {
        bail!("target {id} is outside the vocabulary of {vocabulary}");
    }
    Ok(())
}

fn scalar(loss: f64) -> (CpuStorage, Shape) {
    (CpuStorage::F32(vec![loss as f32]), Shape::from(()))
}

struct CrossEntropy(Targets);

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, vocabulary) = layout.shape().dims2()?;
        check(&self.0, rows, vocabulary)?;
        let mut logits = slice(storage, layout)?.to_vec();
        Ok(scalar(losses(&mut logits, vocabulary, &self.0.ids, &self.0.weights)))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (rows, vocabulary) = logits.dims2()?;
        let outer = grad.to_scalar::<f32>()?;
        let mut dlogits = read(logits)?.to_vec();
        each(dlogits.chunks_mut(TASK_ROWS * vocabulary), |rows| {
            rows.chunks_exact_mut(vocabulary).for_each(|row| {
                wide!(softmax(row));
            });
        });
        let weights: Vec<f32> = self.0.weights.iter().map(|w| w * outer).collect();
        to_gradient(&mut dlogits, vocabulary, &self.0.ids, &weights);
        Ok(Some(tensor(dlogits, (rows, vocabulary))?))
    }
}

struct HeadCrossEntropy {
    targets: Targets,
    cap: Option<f32>,
    precision: Precision,
    /// Whether the hidden rows and the head take gradients.
    wants: (bool, bool),
    /// By hidden rows and by head, from the forward sweep; taken by the backward pass.
    gradients: Mutex<Option<(Vec<f32>, Vec<f32>)>>,
}

impl HeadCrossEntropy {
    /// Loss and both gradients, a block of rows at a time.
    fn sweep(&self, hidden: &[f32], head: &[f32], width: usize) -> (f64, Vec<f32>, Vec<f32>) {
        let (vocabulary, set) = (head.len() / width, Blend::SET.at(self.precision));
        let weight = Mat::new(head, vocabulary, width);
        let mut dhidden = vec![0f32; if self.wants.0 { hidden.len() } else { 0 }];
        let mut dhead = vec![0f32; if self.wants.1 { head.len() } else { 0 }];
        let mut logits = vec![0f32; BLOCK_ROWS.min(hidden.len() / width) * vocabulary];
        let mut loss = 0.0;
        let blocks = hidden.chunks(BLOCK_ROWS * width).enumerate();
        for (block, hidden) in blocks {
            let (rows, first) = (hidden.len() / width, block * BLOCK_ROWS);
            let logits = &mut logits[..rows * vocabulary];
            let (ids, weights) = (&self.targets.ids[first..][..rows], &self.targets.weights[first..][..rows]);
            multiply(logits, Mat::new(hidden, rows, width), weight.t(), set);
            let slopes = self.cap.map(|cap| bend(logits, cap));
            loss += losses(logits, vocabulary, ids, weights);
            if !self.wants.0 && !self.wants.1 {
                continue;
            }
            to_gradient(logits, vocabulary, ids, weights);
            if let Some(slopes) = slopes {
                each(logits.chunks_mut(BEND_BLOCK).zip(slopes.chunks(BEND_BLOCK)), |(dlogits, slopes)| {
                    wide!(dlogits.iter_mut().zip(slopes).for_each(|(d, slope)| *d *= slope));
                });
            }
            let dlogits = Mat::new(logits, rows, vocabulary);
            if self.wants.0 {
                multiply(&mut dhidden[first * width..][..rows * width], dlogits, weight, set);
            }
            if self.wants.1 {
                multiply(&mut dhead, dlogits.t(), Mat::new(hidden, rows, width), Blend::ADD.at(self.precision));
            }
        }
        (loss, dhidden, dhead)
    }
}

impl CustomOp2 for HeadCrossEntropy {
    fn name(&self) -> &'static str {
        "head-cross-entropy"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((rows, width), (vocabulary, _)) = (l1.shape().dims2()?, l2.shape().dims2()?);
        check(&self.targets, rows, vocabulary)?;
        let (loss, dhidden, dhead) = self.sweep(slice(s1, l1)?, slice(s2, l2)?, width);
        *self.gradients.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((dhidden, dhead));
        Ok(scalar(loss))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        head: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let outer = grad.to_scalar::<f32>()?;
        let saved = self.gradients.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let Some((mut dhidden, mut dhead)) = saved else { bail!("the gradients of this loss were already taken") };
        if outer != 1.0 {
            dhidden.iter_mut().chain(&mut dhead).for_each(|x| *x *= outer);
        }
        let dhidden = self.wants.0.then(|| tensor(dhidden, hidden.dims2()?)).transpose()?;
        let dhead = self.wants.1.then(|| tensor(dhead, head.dims2()?)).transpose()?;
        Ok((dhidden, dhead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    #[test]
    fn hand_computed_loss() {
        // Row 0: log(e^0 + e^0) − 0 = ln 2, weight 1. Row 1: log(1 + 3) − ln 3 = ln(4/3), weight 0.5.
        let logits = tensor(vec![0.0, 0.0, 0.0, 3f32.ln()], (2, 2)).unwrap();
        let loss = cross_entropy(&logits, vec![1, 1], vec![1.0, 0.5]).unwrap().to_scalar::<f32>().unwrap();
        assert!((loss - (2f32.ln() + 0.5 * (4f32 / 3.0).ln())).abs() < 1e-6);
        assert!(cross_entropy(&logits, vec![1, 2], vec![1.0, 0.5]).is_err());
    }

    #[test]
    fn the_blockwise_loss_agrees_with_the_plain_one() {
        let (rows, width, vocabulary) = (300, 8, 11);
        let numbers =
            |n: usize, step: usize| (0..n).map(|i| ((i * step % 83) as f32 - 41.0) / 30.0).collect::<Vec<_>>();
        let hidden = Var::from_vec(numbers(rows * width, 29), (rows, width), &candle_core::Device::Cpu).unwrap();
        let head =
            Var::from_vec(numbers(vocabulary * width, 37), (vocabulary, width), &candle_core::Device::Cpu).unwrap();
        let ids: Vec<u32> = (0..rows as u32).map(|i| i * 7 % 11).collect();
        let weights: Vec<f32> = (0..rows).map(|i| (i % 3) as f32 / 300.0).collect();
        for bound in [None, Some(2.0)] {
            let logits = super::super::linear(&hidden, &head, Precision::F32).unwrap();
            let logits = bound.map_or(logits.clone(), |bound| cap(&logits, bound).unwrap());
            let plain = cross_entropy(&logits, ids.clone(), weights.clone()).unwrap();
            let blockwise =
                head_cross_entropy((&hidden, &head), (bound, Precision::F32), ids.clone(), weights.clone()).unwrap();
            let (a, b) = (plain.to_scalar::<f32>().unwrap(), blockwise.to_scalar::<f32>().unwrap());
            assert!((a - b).abs() < 1e-6, "{a} {b}");
            let found = [
                log_probabilities(&logits, &ids).unwrap(),
                head_log_probabilities((&hidden, &head), bound, &ids).unwrap(),
            ];
            for found in found {
                let sum: f32 = found.iter().zip(&weights).map(|(found, weight)| found * weight).sum();
                assert!((a + sum).abs() < 1e-5, "{a} {sum}");
            }
            // Twice the loss has twice the gradient, so the outer gradient is used.
            let (plain, blockwise) =
                ((plain * 2.0).unwrap().backward().unwrap(), (blockwise * 2.0).unwrap().backward().unwrap());
            for var in [&hidden, &head] {
                let gap = (plain.get(var).unwrap() - blockwise.get(var).unwrap()).unwrap().abs().unwrap();
                let gap = gap.flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
                assert!(gap < 1e-6, "{gap}");
            }
        }
    }
}
