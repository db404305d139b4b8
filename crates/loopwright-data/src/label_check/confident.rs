//! The confident joint: how many rows carry which label and are confidently thought to have which.
//!
//! With p(row, label) from rows of other folds and X(i) the rows that carry label i, the threshold of label j is
//! t(j) = mean of p(row, j) over X(j). A row counts as thought to have label j if p(row, j) ≥ t(j), the likeliest such
//! label where several pass (section 3.1 of the paper). C(i, j) counts the rows of X(i) thought to have j. Since rows
//! may pass no threshold, each line of C is scaled to |X(i)|, and the whole to 1 (equation 3): Q(i, j), the estimated
//! joint distribution of given and true labels. Its part off the diagonal is the estimated share of wrong labels.

/// Counts by given label (lines) and confidently thought label (columns).
#[derive(Clone, Debug, PartialEq)]
pub struct ConfidentJoint {
    /// Per label, the probability from which a row is confidently thought to have it; infinite for labels without rows.
    pub thresholds: Vec<f32>,
    /// C(i, j) as [given][thought].
    pub counts: Vec<Vec<u64>>,
    /// Rows per given label.
    pub n_given: Vec<u64>,
}

impl ConfidentJoint {
    /// Counts rows, given as [row][label] probabilities and their labels.
    pub fn of(probabilities: &[Vec<f32>], labels: &[usize], n_labels: usize) -> Self {
        let mut n_given = vec![0; n_labels];
        labels.iter().for_each(|label| n_given[*label] += 1);
        let thresholds = thresholds(probabilities, labels, &n_given);
        let mut joint = Self { thresholds, counts: vec![vec![0; n_labels]; n_labels], n_given };
        for (row, given) in probabilities.iter().zip(labels) {
            if let Some(thought) = joint.thought(row) {
                joint.counts[*given][thought] += 1;
            }
        }
        joint
    }

    /// The label that a row with these probabilities is confidently thought to have, if any.
    pub fn thought(&self, p: &[f32]) -> Option<usize> {
        let passes = (0..p.len()).filter(|label| p[*label] >= self.thresholds[*label]);
        passes.max_by(|a, b| p[*a].total_cmp(&p[*b]).then(b.cmp(a)))
    }

    /// Q as [given][true]: the joint distribution, which sums to 1 (to 0 without rows). A label none of whose rows is
    /// confident counts as right.
    pub fn distribution(&self) -> Vec<Vec<f64>> {
        let n: u64 = self.n_given.iter().sum();
        let line = |(given, counts): (usize, &Vec<u64>)| {
            let total: u64 = counts.iter().sum();
            let share = self.n_given[given] as f64 / n.max(1) as f64;
            let of = |(thought, count): (usize, &u64)| match total {
                0 => share * f64::from(u8::from(thought == given)),
                _ => share * *count as f64 / total as f64,
            };
            counts.iter().enumerate().map(of).collect()
        };
        self.counts.iter().enumerate().map(line).collect()
    }

    /// The estimated number of wrong labels: the part of Q off the diagonal, times the number of rows.
    pub fn n_wrong_expected(&self) -> f64 {
        let n: u64 = self.n_given.iter().sum();
        let q = self.distribution();
        let right: f64 = q.iter().enumerate().map(|(label, line)| line[label]).sum();
        let all: f64 = q.iter().flatten().sum();
        ((all - right) * n as f64).max(0.0)
    }
}

/// Per label, the mean probability of that label over the rows that carry it.
fn thresholds(probabilities: &[Vec<f32>], labels: &[usize], n_given: &[u64]) -> Vec<f32> {
    let mut sums = vec![0.0_f64; n_given.len()];
    probabilities.iter().zip(labels).for_each(|(p, label)| sums[*label] += f64::from(p[*label]));
    let mean = |(sum, n): (&f64, &u64)| if *n > 0 { (sum / *n as f64) as f32 } else { f32::INFINITY };
    sums.iter().zip(n_given).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: t(0) = (0.9 + 0.7 + 0.2) / 3 = 0.6, t(1) = (0.9 + 0.5) / 2 = 0.7. Rows 0 and 1 pass t(0); row 2 (given 0)
    /// passes t(1) with 0.8; row 3 passes t(1); row 4 passes nothing.
    #[test]
    fn the_joint_of_five_rows() {
        let p = [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.5, 0.5]].map(|row| row.to_vec());
        let joint = ConfidentJoint::of(&p, &[0, 0, 0, 1, 1], 2);
        assert!((joint.thresholds[0] - 0.6).abs() < 1e-6 && (joint.thresholds[1] - 0.7).abs() < 1e-6);
        assert_eq!(joint.counts, [[2, 1], [0, 1]]);
        // Lines scaled to 3 and 2 rows: 2, 1 and 0, 2; the whole to 1.
        let q = joint.distribution();
        let expected = [[0.4, 0.2], [0.0, 0.4]];
        assert!(q.iter().flatten().zip(expected.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-12), "{q:?}");
        assert!((joint.n_wrong_expected() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn labels_without_rows_or_confidence_accuse_nobody() {
        let joint = ConfidentJoint::of(&[vec![0.2, 0.8, 0.0]], &[1], 3);
        assert_eq!(joint.thought(&[0.9, 0.0, 0.1]), None, "labels 0 and 2 have no rows");
        assert_eq!(joint.n_wrong_expected(), 0.0);
        assert_eq!(ConfidentJoint::of(&[], &[], 2).n_wrong_expected(), 0.0);
    }
}
