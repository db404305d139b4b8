//! How many tokens a set of texts has.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The tokens of a set of texts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenCounts {
    /// Texts.
    pub n_texts: u64,
    /// Tokens of all.
    pub n_tokens: u64,
    /// Tokens of a text: minimum, median, 95th percentile (nearest rank), maximum.
    pub per_text: [u64; 4],
    /// Tokens per label.
    pub labels: BTreeMap<String, u64>,
}

/// Counts tokens, given each text's label and length.
pub fn token_counts<'a>(rows: impl IntoIterator<Item = (&'a str, usize)>) -> TokenCounts {
    let mut counts = TokenCounts::default();
    let mut lengths: Vec<u64> = Vec::new();
    for (label, n_tokens) in rows {
        lengths.push(n_tokens as u64);
        *counts.labels.entry(label.to_string()).or_default() += n_tokens as u64;
    }
    lengths.sort_unstable();
    let rank = |percent: usize| lengths.get((lengths.len() * percent).div_ceil(100).max(1) - 1).copied().unwrap_or(0);
    counts.per_text = [rank(0), rank(50), rank(95), rank(100)];
    (counts.n_texts, counts.n_tokens) = (lengths.len() as u64, lengths.iter().sum());
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_counted() {
        let counts = token_counts([("a", 3), ("b", 10), ("a", 5)]);
        assert_eq!((counts.n_texts, counts.n_tokens, counts.per_text), (3, 18, [3, 5, 10, 10]));
        assert_eq!(counts.labels, BTreeMap::from([("a".into(), 8), ("b".into(), 10)]));
        assert_eq!(token_counts([]).per_text, [0; 4]);
    }
}
