//! A list of filters over one document: split once, judged by each in turn, dropped by the first that objects.

use super::{
    c4, fineweb, gopher_quality, gopher_repetition, symbols,
    text::Text,
    words_list::{self, WordsList},
};
use crate::{Reason, Result};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A filter with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "filter", rename_all = "snake_case", deny_unknown_fields)]
pub enum FilterSettings {
    /// Gopher's repetition rules.
    GopherRepetition(gopher_repetition::Settings),
    /// Gopher's quality rules.
    GopherQuality(gopher_quality::Settings),
    /// C4's rules; they also drop lines.
    C4(c4::Settings),
    /// FineWeb's own rules.
    #[serde(rename = "fineweb")]
    FineWeb(fineweb::Settings),
    /// Shares of symbols and digits.
    Symbols(symbols::Settings),
    /// Words of a list.
    WordsList(words_list::Settings),
}

/// Filters, ready to run.
#[derive(Clone, Debug)]
pub struct Filters {
    filters: Vec<Filter>,
}

#[derive(Clone, Debug)]
enum Filter {
    Plain(FilterSettings),
    WordsList(WordsList),
}

/// Which filter objects, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The filter's name.
    pub step: &'static str,
    /// Its reason.
    pub reason: Reason,
}

impl Filters {
    /// Prepares a list of filters. Refuses lists of words that make no sense.
    pub fn new(settings: &[FilterSettings]) -> Result<Self> {
        let prepare = |settings: &FilterSettings| {
            Ok(match settings {
                FilterSettings::WordsList(list) => Filter::WordsList(WordsList::new(list)?),
                plain => Filter::Plain(plain.clone()),
            })
        };
        Ok(Self { filters: settings.iter().map(prepare).collect::<Result<_>>()? })
    }

    /// The document as the filters leave it (borrowed if none changes it), or the first objection.
    pub fn run<'a>(&self, text: &'a str) -> std::result::Result<Cow<'a, str>, Dropped> {
        run_on(&self.filters, &Text::new(text))
    }
}

/// Runs filters over a view; what they changed is viewed anew.
fn run_on<'a>(filters: &[Filter], text: &Text<'a>) -> std::result::Result<Cow<'a, str>, Dropped> {
    for (index, filter) in filters.iter().enumerate() {
        match filter.apply(text) {
            Err(reason) => return Err(Dropped { step: filter.name(), reason }),
            Ok(Cow::Borrowed(_)) => {}
            Ok(Cow::Owned(changed)) => {
                let rest = run_on(&filters[index + 1..], &Text::new(&changed))?.into_owned();
                return Ok(Cow::Owned(rest));
            }
        }
    }
    Ok(Cow::Borrowed(text.as_str()))
}

impl Filter {
    fn name(&self) -> &'static str {
        match self {
            Self::Plain(FilterSettings::GopherRepetition(_)) => gopher_repetition::STEP,
            Self::Plain(FilterSettings::GopherQuality(_)) => gopher_quality::STEP,
            Self::Plain(FilterSettings::C4(_)) => c4::STEP,
            Self::Plain(FilterSettings::FineWeb(_)) => fineweb::STEP,
            Self::Plain(FilterSettings::Symbols(_)) => symbols::STEP,
            Self::Plain(FilterSettings::WordsList(_)) | Self::WordsList(_) => words_list::STEP,
        }
    }

    fn apply<'a>(&self, text: &Text<'a>) -> std::result::Result<Cow<'a, str>, Reason> {
        let objection = match self {
            Self::Plain(FilterSettings::C4(settings)) => return c4::clean(text, settings),
            Self::Plain(FilterSettings::GopherRepetition(settings)) => gopher_repetition::check(text, settings),
            Self::Plain(FilterSettings::GopherQuality(settings)) => gopher_quality::check(text, settings),
            Self::Plain(FilterSettings::FineWeb(settings)) => fineweb::check(text, settings),
            Self::Plain(FilterSettings::Symbols(settings)) => symbols::check(text, settings),
            Self::WordsList(list) => list.check(text.as_str()),
            Self::Plain(FilterSettings::WordsList(_)) => unreachable!("`Filters::new` prepares every list of words"),
        };
        objection.map_or(Ok(Cow::Borrowed(text.as_str())), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(json: &str) -> Vec<FilterSettings> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_first_objection_counts() {
        let filters =
            r#"[{"filter":"c4","sentences_min":1},{"filter":"symbols"},{"filter":"words_list","words":["cat"]}]"#;
        let filters = Filters::new(&list(filters)).unwrap();
        for (text, expected) in [
            ("We like dogs here.", Ok("We like dogs here.")),
            ("We like dogs here.\ncat menu", Ok("We like dogs here.")),
            ("We like cat here.", Err(("words_list", "listed_word"))),
            ("cat menu", Err(("c4", "few_sentences"))),
            ("One two 345 678.", Err(("symbols", "many_digits"))),
        ] {
            let got = filters.run(text);
            let got = got.as_ref().map(|text| text.as_ref()).map_err(|it| (it.step, it.reason.class.as_str()));
            assert_eq!(got, expected, "{text}");
        }
    }

    #[test]
    fn settings_are_checked_by_name() {
        for (json, expected) in [
            (r#"{"filter":"fineweb","short_lines_max":0.5}"#, true),
            (r#"{"filter":"fineweb","short_line_max":0.5}"#, false),
            (r#"{"filter":"gopher"}"#, false),
        ] {
            assert_eq!(serde_json::from_str::<FilterSettings>(json).is_ok(), expected, "{json}");
        }
    }
}
