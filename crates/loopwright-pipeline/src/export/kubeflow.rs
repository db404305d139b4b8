//! A Kubeflow Pipelines file: the intermediate representation (IR) of KFP 2, schema version 2.1.0, as its own compiler
//! would write it.
//!
//! Its first document is a `PipelineSpec`: each stage is a container that runs one command of `loopwright` on the
//! project folder, and the order is in `dependentTasks`. Its second document is the `PlatformSpec` for Kubernetes, which
//! mounts the folder's volume into every container. What differs between clusters is a parameter of the pipeline:
//!
//! | parameter | default | what it names |
//! |---|---|---|
//! | `image` | `loopwright:latest` | an image with `loopwright` on its `PATH` |
//! | `claim` | `loopwright-project` | the PersistentVolumeClaim that holds the project |
//! | `project_dir` | `/project` | the project folder in the container; the claim is mounted at `/project` |
//!
//! KFP's cache is switched off, because a stage looks itself whether it is up to date.

use crate::graph::{NODES, Node};

/// Where the claim is mounted. A parameter cannot stand here: KFP wants a constant.
const MOUNT_PATH: &str = "/project";

/// The IR of the loop's pipeline, as YAML.
pub fn kubeflow_ir(loop_name: &str) -> String {
    let components: String = NODES.iter().map(component).collect();
    let executors: String = NODES.iter().map(|node| executor(node, loop_name)).collect();
    let tasks: String = NODES.iter().map(task).collect();
    let parameters: String = PARAMETERS.iter().map(parameter).collect();
    let mounts: String = NODES.iter().map(mount).collect();
    let pipeline_name = dns_name(loop_name);
    format!(
        "\
# Written by `loopwright export kubeflow`. It needs no compiler: upload it to Kubeflow Pipelines as it is.
components:
{components}deploymentSpec:
  executors:
{executors}pipelineInfo:
  description: The {loop_name} loop of Loopwright, stage by stage.
  name: {pipeline_name}
root:
  dag:
    tasks:
{tasks}  inputDefinitions:
    parameters:
{parameters}schemaVersion: 2.1.0
sdkVersion: kfp-2.17.3
---
platforms:
  kubernetes:
    deploymentSpec:
      executors:
{mounts}"
    )
}

/// Name, default and description of the pipeline's parameters.
const PARAMETERS: [(&str, &str, &str); 3] = [
    ("claim", "loopwright-project", "The PersistentVolumeClaim that holds the project."),
    ("image", "loopwright:latest", "An image with loopwright on its PATH."),
    ("project_dir", MOUNT_PATH, "The project folder in the container; the claim is mounted at /project."),
];

fn parameter((name, default, description): &(&str, &str, &str)) -> String {
    format!(
        "      {name}:
        defaultValue: {default}
        description: {description}
        isOptional: true
        parameterType: STRING
"
    )
}

fn component(node: &Node) -> String {
    format!(
        "  comp-{0}:
    executorLabel: exec-{0}
    inputDefinitions:
      parameters:
        project_dir:
          parameterType: STRING
",
        node.name
    )
}

/// The container. A loop may be called `true` or `1`, which YAML would not read as text without quotes.
fn executor(node: &Node, loop_name: &str) -> String {
    let argv: String = node.argv.iter().map(|arg| format!("        - {arg}\n")).collect();
    format!(
        "    exec-{name}:
      container:
        args:
{argv}        - --project
        - '{{{{$.inputs.parameters[''project_dir'']}}}}'
        - --loop
        - '{loop_name}'
        command:
        - loopwright
        image: '{{{{$.inputs.parameters[''pipelinechannel--image'']}}}}'
",
        name = node.name
    )
}

/// The place in the order. An image that is a parameter reaches its task through the two inputs that KFP's own compiler
/// makes for it.
fn task(node: &Node) -> String {
    let before: String = node.after.iter().map(|before| format!("        - {before}\n")).collect();
    let after = if before.is_empty() { String::new() } else { format!("        dependentTasks:\n{before}") };
    format!(
        "      {name}:
        cachingOptions: {{}}
        componentRef:
          name: comp-{name}
{after}        inputs:
          parameters:
            base_image:
              runtimeValue:
                constant: '{{{{$.inputs.parameters[''pipelinechannel--image'']}}}}'
            pipelinechannel--image:
              componentInputParameter: image
            project_dir:
              componentInputParameter: project_dir
        taskInfo:
          name: {name}
",
        name = node.name
    )
}

/// The volume. `componentInputParameter` stands twice for backends from before `pvcNameParameter`.
fn mount(node: &Node) -> String {
    format!(
        "        exec-{}:
          pvcMount:
          - componentInputParameter: claim
            mountPath: {MOUNT_PATH}
            pvcNameParameter:
              componentInputParameter: claim
",
        node.name
    )
}

/// Pipeline names are lower-case letters, digits and `-`.
fn dns_name(loop_name: &str) -> String {
    format!("loopwright-{}", loop_name.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_its_four_places_in_order() {
        let ir = kubeflow_ir("support");
        for node in NODES {
            for place in [
                format!("\n  comp-{}:\n", node.name),
                format!("\n    exec-{}:\n", node.name),
                format!("\n      {}:\n", node.name),
                format!("\n        exec-{}:\n", node.name),
            ] {
                assert_eq!(ir.matches(&place).count(), 1, "{place}");
            }
        }
    }

    #[test]
    fn placeholders_come_out_as_kfp_reads_them() {
        let ir = kubeflow_ir("support");
        assert_eq!(ir.matches("- '{{$.inputs.parameters[''project_dir'']}}'\n").count(), NODES.len());
        assert!(!ir.contains("{{{") && !ir.contains("}}}"), "{ir}");
    }

    #[test]
    fn a_stage_waits_for_the_ones_before() {
        let collect = task(&NODES[0]);
        assert!(!collect.contains("dependentTasks"), "{collect}");
        let curate = task(&NODES[1]);
        assert!(curate.contains("        dependentTasks:\n        - collect\n        inputs:\n"), "{curate}");
    }

    #[test]
    fn a_loop_called_true_stays_text() {
        assert!(executor(&NODES[0], "true").contains("        - --loop\n        - 'true'\n"));
    }

    #[test]
    fn the_pipeline_has_a_name_that_kubernetes_takes() {
        assert!(kubeflow_ir("my_desk").contains("\n  name: loopwright-my-desk\n"));
    }
}
