//! Rows that say the same in other words: duplicates by meaning.
//!
//! SemDeDup (Abbas et al. 2023, "SemDeDup: Data-efficient learning at web-scale through semantic deduplication"): embed
//! every row, cluster the embeddings with k-means, and compare by cosine within clusters only, which makes n²/k pairs of
//! n². Two rows are duplicates from a cosine of 1 − ε on. Within a cluster rows are ranked by their cosine to its centre and
//! a row is dropped if an earlier survivor is a duplicate of it. The paper keeps the rows far from the centre, which are
//! the rarer ones ([`Keep::Far`], its default); [`Keep::Near`] keeps the typical.
//!
//! Two choices differ from the paper's code. There a row falls to any earlier row, dropped or not, so that a chain of rows,
//! each a little different from the last, leaves one; here it falls to survivors only, so that every dropped row has a
//! survivor within ε. And k follows the number of rows by default. A pair that k-means puts in two clusters is not found:
//! fewer clusters find more and take longer.
//!
//! Embeddings come in as values, from a model or from [`crate::embed`].
//!
//! ```
//! use loopwright_data::embedding_dedup::{Settings, duplicates};
//!
//! let vectors = [vec![1.0, 0.0], vec![0.0, 1.0], vec![0.999, 0.01]];
//! let found = duplicates(&vectors, &Settings { clusters: Some(1), ..Settings::default() }, 7)?;
//! assert_eq!(found.iter().map(|it| (it.row, it.survivor)).collect::<Vec<_>>(), [(2, 0)]);
//! # Ok::<(), loopwright_data::Error>(())
//! ```

use crate::{
    Error, Result,
    draft::{Draft, Reason, StepOutput, drop_rows},
    kmeans::{Centres, dot, unit_vectors},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The step's name in lists of dropped rows.
pub const STEP: &str = "embedding_dedup";

/// Which of two duplicates stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The row farther from its cluster's centre.
    Far,
    /// The row nearer to it.
    Near,
    /// The earlier row.
    First,
}

/// When rows are duplicates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// 1 − ε: the cosine from which two rows are duplicates.
    pub cosine_min: f32,
    /// k; by default the square root of the number of rows.
    pub clusters: Option<usize>,
    /// Which row stays.
    pub keep: Keep,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cosine_min: 0.95, clusters: None, keep: Keep::Far }
    }
}

impl Settings {
    /// Refuses settings that make no sense.
    pub fn check(&self) -> Result<()> {
        if !(self.cosine_min > 0.0 && self.cosine_min <= 1.0) {
            return Err(Error::setting(&format!("{STEP}.cosine_min"), self.cosine_min, "more than 0 and at most 1"));
        }
        if self.clusters == Some(0) {
            return Err(Error::setting(&format!("{STEP}.clusters"), 0, "1 or more"));
        }
        Ok(())
    }
}

/// A row that another stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Duplicate {
    /// Its position.
    pub row: usize,
    /// The position of the row that stays, the most similar one.
    pub survivor: usize,
    /// Their cosine.
    pub cosine: f32,
}

/// The rows that may go, by rising position. The seed starts the clustering. Fails on settings out of range and on vectors
/// that differ in width or are not finite.
pub fn duplicates(vectors: &[Vec<f32>], settings: &Settings, seed: u64) -> Result<Vec<Duplicate>> {
    settings.check()?;
    let vectors = unit_vectors(vectors)?;
    let k = settings.clusters.unwrap_or_else(|| (vectors.len() as f64).sqrt().ceil() as usize).max(1);
    let centres = Centres::fit(&vectors, k, seed)?;
    let mut members: Vec<Vec<(f32, usize)>> = vec![Vec::new(); centres.len()];
    let nearest: Vec<Option<(usize, f32)>> = vectors.par_iter().map(|vector| centres.nearest(vector)).collect();
    for (row, found) in nearest.into_iter().enumerate() {
        if let Some((centre, cosine)) = found {
            members[centre].push((cosine, row));
        }
    }
    let mut found: Vec<Duplicate> =
        members.into_par_iter().flat_map_iter(|members| in_cluster(&vectors, members, settings)).collect();
    found.sort_by_key(|duplicate| duplicate.row);
    Ok(found)
}

fn in_cluster(vectors: &[Vec<f32>], mut members: Vec<(f32, usize)>, settings: &Settings) -> Vec<Duplicate> {
    match settings.keep {
        Keep::Far => members.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))),
        Keep::Near => members.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))),
        Keep::First => members.sort_by_key(|(_, row)| *row),
    }
    let mut survivors: Vec<usize> = Vec::new();
    let mut found = Vec::new();
    for (_, row) in members {
        let cosines = survivors.iter().map(|survivor| (*survivor, dot(&vectors[*survivor], &vectors[row])));
        // The first of equals in the ranking.
        let best = cosines.fold(None, |best: Option<(usize, f32)>, next| match best {
            Some(best) if best.1 >= next.1 => Some(best),
            _ => Some(next),
        });
        match best {
            Some((survivor, cosine)) if cosine >= settings.cosine_min => {
                found.push(Duplicate { row, survivor, cosine })
            }
            _ => survivors.push(row),
        }
    }
    found
}

/// Drops drafts that another stands for. `embed` gives one vector per text, in their order.
pub fn apply(
    drafts: Vec<Draft>,
    settings: &Settings,
    seed: u64,
    embed: &dyn Fn(&[&str]) -> Vec<Vec<f32>>,
) -> Result<StepOutput> {
    let texts: Vec<&str> = drafts.iter().map(|draft| draft.row.text.as_str()).collect();
    let vectors = embed(&texts);
    apply_vectors(drafts, &vectors, settings, seed)
}

/// The same with the drafts' vectors, in their order.
pub(crate) fn apply_vectors(
    drafts: Vec<Draft>,
    vectors: &[Vec<f32>],
    settings: &Settings,
    seed: u64,
) -> Result<StepOutput> {
    let found = by_row(vectors, drafts.len(), settings, seed)?;
    let ids: Vec<String> = drafts.iter().map(|draft| draft.row.row_id.clone()).collect();
    Ok(drop_rows(STEP, drafts, |row, _| found[row].map(|duplicate| reason(duplicate, &ids[duplicate.survivor]))))
}

/// For each row what stands for it, if anything does.
pub(crate) fn by_row(
    vectors: &[Vec<f32>],
    n_rows: usize,
    settings: &Settings,
    seed: u64,
) -> Result<Vec<Option<Duplicate>>> {
    if vectors.len() != n_rows {
        let expected = format!("{n_rows} vectors, one for each row");
        return Err(Error::setting("embed", format!("{} vectors", vectors.len()), &expected));
    }
    let mut found: Vec<Option<Duplicate>> = vec![None; n_rows];
    duplicates(vectors, settings, seed)?.into_iter().for_each(|duplicate| found[duplicate.row] = Some(duplicate));
    Ok(found)
}

/// Why a row goes for which the row with this id stands.
pub(crate) fn reason(duplicate: Duplicate, survivor_id: &str) -> Reason {
    let cosine = duplicate.cosine;
    Reason::new("same_meaning", format!("says the same as {survivor_id} (cosine {cosine:.2})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::SourceRow;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn at(angle: f32) -> Vec<f32> {
        vec![angle.cos(), angle.sin()]
    }

    fn check(angles: &[f32], keep: Keep, expected: &[(usize, usize)]) {
        let vectors: Vec<Vec<f32>> = angles.iter().map(|angle| at(*angle)).collect();
        let settings = Settings { cosine_min: 0.2_f32.cos(), clusters: Some(1), keep };
        let found = duplicates(&vectors, &settings, 1).unwrap();
        assert_eq!(found.iter().map(|it| (it.row, it.survivor)).collect::<Vec<_>>(), expected, "{angles:?} {keep:?}");
    }

    #[test]
    fn the_rule_says_which_row_stays() {
        // The centre of 0.0, 0.1 and 0.5 is at 0.2: row 1 is nearest, row 2 farthest.
        check(&[0.0, 0.1, 0.5], Keep::Far, &[(1, 0)]);
        check(&[0.0, 0.1, 0.5], Keep::Near, &[(0, 1)]);
        check(&[0.1, 0.0, 0.5], Keep::First, &[(1, 0)]);
    }

    /// Each is within 0.2 of the next, the ends are 0.6 apart.
    #[test]
    fn a_chain_is_not_eaten_up() {
        check(&[0.0, 0.15, 0.3, 0.45, 0.6], Keep::First, &[(1, 0), (3, 2)]);
    }

    #[test]
    fn dropped_rows_name_their_survivor() {
        let row = |id: &str| Draft::new(SourceRow { row_id: id.into(), text: id.into(), ..SourceRow::default() });
        let embed = |texts: &[&str]| texts.iter().map(|text| at(text.len() as f32 * 0.01)).collect::<Vec<_>>();
        let drafts = vec![row("a"), row("bb"), row("c")];
        let settings = Settings { keep: Keep::First, clusters: Some(1), ..Settings::default() };
        let out = apply(drafts.clone(), &settings, 1, &embed).unwrap();
        assert_eq!(out.drafts.len(), 1);
        assert_eq!(out.dropped[0].reason, "says the same as a (cosine 1.00)");
        assert!(apply(drafts, &settings, 1, &|_| Vec::new()).is_err());
    }

    #[test]
    fn settings_out_of_range_are_named() {
        assert!(Settings { cosine_min: 0.0, ..Settings::default() }.check().is_err());
        assert!(Settings { clusters: Some(0), ..Settings::default() }.check().is_err());
        assert_eq!(duplicates(&[], &Settings::default(), 1).unwrap(), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_dropped_row_has_a_survivor_and_survivors_of_a_cluster_differ(
            angles in prop::collection::vec(0.0f32..std::f32::consts::TAU, 0..60), seed in any::<u64>(),
            keep in prop::sample::select(vec![Keep::Far, Keep::Near, Keep::First])
        ) {
            let vectors: Vec<Vec<f32>> = angles.iter().map(|angle| at(*angle)).collect();
            let settings = Settings { cosine_min: 0.98, clusters: None, keep };
            let found = duplicates(&vectors, &settings, seed).unwrap();
            prop_assert_eq!(&found, &duplicates(&vectors, &settings, seed).unwrap());
            let gone: BTreeSet<usize> = found.iter().map(|it| it.row).collect();
            prop_assert_eq!(gone.len(), found.len());
            for it in &found {
                prop_assert!(!gone.contains(&it.survivor) && it.cosine >= 0.98);
            }
            let one = Settings { clusters: Some(1), ..settings };
            let gone: BTreeSet<usize> = duplicates(&vectors, &one, seed).unwrap().iter().map(|it| it.row).collect();
            let kept: Vec<usize> = (0..vectors.len()).filter(|row| !gone.contains(row)).collect();
            for (n, a) in kept.iter().enumerate() {
                for b in &kept[..n] {
                    prop_assert!(dot(&vectors[*a], &vectors[*b]) < 0.98 + 1e-5);
                }
            }
        }
    }
}
