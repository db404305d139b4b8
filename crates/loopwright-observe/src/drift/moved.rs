//! Which words moved: a reading aid beside the test, never part of its decision.

use crate::features;
use loopwright_types::drift::MovedTerm;
use std::collections::{BTreeMap, BTreeSet};

/// Rows with a word, in both samples together, below which it is not looked at.
const ROWS_WITH_TERM_MIN: u32 = 5;
/// Share of lists on unchanged traffic that may name any word at all.
const LEVEL: f64 = 0.05;

/// Words that are in more, or fewer, of the window's rows than of the reference's, the surest first.
///
/// The measure is the z-score of the difference of two proportions with pooled variance. A word is listed only if its
/// z-score is beyond chance for as many words as were looked at (Bonferroni, with the bound `exp(−z²/2)` on the
/// normal distribution's two tails).
pub fn moved_terms(reference: &[String], window: &[String], n_max: usize) -> Vec<MovedTerm> {
    let (n, m) = (reference.len() as f64, window.len() as f64);
    if reference.is_empty() || window.is_empty() {
        return Vec::new();
    }
    let mut counts: BTreeMap<String, [u32; 2]> = BTreeMap::new();
    for (side, rows) in [reference, window].into_iter().enumerate() {
        for row in rows {
            for word in features::words(row).into_iter().collect::<BTreeSet<_>>() {
                counts.entry(word).or_default()[side] += 1;
            }
        }
    }
    counts.retain(|_, [before, after]| *before + *after >= ROWS_WITH_TERM_MIN);
    let n_terms = counts.len() as f64;
    let mut moved: Vec<(f64, MovedTerm)> = counts
        .into_iter()
        .filter_map(|(term, [before, after])| {
            let (before, after) = (f64::from(before) / n, f64::from(after) / m);
            let pooled = (before * n + after * m) / (n + m);
            let z = (after - before) / (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
            let is_sure = (-z * z / 2.0).exp() * n_terms <= LEVEL;
            is_sure.then_some((
                z.abs(),
                MovedTerm { term, reference_percent: before * 100.0, window_percent: after * 100.0 },
            ))
        })
        .collect();
    moved.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.term.cmp(&b.1.term)));
    moved.into_iter().take(n_max).map(|(_, term)| term).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surest_change_comes_first_and_chance_is_not_told() {
        let reference: Vec<String> =
            (0..200).map(|i| format!("parcel {}", if i % 2 == 0 { "late" } else { "lost" })).collect();
        let window: Vec<String> = (0..200)
            .map(|i| {
                format!(
                    "{} {}",
                    if i % 2 == 0 { "scooter" } else { "parcel" },
                    ["late", "lost", "late", "lost", "lost"][i % 5]
                )
            })
            .collect();
        let moved = moved_terms(&reference, &window, 10);
        assert_eq!(moved.iter().map(|term| term.term.as_str()).collect::<Vec<_>>(), ["parcel", "scooter"]);
        assert_eq!((moved[1].reference_percent, moved[1].window_percent), (0.0, 50.0));
        assert_eq!(moved_terms(&reference, &window, 1).len(), 1);
        assert!(moved_terms(&reference, &reference, 10).is_empty());
        assert!(moved_terms(&reference, &[], 10).is_empty());
    }
}
