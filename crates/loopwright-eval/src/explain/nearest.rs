//! The training rows nearest to a message, by the cosine of their embeddings.
//!
//! Near rows are not proof of influence: they show what the model has seen that resembles the message, which is what a
//! person wants to look at first.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// A row near the message.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its position among the rows.
    pub row_index: usize,
    /// Cosine similarity, from −1 to 1.
    pub similarity: f64,
}

/// The `n` rows most similar to `query`, most similar first, ties in row order. An embedding without length is similar
/// to nothing (0).
///
/// ```
/// use loopwright_eval::explain::nearest::nearest;
/// let rows = [vec![0.0, 1.0], vec![3.0, 0.0], vec![1.0, 1.0]];
/// let near = nearest(&[1.0, 0.0], &rows, 2).unwrap();
/// assert_eq!((near[0].row_index, near[0].similarity), (1, 1.0));
/// assert_eq!(near[1].row_index, 2);
/// ```
pub fn nearest(query: &[f32], rows: &[impl AsRef<[f32]>], n: usize) -> Result<Vec<Neighbour>> {
    let mut neighbours = Vec::with_capacity(rows.len());
    for (row_index, row) in rows.iter().enumerate() {
        let row = row.as_ref();
        if row.len() != query.len() {
            let (expected, got) = (query.len(), row.len());
            return Err(Error::Input(format!(
                "expected an embedding of {expected} numbers for row {row_index}, got {got}"
            )));
        }
        neighbours.push(Neighbour { row_index, similarity: cosine(query, row) });
    }
    neighbours.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
    neighbours.truncate(n);
    Ok(neighbours)
}

/// The cosine of the angle between two embeddings; 0 if one of them has no length.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { (dot(a, b) / lengths).clamp(-1.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_by_hand() {
        assert_eq!(cosine(&[3.0, 4.0], &[4.0, 3.0]), 24.0 / 25.0);
        assert_eq!(cosine(&[1.0, 0.0], &[-2.0, 0.0]), -1.0);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), 0.0);
    }

    #[test]
    fn ties_keep_the_order_of_rows_and_widths_must_agree() {
        let near = nearest(&[1.0], &[vec![2.0], vec![-1.0], vec![5.0]], 9).unwrap();
        assert_eq!(near.iter().map(|n| n.row_index).collect::<Vec<_>>(), [0, 2, 1]);
        let error = nearest(&[1.0], &[vec![1.0, 2.0]], 1).unwrap_err().to_string();
        assert_eq!(error, "expected an embedding of 1 numbers for row 0, got 2");
    }
}
