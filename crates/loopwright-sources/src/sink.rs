//! What the readers of formats and the takers of rows say to each other.

use super::{
    failure::Flow,
    format::{Format, Packing},
    limits::Limits,
    spec::Spec,
};
use serde_json::{Map, Value};
use std::sync::{Arc, atomic::AtomicU64};

/// A row before anybody knows what its columns mean.
pub(super) type Fields = Map<String, Value>;

/// A column that a format declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// The type's word; empty where the format has no types.
    pub(super) kind: String,
}

/// Takes the rows of one file: to make records of them, or to look at a sample.
pub(super) trait RowSink {
    /// The declared columns, before the first row. The answer names those that are wanted, or none for all.
    fn columns(&mut self, columns: &[Column]) -> Flow<Option<Vec<String>>>;
    /// A row; `line` is where it begins, from 1 (its number, where a format has no lines).
    fn row(&mut self, line: u64, fields: Fields) -> Flow;
    /// A row that could not be read.
    fn reject(&mut self, line: u64, reason: String, raw: &[u8]) -> Flow;
}

/// Bytes that were taken from the files of a source, as they lie there.
pub(super) type Taken = Arc<AtomicU64>;

/// Takes the files of a source, one after the other.
pub(super) trait FileSink {
    /// Where bytes are counted, for whoever waits.
    fn taken(&self) -> Taken {
        Taken::default()
    }
    /// A file begins; its rows go to what comes back.
    fn begin_file(&mut self, name: &str, format: Format, packing: Option<Packing>) -> Flow<&mut dyn RowSink>;
}

/// What a format's reader needs to know.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    /// The file's name in the source.
    pub(super) name: &'a str,
    pub(super) spec: &'a Spec,
    pub(super) limits: &'a Limits,
    /// Archives around this file.
    pub(super) depth: usize,
    /// Bytes of the file before the stream (a byte order mark), so that places count from the file's start.
    pub(super) first_offset: u64,
}

impl Job<'_> {
    /// Why something is too long, with the limit's name.
    pub(super) fn too_long(&self, what: &str) -> String {
        format!("{what} is longer than {} bytes (`record_bytes_max`)", self.limits.record_bytes_max)
    }
}

/// A sink that keeps everything, for the tests of the readers.
#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::{Error, failure::Halt};

    /// What a reader gave.
    #[derive(Debug, Default)]
    pub(crate) struct Kept {
        pub(crate) n_rows: usize,
        pub(crate) fields: Vec<Fields>,
        /// Line and fields as JSON.
        pub(crate) rows: Vec<String>,
        pub(crate) rejected: Vec<(u64, String)>,
        pub(crate) columns: Vec<Column>,
        pub(crate) error: Option<Error>,
    }

    impl Kept {
        pub(crate) fn of(read: impl FnOnce(&mut dyn RowSink) -> Flow) -> Self {
            let mut kept = Self::default();
            if let Err(Halt::Failed(error)) = read(&mut kept) {
                kept.error = Some(error);
            }
            kept
        }
    }

    impl RowSink for Kept {
        fn columns(&mut self, columns: &[Column]) -> Flow<Option<Vec<String>>> {
            self.columns = columns.to_vec();
            Ok(None)
        }

        fn row(&mut self, line: u64, fields: Fields) -> Flow {
            self.n_rows += 1;
            // Enough for every assertion, and little where a test reads many.
            if self.rows.len() < 1000 {
                self.rows.push(format!("{line} {}", Value::Object(fields.clone())));
                self.fields.push(fields);
            }
            Ok(())
        }

        fn reject(&mut self, line: u64, reason: String, _raw: &[u8]) -> Flow {
            self.rejected.push((line, reason));
            Ok(())
        }
    }
}
