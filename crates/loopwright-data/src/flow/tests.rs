//! The flow gives what the curation in memory gives, whatever the batches, the memory and the interruptions.

use super::*;
use crate::{
    Kind,
    clean::{label_conflict, language, length, split},
    dedup::NearSettings,
    recipe::{Curated, StepSettings, curate},
};
use loopwright_guard::{RedactPolicy, Redactor};
use loopwright_types::id::SubjectId;
use proptest::prelude::*;
use std::{collections::BTreeSet, path::Path};

/// Everything beside the rows that a curation needs.
struct World {
    redactor: Redactor,
    opted_out: BTreeSet<SubjectId>,
    seed: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self { redactor: Redactor::new(&RedactPolicy::default()), opted_out: BTreeSet::from(["s3".into()]), seed }
    }

    fn ctx(&self) -> CurateContext<'_> {
        CurateContext { redactor: &self.redactor, known: &known, opted_out: &self.opted_out, seed: self.seed }
    }
}

fn known(subject: &SubjectId) -> Vec<String> {
    if subject.as_str() == "s1" { vec!["Ana Ruiz".into()] } else { Vec::new() }
}

/// Messages with dirt: markup, repetitions, near-repetitions, other languages, opted-out people, names, lost labels.
fn messages(n: usize, salt: u64) -> Vec<SourceRow> {
    let parts = [
        "my kettle arrived broken",
        "where is the parcel that I ordered last week",
        "please send me the invoice again",
        "<b>I want a refund</b>",
        "ana ruiz says thank you",
        "",
        "hola, mi pedido todavía no ha llegado y quiero saber dónde está",
    ];
    let labels = ["damaged", "track", "invoice", "refund"];
    let row = |i: usize| {
        let x = xxhash_rust::xxh3::xxh3_64(&(i as u64 ^ salt << 32).to_le_bytes()) as usize;
        let (first, second) = (parts[x % 7], parts[x / 7 % 7]);
        let number = if (x / 49).is_multiple_of(3) { String::new() } else { format!(" order {}", x / 147 % 50) };
        SourceRow {
            row_id: format!("r{i}"),
            source: "mail.csv".into(),
            row_index: i as u64 + 1,
            text: format!("{first} {second}{number}"),
            label: (!(x / 7350).is_multiple_of(20)).then(|| labels[x / 1000 % 4].to_string()),
            subject: Some(format!("s{}", x / 300 % 9).as_str().into()),
            group: (x / 500).is_multiple_of(2).then(|| "business".to_string()),
            at: None,
            ..SourceRow::default()
        }
    };
    (0..n).map(row).collect()
}

/// A recipe with row steps before, between and after set steps.
fn mixed() -> Recipe {
    let conflict = label_conflict::Settings { folds: 2, margin: 0.2, rows_min: 2 };
    Recipe {
        steps: vec![
            StepSettings::ExactDedup,
            StepSettings::Consent,
            StepSettings::StripHtml,
            StepSettings::Whitespace,
            StepSettings::NearDedup(NearSettings::default()),
            StepSettings::Length(length::Settings::default()),
            StepSettings::Language(language::Settings::default()),
            StepSettings::Redact,
            StepSettings::LabelConflict(conflict),
            StepSettings::ExactDedup,
            StepSettings::Split(split::Settings::default()),
        ],
    }
}

fn recipes() -> [Recipe; 3] {
    let only_split = Recipe { steps: vec![StepSettings::Split(split::Settings::default())] };
    [Recipe::default(), mixed(), only_split]
}

fn settings(dir: &Path, batch_rows: usize, memory_bytes: u64) -> FlowSettings {
    FlowSettings { dir: dir.to_path_buf(), memory_bytes, batch_rows }
}

fn batches(rows: &[SourceRow], size: usize) -> impl Iterator<Item = Result<Vec<SourceRow>>> {
    rows.chunks(size.max(1)).map(|batch| Ok(batch.to_vec()))
}

/// A flow to its end, with what went through its sinks.
fn flowed(
    input: impl Iterator<Item = Result<Vec<SourceRow>>>,
    recipe: &Recipe,
    world: &World,
    settings: &FlowSettings,
    progress: &mut dyn FnMut(&Progress) -> Result<()>,
) -> Result<(Curated, Flowed)> {
    let mut out = Curated::default();
    let mut sinks = FlowSinks {
        examples: &mut |rows| {
            out.examples.extend_from_slice(rows);
            Ok(())
        },
        dropped: &mut |rows| {
            out.dropped.extend_from_slice(rows);
            Ok(())
        },
        changed: &mut |rows| {
            out.changed.extend_from_slice(rows);
            Ok(())
        },
        progress,
    };
    let input = FlowInput { name: "mail".into(), batches: input, rows_total: None };
    let done = run(input, recipe, &world.ctx(), settings, &mut sinks)?;
    out.card = done.card.clone();
    Ok((out, done))
}

fn check_equal(rows: &[SourceRow], recipe: &Recipe, input_batch: usize, batch_rows: usize, memory_bytes: u64) {
    let world = World::new(7);
    let expected = curate(rows.to_vec(), recipe, &world.ctx()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), batch_rows, memory_bytes);
    let (got, done) = flowed(batches(rows, input_batch), recipe, &world, &settings, &mut |_| Ok(())).unwrap();
    assert_eq!(got, expected);
    assert_eq!(done.digest, crate::version::digest(&expected.examples));
    let counts = (expected.examples.len(), expected.dropped.len(), expected.changed.len());
    assert_eq!((done.n_examples as usize, done.n_dropped as usize, done.n_changed as usize), counts);
}

#[test]
fn no_rows_make_an_empty_version() {
    for recipe in recipes() {
        check_equal(&[], &recipe, 3, 3, 32 << 20);
    }
}

#[test]
fn every_kind_of_row_is_met_by_the_tests() {
    let world = World::new(7);
    let out = curate(messages(400, 1), &mixed(), &world.ctx()).unwrap();
    let steps: BTreeSet<&str> = out.dropped.iter().map(|row| row.step.as_str()).collect();
    let all = ["consent", "exact_dedup", "label_conflict", "language", "length", "near_dedup"];
    assert_eq!(steps.into_iter().collect::<Vec<_>>(), all);
    let changed: BTreeSet<&str> = out.changed.iter().map(|row| row.step.as_str()).collect();
    assert_eq!(changed.into_iter().collect::<Vec<_>>(), ["redact", "strip_html", "whitespace"]);
    assert!(out.card.splits.len() > 1, "{:?}", out.card.splits);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_batches_and_any_memory_give_what_memory_gives(
        n in 0usize..160, salt in 0u64..1000, which in 0usize..3,
        input_batch in 1usize..70, batch_rows in 1usize..200, memory_mib in 5u64..40
    ) {
        check_equal(&messages(n, salt), &recipes()[which], input_batch, batch_rows, memory_mib << 20);
    }
}

/// Stops the flow at its nth message, for every n, and goes on each time: what comes out is always the same.
#[test]
fn a_flow_that_is_stopped_anywhere_goes_on_to_the_same_end() {
    let (rows, recipe, world) = (messages(60, 5), mixed(), World::new(3));
    let expected = curate(rows.clone(), &recipe, &world.ctx()).unwrap();
    let mut phases = BTreeSet::new();
    for stop_at in 1.. {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path(), 30, 32 << 20);
        let mut n_messages = 0;
        let first = flowed(batches(&rows, 30), &recipe, &world, &settings, &mut |progress| {
            n_messages += 1;
            if n_messages == stop_at {
                phases.insert(progress.phase.clone());
                return Err(Error::outside("go on", "stopped by hand"));
            }
            Ok(())
        });
        if first.is_ok() {
            break;
        }
        let (got, _) = flowed(batches(&rows, 30), &recipe, &world, &settings, &mut |_| Ok(())).unwrap();
        assert_eq!(got, expected, "stopped at message {stop_at}");
    }
    let all = ["exact_dedup: judge", "exact_dedup: look", "label_conflict: judge", "label_conflict: look"];
    let all = all.into_iter().chain(["near_dedup: judge", "near_dedup: look", "read", "rows", "split: judge"]);
    let all: Vec<&str> = all.chain(["split: look", "write"]).collect();
    assert_eq!(phases.iter().map(String::as_str).collect::<Vec<_>>(), all);
}

#[test]
fn a_sink_that_fails_gets_everything_again() {
    let (rows, world) = (messages(60, 2), World::new(3));
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), 20, 32 << 20);
    for failing in 0..3 {
        let no = |which: usize| if which == failing { Err(Error::outside("store rows", "disk full")) } else { Ok(()) };
        let mut sinks = FlowSinks {
            examples: &mut |_| no(0),
            dropped: &mut |_| no(1),
            changed: &mut |_| no(2),
            progress: &mut |_| Ok(()),
        };
        let input = FlowInput { name: "mail".into(), batches: batches(&rows, 20), rows_total: None };
        let error = run(input, &Recipe::default(), &world.ctx(), &settings, &mut sinks).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Outside, "failed to store rows"));
    }
    let never = std::iter::once_with(|| Err(Error::outside("read rows", "the input was read again")));
    let (got, _) = flowed(never, &Recipe::default(), &world, &settings, &mut |_| Ok(())).unwrap();
    assert_eq!(got, curate(rows, &Recipe::default(), &world.ctx()).unwrap());
}

#[test]
fn finished_work_is_not_done_again() {
    let (rows, world) = (messages(100, 2), World::new(3));
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), 10, 32 << 20);
    let failing = batches(&rows, 10).take(6).chain([Err(Error::outside("read rows", "connection lost"))]);
    let error = flowed(failing, &Recipe::default(), &world, &settings, &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), Kind::Outside);
    let part = |index: usize| part::path(&dir.path().join("00-rows"), index);
    let written = |index: usize| std::fs::metadata(part(index)).unwrap().modified().unwrap();
    assert_eq!(part::count(&dir.path().join("00-rows")), 6);
    let before: Vec<_> = (0..6).map(written).collect();
    let (got, _) = flowed(batches(&rows, 17), &Recipe::default(), &world, &settings, &mut |_| Ok(())).unwrap();
    assert_eq!(got, curate(rows, &Recipe::default(), &world.ctx()).unwrap());
    assert_eq!((0..6).map(written).collect::<Vec<_>>(), before);
}

#[test]
fn another_input_than_the_one_that_was_begun_is_noticed() {
    let (rows, world) = (messages(40, 2), World::new(3));
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), 10, 32 << 20);
    let failing = batches(&rows, 10).take(2).chain([Err(Error::outside("read rows", "connection lost"))]);
    flowed(failing, &Recipe::default(), &world, &settings, &mut |_| Ok(())).unwrap_err();
    for others in [messages(40, 3), rows[..15].to_vec()] {
        let error = flowed(batches(&others, 10), &Recipe::default(), &world, &settings, &mut |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), Kind::WorkFolder);
        assert!(error.to_string().contains("the input is not the one"), "{error}");
    }
}

#[test]
fn a_folder_of_another_recipe_or_seed_is_refused_until_it_is_cleared() {
    let (rows, world) = (messages(40, 2), World::new(3));
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), 10, 32 << 20);
    flowed(batches(&rows, 10), &Recipe::default(), &world, &settings, &mut |_| Ok(())).unwrap();
    for (recipe, seed) in [(mixed(), 3), (Recipe::default(), 4)] {
        let other = World::new(seed);
        let error = flowed(batches(&rows, 10), &recipe, &other, &settings, &mut |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), Kind::WorkFolder, "{error}");
    }
    clear(dir.path()).unwrap();
    let (got, _) = flowed(batches(&rows, 10), &mixed(), &world, &settings, &mut |_| Ok(())).unwrap();
    assert_eq!(got, curate(rows, &mixed(), &world.ctx()).unwrap());
}

#[test]
fn what_does_not_fit_is_refused_with_the_memory_that_would_do() {
    let (rows, world) = (messages(200, 2), World::new(3));
    let dir = tempfile::tempdir().unwrap();
    // The classifiers of the label check alone take four times half a megabyte or so.
    let tight = settings(dir.path(), 50, MEMORY_BYTES_MIN);
    let error = flowed(batches(&rows, 50), &Recipe::default(), &world, &tight, &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), Kind::Memory);
    let Error::Memory { step, needed_bytes, .. } = error else { panic!("of kind memory") };
    assert_eq!(step, "label_conflict");
    let enough = FlowSettings { memory_bytes: needed_bytes * 2, ..tight };
    let (got, _) = flowed(batches(&rows, 50), &Recipe::default(), &world, &enough, &mut |_| Ok(())).unwrap();
    assert_eq!(got, curate(rows, &Recipe::default(), &world.ctx()).unwrap());
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    assert!(FlowSettings::new("x").check().is_ok());
    for (batch_rows, memory_bytes) in [(0, 32 << 20), (1, MEMORY_BYTES_MIN - 1)] {
        assert_eq!(settings(Path::new("x"), batch_rows, memory_bytes).check().unwrap_err().kind(), Kind::Setting);
    }
}
