//! Test questions of gsm8k planted among its training questions.

use crate::rows;
use loopwright_data::decontaminate::{Index, Settings, ngram_words_for};
use std::collections::BTreeSet;

#[test]
fn planted_test_questions_are_found_and_clean_ones_stay() {
    let (Some(train), Some(test)) = (rows::gsm8k("train"), rows::gsm8k("test")) else { return };
    let ids: Vec<String> = (0..test.len()).map(|row| format!("test-{row}")).collect();
    let own = ngram_words_for(test.iter().map(String::as_str));
    println!("gsm8k: GPT-3's N for its test questions is {own}");
    assert_eq!(own, 13);
    for (ngram_words, shared_max) in [(13, 40), (8, 600)] {
        let settings = Settings { ngram_words, ..Settings::default() };
        let rows = ids.iter().map(String::as_str).zip(test.iter().map(String::as_str));
        let started = std::time::Instant::now();
        let index = Index::build(rows, &settings).unwrap();
        let built = started.elapsed();
        let before: BTreeSet<usize> = (0..train.len()).filter(|row| index.check(&train[*row]).is_some()).collect();
        println!(
            "N = {ngram_words}: {} of {} training questions share a run as published; built in {built:?}, checked in {:?}",
            before.len(),
            train.len(),
            started.elapsed() - built
        );
        before.iter().take(3).for_each(|row| println!("  {:?}", index.check(&train[*row])));
        // They share few: the authors wrote the two parts apart.
        assert!(before.len() <= shared_max, "{}", before.len());
        // Every 20th test question inside of every 100th training question, in capitals and without punctuation.
        let planted: Vec<(usize, usize)> = (0..60).map(|n| (n * 100, n * 20)).collect();
        let mut dirty = train.clone();
        for (row, question) in &planted {
            let shouted = test[*question].to_uppercase().replace([',', '.', '?', '$'], " ");
            dirty[*row] = format!("{} {shouted} Show your work.", train[*row]);
        }
        let found = planted.iter().filter(|(row, question)| {
            let hit = index.check(&dirty[*row]).expect("a planted question is found");
            // A question that shares a run with an earlier one may be found under the earlier one's name.
            hit.evaluation_row == ids[*question] || before.contains(row)
        });
        let n_named = found.count();
        println!("  {n_named} of {} planted questions named, all found", planted.len());
        assert!(n_named + 3 >= planted.len(), "{n_named}");
        let touched: BTreeSet<usize> = planted.iter().map(|(row, _)| *row).chain(before).collect();
        let wrongly = (0..dirty.len()).filter(|row| !touched.contains(row) && index.check(&dirty[*row]).is_some());
        assert_eq!(wrongly.count(), 0);
    }
}
