//! A histogram of durations with a bounded relative error.
//!
//! Buckets grow with the value, as in HdrHistogram: each doubling is cut into 16 equal parts, so a percentile is off by
//! at most 1 part in 32. It holds 1/16 ms to about 70 minutes in 3.3 KB; smaller and larger values go to the ends.

/// Smallest value that is told apart, in milliseconds.
pub const MIN_MS: f64 = 1.0 / 16.0;
/// Doublings that are told apart.
pub const N_OCTAVES: usize = 26;
const N_PARTS: usize = 16;

/// Counts of durations in milliseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    n: u64,
    sum_ms: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; N_OCTAVES * N_PARTS], n: 0, sum_ms: 0.0 }
    }
}

impl Histogram {
    /// Counts one duration; what is no number, or negative, counts as 0.
    pub fn record(&mut self, ms: f64) {
        let ms = if ms.is_finite() { ms.max(0.0) } else { 0.0 };
        self.counts[bucket(ms)] += 1;
        self.n += 1;
        self.sum_ms += ms;
    }

    /// Durations counted.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Their sum in milliseconds.
    pub fn sum_ms(&self) -> f64 {
        self.sum_ms
    }

    /// The value that a share `q` (0 to 1) of the durations do not exceed, by nearest rank, up to the bucket's width;
    /// `None` when nothing was counted.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        if self.n == 0 {
            return None;
        }
        let rank = ((q.clamp(0.0, 1.0) * self.n as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let place = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        place.map(|place| (bound_ms(place) + bound_ms(place + 1)) / 2.0)
    }

    /// For each doubling: its upper bound in milliseconds and how many durations lie below.
    pub fn octaves(&self) -> Vec<(f64, u64)> {
        let mut below = 0;
        let octave = |(nth, counts): (usize, &[u64])| {
            below += counts.iter().sum::<u64>();
            (bound_ms((nth + 1) * N_PARTS), below)
        };
        self.counts.chunks_exact(N_PARTS).enumerate().map(octave).collect()
    }
}

/// The bucket of a value: exponent and top four bits of the mantissa of `ms / MIN_MS`.
fn bucket(ms: f64) -> usize {
    let ratio = ms / MIN_MS;
    if ratio < 1.0 {
        return 0;
    }
    let bits = ratio.to_bits();
    let octave = (bits >> 52) as usize - 1023;
    let part = (bits >> 48) as usize & (N_PARTS - 1);
    (octave * N_PARTS + part).min(N_OCTAVES * N_PARTS - 1)
}

/// The lower bound of a bucket in milliseconds.
fn bound_ms(bucket: usize) -> f64 {
    let (octave, part) = (bucket / N_PARTS, bucket % N_PARTS);
    if bucket == 0 { 0.0 } else { MIN_MS * 2f64.powi(octave as i32) * (1.0 + part as f64 / N_PARTS as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_of_1_to_1000() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_ms(0.5), None);
        (1..=1_000).for_each(|ms| histogram.record(f64::from(ms)));
        for (q, exact) in [(0.0, 1.0), (0.5, 500.0), (0.95, 950.0), (0.99, 990.0), (1.0, 1_000.0)] {
            let got = histogram.quantile_ms(q).unwrap();
            assert!((got - exact).abs() <= exact / 32.0 + 1e-9, "q {q}: {got}");
        }
        assert_eq!((histogram.n(), histogram.sum_ms()), (1_000, 500_500.0));
        let octaves = histogram.octaves();
        assert_eq!(octaves[10], (128.0, 127), "values below 128");
        assert_eq!(octaves.last().unwrap().1, 1_000);
    }

    #[test]
    fn the_ends_hold() {
        let mut histogram = Histogram::default();
        [f64::NAN, -1.0, 0.0, f64::INFINITY, 1e300].into_iter().for_each(|ms| histogram.record(ms));
        assert_eq!(histogram.n(), 5);
        assert!(histogram.quantile_ms(1.0).unwrap() > 3_600_000.0);
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket(ms in MIN_MS..4_000_000.0f64) {
            let place = bucket(ms);
            prop_assert!(bound_ms(place) <= ms || place == 0);
            prop_assert!(ms < bound_ms(place + 1));
        }
    }
}
