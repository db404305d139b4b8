//! Rows of any table, whatever its kind, by person.

use crate::{
    context::Context,
    error::{Error, Result},
};
use loopwright_store::TableKey;
use loopwright_types::id::SubjectId;
use serde::Serialize;

/// A person's rows of one table, as JSON.
pub async fn rows_of_subject(ctx: &Context, key: &TableKey, subject: &SubjectId) -> Result<Vec<serde_json::Value>> {
    let tables = ctx.store.tables();
    match key {
        TableKey::Raw { .. } => {
            let rows = tables.read_source_rows(key).await?;
            json(rows.iter().filter(|row| row.subject.as_ref() == Some(subject)))
        }
        TableKey::Examples(dataset) => {
            let rows = tables.read_examples(dataset, None).await?;
            json(rows.iter().filter(|row| row.subject.as_ref() == Some(subject)))
        }
        TableKey::Dropped(dataset) => {
            let rows = tables.read_dropped(dataset).await?;
            json(rows.iter().filter(|row| row.subject.as_ref() == Some(subject)))
        }
        TableKey::Rejected { .. } => Ok(Vec::new()),
    }
}

/// Every text of a table with its author.
pub async fn texts_of(ctx: &Context, key: &TableKey) -> Result<Vec<(Option<SubjectId>, String)>> {
    let tables = ctx.store.tables();
    Ok(match key {
        TableKey::Raw { .. } => {
            tables.read_source_rows(key).await?.into_iter().map(|row| (row.subject, row.text)).collect()
        }
        TableKey::Examples(dataset) => {
            tables.read_examples(dataset, None).await?.into_iter().map(|row| (row.subject, row.text)).collect()
        }
        TableKey::Dropped(_) | TableKey::Rejected { .. } => Vec::new(),
    })
}

fn json<'a, T: Serialize + 'a>(rows: impl Iterator<Item = &'a T>) -> Result<Vec<serde_json::Value>> {
    rows.map(|row| {
        serde_json::to_value(row).map_err(|error| Error::bug("failed to write a row as JSON").because(error))
    })
    .collect()
}
