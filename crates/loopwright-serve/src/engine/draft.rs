//! Guesses of what an answer goes on with, taken from what was read and written before (prompt look-up decoding, Saxena 2023).
//!
//! Where the last tokens stood before, what followed them there is guessed to follow again. The model reads the guesses in
//! the same pass as the last token, and each is kept only if it is the very token that would have been chosen: answers are
//! the same with guesses and without. Reading a few rows more costs little while a pass is bound by reading the weights.

/// Tokens that must agree, from so many down to so many.
const AGREE: std::ops::RangeInclusive<usize> = 2..=4;

/// Guesses in one pass: with the last token they fill a group of rows that the products read the weights once for.
const N_GUESSES_MAX: usize = 3;

/// How far back is looked.
const LOOK_BACK: usize = 4096;

/// Whether guessing pays for one sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guessing {
    /// Share of guesses that were right lately.
    right: f32,
    /// Passes until the next attempt, while few are right.
    pause: u32,
}

impl Default for Guessing {
    fn default() -> Self {
        Self { right: 0.5, pause: 0 }
    }
}

impl Guessing {
    /// Guesses for what follows these tokens.
    pub(crate) fn guess(&mut self, tokens: &[u32], n_max: usize) -> Vec<u32> {
        if self.pause > 0 {
            self.pause -= 1;
            return Vec::new();
        }
        look_up(&tokens[tokens.len().saturating_sub(LOOK_BACK)..], n_max.min(N_GUESSES_MAX))
    }

    /// So many of so many guesses were right.
    pub(crate) fn learn(&mut self, n_right: usize, n: usize) {
        if n == 0 {
            return;
        }
        self.right += 0.25 * (n_right as f32 / n as f32 - self.right);
        if self.right < 0.1 {
            (self.right, self.pause) = (0.2, 16);
        }
    }
}

/// What followed the last place where the last few tokens stood before.
fn look_up(tokens: &[u32], n: usize) -> Vec<u32> {
    for agree in AGREE.rev() {
        let Some(end) = tokens.len().checked_sub(agree).filter(|end| *end > 0) else { continue };
        let last = &tokens[end..];
        let found = tokens[..tokens.len() - 1].windows(agree).rposition(|window| window == last);
        if let Some(at) = found {
            let follows = &tokens[at + agree..];
            return follows[..follows.len().min(n)].to_vec();
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_before_is_guessed_the_longest_agreement_first() {
        assert_eq!(look_up(&[1, 2, 3, 4, 9, 8, 2, 3], 3), [4, 9, 8]);
        // After 7 2 3 came 5; after the later 2 3 came 6.
        assert_eq!(look_up(&[7, 2, 3, 5, 2, 3, 6, 7, 2, 3], 1), [5]);
        assert!(look_up(&[1, 2, 3, 4], 3).is_empty());
        assert_eq!(look_up(&[5, 5, 5, 5], 3), [5]);
        assert!(look_up(&[], 3).is_empty());
    }

    #[test]
    fn guessing_pauses_while_it_is_wrong() {
        let mut guessing = Guessing::default();
        let tokens = [1, 2, 3, 1, 2];
        assert_eq!(guessing.guess(&tokens, 9), [3, 1, 2]);
        (0..6).for_each(|_| guessing.learn(0, 3));
        let passes = (0..40).take_while(|_| guessing.guess(&tokens, 9).is_empty()).count();
        assert_eq!(passes, 16);
    }
}
