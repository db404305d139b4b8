//! Masks personal data and secrets, the author's own identifiers with them.

use loopwright_guard::Redactor;

/// The step's name.
pub const STEP: &str = "redact";

/// The masked text. `known` are the identifying strings of its author.
pub fn mask(text: &str, redactor: &Redactor, known: &[String]) -> String {
    redactor.redact(text, known).text
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_guard::RedactPolicy;

    #[test]
    fn the_authors_own_identifiers_are_masked() {
        let redactor = Redactor::new(&RedactPolicy::default());
        let masked = |known: &[String]| mask("ana ruiz, a@b.example", &redactor, known);
        assert_eq!(masked(&["Ana Ruiz".to_string()]), "<PERSON>, <EMAIL>");
        assert_eq!(masked(&[]), "ana ruiz, <EMAIL>");
    }
}
