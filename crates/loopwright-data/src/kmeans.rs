//! k-means on vectors of length one: regions of a set.
//!
//! Lloyd's algorithm (1982) with k-means++ seeding (Arthur and Vassilvitskii 2007), on the unit sphere: a vector belongs to
//! the centre with the largest inner product, and a centre is the mean of its vectors, scaled to length one (spherical
//! k-means, Dhillon and Modha 2001). The same vectors, k and seed give the same centres, with any number of threads.

use crate::{Error, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Rounds of Lloyd's algorithm, unless nothing moves before.
const ROUNDS_MAX: usize = 25;

/// Centres of regions.
#[derive(Clone, Debug, PartialEq)]
pub struct Centres(Vec<Vec<f32>>);

impl Centres {
    /// Finds `k` centres (fewer, if there are fewer different vectors). Fails on vectors of differing widths, with a value
    /// that is not finite, or on `k` = 0.
    pub fn fit(vectors: &[Vec<f32>], k: usize, seed: u64) -> Result<Self> {
        if k == 0 {
            return Err(Error::setting("k", k, "1 or more"));
        }
        let vectors = unit_vectors(vectors)?;
        let mut centres = first_centres(&vectors, k, seed);
        let mut nearest: Vec<usize> = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let now: Vec<usize> = vectors.par_iter().map(|vector| nearest_of(&centres, vector).0).collect();
            if now == nearest {
                break;
            }
            nearest = now;
            centres = means(&vectors, &nearest, &centres);
        }
        Ok(Self(centres))
    }

    /// How many centres there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is none: there were no vectors.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The nearest centre and its cosine; the first of equals. None without centres.
    pub fn nearest(&self, vector: &[f32]) -> Option<(usize, f32)> {
        let length = dot(vector, vector).sqrt().max(f32::MIN_POSITIVE);
        let (centre, product) = nearest_of(&self.0, vector);
        (!self.0.is_empty()).then_some((centre, product / length))
    }
}

/// The vectors scaled to length one (a vector of zeros stays). Fails on differing widths and on values that are not
/// finite.
pub(crate) fn unit_vectors(vectors: &[Vec<f32>]) -> Result<Vec<Vec<f32>>> {
    let width = vectors.first().map_or(0, Vec::len);
    for (row, vector) in vectors.iter().enumerate() {
        if vector.len() != width || vector.iter().any(|value| !value.is_finite()) {
            let name = format!("the embedding of row {row}");
            return Err(Error::setting(&name, format!("{} values", vector.len()), &format!("{width} finite values")));
        }
    }
    let unit = |vector: &Vec<f32>| {
        let length = dot(vector, vector).sqrt().max(f32::MIN_POSITIVE);
        vector.iter().map(|value| value / length).collect()
    };
    Ok(vectors.par_iter().map(unit).collect())
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn nearest_of(centres: &[Vec<f32>], vector: &[f32]) -> (usize, f32) {
    let products = centres.iter().map(|centre| dot(centre, vector)).enumerate();
    products.fold((0, f32::NEG_INFINITY), |best, next| if next.1 > best.1 { next } else { best })
}

/// k-means++: each next centre is drawn with a probability in proportion to its squared distance from the nearest one.
fn first_centres(vectors: &[Vec<f32>], k: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut centres: Vec<Vec<f32>> = Vec::new();
    if vectors.is_empty() {
        return centres;
    }
    let mut next = rng.random_range(0..vectors.len());
    let mut distances = vec![f64::INFINITY; vectors.len()];
    loop {
        centres.push(vectors[next].clone());
        let centre = &vectors[next];
        distances.par_iter_mut().zip(vectors).for_each(|(distance, vector)| {
            let squared: f32 = centre.iter().zip(vector).map(|(a, b)| (a - b) * (a - b)).sum();
            *distance = distance.min(f64::from(squared));
        });
        let total: f64 = distances.iter().sum();
        if centres.len() == k || total <= 1e-9 {
            return centres;
        }
        let mut draw = rng.random::<f64>() * total;
        let found = distances.iter().position(|distance| {
            draw -= distance;
            draw < 0.0
        });
        // Rounding may leave a hair: the last vector that is not a centre itself.
        next = found.or_else(|| distances.iter().rposition(|distance| *distance > 0.0)).unwrap_or(0);
    }
}

/// The means of the vectors of each centre, of length one. A centre without vectors stays where it is.
fn means(vectors: &[Vec<f32>], nearest: &[usize], centres: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let mut sums: Vec<Vec<f64>> = centres.iter().map(|centre| vec![0.0; centre.len()]).collect();
    for (vector, centre) in vectors.iter().zip(nearest) {
        sums[*centre].iter_mut().zip(vector).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let scaled = |(sum, old): (&Vec<f64>, &Vec<f32>)| {
        let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
        if length < 1e-12 { old.clone() } else { sum.iter().map(|value| (value / length) as f32).collect() }
    };
    sums.iter().zip(centres).map(scaled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(angles: &[f32], n: usize) -> Vec<Vec<f32>> {
        let at = |angle: f32| vec![2.0 * angle.cos(), 2.0 * angle.sin()];
        angles.iter().flat_map(|angle| (0..n).map(move |i| at(angle + i as f32 * 0.01))).collect()
    }

    #[test]
    fn three_bundles_have_three_centres() {
        let vectors = around(&[0.0, 2.0, 4.0], 20);
        for seed in 0..5 {
            let centres = Centres::fit(&vectors, 3, seed).unwrap();
            let found: Vec<usize> = vectors.iter().map(|vector| centres.nearest(vector).unwrap().0).collect();
            assert!(found.chunks(20).all(|bundle| bundle.iter().all(|centre| *centre == bundle[0])), "{found:?}");
            assert_eq!(found.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
            assert!(vectors.iter().all(|vector| centres.nearest(vector).unwrap().1 > 0.99));
            assert_eq!(centres, Centres::fit(&vectors, 3, seed).unwrap());
        }
    }

    #[test]
    fn there_are_no_more_centres_than_different_vectors() {
        let vectors = vec![vec![1.0, 0.0], vec![3.0, 0.0], vec![0.0, 1.0]];
        assert_eq!(Centres::fit(&vectors, 9, 1).unwrap().len(), 2, "the first two point the same way");
        let none = Centres::fit(&[], 3, 1).unwrap();
        assert!(none.is_empty() && none.nearest(&[1.0]).is_none());
    }

    #[test]
    fn vectors_that_make_no_sense_are_named() {
        let error = Centres::fit(&[vec![1.0], vec![1.0, 2.0]], 1, 1).unwrap_err().to_string();
        assert_eq!(error, "`the embedding of row 1` is 2 values, expected 1 finite values");
        assert!(Centres::fit(&[vec![f32::NAN]], 1, 1).is_err());
        assert!(Centres::fit(&[vec![1.0]], 0, 1).is_err());
    }
}
