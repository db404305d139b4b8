//! A static Airflow 3 DAG: plain Python with one `BashOperator` per stage.

use crate::graph::NODES;
use std::fmt::Write;

/// The DAG file of the loop's pipeline.
pub fn airflow_dag(loop_name: &str) -> String {
    let mut python = String::new();
    let mut line = |text: &str| writeln!(python, "{text}").expect("writing to a String cannot fail");
    line(&format!(
        "\"\"\"The {loop_name} loop of Loopwright, stage by stage. Written by `loopwright export airflow`.\"\"\""
    ));
    line("import os");
    line("import shlex");
    line("");
    line("from airflow.providers.standard.operators.bash import BashOperator");
    line("from airflow.sdk import DAG");
    line("");
    line("LOOPWRIGHT = os.environ.get(\"LOOPWRIGHT_BIN\", \"loopwright\")");
    line("PROJECT = os.environ.get(\"LOOPWRIGHT_PROJECT\", \"/project\")");
    line("");
    line("");
    line("def command(*argv: str) -> str:");
    line(&format!("    return shlex.join([LOOPWRIGHT, *argv, \"--loop\", \"{loop_name}\", \"--project\", PROJECT])"));
    line("");
    line("");
    line(&format!(
        "with DAG(dag_id=\"loopwright_{}\", schedule=None, catchup=False, tags=[\"loopwright\"]) as dag:",
        python_name(loop_name)
    ));
    for node in NODES {
        let argv = node.argv.iter().map(|arg| format!("\"{arg}\"")).collect::<Vec<_>>().join(", ");
        line(&format!(
            "    {} = BashOperator(task_id=\"{}\", bash_command=command({argv}), retries=0)",
            node.name, node.name
        ));
    }
    for node in NODES {
        for before in node.after {
            line(&format!("    {before} >> {}", node.name));
        }
    }
    python
}

fn python_name(name: &str) -> String {
    name.replace('-', "_")
}
