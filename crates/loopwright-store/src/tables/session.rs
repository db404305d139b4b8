//! A DataFusion session for one use: bounded memory, spilled rows kept inside the project, results in one order.

use super::memory::TableMemory;
use crate::{
    Result,
    error::Doing,
    key::Layout,
    lock::{FileLock, exclusive_here, try_exclusive},
    objects::remove_dir,
};
use datafusion::{
    execution::{
        SessionStateBuilder,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::FairSpillPool,
        runtime_env::RuntimeEnvBuilder,
    },
    prelude::{SessionConfig, SessionContext},
};
use deltalake::delta_datafusion::{DeltaSessionConfig, planner::DeltaPlanner};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A session and the folder it spills to.
pub(super) struct Session {
    pub(super) context: SessionContext,
    _spill: Option<SpillDir>,
}

impl Session {
    /// A session that spills below `spill_root`, or fails where memory is short if there is none.
    pub(super) fn new(spill_root: Option<&Path>, memory: TableMemory) -> Result<Self> {
        let spill = spill_root.map(SpillDir::new).transpose()?;
        let mode = match &spill {
            Some(spill) => DiskManagerMode::Directories(vec![spill.dir.clone()]),
            None => DiskManagerMode::Disabled,
        };
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(memory.query_bytes)))
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode))
            .build_arc()
            .doing(|| "set up a query session".into())?;
        // One partition: rows keep their order, and sums of floats come out the same every time.
        let config = SessionConfig::from(DeltaSessionConfig::default())
            .with_target_partitions(1)
            .with_batch_size(memory.batch_rows);
        let state = SessionStateBuilder::new()
            .with_default_features()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_query_planner(DeltaPlanner::new())
            .build();
        Ok(Self { context: SessionContext::new_with_state(state), _spill: spill })
    }
}

/// A session's own folder for spilled rows. Its lock tells other processes that somebody still uses it.
struct SpillDir {
    dir: PathBuf,
    lock_path: PathBuf,
    _lock: FileLock,
}

impl SpillDir {
    fn new(root: &Path) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let making = || format!("make a folder for spilled rows in `{}`", root.display());
        fs::create_dir_all(root).doing(making)?;
        let _gate = enter_gate(root)?;
        let (dir, lock_path) = (root.join(&name), root.join(format!("{name}.lock")));
        let lock = exclusive_here(&lock_path).doing(making)?;
        fs::create_dir_all(&dir).doing(making)?;
        Ok(Self { dir, lock_path, _lock: lock })
    }
}

impl Drop for SpillDir {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next process that opens the project.
        remove_dir(&self.dir).ok();
        fs::remove_file(&self.lock_path).ok();
    }
}

/// Held while a spill folder is made or swept, so that no half-made one looks abandoned.
fn enter_gate(root: &Path) -> Result<FileLock> {
    exclusive_here(&root.join("gate")).doing(|| format!("lock `{}`", root.display()))
}

/// Removes what killed processes spilled: rows in clear must not outlive their use.
pub(super) fn sweep_spilled(layout: &Layout) -> Result<()> {
    let root = layout.spill();
    if !root.exists() {
        return Ok(());
    }
    let sweeping = || format!("sweep `{}`", root.display());
    let _gate = enter_gate(&root)?;
    for entry in fs::read_dir(&root).doing(sweeping)? {
        let path = entry.doing(sweeping)?.path();
        if path.extension().is_some_and(|extension| extension == "lock")
            && let Some(_abandoned) = try_exclusive(&path)
        {
            remove_dir(&path.with_extension("")).doing(sweeping)?;
            fs::remove_file(&path).doing(sweeping)?;
        }
    }
    Ok(())
}
