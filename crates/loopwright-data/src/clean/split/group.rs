//! Whole groups in one split.

use super::deal;
use crate::draft::Draft;
use loopwright_types::{Split, id::SubjectId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What makes a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// The author: nobody's words are judged by a model that learned from the same person's words.
    #[default]
    Subject,
    /// The group attribute.
    Group,
    /// The source.
    Source,
}

impl GroupBy {
    /// The group of a row with this author, group attribute and source; none if the row has none.
    pub fn key<'a>(self, subject: Option<&'a SubjectId>, group: Option<&'a str>, source: &'a str) -> Option<&'a str> {
        match self {
            Self::Subject => subject.map(SubjectId::as_str),
            Self::Group => group,
            Self::Source => Some(source),
        }
    }
}

/// The split of each row: its group's. A row without a group is a group of its own.
pub(super) fn splits(drafts: &[Draft], by: GroupBy, shares: &[(Split, f64)], seed: u64) -> Vec<Option<Split>> {
    let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
    let mut next = 0;
    let groups: Vec<u64> = drafts
        .iter()
        .map(|draft| {
            next += 1;
            let row = &draft.row;
            let key = by.key(row.subject.as_ref(), row.group.as_deref(), &row.source);
            key.map_or(next, |key| *numbers.entry(key).or_insert(next))
        })
        .collect();
    let rows: Vec<(u64, &str)> = groups.iter().copied().zip(drafts.iter().map(Draft::label)).collect();
    let dealt = deal(&rows, shares, seed);
    groups.iter().map(|group| dealt.get(group).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::SourceRow;

    #[test]
    fn rows_without_a_group_stand_alone() {
        let row =
            |group: Option<&str>| Draft::new(SourceRow { group: group.map(str::to_string), ..SourceRow::default() });
        let mut drafts: Vec<Draft> = (0..30).map(|_| row(None)).collect();
        drafts.extend((0..10).map(|_| row(Some("g"))));
        let splits = splits(&drafts, GroupBy::Group, &[(Split::Train, 0.5), (Split::Test, 0.5)], 3);
        let n_train = splits.iter().filter(|split| **split == Some(Split::Train)).count();
        assert_eq!(n_train, 20);
        assert!(splits[30..].iter().all(|split| *split == splits[30]));
    }
}
