//! Leaves out repetitions: texts that are equal but for case, punctuation and spacing.

use crate::draft::{Draft, Reason, StepOutput, drop_rows};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_128;

/// The step's name.
pub const STEP: &str = "exact_dedup";

/// Keeps the first row of each group of equal texts.
pub fn apply(drafts: Vec<Draft>) -> StepOutput {
    let mut first: BTreeMap<u128, usize> = BTreeMap::new();
    let firsts: Vec<usize> =
        drafts.iter().enumerate().map(|(index, draft)| *first.entry(key(&draft.row.text)).or_insert(index)).collect();
    let ids: Vec<String> = drafts.iter().map(|draft| draft.row.row_id.clone()).collect();
    drop_rows(STEP, drafts, |index, _| {
        let first = firsts[index];
        (first != index).then(|| reason(&ids[first]))
    })
}

/// Why a repetition of this row goes.
pub(crate) fn reason(first_id: &str) -> Reason {
    Reason::new("exact_duplicate", format!("same text as {first_id}"))
}

/// A 128-bit hash of the text's words in lower case: letters and digits only, one space between words.
pub fn key(text: &str) -> u128 {
    xxh3_128(words(text).as_bytes())
}

/// The words of a text in lower case, one space between them.
pub(crate) fn words(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_alphanumeric() {
            words.extend(c.to_lowercase());
        } else if !words.is_empty() && !words.ends_with(' ') {
            words.push(' ');
        }
    }
    words.truncate(words.trim_end().len());
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::SourceRow;

    #[test]
    fn the_first_of_equals_stays() {
        let row = |id: &str, text: &str| {
            Draft::new(SourceRow { row_id: id.into(), text: text.into(), ..SourceRow::default() })
        };
        let out = apply(vec![row("1", "Where is it?"), row("2", "where  is it"), row("3", "where was it")]);
        assert_eq!(out.drafts.iter().map(|draft| draft.row.row_id.as_str()).collect::<Vec<_>>(), ["1", "3"]);
        assert_eq!(out.dropped[0].reason, "same text as 1");
    }
}
