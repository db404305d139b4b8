//! A schema in a few lines, for somebody who has asked for something else and should see how the source is read.

use super::{
    format::Format,
    schema::{ColumnInfo, Schema},
    spec::Shape,
};

/// Columns that get a line each; of more, only those that are read.
const COLUMNS_SHOWN: usize = 16;

/// The source with its format and shape, then a line for each column: name, type and what it is read as.
///
/// ```text
/// sources/mail.csv: csv, flat
///   body   text     text
///   topic  text     label
///   score  integer  not read
/// ```
pub fn brief(schema: &Schema) -> String {
    let format = schema.format.map_or("unknown format", Format::as_str);
    let shape = schema.shape.map_or("no shape recognised", Shape::as_str);
    let files = if schema.n_files > 1 { format!(", {} files", schema.n_files) } else { String::new() };
    let mut told = format!("{}: {format}, {shape}{files}", schema.source);
    let roles = schema.columns.iter().map(|column| (column, schema.roles(column)));
    let (shown, hidden): (Vec<(&ColumnInfo, String)>, Vec<_>) =
        roles.partition(|(_, roles)| !roles.is_empty() || schema.columns.len() <= COLUMNS_SHOWN);
    let width = |of: fn(&ColumnInfo) -> &str| shown.iter().map(|(column, _)| of(column).chars().count()).max();
    let (names, kinds) = (width(|column| &column.name).unwrap_or(0), width(|column| &column.kind).unwrap_or(0));
    for (ColumnInfo { name, kind, .. }, roles) in &shown {
        let read_as = if roles.is_empty() { "not read" } else { roles };
        told += &format!("\n  {name:<names$}  {kind:<kinds$}  {read_as}");
    }
    if !hidden.is_empty() {
        told += &format!("\n  and {} columns that are not read", hidden.len());
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn schema(names: &[&str]) -> Schema {
        let column = |name: &&str| ColumnInfo {
            name: name.to_string(),
            kind: "text".into(),
            null_share: 0.0,
            examples: vec!["somebody's words".into()],
        };
        Schema {
            source: "mail.csv".into(),
            n_files: 1,
            format: Some(Format::Csv),
            shape: Some(Shape::Flat),
            columns: names.iter().map(column).collect(),
            mapping: BTreeMap::from([("text".into(), "body".into()), ("label".into(), "topic".into())]),
            ..Schema::default()
        }
    }

    #[test]
    fn each_column_says_what_it_is_read_as() {
        let told = brief(&schema(&["body", "topic", "score"]));
        assert_eq!(told, "mail.csv: csv, flat\n  body   text  text\n  topic  text  label\n  score  text  not read");
    }

    #[test]
    fn of_many_columns_only_those_that_are_read_are_named() {
        let names: Vec<String> = (0..30).map(|i| format!("c{i}")).chain(["body".into()]).collect();
        let told = brief(&schema(&names.iter().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(told, "mail.csv: csv, flat\n  body  text  text\n  and 30 columns that are not read");
    }

    #[test]
    fn a_guess_and_an_unknown_shape_are_told_as_such() {
        let told = brief(&Schema { is_guess: true, shape: None, n_files: 3, ..schema(&["body"]) });
        assert_eq!(told, "mail.csv: csv, no shape recognised, 3 files\n  body  text  text?");
    }
}
