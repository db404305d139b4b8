//! Takes lines or paragraphs out that stand in an earlier row, and rows of which nothing is left.
//!
//! C4 (Raffel et al. 2020, section 2.2) dropped all but one of any three-sentence span that came up more than once;
//! CCNet (Wenzek et al. 2020, section 3.1) all paragraphs seen before, compared in normal form. Here a part is a line or
//! a paragraph, its normal form its letters and digits in lower case, and its first occurrence stays, in the order of
//! the rows. Short parts always stay: `Yes.` is no repetition. [`super::boilerplate`] takes *all* occurrences out, of
//! what many rows share.

use super::exact_dedup::words;
use crate::{
    Error, Result,
    draft::{Draft, Reason, StepOutput, Verdict, judge_rows},
    rows::rewrite::{Rewritten, parts},
};
use loopwright_types::SourceRow;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::HashSet};
use xxhash_rust::xxh3::xxh3_128;

/// The step's name.
pub const STEP: &str = "line_dedup";
/// The reason class of rows of which nothing is left.
pub const EMPTIED: &str = "emptied";

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// What stands between `\n`.
    Line,
    /// What stands between two `\n`.
    Paragraph,
}

impl Unit {
    fn separator(self) -> &'static str {
        match self {
            Self::Line => "\n",
            Self::Paragraph => "\n\n",
        }
    }
}

/// What counts as a repetition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is compared.
    pub unit: Unit,
    /// Parts with fewer characters in normal form always stay (ours: 20).
    pub chars_min: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { unit: Unit::Line, chars_min: 20 }
    }
}

impl Settings {
    /// Refuses settings that make no sense.
    pub fn check(&self) -> Result<()> {
        let is_fine = self.chars_min > 0;
        is_fine.then_some(()).ok_or_else(|| Error::setting("line_dedup.chars_min", self.chars_min, "1 or more"))
    }
}

/// Takes out what stands in an earlier row, or earlier in the same one.
pub fn apply(drafts: Vec<Draft>, settings: &Settings) -> StepOutput {
    let keys: Vec<Vec<Option<u128>>> = drafts.par_iter().map(|draft| keys(&draft.row, settings)).collect();
    let mut seen = HashSet::new();
    judge_rows(STEP, drafts, |row, draft| {
        let goes: Vec<bool> = keys[row].iter().map(|key| key.is_some_and(|key| !seen.insert(key))).collect();
        without(&draft.row, settings, |number| goes[number])
    })
}

/// The hash of each part of a row, in order; none for those that always stay.
pub(crate) fn keys(row: &SourceRow, settings: &Settings) -> Vec<Option<u128>> {
    let key = |unit: &str| {
        let words = words(unit);
        (words.chars().count() >= settings.chars_min).then(|| xxh3_128(words.as_bytes()))
    };
    parts(row).into_iter().flat_map(|part| part.split(settings.unit.separator())).map(key).collect()
}

/// A row without the parts (numbered from 0, through all turns of a conversation) that go.
pub(crate) fn without(row: &SourceRow, settings: &Settings, goes: impl Fn(usize) -> bool) -> Verdict {
    let separator = settings.unit.separator();
    let mut number = 0;
    emptied(Rewritten::of(row, |part| {
        let units: Vec<&str> = part.split(separator).collect();
        let first = number;
        number += units.len();
        if !(first..number).any(&goes) {
            return Cow::Borrowed(part);
        }
        let stay = units.into_iter().zip(first..).filter(|(_, number)| !goes(*number));
        stay.map(|(unit, _)| unit).collect::<Vec<_>>().join(separator).into()
    }))
}

/// The verdict of a step that takes parts out: a row of which nothing is left goes.
pub(crate) fn emptied(rewritten: Option<Rewritten>) -> Verdict {
    match rewritten {
        Some(rewritten) if rewritten.is_blank() => {
            Verdict::Drop(Reason::new(EMPTIED, "nothing is left: all of it stands in other rows"))
        }
        other => Verdict::changed(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(unit: Unit, texts: &[&str], expected: &[&str], n_changed: u64) {
        let row = |text: &&str| Draft::new(SourceRow { text: text.to_string(), ..SourceRow::default() });
        let out = apply(texts.iter().map(row).collect(), &Settings { unit, chars_min: 5 });
        assert_eq!(out.drafts.iter().map(|draft| draft.row.text.as_str()).collect::<Vec<_>>(), expected);
        assert_eq!((out.count.n_changed, out.changed.len() as u64), (n_changed, n_changed));
    }

    #[test]
    fn the_first_occurrence_stays() {
        check(
            Unit::Line,
            &["all about cats\nYes.", "Yes.\n  All about CATS!\nall about dogs", "all about dogs"],
            &["all about cats\nYes.", "Yes.\nall about dogs"],
            1,
        );
        check(Unit::Line, &["all about cats\nall about cats", ""], &["all about cats", ""], 1);
        check(
            Unit::Paragraph,
            &["one two\nthree\n\nfour five", "one two\n\nfour five"],
            &["one two\nthree\n\nfour five", "one two"],
            1,
        );
    }
}
