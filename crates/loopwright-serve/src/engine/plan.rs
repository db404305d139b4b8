//! Who reads how many tokens in the next pass.

/// What one sequence could read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    /// Tokens that it has not read yet.
    pub unread: usize,
    /// Is it writing its answer? It then has read everything but its last token and guesses for the next ones.
    pub is_writing: bool,
}

/// Tokens for each sequence, in its place. Those that write come first and whole, so that no prompt keeps them waiting; what
/// is left of the budget goes to prompts in their order.
pub(crate) fn share_out(wants: &[Want], budget: usize) -> Vec<usize> {
    let mut shares = vec![0; wants.len()];
    let mut left = budget;
    for is_writing in [true, false] {
        for (want, share) in wants.iter().zip(&mut shares).filter(|(want, _)| want.is_writing == is_writing) {
            // A sequence that writes always moves on.
            *share = if is_writing { want.unread.min(left.max(1)) } else { want.unread.min(left) };
            left = left.saturating_sub(*share);
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_never_waits_and_prompts_share_the_rest_in_their_order() {
        let want = |unread, is_writing| Want { unread, is_writing };
        let wants = [want(500, false), want(1, true), want(4, true), want(50, false)];
        assert_eq!(share_out(&wants, 256), [251, 1, 4, 0]);
        assert_eq!(share_out(&wants, 1_000), [500, 1, 4, 50]);
        assert_eq!(share_out(&wants, 2), [0, 1, 1, 0]);
        assert_eq!(share_out(&[want(1, true); 3], 1), [1, 1, 1]);
        assert_eq!(share_out(&[], 10), [0usize; 0]);
    }
}
