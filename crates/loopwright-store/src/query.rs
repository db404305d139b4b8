//! What can be asked of the records.

use loopwright_types::{
    Timestamp,
    id::{SubjectId, TraceId},
};

/// Which documents of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Only those in this state.
    pub state: Option<String>,
    /// Only those whose id starts like this.
    pub id_prefix: Option<String>,
    /// In the order they were first written, or the reverse.
    pub newest_first: bool,
    /// At most so many.
    pub limit: u32,
    /// Skip so many.
    pub offset: u32,
}

impl Default for ListQuery {
    /// The newest 1000.
    fn default() -> Self {
        Self { state: None, id_prefix: None, newest_first: true, limit: 1000, offset: 0 }
    }
}

/// Which traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceQuery {
    /// Only of this route.
    pub route: Option<String>,
    /// Only answered by this variant.
    pub variant: Option<String>,
    /// Only with this tag.
    pub tag: Option<String>,
    /// Only of this person.
    pub subject: Option<SubjectId>,
    /// Only with this in the input or the output; upper and lower case of ASCII letters are the same.
    pub text_contains: Option<String>,
    /// Only from this time on.
    pub since: Option<Timestamp>,
    /// Only before this time.
    pub until: Option<Timestamp>,
    /// Only these.
    pub ids: Option<Vec<TraceId>>,
    /// By time of arrival, or the reverse.
    pub newest_first: bool,
    /// At most so many (not used by a count).
    pub limit: u32,
    /// Skip so many (not used by a count).
    pub offset: u32,
}

impl Default for TraceQuery {
    /// The newest 100.
    fn default() -> Self {
        Self {
            route: None,
            variant: None,
            tag: None,
            subject: None,
            text_contains: None,
            since: None,
            until: None,
            ids: None,
            newest_first: true,
            limit: 100,
            offset: 0,
        }
    }
}

/// Which feedback; in the order it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedbackQuery {
    /// Only on this trace.
    pub trace: Option<TraceId>,
    /// Only on traces with this tag.
    pub tag: Option<String>,
    /// Only where the right label is given.
    pub corrections_only: bool,
    /// At most so many.
    pub limit: u32,
    /// Skip so many.
    pub offset: u32,
}

impl Default for FeedbackQuery {
    /// The first 1000.
    fn default() -> Self {
        Self { trace: None, tag: None, corrections_only: false, limit: 1000, offset: 0 }
    }
}

/// Which way to look along edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To what was made of it.
    Down,
    /// To what it was made of.
    Up,
}
