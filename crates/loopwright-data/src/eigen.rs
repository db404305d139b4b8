//! Eigenvalues of a small symmetric matrix, by cyclic Jacobi rotations (Golub and Van Loan, "Matrix Computations", 8.5).
//!
//! Each rotation makes one pair of entries off the diagonal zero; sweeps over all pairs converge quadratically, in some
//! eight sweeps for a few hundred lines. It is simple, as exact as the arithmetic, and costs about 4·n³ per sweep, which is
//! little for the samples here.

/// Sweeps over all pairs; convergence needs about ten.
const SWEEPS_MAX: usize = 60;

/// The eigenvalues of a symmetric matrix of n lines of n values, largest first. Only the upper triangle is trusted to be
/// meant; the lower one must be equal.
pub(crate) fn eigenvalues(mut matrix: Vec<Vec<f64>>) -> Vec<f64> {
    let n = matrix.len();
    let size: f64 = matrix.iter().flatten().map(|value| value * value).sum();
    for _ in 0..SWEEPS_MAX {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| matrix[i][j].powi(2)).sum();
        if off <= 1e-24 * size {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut matrix, p, q);
            }
        }
    }
    let mut values: Vec<f64> = (0..n).map(|i| matrix[i][i]).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

/// Turns lines and columns p and q so that the entry (p, q) becomes zero; the smaller of the two possible angles.
fn rotate(matrix: &mut [Vec<f64>], p: usize, q: usize) {
    let apq = matrix[p][q];
    if apq == 0.0 {
        return;
    }
    let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * apq);
    let t = if theta == 0.0 { 1.0 } else { theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt()) };
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    let (upper, lower) = matrix.split_at_mut(q);
    for (x, y) in upper[p].iter_mut().zip(lower[0].iter_mut()) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
    for line in matrix.iter_mut() {
        (line[p], line[q]) = (c * line[p] - s * line[q], s * line[p] + c * line[q]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(matrix: &[&[f64]], expected: &[f64]) {
        let found = eigenvalues(matrix.iter().map(|line| line.to_vec()).collect());
        assert!(
            found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-10),
            "{found:?} for {matrix:?}"
        );
    }

    #[test]
    fn eigenvalues_by_hand() {
        check(&[], &[]);
        check(&[&[3.0]], &[3.0]);
        check(&[&[2.0, 1.0], &[1.0, 2.0]], &[3.0, 1.0]);
        check(&[&[1.0, 0.0], &[0.0, 5.0]], &[5.0, 1.0]);
        // The second difference matrix: 2 − 2·cos(kπ/4), k = 3, 2, 1.
        let root = 2.0_f64.sqrt();
        check(&[&[2.0, -1.0, 0.0], &[-1.0, 2.0, -1.0], &[0.0, -1.0, 2.0]], &[2.0 + root, 2.0, 2.0 - root]);
        check(&[&[1.0; 4], &[1.0; 4], &[1.0; 4], &[1.0; 4]], &[4.0, 0.0, 0.0, 0.0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// Rotations keep the trace, the sum of squares and the sum of cubes.
        #[test]
        fn traces_of_powers_are_kept(values in prop::collection::vec(-3.0f64..3.0, 21)) {
            let n = 6;
            let value = |i: usize, j: usize| values[i.max(j) * (i.max(j) + 1) / 2 + i.min(j)];
            let matrix: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| value(i, j)).collect()).collect();
            let square: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| (0..n).map(|k| matrix[i][k] * matrix[k][j]).sum()).collect()).collect();
            let trace: f64 = (0..n).map(|i| matrix[i][i]).sum();
            let trace_2: f64 = (0..n).map(|i| square[i][i]).sum();
            let trace_3: f64 = (0..n).flat_map(|i| (0..n).map(move |k| (i, k))).map(|(i, k)| square[i][k] * matrix[k][i]).sum();
            let found = eigenvalues(matrix);
            for (power, trace) in [(1, trace), (2, trace_2), (3, trace_3)] {
                let sum: f64 = found.iter().map(|value| value.powi(power)).sum();
                prop_assert!((sum - trace).abs() < 1e-8 * (1.0 + trace.abs()), "power {} {} {}", power, sum, trace);
            }
        }
    }
}
