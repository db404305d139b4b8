//! What every sampler promises: points of the space, the same after a stop, different ones side by side.
#![allow(clippy::unwrap_used)]

use loopwright_search::{
    CmaSettings, Direction, GpSettings, Param, Params, Sampler, Settings, Space, Study, TpeSettings, space,
};
use proptest::prelude::*;

fn samplers() -> Vec<Sampler> {
    vec![
        Sampler::Random,
        Sampler::Sobol,
        Sampler::Tpe(TpeSettings { n_startup_trials: 3, ..Default::default() }),
        Sampler::Cma(CmaSettings::default()),
        Sampler::Gp(GpSettings { n_startup_trials: 3, ..Default::default() }),
    ]
}

fn stepped(low: f64, high: f64, step: f64) -> Param {
    Param::Float(space::Float { low, high, log: false, step: Some(step), when: None })
}

/// One parameter of every kind.
fn every_kind() -> Space {
    Space::new([
        ("batch", Param::int(1, 256).log()),
        ("dropout", stepped(0.0, 0.5, 0.1)),
        ("layers", Param::int(1, 3)),
        ("lr", Param::float(1e-5, 0.1).log()),
        ("momentum", Param::float(0.0, 0.99).when("optimizer", ["sgd"])),
        ("nesterov", Param::categorical([true, false]).when("optimizer", ["sgd"])),
        ("optimizer", Param::categorical(["adam", "sgd"])),
        ("second", Param::int(8, 64).when("layers", [2, 3])),
    ])
    .unwrap()
}

fn study(space: Space, sampler: Sampler, seed: u64) -> Study {
    let settings = Settings { space, direction: Direction::Minimise, sampler, pruner: Default::default(), seed };
    Study::new(settings).unwrap()
}

/// A value that depends on all parameters, and is no number now and then.
fn value(params: &Params) -> f64 {
    let number = |name: &str| params.get(name).and_then(|value| value.as_f64()).unwrap_or(0.5);
    let value = number("lr").log10().abs() + number("momentum") + number("batch") / 100.0 + number("second") / 50.0;
    if number("dropout") > 0.45 { f64::NAN } else { value }
}

fn params() -> impl Strategy<Value = Param> {
    let ends = (-1e3..1e3f64, 1e-3..1e3f64);
    let log_ends = (1e-6..1e3f64, 1.0..1e4f64);
    prop_oneof![
        ends.clone().prop_map(|(low, width)| Param::float(low, low + width)),
        log_ends.prop_map(|(low, factor)| Param::float(low, low * factor).log()),
        (ends, 0.01..2.0f64).prop_map(|((low, width), step)| stepped(low, low + width, step * width)),
        (-50..50i64, 0..100i64).prop_map(|(low, width)| Param::int(low, low + width)),
        (1..50i64, 0..1000i64).prop_map(|(low, width)| Param::int(low, low + width).log()),
        (1..6i64).prop_map(|n| Param::categorical(0..n)),
        (1..4i64).prop_map(|n| Param::categorical((0..n).map(|i| format!("choice {i}")))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_suggestion_is_in_the_space(params in prop::collection::vec(params(), 1..5), seed in 0..1000u64) {
        let space = Space::new(params.into_iter().enumerate().map(|(i, param)| (format!("p{i}"), param))).unwrap();
        for sampler in samplers() {
            let mut study = study(space.clone(), sampler, seed);
            for i in 0..12 {
                let trial = study.ask().unwrap();
                prop_assert_eq!(space.check(&trial.params), Ok(()));
                study.tell(trial.number, f64::from(i * 7 % 5)).unwrap();
            }
        }
    }

    #[test]
    fn a_study_that_was_stopped_goes_on_as_if_not(stop in 0..20usize, seed in 0..1000u64) {
        for sampler in samplers() {
            let mut whole = study(every_kind(), sampler, seed);
            let mut stopped = whole.clone();
            for i in 0..20 {
                if i == stop {
                    stopped = serde_json::from_str(&serde_json::to_string(&stopped).unwrap()).unwrap();
                    prop_assert_eq!(&stopped, &whole);
                }
                for study in [&mut whole, &mut stopped] {
                    let trial = study.ask().unwrap();
                    study.settings().space.check(&trial.params).unwrap();
                    // Every third one comes back one later, so that some run while others are asked for.
                    let back = if i % 3 == 0 { None } else { Some(trial.number) };
                    let late = (i % 3 == 1 && i > 0).then(|| trial.number - 1);
                    for number in back.into_iter().chain(late) {
                        let value = value(&study.trial(number).unwrap().params.clone());
                        study.tell(number, value).unwrap();
                    }
                }
            }
            prop_assert_eq!(&stopped, &whole);
        }
    }
}

#[test]
fn trials_side_by_side_differ() {
    let space = || Space::new([("x", Param::float(0.0, 1.0)), ("y", Param::float(0.0, 1.0))]).unwrap();
    for sampler in samplers() {
        let mut study = study(space(), sampler.clone(), 1);
        for _ in 0..20 {
            let trial = study.ask().unwrap();
            let at = |name: &str| trial.params[name].as_f64().unwrap() - 0.3;
            study.tell(trial.number, at("x").powi(2) + at("y").powi(2)).unwrap();
        }
        let side_by_side: Vec<Params> = (0..8).map(|_| study.ask().unwrap().params).collect();
        for (i, a) in side_by_side.iter().enumerate() {
            for b in &side_by_side[..i] {
                let far = |name: &str| (a[name].as_f64().unwrap() - b[name].as_f64().unwrap()).abs();
                assert!(far("x") + far("y") > 1e-4, "{sampler:?}: {a:?} {b:?}");
            }
        }
    }
}

#[test]
fn a_small_space_is_tried_out() {
    let space = Space::new([
        ("kind", Param::categorical(["a", "b"])),
        ("n", Param::int(1, 4).when("kind", ["a"])),
        ("m", Param::int(1, 3)),
    ])
    .unwrap();
    let mut study = study(space, Sampler::default(), 2);
    for _ in 0..40 {
        let trial = study.ask().unwrap();
        study.tell(trial.number, trial.params["m"].as_f64().unwrap()).unwrap();
    }
    let mut tried: Vec<String> =
        study.trials().iter().map(|trial| serde_json::to_string(&trial.params).unwrap()).collect();
    tried.sort();
    tried.dedup();
    assert_eq!(tried.len(), 4 * 3 + 3, "{tried:?}");
}

/// The best value after some trials of a function of floats in [-5, 5].
fn best(sampler: Sampler, n_params: usize, n_trials: usize, seed: u64, function: impl Fn(&[f64]) -> f64) -> f64 {
    let space = Space::new((0..n_params).map(|i| (format!("x{i:02}"), Param::float(-5.0, 5.0)))).unwrap();
    let mut study = study(space, sampler, seed);
    for _ in 0..n_trials {
        let trial = study.ask().unwrap();
        let x: Vec<f64> = trial.params.values().filter_map(|value| value.as_f64()).collect();
        study.tell(trial.number, function(&x)).unwrap();
    }
    study.best().unwrap().value().unwrap()
}

fn sphere(x: &[f64]) -> f64 {
    x.iter().enumerate().map(|(i, x)| (x - 0.3 * i as f64 + 1.0).powi(2)).sum()
}

#[test]
fn cma_solves_a_sphere_and_an_ellipsoid_in_ten_dimensions() {
    let cma = || Sampler::Cma(CmaSettings::default());
    assert!(best(cma(), 10, 1000, 1, sphere) < 1e-4);
    // Axes of different lengths: a factor of 1000 between the greatest and the least curvature.
    let ellipsoid = |x: &[f64]| x.iter().enumerate().map(|(i, x)| 10f64.powf(i as f64 / 3.0) * (x - 1.0).powi(2)).sum();
    assert!(best(cma(), 10, 2000, 2, ellipsoid) < 1e-2);
}

#[test]
fn samplers_that_learn_beat_those_that_do_not() {
    let mean =
        |sampler: fn() -> Sampler| (0..5).map(|seed| best(sampler(), 4, 60, seed, sphere).ln()).sum::<f64>() / 5.0;
    let random = mean(|| Sampler::Random);
    assert!(mean(|| Sampler::Tpe(TpeSettings::default())) < random - 0.5);
    assert!(mean(|| Sampler::Cma(CmaSettings::default())) < random - 0.5);
    assert!(mean(Sampler::default) < random - 5.0);
}

#[test]
fn the_best_combination_under_a_condition_is_found() {
    let space = Space::new([
        ("kind", Param::categorical(["tree", "net", "line"])),
        ("depth", Param::int(1, 20).when("kind", ["tree"])),
        ("rate", Param::float(1e-5, 1.0).log().when("kind", ["net"])),
    ])
    .unwrap();
    let objective = |params: &Params| match params["kind"].as_str() {
        Some("tree") => 1.0 + (params["depth"].as_f64().unwrap() - 7.0).abs() / 10.0,
        Some("net") => 0.2 + (params["rate"].as_f64().unwrap().log10() + 3.0).abs(),
        _ => 1.5,
    };
    for sampler in [Sampler::default(), Sampler::Tpe(TpeSettings::default())] {
        let mut study = study(space.clone(), sampler.clone(), 3);
        for _ in 0..60 {
            let trial = study.ask().unwrap();
            study.tell(trial.number, objective(&trial.params)).unwrap();
        }
        let value = study.best().unwrap().value().unwrap();
        assert!(value < 0.35, "{sampler:?}: {value}");
    }
}
