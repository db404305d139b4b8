//! Studies whose trials run elsewhere: any trainer, in any language, asks for a point and tells what came of it.
//!
//! A study is read, changed and written whole; whoever serves several callers lets one at a time in.

use super::{
    collect::in_background,
    tune::{StudyRecord, put},
};
use crate::error::{Doing, Error, Result};
use loopwright_search::{Params, Settings, Study, Trial};
use loopwright_store::Store;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Who writes these studies, in the event log.
const ACTOR: &str = "api";

/// How a trial ended.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Told {
    /// With a value.
    Value(f64),
    /// It was given up.
    Pruned(bool),
    /// For a reason that says nothing about its point.
    Failed(String),
}

/// Begins a study; the same study again is the one that there is, and `false`.
pub async fn create(store: &Store, name: &str, settings: Settings) -> Result<(StudyRecord, bool)> {
    if name.is_empty() || name.len() > 100 {
        return Err(Error::user("a study's name has 1 to 100 characters"));
    }
    if let Some(record) = store.get::<StudyRecord>(name).await? {
        return match record.subject.is_none() && *record.study.settings() == settings {
            true => Ok((record, false)),
            false => {
                Err(Error::user(format!("there is another study called `{name}`")).hint("give yours another name"))
            }
        };
    }
    let study = Study::new(settings).doing(|| format!("failed to begin the study `{name}`"))?;
    let record =
        StudyRecord { name: name.to_string(), subject: None, study, runs: BTreeMap::new(), created_at: store.now() };
    put(store, ACTOR, "study.created", &record).await?;
    Ok((record, true))
}

/// The next trial of a study.
pub async fn ask(store: &Store, name: &str) -> Result<Trial> {
    let mut record = of(store, name).await?;
    // Choosing a point may take milliseconds.
    let (record, trial) = in_background(move || {
        let trial = record.study.ask().doing(|| format!("failed to choose a trial of `{}`", record.name))?;
        Ok((record, trial))
    })
    .await?;
    put(store, ACTOR, "trial.started", &record).await?;
    Ok(trial)
}

/// Notes a value on a trial's way; returns whether it should be given up.
pub async fn report(store: &Store, name: &str, number: u64, step: u64, value: f64) -> Result<bool> {
    let mut record = of(store, name).await?;
    let prune = record.study.report(number, step, value).doing(|| format!("study `{name}`"))?;
    put(store, ACTOR, "trial.reported", &record).await?;
    Ok(prune)
}

/// Ends a trial.
pub async fn tell(store: &Store, name: &str, number: u64, told: &Told) -> Result<Trial> {
    let mut record = of(store, name).await?;
    let study = &mut record.study;
    let ended = match told {
        Told::Value(value) => study.tell(number, *value),
        Told::Pruned(_) => study.prune(number),
        Told::Failed(reason) => study.fail(number, reason),
    };
    let trial = ended.doing(|| format!("study `{name}`"))?.clone();
    put(store, ACTOR, "trial.ended", &record).await?;
    Ok(trial)
}

/// Has a point tried before the sampler's own.
pub async fn enqueue(store: &Store, name: &str, params: Params) -> Result<()> {
    let mut record = of(store, name).await?;
    record.study.enqueue(params).doing(|| format!("study `{name}`"))?;
    put(store, ACTOR, "trial.enqueued", &record).await
}

/// A study whose trials run elsewhere.
async fn of(store: &Store, name: &str) -> Result<StudyRecord> {
    let Some(record) = store.get::<StudyRecord>(name).await? else {
        return Err(Error::user(format!("there is no study `{name}`")));
    };
    match record.subject {
        None => Ok(record),
        Some(_) => Err(Error::user(format!("the study `{name}` is of a loop; `loopwright tune` runs its trials"))),
    }
}
