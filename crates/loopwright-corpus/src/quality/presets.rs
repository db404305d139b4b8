//! Named lists of filters, as the corpora were made that gave them their names, and rules for rows by their kind.
//!
//! | name | what runs | source |
//! |---|---|---|
//! | `gopher` | Gopher's quality rules, then its repetition rules | Rae et al. 2021, appendix A.1.1 |
//! | `c4` | C4's rules | Raffel et al. 2020, section 2.2 |
//! | `fineweb` | Gopher's repetition and quality rules, C4's without the end of lines, FineWeb's own | Penedo et al. 2024, section 3 |
//! | `chat`, `instruction`, `classification` | the rules of [`super::rows`] | ours |

use super::{
    c4,
    filters::FilterSettings,
    fineweb, gopher_quality, gopher_repetition,
    rows::{chat, classification, instruction},
};

/// A preset: filters for documents, or rules for one kind of row.
#[derive(Clone, Debug, PartialEq)]
pub enum Preset {
    /// For text to be learned as it stands; run with [`super::filters::Filters`].
    Documents(Vec<FilterSettings>),
    /// For conversations.
    Chat(chat::Settings),
    /// For instructions with answers.
    Instruction(instruction::Settings),
    /// For texts with labels.
    Classification(classification::Settings),
}

/// The names that [`named`] knows.
pub const NAMES: [&str; 6] = ["gopher", "c4", "fineweb", "chat", "instruction", "classification"];

/// A preset by its name.
pub fn named(name: &str) -> Option<Preset> {
    Some(match name {
        "gopher" => Preset::Documents(gopher()),
        "c4" => Preset::Documents(c4()),
        "fineweb" => Preset::Documents(fineweb()),
        "chat" => Preset::Chat(chat::Settings::default()),
        "instruction" => Preset::Instruction(instruction::Settings::default()),
        "classification" => Preset::Classification(classification::Settings::default()),
        _ => return None,
    })
}

/// Gopher's rules, in the order of its paper.
pub fn gopher() -> Vec<FilterSettings> {
    vec![
        FilterSettings::GopherQuality(gopher_quality::Settings::default()),
        FilterSettings::GopherRepetition(gopher_repetition::Settings::default()),
    ]
}

/// C4's rules. For its list of bad words, add a [`super::words_list`] of your own.
pub fn c4() -> Vec<FilterSettings> {
    vec![FilterSettings::C4(c4::Settings::default())]
}

/// The rules and the order that FineWeb was made with.
pub fn fineweb() -> Vec<FilterSettings> {
    vec![
        FilterSettings::GopherRepetition(gopher_repetition::Settings::default()),
        FilterSettings::GopherQuality(gopher_quality::Settings::default()),
        FilterSettings::C4(c4::Settings { lines_end_sentences: false, ..c4::Settings::default() }),
        FilterSettings::FineWeb(fineweb::Settings::default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::filters::Filters;

    #[test]
    fn every_name_has_its_preset() {
        for name in NAMES {
            let preset = named(name).unwrap_or_else(|| panic!("no preset `{name}`"));
            if let Preset::Documents(settings) = preset {
                assert!(Filters::new(&settings).is_ok(), "{name}");
            }
        }
        assert_eq!(named("other"), None);
    }
}
