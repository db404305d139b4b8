//! An instruction and its answer: both there, the answer more than a place-holder or an echo.

use super::phrases;
use crate::{
    Reason,
    quality::bounds::{fewer, more},
};
use serde::{Deserialize, Serialize};

/// The step's name.
pub const STEP: &str = "instruction_rows";

/// Answers that stand for a missing one (kinds of errors that AlpacaDataCleaned, 2023, found in Alpaca's data).
const PLACE_HOLDERS: [&str; 8] = ["n/a", "na", "nan", "none", "null", "noinput", "nooutput", "todo"];

/// The bounds. All are our choice: they cut off what is broken, not what is good or bad.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Fewest characters of an instruction (3).
    pub instruction_chars_min: usize,
    /// Fewest characters of an answer (1: not empty; labels and numbers are good answers).
    pub answer_chars_min: usize,
    /// Most characters of instruction and answer together (50,000, some 12,000 tokens).
    pub chars_max: usize,
    /// Whether an answer may be a place-holder such as `N/A`.
    pub place_holders_may_stay: bool,
    /// Whether answers may refuse or speak of being a model.
    pub refusals_may_stay: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            instruction_chars_min: 3,
            answer_chars_min: 1,
            chars_max: 50_000,
            place_holders_may_stay: false,
            refusals_may_stay: false,
        }
    }
}

/// The first rule that a row breaks, if any.
pub fn check(instruction: &str, answer: &str, settings: &Settings) -> Option<Reason> {
    let (instruction, answer) = (instruction.trim(), answer.trim());
    let (n_asked, n_answered) = (instruction.chars().count(), answer.chars().count());
    fewer("short_instruction", "characters in the instruction", n_asked, settings.instruction_chars_min)
        .or_else(|| fewer("empty_answer", "characters in the answer", n_answered, settings.answer_chars_min))
        .or_else(|| more("too_long", "characters", n_asked + n_answered, settings.chars_max))
        .or_else(|| (instruction == answer).then(|| Reason::new("echo", "the answer is the instruction again")))
        .or_else(|| if settings.place_holders_may_stay { None } else { place_holder(answer) })
        .or_else(|| if settings.refusals_may_stay { None } else { phrases::check(answer) })
}

fn place_holder(answer: &str) -> Option<Reason> {
    let bare = answer.trim_matches(|c: char| c.is_ascii_punctuation()).to_lowercase();
    let found = bare.is_empty() && answer.starts_with('.') || PLACE_HOLDERS.contains(&bare.as_str());
    found.then(|| Reason::new("place_holder", format!("the answer is `{answer}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_reason() {
        let settings = Settings { chars_max: 60, ..Settings::default() };
        let long = "x".repeat(60);
        for (instruction, answer, expected) in [
            ("Name a colour.", "Blue", None),
            ("What is 2 + 2?", "4", None),
            ("?", "4", Some("short_instruction")),
            ("Name a colour.", " \n", Some("empty_answer")),
            (&long, "4", Some("too_long")),
            ("Name a colour.", "Name a colour. ", Some("echo")),
            ("Name a colour.", "<noinput>", Some("place_holder")),
            ("Name a colour.", "N/A.", Some("place_holder")),
            ("Name a colour.", "...", Some("place_holder")),
            ("Name an operator.", "+", None),
            ("Name a colour.", "I cannot assist with this.", Some("refusal")),
        ] {
            let class = check(instruction, answer, &settings).map(|reason| reason.class);
            assert_eq!(class.as_deref(), expected, "{instruction} {answer}");
        }
    }
}
