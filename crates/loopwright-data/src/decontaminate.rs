//! Training texts that contain evaluation texts: whoever learned the answers is not judged by them.
//!
//! The method is that of GPT-3 (Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C): a training text
//! is contaminated if it shares a run of N words, an N-gram, with an evaluation text. There N is the 5th percentile of the
//! evaluation texts' lengths in words, at least 8 and at most 13 ([`ngram_words_for`]), and N-grams found in more than ten
//! training documents are ignored as common phrases ([`Index::ignore_common`]). Where GPT-3 cut windows out of long
//! documents, rows here are messages and go as a whole.
//!
//! Normalisation: Unicode NFKC, then lower case; letters and digits make words, everything else only parts them. So case,
//! punctuation, spacing and full-width letters do not hide a copy. Other words do: a paraphrase or
//! a translation is not found by any N-gram (Yang et al. 2023), only by likeness of meaning.
//!
//! An evaluation text shorter than N words has no N-gram. It is looked for as a whole if it has at least
//! [`Settings::short_words_min`] words, and otherwise only as a text of its own, since `yes` is in many innocent texts.
//!
//! The index holds the evaluation texts and the training texts stream past it, one at a time and in any number of
//! threads: [`Index::check`] needs one pass over a text. A hash only finds a candidate; the words are then compared, so
//! a hit is never a collision.
//!
//! ```
//! use loopwright_data::decontaminate::{Index, Settings};
//!
//! let question = "A farmer has seven fields and sows wheat on three of them, how many are left?";
//! let index = Index::build([("q-1", question)], &Settings::default())?;
//! let hit = index.check("Homework: a farmer has SEVEN fields, and sows wheat on three of them; how many are left? Four").unwrap();
//! assert_eq!((hit.evaluation_row.as_str(), hit.words), ("q-1", 13));
//! assert_eq!(index.check("A farmer has seven fields and sows barley."), None);
//! # Ok::<(), loopwright_data::Error>(())
//! ```

use crate::{
    Error, Result,
    clean::exact_dedup::words,
    draft::{Draft, Reason, StepOutput, drop_rows},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use unicode_normalization::UnicodeNormalization;
use xxhash_rust::xxh3::xxh3_64;

/// The step's name in lists of dropped rows.
pub const STEP: &str = "decontaminate";
/// The reason class of its dropped rows.
pub const CLASS: &str = "contaminated";
/// Bounds of N in GPT-3's appendix C.
const NGRAM_WORDS: (usize, usize) = (8, 13);

/// How long a shared run of words must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// N: words of a shared run, 13 as GPT-3's upper bound; 8 finds more and errs more often.
    pub ngram_words: usize,
    /// Evaluation texts with fewer words than N, but at least so many, are looked for as a whole.
    pub short_words_min: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { ngram_words: 13, short_words_min: 6 }
    }
}

impl Settings {
    /// Refuses settings that make no sense.
    pub fn check(&self) -> Result<()> {
        if !(2..=100).contains(&self.ngram_words) {
            return Err(Error::setting("decontaminate.ngram_words", self.ngram_words, "2 to 100"));
        }
        if self.short_words_min < 2 {
            return Err(Error::setting("decontaminate.short_words_min", self.short_words_min, "2 or more"));
        }
        Ok(())
    }
}

/// GPT-3's N for these evaluation texts: the 5th percentile (nearest rank) of their lengths in words, from 8 to 13.
pub fn ngram_words_for<'a>(evaluation: impl IntoIterator<Item = &'a str>) -> usize {
    let mut lengths: Vec<usize> = evaluation.into_iter().map(|text| Words::of(text).len()).collect();
    lengths.sort_unstable();
    let rank = (lengths.len() * 5).div_ceil(100).max(1) - 1;
    lengths.get(rank).map_or(NGRAM_WORDS.1, |length| (*length).clamp(NGRAM_WORDS.0, NGRAM_WORDS.1))
}

/// A run of words that a training text shares with an evaluation text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// The evaluation row.
    pub evaluation_row: String,
    /// The shared run, normalised.
    pub ngram: String,
    /// Its words: N, or fewer for a short evaluation text found as a whole.
    pub words: usize,
    /// Share of the training text's words that stand in some shared run, from 0 to 1: near 1 the row is a copy, near 0 a
    /// long text with a quotation.
    pub covered_share: f64,
}

/// The N-grams of evaluation texts.
#[derive(Clone, Debug)]
pub struct Index {
    settings: Settings,
    rows: Vec<(String, Words)>,
    /// Where each run stands first, by its length in words and its hash. Lengths below N are whole short texts.
    runs: BTreeMap<usize, HashMap<u64, Run>>,
    /// Texts too short to be looked for inside of others, by the hash of the whole.
    whole: HashMap<u64, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    row: usize,
    start: usize,
    /// Training texts that were seen to have it by [`Index::ignore_common`].
    n_texts: u32,
}

impl Index {
    /// Indexes evaluation rows, given as id and text. Where several share a run, the first is the one that hits name.
    /// Fails only on settings out of range.
    pub fn build<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str)>, settings: &Settings) -> Result<Self> {
        settings.check()?;
        let mut index =
            Self { settings: settings.clone(), rows: Vec::new(), runs: BTreeMap::new(), whole: HashMap::new() };
        for (id, text) in rows {
            index.add(id, Words::of(text));
        }
        Ok(index)
    }

    /// Indexes several sets of evaluation rows. Their ids become `set:id`.
    pub(crate) fn of_sets(sets: &BTreeMap<String, Vec<(String, String)>>, settings: &Settings) -> Result<Self> {
        let mut index = Self::build([], settings)?;
        for (set, rows) in sets {
            rows.iter().for_each(|(id, text)| index.add(&format!("{set}:{id}"), Words::of(text)));
        }
        Ok(index)
    }

    /// Why a training text goes, if it does.
    pub(crate) fn reason(&self, text: &str) -> Option<Reason> {
        self.check(text).map(|hit| reason(&hit))
    }

    fn add(&mut self, id: &str, words: Words) {
        let row = self.rows.len();
        let length = words.len().min(self.settings.ngram_words);
        if length >= self.settings.short_words_min.min(self.settings.ngram_words) {
            let runs = self.runs.entry(length).or_default();
            for start in 0..=words.len() - length {
                runs.entry(words.hash(start, length)).or_insert(Run { row, start, n_texts: 0 });
            }
        } else if length > 0 {
            self.whole.entry(words.hash(0, length)).or_insert(row);
        }
        self.rows.push((id.to_string(), words));
    }

    /// Evaluation rows in the index.
    pub fn n_rows(&self) -> usize {
        self.rows.len()
    }

    /// Counts in how many of these training texts each run stands, and forgets runs that stand in more than `texts_max`
    /// (ten in GPT-3): phrases that everybody writes. A pass of its own over the training texts, before they are checked;
    /// its memory is the index's. Returns how many runs were forgotten.
    pub fn ignore_common<'a>(&mut self, training: impl IntoIterator<Item = &'a str>, texts_max: u32) -> usize {
        for text in training {
            let words = Words::of(text);
            let mut found: Vec<(usize, u64)> =
                self.found(&words).map(|(start, length, _)| (length, words.hash(start, length))).collect();
            found.sort_unstable();
            found.dedup();
            for (length, hash) in found {
                if let Some(run) = self.runs.get_mut(&length).and_then(|runs| runs.get_mut(&hash)) {
                    run.n_texts += 1;
                }
            }
        }
        let n_runs = |runs: &BTreeMap<usize, HashMap<u64, Run>>| runs.values().map(HashMap::len).sum::<usize>();
        let before = n_runs(&self.runs);
        self.runs.values_mut().for_each(|runs| runs.retain(|_, run| run.n_texts <= texts_max));
        before - n_runs(&self.runs)
    }

    /// The first run of words that this training text shares with an evaluation text, the longest where two start at
    /// the same word; none if it is clean.
    pub fn check(&self, text: &str) -> Option<Hit> {
        let words = Words::of(text);
        let mut first: Option<(usize, usize, usize)> = None;
        let mut is_covered = vec![false; words.len()];
        for (start, length, row) in self.found(&words) {
            is_covered[start..start + length].fill(true);
            first = first.or(Some((start, length, row)));
        }
        let (start, length, row) = first.or_else(|| self.same_whole(&words))?;
        let n_covered = is_covered.iter().filter(|covered| **covered).count();
        Some(Hit {
            evaluation_row: self.rows[row].0.clone(),
            ngram: words.run(start, length).to_string(),
            words: length,
            covered_share: if n_covered == 0 { 1.0 } else { n_covered as f64 / words.len() as f64 },
        })
    }

    /// Every shared run as start, length and evaluation row, by rising start and falling length.
    fn found<'a>(&'a self, words: &'a Words) -> impl Iterator<Item = (usize, usize, usize)> + 'a {
        (0..words.len()).flat_map(move |start| {
            self.runs.iter().rev().filter_map(move |(length, runs)| {
                let run = (start + length <= words.len()).then(|| runs.get(&words.hash(start, *length)))??;
                let is_same = self.rows[run.row].1.run(run.start, *length) == words.run(start, *length);
                is_same.then_some((start, *length, run.row))
            })
        })
    }

    fn same_whole(&self, words: &Words) -> Option<(usize, usize, usize)> {
        if words.len() == 0 {
            return None;
        }
        let row = *self.whole.get(&words.hash(0, words.len()))?;
        (self.rows[row].1.text == words.text).then_some((0, words.len(), row))
    }
}

/// Drops the drafts that the index knows, each with the evaluation row and the run that gave it away.
pub fn apply(drafts: Vec<Draft>, index: &Index) -> StepOutput {
    let hits: Vec<Option<Hit>> = drafts.par_iter().map(|draft| index.check(&draft.row.text)).collect();
    drop_rows(STEP, drafts, |row, _| hits[row].as_ref().map(reason))
}

fn reason(hit: &Hit) -> Reason {
    let text = format!("shares {} words with evaluation row {}: `{}`", hit.words, hit.evaluation_row, hit.ngram);
    Reason::new(CLASS, text)
}

/// A normalised text and where its words are.
#[derive(Clone, Debug, PartialEq)]
struct Words {
    text: String,
    /// First byte of each word, and one past the end of the text plus one.
    starts: Vec<usize>,
}

impl Words {
    fn of(text: &str) -> Self {
        let folded: String = text.nfkc().collect();
        let text = words(&folded);
        let mut starts = Vec::new();
        if !text.is_empty() {
            starts.push(0);
            starts.extend(text.match_indices(' ').map(|(at, _)| at + 1));
        }
        starts.push(text.len() + 1);
        Self { text, starts }
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// `length` words from the word `start` on, one space between them.
    fn run(&self, start: usize, length: usize) -> &str {
        &self.text[self.starts[start]..self.starts[start + length] - 1]
    }

    fn hash(&self, start: usize, length: usize) -> u64 {
        xxh3_64(self.run(start, length).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::SourceRow;
    use proptest::prelude::*;

    const LONG: &str = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen";

    fn index(rows: &[(&str, &str)], ngram_words: usize) -> Index {
        Index::build(rows.iter().copied(), &Settings { ngram_words, ..Settings::default() }).unwrap()
    }

    fn check(index: &Index, text: &str, expected: Option<(&str, &str)>) {
        let hit = index.check(text);
        assert_eq!(hit.as_ref().map(|hit| (hit.evaluation_row.as_str(), hit.ngram.as_str())), expected, "{text}");
    }

    #[test]
    fn a_shared_run_of_n_words_is_found_and_a_shorter_one_is_not() {
        let long = index(&[("q", LONG)], 13);
        let thirteen = LONG.strip_suffix(" fourteen").unwrap();
        check(&long, &format!("so: {thirteen}."), Some(("q", thirteen)));
        check(&long, thirteen.strip_suffix(" thirteen").unwrap(), None);
        let eight = index(&[("q", LONG)], 8);
        check(
            &eight,
            "x three four five six seven eight nine ten y",
            Some(("q", "three four five six seven eight nine ten")),
        );
        check(&eight, "three four five six seven eight nine TENTH", None);
    }

    #[test]
    fn case_punctuation_and_width_do_not_hide_a_copy() {
        let index = index(&[("q", "What's the café's price, today or tomorrow?")], 8);
        check(
            &index,
            "WHAT’S—the Cafe\u{301}'s **price**: today / or ｔｏｍｏｒｒｏｗ",
            Some(("q", "what s the café s price today or")),
        );
    }

    #[test]
    fn short_texts_are_found_as_a_whole() {
        let index = index(&[("six", "how many legs has an ant"), ("two", "yes please")], 13);
        check(&index, "Quiz! How many legs has an ant? Six.", Some(("six", "how many legs has an ant")));
        check(&index, "Yes, please!", Some(("two", "yes please")));
        check(&index, "yes please send it", None);
        check(&index, "", None);
        check(&index, "?!", None);
    }

    #[test]
    fn the_covered_share_tells_a_copy_from_a_quotation() {
        let index = index(&[("q", LONG)], 13);
        assert_eq!(index.check(LONG).unwrap().covered_share, 1.0);
        let quoted = format!("{LONG} {}", "and so on ".repeat(14));
        assert_eq!(index.check(&quoted).unwrap().covered_share, 14.0 / 56.0);
    }

    #[test]
    fn common_runs_are_forgotten() {
        let rule = "answer with the letter of the right choice and nothing else";
        let (a, b) = (format!("{rule} red"), format!("{rule} blue"));
        let mut index = index(&[("a", &a), ("b", &b)], 8);
        let training: Vec<String> = (0..3).map(|n| format!("{n} {rule} {n}")).collect();
        assert!(index.check(&training[0]).is_some());
        // Eleven words hold four runs of eight; both own runs, which end in the colour, stay.
        assert_eq!(index.ignore_common(training.iter().map(String::as_str), 2), 4);
        check(&index, &training[0], None);
        check(&index, &b, Some(("b", "of the right choice and nothing else blue")));
    }

    #[test]
    fn n_follows_the_evaluation_texts() {
        let of_length = |n: usize| "word ".repeat(n);
        let texts: Vec<String> = (1..=100).map(of_length).collect();
        assert_eq!(ngram_words_for(texts.iter().map(String::as_str)), 8, "5th percentile 5, at least 8");
        assert_eq!(ngram_words_for([of_length(10).as_str()]), 10);
        assert_eq!(ngram_words_for([of_length(40).as_str()]), 13);
        assert_eq!(ngram_words_for([]), 13);
    }

    #[test]
    fn dropped_rows_name_the_evaluation_row_and_the_run() {
        let row = |id: &str, text: &str| {
            Draft::new(SourceRow { row_id: id.into(), text: text.into(), ..SourceRow::default() })
        };
        let index = index(&[("q-7", "how many legs has an ant")], 13);
        let out = apply(vec![row("1", "how many legs has an ant?"), row("2", "how many eyes has an ant?")], &index);
        assert_eq!((out.drafts.len(), out.count.dropped[CLASS]), (1, 1));
        assert_eq!(out.dropped[0].reason, "shares 6 words with evaluation row q-7: `how many legs has an ant`");
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let settings = Settings { ngram_words: 1, ..Settings::default() };
        let error = Index::build([], &settings).unwrap_err();
        assert_eq!(error.to_string(), "`decontaminate.ngram_words` is 1, expected 2 to 100");
    }

    fn texts() -> impl Strategy<Value = Vec<String>> {
        let word = prop::sample::select(vec!["a", "b", "c", "d"]);
        prop::collection::vec(prop::collection::vec(word, 0..12).prop_map(|words| words.join(" ")), 1..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        /// The same as comparing all runs of three words with all others.
        #[test]
        fn a_hit_is_a_shared_run(evaluation in texts(), training in texts()) {
            let settings = Settings { ngram_words: 3, short_words_min: 3 };
            let index = Index::build(evaluation.iter().map(|text| ("q", text.as_str())), &settings).unwrap();
            let runs = |text: &str| -> Vec<String> {
                let words: Vec<&str> = text.split_whitespace().collect();
                words.windows(3).map(|run| run.join(" ")).collect()
            };
            for text in &training {
                let is_shared = runs(text).iter().any(|run| evaluation.iter().any(|other| runs(other).contains(run)));
                let is_whole = !text.is_empty() && runs(text).is_empty() && evaluation.contains(text);
                prop_assert_eq!(index.check(text).is_some(), is_shared || is_whole, "{}", text);
            }
        }
    }
}
