//! Probabilities from a classifier that never learned from the row it judges.

use crate::linear::{Features, Linear};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Each row's class probabilities from a linear classifier that learned from the other folds, as [row][label]. Folds are
/// dealt label by label, so that each holds its share of every label (stratified); the seed orders them.
pub fn cross_validated(
    features: &[Features],
    labels: &[usize],
    n_labels: usize,
    n_folds: usize,
    seed: u64,
) -> Vec<Vec<f32>> {
    let fold_of = deal(labels, n_folds, seed);
    let models: Vec<Linear> = (0..n_folds)
        .into_par_iter()
        .map(|fold| {
            let others: Vec<(&Features, usize)> = (0..features.len())
                .filter(|row| fold_of[*row] != fold)
                .map(|row| (&features[row], labels[row]))
                .collect();
            Linear::train(&others, n_labels, seed ^ fold as u64)
        })
        .collect();
    (0..features.len()).into_par_iter().map(|row| models[fold_of[row]].probabilities(&features[row])).collect()
}

/// The fold of each row.
fn deal(labels: &[usize], n_folds: usize, seed: u64) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..labels.len()).collect();
    rows.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    rows.sort_by_key(|row| labels[*row]);
    let mut fold_of = vec![0; labels.len()];
    // One count through all labels, so that small labels do not all begin with the first fold.
    rows.iter().enumerate().for_each(|(position, row)| fold_of[*row] = position % n_folds);
    fold_of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fold_has_its_share_of_every_label() {
        let labels: Vec<usize> = (0..103).map(|row| usize::from(row % 4 == 0)).collect();
        let fold_of = deal(&labels, 5, 9);
        for label in 0..2 {
            let of_label = labels.iter().filter(|other| **other == label).count();
            for fold in 0..5 {
                let n = (0..103).filter(|row| labels[*row] == label && fold_of[*row] == fold).count();
                assert!(n.abs_diff(of_label / 5) <= 1, "label {label} fold {fold}: {n}");
            }
        }
        assert_ne!(fold_of, deal(&labels, 5, 10));
    }

    /// A row whose words occur nowhere else gets no more than the share of its label from the other folds.
    #[test]
    fn a_row_is_not_judged_by_itself() {
        let mut texts: Vec<String> = (0..20).map(|_| "where is my parcel".to_string()).collect();
        texts.push("xylophone quartz".to_string());
        let features: Vec<Features> = texts.iter().map(|text| Features::of(text)).collect();
        let mut labels = vec![0; 20];
        labels.push(1);
        let p = cross_validated(&features, &labels, 2, 4, 1);
        assert!(p[20][1] < 0.5, "{:?}", p[20]);
        assert!(p[0][0] > 0.9);
    }
}
