//! Our quality filters give the verdicts of datatrove's, the library that FineWeb was made with.
//!
//! `quality/datatrove_verdicts.jsonl` holds texts on both sides of every bound with the verdicts that the real library
//! gave; its first line says which version, on which Python and Unicode. `.ci/peers/quality_texts.py cases` writes it
//! anew. Any other file of verdicts (`.ci/peers/datatrove_filters.py verdicts`) is compared when
//! `LOOPWRIGHT_DATATROVE_VERDICTS` names it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test all through; its functions unwrap and print, too")]

use loopwright_corpus::quality::{Text, c4, fineweb, gopher_quality, gopher_repetition};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Judge {
    library: String,
    version: String,
    words: String,
}

/// A document with the library's verdicts: null where it stays.
#[derive(Deserialize)]
struct Row {
    text: Option<String>,
    #[serde(default)]
    parts: Vec<(String, usize)>,
    gopher_quality: Option<String>,
    gopher_repetition: Option<String>,
    c4: Option<String>,
    /// What its C4 filter leaves, if that is not the text as it was.
    c4_text: Option<String>,
    fineweb: Option<String>,
}

/// Our reason classes by the library's reasons.
fn our_class(filter: &str, reason: &str) -> String {
    if let Some(n) = reason.strip_prefix("duplicated_").and_then(|rest| rest.strip_suffix("_n_grams")) {
        return format!("duplicate_{n}_grams");
    }
    let known = [
        ("gopher_short_doc", "few_words"),
        ("gopher_long_doc", "many_words"),
        ("gopher_below_avg_threshold", "short_words"),
        ("gopher_above_avg_threshold", "long_words"),
        ("gopher_too_many_hashes", "many_hashes"),
        ("gopher_too_many_ellipsis", "many_ellipses"),
        ("gopher_too_many_bullets", "bullet_lines"),
        ("gopher_too_many_end_ellipsis", "ellipsis_lines"),
        ("gopher_below_alpha_threshold", "few_alphabetic_words"),
        ("gopher_enough_stop_words", "few_stop_words"),
        ("dup_para_frac", "duplicate_paragraphs"),
        ("dup_para_char_frac", "duplicate_paragraph_chars"),
        ("dup_line_frac", "duplicate_lines"),
        ("dup_line_char_frac", "duplicate_line_chars"),
        ("line_punct_ratio", "unpunctuated_lines"),
        ("short_line_ratio", "short_lines"),
        ("char_dup_ratio", "duplicate_line_chars"),
        ("list_ratio", "many_newlines"),
        ("too_few_sentences", "few_sentences"),
    ];
    let same = ["empty", "top_2_gram", "top_3_gram", "top_4_gram", "lorem_ipsum", "curly_bracket"];
    let found = known.iter().find(|(theirs, _)| *theirs == reason).map(|(_, ours)| *ours);
    let found = found.or_else(|| same.into_iter().find(|it| *it == reason));
    found.unwrap_or_else(|| panic!("unknown reason `{reason}` of {filter}")).to_string()
}

#[derive(Default)]
struct Agreement {
    n_rows: usize,
    /// Per filter, rows with the same verdict and reason.
    same: BTreeMap<&'static str, usize>,
    /// Per filter, how often the library gave each reason.
    reasons: BTreeMap<(&'static str, String), usize>,
    differences: Vec<String>,
}

impl Agreement {
    fn compare(&mut self, filter: &'static str, text: &str, ours: Option<String>, theirs: &Option<String>) {
        let theirs = theirs.as_ref().map(|reason| our_class(filter, reason));
        if let Some(class) = &theirs {
            *self.reasons.entry((filter, class.clone())).or_default() += 1;
        }
        if ours == theirs {
            *self.same.entry(filter).or_default() += 1;
        } else {
            self.differences
                .push(format!("row {}: {filter}: ours {ours:?}, theirs {theirs:?}: {text:.200?}", self.n_rows));
        }
    }

    fn judge(&mut self, row: &Row) {
        let joined = || row.parts.iter().map(|(part, times)| part.repeat(*times)).collect();
        let text = row.text.clone().unwrap_or_else(joined);
        let view = Text::new(&text);
        self.n_rows += 1;
        let class = |reason: Option<loopwright_corpus::Reason>| reason.map(|it| it.class);
        let quality = class(gopher_quality::check(&view, &gopher_quality::Settings::default()));
        let repetition = class(gopher_repetition::check(&view, &gopher_repetition::Settings::default()));
        let cleaned = c4::clean(&view, &c4::Settings::default());
        self.compare("gopher_quality", &text, quality, &row.gopher_quality);
        self.compare("gopher_repetition", &text, repetition, &row.gopher_repetition);
        self.compare("fineweb", &text, class(fineweb::check(&view, &fineweb::Settings::default())), &row.fineweb);
        self.compare("c4", &text, cleaned.as_ref().err().map(|it| it.class.clone()), &row.c4);
        if let (Ok(cleaned), None) = (cleaned, &row.c4) {
            let expected = row.c4_text.as_ref().unwrap_or(&text);
            if cleaned == *expected {
                *self.same.entry("c4 text").or_default() += 1;
            } else {
                self.differences.push(format!("row {}: c4 leaves {cleaned:?}, theirs {expected:?}", self.n_rows));
            }
        }
    }
}

fn compared(path: &str) -> Agreement {
    let file = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("failed to read {path}: {error}"));
    let mut lines = file.lines();
    let judge: Judge = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!((judge.library.as_str(), judge.words.as_str()), ("datatrove", "plain"), "{path}");
    let mut agreement = Agreement::default();
    lines.for_each(|line| agreement.judge(&serde_json::from_str(line).unwrap()));
    println!("{path}: {} {}, {} documents, same: {:?}", judge.library, judge.version, agreement.n_rows, agreement.same);
    agreement
}

#[test]
fn every_bound_is_where_the_library_has_it() {
    let agreement = compared(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/quality/datatrove_verdicts.jsonl"));
    assert!(agreement.differences.is_empty(), "{}", agreement.differences.join("\n"));
    // 10 + 14 + 3 + 5 reasons, each of which some text of the fixture must meet.
    let n_of = |filter| agreement.reasons.keys().filter(|(it, _)| *it == filter).count();
    let n_reasons = ["gopher_quality", "gopher_repetition", "c4", "fineweb"].map(n_of);
    assert_eq!(n_reasons, [10, 14, 3, 5], "{:?}", agreement.reasons.keys());
}

#[test]
fn verdicts_on_other_files_are_the_same() {
    let Some(paths) = std::env::var_os("LOOPWRIGHT_DATATROVE_VERDICTS") else {
        println!("skipped: LOOPWRIGHT_DATATROVE_VERDICTS names no files of verdicts");
        return;
    };
    let agreements: Vec<_> = std::env::split_paths(&paths).map(|path| compared(path.to_str().unwrap())).collect();
    let differences: Vec<_> = agreements.into_iter().flat_map(|agreement| agreement.differences).collect();
    let shown = differences.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{} differences, the first:\n{shown}", differences.len());
}
