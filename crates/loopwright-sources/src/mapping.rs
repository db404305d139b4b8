//! Which column is what.

use super::record::Records;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names of the columns to read. A column that is not named is looked for under its usual names (in any case); only
/// the text must be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CsvMapping {
    /// The message: `text`, `message`.
    pub text: Option<String>,
    /// The label: `label`, `category`, `intent`.
    pub label: Option<String>,
    /// The row's id: `id`, `row_id`.
    pub id: Option<String>,
    /// Whose words they are: `customer`, `subject`, `customer_id`, `user`.
    pub subject: Option<String>,
    /// The group attribute for fairness figures: `segment`, `group`.
    pub group: Option<String>,
    /// When it was written: `created_at`, `at`, `timestamp`, `date`.
    pub at: Option<String>,
}

const TEXT: [&str; 2] = ["text", "message"];
const LABEL: [&str; 3] = ["label", "category", "intent"];
const ID: [&str; 2] = ["id", "row_id"];
const SUBJECT: [&str; 4] = ["customer", "subject", "customer_id", "user"];
const GROUP: [&str; 2] = ["segment", "group"];
const AT: [&str; 4] = ["created_at", "at", "timestamp", "date"];

/// Columns named in an error message, and characters of each name.
const COLUMNS_SHOWN: usize = 12;
const NAME_CHARS_SHOWN: usize = 40;

/// Positions of the columns.
pub(super) struct Columns {
    pub(super) n_columns: usize,
    pub(super) text: usize,
    pub(super) label: Option<usize>,
    pub(super) id: Option<usize>,
    pub(super) subject: Option<usize>,
    pub(super) group: Option<usize>,
    pub(super) at: Option<usize>,
}

/// The delimiter (comma, semicolon or tab: the one that gives the header most fields) and the header's names.
pub(super) fn header(bytes: &[u8]) -> (u8, Vec<String>) {
    let names = |delimiter: u8| -> Vec<String> {
        let fields = Records::new(bytes, delimiter).next().map(|record| record.fields).unwrap_or_default();
        fields.iter().map(|field| String::from_utf8_lossy(field).trim().to_string()).collect()
    };
    // `max_by_key` takes the last of equals, so the comma comes last.
    let delimiters = [b'\t', b';', b','].map(|delimiter| (delimiter, names(delimiter)));
    delimiters.into_iter().max_by_key(|(_, names)| names.len()).unwrap_or((b',', Vec::new()))
}

impl Columns {
    pub(super) fn find(source: &str, header: &[String], mapping: &CsvMapping) -> Result<Self> {
        let missing =
            |expected: String| Error::MissingColumn { source_name: source.to_string(), expected, found: shown(header) };
        let find = |named: &Option<String>, usual: &[&str]| match named {
            Some(name) => position(header, name).map(Some).ok_or_else(|| missing(format!("`{name}`"))),
            None => Ok(usual.iter().find_map(|name| position(header, name))),
        };
        let text = find(&mapping.text, &TEXT)?.ok_or_else(|| missing(listed(TEXT, " or ")))?;
        Ok(Self {
            n_columns: header.len(),
            text,
            label: find(&mapping.label, &LABEL)?,
            id: find(&mapping.id, &ID)?,
            subject: find(&mapping.subject, &SUBJECT)?,
            group: find(&mapping.group, &GROUP)?,
            at: find(&mapping.at, &AT)?,
        })
    }

    /// What was read from where, by the header's names.
    pub(super) fn names(&self, header: &[String]) -> BTreeMap<String, String> {
        let columns = [
            ("text", Some(self.text)),
            ("label", self.label),
            ("id", self.id),
            ("subject", self.subject),
            ("group", self.group),
            ("at", self.at),
        ];
        let named = columns.into_iter().filter_map(|(role, index)| Some((role.to_string(), header[index?].clone())));
        named.collect()
    }
}

fn position(header: &[String], name: &str) -> Option<usize> {
    header.iter().position(|column| column.eq_ignore_ascii_case(name))
}

/// The header for a message: a file that is no table at all may have a header of any length.
fn shown(header: &[String]) -> String {
    let names: Vec<String> =
        header.iter().take(COLUMNS_SHOWN).map(|name| name.chars().take(NAME_CHARS_SHOWN).collect()).collect();
    let more = header.len().saturating_sub(COLUMNS_SHOWN);
    let list = listed(names.iter().map(String::as_str), ", ");
    if more > 0 { format!("{list} and {more} more") } else { list }
}

fn listed<'a>(names: impl IntoIterator<Item = &'a str>, joint: &str) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(joint)
}
