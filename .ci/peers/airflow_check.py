"""Hands an exported DAG file to Airflow: `airflow_check.py PROJECT_FOLDER`, with AIRFLOW_HOME set and its database made.

The file lies in Airflow's DAG folder, as a user would put it there. Airflow imports it, and `dag.test()` runs it: one
run in this process, the tasks one after another as the scheduler would order them, with every task's state recorded
in the database.
"""

import os
import sys
import tempfile
import time

from airflow.configuration import conf
from airflow.dag_processing.dagbag import DagBag

import project

FOLDER = sys.argv[1]


def the_file_is_imported():
    bag = DagBag(dag_folder=conf.get("core", "dags_folder"))
    project.expect("import errors", {}, bag.import_errors)
    project.expect("DAGs", [f"loopwright_{project.LOOP}"], list(bag.dags))
    dag = bag.dags[f"loopwright_{project.LOOP}"]
    before = {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks}
    chain = {stage: project.STAGES[max(at - 1, 0) : at] for at, stage in enumerate(project.STAGES)}
    project.expect("what each task waits for", chain, before)
    project.expect("runs at a time", 1, dag.max_active_runs)
    return dag


def run(dag, folder):
    """Runs the DAG and returns how long it took, its state and each task's."""
    os.environ["LOOPWRIGHT_PROJECT"] = folder
    began = time.monotonic()
    done = dag.test()
    tasks = {task.task_id: str(task.state) for task in done.get_task_instances()}
    return time.monotonic() - began, str(done.state), tasks


def it_runs_and_a_second_run_finds_all_up_to_date(dag):
    all_well = dict.fromkeys(project.STAGES, "success")
    first_s, state, tasks = run(dag, FOLDER)
    project.expect("first run", ("success", all_well), (state, tasks))
    project.expect("work of the first run", project.STAGES, project.stages_begun(FOLDER))
    live = project.live_model(FOLDER)
    project.expect("live model", True, live is not None)
    second_s, state, tasks = run(dag, FOLDER)
    project.expect("second run", ("success", all_well), (state, tasks))
    project.expect("work after the second run", project.STAGES, project.stages_begun(FOLDER))
    return first_s, second_s, live


def a_failed_stage_stops_it(dag):
    with tempfile.TemporaryDirectory() as no_project:
        _, state, tasks = run(dag, no_project)
    stopped = dict.fromkeys(project.STAGES, "upstream_failed") | {"collect": "failed"}
    project.expect("run without a project", ("failed", stopped), (state, tasks))


def main():
    dag = the_file_is_imported()
    first_s, second_s, live = it_runs_and_a_second_run_finds_all_up_to_date(dag)
    a_failed_stage_stops_it(dag)
    print(
        f"airflow: DAG imported without errors; {len(project.STAGES)} tasks run in {first_s:.1f} s, "
        f"again in {second_s:.1f} s with nothing to do; {live} is live"
    )


main()
