//! Planted wrong labels in banking77.

use crate::rows;
use loopwright_data::{
    label_check::{self, Settings, neighbours},
    linear::Features,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

/// Gives 5% of the rows another label, all others alike; returns which.
fn plant(labels: &mut [String], seed: u64) -> BTreeSet<usize> {
    let names: Vec<String> = labels.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut planted = BTreeSet::new();
    for (row, label) in labels.iter_mut().enumerate() {
        if rng.random_bool(0.05) {
            let others: Vec<&String> = names.iter().filter(|name| *name != label).collect();
            *label = others[rng.random_range(0..others.len())].clone();
            planted.insert(row);
        }
    }
    planted
}

/// Precision and recall of the first `n` of a ranking.
fn at(ranking: &[usize], planted: &BTreeSet<usize>, n: usize) -> (f64, f64) {
    let hits = ranking.iter().take(n).filter(|row| planted.contains(row)).count() as f64;
    (hits / n as f64, hits / planted.len() as f64)
}

#[test]
fn planted_labels_are_found() {
    let Some(rows) = rows::banking77("train") else { return };
    let texts: Vec<&str> = rows.iter().map(|row| row.0.as_str()).collect();
    let mut labels: Vec<String> = rows.iter().map(|row| row.1.clone()).collect();
    let planted = plant(&mut labels, 42);
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let n = planted.len();
    for (name, settings) in [("linear", Settings { neighbours: 0, ..Settings::default() }), ("both", Settings::default()), ("k5", Settings{neighbours: 5, ..Settings::default()}), ("k20", Settings{neighbours: 20, ..Settings::default()})] {
        let started = std::time::Instant::now();
        let found = label_check::judge(&texts, &labels, &settings, 7).unwrap();
        let ranking: Vec<usize> = found.ranked.iter().map(|row| row.row).collect();
        print!("{name}: {n} planted, {:.0} expected by the joint, {:?};", found.joint.n_wrong_expected(), started.elapsed());
        for cut in [n / 4, n / 2, n, n * 3 / 2, n * 2] {
            let (precision, recall) = at(&ranking, &planted, cut);
            print!(" first {cut}: {precision:.3} / {recall:.3}");
        }
        let suspects: Vec<usize> = found.suspects().map(|row| row.row).collect();
        let (precision, recall) = at(&suspects, &planted, suspects.len());
        println!("; {} suspects {precision:.3} / {recall:.3}", suspects.len());
    }
    let features: Vec<Features> = texts.iter().map(|t| Features::of(t)).collect();
    let (names, numbers) = { let names: Vec<&str> = labels.iter().copied().collect::<BTreeSet<_>>().into_iter().collect(); let numbers: Vec<usize> = labels.iter().map(|l| names.binary_search(l).unwrap()).collect(); (names, numbers) };
    for k in [5, 10, 20] {
        let votes = neighbours::votes(&features, &numbers, names.len(), k);
        let mut margins: Vec<(f32, usize)> = votes.iter().enumerate().map(|(row, v)| { let g = numbers[row]; let o = (0..v.len()).filter(|l| *l != g).map(|l| v[l]).fold(0.0, f32::max); (v[g] - o, row) }).collect();
        margins.sort_by(|a, b| a.0.total_cmp(&b.0));
        let ranking: Vec<usize> = margins.iter().map(|m| m.1).collect();
        print!("knn {k}");
        for cut in [n / 4, n / 2, n, n * 3 / 2, n * 2] {
            let (precision, recall) = at(&ranking, &planted, cut);
            print!(" first {cut}: {precision:.3} / {recall:.3}");
        }
        println!();
    }
}
