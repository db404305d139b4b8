//! What the most alike rows carry: a vote over the k nearest neighbours.
//!
//! Likeness is the cosine of the rows' hashed n-grams, each weighted by its inverse document frequency,
//! idf = ln((1 + n) / (1 + rows with it)) + 1 (Salton and Buckley 1988, smoothed), so that `the` counts little and a rare
//! word much. All pairs that share an n-gram are compared, through lists of rows per n-gram; nothing is approximated. A
//! row never votes for itself.

use crate::linear::Features;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Per row the share of its neighbours' likeness that falls on each label, as [row][label]. A row that is like no other
/// leaves the question open: every label gets 1/n.
pub fn votes(features: &[Features], labels: &[usize], n_labels: usize, n_neighbours: usize) -> Vec<Vec<f32>> {
    let index = Index::of(features);
    (0..features.len())
        .into_par_iter()
        .map_init(
            || vec![0.0_f32; features.len()],
            |scores, row| {
                let nearest = index.nearest(row, n_neighbours, scores);
                let total: f32 = nearest.iter().map(|(_, likeness)| likeness).sum();
                if total <= 0.0 {
                    return vec![1.0 / n_labels as f32; n_labels];
                }
                let mut votes = vec![0.0; n_labels];
                nearest.iter().for_each(|(other, likeness)| votes[labels[*other]] += likeness / total);
                votes
            },
        )
        .collect()
}

/// The rows that have each n-gram.
struct Index {
    /// Each row's n-grams with their weights, of Euclidean length one.
    rows: Vec<Vec<(u32, f32)>>,
    postings: BTreeMap<u32, Vec<(u32, f32)>>,
}

impl Index {
    fn of(features: &[Features]) -> Self {
        let mut n_with: BTreeMap<u32, usize> = BTreeMap::new();
        features.iter().flat_map(Features::places).for_each(|(place, _)| *n_with.entry(*place).or_default() += 1);
        let n = features.len() as f32;
        let idf = |place: &u32| ((1.0 + n) / (1.0 + n_with[place] as f32)).ln() + 1.0;
        let weighted = |features: &Features| {
            let row: Vec<(u32, f32)> = features.places().iter().map(|(place, w)| (*place, w * idf(place))).collect();
            let length = row.iter().map(|(_, w)| w * w).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
            row.into_iter().map(|(place, w)| (place, w / length)).collect()
        };
        let rows: Vec<Vec<(u32, f32)>> = features.iter().map(weighted).collect();
        let mut postings: BTreeMap<u32, Vec<(u32, f32)>> = BTreeMap::new();
        for (row, places) in rows.iter().enumerate() {
            places.iter().for_each(|(place, w)| postings.entry(*place).or_default().push((row as u32, *w)));
        }
        Self { rows, postings }
    }

    /// The `n` rows most like this one, most alike first, equal ones in their order. `scores` is zero before and after.
    fn nearest(&self, row: usize, n: usize, scores: &mut [f32]) -> Vec<(usize, f32)> {
        let mut touched: Vec<usize> = Vec::new();
        for (place, weight) in &self.rows[row] {
            for (other, w) in &self.postings[place] {
                let other = *other as usize;
                if scores[other] == 0.0 {
                    touched.push(other);
                }
                scores[other] += weight * w;
            }
        }
        let mut found: Vec<(usize, f32)> =
            touched.iter().filter(|other| **other != row).map(|other| (*other, scores[*other])).collect();
        touched.iter().for_each(|other| scores[*other] = 0.0);
        let by_likeness = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if found.len() > n {
            found.select_nth_unstable_by(n, by_likeness);
            found.truncate(n);
        }
        found.sort_by(by_likeness);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(texts: &[&str]) -> Vec<Features> {
        texts.iter().map(|text| Features::of(text)).collect()
    }

    #[test]
    fn the_nearest_rows_vote_by_their_likeness() {
        let rows = features(&["send the bill", "send the bill", "send the bill", "where is the parcel", "zebra"]);
        let votes = votes(&rows, &[0, 1, 1, 2, 0], 3, 2);
        assert_eq!(votes[0], [0.0, 1.0, 0.0], "its two twins, not itself");
        assert_eq!(votes[1], [0.5, 0.5, 0.0]);
        assert!((votes[4][0] - 1.0 / 3.0).abs() < 1e-6, "alone: open");
    }

    #[test]
    fn rare_words_count_for_more_than_frequent_ones() {
        let mut texts = vec!["the quartz", "a quartz", "the lamp"];
        texts.extend(["the one", "the two", "the three", "the four"]);
        let index = Index::of(&features(&texts));
        let nearest = index.nearest(0, 1, &mut vec![0.0; texts.len()]);
        assert_eq!(nearest[0].0, 1);
    }

    #[test]
    fn scores_are_cleared_between_rows() {
        let rows = features(&["a b c", "a b d", "c d e"]);
        let index = Index::of(&rows);
        let mut scores = vec![0.0; 3];
        let first = index.nearest(0, 2, &mut scores);
        assert!(scores.iter().all(|score| *score == 0.0));
        assert_eq!(first, index.nearest(0, 2, &mut scores));
    }
}
