//! What holds an answer to a form: the tokens that may come next, token by token.

use crate::Result;

/// Tokens that may come next, one bit for each token of the vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    words: Vec<u32>,
}

impl Allowed {
    /// None of so many tokens.
    pub fn none(vocab_size: usize) -> Self {
        Self { words: vec![0; vocab_size.div_ceil(32)] }
    }

    /// From words of 32 tokens each, the lowest bit first.
    pub fn from_words(words: Vec<u32>) -> Self {
        Self { words }
    }

    /// Allows one more.
    pub fn allow(&mut self, token: u32) {
        if let Some(word) = self.words.get_mut(token as usize / 32) {
            *word |= 1 << (token % 32);
        }
    }

    /// Whether a token is allowed.
    pub fn has(&self, token: u32) -> bool {
        self.words.get(token as usize / 32).is_some_and(|word| word >> (token % 32) & 1 == 1)
    }

    /// Makes every other token impossible.
    pub(crate) fn apply(&self, logits: &mut [f32]) {
        for (chunk, word) in logits.chunks_mut(32).zip(self.words.iter().copied().chain(std::iter::repeat(0))) {
            if word != u32::MAX {
                let bits = chunk.iter_mut().enumerate();
                bits.filter(|(i, _)| word >> i & 1 == 0).for_each(|(_, logit)| *logit = f32::NEG_INFINITY);
            }
        }
    }
}

/// Holds one answer to a form. The engine asks before each token and tells which one it was.
pub trait Constraint: Send + std::fmt::Debug {
    /// The tokens that may come next; the model's end of an answer among them where it may end.
    fn allowed(&mut self) -> Result<Allowed>;

    /// This token was written.
    fn take(&mut self, token: u32) -> Result<()>;

    /// True once nothing may follow: the answer ends here.
    fn is_complete(&self) -> bool;

    /// The same, at the same place, for another answer to the same prompt.
    fn fork(&self) -> Box<dyn Constraint>;
}

impl Clone for Box<dyn Constraint> {
    fn clone(&self) -> Self {
        self.fork()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_allowed_becomes_impossible() {
        let mut allowed = Allowed::none(40);
        allowed.allow(3);
        allowed.allow(33);
        let mut logits = vec![1.0; 40];
        allowed.apply(&mut logits);
        let left: Vec<usize> = (0..40).filter(|i| logits[*i] == 1.0).collect();
        assert_eq!(left, [3, 33]);
        assert!(allowed.has(33) && !allowed.has(32) && !allowed.has(400));
    }
}
