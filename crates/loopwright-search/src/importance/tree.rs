//! A regression tree over the unit cube: each split halves the squared error as far as one split can (Breiman et al. 1984).

use crate::sampler::Draw;

/// Points of a leaf at least.
const LEAF_MIN: usize = 2;
/// Levels of a tree at most.
const DEPTH_MAX: usize = 40;

/// What a tree is grown from.
pub(super) struct Grown<'a> {
    pub(super) points: &'a [Vec<f64>],
    pub(super) losses: &'a [f64],
    /// For a choice, how many values it has.
    pub(super) n_choices: &'a [Option<usize>],
    /// Parameters that are tried for one split; the others are left out by chance.
    pub(super) n_tried: usize,
}

/// A part of a side of the cube: an interval, or a set of choices.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Side {
    /// From, to.
    Interval(f64, f64),
    /// Whether each choice is inside.
    Set(Vec<bool>),
}

impl Side {
    /// Its share of the whole side.
    pub(super) fn share(&self) -> f64 {
        match self {
            Self::Interval(low, high) => high - low,
            Self::Set(is_inside) => is_inside.iter().filter(|is| **is).count() as f64 / is_inside.len() as f64,
        }
    }
}

/// A box on which the tree is constant.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) sides: Vec<Side>,
    pub(super) value: f64,
}

/// A split of a box.
struct Split {
    param: usize,
    /// The threshold, or the choice that is split off.
    at: f64,
    error: f64,
}

/// The leaves of a tree that is grown from the points at `indices`.
pub(super) fn grow(grown: &Grown<'_>, indices: Vec<usize>, draw: &mut Draw) -> Vec<Leaf> {
    let side = |n_choices: &Option<usize>| match n_choices {
        None => Side::Interval(0.0, 1.0),
        Some(n) => Side::Set(vec![true; *n]),
    };
    let whole: Vec<Side> = grown.n_choices.iter().map(side).collect();
    let mut open = vec![(indices, whole, 0)];
    let mut leaves = Vec::new();
    while let Some((indices, sides, depth)) = open.pop() {
        let split = if depth < DEPTH_MAX { best_split(grown, &indices, draw) } else { None };
        let Some(split) = split else {
            let sum: f64 = indices.iter().map(|&index| grown.losses[index]).sum();
            leaves.push(Leaf { sides, value: sum / indices.len() as f64 });
            continue;
        };
        let is_choice = grown.n_choices[split.param].is_some();
        let (left, right): (Vec<usize>, Vec<usize>) =
            indices.into_iter().partition(|&index| goes_left(is_choice, grown.points[index][split.param], split.at));
        let (mut left_sides, mut right_sides) = (sides.clone(), sides);
        cut(&mut left_sides[split.param], &mut right_sides[split.param], split.at);
        open.push((right, right_sides, depth + 1));
        open.push((left, left_sides, depth + 1));
    }
    leaves
}

fn goes_left(is_choice: bool, coordinate: f64, at: f64) -> bool {
    if is_choice { coordinate == at } else { coordinate < at }
}

/// Cuts two copies of a side, at a threshold or by splitting off a choice.
fn cut(left: &mut Side, right: &mut Side, at: f64) {
    if let Side::Interval(_, high) = left {
        *high = at;
    }
    match right {
        Side::Interval(low, _) => *low = at,
        Side::Set(is_inside) => {
            is_inside[at as usize] = false;
            if let Side::Set(left) = left {
                left.fill(false);
                left[at as usize] = true;
            }
        }
    }
}

/// The split that leaves the least squared error; none where no split helps.
fn best_split(grown: &Grown<'_>, indices: &[usize], draw: &mut Draw) -> Option<Split> {
    if indices.len() < 2 * LEAF_MIN {
        return None;
    }
    let mut params: Vec<usize> = (0..grown.n_choices.len()).collect();
    for tried in 0..grown.n_tried.min(params.len()) {
        let other = tried + draw.below(params.len() - tried);
        params.swap(tried, other);
    }
    let total = Sums::of(indices.iter().map(|&index| grown.losses[index]));
    let mut best: Option<Split> = None;
    for &param in &params[..grown.n_tried.min(params.len())] {
        let split = match grown.n_choices[param] {
            None => split_interval(grown, indices, param, total),
            Some(n) => split_choice(grown, indices, param, n, total),
        };
        if let Some(split) = split.filter(|split| best.as_ref().is_none_or(|best| split.error < best.error)) {
            best = Some(split);
        }
    }
    best.filter(|split| split.error < total.error() - 1e-12 * total.squares.abs())
}

/// Count, sum and sum of squares of losses.
#[derive(Clone, Copy, Default)]
struct Sums {
    n: f64,
    sum: f64,
    squares: f64,
}

impl Sums {
    fn of(losses: impl Iterator<Item = f64>) -> Self {
        losses.fold(Self::default(), Self::and)
    }

    fn and(self, loss: f64) -> Self {
        Self { n: self.n + 1.0, sum: self.sum + loss, squares: self.squares + loss * loss }
    }

    fn without(self, other: Self) -> Self {
        Self { n: self.n - other.n, sum: self.sum - other.sum, squares: self.squares - other.squares }
    }

    /// Squared error around the mean.
    fn error(self) -> f64 {
        self.squares - self.sum * self.sum / self.n
    }

    fn is_leaf(self) -> bool {
        self.n >= LEAF_MIN as f64
    }
}

fn split_interval(grown: &Grown<'_>, indices: &[usize], param: usize, total: Sums) -> Option<Split> {
    let mut sorted: Vec<(f64, f64)> =
        indices.iter().map(|&index| (grown.points[index][param], grown.losses[index])).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut left = Sums::default();
    let mut best: Option<Split> = None;
    for pair in sorted.windows(2) {
        left = left.and(pair[0].1);
        let right = total.without(left);
        let at = 0.5 * (pair[0].0 + pair[1].0);
        // Two neighbouring numbers may have no number between them.
        let is_between = pair[0].0 < at && at <= pair[1].0;
        let error = left.error() + right.error();
        if is_between && left.is_leaf() && right.is_leaf() && best.as_ref().is_none_or(|best| error < best.error) {
            best = Some(Split { param, at, error });
        }
    }
    best
}

fn split_choice(grown: &Grown<'_>, indices: &[usize], param: usize, n: usize, total: Sums) -> Option<Split> {
    let mut by_choice = vec![Sums::default(); n];
    for &index in indices {
        let choice = &mut by_choice[grown.points[index][param] as usize];
        *choice = choice.and(grown.losses[index]);
    }
    let split = |(at, left): (usize, &Sums)| {
        let right = total.without(*left);
        let error = left.error() + right.error();
        (left.is_leaf() && right.is_leaf()).then_some(Split { param, at: at as f64, error })
    };
    by_choice.iter().enumerate().filter_map(split).min_by(|a, b| a.error.total_cmp(&b.error))
}
