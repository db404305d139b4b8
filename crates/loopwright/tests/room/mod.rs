//! A project in a folder of its own, worked on through the binary.

use serde_json::Value;
use std::{fs, path::PathBuf, process::Command};
use tempfile::TempDir;

/// A project without people's files, with these sources.
pub struct Room {
    dir: TempDir,
}

impl Room {
    pub fn new(sources: &str, settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sources")).unwrap();
        let file = format!(
            "[project]\nname = \"room\"\n[data.mail]\nsources = {sources}\ncustomers = \"\"\nlanguages = []\n{settings}"
        );
        fs::write(dir.path().join("loopwright.toml"), file).unwrap();
        Self { dir }
    }

    /// A path in the project.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What a command answers.
    pub fn run(&self, args: &[&str]) -> Value {
        let (ok, stdout, stderr) = self.try_run(args);
        assert!(ok, "{args:?}: {stderr}");
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {stdout}"))
    }

    /// Whether a command went well, and what it said.
    pub fn try_run(&self, args: &[&str]) -> (bool, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loopwright"));
        let output = command.args(args).arg("--json").current_dir(self.dir.path()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }
}

/// Messages that share no stretch of words, so that none is a near-duplicate.
pub fn message(n: usize) -> String {
    let words =
        ["kettle", "parcel", "invoice", "voucher", "password", "address", "refund", "lamp", "bicycle", "garden"];
    (0..8).map(|k| format!("{}{}", words[(n * 7 + k * 3) % 10], n * 8 + k)).collect::<Vec<_>>().join(" ")
}
