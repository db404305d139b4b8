//! `GET /datasets`, `GET /datasets/{name@version}`

use super::family;
use crate::{
    AppState,
    auth::SignedIn,
    pages::{
        answer::{Page, PageError, PageResult},
        view::{
            dataset::{Rows, dataset},
            datasets::datasets,
            shell::Section,
        },
    },
};
use axum::extract::{Path, State};
use loopwright_store::{Kind, ListQuery, Result, Store, TableKey};
use loopwright_types::{DatasetVersion, Entity as _};

/// Kept and rejected rows shown.
const ROWS_SHOWN: usize = 20;
/// Dropped rows shown.
const DROPPED_SHOWN: usize = 50;

/// `GET /datasets`
pub async fn list(_: SignedIn, State(state): State<AppState>) -> PageResult {
    let versions: Vec<DatasetVersion> = state.store().list(&ListQuery::default()).await?;
    Ok(Page(datasets(&versions, state.store().now())))
}

/// `GET /datasets/{name@version}`
pub async fn show(_: SignedIn, State(state): State<AppState>, Path(id): Path<String>) -> PageResult {
    let store = state.store();
    let Some(version) = store.get::<DatasetVersion>(&id).await? else {
        return Err(PageError::Missing {
            section: Section::Datasets,
            what: "dataset version",
            id,
            list: ("/datasets", "Datasets"),
        });
    };
    let rows = rows(store, &version).await?;
    let lineage = family::of(store, version.entity_ref()).await?;
    Ok(Page(dataset(&version, &rows, &lineage, store.now())))
}

async fn rows(store: &Store, version: &DatasetVersion) -> Result<Rows> {
    let tables = store.tables();
    let mut kept = if_there(tables.read_examples(&version.dataset, None).await)?;
    let mut dropped = if_there(tables.read_dropped(&version.dataset).await)?;
    let mut rejected =
        if_there(tables.read_rejected(&TableKey::Rejected { dataset: version.dataset.name.clone() }).await)?;
    let n_dropped = dropped.len() as u64;
    kept.truncate(ROWS_SHOWN);
    dropped.truncate(DROPPED_SHOWN);
    rejected.truncate(ROWS_SHOWN);
    Ok(Rows { kept, dropped, n_dropped, rejected })
}

/// A table that is not there has no rows.
fn if_there<T>(rows: Result<Vec<T>>) -> Result<Vec<T>> {
    match rows {
        Err(error) if error.kind() == Kind::NotFound => Ok(Vec::new()),
        rows => rows,
    }
}
