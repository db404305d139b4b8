//! From a format's rows to records: the file's layout found, ids made, odd rows put aside.

use super::{
    EXCERPT_CHARS,
    failure::{Flow, Halt},
    format::{Format, Packing},
    hub,
    row::{Read, Record},
    shape::Layout,
    sink::{Column, Fields, FileSink, RowSink, Taken},
    spec::Spec,
};
use crate::Error;
use loopwright_types::dataset::RejectedRow;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use xxhash_rust::xxh3::xxh3_64;

/// Takes what was read, and hears which file is being read.
pub(super) trait Out {
    /// Where the bytes of the files are counted.
    fn taken(&self) -> Taken;
    /// A file begins.
    fn begin(&mut self, file: &str) -> Flow;
    /// A row or a rejected row.
    fn give(&mut self, read: Read) -> Flow;
}

/// What the listing knows of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) split: Option<String>,
    pub(super) licence: Option<String>,
}

/// Makes records of all files of a source.
pub(super) struct Shaping<'a> {
    spec: &'a Spec,
    out: &'a mut dyn Out,
    columns_max: usize,
    record_bytes_max: usize,
    ids: Ids,
    facts: Facts,
    /// The first file that declared its columns, and its layout.
    agreed: Option<(String, Layout)>,
    file: OpenFile,
}

/// The file whose rows come now.
#[derive(Default)]
struct OpenFile {
    name: String,
    split: Option<String>,
    n_rows: u64,
    layout: Option<Layout>,
    /// Keys seen so far, where no columns are declared.
    keys: BTreeSet<String>,
    is_declared: bool,
    /// Why the first rows told no layout.
    unfit: Option<Error>,
}

/// So many first rows of a file may be odd before the file is given up.
const UNFIT_ROWS_MAX: u64 = 100;

impl<'a> Shaping<'a> {
    pub(super) fn new(spec: &'a Spec, limits: &super::Limits, out: &'a mut dyn Out) -> Self {
        let ids = Ids { seen: HashMap::new(), max: limits.ids_checked_max };
        let (columns_max, record_bytes_max) = (limits.columns_max, limits.record_bytes_max);
        let (facts, file) = (Facts::default(), OpenFile::default());
        Self { spec, out, columns_max, record_bytes_max, ids, facts, agreed: None, file }
    }

    /// What is known of the next file of the listing.
    pub(super) fn know(&mut self, facts: Facts) {
        self.facts = facts;
    }

    /// Ends a file: one of whose rows none had the needed columns is an error.
    pub(super) fn end_file(&mut self) -> Flow {
        match self.file.unfit.take() {
            Some(error) if self.file.layout.is_none() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Puts a row aside that tells no layout, as long as there is hope for a better one.
    fn wait(&mut self, line: u64, fields: Fields) -> Flow {
        if self.file.n_rows >= UNFIT_ROWS_MAX {
            self.end_file()?;
        }
        let reason = "it has none of the columns that hold texts or conversations".to_string();
        self.reject(line, reason, Value::Object(fields).to_string().as_bytes())
    }

    /// Looks for the layout again when a row brings a key that none before had.
    fn learn(&mut self, fields: &Fields) -> Result<(), Halt> {
        if self.file.is_declared || fields.keys().all(|key| self.file.keys.contains(key)) {
            return Ok(());
        }
        let room = self.columns_max.saturating_sub(self.file.keys.len());
        let new: Vec<String> = fields.keys().filter(|key| !self.file.keys.contains(*key)).take(room).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        self.file.keys.extend(new);
        let names: Vec<&str> = self.file.keys.iter().map(String::as_str).collect();
        let found = Layout::find(&self.file.name, &names, self.spec);
        match &self.file.layout {
            None => match found {
                Ok(found) => self.agree(found, false),
                Err(error) => {
                    self.file.unfit.get_or_insert(error);
                    Ok(())
                }
            },
            // The first row told the shape; later ones may bring more columns, not another shape.
            Some(layout) => {
                if let Some(found) = found.ok().filter(|found| found.shape == layout.shape || found.is_text()) {
                    self.file.layout = Some(found);
                }
                Ok(())
            }
        }
    }

    /// Takes a layout for this file, if it fits to the first file's.
    fn agree(&mut self, layout: Layout, is_declared: bool) -> Flow {
        match &self.agreed {
            None => self.agreed = Some((self.file.name.clone(), layout.clone())),
            Some((first, agreed)) => {
                let misfit = match is_declared {
                    true => agreed.misfit(&layout, &self.file.name, first),
                    false => agreed.other_shape(&layout, &self.file.name, first),
                };
                if let Some(failure) = misfit {
                    return Err(failure.into());
                }
            }
        }
        self.file.layout = Some(layout);
        Ok(())
    }

    fn finish(&mut self, mut record: Record) -> Record {
        let file = &self.file;
        let own_id = std::mem::take(&mut record.row_id);
        record.row_id = match own_id.is_empty() {
            true => format!("{}-{}", file.name, file.n_rows),
            false => self.ids.unique(own_id, file.n_rows),
        };
        record.source = file.name.clone();
        record.row_index = file.n_rows;
        record.split = file.split.clone();
        record.licence = record.licence.take().or_else(|| self.facts.licence.clone());
        record.tags.extend(self.spec.tags.iter().cloned());
        record
    }
}

impl FileSink for Shaping<'_> {
    fn taken(&self) -> Taken {
        self.out.taken()
    }

    fn begin_file(&mut self, name: &str, _: Format, _: Option<Packing>) -> Flow<&mut dyn RowSink> {
        self.end_file()?;
        let split = self.facts.split.clone().or_else(|| hub::split_of(name.rsplit('/').next().unwrap_or(name)));
        self.file = OpenFile { name: name.to_string(), split, ..OpenFile::default() };
        self.out.begin(name)?;
        Ok(self)
    }
}

impl RowSink for Shaping<'_> {
    fn columns(&mut self, columns: &[Column]) -> Flow<Option<Vec<String>>> {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let layout = Layout::find(&self.file.name, &names, self.spec)?;
        let wanted = layout.roots();
        self.agree(layout, true)?;
        self.file.is_declared = true;
        Ok(Some(wanted))
    }

    fn row(&mut self, line: u64, fields: Fields) -> Flow {
        self.learn(&fields)?;
        let Some(layout) = &self.file.layout else { return self.wait(line, fields) };
        match layout.record(&fields) {
            // The readers of text have looked already; a table's cells come here as they are.
            Ok(record) if record.text.len() > self.record_bytes_max => {
                let reason = format!("the text is longer than {} bytes (`record_bytes_max`)", self.record_bytes_max);
                self.reject(line, reason, record.text.as_bytes())
            }
            Ok(record) => {
                self.file.n_rows += 1;
                let record = self.finish(record);
                self.out.give(Read::Row(Box::new(record)))
            }
            Err(reason) => self.reject(line, reason, Value::Object(fields).to_string().as_bytes()),
        }
    }

    fn reject(&mut self, line: u64, reason: String, raw: &[u8]) -> Flow {
        self.file.n_rows += 1;
        // A character has at most four bytes.
        let start = &raw[..raw.len().min(4 * EXCERPT_CHARS)];
        let excerpt = String::from_utf8_lossy(start).chars().take(EXCERPT_CHARS).collect();
        self.out.give(Read::Rejected(RejectedRow { source: self.file.name.clone(), line, reason, excerpt }))
    }
}

/// Tells repeated ids apart: the second `a` is `a~2`.
struct Ids {
    /// By the id's hash, how often it came; a hash is enough, since a clash only costs a `~2`.
    seen: HashMap<u64, u32>,
    max: usize,
}

impl Ids {
    fn unique(&mut self, id: String, row_index: u64) -> String {
        let hash = xxh3_64(id.as_bytes());
        if self.seen.len() >= self.max && !self.seen.contains_key(&hash) {
            return format!("{id}@{row_index}");
        }
        let n = self.seen.entry(hash).or_default();
        *n += 1;
        if *n > 1 { format!("{id}~{n}") } else { id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_apart_and_their_memory_is_bounded() {
        let mut ids = Ids { seen: HashMap::new(), max: 2 };
        let given = ["a", "a", "b", "c", "a"].map(|id| ids.unique(id.to_string(), 7));
        assert_eq!(given, ["a", "a~2", "b", "c@7", "a~3"]);
    }
}
