//! The matrix of all kernel values, and the statistic of one way to deal its rows into two samples.
//!
//! Values are whole multiples of 2⁻²⁴. With whole numbers a deal's sums do not depend on their order, two deals of the
//! same partition are exactly equal, and ties count as ties.

use super::Kernel;
use crate::features::{self, FeatureSettings, Row};
use rayon::prelude::*;

/// Largest number of rows: 8,192, a matrix of 256 MiB. Sums of so many values fit 64 bits with room to spare.
pub(super) const ROWS_MAX: usize = 8_192;

const ONE: f64 = (1 << 24) as f64;

/// Kernel values between all rows, in units of 2⁻²⁴, with zeros on the diagonal (the unbiased estimate leaves it out).
pub(super) struct Gram {
    n: usize,
    /// [row, row]
    values: Vec<i32>,
    row_sums: Vec<i64>,
    total: i64,
}

/// The statistic of one deal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deal {
    /// The statistic times a constant that all deals of the same sizes share: exact, for comparing.
    pub exact: i128,
    /// The statistic.
    pub mmd2: f64,
}

impl Gram {
    pub fn of(texts: &[&str], settings: &FeatureSettings, kernel: Kernel) -> Self {
        let rows: Vec<Row> = features::embed_all(texts, settings);
        let mut lower = inner_products(&rows, settings.width());
        if kernel == Kernel::Gaussian {
            gaussian(&mut lower, &rows);
        }
        Self::from_lower(&lower)
    }

    /// Mirrors the lower triangle (row `i` holds the columns `0..i`).
    fn from_lower(lower: &[Vec<i32>]) -> Self {
        let n = lower.len();
        let mut values = vec![0; n * n];
        for (i, row) in lower.iter().enumerate() {
            for (j, value) in row.iter().enumerate() {
                values[i * n + j] = *value;
                values[j * n + i] = *value;
            }
        }
        let row_sums: Vec<i64> =
            values.chunks_exact(n).map(|row| row.iter().map(|value| i64::from(*value)).sum()).collect();
        let total = row_sums.iter().sum();
        Self { n, values, row_sums, total }
    }

    pub fn n_rows(&self) -> usize {
        self.n
    }

    /// The statistic with these rows (rising order is fastest) as one sample and the others as the other.
    pub fn deal(&self, rows: impl IntoIterator<Item = usize>) -> Deal {
        let x: Vec<usize> = rows.into_iter().collect();
        let mut half_within: i64 = 0;
        let mut across_and_within: i64 = 0;
        for (place, &i) in x.iter().enumerate() {
            across_and_within += self.row_sums[i];
            let row = &self.values[i * self.n..(i + 1) * self.n];
            half_within += x[..place].iter().map(|&j| i64::from(row[j])).sum::<i64>();
        }
        let within_x = 2 * half_within;
        let across = across_and_within - within_x;
        let within_y = self.total - 2 * across - within_x;
        statistic(within_x, within_y, across, x.len(), self.n - x.len())
    }
}

/// `within_x / n(n−1) + within_y / m(m−1) − 2 across / nm`, from sums over ordered pairs.
fn statistic(within_x: i64, within_y: i64, across: i64, n: usize, m: usize) -> Deal {
    let (n, m) = (n as i128, m as i128);
    let (pairs_x, pairs_y, pairs_xy) = (n * (n - 1), m * (m - 1), n * m);
    let exact = i128::from(within_x) * pairs_y * pairs_xy + i128::from(within_y) * pairs_x * pairs_xy
        - 2 * i128::from(across) * pairs_x * pairs_y;
    let scale = pairs_x as f64 * pairs_y as f64 * pairs_xy as f64 * ONE;
    Deal { exact, mmd2: exact as f64 / scale }
}

/// Inner products of each row with the rows before it.
fn inner_products(rows: &[Row], width: usize) -> Vec<Vec<i32>> {
    let one_row = |dense: &mut Vec<f32>, i: usize| {
        rows[i].entries.iter().for_each(|(bucket, value)| dense[*bucket as usize] = *value);
        let products = rows[..i].iter().map(|other| {
            let product: f32 = other.entries.iter().map(|(bucket, value)| value * dense[*bucket as usize]).sum();
            (f64::from(product) * ONE).round() as i32
        });
        let products = products.collect();
        rows[i].entries.iter().for_each(|(bucket, _)| dense[*bucket as usize] = 0.0);
        products
    };
    (0..rows.len()).into_par_iter().map_init(|| vec![0.0; width], one_row).collect()
}

/// Turns inner products into Gaussian kernel values. The width is the median of the pooled squared distances: the same
/// for every deal, as the permutation test demands.
fn gaussian(lower: &mut [Vec<i32>], rows: &[Row]) {
    let squares: Vec<f64> =
        rows.iter().map(|row| row.entries.iter().map(|(_, value)| f64::from(*value).powi(2)).sum()).collect();
    let distance =
        |i: usize, j: usize, product: i32| (squares[i] + squares[j] - 2.0 * f64::from(product) / ONE).max(0.0);
    let mut distances: Vec<f64> = Vec::new();
    for (i, row) in lower.iter().enumerate() {
        distances.extend(row.iter().enumerate().map(|(j, product)| distance(i, j, *product)));
    }
    let middle = distances.len() / 2;
    let (_, median, _) = distances.select_nth_unstable_by(middle, f64::total_cmp);
    let width = median.max(f64::MIN_POSITIVE);
    for (i, row) in lower.iter_mut().enumerate() {
        for (j, value) in row.iter_mut().enumerate() {
            *value = ((-distance(i, j, *value) / (2.0 * width)).exp() * ONE).round() as i32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistic_by_hand() {
        // Kernel values 0.5 within {0, 1}, 0.25 within {2, 3}, 0.125 across: 0.5 + 0.25 − 2 × 0.125.
        let q = |value: f64| (value * ONE) as i32;
        let gram = Gram::from_lower(&[vec![], vec![q(0.5)], vec![q(0.125); 2], vec![q(0.125), q(0.125), q(0.25)]]);
        assert_eq!(gram.deal([0, 1]).mmd2, 0.5);
        // Dealt as {0, 2} and {1, 3}: 0.125 + 0.125 − 2 × (0.5 + 0.125 + 0.125 + 0.25) / 4.
        assert_eq!(gram.deal([0, 2]).mmd2, -0.25);
        assert_eq!(gram.deal([0, 2]).exact, gram.deal([1, 3]).exact, "symmetric");
    }

    #[test]
    fn sums_agree_with_the_definition() {
        let texts = [
            "my parcel is late",
            "late parcel again",
            "reset my password",
            "password lost",
            "parcel and password",
            "hello",
        ];
        for kernel in [Kernel::Cosine, Kernel::Gaussian] {
            let gram = Gram::of(&texts, &FeatureSettings::default(), kernel);
            let k = |i: usize, j: usize| f64::from(gram.values[i * 6 + j]) / ONE;
            let mean = |xs: &[usize], ys: &[usize]| {
                let pairs: Vec<f64> = xs
                    .iter()
                    .flat_map(|&i| ys.iter().filter(move |&&j| i != j).map(move |&j| (i, j)))
                    .map(|(i, j)| k(i, j))
                    .collect();
                pairs.iter().sum::<f64>() / pairs.len() as f64
            };
            let (x, y) = ([0, 2, 5], [1, 3, 4]);
            let expected = mean(&x, &x) + mean(&y, &y) - 2.0 * mean(&x, &y);
            assert!((gram.deal(x).mmd2 - expected).abs() < 1e-12, "{kernel:?}");
            assert!((0.0..=1.0).contains(&k(0, 1)) && k(0, 1) > k(0, 3), "{kernel:?}");
        }
    }
}
