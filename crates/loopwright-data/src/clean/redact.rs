//! Masks personal data and secrets, the author's own identifiers with them; or puts stand-ins in their place.
//!
//! A conversation is masked turn by turn; a name that one turn gives away ("my name is …") is looked for in all of them.
//!
//! With `surrogates`, each finding becomes a stand-in drawn from a secret and the value
//! ([`loopwright_guard::Surrogates`]), so that a value has the same stand-in in every row, whatever the order of the
//! rows. Nothing is remembered between rows: should two values of one row draw the same stand-in, the second takes its
//! next draw there, and two values of different rows may share one. There is no way back.
//!
//! With `reversible` besides, every value of the dataset gets a stand-in of its own before the rows go by
//! ([`Finder`](crate::flow::Finder) gathers the values), and the dataset's [`Mapping`] knows the way back. A value that it
//! does not know is masked.

use crate::{
    Error, Result,
    rows::rewrite::{Rewritten, parts},
};
use loopwright_guard::{Finding, Mapping, PiiKind, Redactor, Surrogates};
use loopwright_types::SourceRow;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The step's name.
pub const STEP: &str = "redact";

/// What comes in place of a finding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Stand-ins instead of masks: the text stays natural, and nobody sees any more that something was replaced.
    pub surrogates: bool,
    /// Stand-ins with a way back: no two values of the dataset share one, and a mapping is kept.
    pub reversible: bool,
}

impl Settings {
    /// Refuses a way back from masks.
    pub(crate) fn check(&self) -> Result<()> {
        match self.reversible && !self.surrogates {
            true => Err(Error::setting(
                "reversible",
                "true",
                "`surrogates = true` beside it: there is no way back from masks",
            )),
            false => Ok(()),
        }
    }
}

/// Where what comes in place of a finding comes from.
#[derive(Clone, Copy)]
pub(crate) enum StandIns<'a> {
    /// Masks.
    None,
    /// Drawn from a secret, row by row.
    Drawn(&'a [u8; 32]),
    /// Those of a dataset's mapping.
    Of(&'a Mapping),
}

/// The row's findings, part by part.
pub(crate) fn findings<'r>(row: &'r SourceRow, redactor: &Redactor, known: &[String]) -> Vec<(&'r str, Vec<Finding>)> {
    let known = names_and(row, redactor, known);
    parts(row).into_iter().map(|part| (part, redactor.redact(part, &known).findings)).collect()
}

/// What a row's author goes by, and the names that a conversation gives away.
fn names_and<'k>(row: &SourceRow, redactor: &Redactor, known: &'k [String]) -> Cow<'k, [String]> {
    match row.conversation {
        None => Cow::Borrowed(known),
        Some(_) => Cow::Owned(known.iter().cloned().chain(names_in(&row.text, redactor, known)).collect()),
    }
}

/// The masked text. `known` are the identifying strings of its author.
pub fn mask(text: &str, redactor: &Redactor, known: &[String]) -> String {
    redactor.redact(text, known).text
}

/// The row with its findings masked, or replaced by stand-ins.
pub(crate) fn rewrite(
    row: &SourceRow,
    redactor: &Redactor,
    known: &[String],
    stand_ins: StandIns<'_>,
) -> Option<Rewritten> {
    let known = names_and(row, redactor, known);
    let found = |part: &str| redactor.redact(part, &known).findings;
    match stand_ins {
        StandIns::None => Rewritten::of(row, |part| mask(part, redactor, &known).into()),
        StandIns::Drawn(key) => {
            let mut surrogates = Surrogates::new(key);
            Rewritten::of(row, |part| surrogates.replace(part, &found(part)).into())
        }
        StandIns::Of(mapping) => {
            Rewritten::of(row, |part| Surrogates::replace_known(part, &found(part), mapping).into())
        }
    }
}

/// The names that a text gives away.
fn names_in(text: &str, redactor: &Redactor, known: &[String]) -> Vec<String> {
    let found = redactor.redact(text, known).findings.into_iter().filter(|finding| finding.kind == PiiKind::Person);
    found.map(|finding| text[finding.start..finding.end].to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_guard::RedactPolicy;
    use loopwright_types::{
        Conversation,
        conversation::{Role, Turn},
    };

    #[test]
    fn the_authors_own_identifiers_are_masked() {
        let redactor = Redactor::new(&RedactPolicy::default());
        let masked = |known: &[String]| mask("ana ruiz, a@b.example", &redactor, known);
        assert_eq!(masked(&["Ana Ruiz".to_string()]), "<PERSON>, <EMAIL>");
        assert_eq!(masked(&[]), "ana ruiz, <EMAIL>");
    }

    #[test]
    fn a_name_that_one_turn_gives_away_is_masked_in_all() {
        let turns = [(Role::User, "Hello, my name is Katarzyna."), (Role::Assistant, "Good morning Katarzyna!")];
        let turns = turns.map(|(role, content)| Turn::new(role, content)).to_vec();
        let conversation = Conversation::Turns(turns);
        let row = SourceRow { text: conversation.render(), conversation: Some(conversation), ..SourceRow::default() };
        let masked = rewrite(&row, &Redactor::new(&RedactPolicy::default()), &[], StandIns::None).unwrap();
        assert!(!masked.text().contains("Katarzyna"), "{}", masked.text());
        assert!(masked.text().contains("assistant: Good morning"), "{}", masked.text());
    }

    #[test]
    fn a_value_has_the_same_stand_in_in_every_row() {
        let redactor = Redactor::new(&RedactPolicy::default());
        let replaced = |text: &str, key: u8| {
            let row = SourceRow { text: text.into(), ..SourceRow::default() };
            rewrite(&row, &redactor, &[], StandIns::Drawn(&[key; 32])).unwrap().text().to_string()
        };
        let (first, second) = (replaced("write to ana@mail.example", 7), replaced("ana@mail.example wrote", 7));
        let stand_in = first.strip_prefix("write to ").unwrap();
        assert!(stand_in.contains('@') && stand_in != "ana@mail.example");
        assert_eq!(second, format!("{stand_in} wrote"));
        assert_ne!(first, replaced("write to ana@mail.example", 8));
    }

    #[test]
    fn a_step_without_settings_masks() {
        let step: crate::recipe::StepSettings = serde_json::from_str(r#"{"step":"redact"}"#).unwrap();
        assert_eq!(step, crate::recipe::StepSettings::Redact(Settings::default()));
    }
}
