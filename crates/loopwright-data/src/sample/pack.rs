//! Packing: texts of differing length put together into sequences of one length, so that little of a batch is padding.
//!
//! Both methods take the longest text first; its bin is the first with room (first-fit decreasing) or the one with the
//! least room left (best-fit decreasing). First-fit decreasing needs at most 11/9 of the fewest bins possible, plus 6/9
//! (Dósa 2007). Best-fit is the packing of Ding et al. (2024, "Fewer Truncations Improve Language Modeling"), which cuts no
//! text but those longer than a whole sequence. Both look up a bin in logarithmic time, so millions of texts are packed in
//! seconds.
//!
//! Texts in one sequence must not see each other: [`Sequence::boundaries`] are the cumulative lengths (the `cu_seqlens` of
//! variable-length attention), and positions start anew at each of them (Krell et al. 2021).
//!
//! ```
//! use loopwright_data::sample::pack::{Fit, Settings, pack};
//!
//! let packed = pack(&[5, 9, 4, 1], &Settings { tokens_max: 10, ..Settings::default() })?;
//! assert_eq!(packed.sequences[0].boundaries(), [0, 9, 10]);
//! assert_eq!(packed.sequences[1].boundaries(), [0, 5, 9]);
//! assert_eq!(packed.efficiency(), 0.95);
//! # Ok::<(), loopwright_data::Error>(())
//! ```

use super::bins::{Bins, FirstRoom, LeastRoom};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Which bin a text goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// The first bin with room.
    First,
    /// The bin with the least room left that is enough.
    Best,
}

/// What becomes of a text longer than a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Long {
    /// It is cut into pieces of a whole sequence and a rest.
    Cut,
    /// It is left out and counted.
    Drop,
}

/// How texts are packed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Tokens of a sequence.
    pub tokens_max: usize,
    /// Which bin a text goes to.
    pub fit: Fit,
    /// What becomes of longer texts.
    pub long: Long,
}

impl Default for Settings {
    fn default() -> Self {
        Self { tokens_max: 1024, fit: Fit::Best, long: Long::Cut }
    }
}

/// A text, or a piece of it, in a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Piece {
    /// Position of the text in the input.
    pub row: usize,
    /// Its first token in this piece.
    pub start: usize,
    /// Tokens of the piece.
    pub n_tokens: usize,
}

/// The pieces of one sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// In the order in which they stand.
    pub pieces: Vec<Piece>,
}

impl Sequence {
    /// Tokens of all pieces.
    pub fn n_tokens(&self) -> usize {
        self.pieces.iter().map(|piece| piece.n_tokens).sum()
    }

    /// Where each piece starts, and where the last one ends: attention stays between two neighbouring boundaries.
    pub fn boundaries(&self) -> Vec<usize> {
        let mut end = 0;
        let ends = self.pieces.iter().map(|piece| {
            end += piece.n_tokens;
            end
        });
        std::iter::once(0).chain(ends).collect()
    }
}

/// The sequences and what they cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// The sequences, in the order in which they were opened.
    pub sequences: Vec<Sequence>,
    /// Tokens of a sequence.
    pub tokens_max: usize,
    /// Tokens packed.
    pub n_tokens: u64,
    /// Texts that were cut.
    pub n_cut: u64,
    /// Texts left out because they are too long.
    pub n_dropped: u64,
    /// Texts without a token, which need no place.
    pub n_empty: u64,
}

impl Packed {
    /// Tokens per place in the sequences, from 0 to 1; the rest is padding. 1 where there is no sequence.
    pub fn efficiency(&self) -> f64 {
        let places = self.sequences.len() * self.tokens_max;
        if places == 0 { 1.0 } else { self.n_tokens as f64 / places as f64 }
    }
}

/// Packs texts of these lengths, in tokens. The result depends on the lengths and their order only. Fails on a sequence
/// without tokens.
pub fn pack(lengths: &[usize], settings: &Settings) -> Result<Packed> {
    let tokens_max = settings.tokens_max;
    if tokens_max == 0 {
        return Err(Error::setting("pack.tokens_max", tokens_max, "1 or more"));
    }
    let mut out = Packed { sequences: Vec::new(), tokens_max, n_tokens: 0, n_cut: 0, n_dropped: 0, n_empty: 0 };
    let mut pieces = pieces(lengths, settings, &mut out);
    pieces.sort_by_key(|piece| (std::cmp::Reverse(piece.n_tokens), piece.row, piece.start));
    out.n_tokens = pieces.iter().map(|piece| piece.n_tokens as u64).sum();
    match settings.fit {
        Fit::First => fill(pieces, tokens_max, &mut FirstRoom::default(), &mut out.sequences),
        Fit::Best => fill(pieces, tokens_max, &mut LeastRoom::default(), &mut out.sequences),
    }
    Ok(out)
}

fn pieces(lengths: &[usize], settings: &Settings, out: &mut Packed) -> Vec<Piece> {
    let tokens_max = settings.tokens_max;
    let mut pieces = Vec::with_capacity(lengths.len());
    for (row, &length) in lengths.iter().enumerate() {
        out.n_empty += u64::from(length == 0);
        if length > tokens_max && settings.long == Long::Drop {
            out.n_dropped += 1;
            continue;
        }
        out.n_cut += u64::from(length > tokens_max);
        let starts = (0..length).step_by(tokens_max);
        pieces.extend(starts.map(|start| Piece { row, start, n_tokens: tokens_max.min(length - start) }));
    }
    pieces
}

fn fill(pieces: Vec<Piece>, tokens_max: usize, bins: &mut impl Bins, sequences: &mut Vec<Sequence>) {
    let mut left: Vec<usize> = Vec::new();
    for piece in pieces {
        let found = bins.find(piece.n_tokens);
        let bin = found.unwrap_or_else(|| {
            sequences.push(Sequence::default());
            left.push(tokens_max);
            left.len() - 1
        });
        let before = found.map(|bin| left[bin]);
        left[bin] -= piece.n_tokens;
        sequences[bin].pieces.push(piece);
        bins.set(bin, before, left[bin]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(packed: &Packed) -> Vec<Vec<usize>> {
        packed.sequences.iter().map(|it| it.pieces.iter().map(|piece| piece.row).collect()).collect()
    }

    fn check(lengths: &[usize], tokens_max: usize, fit: Fit, expected: &[&[usize]]) {
        let packed = pack(lengths, &Settings { tokens_max, fit, ..Settings::default() }).unwrap();
        assert_eq!(rows(&packed), expected, "{lengths:?} {fit:?}");
    }

    #[test]
    fn the_longest_goes_first_to_a_bin_with_room() {
        check(&[7, 6, 5, 3], 10, Fit::First, &[&[0, 3], &[1], &[2]]);
        check(&[8, 6, 2, 4], 10, Fit::Best, &[&[0, 2], &[1, 3]]);
        check(&[6, 5, 4, 4], 10, Fit::First, &[&[0, 2], &[1, 3]]);
    }

    /// 14 and 11 leave 6 and 9; 7 goes to the second, which leaves 2. The last text finds 6 first, and 2 fits it best.
    #[test]
    fn first_and_best_fit_part_ways() {
        check(&[14, 11, 7, 2], 20, Fit::First, &[&[0, 3], &[1, 2]]);
        check(&[14, 11, 7, 2], 20, Fit::Best, &[&[0], &[1, 2, 3]]);
    }

    #[test]
    fn long_texts_are_cut_or_left_out() {
        let settings = Settings { tokens_max: 10, ..Settings::default() };
        let packed = pack(&[23, 7, 0], &settings).unwrap();
        assert_eq!((packed.n_cut, packed.n_empty, packed.n_tokens), (1, 1, 30));
        assert_eq!(packed.efficiency(), 1.0);
        assert_eq!(
            packed.sequences[2].pieces,
            [Piece { row: 1, start: 0, n_tokens: 7 }, Piece { row: 0, start: 20, n_tokens: 3 }]
        );
        let dropped = pack(&[23, 7], &Settings { long: Long::Drop, ..settings }).unwrap();
        assert_eq!((dropped.n_dropped, dropped.sequences.len(), dropped.efficiency()), (1, 1, 0.7));
        assert_eq!(pack(&[], &Settings::default()).unwrap().efficiency(), 1.0);
        assert!(pack(&[1], &Settings { tokens_max: 0, ..Settings::default() }).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_token_is_packed_once_and_no_bin_overflows(
            lengths in prop::collection::vec(0usize..40, 0..200), tokens_max in 1usize..32,
            fit in prop::sample::select(vec![Fit::First, Fit::Best])
        ) {
            let packed = pack(&lengths, &Settings { tokens_max, fit, long: Long::Cut }).unwrap();
            let mut pieces: Vec<Piece> = packed.sequences.iter().flat_map(|it| it.pieces.clone()).collect();
            pieces.sort();
            let mut expected = Vec::new();
            for (row, length) in lengths.iter().enumerate() {
                let tokens: Vec<usize> = (0..*length).collect();
                expected.extend(tokens.chunks(tokens_max).map(|c| Piece { row, start: c[0], n_tokens: c.len() }));
            }
            prop_assert_eq!(pieces, expected);
            prop_assert!(packed.sequences.iter().all(|it| it.n_tokens() <= tokens_max && it.n_tokens() > 0));
            // Any fit leaves at most one bin that is half empty or more: the later one would have fitted in the earlier.
            let half_empty = packed.sequences.iter().filter(|it| 2 * it.n_tokens() <= tokens_max).count();
            prop_assert!(half_empty <= 1);
        }

        /// First fit, found by looking through all bins.
        #[test]
        fn the_tree_finds_the_first_bin(lengths in prop::collection::vec(1usize..=20, 0..120)) {
            let settings = Settings { tokens_max: 20, fit: Fit::First, long: Long::Cut };
            let mut order: Vec<usize> = (0..lengths.len()).collect();
            order.sort_by_key(|row| (std::cmp::Reverse(lengths[*row]), *row));
            let mut bins: Vec<(usize, Vec<usize>)> = Vec::new();
            for row in order {
                match bins.iter_mut().find(|(used, _)| used + lengths[row] <= 20) {
                    Some(bin) => { bin.0 += lengths[row]; bin.1.push(row); }
                    None => bins.push((lengths[row], vec![row])),
                }
            }
            let expected: Vec<Vec<usize>> = bins.into_iter().map(|bin| bin.1).collect();
            prop_assert_eq!(rows(&pack(&lengths, &settings).unwrap()), expected);
        }

        /// Best fit, found by looking through all bins.
        #[test]
        fn the_map_finds_the_fullest_bin(lengths in prop::collection::vec(1usize..=20, 0..120)) {
            let settings = Settings { tokens_max: 20, fit: Fit::Best, long: Long::Cut };
            let mut order: Vec<usize> = (0..lengths.len()).collect();
            order.sort_by_key(|row| (std::cmp::Reverse(lengths[*row]), *row));
            let mut bins: Vec<(usize, Vec<usize>)> = Vec::new();
            for row in order {
                let with_room = bins.iter_mut().filter(|(used, _)| used + lengths[row] <= 20);
                // `min_by_key` returns the first of equals.
                match with_room.min_by_key(|(used, _)| 20 - *used) {
                    Some(bin) => { bin.0 += lengths[row]; bin.1.push(row); }
                    None => bins.push((lengths[row], vec![row])),
                }
            }
            let expected: Vec<Vec<usize>> = bins.into_iter().map(|bin| bin.1).collect();
            prop_assert_eq!(rows(&pack(&lengths, &settings).unwrap()), expected);
        }
    }
}
