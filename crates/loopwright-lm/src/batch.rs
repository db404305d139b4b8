//! Several token rows side by side, with what each position should predict.

use crate::error::{Error, Kind, Result};
use candle_core::{Device, Tensor};
use std::sync::Arc;

/// Rows of one batch, padded on the right. All tensors are [batch, tokens].
#[derive(Clone, Debug)]
pub struct Batch {
    /// What the model reads, u32.
    pub tokens: Tensor,
    /// The token that follows each, u32.
    pub targets: Tensor,
    /// How much each prediction counts, f32; 0 where it does not.
    pub mask: Tensor,
    /// Rows of the flattened batch at which a text begins; see [`Batch::with_texts`].
    pub(crate) texts: Option<Arc<[usize]>>,
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
            texts: None,
        })
    }

    /// The same rows, each of several texts one after another, as packing lays them: `starts` holds, for each row, the
    /// places above 0 at which a text begins. No token looks beyond its own text, whose first token is at position 0; so the
    /// texts are read as if each had a row of its own. The first token of a text should not be among those to predict.
    pub fn with_texts(mut self, starts: &[&[usize]]) -> Result<Self> {
        let (n_rows, n_tokens) = self.tokens.dims2()?;
        if starts.len() != n_rows {
            let message = format!("{n_rows} rows, but texts begin in {}", starts.len());
            return Err(Error::new(Kind::BadInput, message));
        }
        let mut texts = Vec::new();
        for (row, starts) in starts.iter().enumerate() {
            if starts.first() == Some(&0) || !starts.is_sorted_by(|a, b| a < b) {
                let message = format!("texts of row {row} begin at {starts:?}: expected rising places above 0");
                return Err(Error::new(Kind::BadInput, message));
            }
            texts.push(row * n_tokens);
            // A row's last token is predicted, not read.
            texts.extend(starts.iter().filter(|start| **start < n_tokens).map(|start| row * n_tokens + start));
        }
        self.texts = starts.iter().any(|starts| !starts.is_empty()).then(|| texts.into());
        Ok(self)
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
