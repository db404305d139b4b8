//! The flow gives what the curation in memory gives, whatever the batches, the memory and the interruptions.

mod corrections;

use super::*;
use crate::{
    Kind,
    clean::{
        balance, embedding_dedup, label_check, label_conflict, language, length, line_dedup, mix, perplexity, redact,
        split::{self, By},
    },
    decontaminate,
    dedup::NearSettings,
    recipe::{Curated, Resources, StepSettings, curate, operators},
};
use loopwright_corpus::{
    minhash::MinHashSettings,
    quality::{
        boilerplate, c4, fineweb, gopher_quality, gopher_repetition,
        rows::{chat, classification, instruction},
        symbols, urls, words_list,
    },
};
use loopwright_guard::{RedactPolicy, Redactor};
use loopwright_types::{
    Conversation, Timestamp,
    conversation::{Role, Turn},
    id::SubjectId,
};
use proptest::prelude::*;
use std::{collections::BTreeSet, path::Path};

/// Everything beside the rows that a curation needs.
struct World {
    redactor: Redactor,
    opted_out: BTreeSet<SubjectId>,
    seed: u64,
    resources: Resources<'static>,
}

impl World {
    fn new(seed: u64) -> Self {
        let question = "please send me the invoice again where is the parcel that I ordered last week".to_string();
        let resources = Resources {
            evaluation_texts: [("mails".to_string(), vec![("q1".to_string(), question)])].into(),
            perplexity: Some(&|text| Ok(text.len() as f64)),
            embed: Some(&|texts| Ok(texts.iter().map(|text| embedded(text)).collect())),
            surrogate_key: Some([9; 32]),
            ..Resources::default()
        };
        let opted_out = BTreeSet::from(["s3".into()]);
        Self { redactor: Redactor::new(&RedactPolicy::default()), opted_out, seed, resources }
    }

    fn ctx(&self) -> CurateContext<'_> {
        let Self { redactor, opted_out, seed, resources } = self;
        CurateContext { redactor, known: &known, opted_out, seed: *seed, resources }
    }
}

/// How often each small letter stands in a text.
fn embedded(text: &str) -> Vec<f32> {
    ('a'..='z').map(|letter| text.matches(letter).count() as f32).collect()
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
        let separator = [" ", "\n", " ", "\t"][x / 20 % 4];
        let text = format!("{first}{separator}{second}{number}");
        let turns = || vec![Turn::new(Role::User, text.clone()), Turn::new(Role::Assistant, parts[x / 3000 % 7])];
        SourceRow {
            row_id: format!("r{i}"),
            source: ["mail.csv", "chat.csv", "https://shop.example/mails"][x / 90 % 3].into(),
            row_index: i as u64 + 1,
            conversation: (x / 60).is_multiple_of(5).then(|| Conversation::Turns(turns())),
            text,
            label: (!(x / 7350).is_multiple_of(20)).then(|| labels[x / 1000 % 4].to_string()),
            subject: Some(format!("s{}", x / 300 % 9).as_str().into()),
            group: (x / 500).is_multiple_of(2).then(|| "business".to_string()),
            at: (!(x / 11).is_multiple_of(9)).then_some(Timestamp((x / 77 % 40) as i64)),
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
            StepSettings::Redact(redact::Settings::default()),
            StepSettings::LabelConflict(conflict),
            StepSettings::ExactDedup,
            StepSettings::Split(split::Settings::default()),
        ],
    }
}

/// Settings by which each corpus filter finds something to do in short messages.
fn corpus_filters() -> Vec<StepSettings> {
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_string()).collect::<Vec<_>>();
    let loose_c4 =
        c4::Settings { sentences_min: 0, lines_end_sentences: false, words_per_line_min: 2, ..Default::default() };
    let gopher = gopher_quality::Settings { words_min: 6, stop_words_min: 0, ..Default::default() };
    let repetition =
        gopher_repetition::Settings { top_grams: Vec::new(), duplicate_grams: Vec::new(), ..Default::default() };
    let fineweb = fineweb::Settings {
        unpunctuated_may_stay: true,
        punctuated_lines_min: 0.0,
        duplicate_line_chars_max: 0.4,
        ..Default::default()
    };
    vec![
        StepSettings::Length(length::Settings { labelled: false, ..Default::default() }),
        StepSettings::Urls(urls::Settings { words: list(&["mails"]), ..Default::default() }),
        StepSettings::Symbols(symbols::Settings { digits_max: 0.1, ..Default::default() }),
        StepSettings::WordsList(words_list::Settings {
            words: list(&["refund"]),
            matches_max: 1,
            ..Default::default()
        }),
        StepSettings::C4(loose_c4),
        StepSettings::GopherQuality(gopher),
        StepSettings::GopherRepetition(repetition),
        StepSettings::FineWeb(fineweb),
    ]
}

/// Row steps, and those that take lines out.
fn filters() -> Recipe {
    let before = [StepSettings::Consent, StepSettings::RepairText, StepSettings::StripHtml];
    let after = [
        StepSettings::Whitespace,
        StepSettings::Redact(redact::Settings { surrogates: true, ..Default::default() }),
        StepSettings::Language(language::Settings::default()),
        StepSettings::Decontaminate(decontaminate::Settings { ngram_words: 8, ..Default::default() }),
        StepSettings::Perplexity(perplexity::Settings { min: Some(35.0), max: Some(100.0) }),
        StepSettings::LineDedup(line_dedup::Settings { chars_min: 40, ..Default::default() }),
        StepSettings::Boilerplate(boilerplate::Settings { documents_min: 4, ..Default::default() }),
        StepSettings::Split(split::Settings::default()),
    ];
    Recipe { steps: before.into_iter().chain(corpus_filters()).chain(after).collect() }
}

/// Set steps that leave rows out.
fn sets() -> Recipe {
    let conflict = label_conflict::Settings { folds: 2, margin: 0.05, rows_min: 2 };
    let weights = [("mail.csv".to_string(), 1.0), ("chat.csv".to_string(), 2.0)].into();
    let steps = vec![
        StepSettings::LabelConflict(conflict),
        StepSettings::LabelCheck(label_check::Settings { folds: 2, neighbours: 3, margin: 0.1 }),
        StepSettings::Balance(balance::Settings { temperature: 1.5, ..Default::default() }),
        StepSettings::Mix(mix::Settings { weights, ..Default::default() }),
        StepSettings::ExactDedup,
        StepSettings::EmbeddingDedup(embedding_dedup::Settings { cosine_min: 0.98, ..Default::default() }),
        StepSettings::NearDedup(NearSettings::default()),
        StepSettings::MinHash(MinHashSettings { ngram_words: 2, ..Default::default() }),
        StepSettings::Split(split::Settings::default()),
    ];
    Recipe { steps }
}

/// A split with a boundary.
fn bounded(by: By) -> Recipe {
    let split = split::Settings { by, cluster_threshold: 0.8, ..Default::default() };
    Recipe { steps: vec![StepSettings::ExactDedup, StepSettings::Split(split)] }
}

/// All steps but the rules for one kind of row, in one recipe.
fn every_step() -> Recipe {
    let mut steps = filters().steps;
    steps.pop();
    steps.extend(sets().steps);
    Recipe { steps }
}

/// The rules for one kind of row each, and vectors from a model.
fn kinds() -> Recipe {
    let steps = vec![
        StepSettings::ClassificationRows(classification::Settings { chars_max: 90, ..Default::default() }),
        StepSettings::InstructionRows(instruction::Settings::default()),
        StepSettings::EmbeddingDedup(embedding_dedup::Settings {
            vectors: embedding_dedup::Vectors::Model,
            ..Default::default()
        }),
        StepSettings::ChatRows(chat::Settings::default()),
        StepSettings::Redact(redact::Settings::default()),
        StepSettings::Split(split::Settings::default()),
    ];
    Recipe { steps }
}

fn recipes() -> [Recipe; 9] {
    let only_split = Recipe { steps: vec![StepSettings::Split(split::Settings::default())] };
    let [by_time, by_group] = [By::Time, By::Group].map(bounded);
    [Recipe::default(), mixed(), only_split, filters(), sets(), every_step(), kinds(), by_time, by_group]
}

fn settings(dir: &Path, batch_rows: usize, memory_bytes: u64) -> FlowSettings {
    FlowSettings { dir: dir.to_path_buf(), memory_bytes, batch_rows }
}

fn batches(rows: &[SourceRow], size: usize) -> impl Iterator<Item = Result<Vec<SourceRow>>> {
    rows.chunks(size.max(1)).map(|batch| Ok(batch.to_vec()))
}

/// What goes through the sinks of some work, with the figures that it comes to.
fn collected(
    progress: &mut dyn FnMut(&Progress) -> Result<()>,
    work: impl FnOnce(&mut FlowSinks<'_>) -> Result<Flowed>,
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
    let done = work(&mut sinks)?;
    out.card = done.card.clone();
    Ok((out, done))
}

/// A flow to its end, with what went through its sinks.
fn flowed(
    input: impl Iterator<Item = Result<Vec<SourceRow>>>,
    recipe: &Recipe,
    world: &World,
    settings: &FlowSettings,
    progress: &mut dyn FnMut(&Progress) -> Result<()>,
) -> Result<(Curated, Flowed)> {
    let input = FlowInput { name: "mail".into(), batches: input, rows_total: None };
    collected(progress, |sinks| run(input, recipe, &world.ctx(), settings, sinks))
}

fn assert_counts(done: &Flowed, expected: &Curated) {
    assert_eq!(done.digest, crate::version::digest(&expected.examples));
    let counts = (expected.examples.len(), expected.dropped.len(), expected.changed.len());
    assert_eq!((done.n_examples as usize, done.n_dropped as usize, done.n_changed as usize), counts);
}

fn check_equal(rows: &[SourceRow], recipe: &Recipe, input_batch: usize, batch_rows: usize, memory_bytes: u64) {
    let world = World::new(7);
    let expected = curate(rows.to_vec(), recipe, &world.ctx()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), batch_rows, memory_bytes);
    let (got, done) = flowed(batches(rows, input_batch), recipe, &world, &settings, &mut |_| Ok(())).unwrap();
    assert_eq!(got, expected);
    assert_counts(&done, &expected);
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

/// Every step has something to do in the recipes of these tests, so that equality says something of each.
#[test]
fn every_step_is_met_by_the_tests() {
    let (rows, world) = (messages(2000, 1), World::new(7));
    let mut busy: BTreeSet<String> = BTreeSet::new();
    for recipe in [filters(), sets(), kinds()] {
        let out = curate(rows.clone(), &recipe, &world.ctx()).unwrap();
        let steps = out.card.steps.into_iter().filter(|count| count.n_changed > 0 || !count.dropped.is_empty());
        busy.extend(steps.map(|count| count.step));
        check_equal(&rows, &recipe, 700, 500, 64 << 20);
    }
    let all = operators().iter().map(|operator| operator.name);
    // A stratified split leaves nothing out.
    assert_eq!(all.filter(|name| !busy.contains(*name)).collect::<Vec<_>>(), ["split"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 56, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_batches_and_any_memory_give_what_memory_gives(
        n in 0usize..160, salt in 0u64..1000, which in 0usize..9,
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
