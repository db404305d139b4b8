//! How often the gate is wrong, counted on simulated models whose truth is known.

use super::{GateInput, GateSettings, LiveRows, decide};
use crate::row::JudgedRow;
use loopwright_types::{ModelRef, score::Verdict};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Two models on the same rows: with probability `shared` a row is as hard for one as for the other (one draw decides
/// for both), else each draws on its own.
#[derive(Clone, Copy)]
struct World {
    n_rows: usize,
    candidate: f64,
    live: f64,
    shared: f64,
}

/// Share of trials with each verdict of the rule "at most `max_regression` below the live model", at alpha 0.05.
fn verdicts(world: World, max_regression: f64, n_trials: u64) -> impl Fn(Verdict) -> f64 {
    let settings =
        GateSettings { max_regression: Some(max_regression), beat_majority: false, min_rows: 0, ..Default::default() };
    let trial = |trial: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(42);
        rng.set_stream(trial);
        let (mut candidate, mut live) = (vec![], vec![]);
        for i in 0..world.n_rows {
            let first: f64 = rng.random();
            let second: f64 = if rng.random_bool(world.shared) { first } else { rng.random() };
            candidate.push(row(i, first < world.candidate));
            live.push(row(i, second < world.live));
        }
        let live = Some(LiveRows { model: ModelRef::new("m", 1), rows: &live });
        decide(&GateInput { settings: &settings, rows: &candidate, majority: None, live }).unwrap().verdict
    };
    let all: Vec<Verdict> = (0..n_trials).into_par_iter().map(trial).collect();
    move |verdict| all.iter().filter(|v| **v == verdict).count() as f64 / all.len() as f64
}

fn row(i: usize, right: bool) -> JudgedRow {
    let answer = Ok(if right { "a" } else { "b" }.to_string());
    JudgedRow { row_id: i.to_string().as_str().into(), expected: "a".into(), answer, group: None }
}

/// Two equally good models, the rule "no lower": every pass is a false promotion.
#[test]
fn equal_models_are_promoted_falsely_at_most_alpha() {
    for (n_rows, accuracy, shared) in
        [(25, 0.9, 0.5), (60, 0.75, 0.0), (60, 0.95, 0.8), (800, 0.85, 0.5), (800, 0.97, 0.9)]
    {
        let world = World { n_rows, candidate: accuracy, live: accuracy, shared };
        let share = verdicts(world, 0.0, 4000);
        assert!(share(Verdict::Pass) <= 0.05, "{n_rows} rows, accuracy {accuracy}: {}", share(Verdict::Pass));
        assert!(share(Verdict::Fail) <= 0.05, "{n_rows} rows, accuracy {accuracy}: {}", share(Verdict::Fail));
    }
}

/// A candidate exactly as much worse as is just too much.
#[test]
fn a_loss_at_the_bound_passes_falsely_at_most_alpha() {
    for n_rows in [60, 800] {
        let world = World { n_rows, candidate: 0.80, live: 0.85, shared: 0.5 };
        let share = verdicts(world, 0.05, 4000);
        assert!(share(Verdict::Pass) <= 0.05, "{n_rows} rows: {}", share(Verdict::Pass));
    }
}

/// The gate is not only careful: with rows enough it lets the better pass and stops the worse.
#[test]
fn clear_differences_are_decided() {
    let better = World { n_rows: 500, candidate: 0.92, live: 0.80, shared: 0.5 };
    assert!(verdicts(better, 0.0, 300)(Verdict::Pass) > 0.99);
    let worse = World { n_rows: 500, candidate: 0.75, live: 0.90, shared: 0.5 };
    assert!(verdicts(worse, 0.02, 300)(Verdict::Fail) > 0.99);
}
