//! Rows as columns: the Arrow schema of each table, and the way there and back.

use crate::{Error, Kind, Result, error::Doing};
use datafusion::arrow::{
    array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use loopwright_types::{
    Conversation, Example, SourceRow, Split, Timestamp,
    dataset::{DroppedRow, Origin, RejectedRow},
    id::{RowId, SubjectId, TraceId},
};
use std::sync::Arc;

/// Every table's first column: the row's place. Rows are read in its order; a removed row leaves a gap.
pub(super) const POSITION: &str = "position";

/// Rows turned into a batch at a time.
const BATCH_ROWS: usize = 8192;

/// A row type with its columns.
pub trait TableRow: Sized + Send + Sync {
    /// The columns after the position.
    fn fields() -> Vec<Field>;
    /// The columns that tell a row from another; an append leaves out rows that are there already.
    fn identity() -> &'static [&'static str];
    /// One array per field.
    fn to_columns(rows: &[Self]) -> Result<Vec<ArrayRef>>;
    /// The rows of a batch.
    fn from_columns(columns: &Columns<'_>) -> Result<Vec<Self>>;
}

pub(super) fn schema<R: TableRow>() -> SchemaRef {
    let mut fields = vec![Field::new(POSITION, DataType::Int64, false)];
    fields.extend(R::fields());
    Arc::new(Schema::new(fields))
}

/// Batches of these rows; positions count from `first`.
pub(super) fn to_batches<R: TableRow>(rows: &[R], first: i64) -> Result<Vec<RecordBatch>> {
    let schema = schema::<R>();
    let mut position = first;
    let mut batches = Vec::with_capacity(rows.len().div_ceil(BATCH_ROWS));
    for rows in rows.chunks(BATCH_ROWS) {
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values((position..).take(rows.len())))];
        columns.extend(R::to_columns(rows)?);
        position += rows.len() as i64;
        batches.push(RecordBatch::try_new(schema.clone(), columns).doing(|| "turn rows into columns".into())?);
    }
    Ok(batches)
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, false)
}

fn optional(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn number(name: &str) -> Field {
    Field::new(name, DataType::Int64, false)
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn optionals<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

/// Delta has signed numbers only. The bits are kept, so every value comes back as it was.
fn numbers(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(u64::cast_signed)))
}

fn instants(values: impl Iterator<Item = Option<Timestamp>>) -> Result<ArrayRef> {
    let micros = |at: Timestamp| {
        let out_of_range = || Error::new(Kind::Bug, format!("time {at} is too far off to be stored"));
        at.millis().checked_mul(1000).ok_or_else(out_of_range)
    };
    let values = values.map(|at| at.map(micros).transpose()).collect::<Result<Vec<Option<i64>>>>()?;
    Ok(Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")))
}

/// A batch's columns by name.
pub struct Columns<'a>(pub(super) &'a RecordBatch);

impl Columns<'_> {
    fn n_rows(&self) -> usize {
        self.0.num_rows()
    }

    /// A column as the type we want, whichever of its variants (such as string views) the reader chose.
    fn column<A: Array + Clone + 'static>(&self, name: &str, data_type: &DataType) -> Result<A> {
        let missing = || Error::new(Kind::Damaged, format!("the table has no column `{name}`"));
        let column = self.0.column_by_name(name).ok_or_else(missing)?;
        let column = cast(column, data_type).doing(|| format!("read column `{name}`"))?;
        let wrong = || Error::new(Kind::Bug, format!("column `{name}` was not cast to {data_type}"));
        column.as_any().downcast_ref::<A>().cloned().ok_or_else(wrong)
    }

    fn texts(&self, name: &str) -> Result<StringArray> {
        self.column(name, &DataType::Utf8)
    }

    /// The texts of a column that older tables do not have.
    fn texts_if_there(&self, name: &str) -> Result<Option<StringArray>> {
        self.0.column_by_name(name).map(|_| self.texts(name)).transpose()
    }

    fn numbers(&self, name: &str) -> Result<Int64Array> {
        self.column(name, &DataType::Int64)
    }

    fn instants(&self, name: &str) -> Result<TimestampMicrosecondArray> {
        self.column(name, &instant())
    }

    /// The position of a row of this batch.
    pub(super) fn position(&self, row: usize) -> Result<i64> {
        Ok(self.positions()?.value(row))
    }

    /// The positions of this batch's rows.
    pub(super) fn positions(&self) -> Result<Int64Array> {
        self.numbers(POSITION)
    }

    /// Every text in every column.
    pub(super) fn for_each_text(&self, mut each: impl FnMut(&str)) -> Result<()> {
        let is_text = |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        for field in self.0.schema().fields().iter().filter(|field| is_text(field.data_type())) {
            self.texts(field.name())?.iter().flatten().for_each(&mut each);
        }
        Ok(())
    }
}

fn text_at(column: &StringArray, row: usize) -> String {
    column.value(row).to_string()
}

fn optional_at(column: &StringArray, row: usize) -> Option<String> {
    column.is_valid(row).then(|| text_at(column, row))
}

fn instant_at(column: &TimestampMicrosecondArray, row: usize) -> Option<Timestamp> {
    column.is_valid(row).then(|| Timestamp(column.value(row).div_euclid(1000)))
}

/// The last columns of source rows and examples.
fn terms() -> [Field; 3] {
    [optional("licence"), optional("tags"), optional("conversation")]
}

/// Lists of words as JSON, so that every engine reads them; nothing for an empty one.
fn lists<'a>(values: impl Iterator<Item = &'a [String]>) -> ArrayRef {
    let json = |words: &[String]| (!words.is_empty()).then(|| serde_json::Value::from(words).to_string());
    Arc::new(StringArray::from_iter(values.map(json)))
}

/// Conversations as JSON.
fn conversations<'a>(values: impl Iterator<Item = Option<&'a Conversation>>) -> Result<ArrayRef> {
    let json = |it: &Conversation| serde_json::to_string(it).doing(|| "write a conversation".into());
    let values = values.map(|it| it.map(json).transpose()).collect::<Result<Vec<Option<String>>>>()?;
    Ok(Arc::new(StringArray::from(values)))
}

/// The columns of [`terms`].
struct Terms {
    licence: StringArray,
    tags: StringArray,
    conversation: StringArray,
}

impl Terms {
    fn of(columns: &Columns<'_>) -> Result<Self> {
        let [licence, tags, conversation] = ["licence", "tags", "conversation"].map(|name| columns.texts(name));
        Ok(Self { licence: licence?, tags: tags?, conversation: conversation? })
    }

    fn licence(&self, row: usize) -> Option<String> {
        optional_at(&self.licence, row)
    }

    fn tags(&self, row: usize) -> Result<Vec<String>> {
        Ok(json_at(&self.tags, row)?.unwrap_or_default())
    }

    fn conversation(&self, row: usize) -> Result<Option<Conversation>> {
        json_at(&self.conversation, row)
    }
}

fn json_at<T: serde::de::DeserializeOwned>(column: &StringArray, row: usize) -> Result<Option<T>> {
    if column.is_null(row) {
        return Ok(None);
    }
    let wrong = |error| Error::new(Kind::Damaged, format!("a row's column does not read as JSON: {error}"));
    serde_json::from_str(column.value(row)).map(Some).map_err(wrong)
}

fn number_at(column: &Int64Array, row: usize) -> u64 {
    column.value(row).cast_unsigned()
}

impl TableRow for SourceRow {
    fn fields() -> Vec<Field> {
        let at = Field::new("at", instant(), true);
        let (row_id, source, index) = (text("row_id"), text("source"), number("row_index"));
        let whose = [optional("label"), optional("subject"), optional("group"), at];
        [row_id, source, index, text("text")].into_iter().chain(whose).chain(terms()).collect()
    }

    fn identity() -> &'static [&'static str] {
        &["row_id"]
    }

    fn to_columns(rows: &[Self]) -> Result<Vec<ArrayRef>> {
        Ok(vec![
            texts(rows.iter().map(|row| row.row_id.as_str())),
            texts(rows.iter().map(|row| row.source.as_str())),
            numbers(rows.iter().map(|row| row.row_index)),
            texts(rows.iter().map(|row| row.text.as_str())),
            optionals(rows.iter().map(|row| row.label.as_deref())),
            optionals(rows.iter().map(|row| row.subject.as_ref().map(SubjectId::as_str))),
            optionals(rows.iter().map(|row| row.group.as_deref())),
            instants(rows.iter().map(|row| row.at))?,
            optionals(rows.iter().map(|row| row.licence.as_deref())),
            lists(rows.iter().map(|row| row.tags.as_slice())),
            conversations(rows.iter().map(|row| row.conversation.as_ref()))?,
        ])
    }

    fn from_columns(columns: &Columns<'_>) -> Result<Vec<Self>> {
        let (row_id, source, row_index) =
            (columns.texts("row_id")?, columns.texts("source")?, columns.numbers("row_index")?);
        let (text, label) = (columns.texts("text")?, columns.texts("label")?);
        let (subject, group, at) = (columns.texts("subject")?, columns.texts("group")?, columns.instants("at")?);
        let terms = Terms::of(columns)?;
        let row = |i| {
            Ok(SourceRow {
                row_id: text_at(&row_id, i),
                source: text_at(&source, i),
                row_index: number_at(&row_index, i),
                text: text_at(&text, i),
                label: optional_at(&label, i),
                subject: optional_at(&subject, i).map(SubjectId),
                group: optional_at(&group, i),
                at: instant_at(&at, i),
                licence: terms.licence(i),
                tags: terms.tags(i)?,
                conversation: terms.conversation(i)?,
            })
        };
        (0..columns.n_rows()).map(row).collect()
    }
}

impl TableRow for Example {
    fn fields() -> Vec<Field> {
        let who = [optional("subject"), optional("group")];
        let what = [text("row_id"), text("text"), text("label"), text("split")];
        let whence = [text("language"), number("cluster"), text("source"), text("origin"), optional("origin_trace")];
        let at = [Field::new("at", instant(), true)];
        let generator = [optional("origin_generator")];
        what.into_iter().chain(who).chain(whence).chain(at).chain(terms()).chain(generator).collect()
    }

    fn identity() -> &'static [&'static str] {
        &["row_id"]
    }

    fn to_columns(rows: &[Self]) -> Result<Vec<ArrayRef>> {
        Ok(vec![
            texts(rows.iter().map(|row| row.row_id.as_str())),
            texts(rows.iter().map(|row| row.text.as_str())),
            texts(rows.iter().map(|row| row.label.as_str())),
            texts(rows.iter().map(|row| row.split.as_str())),
            optionals(rows.iter().map(|row| row.subject.as_ref().map(SubjectId::as_str))),
            optionals(rows.iter().map(|row| row.group.as_deref())),
            texts(rows.iter().map(|row| row.language.as_str())),
            numbers(rows.iter().map(|row| row.cluster)),
            texts(rows.iter().map(|row| row.source.as_str())),
            texts(rows.iter().map(|row| origin_word(&row.origin))),
            optionals(rows.iter().map(|row| origin_trace(&row.origin))),
            instants(rows.iter().map(|row| row.at))?,
            optionals(rows.iter().map(|row| row.licence.as_deref())),
            lists(rows.iter().map(|row| row.tags.as_slice())),
            conversations(rows.iter().map(|row| row.conversation.as_ref()))?,
            optionals(rows.iter().map(|row| origin_generator(&row.origin))),
        ])
    }

    fn from_columns(columns: &Columns<'_>) -> Result<Vec<Self>> {
        let (row_id, text, label) = (columns.texts("row_id")?, columns.texts("text")?, columns.texts("label")?);
        let (split, language, cluster) =
            (columns.texts("split")?, columns.texts("language")?, columns.numbers("cluster")?);
        let (subject, group, source) = (columns.texts("subject")?, columns.texts("group")?, columns.texts("source")?);
        let (origin, trace) = (columns.texts("origin")?, columns.texts("origin_trace")?);
        let (at, terms) = (columns.instants("at")?, Terms::of(columns)?);
        let generator = columns.texts_if_there("origin_generator")?;
        let generator = |i| generator.as_ref().and_then(|column| optional_at(column, i));
        let row = |i| {
            Ok(Example {
                row_id: RowId(text_at(&row_id, i)),
                text: text_at(&text, i),
                label: text_at(&label, i),
                split: split.value(i).parse::<Split>().map_err(|problem| Error::new(Kind::Damaged, problem))?,
                subject: optional_at(&subject, i).map(SubjectId),
                group: optional_at(&group, i),
                language: text_at(&language, i),
                cluster: number_at(&cluster, i),
                source: text_at(&source, i),
                origin: origin_from(origin.value(i), optional_at(&trace, i), generator(i))?,
                at: instant_at(&at, i),
                licence: terms.licence(i),
                tags: terms.tags(i)?,
                conversation: terms.conversation(i)?,
            })
        };
        (0..columns.n_rows()).map(row).collect()
    }
}

fn origin_word(origin: &Origin) -> &'static str {
    match origin {
        Origin::Source => "source",
        Origin::Correction { .. } => "correction",
        Origin::Augmented { .. } => "augmented",
    }
}

/// What it was made of: a trace, or a row.
fn origin_trace(origin: &Origin) -> Option<&str> {
    match origin {
        Origin::Source => None,
        Origin::Correction { trace } => Some(trace.as_str()),
        Origin::Augmented { parent, .. } => Some(parent.as_str()),
    }
}

fn origin_generator(origin: &Origin) -> Option<&str> {
    match origin {
        Origin::Source | Origin::Correction { .. } => None,
        Origin::Augmented { generator, .. } => Some(generator),
    }
}

fn origin_from(word: &str, trace: Option<String>, generator: Option<String>) -> Result<Origin> {
    match (word, trace, generator) {
        ("source", None, None) => Ok(Origin::Source),
        ("correction", Some(trace), None) => Ok(Origin::Correction { trace: TraceId(trace) }),
        ("augmented", Some(parent), Some(generator)) => Ok(Origin::Augmented { parent: RowId(parent), generator }),
        _ => Err(Error::new(
            Kind::Damaged,
            format!("a row's origin reads `{word}`, which does not fit what it was made of"),
        )),
    }
}

impl TableRow for DroppedRow {
    fn fields() -> Vec<Field> {
        vec![text("row_id"), text("step"), text("reason"), optional("subject")]
    }

    fn identity() -> &'static [&'static str] {
        &["row_id"]
    }

    fn to_columns(rows: &[Self]) -> Result<Vec<ArrayRef>> {
        Ok(vec![
            texts(rows.iter().map(|row| row.row_id.as_str())),
            texts(rows.iter().map(|row| row.step.as_str())),
            texts(rows.iter().map(|row| row.reason.as_str())),
            optionals(rows.iter().map(|row| row.subject.as_ref().map(SubjectId::as_str))),
        ])
    }

    fn from_columns(columns: &Columns<'_>) -> Result<Vec<Self>> {
        let (row_id, step) = (columns.texts("row_id")?, columns.texts("step")?);
        let (reason, subject) = (columns.texts("reason")?, columns.texts("subject")?);
        let row = |i| DroppedRow {
            row_id: RowId(text_at(&row_id, i)),
            step: text_at(&step, i),
            reason: text_at(&reason, i),
            subject: optional_at(&subject, i).map(SubjectId),
        };
        Ok((0..columns.n_rows()).map(row).collect())
    }
}

impl TableRow for RejectedRow {
    fn fields() -> Vec<Field> {
        vec![text("source"), number("line"), text("reason"), text("excerpt")]
    }

    fn identity() -> &'static [&'static str] {
        &["source", "line"]
    }

    fn to_columns(rows: &[Self]) -> Result<Vec<ArrayRef>> {
        Ok(vec![
            texts(rows.iter().map(|row| row.source.as_str())),
            numbers(rows.iter().map(|row| row.line)),
            texts(rows.iter().map(|row| row.reason.as_str())),
            texts(rows.iter().map(|row| row.excerpt.as_str())),
        ])
    }

    fn from_columns(columns: &Columns<'_>) -> Result<Vec<Self>> {
        let (source, line) = (columns.texts("source")?, columns.numbers("line")?);
        let (reason, excerpt) = (columns.texts("reason")?, columns.texts("excerpt")?);
        let row = |i| RejectedRow {
            source: text_at(&source, i),
            line: number_at(&line, i),
            reason: text_at(&reason, i),
            excerpt: text_at(&excerpt, i),
        };
        Ok((0..columns.n_rows()).map(row).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables written before rows had generators lack the column.
    #[test]
    fn examples_of_older_tables_are_read() {
        let row = Example { row_id: "a".into(), language: "eng".into(), ..Example::default() };
        let made = Origin::Augmented { parent: "a".into(), generator: "noise".into() };
        let made = Example { row_id: "a~noise-1".into(), origin: made, ..row.clone() };
        let rows = |batch: &RecordBatch| Example::from_columns(&Columns(batch));
        let batch = to_batches(&[row.clone(), made.clone()], 0).unwrap().remove(0);
        assert_eq!(rows(&batch).unwrap(), [row.clone(), made]);
        let mut older = to_batches(std::slice::from_ref(&row), 0).unwrap().remove(0);
        older.remove_column(older.num_columns() - 1);
        assert_eq!(rows(&older).unwrap(), [row]);
    }
}
