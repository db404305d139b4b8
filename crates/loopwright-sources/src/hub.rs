//! Dataset folders in the layout of the Hugging Face Hub.
//!
//! `README.md` begins with YAML: the licence, and `configs` that say which files belong to which part
//! (Hub documentation, "Manual Configuration"). Without `configs`, names tell the part: a word for it stands between
//! separators or digits, as in `data/train-00000-of-00002.parquet` ("File names and splits").

use super::{
    document,
    failure::{AtPlace, Failure, Place},
    files,
    sink::Fields,
    spec::Spec,
    yaml,
};
use crate::error::Kind;
use serde_json::Value;
use std::{collections::BTreeSet, fs::File, io::Read, path::Path};

/// Longest `README.md` that is looked at, in bytes.
const CARD_BYTES_MAX: u64 = 4 << 20;

/// Words for the parts.
const SPLITS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("validation", &["validation", "valid", "val", "dev"]),
    ("test", &["test", "testing", "eval", "evaluation"]),
];

/// What a folder's `README.md` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Card {
    pub(super) licence: Option<String>,
    configs: Vec<Config>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Config {
    name: String,
    is_default: bool,
    /// Patterns with their part, in order.
    files: Vec<(String, Option<String>)>,
}

/// The part that a path's words tell, the last word first: `test/train-notes/dev.csv` is `validation`.
pub(super) fn split_of(path: &str) -> Option<String> {
    let is_separator = |c: char| !c.is_alphabetic();
    let lower = path.to_ascii_lowercase();
    let mut words = lower.split(is_separator).rev();
    words.find_map(|word| SPLITS.iter().find(|(_, words)| words.contains(&word)).map(|(split, _)| split.to_string()))
}

impl Card {
    /// Reads the folder's `README.md`; a folder without one has an empty card.
    pub(super) fn read(folder: &Path, source: &str) -> Result<Self, Failure> {
        let place = || Place::file(&format!("{source}/README.md"));
        let Ok(file) = File::open(folder.join("README.md")) else { return Ok(Self::default()) };
        let mut bytes = Vec::new();
        file.take(CARD_BYTES_MAX).read_to_end(&mut bytes).at(place)?;
        let text = String::from_utf8_lossy(&bytes);
        let Some(front) = document::front_matter(&text).0 else { return Ok(Self::default()) };
        let fields = yaml::fields(front).map_err(|why| {
            Failure::damaged(place(), format!("its front matter: {why}"), "mend the YAML between `---`")
        })?;
        Ok(Self::from_fields(&fields))
    }

    fn from_fields(fields: &Fields) -> Self {
        let licence = fields.get("license").or(fields.get("licence"));
        let configs = fields.get("configs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Self {
            licence: licence.map(|value| strings(value).join(", ")).filter(|licence| !licence.is_empty()),
            configs: configs.iter().map(config).collect(),
        }
    }

    /// The files to read with their parts: those of the chosen configuration, or all.
    pub(super) fn assign(
        &self,
        paths: &[String],
        spec: &Spec,
        source: &str,
    ) -> Result<Vec<(String, Option<String>)>, Failure> {
        let Some(config) = self.choose(spec, source)? else {
            return Ok(paths.iter().map(|path| (path.clone(), split_of(path))).collect());
        };
        let mut assigned: Vec<(String, Option<String>)> = Vec::new();
        let mut taken = BTreeSet::new();
        for (pattern, split) in &config.files {
            for path in paths.iter().filter(|path| files::matches(pattern, path)) {
                if taken.insert(path) {
                    assigned.push((path.clone(), split.clone().or_else(|| split_of(path))));
                }
            }
        }
        Ok(assigned)
    }

    fn choose(&self, spec: &Spec, source: &str) -> Result<Option<&Config>, Failure> {
        let names: Vec<&str> = self.configs.iter().map(|config| config.name.as_str()).collect();
        let failure = |problem: String| {
            Failure::new(
                Kind::Mixed,
                Place::file(source),
                problem,
                format!("choose one with `config`: {}", names.join(", ")),
            )
        };
        match &spec.config {
            Some(name) => match self.configs.iter().find(|config| &config.name == name) {
                Some(config) => Ok(Some(config)),
                None => Err(failure(format!("it has no configuration `{name}`"))),
            },
            None if self.configs.len() < 2 => Ok(self.configs.first()),
            None => match self.configs.iter().find(|config| config.is_default || config.name == "default") {
                Some(config) => Ok(Some(config)),
                None => Err(failure(format!("it has {} configurations", names.len()))),
            },
        }
    }
}

fn config(value: &Value) -> Config {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let folder = text("data_dir").map(|folder| format!("{}/", folder.trim_matches('/'))).unwrap_or_default();
    let files = match value.get("data_files") {
        None => vec![(format!("{folder}**/*"), None), (format!("{folder}*"), None)],
        Some(Value::Array(items)) => items.iter().flat_map(|item| data_files(item, &folder)).collect(),
        Some(one) => data_files(one, &folder),
    };
    Config {
        name: text("config_name").unwrap_or("default").to_string(),
        is_default: value.get("default").and_then(Value::as_bool).unwrap_or(false),
        files,
    }
}

/// A pattern by itself, or a part with its patterns.
fn data_files(item: &Value, folder: &str) -> Vec<(String, Option<String>)> {
    let split = item.get("split").and_then(Value::as_str).map(str::to_string);
    let patterns = item.get("path").map_or_else(|| strings(item), strings);
    let whole = |pattern: String| format!("{folder}{}", pattern.trim_start_matches("./"));
    patterns.into_iter().map(|pattern| (whole(pattern), split.clone())).collect()
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().filter_map(|item| Some(item.as_str()?.to_string())).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_part() {
        for (path, split) in [
            ("data/train-00000-of-00002.parquet", Some("train")),
            ("test.jsonl", Some("test")),
            ("my_dev_set.csv", Some("validation")),
            ("validation/part1.csv", Some("validation")),
            ("train/eval2.csv", Some("test")),
            ("latest.csv", None),
            ("trainer.csv", None),
        ] {
            assert_eq!(split_of(path).as_deref(), split, "{path}");
        }
    }

    #[test]
    fn configs_choose_the_files() {
        let front = "license: mit\nconfigs:\n- config_name: main\n  default: true\n  data_files:\n  - split: train\n    path: main/a-*.jsonl\n  - split: holdout\n    path: [main/b.jsonl]\n- config_name: other\n  data_dir: other\n";
        let card = Card::from_fields(&yaml::fields(front).unwrap());
        assert_eq!(card.licence.as_deref(), Some("mit"));
        let paths =
            ["main/a-1.jsonl", "main/a-2.jsonl", "main/b.jsonl", "main/c.jsonl", "other/test.csv"].map(String::from);
        let assigned = |config: Option<&str>| {
            let spec = Spec { config: config.map(str::to_string), ..Spec::default() };
            let files = card.assign(&paths, &spec, "s")?;
            Ok::<_, Failure>(
                files
                    .into_iter()
                    .map(|(path, split)| format!("{path}:{}", split.unwrap_or_default()))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(assigned(None).unwrap(), ["main/a-1.jsonl:train", "main/a-2.jsonl:train", "main/b.jsonl:holdout"]);
        assert_eq!(assigned(Some("other")).unwrap(), ["other/test.csv:test"]);
        let error = assigned(Some("third")).unwrap_err();
        assert!(error.to_string().contains("main, other"), "{error}");
    }

    #[test]
    fn several_configs_without_a_default_ask_for_a_choice() {
        let card = Card::from_fields(
            &yaml::fields("configs:\n- {config_name: a, data_files: a.csv}\n- {config_name: b, data_files: b.csv}\n")
                .unwrap(),
        );
        let error = card.assign(&["a.csv".into()], &Spec::default(), "s").unwrap_err();
        assert!(error.to_string().contains("choose one with `config`: a, b"), "{error}");
    }
}
