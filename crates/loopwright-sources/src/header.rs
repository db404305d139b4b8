//! The first line of a table.

use super::record::Records;

/// The delimiter (comma, semicolon or tab: the one that gives the header most fields) and the header's names.
pub(super) fn of(bytes: &[u8]) -> (u8, Vec<String>) {
    let names = |delimiter: u8| -> Vec<String> {
        let fields = Records::new(bytes, delimiter).next().map(|record| record.fields).unwrap_or_default();
        fields.iter().map(|field| String::from_utf8_lossy(field).trim().to_string()).collect()
    };
    // `max_by_key` takes the last of equals, so the comma comes last.
    let delimiters = [b'\t', b';', b','].map(|delimiter| (delimiter, names(delimiter)));
    delimiters.into_iter().max_by_key(|(_, names)| names.len()).unwrap_or((b',', Vec::new()))
}
