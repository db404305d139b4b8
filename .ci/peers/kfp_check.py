"""Hands an exported IR file to Kubeflow Pipelines' own code: `kfp_check.py FILE PROJECT_FOLDER`.

1. Parsed into KFP's protocol buffers, an unknown field is an error; so is one in the Kubernetes part.
2. The file means what KFP's own compiler writes for the same pipeline, message for message.
3. KFP's loader and its local orchestrator run it: they order the tasks, resolve inputs and placeholders, start the
   commands and take their exit codes.

One thing is not KFP's: its SubprocessRunner refuses containers, because it does not enter images. Here the refusal is
lifted, and `loopwright` on the PATH stands for the image.
"""

import pathlib
import sys
import tempfile
import time
import warnings

import yaml
from google.protobuf import json_format
from kfp import compiler, components, dsl, kubernetes, local
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.local import subprocess_task_handler
from kfp.pipeline_spec import pipeline_spec_pb2

import project

IR, FOLDER = sys.argv[1], sys.argv[2]


class OnThePath(subprocess_task_handler.SubprocessTaskHandler):
    """KFP's runner of local commands, for containers whose program is on the PATH."""

    commands = []

    def validate_image(self, image):
        pass

    def validate_not_container_component(self, full_command):
        pass

    def run(self):
        self.commands.append(self.full_command)
        return super().run()


def parse(text):
    """The two documents of a file as KFP's messages. An unknown field anywhere is refused."""
    pipeline, platform = yaml.safe_load_all(text)
    spec = json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())
    executors = spec.deployment_spec["executors"]
    deployment = json_format.MessageToDict(spec.deployment_spec)
    json_format.ParseDict(deployment, pipeline_spec_pb2.PipelineDeploymentConfig())
    on_kubernetes = json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec()).platforms["kubernetes"]
    configs = {
        name: json_format.ParseDict(
            json_format.MessageToDict(config), kubernetes_executor_config_pb2.KubernetesExecutorConfig()
        )
        for name, config in on_kubernetes.deployment_spec.executors.items()
    }
    project.expect("executors with a volume", sorted(executors), sorted(configs))
    return spec, configs


def stage_component(stage):
    def component(project_dir: str):
        args = ["run", stage, "--project", project_dir, "--loop", project.LOOP]
        return dsl.ContainerSpec(image="loopwright:latest", command=["loopwright"], args=args)

    component.__name__ = stage
    return dsl.container_component(component)


def compiled_by_kfp():
    """The same pipeline, written in KFP's language and compiled by KFP."""
    stages = [stage_component(stage) for stage in project.STAGES]

    @dsl.pipeline(name=f"loopwright-{project.LOOP}")
    def pipeline(
        project_dir: str = "/project", image: str = "loopwright:latest", claim: str = "loopwright-project"
    ):
        before = None
        for stage in stages:
            task = stage(project_dir=project_dir).set_caching_options(False).set_container_image(image)
            kubernetes.mount_pvc(task, pvc_name=claim, mount_path="/project")
            if before:
                task.after(before)
            before = task

    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "pipeline.yaml")
        compiler.Compiler().compile(pipeline, str(file))
        return parse(file.read_text())


def without_words(spec):
    """The spec without descriptions and the version of the compiler, which are no part of what runs."""
    spec = json_format.MessageToDict(spec)
    spec.pop("sdkVersion")
    spec["pipelineInfo"].pop("description", None)
    for parameter in spec["root"]["inputDefinitions"]["parameters"].values():
        parameter.pop("description", None)
    return spec


def the_file_is_kfps_own_language():
    spec, configs = parse(pathlib.Path(IR).read_text())
    tasks = spec.root.dag.tasks
    before = {stage: list(tasks[stage].dependent_tasks) for stage in project.STAGES}
    chain = {stage: project.STAGES[max(at - 1, 0) : at] for at, stage in enumerate(project.STAGES)}
    project.expect("tasks", sorted(project.STAGES), sorted(tasks))
    project.expect("what each task waits for", chain, before)
    own_spec, own_configs = compiled_by_kfp()
    project.expect("pipeline", without_words(own_spec), without_words(spec))
    project.expect("volumes", own_configs, configs)


def run(folder):
    """Runs the pipeline and returns how long it took and which stages it started."""
    OnThePath.commands.clear()
    began = time.monotonic()
    components.load_component_from_file(IR)(project_dir=folder)
    return time.monotonic() - began, [command[2] for command in OnThePath.commands]


def it_runs_and_a_second_run_finds_all_up_to_date():
    first_s, started = run(FOLDER)
    project.expect("tasks of the first run", project.STAGES, started)
    project.expect("work of the first run", project.STAGES, project.stages_begun(FOLDER))
    live = project.live_model(FOLDER)
    project.expect("live model", True, live is not None)
    second_s, started = run(FOLDER)
    project.expect("tasks of the second run", project.STAGES, started)
    project.expect("work after the second run", project.STAGES, project.stages_begun(FOLDER))
    return first_s, second_s, live


def a_failed_stage_stops_it():
    with tempfile.TemporaryDirectory() as no_project:
        try:
            run(no_project)
        except RuntimeError as error:
            project.expect("tasks after a failure", project.STAGES[:1], [c[2] for c in OnThePath.commands])
            project.expect("the failed task is named", True, "collect" in str(error))
            return
    raise SystemExit("a pipeline whose first stage fails must fail")


def main():
    warnings.simplefilter("ignore", FutureWarning)
    subprocess_task_handler.SubprocessTaskHandler = OnThePath
    the_file_is_kfps_own_language()
    with tempfile.TemporaryDirectory() as root:
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=root)
        first_s, second_s, live = it_runs_and_a_second_run_finds_all_up_to_date()
        a_failed_stage_stops_it()
    print(
        f"kubeflow: IR equals what KFP's compiler writes; {len(project.STAGES)} tasks run in {first_s:.1f} s, "
        f"again in {second_s:.1f} s with nothing to do; {live} is live"
    )


main()
