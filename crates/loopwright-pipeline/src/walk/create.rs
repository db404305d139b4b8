//! Makes the example project's folder: whole or not at all.

use super::{
    own_data,
    settings::{DemoSettings, Folder, Size, look_at},
};
use crate::{
    error::{Doing, Error, Result},
    project::{self, DEFAULT_FILE, FILE_NAME, write_whole},
};
use loopwright_data::example::{ExampleSettings, generate};
use std::path::Path;

/// The messages of the first month.
pub const MONTH_1: &str = "sources/month-1.csv";
/// The messages of the later month.
pub const MONTH_2: &str = "sources/month-2.csv";
/// Who wrote them.
pub const CUSTOMERS: &str = "sources/customers.csv";

/// The files of an example, as CSV.
pub struct Files {
    /// [`MONTH_1`]
    pub month_1: Vec<u8>,
    /// [`MONTH_2`]
    pub month_2: Vec<u8>,
    /// [`CUSTOMERS`]
    pub customers: Vec<u8>,
}

/// Makes the project unless the folder holds it already.
pub fn create(dir: &Path, settings: &DemoSettings) -> Result<Folder> {
    let folder = look_at(dir, settings)?;
    if folder == Folder::Same {
        return Ok(folder);
    }
    let partial = sibling(dir);
    if partial.exists() {
        std::fs::remove_dir_all(&partial).outside(|| format!("failed to clear `{}`", partial.display()))?;
    }
    let files = match &settings.data {
        None => example_files(settings),
        Some(data) => own_data::files(data, settings)?,
    };
    project::init(&partial)?;
    write_whole(&partial.join(FILE_NAME), &project_file(settings))?;
    for (name, bytes) in [(MONTH_1, files.month_1), (MONTH_2, files.month_2), (CUSTOMERS, files.customers)] {
        let path = partial.join(name);
        std::fs::write(&path, bytes).outside(|| format!("failed to write `{}`", path.display()))?;
    }
    settings.mark(&partial)?;
    if dir.exists() {
        std::fs::remove_dir(dir).outside(|| format!("failed to use the empty folder `{}`", dir.display()))?;
    }
    std::fs::rename(&partial, dir).outside(|| format!("failed to make `{}`", dir.display()))?;
    Ok(folder)
}

fn sibling(dir: &Path) -> std::path::PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    dir.with_file_name(name)
}

fn example_files(settings: &DemoSettings) -> Files {
    let (n_month_1, n_month_2, n_customers) = match settings.size {
        Size::Full => (3600, 1800, 300),
        Size::Small => (1600, 1700, 80),
    };
    let example = generate(&ExampleSettings { seed: settings.seed, n_month_1, n_month_2, n_customers });
    Files { month_1: example.month_1_csv(), month_2: example.month_2_csv(), customers: example.customers_csv() }
}

/// The default project file, with what this demo needs otherwise.
fn project_file(settings: &DemoSettings) -> String {
    let mut text = set(DEFAULT_FILE.to_string(), "seed", &settings.seed.to_string());
    if settings.size == Size::Small {
        for (key, value) in SMALL {
            text = set(text, key, value);
        }
    }
    if settings.data.is_some() {
        for (key, value) in OWN_DATA {
            text = set(text, key, value);
        }
        text = set(text, "name", "\"own data\"");
    }
    text
}

/// Fewer rows, for tests.
const SMALL: [(&str, &str); 6] = [
    ("canary_share_percent", "50"),
    // Fewer judged rows leave wider intervals: the same rules with bounds that so few rows can show.
    ("min_accuracy", "0.4"),
    ("max_regression", "0.2"),
    ("max_group_gap", "0.5"),
    ("n_permutations", "600"),
    ("min_corrections", "20"),
];

/// Many more labels on rows that we did not write.
const OWN_DATA: [(&str, &str); 3] = [("min_accuracy", "0.25"), ("max_group_gap", "1.0"), ("languages", "[]")];

/// Replaces the value of a key of the default file.
fn set(text: String, key: &str, value: &str) -> String {
    let is_key = |line: &&str| line.split('=').next().is_some_and(|name| name.trim() == key);
    let line =
        text.lines().find(is_key).expect("the demo sets only keys of the default file, as a test shows").to_string();
    text.replacen(&line, &format!("{key} = {value}"), 1)
}

/// Refuses a file of the folder that the user named if it cannot be opened, saying what is wrong with it.
pub(super) fn check_readable(path: &Path) -> Result<()> {
    std::fs::File::open(path).map(|_| ()).map_err(|error| {
        Error::user(format!("failed to read `{}`", path.display())).because(error).hint(
            "`--data` wants a folder with `train.csv` and `test.csv`, each with a column of text and one of labels",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Project;

    #[test]
    fn every_sized_project_file_resolves() {
        for size in [Size::Full, Size::Small] {
            for data in [None, Some("x".into())] {
                let settings = DemoSettings { size, data, seed: 11 };
                let project = Project::resolve(&project_file(&settings), Path::new("p")).unwrap();
                assert_eq!(project.project.seed, 11);
                assert!(project.the_loop(None).is_ok());
            }
        }
    }
}
