//! Noisy copies of banking77's train rows, judged on its test rows.

use crate::rows;
use loopwright_data::{
    augment::{
        Parent, Synthetic,
        check::{Against, Settings, check},
        noise::{Rates, noised_rows},
        report::{AugmentReport, Labelled, report},
        slots::{self, Slots},
    },
    linear::{Features, Linear},
};
use loopwright_guard::{RedactPolicy, Redactor};
use std::collections::{BTreeMap, BTreeSet};

/// Learns with the crate's linear model.
struct Learner {
    names: Vec<String>,
}

impl Learner {
    fn class(&self, label: &str) -> usize {
        self.names.binary_search_by(|name| name.as_str().cmp(label)).unwrap()
    }

    fn train(&self, rows: &[Labelled<'_>]) -> Linear {
        let features: Vec<Features> = rows.iter().map(|row| Features::of(row.0)).collect();
        let rows: Vec<(&Features, usize)> = features.iter().zip(rows).map(|(f, row)| (f, self.class(row.1))).collect();
        Linear::train(&rows, self.names.len(), 5)
    }

    fn train_and_judge(&self, train: &[Labelled<'_>], test: &[Labelled<'_>]) -> Vec<bool> {
        let model = self.train(train);
        test.iter().map(|row| model.predict(&Features::of(row.0)) == self.class(row.1)).collect()
    }
}

fn print(name: &str, out: &AugmentReport) {
    println!(
        "{name}: {} + {} rows; clean {} → {}, gain {}; noisy {} → {}, gain {}",
        out.n_train,
        out.n_synthetic,
        out.plain_clean,
        out.augmented_clean,
        out.clean_gain,
        out.plain_noised,
        out.augmented_noised,
        out.noised_gain
    );
}

#[test]
fn noise_in_train_raises_accuracy_on_noise_and_keeps_it_on_clean_rows() {
    let (Some(train), Some(test)) = (rows::banking77("train"), rows::banking77("test")) else { return };
    let ids: Vec<String> = (0..train.len() + test.len()).map(|row| format!("r{row}")).collect();
    let parents: Vec<Parent<'_>> = train
        .iter()
        .zip(&ids)
        .map(|(row, row_id)| Parent { row_id, text: &row.0, label: &row.1, subject: None })
        .collect();
    let rates = Rates::default().times(2.0);
    let made = noised_rows(&parents, &rates, 2, 3).unwrap();
    let swapped = Slots::learn(&parents, &BTreeMap::new()).swapped_rows(&parents, 1, 3);
    println!("{} noisy copies, {} with other values", made.len(), swapped.len());
    swapped.iter().take(8).for_each(|row| println!("  {} ({})", row.text, row.label));

    let train_rows: Vec<Labelled<'_>> = train.iter().map(|row| (row.0.as_str(), row.1.as_str())).collect();
    let test_rows: Vec<Labelled<'_>> = test.iter().map(|row| (row.0.as_str(), row.1.as_str())).collect();
    let learner =
        Learner { names: train.iter().map(|row| row.1.clone()).collect::<BTreeSet<_>>().into_iter().collect() };
    let known: Vec<(&str, &str)> = ids.iter().map(String::as_str).zip(train_rows.iter().map(|row| row.0)).collect();
    let held_out: Vec<(&str, &str)> =
        ids[train.len()..].iter().map(String::as_str).zip(test_rows.iter().map(|row| row.0)).collect();
    let redactor = Redactor::new(&RedactPolicy::default());
    let teacher = learner.train(&train_rows);
    let read = |row: &Synthetic| learner.names[teacher.predict(&Features::of(&row.text))].clone();
    let classify = |row: &Synthetic| (row.generator == slots::GENERATOR).then(|| read(row));
    let against = Against { train: &known, held_out: &held_out, redactor: &redactor, classify: &classify };
    let started = std::time::Instant::now();
    let checked = check([made, swapped].concat(), &against, &Settings::default()).unwrap();
    println!("checked in {:?}: {} kept, dropped {:?}", started.elapsed(), checked.kept.len(), checked.counts);

    let train_and_judge = |train: &[Labelled<'_>], test: &[Labelled<'_>]| learner.train_and_judge(train, test);
    let of = |generators: &[&str]| -> Vec<Labelled<'_>> {
        let rows = checked.kept.iter().filter(|row| generators.contains(&row.generator.as_str()));
        rows.map(|row| (row.text.as_str(), row.label.as_str())).collect()
    };
    let of_noise = report(&train_rows, &of(&["noise"]), &test_rows, &rates, 17, &train_and_judge).unwrap();
    print("noise", &of_noise);
    let all = report(&train_rows, &of(&["noise", "slots"]), &test_rows, &rates, 17, &train_and_judge).unwrap();
    print("noise and slots", &all);
    assert!(of_noise.is_worth_it());
}
