//! Lines that many rows share: counted while the rows pass by once, taken out when they do so again.

use super::set_phase::{Judging, Looking, Scratch};
use crate::{
    Result,
    clean::boilerplate::{self, LINE_BYTES},
    draft::{Draft, Verdict},
};
use loopwright_corpus::quality::boilerplate::{Counts, Settings};
use rayon::prelude::*;

/// The step in its first pass.
pub(crate) struct Boilerplate {
    settings: Settings,
    counts: Counts,
    scratch: Scratch,
}

impl Boilerplate {
    pub(crate) fn new(settings: &Settings, scratch: Scratch) -> Self {
        Self { settings: settings.clone(), counts: Counts::default(), scratch }
    }
}

impl Looking for Boilerplate {
    fn look(&mut self, drafts: &[Draft]) -> Result<()> {
        self.counts.merge(boilerplate::counted(drafts, &self.settings));
        let n_lines = self.counts.len() as u64;
        self.scratch.check_fits(|| format!("the counts of {n_lines} different lines"), n_lines * LINE_BYTES)
    }

    fn decide(mut self: Box<Self>) -> Result<Box<dyn Judging>> {
        self.counts.keep_boilerplate(&self.settings);
        Ok(self)
    }
}

/// The step in its second pass.
impl Judging for Boilerplate {
    fn judge(&mut self, drafts: &mut [Draft]) -> Result<Vec<Verdict>> {
        let verdict = |draft: &Draft| boilerplate::without(&draft.row, &self.counts, &self.settings);
        Ok(drafts.par_iter().map(verdict).collect())
    }
}
