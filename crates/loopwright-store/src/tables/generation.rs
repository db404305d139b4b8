//! Generations of a table: how a write is atomic and a deletion leaves nothing behind.
//!
//! A table's folder holds one folder per generation, `g00000001`, `g00000002`, …; each is a Delta table of its own.
//! Readers take the highest generation whose log has its first entry, and a write makes the next one: data files
//! first, the log entry last, in one atomic step. Killed before that step, the write has changed nothing, and the next
//! write clears its leftovers; killed after it, the older generation is only in the way, and the next write or vacuum
//! removes it. Nothing here renames folders, so it works the same on stores that have none.

use super::{Tables, rows::POSITION};
use crate::{Error, Kind, Result, error::Doing, key::TableKey, objects::remove_dir};
use datafusion::{
    arrow::{
        array::RecordBatch,
        datatypes::{Schema, SchemaRef},
    },
    prelude::DataFrame,
};
use deltalake::{
    DeltaTable, DeltaTableBuilder,
    kernel::{Action, Add, StructType, engine::arrow_conversion::TryIntoKernel, transaction::CommitBuilder},
    operations::create::CreateBuilder,
    parquet::{
        arrow::{AsyncArrowWriter, arrow_writer::ArrowWriterOptions},
        basic::Compression,
        file::properties::{EnabledStatistics, WriterProperties},
        schema::types::ColumnPath,
    },
    protocol::{DeltaOperation, SaveMode},
};
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, buffered::BufWriter, path::Path};
use std::{collections::BTreeSet, fs};
use url::Url;

/// Number of a generation, from 1.
pub(super) type Generation = u64;

/// Rows per Parquet row group: bounds what a writer holds in memory.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// What goes to the object store at once, in bytes: enough for its smallest part of an upload.
const UPLOAD_BYTES: usize = 5 << 20;

/// No statistics on text: they would keep a deleted row's words. No compression: a scan of the plain bytes finds every
/// text there is, and dictionary encoding already folds repeated labels.
fn writer_properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_statistics_enabled(ColumnPath::from(POSITION), EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build()
}

impl Tables {
    /// The generation that readers see.
    pub(super) async fn current(&self, key: &TableKey) -> Result<Option<Generation>> {
        for generation in self.generations(key).await?.into_iter().rev() {
            let first_entry = self.path(key, generation)?.join("_delta_log").join("00000000000000000000.json");
            match self.store.head(&first_entry).await {
                Ok(_) => return Ok(Some(generation)),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error).doing(|| format!("look for the {key}")),
            }
        }
        Ok(None)
    }

    /// All generations that have left a folder, complete or not, in order.
    async fn generations(&self, key: &TableKey) -> Result<BTreeSet<Generation>> {
        let folder = self.root.clone().join_all(&key.path());
        let found = self.store.list_with_delimiter(Some(&folder)).await.doing(|| format!("look for the {key}"))?;
        let number = |folder: &Path| folder.filename()?.strip_prefix('g')?.parse().ok();
        Ok(found.common_prefixes.iter().filter_map(number).collect())
    }

    fn path(&self, key: &TableKey, generation: Generation) -> Result<Path> {
        Ok(self.root.clone().join_all(&format!("{}/g{generation:08}", key.path())))
    }

    fn delta(&self, key: &TableKey, generation: Generation) -> Result<DeltaTable> {
        let wrong = || Error::new(Kind::Bug, format!("the {key} have no URL"));
        let url = Url::parse(&format!("{}/{}/g{generation:08}/", self.url, key.path())).map_err(|_| wrong())?;
        let builder = DeltaTableBuilder::from_url(url.clone()).doing(|| format!("address the {key}"))?;
        builder.with_storage_backend(self.store.clone(), url).build().doing(|| format!("address the {key}"))
    }

    pub(super) async fn load(&self, key: &TableKey, generation: Generation) -> Result<DeltaTable> {
        let mut table = self.delta(key, generation)?;
        table.load().await.doing(|| format!("open the {key}"))?;
        Ok(table)
    }

    /// Writes these rows as the next generation and makes it the current one. The caller holds the write lock.
    pub(super) async fn publish(&self, key: &TableKey, rows: DataFrame) -> Result<()> {
        let next = self.clear_next(key).await?;
        if let Err(error) = self.write_generation(key, next, rows).await {
            // The write's own trouble is what counts; leftovers that stay are cleared by the next write.
            self.remove_generation(key, next).await.ok();
            return Err(error);
        }
        self.remove_older(key, next).await
    }

    /// The number of the next generation, once what a killed write left there is gone. The caller holds the write lock.
    pub(super) async fn clear_next(&self, key: &TableKey) -> Result<Generation> {
        let next = self.current(key).await?.unwrap_or(0) + 1;
        for leftover in self.generations(key).await?.range(next..) {
            self.remove_generation(key, *leftover).await?;
        }
        Ok(next)
    }

    async fn write_generation(&self, key: &TableKey, generation: Generation, rows: DataFrame) -> Result<()> {
        let columns = rows.schema().as_arrow().clone();
        let file = self.write_file(key, generation, 0, rows).await?;
        self.commit_file(key, generation, &columns, file).await
    }

    /// Ends a generation's data file and writes the log entry that makes it the current one.
    pub(super) async fn commit(
        &self,
        key: &TableKey,
        generation: Generation,
        columns: &Schema,
        file: DataFile,
    ) -> Result<()> {
        let file = file.finish(self, key).await?;
        self.commit_file(key, generation, columns, file).await
    }

    async fn commit_file(&self, key: &TableKey, generation: Generation, columns: &Schema, file: Add) -> Result<()> {
        let writing = || format!("write the {key}");
        let columns: StructType = columns.try_into_kernel().doing(writing)?;
        CreateBuilder::new()
            .with_log_store(self.delta(key, generation)?.log_store())
            .with_columns(columns.fields().cloned())
            // For other programs that write: keep text out of the log.
            .with_configuration([("delta.dataSkippingStatsColumns", Some(POSITION))])
            .with_actions([Action::Add(file)])
            .await
            .doing(writing)
            .map(|_| ())
    }

    /// Data files of a generation.
    pub(super) async fn n_files(&self, key: &TableKey, generation: Generation) -> Result<usize> {
        let table = self.load(key, generation).await?;
        Ok(table.snapshot().doing(|| format!("open the {key}"))?.log_data().into_iter().count())
    }

    /// Adds these rows to a generation. The caller holds the write lock.
    pub(super) async fn extend(&self, key: &TableKey, generation: Generation, rows: DataFrame) -> Result<()> {
        let adding = || format!("add to the {key}");
        let table = self.load(key, generation).await?;
        let n_commits = table.version().map_or(0, |version| version + 1);
        let file = self.write_file(key, generation, n_commits, rows).await?;
        let append = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        CommitBuilder::default()
            .with_actions(vec![Action::Add(file)])
            .build(Some(table.snapshot().doing(adding)?), table.log_store(), append)
            .await
            .doing(adding)
            .map(|_| ())
    }

    /// Writes rows, as they come, into one Parquet file, and returns what the log shall say of it.
    async fn write_file(&self, key: &TableKey, generation: Generation, number: u64, rows: DataFrame) -> Result<Add> {
        let writing = || format!("write the {key}");
        let mut batches = rows.execute_stream().await.doing(writing)?;
        let mut file = self.data_file(key, generation, number, batches.schema())?;
        while let Some(batch) = batches.next().await {
            file.write(&batch.doing(writing)?, key).await?;
        }
        file.finish(self, key).await
    }

    /// Begins a data file of a generation.
    pub(super) fn data_file(
        &self,
        key: &TableKey,
        generation: Generation,
        number: u64,
        columns: SchemaRef,
    ) -> Result<DataFile> {
        let writing = || format!("write the {key}");
        let name = format!("part-{number:05}.parquet");
        let location = self.path(key, generation)?.join(name.as_str());
        let options = ArrowWriterOptions::new().with_properties(writer_properties()).with_skip_arrow_metadata(true);
        let sink = BufWriter::with_capacity(self.store.clone(), location.clone(), UPLOAD_BYTES).with_max_concurrency(1);
        let writer = AsyncArrowWriter::try_new_with_options(sink, columns, options).doing(writing)?;
        Ok(DataFile { name, location, writer, row_group_bytes: self.memory.row_group_bytes })
    }

    /// Removes every file of the table that its current rows do not need. The caller holds the write lock.
    pub(super) async fn remove_unused(&self, key: &TableKey) -> Result<()> {
        let Some(current) = self.current(key).await? else {
            for generation in self.generations(key).await? {
                self.remove_generation(key, generation).await?;
            }
            return Ok(());
        };
        self.remove_older(key, current).await?;
        for newer in self.generations(key).await?.range(current + 1..) {
            self.remove_generation(key, *newer).await?;
        }
        self.remove_orphans(key, current).await
    }

    pub(super) async fn remove_older(&self, key: &TableKey, current: Generation) -> Result<()> {
        for older in self.generations(key).await?.range(..current) {
            self.remove_generation(key, *older).await?;
        }
        Ok(())
    }

    /// Removes data files that the log does not name: what a killed append left.
    async fn remove_orphans(&self, key: &TableKey, current: Generation) -> Result<()> {
        let cleaning = || format!("clean the {key}");
        let table = self.load(key, current).await?;
        let named: BTreeSet<Path> =
            table.snapshot().doing(cleaning)?.log_data().into_iter().map(|file| file.object_store_path()).collect();
        let folder = self.path(key, current)?;
        let found: Vec<Path> =
            self.store.list(Some(&folder)).map_ok(|file| file.location).try_collect().await.doing(cleaning)?;
        for location in &found {
            let inside: Path = location.prefix_match(&folder).into_iter().flatten().collect();
            if !inside.as_ref().starts_with("_delta_log/") && !named.contains(&inside) {
                self.store.delete(location).await.doing(cleaning)?;
            }
        }
        self.remove_staged(key, current).doing(cleaning)
    }

    /// Half-uploaded files on disk, `name#1`, which the object store hides from listings.
    fn remove_staged(&self, key: &TableKey, current: Generation) -> std::io::Result<()> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let folder = disk.root.join(key.path()).join(format!("g{current:08}"));
        for folder in [folder.join("_delta_log"), folder] {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.file_name().is_some_and(|name| name.to_string_lossy().contains('#')) {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    }

    /// Removes a generation; the log's first entry goes first, so that it is never half there.
    pub(super) async fn remove_generation(&self, key: &TableKey, generation: Generation) -> Result<()> {
        let removing = || format!("remove an old copy of the {key}");
        let folder = self.path(key, generation)?;
        let mut found: Vec<Path> =
            self.store.list(Some(&folder)).map_ok(|file| file.location).try_collect().await.doing(removing)?;
        found.sort_by_key(|location| !location.as_ref().ends_with("_delta_log/00000000000000000000.json"));
        for location in &found {
            match self.store.delete(location).await {
                Err(object_store::Error::NotFound { .. }) => {}
                deleted => deleted.doing(removing)?,
            }
        }
        match &self.disk {
            Some(disk) => remove_dir(&disk.root.join(key.path()).join(format!("g{generation:08}"))).doing(removing),
            None => Ok(()),
        }
    }
}

/// A Parquet file that is being written. It appears whole when it is finished, and not at all otherwise.
pub(super) struct DataFile {
    name: String,
    location: Path,
    writer: AsyncArrowWriter<BufWriter>,
    /// From so many bytes on the next row group begins.
    row_group_bytes: usize,
}

impl DataFile {
    pub(super) async fn write(&mut self, batch: &RecordBatch, key: &TableKey) -> Result<()> {
        self.writer.write(batch).await.doing(|| format!("write the {key}"))?;
        // A row group of long texts would grow far beyond one of short ones.
        if self.writer.in_progress_size() >= self.row_group_bytes {
            self.writer.flush().await.doing(|| format!("write the {key}"))?;
        }
        Ok(())
    }

    /// Gives up what was uploaded so far.
    pub(super) async fn abandon(self) {
        // What cannot be aborted is removed with its generation.
        self.writer.into_inner().abort().await.ok();
    }

    /// Ends the file; returns what the log shall say of it.
    async fn finish(self, tables: &Tables, key: &TableKey) -> Result<Add> {
        let writing = || format!("write the {key}");
        let n_rows = self.writer.close().await.doing(writing)?.file_metadata().num_rows();
        let written = tables.store.head(&self.location).await.doing(writing)?;
        Ok(Add {
            path: self.name,
            size: written.size as i64,
            modification_time: written.last_modified.timestamp_millis(),
            data_change: true,
            stats: Some(format!("{{\"numRecords\":{n_rows}}}")),
            ..Add::default()
        })
    }
}

/// Paths with several segments at once.
pub(super) trait JoinAll {
    /// This path and the segments of `path`.
    fn join_all(self, path: &str) -> Path;
}

impl JoinAll for Path {
    fn join_all(self, path: &str) -> Path {
        path.split('/').fold(self, |path, segment| path.join(segment))
    }
}
