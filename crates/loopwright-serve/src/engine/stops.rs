//! Finding stop texts in an answer that arrives in pieces.

/// Holds back text that may be the beginning of a stop text, until it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopScan {
    /// Each with its place in the request.
    stops: Vec<(u32, String)>,
    held: String,
}

impl StopScan {
    /// A scan for these texts, none of them empty.
    pub(crate) fn new(stops: Vec<String>) -> Self {
        Self { stops: (0..).zip(stops).filter(|(_, stop)| !stop.is_empty()).collect(), held: String::new() }
    }

    /// Takes new text; returns what may be sent, and which stop text was found, if one was (it is not part of the answer).
    pub(crate) fn push(&mut self, text: &str) -> (String, Option<u32>) {
        self.held.push_str(text);
        let first = self.stops.iter().filter_map(|(index, stop)| Some((self.held.find(stop.as_str())?, *index))).min();
        if let Some((at, index)) = first {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), Some(index));
        }
        let keep = self.stops.iter().map(|(_, stop)| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        (std::mem::replace(&mut self.held, rest), None)
    }

    /// What was held back, once nothing more will come.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// A whole text up to the first of these texts.
pub(crate) fn cut(stops: &[String], text: &str) -> String {
    let mut scan = StopScan::new(stops.to_vec());
    let (mut kept, stopped) = scan.push(text);
    if stopped.is_none() {
        kept.push_str(&scan.finish());
    }
    kept
}

/// Length in bytes of the longest end of `text` that a whole `stop` could begin with.
pub(crate) fn overlap(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len().saturating_sub(1));
    (1..=longest).rev().find(|n| stop.is_char_boundary(*n) && text.ends_with(&stop[..*n])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent of `pieces`, whole, and whether it was stopped.
    fn check(stops: &[&str], pieces: &[&str], expected: &str, stopped: bool) {
        let mut scan = StopScan::new(stops.iter().map(|stop| stop.to_string()).collect());
        let mut sent = String::new();
        for piece in pieces {
            let (text, stop) = scan.push(piece);
            sent.push_str(&text);
            if stop.is_some() {
                assert_eq!((sent.as_str(), true), (expected, stopped));
                return;
            }
        }
        sent.push_str(&scan.finish());
        assert_eq!((sent.as_str(), false), (expected, stopped));
    }

    #[test]
    fn stop_texts_are_found_across_pieces_and_left_out() {
        check(&["\n\n"], &["a\n", "\nb"], "a", true);
        check(&["END"], &["x E", "N", "D y"], "x ", true);
        check(&["END"], &["x E", "N", "T"], "x ENT", false);
        check(&["aab"], &["aaa", "b"], "a", true);
        check(&["späß"], &["so sp", "ä", "ß!"], "so ", true);
        check(&[], &["a", "b"], "ab", false);
        check(&["ENDING"], &["EN", "D"], "END", false);
    }

    #[test]
    fn the_first_of_several_wins() {
        check(&["later", "l"], &["some later"], "some ", true);
        check(&["x", "me"], &["some x"], "so", true);
    }

    #[test]
    fn it_is_told_which_stop_was_found() {
        let mut scan = StopScan::new(["", "later", "END"].map(str::to_string).to_vec());
        assert_eq!(scan.push("an END and later"), ("an ".into(), Some(2)));
    }

    #[test]
    fn text_that_cannot_be_a_stop_is_sent_at_once() {
        let mut scan = StopScan::new(vec!["STOP".into()]);
        assert_eq!(scan.push("go on"), ("go on".into(), None));
        assert_eq!(scan.push(" ST"), (" ".into(), None));
        assert_eq!(scan.push("ART"), ("START".into(), None));
    }
}
