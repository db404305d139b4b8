//! An Airflow 3 DAG file: static Python with one `BashOperator` per stage.
//!
//! Nothing is looked up while Airflow reads the file. The worker's shell fills in the program (`LOOPWRIGHT_BIN`, default
//! `loopwright`) and the project folder (`LOOPWRIGHT_PROJECT`, default `/project`) when a stage begins. Runs follow one
//! another, because a project has one owner at a time.

use crate::graph::{NODES, Node};

/// The DAG file of the loop's pipeline.
pub fn airflow_dag(loop_name: &str) -> String {
    let dag_id = format!("loopwright_{}", loop_name.replace('-', "_"));
    let operators: String = NODES.iter().map(operator).collect();
    let order: String = NODES.iter().flat_map(order).collect();
    format!(
        r#""""The {loop_name} loop of Loopwright, stage by stage. Written by `loopwright export airflow`.

On the worker, LOOPWRIGHT_BIN names the program and LOOPWRIGHT_PROJECT the project folder.
"""

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

COMMAND = '"${{LOOPWRIGHT_BIN:-loopwright}}" %s --project "${{LOOPWRIGHT_PROJECT:-/project}}" --loop {loop_name}'

with DAG(dag_id="{dag_id}", schedule=None, catchup=False, max_active_runs=1, tags=["loopwright"]) as dag:
{operators}{order}"#
    )
}

fn operator(node: &Node) -> String {
    let (name, title, argv) = (node.name, node.title, node.argv.join(" "));
    format!(
        "    {name} = BashOperator(task_id=\"{name}\", bash_command=COMMAND % \"{argv}\", retries=0, doc=\"{title}\")\n"
    )
}

fn order(node: &Node) -> impl Iterator<Item = String> {
    node.after.iter().map(|before| format!("    {before} >> {}\n", node.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_an_operator() {
        let dag = airflow_dag("support");
        for node in NODES {
            let begins = format!("\n    {0} = BashOperator(task_id=\"{0}\", ", node.name);
            assert_eq!(dag.matches(&begins).count(), 1, "{}", node.name);
            for before in node.after {
                assert_eq!(dag.matches(&format!("\n    {before} >> {}\n", node.name)).count(), 1, "{}", node.name);
            }
        }
    }

    #[test]
    fn the_shell_fills_in_program_and_folder() {
        let command = "'\"${LOOPWRIGHT_BIN:-loopwright}\" %s --project \"${LOOPWRIGHT_PROJECT:-/project}\" --loop a-b'";
        assert!(airflow_dag("a-b").contains(command));
    }

    /// Airflow takes a command that ends in `.sh` for the name of a template file. A loop's name has no dot.
    #[test]
    fn the_command_ends_with_the_loop() {
        assert!(airflow_dag("a").contains("--loop a'\n"));
    }
}
