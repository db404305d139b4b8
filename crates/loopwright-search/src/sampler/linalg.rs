//! Linear algebra of small dense symmetric matrices, row by row in one vector.

/// Scalar product, in eight sums side by side so that it runs on vector units; the order is fixed.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; 8];
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    rest + ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]))
}

/// A lower triangular factor L with L Lᵀ = A.
#[derive(Clone, Debug)]
pub(crate) struct Cholesky {
    n: usize,
    lower: Vec<f64>,
}

impl Cholesky {
    /// Factors a positive definite matrix `[n, n]`, of which the lower triangle is read; none if it is not one.
    pub(crate) fn of(mut a: Vec<f64>, n: usize) -> Option<Self> {
        for i in 0..n {
            let (above, row) = a.split_at_mut(i * n);
            for j in 0..i {
                let other = &above[j * n..j * n + j + 1];
                row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
            }
            let pivot = row[i] - dot(&row[..i], &row[..i]);
            if pivot <= 0.0 || pivot.is_nan() {
                return None;
            }
            row[i] = pivot.sqrt();
        }
        Some(Self { n, lower: a })
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.lower[i * self.n..i * self.n + i + 1]
    }

    /// log |A|.
    pub(crate) fn log_determinant(&self) -> f64 {
        2.0 * (0..self.n).map(|i| self.row(i)[i].ln()).sum::<f64>()
    }

    /// x with L x = b, in place.
    pub(crate) fn solve_lower(&self, b: &mut [f64]) {
        for i in 0..self.n {
            let row = self.row(i);
            b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
        }
    }

    /// x with A x = b, in place.
    pub(crate) fn solve(&self, b: &mut [f64]) {
        self.solve_lower(b);
        for i in (0..self.n).rev() {
            let row = self.row(i);
            b[i] /= row[i];
            let known = b[i];
            for (b, l) in b[..i].iter_mut().zip(row) {
                *b -= known * l;
            }
        }
    }

    /// A⁻¹, both triangles.
    pub(crate) fn inverse(&self) -> Vec<f64> {
        let n = self.n;
        // Row j of `columns` is column j of L⁻¹, which is zero before j.
        let mut columns = vec![0.0; n * n];
        for j in 0..n {
            let column = &mut columns[j * n..(j + 1) * n];
            column[j] = 1.0 / self.row(j)[j];
            for i in j + 1..n {
                let row = self.row(i);
                column[i] = -dot(&row[j..i], &column[j..i]) / row[i];
            }
        }
        let mut inverse = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let value = dot(&columns[i * n + i..(i + 1) * n], &columns[j * n + i..(j + 1) * n]);
                inverse[i * n + j] = value;
                inverse[j * n + i] = value;
            }
        }
        inverse
    }
}

/// Eigenvalues and eigenvectors of a symmetric matrix `[n, n]` by Jacobi's rotations (Golub and Van Loan 2013, 8.5).
/// Column j of the second matrix belongs to value j.
pub(crate) fn eigen(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    const SWEEPS_MAX: usize = 50;
    let mut vectors: Vec<f64> = (0..n * n).map(|i| if i / n == i % n { 1.0 } else { 0.0 }).collect();
    for _ in 0..SWEEPS_MAX {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        let diagonal: f64 = (0..n).map(|i| a[i * n + i].powi(2)).sum();
        if off <= 1e-28 * diagonal {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, n, p, q);
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), vectors)
}

/// One rotation, which makes the entry (p, q) zero.
fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    if a[p * n + q] == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * a[p * n + q]);
    let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    for k in 0..n {
        let (kp, kq) = (a[k * n + p], a[k * n + q]);
        (a[k * n + p], a[k * n + q]) = (cosine * kp - sine * kq, sine * kp + cosine * kq);
    }
    for k in 0..n {
        let (pk, qk) = (a[p * n + k], a[q * n + k]);
        (a[p * n + k], a[q * n + k]) = (cosine * pk - sine * qk, sine * pk + cosine * qk);
        let (kp, kq) = (vectors[k * n + p], vectors[k * n + q]);
        (vectors[k * n + p], vectors[k * n + q]) = (cosine * kp - sine * kq, sine * kp + cosine * kq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Positive definite: a Gram matrix plus the identity.
    fn matrix(n: usize) -> Vec<f64> {
        let row = |i: usize| -> Vec<f64> { (0..n).map(|k| ((i * 7 + k * 3) % 11) as f64 / 5.0 - 1.0).collect() };
        (0..n * n).map(|at| dot(&row(at / n), &row(at % n)) + if at / n == at % n { 1.0 } else { 0.0 }).collect()
    }

    #[test]
    fn a_factor_solves_inverts_and_has_the_determinant() {
        for n in [1, 2, 7, 20] {
            let a = matrix(n);
            let factor = Cholesky::of(a.clone(), n).unwrap();
            let mut x: Vec<f64> = (0..n).map(|i| i as f64).collect();
            factor.solve(&mut x);
            let inverse = factor.inverse();
            for i in 0..n {
                assert!((dot(&a[i * n..(i + 1) * n], &x) - i as f64).abs() < 1e-9);
                for j in 0..n {
                    let unit = dot(&a[i * n..(i + 1) * n], &inverse[j * n..(j + 1) * n]);
                    assert!((unit - if i == j { 1.0 } else { 0.0 }).abs() < 1e-9);
                }
            }
            let (values, vectors) = eigen(a.clone(), n);
            assert!((values.iter().map(|value| value.ln()).sum::<f64>() - factor.log_determinant()).abs() < 1e-9);
            for (j, value) in values.iter().enumerate() {
                let vector: Vec<f64> = (0..n).map(|i| vectors[i * n + j]).collect();
                for i in 0..n {
                    assert!((dot(&a[i * n..(i + 1) * n], &vector) - value * vector[i]).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_has_no_factor() {
        assert!(Cholesky::of(vec![1.0, 2.0, 2.0, 1.0], 2).is_none());
        assert!(Cholesky::of(vec![f64::NAN], 1).is_none());
    }
}
