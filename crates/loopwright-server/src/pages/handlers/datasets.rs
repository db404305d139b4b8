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
use loopwright_store::{
    DroppedFilter, ExampleFilter, Kind, ListQuery, RejectedFilter, Result, RowPage, Store, Stretch,
};
use loopwright_types::{DatasetVersion, Entity as _};

/// Rows of each kind shown under the card.
const ROWS_SHOWN: usize = 10;

/// `GET /datasets`
pub async fn list(_: SignedIn, State(state): State<AppState>) -> PageResult {
    let versions: Vec<DatasetVersion> = state.store().list(&ListQuery::default()).await?;
    Ok(Page(datasets(&versions, state.store().now())))
}

/// `GET /datasets/{name@version}`
pub async fn show(_: SignedIn, State(state): State<AppState>, Path(id): Path<String>) -> PageResult {
    let store = state.store();
    let version = require(store, id).await?;
    let rows = rows(store, &version).await?;
    let lineage = family::of(store, version.entity_ref()).await?;
    Ok(Page(dataset(&version, &rows, &lineage, store.now())))
}

/// The version, or the page that says that there is none.
pub async fn require(store: &Store, id: String) -> std::result::Result<DatasetVersion, PageError> {
    let missing = |id| PageError::Missing {
        section: Section::Datasets,
        what: "dataset version",
        id,
        list: ("/datasets", "Datasets"),
    };
    store.get(&id).await?.ok_or_else(|| missing(id))
}

async fn rows(store: &Store, version: &DatasetVersion) -> Result<Rows> {
    let (tables, id) = (store.tables(), &version.dataset);
    let start = Stretch { offset: 0, limit: ROWS_SHOWN };
    let kept = if_there(tables.browse_examples(id, &ExampleFilter::default(), start).await)?;
    let dropped = if_there(tables.browse_dropped(id, &DroppedFilter::default(), start).await)?;
    let rejected = if_there(tables.browse_rejected(&id.name, &RejectedFilter::default(), start).await)?;
    Ok(Rows {
        kept: kept.rows,
        dropped: dropped.rows,
        n_dropped: dropped.n_total,
        rejected: rejected.rows,
        n_rejected: rejected.n_total,
    })
}

/// A table that is not there has no rows.
pub fn if_there<R>(page: Result<RowPage<R>>) -> Result<RowPage<R>> {
    match page {
        Err(error) if error.kind() == Kind::NotFound => Ok(RowPage { rows: Vec::new(), n_total: 0 }),
        page => page,
    }
}
