//! A row as the steps look at it between two changes: split into words at most once, whoever asks first.

use loopwright_corpus::quality::Text;
use loopwright_types::SourceRow;
use std::cell::OnceCell;

/// A row that does not change as long as it is viewed.
pub(crate) struct View<'r> {
    row: &'r SourceRow,
    words: OnceCell<Text<'r>>,
}

impl<'r> View<'r> {
    pub(crate) fn new(row: &'r SourceRow) -> Self {
        Self { row, words: OnceCell::new() }
    }

    /// The row.
    pub(crate) fn row(&self) -> &'r SourceRow {
        self.row
    }

    /// Its text.
    pub(crate) fn text(&self) -> &'r str {
        &self.row.text
    }

    /// Its text with its words and their counts. Neighbouring filters share them.
    pub(crate) fn words(&self) -> &Text<'r> {
        self.words.get_or_init(|| Text::new(&self.row.text))
    }
}
