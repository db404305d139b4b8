//! One space between words, at most one line break between lines, nothing at the ends.

/// The step's name.
pub const STEP: &str = "whitespace";

/// The text with each run of spaces (of any width) as one space, and each run of line breaks as one line break.
pub fn normalise(text: &str) -> String {
    let lines = text.split(['\n', '\r']).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_shrink_and_ends_are_trimmed() {
        assert_eq!(normalise("  a\t\u{a0} b \r\n\r\n  c\u{2003}d \n"), "a b\nc d");
        assert_eq!(normalise(" \n "), "");
    }
}
