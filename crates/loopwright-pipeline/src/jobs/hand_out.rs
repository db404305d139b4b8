//! A version's rows for other tools: JSON lines, Parquet, or the layout of a Hugging Face dataset folder.

use crate::{
    context::Context,
    error::{Doing, Error, Result},
};
use futures::TryStreamExt;
use loopwright_store::{ColumnKind, ParquetFile};
use loopwright_types::{Conversation, DatasetVersion, Example, Split};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A row a line.
    Jsonl,
    /// One table.
    Parquet,
    /// A folder with a README and a Parquet file for each split.
    HuggingFace,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct HandedOut {
    /// The file or folder.
    pub path: PathBuf,
    /// Rows per file.
    pub files: BTreeMap<String, u64>,
}

/// Writes the rows of a version, of one split or all, to `path`, whole or not at all.
pub async fn hand_out(
    ctx: &Context,
    version: &DatasetVersion,
    split: Option<Split>,
    format: Format,
    path: &Path,
) -> Result<HandedOut> {
    if path.exists() {
        return Err(
            Error::user(format!("`{}` is there already", path.display())).hint("name another place with `--to`")
        );
    }
    let doing = || format!("failed to write `{}`", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).outside(doing)?;
    }
    let partial = PathBuf::from(format!("{}.partial", path.display()));
    let columns = if format == Format::Jsonl { Vec::new() } else { shape(ctx, version).await? };
    let written = match format {
        Format::Jsonl | Format::Parquet => {
            file(ctx, version, split, (format, &columns), &partial).await.map(|n| one(path, n))
        }
        Format::HuggingFace => folder(ctx, version, split, &columns, &partial).await,
    };
    match written {
        Ok(files) => {
            std::fs::rename(&partial, path).outside(doing)?;
            let path = path.to_path_buf();
            let event = loopwright_types::event::NewEvent::new(
                ctx.actor,
                "dataset_version.exported",
                loopwright_types::Entity::entity_ref(version),
            );
            ctx.store.apply(event.with_body(json!({"n_rows": files.values().sum::<u64>()})), Vec::new()).await?;
            Ok(HandedOut { path, files })
        }
        Err(error) => {
            // What is half-written must not stay; the trouble itself is what counts.
            std::fs::remove_dir_all(&partial).or_else(|_| std::fs::remove_file(&partial)).ok();
            Err(error)
        }
    }
}

fn one(path: &Path, n: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([(path.file_name().unwrap_or_default().to_string_lossy().into_owned(), n)])
}

/// A column of an exported table.
type Column = (&'static str, ColumnKind);

/// Writes one file of rows; lines need no columns.
async fn file(
    ctx: &Context,
    version: &DatasetVersion,
    split: Option<Split>,
    (format, columns): (Format, &[Column]),
    path: &Path,
) -> Result<u64> {
    let mut out = RowFile::create(path, format, columns)?;
    let mut n_rows = 0;
    let mut batches = std::pin::pin!(ctx.store.tables().stream_examples(&version.dataset).await?);
    while let Some(rows) = batches.try_next().await? {
        for row in rows.iter().filter(|row| split.is_none_or(|split| row.split == split)) {
            out.push(&object(row))?;
            n_rows += 1;
        }
    }
    out.finish(path)?;
    Ok(n_rows)
}

/// The columns of the version's rows: texts, and what its first row with turns has of them.
async fn shape(ctx: &Context, version: &DatasetVersion) -> Result<Vec<Column>> {
    let mut batches = std::pin::pin!(ctx.store.tables().stream_examples(&version.dataset).await?);
    let mut found = None;
    while let Some(rows) = batches.try_next().await? {
        found = rows.into_iter().find_map(|row| row.conversation);
        if found.is_some() {
            break;
        }
    }
    let turns: &[&str] = match found {
        None => &[],
        Some(Conversation::Turns(_)) => &["messages"],
        Some(Conversation::Preference { .. }) => &["prompt", "chosen", "rejected"],
    };
    let texts = ["id", "text", "label", "split", "subject", "group", "language", "source", "licence", "at"];
    let texts = texts.into_iter().filter(|name| *name != "text" || turns.is_empty());
    let turns = turns.iter().map(|name| (*name, ColumnKind::Turns));
    Ok(texts.map(|name| (name, ColumnKind::Text)).chain([("tags", ColumnKind::Texts)]).chain(turns).collect())
}

/// A file of rows in either format.
enum RowFile {
    Lines(BufWriter<File>),
    Parquet(Box<ParquetFile>),
}

impl RowFile {
    fn create(path: &Path, format: Format, columns: &[Column]) -> Result<Self> {
        let doing = || format!("failed to write `{}`", path.display());
        Ok(match format {
            Format::Jsonl => Self::Lines(BufWriter::new(File::create(path).outside(doing)?)),
            Format::Parquet | Format::HuggingFace => Self::Parquet(Box::new(ParquetFile::create(path, columns)?)),
        })
    }

    fn push(&mut self, row: &Value) -> Result<()> {
        match self {
            Self::Lines(out) => writeln!(out, "{row}").outside(|| "failed to write a row".into()),
            Self::Parquet(out) => Ok(out.push(row)?),
        }
    }

    fn finish(self, path: &Path) -> Result<()> {
        match self {
            Self::Lines(out) => out
                .into_inner()
                .map_err(std::io::IntoInnerError::into_error)
                .and_then(|file| file.sync_all())
                .outside(|| format!("failed to write `{}`", path.display())),
            Self::Parquet(out) => Ok(out.finish().map(|_| ())?),
        }
    }
}

/// A row under the names by which trainers look for it: `messages` or `prompt`, `chosen`, `rejected` where it has turns.
/// Fields that are not there are left out.
fn object(row: &Example) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() && value != json!("") && value != json!([]) {
            object.insert(name.to_string(), value);
        }
    };
    put("id", json!(row.row_id));
    match &row.conversation {
        None => put("text", json!(row.text)),
        Some(Conversation::Turns(turns)) => put("messages", json!(turns)),
        Some(Conversation::Preference { prompt, chosen, rejected }) => {
            put("prompt", json!(prompt));
            put("chosen", json!(chosen));
            put("rejected", json!(rejected));
        }
    }
    put("label", json!(row.label));
    put("split", json!(row.split));
    put("subject", json!(row.subject));
    put("group", json!(row.group));
    put("language", json!(row.language));
    put("source", json!(row.source));
    put("licence", json!(row.licence));
    put("tags", json!(row.tags));
    put("at", row.at.map_or(Value::Null, |at| json!(at.to_string())));
    Value::Object(object)
}

async fn folder(
    ctx: &Context,
    version: &DatasetVersion,
    split: Option<Split>,
    columns: &[Column],
    path: &Path,
) -> Result<BTreeMap<String, u64>> {
    let doing = || format!("failed to write `{}`", path.display());
    let data = path.join("data");
    std::fs::create_dir_all(&data).outside(doing)?;
    let mut files = BTreeMap::new();
    for part in [Split::Train, Split::Validation, Split::Test] {
        let there = version.card.splits.get(part.as_str()).is_some_and(|n| *n > 0);
        if there && split.is_none_or(|split| split == part) {
            let name = format!("data/{}-00000-of-00001.parquet", part.as_str());
            let n = file(ctx, version, Some(part), (Format::HuggingFace, columns), &path.join(&name)).await?;
            files.insert(name, n);
        }
    }
    std::fs::write(path.join("README.md"), readme(version, &files)).outside(doing)?;
    Ok(files)
}

/// The dataset card in the form of the Hugging Face hub: front matter that names the files, then our card.
fn readme(version: &DatasetVersion, files: &BTreeMap<String, u64>) -> String {
    let mut front = String::from("---\n");
    let licences: Vec<&String> = version.card.licences.keys().collect();
    if let [licence] = licences[..] {
        front.push_str(&format!("license: {}\n", Value::from(licence.to_lowercase())));
    }
    front.push_str("configs:\n- config_name: default\n  data_files:\n");
    for name in files.keys() {
        let split = name.trim_start_matches("data/").split('-').next().unwrap_or_default();
        front.push_str(&format!("  - split: {split}\n    path: {name}\n"));
    }
    front.push_str("---\n\n");
    front + &loopwright_data::card::to_markdown(&version.card, &version.dataset.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::conversation::{Role, Turn};

    #[test]
    fn a_row_has_the_names_that_trainers_look_for() {
        let plain = Example { row_id: "a".into(), text: "hi".into(), label: "x".into(), ..Example::default() };
        assert_eq!(object(&plain), json!({"id": "a", "text": "hi", "label": "x", "split": "train"}));
        let turns = vec![Turn::new(Role::User, "hi"), Turn::new(Role::Assistant, "ho")];
        let chat = Example { conversation: Some(Conversation::Turns(turns)), label: String::new(), ..plain };
        let messages = json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]);
        assert_eq!(object(&chat), json!({"id": "a", "messages": messages, "split": "train"}));
    }
}
