//! A small demo in a temporary folder, run through the binary.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// A demo's folder and how to run it.
pub struct Demo {
    scratch: TempDir,
}

impl Demo {
    pub fn new() -> Self {
        Self { scratch: tempfile::tempdir().unwrap() }
    }

    pub fn dir(&self) -> PathBuf {
        self.scratch.path().join("demo")
    }

    fn demo_command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loopwright"));
        command.args(["demo", "--once", "--json", "--size", "small", "--port", "0", "--dir"]).arg(self.dir());
        command
    }

    /// Runs the demo to its end and returns its summary.
    pub fn run_to_the_end(&self) -> Value {
        let output = self.demo_command().output().unwrap();
        let talk = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the demo failed:\n{talk}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("stdout is not JSON: {error}\n{talk}"))
    }

    /// Starts the demo and kills it (SIGKILL) as soon as its event log tells an event of this kind that was not there
    /// before.
    pub fn kill_when_the_log_tells(&self, kind: &str) {
        let n_before = self.n_events(kind);
        let mut child = self.demo_command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while self.n_events(kind) == n_before {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "the demo ended ({ended:?}) before its log told `{kind}`");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Events of a kind; none as long as there is no project.
    fn n_events(&self, kind: &str) -> usize {
        let output = self.run(&["audit", "list", "--limit", "100000"]);
        let Ok(events) = serde_json::from_slice::<Value>(&output.stdout) else { return 0 };
        events.as_array().into_iter().flatten().filter(|event| event["kind"] == kind).count()
    }

    /// Another command on the same project, its JSON output.
    pub fn command(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        let talk = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{args:?}` failed:\n{talk}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("stdout is not JSON: {error}\n{talk}"))
    }

    fn run(&self, args: &[&str]) -> std::process::Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loopwright"));
        command.args(args).args(["--json", "--project"]).arg(self.dir()).output().unwrap()
    }

    /// The same example, made anew in a folder of its own and stopped right after: `example/` in the returned folder.
    pub fn example_again(&self) -> TempDir {
        let other = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_loopwright"))
            .args(["demo", "--once", "--size", "small", "--port", "0", "--dir"])
            .arg(other.path().join("example"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        // Its first word comes after the folder is whole.
        child.kill().unwrap();
        child.wait().unwrap();
        other
    }
}

/// Every file under a folder with its bytes.
pub fn walk_files(dir: PathBuf) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![dir];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                files.push((path, bytes));
            }
        }
    }
    files
}
