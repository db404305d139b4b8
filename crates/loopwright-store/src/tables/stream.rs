//! Tables larger than memory: written row by row into the next generation, read batch by batch.

use super::{
    Tables, WriteLock,
    generation::{DataFile, Generation},
    rows::{self, Columns, POSITION, TableRow},
};
use crate::{Result, error::Doing, key::TableKey};
use datafusion::prelude::col;
use futures::{Stream, StreamExt, TryStreamExt};
use loopwright_types::{
    DatasetRef, Example, SourceRow,
    dataset::{DroppedRow, RejectedRow},
};
use std::{marker::PhantomData, sync::Arc};

/// The right to write tables: whoever else wants to write waits as long as it lives.
#[derive(Clone)]
pub struct Writing {
    tables: Tables,
    _lock: Arc<WriteLock>,
}

/// Writes the next generation of a table. Until [`finish`](Self::finish), readers see the one before; without it,
/// nothing has changed, and [`abandon`](Self::abandon) leaves nothing behind.
pub struct TableWriter<R> {
    writing: Writing,
    key: TableKey,
    generation: Generation,
    file: DataFile,
    next_position: i64,
    _rows: PhantomData<fn(R)>,
}

impl Writing {
    /// Begins to write a dataset's source rows anew.
    pub async fn source_rows(&self, key: &TableKey) -> Result<TableWriter<SourceRow>> {
        self.begin(super::raw(key)?).await
    }

    /// Begins to write the lines of a dataset's sources that could not be read.
    pub async fn rejected(&self, key: &TableKey) -> Result<TableWriter<RejectedRow>> {
        self.begin(super::rejected(key)?).await
    }

    /// Begins to write the rows of a dataset version.
    pub async fn examples(&self, version: &DatasetRef) -> Result<TableWriter<Example>> {
        self.begin(&TableKey::Examples(version.clone())).await
    }

    /// Begins to write the rows left out of a dataset version.
    pub async fn dropped(&self, version: &DatasetRef) -> Result<TableWriter<DroppedRow>> {
        self.begin(&TableKey::Dropped(version.clone())).await
    }

    async fn begin<R: TableRow>(&self, key: &TableKey) -> Result<TableWriter<R>> {
        let generation = self.tables.clear_next(key).await?;
        let file = self.tables.data_file(key, generation, 0, rows::schema::<R>())?;
        let (writing, key) = (self.clone(), key.clone());
        Ok(TableWriter { writing, key, generation, file, next_position: 1, _rows: PhantomData })
    }
}

impl<R: TableRow> TableWriter<R> {
    /// Adds rows behind those that came before.
    pub async fn push(&mut self, rows: &[R]) -> Result<()> {
        for batch in rows::to_batches(rows, self.next_position)? {
            self.file.write(&batch, &self.key).await?;
        }
        self.next_position += rows.len() as i64;
        Ok(())
    }

    /// Makes the rows the table; returns how many they are.
    pub async fn finish(self) -> Result<u64> {
        let Self { writing, key, generation, file, next_position, .. } = self;
        writing.tables.commit(&key, generation, &rows::schema::<R>(), file).await?;
        writing.tables.remove_older(&key, generation).await?;
        Ok((next_position - 1) as u64)
    }

    /// Gives the rows up: the table stays as it was.
    pub async fn abandon(self) -> Result<()> {
        let Self { writing, key, generation, file, .. } = self;
        file.abandon().await;
        writing.tables.remove_generation(&key, generation).await
    }
}

impl Tables {
    /// Asks for the right to write, to write one or several tables row by row.
    pub async fn writing(&self) -> Result<Writing> {
        Ok(Writing { tables: self.clone(), _lock: Arc::new(self.write_lock().await?) })
    }

    /// Removes every file of every table that its current rows do not need, what killed writes of tables that never
    /// came to be left there, too.
    pub async fn vacuum_all(&self) -> Result<()> {
        let _lock = self.write_lock().await?;
        for key in self.keys_found().await? {
            self.remove_unused(&key).await?;
        }
        Ok(())
    }

    /// A dataset's source rows in batches, in the order they were written.
    pub async fn stream_source_rows(
        &self,
        key: &TableKey,
    ) -> Result<impl Stream<Item = Result<Vec<SourceRow>>> + Send + use<>> {
        self.stream(super::raw(key)?).await
    }

    /// The rows of a dataset version in batches, in the order they were written.
    pub async fn stream_examples(
        &self,
        version: &DatasetRef,
    ) -> Result<impl Stream<Item = Result<Vec<Example>>> + Send + use<>> {
        self.stream(&TableKey::Examples(version.clone())).await
    }

    /// How many bytes a table's rows take: nothing of them is packed, so it is about as much in memory.
    pub async fn size_bytes(&self, key: &TableKey) -> Result<u64> {
        let table = self.load(key, self.require(key).await?).await?;
        let files = table.snapshot().doing(|| format!("open the {key}"))?.log_data();
        Ok(files.into_iter().map(|file| file.size().unsigned_abs()).sum())
    }

    /// How many rows a table has.
    pub async fn count_rows(&self, key: &TableKey) -> Result<u64> {
        let counting = || format!("count the {key}");
        let session = self.session()?;
        let frame = self.open(&session, key, self.require(key).await?).await?;
        Ok(frame.count().await.doing(counting)? as u64)
    }

    async fn stream<R: TableRow + 'static>(
        &self,
        key: &TableKey,
    ) -> Result<impl Stream<Item = Result<Vec<R>>> + Send + use<R>> {
        let reading = format!("read the {key}");
        let session = self.session()?;
        let generation = self.require(key).await?;
        let mut frame = self.open(&session, key, generation).await?;
        // One file holds its rows in order; several are put in order, on disk where they are many.
        if self.n_files(key, generation).await? > 1 {
            frame = frame.sort(vec![col(POSITION).sort(true, true)]).doing(|| reading.clone())?;
        }
        let batches = frame.execute_stream().await.doing(|| reading.clone())?;
        let rows = batches.map(move |batch| {
            // The session's folder for spilled rows must live as long as the stream.
            let _session = &session;
            R::from_columns(&Columns(&batch.doing(|| reading.clone())?))
        });
        Ok(rows.try_filter(|rows| std::future::ready(!rows.is_empty())))
    }
}
