//! Why a document is left out.

/// Why a row or a document is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Reason class, counted in the card.
    pub class: String,
    /// The reason for this row, with its figures.
    pub text: String,
}

impl Reason {
    /// A reason of a class, in words.
    pub fn new(class: &str, text: impl Into<String>) -> Self {
        Self { class: class.to_string(), text: text.into() }
    }
}
