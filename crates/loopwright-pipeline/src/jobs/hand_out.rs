//! A version's rows for other tools: JSON lines, Parquet, or the layout of a Hugging Face dataset folder.

use crate::{
    context::Context,
    error::{Doing, Error, Result},
};
use futures::TryStreamExt;
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
    let written = match format {
        Format::Jsonl => lines(ctx, version, split, &partial).await.map(|n| one(path, n)),
        Format::Parquet => {
            Ok(ctx.store.tables().export_parquet(&version.dataset, split, &partial).await.map(|n| one(path, n))?)
        }
        Format::HuggingFace => folder(ctx, version, split, &partial).await,
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

async fn lines(ctx: &Context, version: &DatasetVersion, split: Option<Split>, path: &Path) -> Result<u64> {
    let doing = || format!("failed to write `{}`", path.display());
    let mut out = BufWriter::new(File::create(path).outside(doing)?);
    let mut n_rows = 0;
    let mut batches = std::pin::pin!(ctx.store.tables().stream_examples(&version.dataset).await?);
    while let Some(rows) = batches.try_next().await? {
        for row in rows.iter().filter(|row| split.is_none_or(|split| row.split == split)) {
            serde_json::to_writer(&mut out, &object(row)).outside(doing)?;
            out.write_all(b"\n").outside(doing)?;
            n_rows += 1;
        }
    }
    out.into_inner().map_err(std::io::IntoInnerError::into_error).and_then(|file| file.sync_all()).outside(doing)?;
    Ok(n_rows)
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
            let n = ctx.store.tables().export_parquet(&version.dataset, Some(part), &path.join(&name)).await?;
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
