//! The loop's stages written down for other orchestrators.

mod airflow;
mod kubeflow;

use crate::{context::Context, error::Result, project::LoopSettings};
use std::path::PathBuf;

pub use airflow::airflow_dag;
pub use kubeflow::kubeflow_ir;

/// Writes both files under `exports/` and returns their paths.
pub fn write_all(ctx: &Context, it: &LoopSettings) -> Result<Vec<PathBuf>> {
    let exports = ctx.project.dir.join("exports");
    let files = [
        (exports.join(format!("{}-kubeflow.yaml", it.name)), kubeflow_ir(&it.name)),
        (exports.join(format!("{}_airflow.py", it.name.replace('-', "_"))), airflow_dag(&it.name)),
    ];
    for (path, text) in &files {
        crate::project::write_whole(path, text)?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}
