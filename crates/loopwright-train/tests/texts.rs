//! Whole runs over texts: which class they are of, and which belong together. They learn, and a stopped one goes on to the
//! same bits.
// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

use loopwright_lm::{Model, ModelConfig, encoder_config};
use loopwright_train::{
    ClassExample, Job, Kind, Length, Method, PairExample, Progress, Samples, Start, TrainExample, TrainSettings,
    Trained, run,
};
use std::{ops::ControlFlow, path::Path, time::Duration};

fn settings(method: Method) -> TrainSettings {
    TrainSettings {
        method,
        length: Length::Epochs(6),
        batch_size: 6,
        sequence_len: 12,
        lr: 3e-3,
        checkpoint_every_steps: 3,
        validate_every_steps: 10,
        ..TrainSettings::lora(5)
    }
}

fn bases() -> [Model; 2] {
    let mut config = encoder_config(24, (16, 2, 2), 16, &[]);
    config["architectures"] = vec!["BertModel"].into();
    let decoder = ModelConfig { max_position_embeddings: 16, ..ModelConfig::sized(24, 16, 2, 2) };
    [Model::init(&decoder, 9).unwrap(), Model::init_family(&config, 9).unwrap()]
}

/// A text of about `n` tokens that holds more of its class's than of others'.
fn text(class: u32, n: u32) -> TrainExample {
    let token =
        |i: u32| if (i + n).is_multiple_of(3) { 5 + (i * 7 + n * 5) % 4 } else { 9 + class * 5 + (i * 3 + n) % 5 };
    TrainExample::whole(std::iter::once(1).chain((0..4 + n % 5).map(token)).collect())
}

fn classed() -> Vec<ClassExample> {
    (0..48).map(|n| ClassExample { text: text(n % 3, n), class: n % 3 }).collect()
}

fn pairs() -> Vec<PairExample> {
    let pair = |n: u32| PairExample { anchor: text(n % 3, n), positive: text(n % 3, n + 31), group: Some(n % 3) };
    (0..48).map(pair).collect()
}

fn job<'a, E>(
    settings: &'a TrainSettings,
    base: &Model,
    examples: &'a [E],
    checkpoints: Option<&'a Path>,
) -> Job<'a, E> {
    let (start, samples) = (Start::Whole(base.clone()), Samples::default());
    Job { settings, start, examples, validation: examples, checkpoints, samples, clock: &|| Duration::ZERO }
}

fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn bits(trained: &Trained) -> Vec<u32> {
    let numbers = |(_, var): &(String, candle_core::Var)| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    trained.model.trainable_parameters().iter().flat_map(numbers).map(f32::to_bits).collect()
}

fn metric(trained: &Trained, name: &str) -> f64 {
    trained.validation_metrics.iter().find(|(known, _)| *known == name).unwrap().1
}

type Observer = fn(&Progress) -> ControlFlow<()>;

fn stops_and_goes_on(train: impl Fn(Option<&Path>, Observer) -> Trained) -> Trained {
    let whole = train(None, go_on);
    let dir = tempfile::tempdir().unwrap();
    let stop: Observer = |at| if at.step == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    assert!(!train(Some(dir.path()), stop).finished);
    assert_eq!(bits(&train(Some(dir.path()), go_on)), bits(&whole));
    whole
}

#[test]
fn classes_are_learned_by_decoders_and_encoders() {
    let names = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
    for base in bases() {
        let base = base.with_classes(&names, 3).unwrap();
        let (settings, examples) = (settings(Method::Classify), classed());
        let trained = stops_and_goes_on(|dir, observer| run(&job(&settings, &base, &examples, dir), observer).unwrap());
        // A guess is right one time in three.
        assert!(
            metric(&trained, "accuracy") > 0.9 && metric(&trained, "f1_macro") > 0.9,
            "{:?}",
            trained.validation_metrics
        );
        assert!(trained.validation_loss.unwrap() < 0.5);
    }
}

#[test]
fn texts_that_belong_together_are_found() {
    for base in bases() {
        let before =
            run(&job(&TrainSettings { lr: 1e-9, ..settings(Method::Embed) }, &base, &pairs(), None), go_on).unwrap();
        let (settings, examples) = (settings(Method::Embed), pairs());
        let trained = stops_and_goes_on(|dir, observer| run(&job(&settings, &base, &examples, dir), observer).unwrap());
        for name in ["recall@1", "mrr"] {
            assert!(metric(&trained, name) > metric(&before, name), "{name}");
        }
        assert!(metric(&trained, "mrr") > 0.8, "{:?}", trained.validation_metrics);
        assert!(trained.validation_loss < before.validation_loss);
    }
}

#[test]
fn examples_and_starts_that_do_not_fit_are_refused() {
    let [decoder, _] = bases();
    let error = run(&job(&settings(Method::Classify), &decoder, &classed(), None), go_on).unwrap_err();
    assert!(error.kind() == Kind::BadSettings && error.to_string().contains("a head of them"), "{error}");
    let two = decoder.with_classes(&["a".into(), "b".into()], 3).unwrap();
    let error = run(&job(&settings(Method::Classify), &two, &classed(), None), go_on).unwrap_err();
    assert!(error.kind() == Kind::BadData && error.to_string().contains("example 2 is of class 2"), "{error}");
    let error = run(&job(&settings(Method::Embed), &two, &classed(), None), go_on).unwrap_err();
    assert_eq!(error.kind(), Kind::BadSettings);
    let empty = vec![PairExample { anchor: text(0, 1), positive: TrainExample::default(), group: None }];
    let error = run(&job(&settings(Method::Embed), &decoder, &empty, None), go_on).unwrap_err();
    assert!(error.to_string().contains("example 0 has no tokens"), "{error}");
}
