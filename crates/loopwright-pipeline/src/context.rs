//! What every job works with.

use crate::{
    error::Result,
    progress::{Progress, SharedReport, Silent},
    project::{LoopSettings, Project},
};
use loopwright_data::clean::{html, repair, whitespace};
use loopwright_guard::{PiiKind, RedactPolicy, Redactor};
use loopwright_sources::ChildCommand;
use loopwright_store::Store;
use loopwright_types::Timestamp;
use std::{ffi::OsString, sync::Arc};

/// A project, its store and somebody to report to.
#[derive(Clone)]
pub struct Context {
    /// Everything kept.
    pub store: Store,
    /// The resolved project.
    pub project: Arc<Project>,
    /// Who hears of progress.
    pub report: SharedReport,
    /// Written into events: `cli`, `worker`, `demo`.
    pub actor: &'static str,
    /// Masks personal data by the project's policy.
    pub redactor: Arc<Redactor>,
    /// The program that parses source files that cannot be trusted; without it they are parsed in this process.
    pub reading_child: Option<ChildCommand>,
    /// The Python of the variable `LOOPWRIGHT_PYTHON`, for what runs in PyTorch.
    pub python: Option<OsString>,
}

/// Names the Python for what runs in PyTorch, where the project file names none.
const PYTHON_VARIABLE: &str = "LOOPWRIGHT_PYTHON";

impl Context {
    /// Opens the store of a project (making it if need be).
    pub async fn open(project: Project, report: SharedReport, actor: &'static str) -> Result<Self> {
        let store = Store::create_or_open(&project.dir).await?;
        let redactor = Arc::new(Redactor::new(&policy(&project)));
        let python = std::env::var_os(PYTHON_VARIABLE).filter(|python| !python.is_empty());
        Ok(Self { store, project: Arc::new(project), report, actor, redactor, reading_child: None, python })
    }

    /// Has untrusted source files parsed by this program.
    pub fn with_reading_child(self, child: ChildCommand) -> Self {
        Self { reading_child: Some(child), ..self }
    }

    /// The same context for quiet work in the background.
    pub fn quiet(&self, actor: &'static str) -> Self {
        Self { report: Arc::new(Silent), actor, ..self.clone() }
    }

    /// Says a sentence.
    pub fn say(&self, line: impl AsRef<str>) {
        self.report.say(line.as_ref());
    }

    /// Reports progress.
    pub fn progress(&self, what: &str, done: u64, total: u64, note: String) {
        self.report.progress(&Progress { what: what.into(), done, total, note });
    }

    /// The named loop or the only one.
    pub fn the_loop(&self, name: Option<&str>) -> Result<LoopSettings> {
        self.project.the_loop(name).cloned()
    }

    /// A message in the form that models of this project learn from: repaired, normalised, personal data masked.
    pub fn prepare(&self, text: &str) -> String {
        prepare(&self.redactor, text)
    }

    /// The day that chat templates are given: the project's, or today.
    pub fn template_date(&self) -> Timestamp {
        self.project.project.template_date().unwrap_or_else(|| self.store.now().day())
    }

    /// The project's seed, varied by purpose so that two uses never share a stream.
    pub fn seed_for(&self, purpose: &str) -> u64 {
        let digest =
            loopwright_types::Digest::of_parts([&self.project.project.seed.to_le_bytes()[..], purpose.as_bytes()]);
        u64::from_str_radix(&digest.hex()[..16], 16).expect("sixteen hex digits make a u64")
    }
}

fn policy(project: &Project) -> RedactPolicy {
    let is_asked = |kind: &PiiKind| project.policy.mask.contains(kind.as_str());
    RedactPolicy { kinds: PiiKind::ALL.into_iter().filter(is_asked).collect() }
}

/// Brings a message into the form of curated rows: repaired, normalised, personal data masked.
pub fn prepare(redactor: &Redactor, text: &str) -> String {
    let text = whitespace::normalise(&html::strip(&repair::repair(text)));
    redactor.redact(&text, &[]).text
}
