//! Every path of a project, in one place: no other code joins path segments.
//!
//! A name becomes one path segment by [`segment`]: letters, digits, `-`, `_`, `.` and `@` stay, all else is written
//! `!` and two hex digits per byte. So a name can neither leave its folder nor collide with another.

use loopwright_types::{
    DatasetRef, ModelRef,
    id::{ErasureId, RunId},
};
use std::path::{Path, PathBuf};

/// The folders and files of a project on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    project: PathBuf,
}

impl Layout {
    /// The layout of the project in this folder.
    pub fn new(project: impl Into<PathBuf>) -> Self {
        Self { project: project.into() }
    }

    /// The project folder itself.
    pub fn project(&self) -> &Path {
        &self.project
    }

    /// `loopwright.toml`, the project's settings.
    pub fn config(&self) -> PathBuf {
        self.project.join("loopwright.toml")
    }

    /// `sources/`: raw input, in clear, owned by the user.
    pub fn sources(&self) -> PathBuf {
        self.project.join("sources")
    }

    /// `exports/`: what we write for the user.
    pub fn exports(&self) -> PathBuf {
        self.project.join("exports")
    }

    /// `.loopwright/`: what we keep for ourselves.
    pub fn state(&self) -> PathBuf {
        self.project.join(".loopwright")
    }

    /// `.loopwright/records.db`: the SQLite database.
    pub fn records(&self) -> PathBuf {
        self.state().join("records.db")
    }

    /// `.loopwright/objects/`: root of all [`ObjectKey`]s.
    pub fn objects(&self) -> PathBuf {
        self.state().join("objects")
    }

    /// `.loopwright/tables/`: root of all [`TableKey`]s.
    pub fn tables(&self) -> PathBuf {
        self.state().join("tables")
    }

    /// `.loopwright/spill/`: what queries put aside when memory is short; emptied afterwards.
    pub fn spill(&self) -> PathBuf {
        self.state().join("spill")
    }

    /// `.loopwright/curation/`: what curations put aside, a folder each; gone when they are done.
    pub fn curations(&self) -> PathBuf {
        self.state().join("curation")
    }

    /// The folder of a dataset's curation.
    pub fn curation(&self, dataset: &str) -> PathBuf {
        self.curations().join(segment(dataset))
    }

    /// A dataset's stand-ins for personal data, sealed.
    pub fn stand_ins(&self, dataset: &str) -> PathBuf {
        self.state().join("stand_ins").join(segment(dataset))
    }

    /// `.loopwright/secrets/`: keys that only the owner may read.
    pub fn secrets(&self) -> PathBuf {
        self.state().join("secrets")
    }

    /// One secret's file.
    pub fn secret(&self, name: &str) -> PathBuf {
        self.secrets().join(segment(name))
    }

    /// `.loopwright/journal/`: what servers wrote down and the database does not have yet.
    pub fn journals(&self) -> PathBuf {
        self.state().join("journal")
    }

    /// The files of one server's journal.
    pub fn journal(&self, slot: u32) -> PathBuf {
        self.journals().join(slot.to_string())
    }

    /// One of them.
    pub fn journal_segment(&self, slot: u32, number: u64) -> PathBuf {
        self.journal(slot).join(format!("{number:016}.log"))
    }

    /// Held by the server that writes into this journal.
    pub fn journal_lock(&self, slot: u32) -> PathBuf {
        self.journals().join(format!("{slot}.lock"))
    }

    /// Held while a process opens or migrates the database.
    pub fn open_lock(&self) -> PathBuf {
        self.state().join("open.lock")
    }

    /// Held while a process writes tables.
    pub fn tables_lock(&self) -> PathBuf {
        self.state().join("tables.lock")
    }
}

/// Names an object, or a folder of objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKey {
    /// Everything.
    Root,
    /// All files of a model version.
    ModelDir {
        /// The version.
        model: ModelRef,
    },
    /// A file of a model version, e.g. `model.safetensors`.
    ModelFile {
        /// The version.
        model: ModelRef,
        /// The file's name.
        file: String,
    },
    /// All checkpoints of a run.
    CheckpointDir {
        /// The run.
        run: RunId,
    },
    /// A file of a run's checkpoints; `/` makes sub-folders.
    Checkpoint {
        /// The run.
        run: RunId,
        /// The file's name.
        file: String,
    },
    /// What the model answered to the sample prompts of a run.
    Samples {
        /// The run.
        run: RunId,
    },
    /// A model version's OCI image layout.
    PackageDir {
        /// The version.
        model: ModelRef,
    },
    /// A file of an image layout; `/` makes sub-folders, e.g. `blobs/sha256/…`.
    Package {
        /// The version.
        model: ModelRef,
        /// Path inside the layout.
        path: String,
    },
    /// The signed receipt of an erasure.
    Receipt {
        /// The erasure.
        erasure: ErasureId,
    },
    /// A report for people; `/` makes sub-folders.
    Report {
        /// Its name with extension.
        name: String,
    },
    /// What a finished pipeline step left for the next run of the same pipeline; `/` makes sub-folders.
    Step {
        /// The step's cache key.
        name: String,
    },
}

impl ObjectKey {
    /// The path under the object root, with `/` between segments.
    ///
    /// ```
    /// # use loopwright_store::key::ObjectKey;
    /// # use loopwright_types::ModelRef;
    /// let key = ObjectKey::ModelFile { model: ModelRef::new("a/b", 2), file: "config.json".into() };
    /// assert_eq!(key.path(), "models/a!2Fb/2/config.json");
    /// ```
    pub fn path(&self) -> String {
        let versioned = |root: &str, model: &ModelRef| format!("{root}/{}/{}", segment(&model.name), model.version);
        match self {
            Self::Root => String::new(),
            Self::ModelDir { model } => versioned("models", model),
            Self::ModelFile { model, file } => format!("{}/{}", versioned("models", model), segment(file)),
            Self::CheckpointDir { run } => format!("checkpoints/{}", segment(run.as_str())),
            Self::Checkpoint { run, file } => format!("checkpoints/{}/{}", segment(run.as_str()), segments(file)),
            Self::Samples { run } => format!("samples/{}.json", segment(run.as_str())),
            Self::PackageDir { model } => versioned("packages", model),
            Self::Package { model, path } => format!("{}/{}", versioned("packages", model), segments(path)),
            Self::Receipt { erasure } => format!("receipts/{}.json", segment(erasure.as_str())),
            Self::Report { name } => format!("reports/{}", segments(name)),
            Self::Step { name } => format!("steps/{}", segments(name)),
        }
    }
}

/// Names a table of rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableKey {
    /// Rows as they were collected, in clear ([`loopwright_types::SourceRow`]).
    Raw {
        /// The dataset's name.
        dataset: String,
    },
    /// Lines that could not be read ([`loopwright_types::dataset::RejectedRow`]).
    Rejected {
        /// The dataset's name.
        dataset: String,
    },
    /// The rows of a version ([`loopwright_types::Example`]).
    Examples(DatasetRef),
    /// The rows left out of a version ([`loopwright_types::dataset::DroppedRow`]).
    Dropped(DatasetRef),
}

impl TableKey {
    /// The folder under the table root.
    ///
    /// ```
    /// # use loopwright_store::key::TableKey;
    /// # use loopwright_types::DatasetRef;
    /// assert_eq!(TableKey::Examples(DatasetRef::new("support", 1)).path(), "support/examples@1");
    /// ```
    pub fn path(&self) -> String {
        match self {
            Self::Raw { dataset } => format!("{}/raw", segment(dataset)),
            Self::Rejected { dataset } => format!("{}/rejected", segment(dataset)),
            Self::Examples(version) => format!("{}/examples@{}", segment(&version.name), version.version),
            Self::Dropped(version) => format!("{}/dropped@{}", segment(&version.name), version.version),
        }
    }

    /// The key whose [`path`](Self::path) this is, if any.
    pub fn from_path(path: &str) -> Option<Self> {
        let (dataset, table) = path.split_once('/')?;
        let dataset = from_segment(dataset)?;
        match table {
            "raw" => return Some(Self::Raw { dataset }),
            "rejected" => return Some(Self::Rejected { dataset }),
            _ => {}
        }
        let (kind, version) = table.split_once('@')?;
        let version = DatasetRef::new(dataset, version.parse().ok().filter(|v| *v > 0)?);
        match kind {
            "examples" => Some(Self::Examples(version)),
            "dropped" => Some(Self::Dropped(version)),
            _ => None,
        }
    }

    /// The name in SQL, e.g. `examples_support_1`: lower case, every other character than `a-z`, `0-9` is `_`.
    pub fn sql_name(&self) -> String {
        let name = match self {
            Self::Raw { dataset } => format!("raw_{dataset}"),
            Self::Rejected { dataset } => format!("rejected_{dataset}"),
            Self::Examples(version) => format!("examples_{}_{}", version.name, version.version),
            Self::Dropped(version) => format!("dropped_{}_{}", version.name, version.version),
        };
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        name.chars().map(plain).collect()
    }
}

impl std::fmt::Display for TableKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Raw { dataset } => write!(f, "raw rows of `{dataset}`"),
            Self::Rejected { dataset } => write!(f, "rejected rows of `{dataset}`"),
            Self::Examples(version) => write!(f, "dataset version `{version}`"),
            Self::Dropped(version) => write!(f, "dropped rows of `{version}`"),
        }
    }
}

/// A name as one path segment (see the module's text). An empty name becomes `!`.
pub fn segment(name: &str) -> String {
    if name.is_empty() {
        return "!".to_string();
    }
    let dots_only = name.bytes().all(|b| b == b'.');
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'@') || (byte == b'.' && !dots_only);
        if plain {
            text.push(byte as char);
        } else {
            text.push_str(&format!("!{byte:02X}"));
        }
    }
    text
}

/// The name that [`segment`] wrote like this.
fn from_segment(text: &str) -> Option<String> {
    if text == "!" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('!') {
        bytes.extend_from_slice(plain.as_bytes());
        bytes.push(u8::from_str_radix(escaped.get(..2)?, 16).ok()?);
        rest = &escaped[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

/// The name behind a segment; a segment that [`segment`] did not write is its own name.
pub(crate) fn unescaped(text: &str) -> String {
    from_segment(text).unwrap_or_else(|| text.to_string())
}

fn segments(path: &str) -> String {
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_name_leaves_its_folder() {
        let step = |name: &str| ObjectKey::Step { name: name.into() }.path();
        assert_eq!(step("../../etc/passwd"), "steps/!2E!2E/!2E!2E/etc/passwd");
        assert_eq!(step("/a"), "steps/!/a");
        let report = ObjectKey::Receipt { erasure: ErasureId::new("../x") };
        assert_eq!(report.path(), "receipts/..!2Fx.json");
    }

    proptest! {
        #[test]
        fn table_keys_round_trip(name in ".{0,12}", version in 1u32..) {
            let version = DatasetRef::new(name.clone(), version);
            let keys = [
                TableKey::Raw { dataset: name.clone() },
                TableKey::Rejected { dataset: name },
                TableKey::Examples(version.clone()),
                TableKey::Dropped(version),
            ];
            for key in keys {
                let path = key.path();
                prop_assert_eq!(path.matches('/').count(), 1);
                prop_assert!(!path.split('/').any(|segment| segment == ".."), "{}", path);
                prop_assert_eq!(TableKey::from_path(&path), Some(key));
            }
        }
    }
}
