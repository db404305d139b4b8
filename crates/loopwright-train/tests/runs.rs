//! Whole runs: they learn, repeat to the bit, stop and go on to the bit, and refuse what is not theirs.
// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

use loopwright_lm::{Adapter, Bits, LoraConfig, Model, ModelConfig, Precision, WEIGHTS_FILE};
use loopwright_train::{
    Error, Job, Kind, Length, Method, Progress, Samples, Schedule, Start, TrainExample, TrainSettings, Trained, pack,
    run,
};
use std::{ops::ControlFlow, path::Path, time::Duration};

const SEQUENCE: usize = 12;

fn config() -> ModelConfig {
    ModelConfig { max_position_embeddings: 16, ..ModelConfig::sized(24, 16, 2, 2) }
}

/// Texts in which each token follows from the one before.
fn examples() -> Vec<TrainExample> {
    let text = |start: u32| (0..6).map(|i| 5 + (start * 3 + i * 4) % 19).collect();
    pack(&(0..30).map(text).collect::<Vec<_>>(), SEQUENCE)
}

fn pretrain() -> TrainSettings {
    TrainSettings {
        length: Length::Steps(14),
        batch_size: 4,
        sequence_len: SEQUENCE,
        lr: 1e-2,
        checkpoint_every_steps: 3,
        ..TrainSettings::pretrain(5)
    }
}

fn lora() -> TrainSettings {
    let lora = LoraConfig { r: 2, alpha: 4.0, dropout: 0.1, ..LoraConfig::default() };
    TrainSettings { lora, method: TrainSettings::lora(0).method, ..pretrain() }
}

fn job<'a>(settings: &'a TrainSettings, start: Start, examples: &'a [TrainExample], dir: Option<&'a Path>) -> Job<'a> {
    Job {
        settings,
        start,
        examples,
        validation: examples,
        checkpoints: dir,
        samples: Samples::default(),
        clock: &|| Duration::ZERO,
    }
}

fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn stop_at(step: u64) -> impl FnMut(&Progress) -> ControlFlow<()> {
    move |progress| if progress.step == step { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

fn bits(trained: &Trained) -> Vec<u32> {
    let numbers = |(_, var): &(String, candle_core::Var)| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    trained.model.trainable_parameters().iter().flat_map(numbers).map(f32::to_bits).collect()
}

fn base() -> Model {
    Model::init(&config(), 9).unwrap()
}

/// The ways to start.
fn starts() -> Vec<(TrainSettings, Start)> {
    let older = Adapter::init(&base(), &LoraConfig { r: 3, ..LoraConfig::default() }, 1).unwrap();
    vec![
        (pretrain(), Start::Fresh(config())),
        (TrainSettings { method: Method::Full, ..pretrain() }, Start::Whole(base())),
        (lora(), Start::NewAdapter(base())),
        (lora(), Start::Continued(base(), older)),
        (TrainSettings { load_in_4bit: true, ..lora() }, Start::NewAdapter(base().packed(Bits::Nf4).unwrap())),
        (TrainSettings { load_in_8bit: true, ..lora() }, Start::NewAdapter(base().packed(Bits::Int8).unwrap())),
    ]
}

#[test]
fn the_same_seed_gives_the_same_weights_and_another_does_not() {
    let examples = examples();
    for (settings, start) in starts() {
        let result = |seed| {
            let settings = TrainSettings { seed, ..settings.clone() };
            bits(&run(&job(&settings, start.clone(), &examples, None), go_on).unwrap())
        };
        assert_eq!(result(5), result(5));
        assert_ne!(result(5), result(6));
    }
}

#[test]
fn a_base_in_few_bits_learns_like_a_whole_one_and_is_what_the_settings_say() {
    let examples = examples();
    let loss =
        |settings: &TrainSettings, start| run(&job(settings, start, &examples, None), go_on).unwrap().validation_loss;
    let (whole, few) = (lora(), TrainSettings { load_in_4bit: true, ..lora() });
    let packed = || Start::NewAdapter(base().packed(Bits::Nf4).unwrap());
    let (a, b) = (loss(&whole, Start::NewAdapter(base())).unwrap(), loss(&few, packed()).unwrap());
    // Fresh weights start near ln 24 = 3.18; rounding the base moves the end by less than it learned, 0.1.
    assert!(a < 3.1 && b < 3.1 && (a - b).abs() < 0.04, "{a} and {b}");
    for (settings, start) in [(&whole, packed()), (&few, Start::NewAdapter(base()))] {
        let error = run(&job(settings, start, &examples, None), go_on).unwrap_err();
        assert!(error.kind() == Kind::BadSettings && error.to_string().contains("`load_in_4bit`"), "{error}");
    }
}

#[test]
fn a_stopped_run_goes_on_to_the_same_bits() {
    let examples = examples();
    for (settings, start) in starts() {
        let whole = run(&job(&settings, start.clone(), &examples, None), go_on).unwrap();
        // Stopped by its observer twice, once right after a checkpoint, then run to its end.
        let dir = tempfile::tempdir().unwrap();
        let job = job(&settings, start.clone(), &examples, Some(dir.path()));
        for step in [3, 8] {
            let stopped = run(&job, stop_at(step)).unwrap();
            assert_eq!((stopped.step, stopped.finished), (step, false));
        }
        let mut steps = Vec::new();
        let resumed = run(&job, |progress| {
            steps.push(progress.step);
            ControlFlow::Continue(())
        });
        let resumed = resumed.unwrap();
        assert_eq!(steps, (9..=14).collect::<Vec<_>>());
        assert_eq!(bits(&whole), bits(&resumed));
        assert_eq!((whole.n_tokens, whole.validation_loss), (resumed.n_tokens, resumed.validation_loss));
        // Once complete, the same job takes no step and has the same result.
        let again = run(&job, |_| panic!("no step is left")).unwrap();
        assert_eq!(bits(&whole), bits(&again));
        assert_eq!(again.validation_loss, whole.validation_loss);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "the last two checkpoints are kept");
    }
}

#[test]
fn a_run_killed_between_or_during_checkpoints_goes_on_from_the_last_whole_one() {
    let (settings, examples) = (pretrain(), examples());
    let whole = run(&job(&settings, Start::Fresh(config()), &examples, None), go_on).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let job = job(&settings, Start::Fresh(config()), &examples, Some(dir.path()));
    run(&job, stop_at(7)).unwrap();
    // As a kill in the middle of writing step 7 would leave it: half a folder under the unfinished name.
    let half = dir.path().join("unfinished-00000007");
    std::fs::rename(dir.path().join("step-00000007"), &half).unwrap();
    std::fs::write(half.join(WEIGHTS_FILE), b"half").unwrap();
    let mut first = 0;
    let resumed = run(&job, |progress| {
        first = if first == 0 { progress.step } else { first };
        ControlFlow::Continue(())
    });
    assert_eq!(first, 7);
    assert_eq!(bits(&resumed.unwrap()), bits(&whole));
}

/// Text of an error and its sources.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[test]
fn foreign_and_damaged_checkpoints_are_refused() {
    let (settings, examples) = (pretrain(), examples());
    let dir = tempfile::tempdir().unwrap();
    let start = || Start::Fresh(config());
    run(&job(&settings, start(), &examples, Some(dir.path())), stop_at(4)).unwrap();
    let refused = |settings: &TrainSettings, examples: &[TrainExample]| {
        let error = run(&job(settings, start(), examples, Some(dir.path())), go_on).unwrap_err();
        (error.kind(), chain(&error))
    };
    let other = TrainSettings { lr: 2e-2, ..settings.clone() };
    let (kind, text) = refused(&other, &examples);
    assert_eq!(kind, Kind::BadCheckpoint);
    assert!(text.contains("of another plan") && text.contains("hint: "), "{text}");
    assert_eq!(refused(&settings, &examples[1..]).0, Kind::BadCheckpoint);
    // Other times of saving are the same plan.
    let often = TrainSettings { checkpoint_every_steps: 1, ..settings.clone() };
    run(&job(&often, start(), &examples, Some(dir.path())), stop_at(5)).unwrap();
    let weights = dir.path().join("step-00000005").join(WEIGHTS_FILE);
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let text = refused(&settings, &examples).1;
    assert!(text.contains("step-00000005") && text.contains("not a whole safetensors file"), "{text}");
    std::fs::write(dir.path().join("step-00000005/state.json"), "{").unwrap();
    assert_eq!(refused(&settings, &examples).0, Kind::BadCheckpoint);
}

#[test]
fn training_lowers_the_loss_and_reports_it() {
    let examples = examples();
    let settings = TrainSettings { length: Length::Epochs(30), validate_every_steps: 50, ..pretrain() };
    let mut seen = Vec::new();
    let trained = run(&job(&settings, Start::Fresh(config()), &examples, None), |progress| {
        seen.push(progress.clone());
        ControlFlow::Continue(())
    });
    let trained = trained.unwrap();
    assert_eq!(seen.len() as u64, settings.n_steps(examples.len()));
    assert!(seen.iter().all(|p| p.validation_loss.is_some() == (p.step % 50 == 0 || p.step == p.n_steps)));
    // Untrained, the loss is near ln 24 = 3.2. The second token of a text tells the rest, so little is left to guess.
    assert!((seen[0].loss - 24f32.ln()).abs() < 0.4, "{}", seen[0].loss);
    assert!(trained.validation_loss.unwrap() < 1.2, "{:?}", trained.validation_loss);
    assert_eq!(trained.last, seen.last().cloned());
}

#[test]
fn sample_prompts_are_answered_at_each_validation_and_change_nothing() {
    let examples = examples();
    let settings = TrainSettings { length: Length::Epochs(30), validate_every_steps: 50, ..pretrain() };
    let prompts = [vec![1, 5, 9], vec![1, 8, 12, 16]];
    let plain = job(&settings, Start::Fresh(config()), &examples, None);
    let asked = Job {
        samples: Samples { prompts: &prompts, max_tokens: 3 },
        ..job(&settings, Start::Fresh(config()), &examples, None)
    };
    let mut seen = Vec::new();
    let trained = run(&asked, |progress| {
        assert_eq!(progress.samples.is_empty(), progress.validation_loss.is_none());
        seen.extend((!progress.samples.is_empty()).then(|| progress.samples.clone()));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(seen.len() > 1 && seen.iter().all(|answers| answers.len() == 2));
    // Each token is 4 more than the one before, round a circle of 19 from 5 on.
    assert_eq!(seen.last().unwrap()[0], [13, 17, 21]);
    assert_eq!(bits(&trained), bits(&run(&plain, go_on).unwrap()));
}

#[test]
fn an_adapter_learns_while_its_base_and_its_parent_stay() {
    let (settings, examples) = (lora(), examples());
    let (base, older) = (base(), Adapter::init(&base(), &LoraConfig::default(), 1).unwrap());
    let numbers = |vars: Vec<(String, candle_core::Var)>| {
        vars.iter().map(|(_, var)| var.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect::<Vec<_>>()
    };
    let before = (numbers(base.named_parameters()), numbers(older.named_parameters()));
    let start = Start::Continued(base.clone(), older.clone());
    let trained = run(&job(&settings, start, &examples, None), go_on).unwrap();
    assert_eq!(before, (numbers(base.named_parameters()), numbers(older.named_parameters())));
    assert_ne!(before.1, numbers(trained.model.trainable_parameters()));
}

#[test]
fn jobs_that_make_no_sense_are_refused() {
    let (settings, examples) = (lora(), examples());
    let refused = |settings: &TrainSettings, start: Start, examples: &[TrainExample]| {
        run(&job(settings, start, examples, None), go_on).unwrap_err().kind()
    };
    assert_eq!(refused(&settings, Start::Fresh(config()), &examples), Kind::BadSettings);
    assert_eq!(refused(&settings, Start::NewAdapter(base()), &[]), Kind::BadData);
    let long = [TrainExample::whole(vec![5; SEQUENCE + 1])];
    assert_eq!(refused(&settings, Start::NewAdapter(base()), &long), Kind::BadData);
    // A learning rate that blows the weights up ends in a loss that is no number, at a step that the error names.
    let wild = TrainSettings { lr: 1e30, weight_decay: 0.0, ..settings };
    let error = run(&job(&wild, Start::NewAdapter(base()), &examples, None), go_on).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFinite);
    assert!(error.to_string().contains("training step"), "{error}");
}

#[test]
fn accumulated_passes_take_the_step_of_one_large_batch() {
    let examples = examples();
    let weights = |batch_size, gradient_accumulation_steps| {
        let settings =
            TrainSettings { batch_size, gradient_accumulation_steps, length: Length::Epochs(2), ..pretrain() };
        // All examples in one step: the order does not matter.
        let trained = run(&job(&settings, Start::Fresh(config()), &examples, None), go_on).unwrap();
        (trained.step, trained.last.unwrap())
    };
    let n = examples.len();
    let (whole, accumulated) = (weights(n, 1), weights(n.div_ceil(4), 4));
    assert_eq!((whole.0, accumulated.0), (2, 2));
    assert!((whole.1.loss - accumulated.1.loss).abs() < 1e-5, "{whole:?} {accumulated:?}");
    assert!((whole.1.gradient_norm - accumulated.1.gradient_norm).abs() < 1e-4, "{whole:?} {accumulated:?}");
}

#[test]
fn a_run_that_learns_nothing_more_ends_with_its_best_weights() {
    let examples = examples();
    // So high a rate that the loss soon rises again.
    let settings = TrainSettings {
        length: Length::Steps(60),
        lr: 0.05,
        schedule: Schedule::Constant,
        validate_every_steps: 2,
        early_stopping_patience: 3,
        ..pretrain()
    };
    let observed = |dir: Option<&Path>, stops: &[u64]| {
        let mut losses = Vec::new();
        let job = Job { validation: &examples[..4], ..job(&settings, Start::Fresh(config()), &examples, dir) };
        for step in stops {
            assert!(!run(&job, stop_at(*step)).unwrap().finished);
        }
        let trained = run(&job, |progress| {
            losses.extend(progress.validation_loss.map(|loss| (progress.step, loss)));
            ControlFlow::Continue(())
        });
        (trained.unwrap(), losses)
    };
    let (whole, losses) = observed(None, &[]);
    let best = losses.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert!(whole.finished && whole.step < 60, "{losses:?}");
    assert_eq!((whole.best_step, whole.validation_loss), (best.0, Some(best.1)));
    assert_eq!(whole.step, best.0 + 6);
    let dir = tempfile::tempdir().unwrap();
    let (resumed, _) = observed(Some(dir.path()), &[3, best.0 + 1]);
    assert_eq!(bits(&whole), bits(&resumed));
    assert_eq!((whole.best_step, whole.validation_loss), (resumed.best_step, resumed.validation_loss));
}

#[test]
fn a_loss_that_is_no_number_names_the_batch_and_keeps_the_checkpoint() {
    let examples = examples();
    let settings = TrainSettings { lr: 1e30, warmup_share: 0.0, grad_clip: None, weight_decay: 0.0, ..pretrain() };
    let dir = tempfile::tempdir().unwrap();
    let good = TrainSettings { checkpoint_every_steps: 1, ..settings };
    let error = run(&job(&good, Start::Fresh(config()), &examples, Some(dir.path())), go_on).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFinite, "{error}");
    assert!(error.to_string().contains("examples "), "{error}");
    assert!(std::fs::read_dir(dir.path()).unwrap().count() >= 1);
}

/// Blocks computed twice take the same steps, also over several passes and under dropout, and stop and go on alike.
#[test]
fn recomputed_blocks_take_the_same_steps() {
    let examples = examples();
    for (settings, start) in starts() {
        let seen = |gradient_checkpointing| {
            let settings = TrainSettings { gradient_checkpointing, gradient_accumulation_steps: 2, ..settings.clone() };
            let mut seen = Vec::new();
            let trained = run(&job(&settings, start.clone(), &examples, None), |progress| {
                seen.push((progress.loss, progress.gradient_norm));
                ControlFlow::Continue(())
            });
            (seen, bits(&trained.unwrap()))
        };
        let ((kept, kept_bits), (recomputed, recomputed_bits)) = (seen(false), seen(true));
        // The first step starts from the same weights. Gradients may differ in their last bits, and Adam carries that on.
        assert_eq!(kept[0].0, recomputed[0].0);
        assert!((kept[0].1 - recomputed[0].1).abs() < 1e-6, "{kept:?} {recomputed:?}");
        let gap = |(a, b): (&u32, &u32)| (f32::from_bits(*a) - f32::from_bits(*b)).abs();
        let worst = kept_bits.iter().zip(&recomputed_bits).map(gap).fold(0.0, f32::max);
        assert!(worst < 1e-4, "weights differ by {worst}");
        assert_eq!(seen(true).1, recomputed_bits);
    }
}

/// Factors in bf16 give a loss and a gradient near those in f32, learn, stop and go on alike; what comes back is
/// multiplied in f32.
#[test]
fn bf16_products_take_nearly_the_same_steps() {
    let examples = examples();
    for (settings, start) in starts() {
        let seen = |bf16, n_steps| {
            let dir = tempfile::tempdir().unwrap();
            let settings = TrainSettings { bf16, ..settings.clone() };
            let mut steps = Vec::new();
            let mut see = |progress: &Progress, stop: u64| {
                steps.push((progress.loss, progress.gradient_norm));
                if progress.step == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let job = job(&settings, start.clone(), &examples, Some(dir.path()));
            run(&job, |progress| see(progress, n_steps)).unwrap();
            let trained = run(&job, |progress| see(progress, u64::MAX)).unwrap();
            assert_eq!(trained.model.precision(), Precision::F32);
            (steps, bits(&trained))
        };
        let ((exact, _), (rounded, rounded_bits)) = (seen(false, 4), seen(true, 4));
        assert_ne!(exact, rounded);
        // Both start from the same weights; what follows is carried on by Adam.
        let gap = |(a, b): (f64, f64)| (a - b).abs() / a;
        assert!(gap((exact[0].0.into(), rounded[0].0.into())) < 1e-3, "{exact:?} {rounded:?}");
        assert!(gap((exact[0].1, rounded[0].1)) < 2e-2, "{exact:?} {rounded:?}");
        assert!(rounded.last().unwrap().0 < rounded[0].0, "{rounded:?}");
        assert_eq!(seen(true, 9).1, rounded_bits);
    }
}

/// Two texts of five tokens fill a row of ten and the token after it, so no text is cut.
#[test]
fn the_loss_of_packed_texts_is_that_of_the_texts_alone() {
    let (settings, examples) = (pretrain(), examples());
    let texts: Vec<Vec<u32>> = (0..8).map(|start| (0..3).map(|i| 5 + (start * 3 + i * 4) % 19).collect()).collect();
    let packed = pack(&texts, 11);
    assert_eq!(packed.len(), 4);
    let apart: Vec<TrainExample> = texts.iter().map(|text| pack(std::slice::from_ref(text), 11).remove(0)).collect();
    let loss = |validation: &[TrainExample]| {
        let job = Job { validation, ..job(&settings, Start::Fresh(config()), &examples, None) };
        run(&job, go_on).unwrap().validation_loss.unwrap()
    };
    let (packed, apart) = (loss(&packed), loss(&apart));
    assert!((packed - apart).abs() < 1e-6, "{packed} {apart}");
}
