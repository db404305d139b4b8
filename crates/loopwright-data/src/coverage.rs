//! Does a dataset stand for the traffic? Where each has rows that the other has not.
//!
//! Embeddings of both are cut into regions by k-means, and the regions' shares compared both ways: a region that is thin in
//! the dataset is asked for and was not learned, one that is thin in the traffic was learned and is not asked for. A region is
//! thin if its share is surely less than [`Settings::ratio_min`] of the other side's: the upper end of its interval below so
//! much of the lower end of the other's (Wilson 1927).
//!
//! Rows that choose may not measure, so each side is dealt into two halves. One half, with as many rows of either side,
//! places the regions and says which are thin; the other half gives all shares and intervals, which therefore hold for the
//! regions as chosen. With k regions at 95% each, one in forty intervals lies too low by chance, and one too high; a
//! region is not called thin on that account alone, since both ends and the ratio must agree.
//!
//! ```
//! use loopwright_data::coverage::{Settings, coverage};
//!
//! let at = |angle: f32| vec![angle.cos(), angle.sin()];
//! let dataset: Vec<Vec<f32>> = (0..200).map(|_| at(0.0)).collect();
//! let traffic: Vec<Vec<f32>> = (0..200).map(|n| at(if n % 4 == 0 { 2.0 } else { 0.0 })).collect();
//! let found = coverage(&dataset, &traffic, &Settings { regions: 2, ..Settings::default() }, 7)?;
//! assert!(found.traffic_not_covered.low > 0.15 && found.traffic_not_covered.high < 0.35);
//! assert_eq!(found.thin_in_dataset().count(), 1);
//! # Ok::<(), loopwright_data::Error>(())
//! ```

use crate::{Error, Result, kmeans::Centres, proportion::wilson};
use loopwright_types::score::Interval;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How regions are placed and judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Regions; each should have some dozen rows of either side.
    pub regions: usize,
    /// A region is thin on one side if it surely has less than so much of the other side's share.
    pub ratio_min: f64,
    /// Rows shown per region and side, those nearest to its centre.
    pub rows_shown_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { regions: 50, ratio_min: 0.25, rows_shown_max: 3 }
    }
}

impl Settings {
    /// Refuses settings that make no sense.
    pub fn check(&self) -> Result<()> {
        if self.regions == 0 {
            return Err(Error::setting("coverage.regions", self.regions, "1 or more"));
        }
        if !(self.ratio_min > 0.0 && self.ratio_min <= 1.0) {
            return Err(Error::setting("coverage.ratio_min", self.ratio_min, "more than 0 and at most 1"));
        }
        Ok(())
    }
}

/// Which side of a region is thin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thin {
    /// The traffic asks for it, the dataset hardly has it.
    InDataset,
    /// The dataset has it, the traffic hardly asks for it.
    InTraffic,
}

/// A region and both sides' part in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Its share of the dataset.
    pub dataset: Interval,
    /// Its share of the traffic.
    pub traffic: Interval,
    /// Whether a side is thin.
    pub thin: Option<Thin>,
    /// Positions of dataset rows in it, the nearest to the centre first.
    pub dataset_rows: Vec<usize>,
    /// Positions of traffic rows in it, the nearest to the centre first.
    pub traffic_rows: Vec<usize>,
}

/// Both sides compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Coverage {
    /// The regions, those with the largest share of the traffic first.
    pub regions: Vec<Region>,
    /// The share of the traffic that falls into regions that are thin in the dataset.
    pub traffic_not_covered: Interval,
    /// The share of the dataset that falls into regions that are thin in the traffic.
    pub dataset_not_asked_for: Interval,
    /// Half the sum of the absolute differences of the shares, from 0 (alike) to 1 (apart). An estimate that chance alone
    /// keeps above 0: compare it with that of two samples of one source.
    pub total_variation: f64,
}

impl Coverage {
    /// The regions that are asked for and hardly learned.
    pub fn thin_in_dataset(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter().filter(|region| region.thin == Some(Thin::InDataset))
    }
}

/// Compares a dataset with traffic, one embedding per row, all of one width. The seed deals the halves and starts the
/// clustering. Fails on settings out of range, on fewer than four rows of a side, and on vectors that do not fit.
pub fn coverage(dataset: &[Vec<f32>], traffic: &[Vec<f32>], settings: &Settings, seed: u64) -> Result<Coverage> {
    settings.check()?;
    for (name, rows) in [("dataset", dataset), ("traffic", traffic)] {
        if rows.len() < 4 {
            return Err(Error::setting(&format!("coverage.{name}"), format!("{} rows", rows.len()), "4 rows or more"));
        }
    }
    let sides = [Side::new(dataset, seed), Side::new(traffic, seed.wrapping_add(1))];
    let n_each = sides.iter().map(|side| side.choosing.len()).min().unwrap_or(0);
    let placing: Vec<Vec<f32>> =
        sides.iter().flat_map(|side| side.choosing[..n_each].iter().map(|row| side.vectors[*row].clone())).collect();
    let centres = Centres::fit(&placing, settings.regions, seed)?;
    // Widths of all rows, those that place no region included.
    crate::kmeans::unit_vectors(&[dataset, traffic].concat())?;
    let [dataset, traffic] = sides.map(|side| Placed::new(side, &centres));
    Ok(compare(&dataset, &traffic, centres.len(), settings))
}

/// The rows of a side, dealt into halves.
struct Side<'a> {
    vectors: &'a [Vec<f32>],
    choosing: Vec<usize>,
    measuring: Vec<usize>,
}

impl<'a> Side<'a> {
    fn new(vectors: &'a [Vec<f32>], seed: u64) -> Self {
        let mut rows: Vec<usize> = (0..vectors.len()).collect();
        rows.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let measuring = rows.split_off(rows.len() / 2);
        Self { vectors, choosing: rows, measuring }
    }
}

/// A side with its rows in regions.
struct Placed {
    /// Rows per region, of the half that chooses.
    chosen: Vec<u64>,
    /// Rows per region, of the half that measures.
    measured: Vec<u64>,
    /// Rows of both halves per region, nearest first.
    rows: Vec<Vec<usize>>,
}

impl Placed {
    fn new(side: Side<'_>, centres: &Centres) -> Self {
        let nearest: Vec<(usize, f32)> =
            side.vectors.par_iter().map(|vector| centres.nearest(vector).unwrap_or((0, 0.0))).collect();
        let count = |rows: &[usize]| {
            let mut counts = vec![0; centres.len()];
            rows.iter().for_each(|row| counts[nearest[*row].0] += 1);
            counts
        };
        let mut rows: Vec<Vec<usize>> = vec![Vec::new(); centres.len()];
        nearest.iter().enumerate().for_each(|(row, (region, _))| rows[*region].push(row));
        rows.iter_mut().for_each(|rows| rows.sort_by(|a, b| nearest[*b].1.total_cmp(&nearest[*a].1).then(a.cmp(b))));
        Self { chosen: count(&side.choosing), measured: count(&side.measuring), rows }
    }
}

fn compare(dataset: &Placed, traffic: &Placed, n_regions: usize, settings: &Settings) -> Coverage {
    let share = |counts: &[u64], region: usize| wilson(counts[region], counts.iter().sum());
    let thin: Vec<Option<Thin>> = (0..n_regions)
        .map(|region| {
            let (dataset, traffic) = (share(&dataset.chosen, region), share(&traffic.chosen, region));
            if dataset.high < settings.ratio_min * traffic.low {
                Some(Thin::InDataset)
            } else if traffic.high < settings.ratio_min * dataset.low {
                Some(Thin::InTraffic)
            } else {
                None
            }
        })
        .collect();
    let first = |rows: &[usize]| rows.iter().take(settings.rows_shown_max).copied().collect();
    let mut regions: Vec<Region> = (0..n_regions)
        .map(|region| Region {
            dataset: share(&dataset.measured, region),
            traffic: share(&traffic.measured, region),
            thin: thin[region],
            dataset_rows: first(&dataset.rows[region]),
            traffic_rows: first(&traffic.rows[region]),
        })
        .collect();
    regions.sort_by(|a, b| b.traffic.point.total_cmp(&a.traffic.point));
    let within = |counts: &[u64], side: Thin| {
        let hits = counts.iter().zip(&thin).filter(|(_, thin)| **thin == Some(side)).map(|(n, _)| n).sum();
        wilson(hits, counts.iter().sum())
    };
    Coverage {
        traffic_not_covered: within(&traffic.measured, Thin::InDataset),
        dataset_not_asked_for: within(&dataset.measured, Thin::InTraffic),
        total_variation: 0.5 * regions.iter().map(|it| (it.dataset.point - it.traffic.point).abs()).sum::<f64>(),
        regions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows around three directions, in these numbers.
    fn rows(counts: [usize; 3]) -> Vec<Vec<f32>> {
        let of = |(direction, n): (usize, usize)| {
            (0..n).map(move |i| {
                let mut vector = vec![0.02 * (i % 5) as f32; 3];
                vector[direction] = 1.0;
                vector
            })
        };
        counts.into_iter().enumerate().flat_map(of).collect()
    }

    #[test]
    fn both_gaps_are_found_and_rows_shown() {
        let (dataset, traffic) = (rows([200, 196, 4]), rows([200, 4, 96]));
        let out = coverage(&dataset, &traffic, &Settings { regions: 3, ..Settings::default() }, 5).unwrap();
        let thin: Vec<&Region> = out.thin_in_dataset().collect();
        assert_eq!(thin.len(), 1);
        assert!(thin[0].traffic_rows.iter().all(|row| *row >= 204) && thin[0].traffic_rows.len() == 3);
        assert!(thin[0].dataset_rows.iter().all(|row| *row >= 396));
        // 96 of 300 and 196 of 400.
        assert!(
            out.traffic_not_covered.low < 0.32 && 0.32 < out.traffic_not_covered.high,
            "{}",
            out.traffic_not_covered
        );
        assert!(out.dataset_not_asked_for.low < 0.49 && 0.49 < out.dataset_not_asked_for.high);
        assert!((0.35..0.6).contains(&out.total_variation), "{}", out.total_variation);
        assert!(out.regions.is_sorted_by(|a, b| a.traffic.point >= b.traffic.point));
    }

    #[test]
    fn two_samples_of_one_source_leave_no_gap() {
        for seed in 0..20 {
            let all = rows([300, 60, 40]);
            let out = coverage(&all, &all, &Settings { regions: 3, ..Settings::default() }, seed).unwrap();
            assert!(out.regions.iter().all(|region| region.thin.is_none()));
            assert_eq!((out.traffic_not_covered.point, out.dataset_not_asked_for.point), (0.0, 0.0));
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let some = rows([4, 0, 0]);
        let error = coverage(&some[..3], &some, &Settings::default(), 1).unwrap_err().to_string();
        assert_eq!(error, "`coverage.dataset` is 3 rows, expected 4 rows or more");
        assert!(coverage(&some, &some, &Settings { regions: 0, ..Settings::default() }, 1).is_err());
        assert!(coverage(&some, &some, &Settings { ratio_min: 2.0, ..Settings::default() }, 1).is_err());
        let mut odd = rows([40, 0, 0]);
        odd[39].pop();
        assert!(coverage(&odd, &some, &Settings::default(), 1).is_err());
    }
}
