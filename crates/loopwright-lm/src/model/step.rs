//! Answers: new tokens of many sequences in one pass.

use super::Model;
use crate::{
    error::{Error, Kind, Result},
    layers::{Adapters, Mode, Pass},
    matrix::Precision,
    ops::Rows,
    steady::{Group, Segment},
};

impl Model {
    /// Reads new tokens of several sequences in one pass; gives the logits [vocabulary] after each of their last `n_logits`
    /// tokens, sequence after sequence. The numbers of a sequence are the same to the bit whoever shares the pass, and however
    /// its tokens are cut into passes.
    ///
    /// The model's own adapter is left aside: each segment brings its own. If it fails, the caches may hold part of the
    /// tokens in some layers; [`KvCache::truncate`] makes them good again.
    pub fn step(&self, segments: &mut [Segment]) -> Result<Vec<Vec<f32>>> {
        let ids = self.checked_segments(segments)?;
        let mut keep = Vec::new();
        let (mut groups, mut kept_groups): (Vec<Group>, Vec<Group>) = (Vec::new(), Vec::new());
        let mut end = 0;
        for segment in segments.iter() {
            end += segment.tokens.len();
            keep.extend((end - segment.n_logits.min(segment.tokens.len())..end).map(|row| row as u32));
            groups.push((end, segment.adapter));
            kept_groups.push((keep.len(), segment.adapter));
        }
        let pass = |groups| Pass { adapters: Adapters::Groups(groups), mode: Mode::Steady, precision: Precision::F32 };
        let (pass, kept) = (pass(&groups), pass(&kept_groups));
        let body = &self.base.body;
        let rows = Rows { tokens: ids.len(), lengths: None, texts: None };
        let mut hidden = body.embed(pass, ids, rows.tokens)?;
        for (i, block) in body.blocks.iter().enumerate() {
            let keep = (i + 1 == body.blocks.len()).then_some((keep.as_slice(), kept));
            if keep.is_some_and(|(keep, _)| keep.is_empty()) {
                // Nobody asks for what follows; the caches still want this block's keys and values.
                block.remember(pass, &hidden, segments, i)?;
                break;
            }
            hidden = block.forward(pass, &hidden, &rows, keep, Some((&mut *segments, i)))?;
        }
        segments.iter_mut().for_each(|segment| segment.cache.advance(segment.tokens.len()));
        if keep.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.logits(&body.normed(kept, &hidden)?, kept)?.to_vec2()?)
    }

    fn checked_segments(&self, segments: &[Segment]) -> Result<Vec<u32>> {
        self.language_head()?;
        let (limit, vocab_size) = (self.config().max_position_embeddings, self.config().vocab_size);
        let mut ids = Vec::new();
        for segment in segments {
            if segment.tokens.is_empty() {
                return Err(Error::new(Kind::BadInput, "expected tokens, got none"));
            }
            let n = segment.cache.n_tokens() + segment.tokens.len();
            if n > limit {
                return Err(Error::new(
                    Kind::TooLong,
                    format!("{n} tokens are more than the model's {limit} positions"),
                ));
            }
            if let Some(id) = segment.tokens.iter().find(|id| **id as usize >= vocab_size) {
                let message = format!("token {id} is outside the vocabulary of {vocab_size}");
                return Err(Error::new(Kind::BadInput, message));
            }
            ids.extend_from_slice(segment.tokens);
        }
        Ok(ids)
    }
}
