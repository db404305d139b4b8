//! Rows as a Parquet file of their own, for other tools.

use crate::{Result, error::Doing};
use datafusion::arrow::{
    datatypes::{DataType, Field, Schema},
    json::{ReaderBuilder, reader::Decoder},
};
use deltalake::parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use std::{fs::File, path::Path, sync::Arc};

/// Rows turned into columns at a time.
const BATCH_ROWS: usize = 4096;

/// What a column of an exported file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// A text, or nothing.
    Text,
    /// A list of texts.
    Texts,
    /// A list of turns, each with `role` and `content`.
    Turns,
}

/// A Parquet file being written from JSON objects, one a row. Fields that an object lacks are null.
pub struct ParquetFile {
    writer: ArrowWriter<File>,
    decoder: Decoder,
    path: String,
    n_waiting: usize,
}

impl ParquetFile {
    /// Begins a file with these columns.
    pub fn create(path: &Path, columns: &[(&str, ColumnKind)]) -> Result<Self> {
        let name = path.display().to_string();
        let writing = || format!("write `{name}`");
        let fields: Vec<Field> = columns.iter().map(|(name, kind)| Field::new(*name, data_type(*kind), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let decoder = ReaderBuilder::new(schema.clone()).with_batch_size(BATCH_ROWS).build_decoder().doing(writing)?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let file = File::create(path).doing(writing)?;
        let writer = ArrowWriter::try_new(file, schema, Some(properties)).doing(writing)?;
        Ok(Self { writer, decoder, path: name, n_waiting: 0 })
    }

    /// Adds a row.
    pub fn push(&mut self, row: &serde_json::Value) -> Result<()> {
        self.decoder.serialize(&[row]).doing(|| format!("write `{}`", self.path))?;
        self.n_waiting += 1;
        if self.n_waiting == BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.n_waiting = 0;
        let writing = || format!("write `{}`", self.path);
        match self.decoder.flush().doing(writing)? {
            Some(batch) => self.writer.write(&batch).doing(writing),
            None => Ok(()),
        }
    }

    /// Ends the file; returns how many rows it has.
    pub fn finish(mut self) -> Result<u64> {
        self.flush()?;
        let ended = self.writer.close().doing(|| format!("write `{}`", self.path))?;
        Ok(ended.file_metadata().num_rows() as u64)
    }
}

fn data_type(kind: ColumnKind) -> DataType {
    let list = |item: DataType| DataType::List(Arc::new(Field::new("item", item, true)));
    match kind {
        ColumnKind::Text => DataType::Utf8,
        ColumnKind::Texts => list(DataType::Utf8),
        ColumnKind::Turns => {
            let fields = ["role", "content"].map(|name| Field::new(name, DataType::Utf8, true));
            list(DataType::Struct(fields.to_vec().into()))
        }
    }
}
