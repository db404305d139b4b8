//! A random forest (Breiman 2001), and the variance that each parameter explains in it.

use super::tree::{Grown, Leaf, Side, grow};
use crate::sampler::Draw;

const TREES: usize = 64;
/// Points of one tree at most: more change the figures little and cost much.
const POINTS_MAX: usize = 4000;

/// Trees, each of them as its leaves.
pub(super) struct Forest {
    trees: Vec<Vec<Leaf>>,
    n_params: usize,
}

impl Forest {
    /// Trees that are grown from draws with repetition.
    pub(super) fn grow(points: &[Vec<f64>], losses: &[f64], n_choices: &[Option<usize>], draw: &mut Draw) -> Self {
        let n_params = n_choices.len();
        // All parameters are tried at each split: with some left out by chance, their effect would go to the others.
        let losses = scaled(losses);
        let grown = Grown { points, losses: &losses, n_choices, n_tried: n_params };
        let n = points.len().min(POINTS_MAX);
        let tree = |_| {
            let indices = (0..n).map(|_| draw.below(points.len())).collect();
            grow(&grown, indices, draw)
        };
        Self { trees: (0..TREES).map(tree).collect(), n_params }
    }

    /// The part of the variance that each parameter explains alone, as a mean over the trees that have a variance.
    pub(super) fn main_effects(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.n_params];
        let mut n_trees = 0.0;
        for leaves in &self.trees {
            let mean: f64 = leaves.iter().map(|leaf| volume(leaf) * leaf.value).sum();
            let variance: f64 = leaves.iter().map(|leaf| volume(leaf) * (leaf.value - mean).powi(2)).sum();
            if variance > 1e-20 {
                n_trees += 1.0;
                for (param, sum) in sums.iter_mut().enumerate() {
                    *sum += main_effect(leaves, param, mean) / variance;
                }
            }
        }
        sums.into_iter().map(|sum| if n_trees > 0.0 { sum / n_trees } else { 0.0 }).collect()
    }
}

/// Losses between 0 and 1: sums of their squares stay numbers.
fn scaled(losses: &[f64]) -> Vec<f64> {
    let low = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let high = losses.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = high * 0.5 - low * 0.5;
    losses.iter().map(|loss| if range > 0.0 { (loss * 0.5 - low * 0.5) / range } else { 0.0 }).collect()
}

fn volume(leaf: &Leaf) -> f64 {
    leaf.sides.iter().map(Side::share).product()
}

/// The variance of a tree's mean as a function of one parameter, all others averaged out.
fn main_effect(leaves: &[Leaf], param: usize, mean: f64) -> f64 {
    let weighted =
        leaves.iter().map(|leaf| (&leaf.sides[param], volume(leaf) / leaf.sides[param].share() * leaf.value));
    match leaves.first().map(|leaf| &leaf.sides[param]) {
        Some(Side::Set(choices)) => {
            let mut means = vec![0.0; choices.len()];
            for (side, value) in weighted {
                if let Side::Set(is_inside) = side {
                    means.iter_mut().zip(is_inside).filter(|(_, is)| **is).for_each(|(mean, _)| *mean += value);
                }
            }
            means.iter().map(|at| (at - mean).powi(2)).sum::<f64>() / choices.len() as f64
        }
        _ => {
            // What each leaf adds where its interval begins, it takes away where it ends.
            let mut changes: Vec<(f64, f64)> = weighted
                .flat_map(|(side, value)| match side {
                    Side::Interval(low, high) => [(*low, value), (*high, -value)],
                    Side::Set(_) => [(0.0, 0.0); 2],
                })
                .collect();
            changes.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (mut level, mut variance) = (0.0, 0.0);
            for pair in changes.windows(2) {
                level += pair[0].1;
                variance += (pair[1].0 - pair[0].0) * (level - mean).powi(2);
            }
            variance
        }
    }
}
