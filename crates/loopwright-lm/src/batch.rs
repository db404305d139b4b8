//! Several token rows side by side, with what each position should predict.

use crate::error::{Error, Kind, Result};
use candle_core::{Device, Tensor};

/// Rows of one batch, padded on the right. All three are [batch, tokens].
#[derive(Clone, Debug)]
pub struct Batch {
    /// What the model reads, u32.
    pub tokens: Tensor,
    /// The token that follows each, u32.
    pub targets: Tensor,
    /// How much each prediction counts, f32; 0 where it does not.
    pub mask: Tensor,
}

impl Batch {
    /// From whole rows of tokens and, for each token, whether it is to be predicted. Each row is read without its last
    /// token and predicted without its first.
    ///
    /// ```
    /// use loopwright_lm::Batch;
    /// let batch = Batch::new(&[(&[1, 7, 8], &[false, false, true]), (&[1, 9], &[false, true])], 0)?;
    /// assert_eq!(batch.tokens.to_vec2::<u32>().unwrap(), [[1, 7], [1, 0]]);
    /// assert_eq!(batch.targets.to_vec2::<u32>().unwrap(), [[7, 8], [9, 0]]);
    /// assert_eq!(batch.mask.to_vec2::<f32>().unwrap(), [[0.0, 1.0], [1.0, 0.0]]);
    /// # Ok::<(), loopwright_lm::Error>(())
    /// ```
    pub fn new(rows: &[(&[u32], &[bool])], pad: u32) -> Result<Self> {
        let longest = rows.iter().map(|(tokens, _)| tokens.len()).max().unwrap_or(0);
        if longest < 2 {
            return Err(Error::new(Kind::BadInput, "a batch needs a row of at least two tokens"));
        }
        let shape = (rows.len(), longest - 1);
        let (mut tokens, mut targets, mut mask) = (Vec::new(), Vec::new(), Vec::new());
        for (row, counts) in rows {
            if row.len() != counts.len() {
                let message = format!("a row has {} tokens but {} mask entries", row.len(), counts.len());
                return Err(Error::new(Kind::BadInput, message));
            }
            let padding = longest - row.len().max(1);
            tokens.extend(row.iter().take(row.len().saturating_sub(1)));
            targets.extend(row.iter().skip(1));
            mask.extend(counts.iter().skip(1).map(|counts| f32::from(u8::from(*counts))));
            tokens.extend(std::iter::repeat_n(pad, padding));
            targets.extend(std::iter::repeat_n(pad, padding));
            mask.extend(std::iter::repeat_n(0.0, padding));
        }
        Ok(Self {
            tokens: Tensor::from_vec(tokens, shape, &Device::Cpu)?,
            targets: Tensor::from_vec(targets, shape, &Device::Cpu)?,
            mask: Tensor::from_vec(mask, shape, &Device::Cpu)?,
        })
    }

    /// Sum of the mask: how many predictions count.
    pub fn weight(&self) -> Result<f32> {
        Ok(self.mask.sum_all()?.to_scalar::<f32>()?)
    }

    /// Positions read, padding included.
    pub fn n_positions(&self) -> usize {
        self.tokens.elem_count()
    }
}
