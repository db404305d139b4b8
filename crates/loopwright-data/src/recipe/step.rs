//! The steps that a recipe may have, with their settings.

use crate::{
    Result,
    clean::{
        balance, boilerplate, consent, embedding_dedup, exact_dedup, html, label_check, label_conflict, language,
        length, line_dedup, minhash, mix, near_dedup, perplexity, redact, repair, split, whitespace,
    },
    decontaminate,
    dedup::NearSettings,
};
use loopwright_corpus::{
    minhash::MinHashSettings,
    quality::{
        boilerplate as shared_lines, c4, fineweb, gopher_quality, gopher_repetition,
        rows::{chat, classification, instruction},
        symbols,
        urls::{self, UrlRules},
        words_list::{self, WordsList},
    },
};
use serde::{Deserialize, Serialize};

/// One step with its settings. [`super::operators()`] says what each does and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum StepSettings {
    /// Leaves out the rows of people who opted out.
    Consent,
    /// Undoes wrong decoding, takes out control characters, normalises to NFC.
    RepairText,
    /// Takes HTML out.
    StripHtml,
    /// Normalises white space.
    Whitespace,
    /// Leaves out empty, short, long and unlabelled rows.
    Length(length::Settings),
    /// Leaves out other languages.
    Language(language::Settings),
    /// Masks personal data and secrets, or puts stand-ins in their place.
    Redact(redact::Settings),
    /// Leaves out texts with too many symbols and digits.
    Symbols(symbols::Settings),
    /// Leaves out rows with listed addresses.
    Urls(urls::Settings),
    /// Leaves out texts with listed words.
    WordsList(words_list::Settings),
    /// Leaves out what is no text of words and sentences.
    GopherQuality(gopher_quality::Settings),
    /// Leaves out texts that repeat themselves.
    GopherRepetition(gopher_repetition::Settings),
    /// Keeps the lines that are sentences, and the texts with enough of them.
    C4(c4::Settings),
    /// Leaves out menus, lists and templates.
    #[serde(rename = "fineweb")]
    FineWeb(fineweb::Settings),
    /// Leaves out broken conversations.
    ChatRows(chat::Settings),
    /// Leaves out broken instructions with answers.
    InstructionRows(instruction::Settings),
    /// Leaves out broken texts with labels.
    ClassificationRows(classification::Settings),
    /// Leaves out texts that share a run of words with evaluation texts.
    Decontaminate(decontaminate::Settings),
    /// Leaves out texts that a language model finds too odd or too plain.
    Perplexity(perplexity::Settings),
    /// Takes lines out that many rows share.
    Boilerplate(shared_lines::Settings),
    /// Takes lines out that stand in an earlier row.
    LineDedup(line_dedup::Settings),
    /// Leaves out equal texts.
    ExactDedup,
    /// Leaves out near-duplicates among messages.
    NearDedup(NearSettings),
    /// Leaves out near-duplicates among documents.
    #[serde(rename = "minhash")]
    MinHash(MinHashSettings),
    /// Leaves out rows that say the same as another.
    EmbeddingDedup(embedding_dedup::Settings),
    /// Leaves out rows that are very likely mislabelled, by a classifier alone.
    LabelConflict(label_conflict::Settings),
    /// Leaves out rows that are probably mislabelled, by two witnesses.
    LabelCheck(label_check::Settings),
    /// Evens out labels, sources or groups by leaving rows out.
    Balance(balance::Settings),
    /// Mixes sources or labels by weight, by leaving rows out.
    Mix(mix::Settings),
    /// Deals rows into splits; always the last step.
    Split(split::Settings),
}

impl StepSettings {
    /// The step's name, as in cards and dropped rows.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Consent => consent::STEP,
            Self::RepairText => repair::STEP,
            Self::StripHtml => html::STEP,
            Self::Whitespace => whitespace::STEP,
            Self::Length(_) => length::STEP,
            Self::Language(_) => language::STEP,
            Self::Redact(_) => redact::STEP,
            Self::Symbols(_) => symbols::STEP,
            Self::Urls(_) => urls::STEP,
            Self::WordsList(_) => words_list::STEP,
            Self::GopherQuality(_) => gopher_quality::STEP,
            Self::GopherRepetition(_) => gopher_repetition::STEP,
            Self::C4(_) => c4::STEP,
            Self::FineWeb(_) => fineweb::STEP,
            Self::ChatRows(_) => chat::STEP,
            Self::InstructionRows(_) => instruction::STEP,
            Self::ClassificationRows(_) => classification::STEP,
            Self::Decontaminate(_) => decontaminate::STEP,
            Self::Perplexity(_) => perplexity::STEP,
            Self::Boilerplate(_) => shared_lines::STEP,
            Self::LineDedup(_) => line_dedup::STEP,
            Self::ExactDedup => exact_dedup::STEP,
            Self::NearDedup(_) => near_dedup::STEP,
            Self::MinHash(_) => minhash::STEP,
            Self::EmbeddingDedup(_) => embedding_dedup::STEP,
            Self::LabelConflict(_) => label_conflict::STEP,
            Self::LabelCheck(_) => label_check::STEP,
            Self::Balance(_) => balance::STEP,
            Self::Mix(_) => mix::STEP,
            Self::Split(_) => split::STEP,
        }
    }

    /// Refuses settings out of range.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Redact(settings) => settings.check(),
            Self::Urls(settings) => Ok(UrlRules::new(settings).map(drop)?),
            Self::WordsList(settings) => Ok(WordsList::new(settings).map(drop)?),
            Self::Decontaminate(settings) => settings.check(),
            Self::Perplexity(settings) => settings.check(),
            Self::Boilerplate(settings) => boilerplate::check(settings),
            Self::LineDedup(settings) => settings.check(),
            Self::NearDedup(settings) => settings.check(near_dedup::STEP),
            Self::MinHash(settings) => Ok(settings.check()?),
            Self::EmbeddingDedup(settings) => settings.check(),
            Self::LabelConflict(settings) => settings.check(),
            Self::LabelCheck(settings) => settings.check(),
            Self::Balance(settings) => settings.check(),
            Self::Mix(settings) => settings.check(),
            Self::Split(settings) => settings.check(),
            Self::Consent
            | Self::RepairText
            | Self::StripHtml
            | Self::Whitespace
            | Self::Length(_)
            | Self::Language(_)
            | Self::Symbols(_)
            | Self::GopherQuality(_)
            | Self::GopherRepetition(_)
            | Self::C4(_)
            | Self::FineWeb(_)
            | Self::ChatRows(_)
            | Self::InstructionRows(_)
            | Self::ClassificationRows(_)
            | Self::ExactDedup => Ok(()),
        }
    }

    /// Whether the step must see all rows before it can say anything about one. The others look at one row at a time.
    pub fn sees_all_rows(&self) -> bool {
        matches!(
            self,
            Self::Boilerplate(_)
                | Self::LineDedup(_)
                | Self::ExactDedup
                | Self::NearDedup(_)
                | Self::MinHash(_)
                | Self::EmbeddingDedup(_)
                | Self::LabelConflict(_)
                | Self::LabelCheck(_)
                | Self::Balance(_)
                | Self::Mix(_)
                | Self::Split(_)
        )
    }
}
