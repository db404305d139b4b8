//! Stage 12: the pipeline for other orchestrators, and the event log checked from first to last link.

use super::Walk;
use crate::{
    error::{Error, Result},
    export,
    runner::Marks,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is handed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HandedOver {
    /// The pipeline files.
    pub exports: Vec<PathBuf>,
    /// Links of the event log that were checked.
    pub n_events: u64,
    /// Hash of the last of them.
    pub head: String,
}

pub(crate) async fn hand_over(walk: Walk, _: Marks) -> Result<HandedOver> {
    let exports = export::write_all(&walk.ctx, &walk.it)?;
    let report = walk.ctx.store.verify_events().await?;
    if let Some(broken) = report.broken {
        return Err(Error::user(format!("the event log is broken at link {}: {}", broken.seq, broken.problem)));
    }
    Ok(HandedOver { exports, n_events: report.n_links, head: report.head })
}

pub(crate) fn say_handed_over(walk: &Walk, it: &HandedOver) {
    let names = it
        .exports
        .iter()
        .filter_map(|path| path.file_name())
        .map(|name| format!("`exports/{}`", name.to_string_lossy()));
    walk.ctx.say(format!("pipeline written for Kubeflow and Airflow: {}", names.collect::<Vec<_>>().join(", ")));
    walk.ctx.say(format!("event log intact: {} links checked", it.n_events));
}
