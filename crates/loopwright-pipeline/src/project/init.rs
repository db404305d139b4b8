//! `loopwright init`: a new project folder, ready for version control.

use super::written::{DEFAULT_FILE, FILE_NAME};
use crate::error::{Doing, Error, Result};
use std::path::{Path, PathBuf};

/// Where the CI workflow goes.
pub const WORKFLOW_PATH: &str = ".github/workflows/loopwright-gate.yml";

/// Runs the gate whenever data, recipe or model change, and keeps the report.
const WORKFLOW: &str = include_str!("gate-workflow.yml");

/// What must not be versioned: everything that the program makes.
const GITIGNORE: &str = "/.loopwright/\n/exports/\n";

/// Makes a project in `dir` and returns the files written. Refuses to touch an existing project.
pub fn init(dir: &Path) -> Result<Vec<PathBuf>> {
    let file = dir.join(FILE_NAME);
    if file.exists() {
        return Err(Error::user(format!("`{}` is there already", file.display()))
            .hint("change it with an editor; `loopwright run` brings the project up to date"));
    }
    let mut written = Vec::new();
    for (path, text) in [(".gitignore", GITIGNORE), (WORKFLOW_PATH, WORKFLOW), (FILE_NAME, DEFAULT_FILE)] {
        let path = dir.join(path);
        if path.exists() {
            continue;
        }
        write_whole(&path, text)?;
        written.push(path);
    }
    let sources = dir.join("sources");
    std::fs::create_dir_all(&sources).outside(|| format!("failed to make the folder `{}`", sources.display()))?;
    Ok(written)
}

/// Writes a file whole or not at all.
pub fn write_whole(path: &Path, text: &str) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).outside(|| format!("failed to make the folder `{}`", parent.display()))?;
    let partial = path.with_extension("partial");
    std::fs::write(&partial, text)
        .and_then(|()| std::fs::rename(&partial, path))
        .outside(|| format!("failed to write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_init_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(init(dir.path()).unwrap().len(), 3);
        let error = init(dir.path()).unwrap_err();
        assert!(error.to_string().contains("is there already"), "{error}");
    }

    #[test]
    fn the_workflow_calls_the_gate_on_data_recipe_and_model() {
        for word in ["loopwright gate", "loopwright.toml", "sources/**", "pull_request"] {
            assert!(WORKFLOW.contains(word), "{word}");
        }
    }
}
