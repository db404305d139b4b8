//! A Kubeflow Pipelines IR document (PipelineSpec, schema version 2.1.0).
//!
//! Each stage is a container that runs one command of `loopwright` on the project folder; the order is in
//! `dependentTasks`. The image and the project's folder inside it are parameters of the pipeline.

use crate::graph::NODES;
use std::fmt::Write;

/// The IR of the loop's pipeline, as YAML.
pub fn kubeflow_ir(loop_name: &str) -> String {
    let mut yaml = String::new();
    let mut line = |text: &str| writeln!(yaml, "{text}").expect("writing to a String cannot fail");
    line(
        "# Written by `loopwright export kubeflow`. Submit it to Kubeflow Pipelines, or compile nothing: it is the IR.",
    );
    line("# The containers need the project folder mounted at the path in `project_dir`.");
    line("components:");
    for node in NODES {
        line(&format!("  comp-{}:", node.name));
        line(&format!("    executorLabel: exec-{}", node.name));
        line("    inputDefinitions:");
        line("      parameters:");
        line("        project_dir:");
        line("          parameterType: STRING");
    }
    line("deploymentSpec:");
    line("  executors:");
    for node in NODES {
        line(&format!("    exec-{}:", node.name));
        line("      container:");
        line("        image: loopwright:latest");
        line("        command:");
        line("        - loopwright");
        line("        args:");
        for arg in node.argv {
            line(&format!("        - {arg}"));
        }
        line("        - --loop");
        line(&format!("        - {loop_name}"));
        line("        - --project");
        line("        - '{{$.inputs.parameters[''project_dir'']}}'");
    }
    line("pipelineInfo:");
    line(&format!("  name: {}", dns_name(loop_name)));
    line(&format!("  description: The {loop_name} loop of Loopwright, stage by stage."));
    line("root:");
    line("  dag:");
    line("    tasks:");
    for node in NODES {
        line(&format!("      {}:", node.name));
        line("        cachingOptions: {}");
        line("        componentRef:");
        line(&format!("          name: comp-{}", node.name));
        if !node.after.is_empty() {
            line("        dependentTasks:");
            for before in node.after {
                line(&format!("        - {before}"));
            }
        }
        line("        inputs:");
        line("          parameters:");
        line("            project_dir:");
        line("              componentInputParameter: project_dir");
        line("        taskInfo:");
        line(&format!("          name: {}", node.name));
    }
    line("  inputDefinitions:");
    line("    parameters:");
    line("      project_dir:");
    line("        defaultValue: /project");
    line("        description: Where the project folder is mounted.");
    line("        isOptional: true");
    line("        parameterType: STRING");
    line("schemaVersion: 2.1.0");
    line("sdkVersion: kfp-2.14.0");
    yaml
}

/// Pipeline names are lower-case letters, digits and `-`.
fn dns_name(name: &str) -> String {
    format!("loopwright-{}", name.replace('_', "-"))
}
