//! Where expected improvement is greatest.
//!
//! Random points, and points around the best ones that were tried, are scored; the best few are improved: continuous
//! coordinates by a quasi-Newton ascent (BFGS; Nocedal and Wright 2006, chapter 6) in units of the model's lengths, whole
//! numbers and choices by steps to their neighbours.

use super::{
    model::{Model, Scratch},
    region::{BEYOND, Region},
};
use crate::{
    sampler::{Draw, Seen, linalg::dot, random},
    space::{Axis, Space},
};

/// Points drawn from the whole region.
const ANYWHERE: usize = 60;
/// Points drawn around each of the best ones, and how many of those.
const AROUND_EACH: usize = 16;
const CENTRES: usize = 5;
/// Points that are improved, the steps of one ascent, and how often ascent and steps to neighbours take turns.
const STARTS: usize = 3;
const ASCENT_STEPS: usize = 20;
const ROUNDS: usize = 2;
/// Values of a choice that are tried in one round.
const CHOICES_TRIED: usize = 8;

/// What the search for the next point looks at.
pub(super) struct Search<'a> {
    pub(super) space: &'a Space,
    pub(super) model: &'a Model<'a>,
    /// The value to improve on.
    pub(super) best: f64,
    /// The most promising points so far, best first.
    pub(super) centres: Vec<Vec<f64>>,
    /// Length of each parameter in the model.
    pub(super) lengths: Vec<f64>,
    /// Where to look.
    pub(super) region: Region,
    /// Points that need no second try.
    pub(super) tried: &'a [Seen],
    pub(super) scratch: Scratch,
}

struct Candidate {
    point: Vec<f64>,
    score: f64,
}

impl Search<'_> {
    /// The point of greatest expected improvement that was found and not tried before.
    pub(super) fn run(&mut self, draw: &mut Draw) -> Vec<f64> {
        let mut points: Vec<Vec<f64>> = (0..ANYWHERE).map(|_| self.region.random(self.space, draw)).collect();
        for centre in self.centres.iter().take(CENTRES) {
            points.extend((0..AROUND_EACH).map(|_| self.region.clamp(self.space, neighbour(self.space, centre, draw))));
        }
        let mut candidates: Vec<Candidate> = points.into_iter().map(|point| self.scored(point)).collect();
        candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut improved: Vec<Candidate> = Vec::new();
        let mut rest = Vec::new();
        for candidate in candidates {
            if improved.len() < STARTS { improved.push(self.improved(candidate)) } else { rest.push(candidate) }
        }
        improved.sort_by(|a, b| b.score.total_cmp(&a.score));
        let best = improved.into_iter().chain(rest).find(|candidate| self.is_new(&candidate.point));
        best.map_or_else(|| random(self.space, draw), |candidate| candidate.point)
    }

    /// Whether a point is apart from all that were tried: by another choice or whole number, or by some distance.
    fn is_new(&self, point: &[f64]) -> bool {
        let (apart, active) = (self.region.apart(), self.space.active(point));
        let is_near = |tried: &Seen| {
            let mut squared = 0.0;
            for (index, axis) in self.space.axes().iter().enumerate().filter(|(index, _)| active[*index]) {
                match axis {
                    Axis::Real { .. } => squared += (point[index] - tried.point[index]).powi(2),
                    _ if point[index] != tried.point[index] => return false,
                    _ => {}
                }
            }
            squared <= apart * apart && tried.active == active
        };
        !self.tried.iter().any(is_near)
    }

    fn features(&self, point: &[f64]) -> Vec<f64> {
        let mut features = vec![0.0; self.model.features.width()];
        self.model.features.write(point, &self.space.active(point), &mut features);
        features
    }

    fn scored(&mut self, point: Vec<f64>) -> Candidate {
        let features = self.features(&point);
        let score = self.model.log_improvement(&features, self.best, &mut self.scratch);
        Candidate { point, score }
    }

    fn improved(&mut self, mut candidate: Candidate) -> Candidate {
        for _ in 0..ROUNDS {
            let before = candidate.score;
            let climbed = self.climbed(candidate);
            candidate = self.stepped(climbed);
            if candidate.score <= before + 1e-3 {
                break;
            }
        }
        candidate
    }

    /// Whole numbers and choices, one after another, moved to a neighbour that is better.
    fn stepped(&mut self, mut candidate: Candidate) -> Candidate {
        for (index, axis) in self.space.axes().iter().enumerate() {
            let at = candidate.point[index];
            let others: Vec<f64> = match axis {
                Axis::Real { .. } => continue,
                Axis::Grid { .. } => {
                    let (low, high) = axis.cell_bounds(at);
                    let others = [axis.snap(low - BEYOND), axis.snap(high + BEYOND)];
                    others.into_iter().filter(|other| self.region.holds(index, *other)).collect()
                }
                Axis::Choice { choices } => (0..choices.len().min(CHOICES_TRIED)).map(|index| index as f64).collect(),
            };
            for other in others {
                if other != candidate.point[index] {
                    let mut point = candidate.point.clone();
                    point[index] = other;
                    let moved = self.scored(point);
                    if moved.score > candidate.score {
                        candidate = moved;
                    }
                }
            }
        }
        candidate
    }

    /// Continuous coordinates moved uphill.
    fn climbed(&mut self, candidate: Candidate) -> Candidate {
        let active = self.space.active(&candidate.point);
        let is_free = |index: &usize| active[*index] && matches!(self.space.axes()[*index], Axis::Real { .. });
        let free: Vec<usize> = (0..self.space.len()).filter(is_free).collect();
        if free.is_empty() {
            return candidate;
        }
        let mut features = self.features(&candidate.point);
        let mut at = self.slope(&free, &mut features, &candidate.point);
        let mut climb = Climb::new(free.len());
        let mut point = candidate.point;
        for _ in 0..ASCENT_STEPS {
            let ends: Vec<(bool, bool)> = free.iter().map(|&index| self.region.ends(index, point[index])).collect();
            let Some(direction) = climb.direction(&ends, &at.gradient) else { break };
            let Some((moved, next)) = self.line(&free, &mut features, &point, &direction, &at) else { break };
            let gain = next.value - at.value;
            let step: Vec<f64> =
                free.iter().map(|&index| (moved[index] - point[index]) / self.lengths[index]).collect();
            climb.learn(&step, &at.gradient, &next.gradient);
            (point, at) = (moved, next);
            if gain < 1e-4 {
                break;
            }
        }
        if at.value > candidate.score { Candidate { point, score: at.value } } else { Candidate { point, ..candidate } }
    }

    /// A step along a direction, halved until it gains enough (Armijo's rule).
    fn line(
        &mut self,
        free: &[usize],
        features: &mut [f64],
        point: &[f64],
        direction: &[f64],
        at: &Slope,
    ) -> Option<(Vec<f64>, Slope)> {
        let rise = dot(direction, &at.gradient);
        let mut length = 1.0;
        for _ in 0..8 {
            let mut moved = point.to_vec();
            for (&index, direction) in free.iter().zip(direction) {
                moved[index] = self.region.clamp_one(index, point[index] + length * direction * self.lengths[index]);
            }
            let next = self.slope(free, features, &moved);
            if next.value >= at.value + 1e-4 * length * rise && next.value > at.value {
                return Some((moved, next));
            }
            length *= 0.4;
        }
        None
    }

    fn slope(&mut self, free: &[usize], features: &mut [f64], point: &[f64]) -> Slope {
        for &index in free {
            features[self.model.features.range(index).start] = point[index];
        }
        let mut gradient = vec![0.0; features.len()];
        let value = self.model.log_improvement_gradient(features, self.best, &mut self.scratch, &mut gradient);
        let by_length = |&index: &usize| gradient[self.model.features.range(index).start] * self.lengths[index];
        Slope { value, gradient: free.iter().map(by_length).collect() }
    }
}

/// A value and its gradient in units of the model's lengths.
struct Slope {
    value: f64,
    gradient: Vec<f64>,
}

/// The approximate inverse Hessian of an ascent in a box.
struct Climb {
    n: usize,
    inverse: Vec<f64>,
}

impl Climb {
    fn new(n: usize) -> Self {
        let unit = (0..n * n).map(|at| if at / n == at % n { 0.1 } else { 0.0 });
        Self { n, inverse: unit.collect() }
    }

    /// Uphill, without coordinates that press against the box; at most one length far. None at a peak.
    fn direction(&self, ends: &[(bool, bool)], gradient: &[f64]) -> Option<Vec<f64>> {
        let is_held = |k: usize| (ends[k].0 && gradient[k] < 0.0) || (ends[k].1 && gradient[k] > 0.0);
        let free: Vec<f64> = (0..self.n).map(|k| if is_held(k) { 0.0 } else { gradient[k] }).collect();
        if dot(&free, &free) < 1e-12 {
            return None;
        }
        let row = |k: usize| if is_held(k) { 0.0 } else { dot(&self.inverse[k * self.n..(k + 1) * self.n], &free) };
        let mut direction: Vec<f64> = (0..self.n).map(row).collect();
        if dot(&direction, &free) <= 0.0 {
            direction = free;
        }
        let length = dot(&direction, &direction).sqrt();
        if length > 1.0 {
            direction.iter_mut().for_each(|part| *part /= length);
        }
        Some(direction)
    }

    /// Takes the curvature along a step into account.
    fn learn(&mut self, step: &[f64], before: &[f64], after: &[f64]) {
        let change: Vec<f64> = before.iter().zip(after).map(|(before, after)| before - after).collect();
        let curvature = dot(step, &change);
        if curvature <= 1e-10 {
            return;
        }
        let n = self.n;
        let moved: Vec<f64> = (0..n).map(|k| dot(&self.inverse[k * n..(k + 1) * n], &change)).collect();
        let scale = (1.0 + dot(&change, &moved) / curvature) / curvature;
        for i in 0..n {
            for j in 0..n {
                self.inverse[i * n + j] +=
                    scale * step[i] * step[j] - (moved[i] * step[j] + step[i] * moved[j]) / curvature;
            }
        }
    }
}

/// A point near another one: each coordinate moves with a chance of one half, by a step whose size is drawn, too.
fn neighbour(space: &Space, centre: &[f64], draw: &mut Draw) -> Vec<f64> {
    let size = 0.5 * (-7.0 * draw.uniform()).exp();
    let mut point = centre.to_vec();
    let always = draw.below(space.len());
    for (index, axis) in space.axes().iter().enumerate() {
        if index != always && draw.uniform() < 0.5 {
            continue;
        }
        point[index] = match axis {
            Axis::Choice { .. } => axis.place(draw.uniform()),
            Axis::Real { .. } => axis.snap(centre[index] + size * draw.normal()),
            Axis::Grid { .. } => {
                let (low, high) = axis.cell_bounds(centre[index]);
                axis.snap(centre[index] + size.max(high - low) * draw.normal())
            }
        };
    }
    point
}
