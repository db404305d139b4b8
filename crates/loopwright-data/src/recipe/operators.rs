//! The catalogue of steps: what each does, and whose idea it was.

use serde::Serialize;

/// A step that a recipe may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Operator {
    /// Its name in a recipe.
    pub name: &'static str,
    /// What it does, in a line.
    pub purpose: &'static str,
    /// Where it comes from: a paper with its section, or `ours`.
    pub source: &'static str,
    /// Whether it changes texts; the others only leave rows out (or place them).
    pub changes_texts: bool,
    /// Whether it must see all rows before it can say anything about one.
    pub sees_all_rows: bool,
    /// What it needs beside the rows, if it always does.
    pub needs: Option<&'static str>,
}

/// All steps, in the order in which they are mostly used.
pub fn operators() -> &'static [Operator] {
    &OPERATORS
}

/// A step that leaves out rows by looking at one at a time.
const fn filter(name: &'static str, purpose: &'static str, source: &'static str) -> Operator {
    Operator { name, purpose, source, changes_texts: false, sees_all_rows: false, needs: None }
}

const fn change(name: &'static str, purpose: &'static str, source: &'static str) -> Operator {
    Operator { changes_texts: true, ..filter(name, purpose, source) }
}

const fn over_all(name: &'static str, purpose: &'static str, source: &'static str) -> Operator {
    Operator { sees_all_rows: true, ..filter(name, purpose, source) }
}

const fn change_over_all(name: &'static str, purpose: &'static str, source: &'static str) -> Operator {
    Operator { changes_texts: true, ..over_all(name, purpose, source) }
}

const fn with(needs: &'static str, operator: Operator) -> Operator {
    Operator { needs: Some(needs), ..operator }
}

const OPERATORS: [Operator; 30] = [
    filter("consent", "leaves out the rows of people who opted out of training", "ours"),
    change(
        "repair_text",
        "undoes wrong decoding, takes out control characters, normalises to NFC",
        "Unicode Standard Annex 15; mojibake ours",
    ),
    change("strip_html", "takes tags, comments and character references out", "HTML, sections 13.2 and 13.5"),
    change("whitespace", "one space between words, at most one line end between lines", "ours"),
    filter("length", "leaves out empty, short, long and unlabelled rows", "ours"),
    filter("urls", "leaves out rows with listed addresses", "Penedo et al. 2023 (RefinedWeb), appendix G.1"),
    filter("language", "notes the language, leaves out other ones", "whatlang, after Cavnar and Trenkle 1994"),
    filter(
        "gopher_quality",
        "leaves out what is no text of words and sentences",
        "Rae et al. 2021 (Gopher), appendix A.1.1",
    ),
    filter("gopher_repetition", "leaves out texts that repeat themselves", "Rae et al. 2021 (Gopher), Table A1"),
    change(
        "c4",
        "keeps the lines that are sentences, and texts with enough of them",
        "Raffel et al. 2020 (C4), section 2.2",
    ),
    filter("fineweb", "leaves out menus, lists and templates", "Penedo et al. 2024 (FineWeb), section 3.6"),
    filter("symbols", "leaves out texts with too many symbols and digits", "ours, after Rae et al. 2021"),
    filter("words_list", "leaves out texts with listed words", "Raffel et al. 2020 (C4), section 2.2"),
    filter("chat_rows", "leaves out broken conversations, refusals and talk of being a model", "ours"),
    filter("instruction_rows", "leaves out instructions without a good answer", "ours, after AlpacaDataCleaned 2023"),
    filter("classification_rows", "leaves out texts without words or a known label", "ours"),
    with(
        "a language model",
        filter(
            "perplexity",
            "leaves out texts that a model finds too odd or too plain",
            "Wenzek et al. 2020 (CCNet), section 3.3",
        ),
    ),
    with(
        "evaluation texts",
        filter(
            "decontaminate",
            "leaves out texts that share a run of words with evaluation texts",
            "Brown et al. 2020 (GPT-3), appendix C",
        ),
    ),
    change("redact", "masks personal data and secrets, or puts stand-ins in their place", "ours"),
    change_over_all(
        "boilerplate",
        "takes lines out that many rows share",
        "Grattafiori et al. 2024 (Llama 3), section 3.1.1",
    ),
    change_over_all(
        "line_dedup",
        "takes lines or paragraphs out that stand in an earlier row",
        "Raffel et al. 2020, section 2.2; Wenzek et al. 2020, section 3.1",
    ),
    over_all("exact_dedup", "leaves out equal texts; the first stays", "ours"),
    over_all("near_dedup", "leaves out near-duplicates among messages; the first stays", "Broder 1997"),
    over_all(
        "minhash",
        "leaves out near-duplicates among documents, by words",
        "Broder 1997; Lee et al. 2022; as datatrove",
    ),
    over_all("embedding_dedup", "leaves out rows that say the same as another", "Abbas et al. 2023 (SemDeDup)"),
    over_all(
        "label_conflict",
        "leaves out rows whose label a classifier surely contradicts",
        "Northcutt, Jiang and Chuang 2021, section 3.1",
    ),
    over_all(
        "label_check",
        "leaves out rows that a classifier and the most alike rows think mislabelled",
        "Northcutt, Jiang and Chuang 2021, section 3.2; Wilson 1972",
    ),
    over_all("balance", "evens out labels, sources or groups", "Xue et al. 2021 (mT5), section 3.1"),
    over_all("mix", "mixes sources or labels by weight", "Raffel et al. 2020 (T5), section 3.5.2"),
    over_all("split", "deals rows into train, validation and test, look-alikes together", "ours"),
];

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::recipe::{Recipe, Resources, StepSettings};
    use std::collections::BTreeSet;

    /// One of each step, in the order of the catalogue, with settings that are fine.
    pub(crate) fn every_step() -> Vec<StepSettings> {
        let step = |operator: &Operator| {
            let settings = match operator.name {
                "perplexity" => r#","max":1000.0"#,
                "mix" => r#","by":"label","weights":{"x":1.0}"#,
                _ => "",
            };
            serde_json::from_str(&format!(r#"{{"step":"{}"{settings}}}"#, operator.name))
                .unwrap_or_else(|error| panic!("`{}`: {error}", operator.name))
        };
        operators().iter().map(step).collect()
    }

    /// Fails to compile when a step is added: then add it to the catalogue, and here.
    fn number(step: &StepSettings) -> usize {
        match step {
            StepSettings::Consent => 0,
            StepSettings::RepairText => 1,
            StepSettings::StripHtml => 2,
            StepSettings::Whitespace => 3,
            StepSettings::Length(_) => 4,
            StepSettings::Urls(_) => 5,
            StepSettings::Language(_) => 6,
            StepSettings::GopherQuality(_) => 7,
            StepSettings::GopherRepetition(_) => 8,
            StepSettings::C4(_) => 9,
            StepSettings::FineWeb(_) => 10,
            StepSettings::Symbols(_) => 11,
            StepSettings::WordsList(_) => 12,
            StepSettings::ChatRows(_) => 13,
            StepSettings::InstructionRows(_) => 14,
            StepSettings::ClassificationRows(_) => 15,
            StepSettings::Perplexity(_) => 16,
            StepSettings::Decontaminate(_) => 17,
            StepSettings::Redact(_) => 18,
            StepSettings::Boilerplate(_) => 19,
            StepSettings::LineDedup(_) => 20,
            StepSettings::ExactDedup => 21,
            StepSettings::NearDedup(_) => 22,
            StepSettings::MinHash(_) => 23,
            StepSettings::EmbeddingDedup(_) => 24,
            StepSettings::LabelConflict(_) => 25,
            StepSettings::LabelCheck(_) => 26,
            StepSettings::Balance(_) => 27,
            StepSettings::Mix(_) => 28,
            StepSettings::Split(_) => 29,
        }
    }

    #[test]
    fn every_step_is_in_the_catalogue() {
        let steps = every_step();
        let numbers: BTreeSet<usize> = steps.iter().map(number).collect();
        assert_eq!(numbers, (0..=29).collect());
        for (step, operator) in steps.iter().zip(operators()) {
            assert_eq!(step.name(), operator.name);
            assert_eq!(step.sees_all_rows(), operator.sees_all_rows, "{}", operator.name);
            step.check().unwrap();
            let lacks = Recipe { steps: vec![step.clone()] }.check_resources(Resources::none()).is_err();
            assert_eq!(lacks, operator.needs.is_some(), "{}", operator.name);
            let json = serde_json::to_string(step).unwrap();
            assert_eq!(&serde_json::from_str::<StepSettings>(&json).unwrap(), step);
            // serde ignores keys beside the tag of a step that has no settings.
            let has_settings = json.contains(',');
            let unknown = format!(r#"{{"step":"{}","polish":1}}"#, operator.name);
            assert_eq!(serde_json::from_str::<StepSettings>(&unknown).is_err(), has_settings, "{unknown}");
        }
    }

    #[test]
    fn the_catalogue_can_be_shown() {
        let json = serde_json::to_value(operators()).unwrap();
        assert_eq!(json[0]["name"], "consent");
        assert!(operators().iter().all(|operator| !operator.purpose.is_empty() && !operator.source.is_empty()));
    }
}
