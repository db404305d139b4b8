//! What a source looks like: format, shape, columns, and how we would read it.
//!
//! [`infer`] looks at the first rows of the first file, at most [`SAMPLE_ROWS`] of them or [`SAMPLE_BYTES`], so it takes
//! the same time for a file of any size. What it proposes is what [`open`](super::open) does by itself; where `open`
//! would refuse for want of a text column, it proposes the column with the longest texts.

use super::{
    Limits, child,
    failure::{Flow, Halt},
    file, files,
    format::{Format, Packing},
    hub,
    shape::Layout,
    sink::{Column, Fields, FileSink, Job, RowSink},
    source,
    spec::{OpenSettings, Shape, Spec},
    unpack::Bytes,
};
use crate::Error;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, fmt, io};

/// Rows looked at.
pub const SAMPLE_ROWS: usize = 1000;
/// Bytes of rows looked at.
pub const SAMPLE_BYTES: usize = 4 << 20;
/// Examples of a column, and characters of each.
const EXAMPLES: usize = 3;
const EXAMPLE_CHARS: usize = 32;

/// What a source looks like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The source's name.
    pub source: String,
    /// Its files.
    pub n_files: usize,
    /// The file that was looked into.
    pub file: String,
    /// That file's format.
    pub format: Option<Format>,
    /// The packing around it.
    pub packing: Option<Packing>,
    /// The shape of its rows; none if no column holds what a row needs.
    pub shape: Option<Shape>,
    /// The licence that the dataset names.
    pub licence: Option<String>,
    /// The parts that names or front matter tell.
    pub splits: Vec<String>,
    /// Columns, as declared, or by name.
    pub columns: Vec<ColumnInfo>,
    /// Role to column.
    pub mapping: BTreeMap<String, String>,
    /// Whether the mapping is a guess that has to be given to `open` in its settings.
    pub is_guess: bool,
    /// Rows looked at.
    pub n_rows: usize,
    /// Rows among them that could not be read.
    pub n_rejected: usize,
    /// Why the first of those could not.
    pub first_rejection: Option<String>,
    /// Why looking ended early.
    pub trouble: Option<String>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// Its type: as declared, or what all its values are.
    pub kind: String,
    /// The share of rows without a value, 0 to 1.
    pub null_share: f64,
    /// First different values, shortened.
    pub examples: Vec<String>,
}

/// Looks at a source.
pub fn infer(spec: &Spec, settings: &OpenSettings) -> Result<Schema, Error> {
    match &settings.child {
        Some(command) => child::infer(command.command(), spec, &settings.limits),
        None => look(spec, &settings.limits),
    }
}

/// Looks at a stream under a name, as [`open_reader`](super::open_reader) reads it.
pub fn infer_reader(
    name: &str,
    reader: impl io::Read + Send + 'static,
    spec: &Spec,
    settings: &OpenSettings,
) -> Result<Schema, Error> {
    match &settings.child {
        Some(command) => child::infer_reader(command.command(), name, reader, spec, &settings.limits),
        None => look_at_stream(name, Box::new(reader), spec, &settings.limits),
    }
}

/// Looks at a source in this process.
pub(super) fn look(spec: &Spec, limits: &Limits) -> Result<Schema, Error> {
    let found = files::list(spec, limits)?;
    let mut sample = Sample::default();
    let first = &found[0];
    let trouble = trouble(source::read_found(first, spec, limits, &mut sample), &sample)?;
    let mut splits: Vec<String> = found.iter().filter_map(|file| file.split.clone()).collect();
    splits.sort();
    splits.dedup();
    let source = files::source_name(spec);
    let about =
        Schema { source, n_files: found.len(), splits, licence: first.licence.clone(), trouble, ..Schema::default() };
    Ok(sample.describe(about, &first.name, spec))
}

/// Looks at a stream in this process.
pub(super) fn look_at_stream(name: &str, stream: Bytes<'_>, spec: &Spec, limits: &Limits) -> Result<Schema, Error> {
    let mut sample = Sample::default();
    let job = Job { name, spec, limits, depth: 0, first_offset: 0 };
    let trouble = trouble(file::read_file(job, stream, None, &mut sample), &sample)?;
    let splits = hub::split_of(source::file_name(name)).into_iter().collect();
    let about = Schema { source: name.to_string(), n_files: 1, splits, trouble, ..Schema::default() };
    Ok(sample.describe(about, name, spec))
}

/// Why looking ended early; an error if nothing was seen before.
fn trouble(end: Flow, sample: &Sample) -> Result<Option<String>, Error> {
    match end {
        Err(Halt::Failed(error)) if sample.n_rows == 0 => Err(error),
        Err(Halt::Failed(error)) => Ok(Some(error.to_string())),
        Ok(()) | Err(Halt::Dropped) => Ok(None),
    }
}

/// The rows looked at so far.
#[derive(Default)]
struct Sample {
    file: Option<String>,
    format: Option<Format>,
    packing: Option<Packing>,
    columns: Vec<Seen>,
    n_rows: usize,
    n_bytes: usize,
    n_rejected: usize,
    first_rejection: Option<String>,
}

/// What was seen of a column.
#[derive(Default)]
struct Seen {
    name: String,
    declared: String,
    n_values: usize,
    n_chars: usize,
    kinds: BTreeMap<&'static str, usize>,
    examples: Vec<String>,
}

impl Seen {
    fn see(&mut self, value: &Value) {
        let kind = kind(value);
        if kind == "null" {
            return;
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        self.n_values += 1;
        self.n_chars += if value.is_string() { text.chars().count() } else { 0 };
        *self.kinds.entry(kind).or_default() += 1;
        let example = shortened(&text);
        if self.examples.len() < EXAMPLES && !self.examples.contains(&example) {
            self.examples.push(example);
        }
    }

    fn info(&self, n_rows: usize) -> ColumnInfo {
        let kind = match self.kinds.keys().copied().collect::<Vec<_>>()[..] {
            _ if !self.declared.is_empty() => self.declared.clone(),
            [] => "empty".into(),
            [one] => one.into(),
            ["integer", "number"] => "number".into(),
            // In a table without types a text among numbers makes a text column; in JSON the mixture is worth telling.
            ref several => format!("mixed: {}", several.join(", ")),
        };
        let null_share = if n_rows == 0 { 0.0 } else { 1.0 - self.n_values as f64 / n_rows as f64 };
        ColumnInfo { name: self.name.clone(), kind, null_share, examples: self.examples.clone() }
    }
}

impl Sample {
    /// Says what was seen in the file of this name.
    fn describe(self, about: Schema, name: &str, spec: &Spec) -> Schema {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let (shape, mapping, is_guess) = match Layout::find(name, &names, spec) {
            Ok(layout) => {
                let columns = layout.columns.into_iter().map(|(role, name)| (role.to_string(), name));
                (Some(layout.shape), columns.collect(), false)
            }
            Err(_) => (None, self.longest().map(|name| ("text".to_string(), name)).into_iter().collect(), true),
        };
        Schema {
            columns: self.columns.iter().map(|column| column.info(self.n_rows)).collect(),
            file: self.file.unwrap_or_else(|| name.to_string()),
            format: self.format,
            packing: self.packing,
            shape,
            mapping,
            is_guess,
            n_rows: self.n_rows,
            n_rejected: self.n_rejected,
            first_rejection: self.first_rejection,
            ..about
        }
    }

    /// The column with the longest texts.
    fn longest(&self) -> Option<String> {
        let texts = self.columns.iter().filter(|column| column.n_chars > 0);
        let mean = |column: &&Seen| column.n_chars * 1000 / column.n_values.max(1);
        texts.max_by_key(mean).map(|column| column.name.clone())
    }

    fn column(&mut self, name: &str) -> &mut Seen {
        let index = self.columns.iter().position(|column| column.name == name).unwrap_or_else(|| {
            self.columns.push(Seen { name: name.to_string(), ..Seen::default() });
            self.columns.len() - 1
        });
        &mut self.columns[index]
    }

    /// Ends the look when enough was seen.
    fn go_on(&self) -> Flow {
        let is_enough = self.n_rows + self.n_rejected >= SAMPLE_ROWS || self.n_bytes >= SAMPLE_BYTES;
        if is_enough { Err(Halt::Dropped) } else { Ok(()) }
    }
}

impl FileSink for Sample {
    fn begin_file(&mut self, name: &str, format: Format, packing: Option<Packing>) -> Flow<&mut dyn RowSink> {
        if self.format.is_none() {
            (self.file, self.format, self.packing) = (Some(name.to_string()), Some(format), packing);
        }
        Ok(self)
    }
}

impl RowSink for Sample {
    fn columns(&mut self, columns: &[Column]) -> Flow<Option<Vec<String>>> {
        for column in columns {
            self.column(&column.name).declared.clone_from(&column.kind);
        }
        Ok(None)
    }

    fn row(&mut self, _line: u64, fields: Fields) -> Flow {
        let is_untyped = self.format == Some(Format::Csv);
        for (name, value) in &fields {
            self.n_bytes += name.len() + value.as_str().map_or(16, str::len);
            let value = if is_untyped { typed(value) } else { value.clone() };
            self.column(name).see(&value);
        }
        self.n_rows += 1;
        self.go_on()
    }

    fn reject(&mut self, line: u64, reason: String, _raw: &[u8]) -> Flow {
        self.n_rejected += 1;
        self.first_rejection.get_or_insert_with(|| format!("line {line}: {reason}"));
        self.go_on()
    }
}

/// A value of a table without types as what it looks like; an empty one is none.
fn typed(value: &Value) -> Value {
    let text = value.as_str().map(str::trim).unwrap_or_default();
    match text {
        "" => Value::Null,
        "true" | "false" | "True" | "False" => Value::Bool(text.eq_ignore_ascii_case("true")),
        _ => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) => Value::from(number),
            (_, Ok(number)) if number.is_finite() => Value::from(number),
            _ => value.clone(),
        },
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// One line, shortened.
fn shortened(text: &str) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let start: String = chars.by_ref().take(EXAMPLE_CHARS).collect();
    if chars.next().is_some() { format!("{start}…") } else { start }
}

impl fmt::Display for Schema {
    /// A page for a terminal: what the source is, then a table of its columns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = if self.n_files == 1 { String::new() } else { format!(", the first of {} files", self.n_files) };
        let packing = self.packing.map_or(String::new(), |packing| format!(" in {packing:?}").to_lowercase());
        let format = self.format.map_or("unknown", Format::as_str);
        writeln!(f, "source   {}{files}", self.file)?;
        writeln!(f, "format   {format}{packing}")?;
        let shape = self.shape.map_or("none recognised: name the text column, see below", Shape::as_str);
        writeln!(f, "shape    {shape}")?;
        if let Some(licence) = &self.licence {
            writeln!(f, "licence  {licence}")?;
        }
        if !self.splits.is_empty() {
            writeln!(f, "parts    {}", self.splits.join(", "))?;
        }
        writeln!(f, "sample   {} rows, {} rejected", self.n_rows, self.n_rejected)?;
        for trouble in self.first_rejection.iter().chain(&self.trouble) {
            writeln!(f, "         {trouble}")?;
        }
        writeln!(f)?;
        self.table(f)?;
        match self.mapping.get("text") {
            Some(text) if self.is_guess => {
                writeln!(f, "\nhint: if `{text}` holds the text, set `text = \"{text}\"` in the mapping")
            }
            _ => Ok(()),
        }
    }
}

impl Schema {
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["column", "type", "empty", "read as", "examples"].map(str::to_string)];
        for column in &self.columns {
            let roles = self.roles(column);
            let empty = format!("{:.0} %", column.null_share * 100.0);
            rows.push([column.name.clone(), column.kind.clone(), empty, roles, column.examples.join(" | ")]);
        }
        let widths = [0, 1, 2, 3].map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0));
        for row in &rows {
            let cells: Vec<String> =
                widths.iter().zip(row).map(|(width, cell)| format!("{cell:<width$}")).chain([row[4].clone()]).collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }

    /// What a column is read as; nothing, if it is not.
    pub(super) fn roles(&self, column: &ColumnInfo) -> String {
        let roles = self.mapping.iter().filter(|(_, name)| name.split('.').next() == Some(&column.name));
        let roles: Vec<&str> = roles.map(|(role, _)| role.as_str()).collect();
        let sure = if self.is_guess && !roles.is_empty() { "?" } else { "" };
        roles.join(", ") + sure
    }
}
