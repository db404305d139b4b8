//! Whole recipes by name, for kinds of rows and for the well-known corpora.
//!
//! | name | for | filters, in their published order | source |
//! |---|---|---|---|
//! | `support` | labelled messages of a support desk | length, language, label check | ours: [`Recipe::default`] |
//! | `classification` | labelled texts in any language | `classification_rows`, label check | ours |
//! | `chat` | conversations and preferences | `chat_rows` | ours |
//! | `instruction` | instructions with answers | `instruction_rows` | ours |
//! | `gopher` | English web text | Gopher's quality, then repetition | Rae et al. 2021, appendix A.1.1 |
//! | `c4` | English web text | C4's lines, language, repeated lines | Raffel et al. 2020, section 2.2 |
//! | `fineweb` | English web text | language, Gopher's repetition and quality, C4's, FineWeb's | Penedo et al. 2024, section 3 |
//!
//! Recipes for text keep its line ends, which their filters look at, ask for no label, and mask last, as FineWeb did. None
//! has lists of words or addresses: add `words_list` and `urls` with your own.

use super::{Recipe, StepSettings};
use crate::clean::{language, length, line_dedup, redact};
use loopwright_corpus::quality::{filters::FilterSettings, presets};

/// The names that [`Recipe::named`] knows.
pub const NAMES: [&str; 7] = ["classification", "gopher", "c4", "fineweb", "chat", "instruction", "support"];

impl Recipe {
    /// A whole recipe by its name, one of [`NAMES`].
    ///
    /// ```
    /// use loopwright_data::recipe::{NAMES, Recipe};
    ///
    /// for name in NAMES {
    ///     Recipe::named(name).expect("it is one of the names").check()?;
    /// }
    /// assert_eq!(Recipe::named("support"), Some(Recipe::default()));
    /// # Ok::<(), loopwright_data::Error>(())
    /// ```
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "support" => Self::default(),
            "classification" => labelled(),
            "chat" => of_turns(StepSettings::ChatRows(Default::default())),
            "instruction" => of_turns(StepSettings::InstructionRows(Default::default())),
            "gopher" => of_text(filters(presets::gopher()).collect()),
            "c4" => {
                let repeated = StepSettings::LineDedup(line_dedup::Settings::default());
                of_text(filters(presets::c4()).chain([english(), repeated]).collect())
            }
            "fineweb" => of_text([english()].into_iter().chain(filters(presets::fineweb())).collect()),
            _ => return None,
        })
    }
}

fn labelled() -> Recipe {
    let steps = vec![
        StepSettings::Consent,
        StepSettings::RepairText,
        StepSettings::StripHtml,
        StepSettings::Whitespace,
        StepSettings::ClassificationRows(Default::default()),
        any_language(),
        StepSettings::Redact(redact::Settings::default()),
        StepSettings::ExactDedup,
        StepSettings::NearDedup(Default::default()),
        StepSettings::LabelConflict(Default::default()),
        StepSettings::Split(Default::default()),
    ];
    Recipe { steps }
}

/// White space and markup stay as they are: turns hold code.
fn of_turns(rule: StepSettings) -> Recipe {
    let steps = vec![
        StepSettings::Consent,
        StepSettings::RepairText,
        rule,
        any_language(),
        StepSettings::Redact(redact::Settings::default()),
        StepSettings::ExactDedup,
        StepSettings::MinHash(Default::default()),
        StepSettings::Split(Default::default()),
    ];
    Recipe { steps }
}

fn of_text(filters: Vec<StepSettings>) -> Recipe {
    let empty = length::Settings { labelled: false, chars_min: 1, chars_max: CHARS_MAX, words_min: 1 };
    let before = [StepSettings::Consent, StepSettings::RepairText, StepSettings::Length(empty)];
    let after = [
        StepSettings::ExactDedup,
        StepSettings::MinHash(Default::default()),
        StepSettings::Redact(redact::Settings::default()),
        StepSettings::Split(Default::default()),
    ];
    Recipe { steps: before.into_iter().chain(filters).chain(after).collect() }
}

/// Longest text, in characters: Gopher's 100,000 words of at most ten characters.
const CHARS_MAX: usize = 1_100_000;

fn english() -> StepSettings {
    StepSettings::Language(language::Settings::default())
}

/// Notes each row's language and keeps all of them.
fn any_language() -> StepSettings {
    StepSettings::Language(language::Settings { keep: Vec::new(), ..Default::default() })
}

/// Filters as steps.
fn filters(settings: Vec<FilterSettings>) -> impl Iterator<Item = StepSettings> {
    settings.into_iter().map(|filter| match filter {
        FilterSettings::GopherRepetition(settings) => StepSettings::GopherRepetition(settings),
        FilterSettings::GopherQuality(settings) => StepSettings::GopherQuality(settings),
        FilterSettings::C4(settings) => StepSettings::C4(settings),
        FilterSettings::FineWeb(settings) => StepSettings::FineWeb(settings),
        FilterSettings::Symbols(settings) => StepSettings::Symbols(settings),
        FilterSettings::WordsList(settings) => StepSettings::WordsList(settings),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_whole_recipe() {
        for name in NAMES {
            let recipe = Recipe::named(name).unwrap_or_else(|| panic!("no recipe `{name}`"));
            recipe.check().unwrap();
            recipe.check_resources(super::super::Resources::none()).unwrap();
            let names: Vec<&str> = recipe.steps.iter().map(StepSettings::name).collect();
            assert_eq!(names[..2], ["consent", "repair_text"], "{name}");
            for expected in ["exact_dedup", "redact", "split"] {
                assert!(names.contains(&expected), "{name} lacks {expected}");
            }
            assert!(names.contains(&"near_dedup") != names.contains(&"minhash"), "{name}: {names:?}");
        }
        assert_eq!(Recipe::named("other"), None);
    }

    #[test]
    fn recipes_for_text_keep_line_ends_and_need_no_label() {
        for name in ["gopher", "c4", "fineweb"] {
            for step in Recipe::named(name).unwrap().steps {
                assert_ne!(step, StepSettings::Whitespace, "{name}");
                if let StepSettings::Length(length) = step {
                    assert!(!length.labelled, "{name}");
                }
            }
        }
    }

    #[test]
    fn filters_keep_their_published_order() {
        let names =
            |name: &str| -> Vec<&str> { Recipe::named(name).unwrap().steps.iter().map(|step| step.name()).collect() };
        assert_eq!(names("gopher")[3..5], ["gopher_quality", "gopher_repetition"]);
        assert_eq!(names("fineweb")[3..8], ["language", "gopher_repetition", "gopher_quality", "c4", "fineweb"]);
        assert_eq!(names("c4")[3..6], ["c4", "language", "line_dedup"]);
    }
}
