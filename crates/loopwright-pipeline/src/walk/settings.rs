//! How a demo is sized, and whether a folder holds the same one.

use crate::error::{Doing, Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How large the example is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// A few thousand messages: what the demo is about.
    #[default]
    Full,
    /// A few hundred: the same walk for tests.
    Small,
}

/// What a demo is made of. Kept in the folder, so that a resumed demo is the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoSettings {
    /// How large.
    pub size: Size,
    /// A folder with `train.csv` and `test.csv` to use instead of the example's own rows.
    pub data: Option<PathBuf>,
    /// Seed of the example and of everything made from it.
    pub seed: u64,
}

/// The file that marks a demo's folder.
const MARK: &str = ".loopwright-demo.json";

/// What a folder is, seen by a demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// Absent or empty.
    New,
    /// Holds this very demo, begun or finished.
    Same,
}

/// Looks at the folder; refuses one that holds something else.
pub fn look_at(dir: &Path, settings: &DemoSettings) -> Result<Folder> {
    let mark = dir.join(MARK);
    if mark.exists() {
        let text = std::fs::read_to_string(&mark).outside(|| format!("failed to read `{}`", mark.display()))?;
        let before: DemoSettings =
            serde_json::from_str(&text).outside(|| format!("`{}` is damaged", mark.display()))?;
        if before == *settings {
            return Ok(Folder::Same);
        }
        return Err(Error::user(format!(
            "`{}` holds a demo with other settings ({})",
            dir.display(),
            before.in_words()
        ))
        .hint("name another folder with `--dir`, repeat those settings to go on with it, or delete it"));
    }
    let is_empty = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).outside(|| format!("failed to look into `{}`", dir.display())),
    };
    if is_empty {
        return Ok(Folder::New);
    }
    Err(Error::user(format!("`{}` is not empty and holds no demo", dir.display()))
        .hint("name another folder with `--dir`"))
}

impl DemoSettings {
    /// Writes the mark.
    pub fn mark(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::bug("failed to write settings as JSON").because(error))?;
        crate::project::write_whole(&dir.join(MARK), &text)
    }

    fn in_words(&self) -> String {
        let size = match self.size {
            Size::Full => "full size",
            Size::Small => "`--size small`",
        };
        match &self.data {
            Some(data) => format!("{size}, `--data {}`, seed {}", data.display(), self.seed),
            None => format!("{size}, seed {}", self.seed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_new_the_same_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let settings = DemoSettings { size: Size::Small, data: None, seed: 7 };
        assert_eq!(look_at(dir.path(), &settings).unwrap(), Folder::New);
        assert_eq!(look_at(&dir.path().join("absent"), &settings).unwrap(), Folder::New);
        settings.mark(dir.path()).unwrap();
        assert_eq!(look_at(dir.path(), &settings).unwrap(), Folder::Same);
        let other = DemoSettings { seed: 8, ..settings.clone() };
        assert!(look_at(dir.path(), &other).unwrap_err().to_string().contains("other settings"));
        std::fs::remove_file(dir.path().join(MARK)).unwrap();
        std::fs::write(dir.path().join("mine.txt"), "x").unwrap();
        assert!(look_at(dir.path(), &settings).unwrap_err().to_string().contains("not empty"));
    }
}
