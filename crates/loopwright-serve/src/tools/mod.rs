//! Tools: how a model is told what it may call ([`told`]), how its answer is held to calls ([`held`]), and how calls are
//! heard in what it writes ([`hear`]).
//!
//! Published models write calls each in their own way; which one, their chat template tells.

mod heard;
mod held;
mod scan;
mod told;

pub use heard::hear;
pub use held::held;
pub use told::{Told, told};

/// How a model writes a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallFormat {
    /// `<tool_call>{"name": …, "arguments": …}</tool_call>`, as Hermes and Qwen do; for models that know no format of their
    /// own, too.
    #[default]
    Hermes,
    /// The answer is `{"name": …, "parameters": …}`, as Llama 3 does.
    Llama,
    /// `[TOOL_CALLS][{"name": …, "arguments": …}]`, as Mistral does.
    Mistral,
}

impl CallFormat {
    /// The format that a chat template teaches.
    pub fn of_template(source: &str) -> Self {
        if source.contains("[TOOL_CALLS]") {
            Self::Mistral
        } else if source.contains("<tool_call>") || !source.contains("\"parameters\"") {
            Self::Hermes
        } else {
            Self::Llama
        }
    }

    /// The key of a call's arguments.
    fn arguments(self) -> &'static str {
        match self {
            Self::Hermes | Self::Mistral => "arguments",
            Self::Llama => "parameters",
        }
    }
}

/// What a call begins and ends with in an answer of Hermes' format.
const BEGINS: &str = "<tool_call>";
const ENDS: &str = "</tool_call>";
/// What goes before Mistral's list of calls: a special token, which the engine passes on as this text.
pub(crate) const LIST: &str = "[TOOL_CALLS]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_tell_their_format() {
        for (source, format) in [
            ("{{ '<tool_call>' }}{\"parameters\"", CallFormat::Hermes),
            ("{\"name\": function name, \"parameters\": dictionary}", CallFormat::Llama),
            ("[TOOL_CALLS] [", CallFormat::Mistral),
            ("{{ message.content }}", CallFormat::Hermes),
        ] {
            assert_eq!(CallFormat::of_template(source), format, "{source}");
        }
    }
}
