//! The house rules of this workspace, as a test.
//!
//! ARCHITECTURE.md says which crate may use which, and STYLE.md how a file should look. This test reads the manifests
//! and sources under `crates/` and fails where they say otherwise, so that the two pages stay true:
//!
//! - [`edges`]: which crate may depend on which (the table of floors is held there);
//! - [`shape`]: manifests, folder names, module docs, file names, file and crate sizes;
//! - [`words`]: what code may not say outside the place that it belongs to.
//!
//! Each rule is a pure function from files to problems, with tests beside it that show it failing. A problem is one
//! line that names the place and the way out.

mod code;
mod edges;
mod shape;
mod words;

use std::{fs, path::Path};

/// A file of the workspace: its path from the root, with `/`, and its text.
#[derive(Clone, Debug)]
struct File {
    path: String,
    text: String,
}

impl File {
    #[cfg(test)]
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_string(), text: text.to_string() }
    }

    /// The folder under `crates/` that holds this file.
    fn crate_name(&self) -> &str {
        self.path.split('/').nth(1).unwrap_or_default()
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Is the whole file a test (`tests/…`, `…/tests.rs` or `…_tests.rs`)?
    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs")
    }

    /// Is this the manifest of a crate (and not one of a sample project further down)?
    fn is_manifest(&self) -> bool {
        self.path.ends_with("/Cargo.toml") && self.path.matches('/').count() == 2
    }
}

/// A rule: files in, problems out.
type Rule = fn(&[File]) -> Vec<String>;

const RULES: [(&str, Rule); 9] = [
    ("a crate uses only what the table of floors lists", edges::check),
    ("a manifest carries the folder's name and the workspace's lints", shape::manifests),
    ("lib.rs and main.rs teach", shape::docs),
    ("a file is named after one idea", shape::names),
    ("a file stays under 500 lines before its tests", shape::long_files),
    ("no crate holds more than a quarter of all lines", shape::big_crates),
    ("only the binary prints and exits", words::printing),
    ("only the store names a database or a cloud", words::stores),
    ("nothing is left unfinished", words::unfinished),
];

#[test]
fn the_house_is_in_order() {
    let files = workspace_files();
    let crates = files.iter().filter(|file| file.is_manifest()).count();
    assert!(
        crates > 1 && files.len() > crates,
        "found no workspace to check: {crates} manifests, {} files",
        files.len()
    );
    let mut report = String::new();
    for (name, rule) in RULES {
        for problem in rule(&files) {
            report.push_str(&format!("\n  [{name}] {problem}"));
        }
    }
    assert!(report.is_empty(), "the house rules (ARCHITECTURE.md, STYLE.md) are broken:{report}\n");
}

#[test]
fn the_map_shows_the_house() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ARCHITECTURE.md");
    let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("failed to read ARCHITECTURE.md: {error}"));
    let problems = edges::check_map(&page);
    assert!(problems.is_empty(), "the map is out of date:\n  {}\n", problems.join("\n  "));
}

/// Every manifest and Rust file under `crates/`, sorted by path.
fn workspace_files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    collect(&root.join("crates"), "crates", &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn collect(folder: &Path, path: &str, files: &mut Vec<File>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("failed to list {}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.unwrap_or_else(|error| panic!("failed to list {}: {error}", folder.display()));
        let name = entry.file_name().to_string_lossy().into_owned();
        let (inner, path) = (entry.path(), format!("{path}/{name}"));
        if inner.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(&inner, &path, files);
            }
        } else if name == "Cargo.toml" || name.ends_with(".rs") {
            let text = fs::read_to_string(&inner).unwrap_or_else(|error| panic!("failed to read {path}: {error}"));
            files.push(File { path, text });
        }
    }
}
