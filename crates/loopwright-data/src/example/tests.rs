//! The example is what it says it is, and the curation does with it what it should. These tests know the truth about
//! the rows, which the desk's files do not tell.

use super::*;
use crate::{
    clean::{label_conflict, language, repair},
    extend::{Correction, extend},
    linear::{Features, Linear},
    recipe::{CurateContext, Curated, Recipe, Resources, curate},
};
use loopwright_guard::{RedactPolicy, Redactor};
use loopwright_sources::{OpenSettings, ReadRows, Spec, open_reader};
use loopwright_types::{Example, Split, id::SubjectId};
use std::collections::{BTreeMap, BTreeSet};

fn project() -> ExampleProject {
    generate(&ExampleSettings::default())
}

fn read(csv: &[u8]) -> ReadRows {
    let reads = open_reader("mail.csv", std::io::Cursor::new(csv.to_vec()), &Spec::default(), &OpenSettings::default());
    ReadRows::of(reads, &|id| SubjectId::new(id)).unwrap()
}

fn curated(project: &ExampleProject, csv: &[u8]) -> Curated {
    let known = |subject: &SubjectId| {
        let customer = project.customers.iter().find(|customer| customer.external_id == subject.as_str());
        customer.map_or_else(Vec::new, |c| {
            vec![c.name.clone(), c.email.clone(), c.phone.clone(), c.card.clone(), c.external_id.clone()]
        })
    };
    let redactor = Redactor::new(&RedactPolicy::default());
    let ctx = CurateContext {
        redactor: &redactor,
        known: &known,
        opted_out: &BTreeSet::new(),
        seed: 11,
        resources: Resources::none(),
    };
    curate(read(csv).rows, &Recipe::default(), &ctx).unwrap()
}

fn share(n: usize, of: usize) -> f64 {
    n as f64 / of.max(1) as f64
}

#[test]
fn the_same_settings_give_the_same_bytes_and_another_seed_others() {
    let small = |seed| generate(&ExampleSettings { seed, n_month_1: 80, n_month_2: 40, n_customers: 20 });
    let (one, other) = (small(1), small(2));
    assert_eq!(one, small(1));
    assert_ne!(one.month_1_csv(), other.month_1_csv());
    assert_ne!(one.customers_csv(), other.customers_csv());
}

#[test]
fn tiny_examples_are_possible() {
    let tiny = generate(&ExampleSettings { seed: 1, n_month_1: 1, n_month_2: 0, n_customers: 0 });
    assert_eq!((tiny.month_1.len(), tiny.month_2.len()), (1, 0));
    assert_eq!(read(&tiny.month_1_csv()).rows.len(), 1);
}

#[test]
fn the_months_are_as_promised() {
    let project = project();
    assert_eq!((project.month_1.len(), project.month_2.len(), project.customers.len()), (3600, 1800, 330));
    let names: BTreeSet<&str> = project.customers.iter().map(|customer| customer.name.as_str()).collect();
    assert_eq!(names.len(), 330);
    let labels: BTreeSet<&str> = project.month_1.iter().map(|row| row.label.as_str()).collect();
    assert_eq!(labels.len(), 14);
    let n_new = project.month_2.iter().filter(|row| row.label == NEW_INTENT.label).count();
    assert!((0.11..=0.16).contains(&share(n_new, 1800)), "{n_new}");
    let mut kinds: BTreeMap<RowKind, usize> = BTreeMap::new();
    project.month_1.iter().for_each(|row| *kinds.entry(row.truth.kind).or_default() += 1);
    for (kind, low, high) in [
        (RowKind::Repeated, 0.02, 0.04),
        (RowKind::NearlyRepeated, 0.03, 0.06),
        (RowKind::Empty, 0.005, 0.02),
        (RowKind::Foreign, 0.02, 0.04),
        (RowKind::Markup, 0.03, 0.05),
        (RowKind::Misread, 0.015, 0.035),
    ] {
        let got = share(kinds[&kind], 3600);
        assert!((low..=high).contains(&got), "{kind:?} {got}");
    }
    let wrong = project.month_1.iter().filter(|row| row.label != row.truth.label).count();
    assert!((0.015..=0.035).contains(&share(wrong, 3600)), "{wrong} wrong labels");
    let times: Vec<Timestamp> = project.month_1.iter().chain(&project.month_2).map(|row| row.created_at).collect();
    assert!(times.is_sorted());
    assert!(times[0].to_string().starts_with("2026-01-01") && times[5399].to_string().starts_with("2026-02-28"));
}

#[test]
fn the_file_gives_back_every_good_row_and_three_bad_ones() {
    let project = project();
    let read = read(&project.month_1_csv());
    let texts: Vec<&str> = read.rows.iter().map(|row| row.text.as_str()).collect();
    assert_eq!(texts, project.month_1.iter().map(|row| row.text.as_str()).collect::<Vec<_>>());
    let reasons: Vec<&str> = read.rejected.iter().map(|row| row.reason.as_str()).collect();
    assert_eq!(reasons.len(), 3);
    assert!(
        reasons[0].contains("quote") && reasons[1].contains("expected 6 fields, got 8") && reasons[2].contains("UTF-8")
    );
    assert_eq!(read.rows[0].at, Some(project.month_1[0].created_at));
}

#[test]
fn misread_messages_are_repaired() {
    let project = project();
    let misread = project.month_1.iter().filter(|row| row.truth.kind == RowKind::Misread);
    for row in misread {
        let repaired = repair::repair(&row.text);
        assert!(!repaired.contains(['Ã', 'Â', 'â', '\u{80}', '€', '\u{fffd}']), "{repaired}");
    }
}

#[test]
fn foreign_messages_go_and_english_ones_stay() {
    let project = project();
    let kept = |row: &ExampleRow| {
        ["eng", "und"].contains(&language::detect(&row.text, language::Settings::default().confidence_min).as_str())
    };
    let of = |kind: RowKind| project.month_1.iter().filter(move |row| row.truth.kind == kind).collect::<Vec<_>>();
    let (foreign, fresh) = (of(RowKind::Foreign), of(RowKind::Fresh));
    let foreign_kept = share(foreign.iter().filter(|row| kept(row)).count(), foreign.len());
    let lost: Vec<&str> = fresh.iter().filter(|row| !kept(row)).map(|row| row.text.as_str()).collect();
    println!(
        "language filter: {foreign_kept:.3} of foreign kept, {} of {} English lost: {lost:?}",
        lost.len(),
        fresh.len()
    );
    assert!(foreign_kept <= 0.05, "{foreign_kept}");
    assert!(share(lost.len(), fresh.len()) <= 0.005, "{lost:?}");
}

/// Precision and recall of the structured detectors without knowing the author.
#[test]
fn planted_contact_data_is_found() {
    let project = project();
    let redactor = Redactor::new(&RedactPolicy::default());
    let mut figures: BTreeMap<PiiKind, [usize; 3]> = BTreeMap::new();
    let rows = project.month_1.iter().chain(&project.month_2).filter(|row| row.truth.kind == RowKind::Fresh);
    for row in rows {
        let found: Vec<(PiiKind, &str)> =
            redactor.redact(&row.text, &[]).findings.iter().map(|f| (f.kind, &row.text[f.start..f.end])).collect();
        for (kind, value) in &row.truth.planted {
            let figures = figures.entry(*kind).or_default();
            figures[0] += usize::from(found.contains(&(*kind, value)));
            figures[1] += 1;
        }
        for (kind, value) in found {
            let planted = row.truth.planted.iter().any(|(k, v)| *k == kind && v.contains(value));
            if !planted {
                println!("false {kind:?} `{value}` in `{}`", row.text);
            }
            figures.entry(kind).or_default()[2] += usize::from(!planted);
        }
    }
    for (kind, [hit, planted, false_hits]) in &figures {
        println!("{kind:?}: recall {hit}/{planted}, false hits {false_hits}");
    }
    for kind in [PiiKind::Email, PiiKind::Phone, PiiKind::Card] {
        let [hit, planted, false_hits] = figures[&kind];
        assert!(planted > 50 && share(hit, planted) >= 0.99, "{kind:?} {hit} of {planted}");
        assert!(share(false_hits, hit + false_hits) <= 0.01, "{kind:?} {false_hits} false");
    }
    for kind in [PiiKind::Iban, PiiKind::Ip, PiiKind::Secret] {
        assert!(!figures.contains_key(&kind), "{kind:?} was never planted");
    }
}

/// After curation no customer's identifier is left in that customer's rows, in any spelling.
#[test]
fn no_identifier_of_its_author_survives_the_curation() {
    let project = project();
    let by_id: BTreeMap<&str, &Customer> = project.customers.iter().map(|it| (it.external_id.as_str(), it)).collect();
    let squeezed = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    for row in &curated(&project, &project.month_1_csv()).examples {
        let customer = by_id[row.subject.as_ref().unwrap().as_str()];
        let text = squeezed(&row.text);
        for value in [&customer.name, &customer.email, &customer.phone, &customer.card] {
            assert!(!text.contains(&squeezed(value)), "`{value}` in `{}`", row.text);
        }
    }
}

#[test]
fn curating_the_first_month() {
    let project = project();
    let csv = project.month_1_csv();
    let started = std::time::Instant::now();
    let out = curated(&project, &csv);
    println!("curated {} of 3600 rows in {:?}", out.examples.len(), started.elapsed());
    println!("{}", crate::card::to_markdown(&out.card, "support@1"));
    assert_eq!(out.examples.len() + out.dropped.len(), 3600, "every row is kept or dropped with a reason");
    assert_eq!(out, curated(&project, &csv), "the same rows and seed give the same version");
    let dropped: BTreeSet<&str> = out.dropped.iter().map(|row| row.row_id.as_str()).collect();
    let of = |kind: RowKind| project.month_1.iter().filter(move |row| row.truth.kind == kind);
    let gone =
        |kind: RowKind| share(of(kind).filter(|row| dropped.contains(row.id.as_str())).count(), of(kind).count());
    assert_eq!(gone(RowKind::Repeated), 1.0);
    assert_eq!(gone(RowKind::Empty), 1.0);
    assert!(gone(RowKind::NearlyRepeated) >= 0.9, "{}", gone(RowKind::NearlyRepeated));
    assert!(gone(RowKind::Fresh) <= 0.12, "{}", gone(RowKind::Fresh));
    let n_of = |split| out.examples.iter().filter(|row| row.split == split).count();
    assert!((0.08..=0.12).contains(&share(n_of(Split::Test), out.examples.len())));
    let mut sizes: BTreeMap<u64, usize> = BTreeMap::new();
    out.examples.iter().for_each(|row| *sizes.entry(row.cluster).or_default() += 1);
    println!("{} clusters, the largest of {:?} rows", sizes.len(), sizes.values().max());
    assert!(sizes.values().all(|size| *size < 100), "no cluster swallows an intent");
    let mut splits: BTreeMap<u64, BTreeSet<Split>> = BTreeMap::new();
    out.examples.iter().for_each(|row| {
        splits.entry(row.cluster).or_default().insert(row.split);
    });
    assert!(splits.values().all(|splits| splits.len() == 1), "no cluster is in two splits");
}

/// Figures of the label check: it must be right far more often than not, and may overlook some.
#[test]
fn the_label_check_finds_wrong_labels() {
    let project = project();
    let truth: BTreeMap<&str, &ExampleRow> = project.month_1.iter().map(|row| (row.id.as_str(), row)).collect();
    let out = curated(&project, &project.month_1_csv());
    let is_wrong = |id: &str| truth[id].label != truth[id].truth.label;
    let suspected: Vec<&str> =
        out.dropped.iter().filter(|row| row.step == label_conflict::STEP).map(|row| row.row_id.as_str()).collect();
    let hits = suspected.iter().filter(|id| is_wrong(id)).count();
    let missed = out.examples.iter().filter(|row| is_wrong(row.row_id.as_str())).count();
    let (precision, recall) = (share(hits, suspected.len()), share(hits, hits + missed));
    println!("label check: precision {precision:.3}, recall {recall:.3}, {} suspected", suspected.len());
    for row in out.dropped.iter().filter(|row| row.step == label_conflict::STEP && !is_wrong(row.row_id.as_str())) {
        println!("  wrongly suspected: {} `{}`", row.reason, truth[row.row_id.as_str()].text);
    }
    assert!(precision >= 0.75, "{precision}");
    assert!(recall >= 0.5, "{recall}");
}

fn accuracy(model: &Linear, labels: &[String], rows: &[&Example]) -> f64 {
    let right = rows.iter().filter(|row| labels[model.predict(&Features::of(&row.text))] == row.label).count();
    share(right, rows.len())
}

/// The task is learnable but not trivial, and the second month is really another month.
#[test]
fn a_linear_model_learns_the_first_month_and_fails_on_the_second() {
    let project = project();
    let first = curated(&project, &project.month_1_csv()).examples;
    let second = curated(&project, &project.month_2_csv()).examples;
    let labels: Vec<String> = first.iter().map(|row| row.label.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    let class = |row: &Example| labels.binary_search(&row.label).unwrap();
    let features: Vec<Features> = first.iter().map(|row| Features::of(&row.text)).collect();
    let train: Vec<(&Features, usize)> = first
        .iter()
        .zip(&features)
        .filter(|(row, _)| row.split == Split::Train)
        .map(|(row, f)| (f, class(row)))
        .collect();
    let model = Linear::train(&train, labels.len(), 5);
    let held_out: Vec<&Example> = first.iter().filter(|row| row.split != Split::Train).collect();
    let segment =
        |name: &str| held_out.iter().copied().filter(|row| row.group.as_deref() == Some(name)).collect::<Vec<_>>();
    let later: Vec<&Example> = second.iter().collect();
    let known: Vec<&Example> = second.iter().filter(|row| row.label != NEW_INTENT.label).collect();
    let before = accuracy(&model, &labels, &held_out);
    let after = accuracy(&model, &labels, &later);
    println!(
        "linear model: month 1 {before:.3} (consumer {:.3}, business {:.3}), month 2 {after:.3}, without the new intent {:.3}",
        accuracy(&model, &labels, &segment(CONSUMER)),
        accuracy(&model, &labels, &segment(BUSINESS)),
        accuracy(&model, &labels, &known),
    );
    assert!((0.88..=0.975).contains(&before), "{before}");
    assert!(after <= before - 0.15, "{after}");
    for label in ["refund", "track_order", "promo_code", "reset_password", "change_address"] {
        let of = |rows: &[&Example]| {
            let rows: Vec<&Example> = rows.iter().copied().filter(|row| row.label == label).collect();
            accuracy(&model, &labels, &rows)
        };
        println!("  {label}: {:.3} then {:.3}", of(&held_out), of(&later));
    }
}

/// Version 2: half of the second month as corrections makes a model right on the other half.
#[test]
fn corrections_teach_the_second_month() {
    let project = project();
    let base = curated(&project, &project.month_1_csv()).examples;
    let second = read(&project.month_2_csv()).rows;
    let (given, held_out) = second.split_at(900);
    let corrections: Vec<Correction> = given
        .iter()
        .map(|row| Correction {
            trace: row.row_id.as_str().into(),
            text: row.text.clone(),
            label: row.label.clone().unwrap(),
            subject: row.subject.clone(),
            group: row.group.clone(),
            at: row.at.unwrap(),
        })
        .collect();
    let redactor = Redactor::new(&RedactPolicy::default());
    let left: SubjectId = base[0].subject.clone().unwrap();
    let opted_out = BTreeSet::from([left.clone()]);
    let ctx = CurateContext {
        redactor: &redactor,
        known: &|_| Vec::new(),
        opted_out: &opted_out,
        seed: 11,
        resources: Resources::none(),
    };
    let out = extend(&base, corrections, &Recipe::default(), &ctx).unwrap();
    println!("{}", crate::card::to_markdown(&out.card, "support@2"));
    assert!(out.examples.iter().all(|row| row.subject.as_ref() != Some(&left)));
    let n_test = |rows: &[Example]| {
        rows.iter().filter(|row| row.split == Split::Test && row.subject.as_ref() != Some(&left)).count()
    };
    assert_eq!(n_test(&out.examples), n_test(&base), "the test split is the same but for who opted out");
    assert!(out.card.n_corrections > 500, "{}", out.card.n_corrections);

    let labels: Vec<String> = out.card.labels.keys().cloned().collect();
    let train = |rows: &[Example]| {
        let rows: Vec<(Features, usize)> = rows
            .iter()
            .filter(|row| row.split == Split::Train)
            .map(|row| (Features::of(&row.text), labels.binary_search(&row.label).unwrap()))
            .collect();
        Linear::train(&rows.iter().map(|(features, label)| (features, *label)).collect::<Vec<_>>(), labels.len(), 5)
    };
    let judge = |model: &Linear| {
        let right =
            held_out.iter().filter(|row| Some(&labels[model.predict(&Features::of(&row.text))]) == row.label.as_ref());
        share(right.count(), held_out.len())
    };
    let (before, after) = (judge(&train(&base)), judge(&train(&out.examples)));
    println!("second half of month 2: {before:.3} before, {after:.3} after");
    assert!(after >= before + 0.15, "{before} {after}");
}

#[test]
fn every_template_can_be_written() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let templates =
        INTENTS.iter().chain([&NEW_INTENT]).flat_map(|it| [it.consumer, it.business, it.detail, it.later].concat());
    let talk = [
        words::OPENERS.as_slice(),
        &words::OPENERS_FORMAL,
        &words::DISTRACTORS,
        &words::CLOSERS,
        &words::CLOSERS_FORMAL,
    ]
    .concat();
    let ambiguous = intents::AMBIGUOUS.iter().map(|(_, template)| *template);
    let foreign = words::FOREIGN.iter().map(|(_, template)| *template);
    for template in templates.chain(talk).chain(ambiguous).chain(foreign) {
        for month in [1, 2] {
            for _ in 0..20 {
                let text = message::fill(template, month, &mut rng);
                assert!(!text.contains(['[', ']', '{', '}', '|']), "`{template}` gave `{text}`");
            }
        }
    }
}
