//! `GET /datasets/{name@version}/diff`

use super::datasets::require;
use crate::{
    AppState,
    auth::SignedIn,
    pages::{
        answer::{Page, PageResult},
        view::diff::{Compared, diff as diff_page},
    },
};
use axum::extract::{Path, Query, State};
use loopwright_pipeline::diff::{DiffSettings, Difference, diff};
use loopwright_store::{Error, Kind, ListQuery, Result, Store};
use loopwright_types::{DatasetRef, DatasetVersion};
use serde::Deserialize;

/// Rows shown of each kind of change.
const ROWS_SHOWN: usize = 50;
/// Rows that are read for one comparison: both versions' and those that the later one dropped.
const ROWS_MAX: u64 = 200_000;
/// Bytes of text that are read for one comparison.
const BYTES_MAX: u64 = 64 << 20;

/// The page's query.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    with: String,
}

/// `GET /datasets/{name@version}/diff`
pub async fn show(
    _: SignedIn,
    State(state): State<AppState>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> PageResult {
    let store = state.store();
    let after = require(store, id).await?;
    let mut others = others(store, &after.dataset).await?;
    let with = Some(asked.with).filter(|with| !with.is_empty()).or_else(|| usual(&after, &others));
    let compared = match with {
        None => Compared::Alone,
        Some(with) => {
            let before = require(store, with).await?;
            if !others.contains(&before.dataset) {
                others.push(before.dataset.clone());
            }
            compare(store, &before, &after).await?
        }
    };
    Ok(Page(diff_page(&after.dataset, &others, &compared)))
}

/// The other versions of the same dataset, newest first.
async fn others(store: &Store, after: &DatasetRef) -> Result<Vec<DatasetRef>> {
    let same_name = ListQuery { id_prefix: Some(format!("{}@", after.name)), ..ListQuery::default() };
    let versions: Vec<DatasetVersion> = store.list(&same_name).await?;
    let mut others: Vec<DatasetRef> = versions.into_iter().map(|version| version.dataset).collect();
    others.retain(|other| other.name == after.name && other != after);
    others.sort_by_key(|other| std::cmp::Reverse(other.version));
    Ok(others)
}

/// What a version is compared with unless something else is asked for: its parent, the one before it, any.
fn usual(after: &DatasetVersion, others: &[DatasetRef]) -> Option<String> {
    let parent = after.parent.as_ref().filter(|parent| others.contains(parent));
    let before = || others.iter().find(|other| other.version < after.dataset.version);
    parent.or_else(before).or_else(|| others.first()).map(DatasetRef::to_string)
}

async fn compare(store: &Store, before: &DatasetVersion, after: &DatasetVersion) -> Result<Compared> {
    let n_dropped: u64 = after.card.steps.iter().flat_map(|step| step.dropped.values()).sum();
    let n_bytes = before.card.n_bytes + after.card.n_bytes;
    let with = before.dataset.clone();
    if before.n_rows + after.n_rows + n_dropped > ROWS_MAX || n_bytes > BYTES_MAX {
        return Ok(Compared::TooLarge { before: with, n_rows: before.n_rows + after.n_rows });
    }
    match difference(store, &with, &after.dataset).await {
        Ok(difference) => Ok(Compared::Made { before: with, difference: Box::new(difference) }),
        Err(error) if error.kind() == Kind::NotFound => Ok(Compared::NoRows { before: with }),
        Err(error) => Err(error),
    }
}

async fn difference(store: &Store, before: &DatasetRef, after: &DatasetRef) -> Result<Difference> {
    let tables = store.tables();
    let (old, new) = (tables.read_examples(before, None).await?, tables.read_examples(after, None).await?);
    let dropped = match tables.read_dropped(after).await {
        Err(error) if error.kind() == Kind::NotFound => Vec::new(),
        dropped => dropped?,
    };
    let settings = DiffSettings { rows_shown_max: ROWS_SHOWN, ..DiffSettings::default() };
    let work = tokio::task::spawn_blocking(move || diff(&old, &new, &dropped, &settings));
    work.await.map_err(|error| Error::new(Kind::Bug, format!("failed to compare {before} with {after}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::view::sample;

    #[test]
    fn a_version_is_compared_with_its_parent_or_the_one_before_it() {
        let version = |number| DatasetRef::new("support", number);
        let child = |parent: Option<u32>| DatasetVersion {
            dataset: version(3),
            parent: parent.map(version),
            ..sample::dataset()
        };
        for (parent, others, expected) in [
            (Some(1), &[4, 2, 1][..], Some("support@1")),
            (Some(9), &[4, 2, 1], Some("support@2")),
            (None, &[4, 2, 1], Some("support@2")),
            (None, &[4], Some("support@4")),
            (Some(1), &[], None),
        ] {
            let others: Vec<DatasetRef> = others.iter().copied().map(version).collect();
            assert_eq!(usual(&child(parent), &others).as_deref(), expected, "{parent:?} of {others:?}");
        }
    }
}
