//! `export`: the loop's pipeline for another orchestrator.

use crate::{args::ExportFormat, output::Answer};
use loopwright_pipeline::{
    Context,
    export::{airflow_dag, kubeflow_ir},
    project::{LoopSettings, write_whole},
};
use std::path::Path;

pub fn export(ctx: &Context, it: &LoopSettings, format: ExportFormat, out: Option<&Path>) -> anyhow::Result<Answer> {
    let (name, text, way) = match format {
        ExportFormat::Kubeflow => {
            let way = "submit it to Kubeflow Pipelines; mount the project folder at the pipeline's `project_dir`";
            (format!("{}-kubeflow.yaml", it.name), kubeflow_ir(&it.name), way)
        }
        ExportFormat::Airflow => {
            let way = "put it into Airflow's DAG folder; `LOOPWRIGHT_PROJECT` names the project folder there";
            (format!("{}_airflow.py", it.name.replace('-', "_")), airflow_dag(&it.name), way)
        }
    };
    let path = out.map_or_else(|| ctx.project.dir.join("exports").join(name), Path::to_path_buf);
    write_whole(&path, &text)?;
    Ok(Answer::new(serde_json::json!({ "file": path }), format!("{}\n", path.display())).with_talk(way))
}
