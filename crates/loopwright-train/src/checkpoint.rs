//! What a run leaves on disk to go on from: weights, optimiser, and its place in the plan.
//!
//! A checkpoint is a folder `step-00000120`. It is written under a name that nobody reads, brought to disk, and renamed;
//! so it is whole or absent. The place in the data and in every random sequence follows from the step and the seed.

use crate::{
    error::{Error, Kind, Result},
    health::Health,
};
use loopwright_lm::{AdamW, Adapter, Model};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const STATE_FILE: &str = "state.json";
const OPTIMIZER_FILE: &str = "optimizer.safetensors";
const PREFIX: &str = "step-";
const UNFINISHED: &str = "unfinished-";
const BEST: &str = "best";

/// Checkpoints kept of a run.
const KEPT: usize = 2;

/// Version of the folder's format.
const FORMAT: u32 = 1;

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    format: u32,
    /// Steps taken.
    pub step: u64,
    /// Tokens read.
    pub n_tokens: u64,
    /// Identity of the plan: settings, examples and start.
    pub plan: String,
    /// What the losses were like.
    #[serde(default)]
    pub health: Health,
}

impl State {
    pub(crate) fn new(step: u64, n_tokens: u64, plan: &str, health: Health) -> Self {
        Self { format: FORMAT, step, n_tokens, plan: plan.to_owned(), health }
    }
}

/// Writes a checkpoint and removes all but the last ones.
pub(crate) fn write(dir: &Path, state: &State, model: &Model, optimizer: &AdamW) -> Result<()> {
    let unfinished = dir.join(format!("{UNFINISHED}{:08}", state.step));
    let finished = dir.join(format!("{PREFIX}{:08}", state.step));
    remove(&unfinished)?;
    std::fs::create_dir_all(&unfinished).map_err(|source| Error::io("create", &unfinished, source))?;
    let saved = save_weights(&unfinished, model);
    let doing = || format!("failed to write the checkpoint `{}`", finished.display());
    saved
        .and_then(|()| optimizer.save(&unfinished.join(OPTIMIZER_FILE)))
        .map_err(|source| Error::model(doing(), source))?;
    let json = serde_json::to_vec_pretty(state).map_err(|source| Error::caused(Kind::Io, doing(), source))?;
    let state_file = unfinished.join(STATE_FILE);
    std::fs::write(&state_file, json).map_err(|source| Error::io("write", &state_file, source))?;
    sync(&state_file)?;
    sync(&unfinished)?;
    remove(&finished)?;
    std::fs::rename(&unfinished, &finished).map_err(|source| Error::io("rename", &unfinished, source))?;
    sync(dir)?;
    let all = list(dir)?;
    all.iter().take(all.len().saturating_sub(KEPT)).try_for_each(|(_, old)| remove(old))
}

/// Keeps the weights of the best validation so far, whole or not at all.
pub(crate) fn write_best(dir: &Path, model: &Model) -> Result<()> {
    let (unfinished, finished) = (dir.join(format!("{UNFINISHED}{BEST}")), dir.join(BEST));
    remove(&unfinished)?;
    std::fs::create_dir_all(&unfinished).map_err(|source| Error::io("create", &unfinished, source))?;
    save_weights(&unfinished, model).map_err(|source| Error::model("failed to keep the best weights", source))?;
    sync(&unfinished)?;
    remove(&finished)?;
    std::fs::rename(&unfinished, &finished).map_err(|source| Error::io("rename", &unfinished, source))?;
    sync(dir)
}

/// The weights of the best validation.
pub(crate) fn read_best(dir: &Path, base: Option<&Model>) -> Result<Model> {
    read_weights(&dir.join(BEST), base)
}

fn save_weights(dir: &Path, model: &Model) -> loopwright_lm::Result<()> {
    match model.adapter() {
        Some(adapter) => adapter.save(dir),
        None => model.save(dir),
    }
}

fn read_weights(path: &Path, base: Option<&Model>) -> Result<Model> {
    let failed = |source| Error::model(format!("failed to read the checkpoint `{}`", path.display()), source);
    Ok(match base {
        Some(base) => base.with_adapter(&Adapter::load(path, base).map_err(failed)?),
        None => Model::load(path).map_err(failed)?,
    })
}

/// The last checkpoint of a run, if there is one. Refuses one of another plan.
pub(crate) fn latest(dir: &Path, plan: &str) -> Result<Option<(State, PathBuf)>> {
    let Some((_, path)) = list(dir)?.pop() else { return Ok(None) };
    let file = path.join(STATE_FILE);
    let bytes = std::fs::read(&file).map_err(|source| Error::io("read", &file, source))?;
    let state: State = serde_json::from_slice(&bytes).map_err(|source| {
        Error::caused(Kind::BadCheckpoint, format!("`{}` is not a checkpoint's state", file.display()), source)
    })?;
    if state.format != FORMAT || state.plan != plan {
        let message = format!(
            "the checkpoint `{}` is of another plan: expected {plan}, got {}\nhint: remove the folder to start anew",
            path.display(),
            state.plan
        );
        return Err(Error::new(Kind::BadCheckpoint, message));
    }
    Ok(Some((state, path)))
}

/// Puts a checkpoint's weights and moments in place of those of a run that was set up like it.
pub(crate) fn load(path: &Path, base: Option<&Model>, settings: crate::plan::TrainSettings) -> Result<(Model, AdamW)> {
    let failed = |source| Error::model(format!("failed to read the checkpoint `{}`", path.display()), source);
    let model = read_weights(path, base)?;
    let mut optimizer = AdamW::new(model.trainable_parameters(), settings.optimizer());
    optimizer.load(&path.join(OPTIMIZER_FILE)).map_err(failed)?;
    Ok((model, optimizer))
}

/// Whole checkpoints, oldest first. A folder that is not there has none.
fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::io("list", dir, source)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| Error::io("list", dir, source))?;
        let name = entry.file_name();
        let step = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|step| step.parse().ok());
        found.extend(step.map(|step: u64| (step, entry.path())));
    }
    found.sort();
    Ok(found)
}

fn remove(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|source| Error::io("remove", dir, source)),
    }
}

/// Waits until the disk has a file, or a folder's list of files.
fn sync(path: &Path) -> Result<()> {
    std::fs::File::open(path).and_then(|file| file.sync_all()).map_err(|source| Error::io("write", path, source))
}
