//! Rows: Delta tables (<https://delta.io>) written and read through DataFusion, so pandas, Spark and DuckDB read them too.
//!
//! Each [`TableKey`] has a folder under `.loopwright/tables/`; `generation` tells how a write is atomic there. Text is
//! kept in Parquet only: neither Delta's log nor the Parquet footers hold statistics of text columns, which would
//! outlive a deleted row. A deletion writes the remaining rows as a new generation and removes the old one whole.

mod browse;
mod generation;
mod memory;
mod parquet;
mod query;
mod rewrite;
mod rows;
mod session;
mod stream;

use crate::{
    Error, Kind, Result,
    error::Doing,
    key::{Layout, TableKey},
    lock::{self, FileLock},
};
pub use browse::{DroppedFilter, ExampleFilter, PAGE_ROWS_MAX, RejectedFilter, RowPage, Stretch};
use datafusion::{
    datasource::{MemTable, provider_as_source},
    logical_expr::LogicalPlanBuilder,
    prelude::{DataFrame, Expr, JoinType, col, lit},
};
use futures::StreamExt;
use generation::Generation;
use loopwright_types::{
    DatasetRef, Example, SourceRow, Split,
    dataset::{DroppedRow, RejectedRow},
    id::RowId,
};
pub use memory::TableMemory;
use object_store::{ObjectStore, local::LocalFileSystem, memory::InMemory, path::Path};
pub use parquet::{ColumnKind, ParquetFile};
pub use query::{SQL_ROWS_MAX, TextFunction};
use rows::{Columns, POSITION, TableRow};
use session::Session;
use std::{path::PathBuf, sync::Arc};
pub use stream::{TableWriter, Writing};
use url::Url;

/// How often a read starts again because a writer replaced the table meanwhile.
const READ_TRIES: u32 = 20;

/// The tables of a project. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tables {
    /// The whole store, of which `root` is our part; `url` is the same place for Delta.
    store: Arc<dyn ObjectStore>,
    root: Path,
    url: String,
    disk: Option<Disk>,
    memory: TableMemory,
    /// Writers of this process wait here; then for those of other processes.
    writing: Arc<tokio::sync::Mutex<()>>,
}

/// What only tables on disk have.
#[derive(Clone, Debug)]
struct Disk {
    root: PathBuf,
    spill: PathBuf,
    lock: PathBuf,
}

/// Held while tables are written.
#[derive(Debug)]
struct WriteLock {
    _process: tokio::sync::OwnedMutexGuard<()>,
    _machine: Option<FileLock>,
}

impl Tables {
    /// The tables of the project with this layout.
    pub fn on_disk(layout: &Layout) -> Result<Self> {
        let opening = || format!("open the table folder `{}`", layout.tables().display());
        std::fs::create_dir_all(layout.tables()).doing(opening)?;
        session::sweep_spilled(layout)?;
        let root = std::fs::canonicalize(layout.tables()).doing(opening)?;
        let no_url = || Error::new(Kind::Bug, format!("`{}` has no URL", root.display()));
        let url = Url::from_file_path(&root).map_err(|()| no_url())?;
        let disk = Disk { root: root.clone(), spill: layout.spill(), lock: layout.tables_lock() };
        Self::over(Arc::new(LocalFileSystem::new()), &url, Some(disk))
    }

    /// Tables that are gone with the process. They cannot spill.
    pub fn in_memory() -> Self {
        Self::in_store(Arc::new(InMemory::new()))
    }

    /// Tables in any object store.
    pub fn in_store(store: Arc<dyn ObjectStore>) -> Self {
        let url = Url::parse("memory:///tables").expect("a constant URL");
        Self::over(store, &url, None).expect("a constant path")
    }

    /// The same tables for a job that may take so much memory.
    #[must_use]
    pub fn held_to(&self, memory: TableMemory) -> Self {
        Self { memory, ..self.clone() }
    }

    fn over(store: Arc<dyn ObjectStore>, url: &Url, disk: Option<Disk>) -> Result<Self> {
        let root = Path::from_url_path(url.path()).doing(|| format!("read the path of `{url}`"))?;
        Ok(Self { store, root, url: url.to_string(), disk, memory: TableMemory::default(), writing: Arc::default() })
    }

    fn session(&self) -> Result<Session> {
        Session::new(self.disk.as_ref().map(|disk| disk.spill.as_path()), self.memory)
    }

    async fn write_lock(&self) -> Result<WriteLock> {
        let process = self.writing.clone().lock_owned().await;
        let machine = match &self.disk {
            Some(disk) => Some(lock::exclusive(disk.lock.clone()).await?),
            None => None,
        };
        Ok(WriteLock { _process: process, _machine: machine })
    }
}

/// Typed rows. A write replaces the whole table, in one step.
impl Tables {
    /// Writes a dataset's source rows.
    pub async fn write_source_rows(&self, key: &TableKey, rows: &[SourceRow]) -> Result<()> {
        self.write(raw(key)?, rows).await
    }

    /// Adds source rows whose `row_id` is not there yet; returns how many that were. The same import twice adds nothing.
    pub async fn append_source_rows(&self, key: &TableKey, rows: &[SourceRow]) -> Result<u64> {
        self.append(raw(key)?, rows).await
    }

    /// A dataset's source rows, in the order they were written.
    pub async fn read_source_rows(&self, key: &TableKey) -> Result<Vec<SourceRow>> {
        self.read(raw(key)?, None).await
    }

    /// Writes the lines of a dataset's sources that could not be read.
    pub async fn write_rejected(&self, key: &TableKey, rows: &[RejectedRow]) -> Result<()> {
        self.write(rejected(key)?, rows).await
    }

    /// Adds rejected lines that are not there yet, by source and line; returns how many that were.
    pub async fn append_rejected(&self, key: &TableKey, rows: &[RejectedRow]) -> Result<u64> {
        self.append(rejected(key)?, rows).await
    }

    /// The lines of a dataset's sources that could not be read.
    pub async fn read_rejected(&self, key: &TableKey) -> Result<Vec<RejectedRow>> {
        self.read(rejected(key)?, None).await
    }

    /// Writes the rows of a dataset version.
    pub async fn write_examples(&self, version: &DatasetRef, rows: &[Example]) -> Result<()> {
        self.write(&TableKey::Examples(version.clone()), rows).await
    }

    /// The rows of a dataset version, of one split or all, in the order they were written.
    pub async fn read_examples(&self, version: &DatasetRef, split: Option<Split>) -> Result<Vec<Example>> {
        let filter = split.map(|split| col("split").eq(lit(split.as_str())));
        self.read(&TableKey::Examples(version.clone()), filter).await
    }

    /// Writes the rows left out of a dataset version.
    pub async fn write_dropped(&self, version: &DatasetRef, rows: &[DroppedRow]) -> Result<()> {
        self.write(&TableKey::Dropped(version.clone()), rows).await
    }

    /// The rows left out of a dataset version.
    pub async fn read_dropped(&self, version: &DatasetRef) -> Result<Vec<DroppedRow>> {
        self.read(&TableKey::Dropped(version.clone()), None).await
    }

    /// A dataset's source row.
    pub async fn find_source_row(&self, key: &TableKey, row: &RowId) -> Result<Option<SourceRow>> {
        self.find(raw(key)?, row).await
    }

    /// A row of a dataset version.
    pub async fn find_example(&self, version: &DatasetRef, row: &RowId) -> Result<Option<Example>> {
        self.find(&TableKey::Examples(version.clone()), row).await
    }

    /// A row that was left out of a dataset version.
    pub async fn find_dropped(&self, version: &DatasetRef, row: &RowId) -> Result<Option<DroppedRow>> {
        self.find(&TableKey::Dropped(version.clone()), row).await
    }

    /// Is there such a table?
    pub async fn exists(&self, key: &TableKey) -> Result<bool> {
        Ok(self.current(key).await?.is_some())
    }

    /// The folder of a table's current Delta table, for other programs that read; none if there is no such table on disk.
    /// The next write makes another one.
    pub async fn folder(&self, key: &TableKey) -> Result<Option<PathBuf>> {
        let current = self.current(key).await?;
        let folder = |disk: &Disk, current| disk.root.join(key.path()).join(format!("g{current:08}"));
        Ok(self.disk.as_ref().zip(current).map(|(disk, current)| folder(disk, current)))
    }

    /// Every table that is there, in the order of the keys.
    pub async fn all_tables(&self) -> Result<Vec<TableKey>> {
        let mut present = Vec::new();
        for key in self.keys_found().await? {
            if self.exists(&key).await? {
                present.push(key);
            }
        }
        present.sort();
        Ok(present)
    }

    /// Every table that has left a folder, there or not.
    async fn keys_found(&self) -> Result<Vec<TableKey>> {
        let listing = || "list the tables".to_string();
        let mut keys = Vec::new();
        for dataset in self.store.list_with_delimiter(Some(&self.root)).await.doing(listing)?.common_prefixes {
            for table in self.store.list_with_delimiter(Some(&dataset)).await.doing(listing)?.common_prefixes {
                let names: Vec<_> = table.prefix_match(&self.root).into_iter().flatten().collect();
                let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
                keys.extend(TableKey::from_path(&names.join("/")));
            }
        }
        Ok(keys)
    }
}

fn raw(key: &TableKey) -> Result<&TableKey> {
    match key {
        TableKey::Raw { .. } => Ok(key),
        _ => Err(Error::new(Kind::Bug, format!("the {key} are no source rows"))),
    }
}

fn rejected(key: &TableKey) -> Result<&TableKey> {
    match key {
        TableKey::Rejected { .. } => Ok(key),
        _ => Err(Error::new(Kind::Bug, format!("the {key} are no rejected rows"))),
    }
}

/// The same for every row type.
impl Tables {
    async fn write<R: TableRow>(&self, key: &TableKey, rows: &[R]) -> Result<()> {
        let session = self.session()?;
        let rows = values(&session, rows, 1)?;
        let _lock = self.write_lock().await?;
        self.publish(key, rows).await
    }

    async fn append<R: TableRow>(&self, key: &TableKey, rows: &[R]) -> Result<u64> {
        let session = self.session()?;
        let _lock = self.write_lock().await?;
        let Some(current) = self.current(key).await? else {
            self.publish(key, values(&session, rows, 1)?).await?;
            return Ok(rows.len() as u64);
        };
        let adding = || format!("add to the {key}");
        let there = self.open(&session, key, current).await?;
        let new = values(&session, rows, self.last_position(&there, key).await? + 1)?;
        let known = R::identity();
        let new = new.join(there, JoinType::LeftAnti, known, known, None).doing(adding)?;
        let n_new = new.clone().count().await.doing(adding)? as u64;
        if n_new > 0 {
            let new = new.sort(vec![col(POSITION).sort(true, true)]).doing(adding)?;
            self.extend(key, current, new).await?;
        }
        Ok(n_new)
    }

    async fn last_position(&self, rows: &DataFrame, key: &TableKey) -> Result<i64> {
        let reading = || format!("read the last position of the {key}");
        let last = rows.clone().sort(vec![col(POSITION).sort(false, false)]).doing(reading)?.limit(0, Some(1));
        let batches = last.doing(reading)?.collect().await.doing(reading)?;
        let positions = batches.iter().find(|batch| batch.num_rows() > 0);
        positions.map_or(Ok(0), |batch| Columns(batch).position(0))
    }

    async fn read<R: TableRow>(&self, key: &TableKey, filter: Option<Expr>) -> Result<Vec<R>> {
        for _ in 1..READ_TRIES {
            let generation = self.require(key).await?;
            match self.read_generation(key, generation, filter.clone()).await {
                // A writer replaced the table while we read: read the new one.
                Err(_) if self.current(key).await? != Some(generation) => {}
                read => return read,
            }
        }
        self.read_generation(key, self.require(key).await?, filter).await
    }

    async fn find<R: TableRow>(&self, key: &TableKey, row: &RowId) -> Result<Option<R>> {
        Ok(self.read(key, Some(col("row_id").eq(lit(row.as_str())))).await?.into_iter().next())
    }

    async fn require(&self, key: &TableKey) -> Result<Generation> {
        let absent = || Error::new(Kind::NotFound, format!("there are no {key}"));
        self.current(key).await?.ok_or_else(absent)
    }

    async fn read_generation<R: TableRow>(
        &self,
        key: &TableKey,
        generation: Generation,
        filter: Option<Expr>,
    ) -> Result<Vec<R>> {
        let reading = || format!("read the {key}");
        let session = self.session()?;
        let mut frame = self.open(&session, key, generation).await?;
        if let Some(filter) = filter {
            frame = frame.filter(filter).doing(reading)?;
        }
        let frame = frame.sort(vec![col(POSITION).sort(true, true)]).doing(reading)?;
        let mut batches = frame.execute_stream().await.doing(reading)?;
        let mut rows = Vec::new();
        while let Some(batch) = batches.next().await {
            rows.extend(R::from_columns(&Columns(&batch.doing(reading)?))?);
        }
        Ok(rows)
    }

    /// The rows of a generation, to be queried.
    async fn open(&self, session: &Session, key: &TableKey, generation: Generation) -> Result<DataFrame> {
        let opening = || format!("open the {key}");
        let table = self.load(key, generation).await?;
        table.update_datafusion_session(&session.context.state()).doing(opening)?;
        let provider = table.table_provider().await.doing(opening)?;
        session.context.read_table(provider).doing(opening)
    }
}

/// These rows, to be written.
fn values<R: TableRow>(session: &Session, rows: &[R], first_position: i64) -> Result<DataFrame> {
    let planning = || "plan a write".to_string();
    let table =
        MemTable::try_new(rows::schema::<R>(), vec![rows::to_batches(rows, first_position)?]).doing(planning)?;
    let scan = LogicalPlanBuilder::scan("rows", provider_as_source(Arc::new(table)), None).doing(planning)?;
    Ok(DataFrame::new(session.context.state(), scan.build().doing(planning)?))
}
