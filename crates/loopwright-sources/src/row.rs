//! What a source gives, row by row, whatever its format.

use crate::{Reads, Result};
pub use loopwright_types::conversation::{Conversation, Role, Turn};
use loopwright_types::{SourceRow, Timestamp, dataset::RejectedRow, id::SubjectId};
use serde::{Deserialize, Serialize};

/// One step of reading: a row, or a row kept aside. A file that cannot be read at all is an [`Error`](crate::Error).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Read {
    /// A readable row.
    Row(Box<Record>),
    /// A row that could not be read, with its place and the reason.
    Rejected(RejectedRow),
}

/// A row as the source has it: text in clear, nothing cleaned, people not yet pseudonyms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Stable across imports of the same source: the id column's value, or `{source}-{row_index}`.
    pub row_id: String,
    /// The file it came from: the source's name, and the path inside a folder or an archive.
    pub source: String,
    /// Position in the file, from 1, the header not counted, rejected rows counted.
    pub row_index: u64,
    /// The text; of a row with a conversation its rendering, see [`Conversation::render`].
    pub text: String,
    /// The label, if any.
    pub label: Option<String>,
    /// Whose words these are, as the source writes it. The caller turns it into a pseudonym and forgets it.
    pub subject_external: Option<String>,
    /// The group attribute for fairness figures.
    pub group: Option<String>,
    /// When it was written.
    pub at: Option<Timestamp>,
    /// The row's own licence, or that of the dataset.
    pub licence: Option<String>,
    /// What the person agreed to, or the purposes the row may serve.
    pub tags: Vec<String>,
    /// The part of the dataset that the source puts it in (`train`, `test`, …).
    pub split: Option<String>,
    /// The turns, if the row is a conversation or a preference.
    pub conversation: Option<Conversation>,
}

impl Read {
    /// About how much memory it takes, in bytes; what batches are measured by.
    pub(super) fn size_bytes(&self) -> usize {
        match self {
            Self::Rejected(row) => size_of::<RejectedRow>() + row.reason.len() + row.excerpt.len() + row.source.len(),
            Self::Row(row) => row.size_bytes(),
        }
    }
}

/// All rows of a source that fits in memory.
///
/// ```
/// use loopwright_sources::{OpenSettings, ReadRows, Spec, open_reader};
///
/// let file = b"id,text,label\n1,where is it?,track_order\n2,\"broken\n3,thanks,other\n";
/// let reads = open_reader("mail.csv", &file[..], &Spec::default(), &OpenSettings::default());
/// let read = ReadRows::of(reads, &|id| id.into())?;
/// assert_eq!(read.rows.len(), 2);
/// assert_eq!(read.rejected[0].line, 3);
/// # Ok::<(), loopwright_sources::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadRows {
    /// The readable rows, in order.
    pub rows: Vec<SourceRow>,
    /// The rows kept aside.
    pub rejected: Vec<RejectedRow>,
}

impl ReadRows {
    /// Takes them all; `subject_id` turns the name of a person into a pseudonym.
    pub fn of(reads: Reads, subject_id: &dyn Fn(&str) -> SubjectId) -> Result<Self> {
        let mut read = Self::default();
        for it in reads {
            match it? {
                Read::Row(record) => read.rows.push(record.into_source_row(subject_id)),
                Read::Rejected(row) => read.rejected.push(row),
            }
        }
        Ok(read)
    }
}

impl Record {
    /// The row as it is kept: the person becomes a pseudonym.
    pub fn into_source_row(self, subject_id: &dyn Fn(&str) -> SubjectId) -> SourceRow {
        SourceRow {
            row_id: self.row_id,
            source: self.source,
            row_index: self.row_index,
            text: self.text,
            label: self.label,
            subject: self.subject_external.map(|external| subject_id(&external)),
            group: self.group,
            at: self.at,
            licence: self.licence,
            tags: self.tags,
            conversation: self.conversation,
        }
    }

    fn size_bytes(&self) -> usize {
        let optional = [&self.label, &self.subject_external, &self.group, &self.licence, &self.split];
        let strings: usize = optional.into_iter().flatten().map(String::len).sum();
        let turns = self.conversation.iter().flat_map(Conversation::turns);
        let conversation: usize = turns.map(|turn| size_of::<Turn>() + turn.content.len()).sum();
        let tags: usize = self.tags.iter().map(String::len).sum();
        size_of::<Self>() + self.row_id.len() + self.source.len() + self.text.len() + strings + tags + conversation
    }
}
