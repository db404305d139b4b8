//! A version's rows as a Parquet file of their own, for other tools.

use super::{Tables, rows::POSITION};
use crate::{Result, error::Doing, key::TableKey};
use datafusion::prelude::{col, lit};
use deltalake::parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use futures::StreamExt;
use loopwright_types::{DatasetRef, Split};
use std::{fs::File, path::Path};

impl Tables {
    /// Writes the rows of a version, of one split or all, into a file at `path`; returns how many they are. The file holds
    /// the columns of the table without the position, compressed.
    pub async fn export_parquet(&self, version: &DatasetRef, split: Option<Split>, path: &Path) -> Result<u64> {
        let key = TableKey::Examples(version.clone());
        let writing = || format!("write `{}`", path.display());
        let session = self.session()?;
        let mut frame = self.open(&session, &key, self.require(&key).await?).await?;
        if let Some(split) = split {
            frame = frame.filter(col("split").eq(lit(split.as_str()))).doing(writing)?;
        }
        let frame = frame.sort(vec![col(POSITION).sort(true, true)]).doing(writing)?.drop_columns(&[POSITION]);
        let mut batches = frame.doing(writing)?.execute_stream().await.doing(writing)?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let file = File::create(path).doing(writing)?;
        let mut writer = ArrowWriter::try_new(file, batches.schema(), Some(properties)).doing(writing)?;
        while let Some(batch) = batches.next().await {
            writer.write(&batch.doing(writing)?).doing(writing)?;
        }
        Ok(writer.close().doing(writing)?.file_metadata().num_rows() as u64)
    }
}
