use super::*;
use crate::{CmaSettings, GpSettings, Param, TpeSettings};
use serde_json::json;

fn study(sampler: Sampler) -> Study {
    let space = Space::new([
        ("kind", Param::categorical(["a", "b"])),
        ("n", Param::int(1, 9)),
        ("x", Param::float(-1.0, 1.0).when("kind", ["a"])),
    ])
    .unwrap();
    let settings = Settings { space, direction: Direction::Minimise, sampler, pruner: Pruner::None, seed: 5 };
    Study::new(settings).unwrap()
}

#[test]
fn trials_go_through_their_states() {
    let mut study = study(Sampler::Random);
    let numbers: Vec<u64> = (0..4).map(|_| study.ask().unwrap().number).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
    study.tell(2, 1.5).unwrap();
    study.tell(0, f64::INFINITY).unwrap();
    study.report(1, 10, 0.5).unwrap();
    study.prune(1).unwrap();
    study.fail(3, "the machine died").unwrap();
    let states: Vec<&str> = study.trials().iter().map(|trial| trial.state.name()).collect();
    assert_eq!(states, ["failed", "pruned", "complete", "failed"]);
    assert_eq!(study.trial(0).unwrap().state, State::Failed { reason: "its value is inf".into(), is_bad_point: true });
    let order: Vec<_> = study.trials().iter().map(|trial| trial.finished_index).collect();
    assert_eq!(order, [Some(1), Some(2), Some(0), Some(3)]);
    assert_eq!(study.best().map(|best| best.number), Some(2));
}

#[test]
fn what_cannot_be_is_refused() {
    let mut study = study(Sampler::Random);
    assert_eq!(study.tell(0, 1.0).unwrap_err().to_string(), "trial 0: expected a trial that was asked for, got none");
    study.ask().unwrap();
    study.report(0, 3, 1.0).unwrap();
    assert_eq!(study.report(0, 3, 1.0).unwrap_err().to_string(), "trial 0: expected a step after 3, got 3");
    study.tell(0, 1.0).unwrap();
    assert_eq!(study.tell(0, 1.0).unwrap_err().to_string(), "trial 0: expected a running trial, got a complete one");
    let wrong: Params = serde_json::from_value(json!({"n": 10})).unwrap();
    assert!(study.enqueue(wrong).unwrap_err().to_string().contains("a whole number from 1 to 9, got 10"));
}

#[test]
fn a_report_that_is_no_number_ends_in_a_failed_trial() {
    let mut study = study(Sampler::Random);
    study.ask().unwrap();
    assert!(study.report(0, 4, f64::NAN).unwrap());
    let trial = study.prune(0).unwrap();
    assert_eq!(trial.state, State::Failed { reason: "step 4 reported NaN".into(), is_bad_point: true });
}

#[test]
fn given_points_come_first_and_may_be_partial() {
    let mut study = study(Sampler::default());
    study.enqueue(serde_json::from_value(json!({"kind": "a", "n": 7, "x": 0.25})).unwrap()).unwrap();
    study.enqueue(serde_json::from_value(json!({"n": 3})).unwrap()).unwrap();
    assert_eq!(serde_json::to_value(study.ask().unwrap().params).unwrap(), json!({"kind": "a", "n": 7, "x": 0.25}));
    let second = study.ask().unwrap();
    assert_eq!(second.params["n"], json!(3));
    study.settings().space.check(&second.params).unwrap();
}

#[test]
fn maximising_is_minimising_the_negative() {
    let mut suggestions = Vec::new();
    for (direction, sign) in [(Direction::Minimise, 1.0), (Direction::Maximise, -1.0)] {
        let settings = Settings { direction, ..study(Sampler::default()).settings.clone() };
        let mut study = Study::new(settings).unwrap();
        for _ in 0..14 {
            let trial = study.ask().unwrap();
            study.tell(trial.number, sign * trial.params["n"].as_f64().unwrap()).unwrap();
        }
        assert_eq!(study.best().unwrap().params["n"], json!(1));
        suggestions.push(study.trials().iter().map(|trial| trial.params.clone()).collect::<Vec<_>>());
    }
    assert_eq!(suggestions[0], suggestions[1]);
}

#[test]
fn a_stored_study_is_checked_when_it_is_read() {
    let mut study = study(Sampler::Random);
    study.ask().unwrap();
    let stored = serde_json::to_value(&study).unwrap();
    assert_eq!(serde_json::from_value::<Study>(stored.clone()).unwrap(), study);
    let with = |pointer: &str, value: serde_json::Value| {
        let mut changed = stored.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        serde_json::from_value::<Study>(changed).unwrap_err().to_string()
    };
    assert!(with("/version", json!(2)).contains("`study.version` is 2, expected 1"));
    assert!(with("/trials/0/number", json!(1)).contains("number 0 at this place"));
    assert!(with("/trials/0/params/n", json!(0)).contains("a whole number from 1 to 9"));
    assert!(with("/trials/0/state", json!({"complete": {"value": 1.0}})).contains("finished_index"));
}

#[test]
fn settings_are_read_by_name_and_mistakes_refused() {
    let read = |text: &str| serde_json::from_str::<Sampler>(text);
    assert_eq!(read(r#"{"name": "gp"}"#).unwrap(), Sampler::Gp(GpSettings::default()));
    assert_eq!(read(r#"{"name": "random"}"#).unwrap(), Sampler::Random);
    assert!(read(r#"{"name": "tpe", "gamma": 1}"#).unwrap_err().to_string().contains("unknown field `gamma`"));
    assert!(read(r#"{"name": "grid"}"#).unwrap_err().to_string().contains("unknown variant `grid`"));
    for sampler in [
        Sampler::Tpe(TpeSettings { good_share: 1.0, ..Default::default() }),
        Sampler::Cma(CmaSettings { width: 0.0, ..Default::default() }),
        Sampler::Gp(GpSettings { n_startup_trials: 0, ..Default::default() }),
    ] {
        let settings = Settings { sampler, ..study(Sampler::Random).settings.clone() };
        assert!(Study::new(settings).unwrap_err().to_string().contains("expected"));
    }
}
