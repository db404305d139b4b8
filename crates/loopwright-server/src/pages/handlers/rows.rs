//! `GET /datasets/{name@version}/rows`

use super::datasets::{if_there, require};
use crate::{
    AppState,
    auth::SignedIn,
    pages::{
        answer::{Page, PageError, PageResult},
        view::{
            link,
            pager::Slice,
            rows::{Filters, Shown, rows},
        },
    },
};
use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
};
use loopwright_guard::Redactor;
use loopwright_store::{DroppedFilter, ExampleFilter, RejectedFilter, Result, Stretch, Tables};
use loopwright_types::{DatasetRef, Split, dataset::RejectedRow, id::RowId};
use serde::Deserialize;

/// Rows on a page of the list.
const PAGE_SIZE: u64 = 50;

/// The list's query.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    which: String,
    row: String,
    split: String,
    label: String,
    source: String,
    step: String,
    text: String,
    page: Option<u64>,
}

/// What is asked for: one kind of rows, narrowed.
#[derive(Debug, PartialEq)]
enum Wanted {
    Kept(ExampleFilter),
    Dropped(DroppedFilter),
    Rejected(RejectedFilter),
}

/// `GET /datasets/{name@version}/rows`
pub async fn list(
    _: SignedIn,
    State(state): State<AppState>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> PageResult {
    let store = state.store();
    let version = require(store, id).await?;
    let wanted = wanted(&asked).map_err(|why| PageError::Refused {
        status: StatusCode::BAD_REQUEST,
        why,
        way_back: link::rows(&version.dataset, &[]),
    })?;
    let (shown, slice) = read(store.tables(), &version.dataset, &wanted, asked.page).await?;
    let shown = masked(shown, &state.settings().redactor);
    let Asked { which: _, row, split, label, source, step, text, page: _ } = asked;
    Ok(Page(rows(&version, &Filters { row, split, label, source, step, text }, &shown, slice)))
}

/// Reads the query. A filter that the wanted rows do not have is refused, for it would narrow nothing.
fn wanted(asked: &Asked) -> std::result::Result<Wanted, String> {
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let refuse = |filters: &[(&str, &String)]| match filters.iter().find(|(_, value)| !value.is_empty()) {
        Some((name, _)) => Err(format!("Rows of the kind `{}` cannot be filtered by `{name}`.", asked.which)),
        None => Ok(()),
    };
    let row_id = given(&asked.row).map(RowId);
    match asked.which.as_str() {
        "" | "kept" => {
            refuse(&[("step", &asked.step)])?;
            let split = given(&asked.split).map(|split| split.parse::<Split>()).transpose();
            Ok(Wanted::Kept(ExampleFilter {
                row_id,
                split: split.map_err(|problem| format!("`split` is not understood: {problem}."))?,
                label: given(&asked.label),
                source: given(&asked.source),
                text_contains: given(&asked.text),
            }))
        }
        "dropped" => {
            refuse(&[("split", &asked.split), ("label", &asked.label), ("source", &asked.source)])?;
            let reason_contains = given(&asked.text);
            Ok(Wanted::Dropped(DroppedFilter { row_id, step: given(&asked.step), reason_contains }))
        }
        "rejected" => {
            let filters =
                [("row", &asked.row), ("split", &asked.split), ("label", &asked.label), ("step", &asked.step)];
            refuse(&filters)?;
            Ok(Wanted::Rejected(RejectedFilter { source: given(&asked.source), reason_contains: given(&asked.text) }))
        }
        other => Err(format!("`which` is not understood: expected `kept`, `dropped` or `rejected`, got `{other}`.")),
    }
}

/// The page that was asked for, or the last one if that lies behind it.
async fn read(tables: &Tables, dataset: &DatasetRef, wanted: &Wanted, page: Option<u64>) -> Result<(Shown, Slice)> {
    let asked = page.unwrap_or(1).max(1);
    let offset = (asked - 1).saturating_mul(PAGE_SIZE);
    let (shown, n_total) = read_from(tables, dataset, wanted, offset).await?;
    let slice = Slice::new(page, PAGE_SIZE, n_total);
    if slice.offset() == offset {
        return Ok((shown, slice));
    }
    let (shown, n_total) = read_from(tables, dataset, wanted, slice.offset()).await?;
    Ok((shown, Slice { n_total, ..slice }))
}

async fn read_from(tables: &Tables, dataset: &DatasetRef, wanted: &Wanted, offset: u64) -> Result<(Shown, u64)> {
    let stretch = Stretch { offset, limit: PAGE_SIZE as usize };
    Ok(match wanted {
        Wanted::Kept(filter) => {
            let page = if_there(tables.browse_examples(dataset, filter, stretch).await)?;
            (Shown::Kept(page.rows), page.n_total)
        }
        Wanted::Dropped(filter) => {
            let page = if_there(tables.browse_dropped(dataset, filter, stretch).await)?;
            (Shown::Dropped(page.rows), page.n_total)
        }
        Wanted::Rejected(filter) => {
            let page = if_there(tables.browse_rejected(&dataset.name, filter, stretch).await)?;
            (Shown::Rejected(page.rows), page.n_total)
        }
    })
}

/// Lines that could not be read were never masked; every other row was when it was curated.
fn masked(shown: Shown, redactor: &Redactor) -> Shown {
    let mask = |row: RejectedRow| RejectedRow {
        excerpt: redactor.redact(&row.excerpt, &[]).text,
        reason: redactor.redact(&row.reason, &[]).text,
        ..row
    };
    match shown {
        Shown::Rejected(rows) => Shown::Rejected(rows.into_iter().map(mask).collect()),
        shown => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_or_refused() {
        let plain = Asked::default;
        let train = ExampleFilter { split: Some(Split::Train), ..ExampleFilter::default() };
        let asked = |which: &str| Asked { which: which.into(), ..plain() };
        for (asked, expected) in [
            (plain(), Ok(Wanted::Kept(ExampleFilter::default()))),
            (Asked { split: "train".into(), ..asked("kept") }, Ok(Wanted::Kept(train))),
            (asked("dropped"), Ok(Wanted::Dropped(DroppedFilter::default()))),
            (asked("rejected"), Ok(Wanted::Rejected(RejectedFilter::default()))),
            (asked("lost"), Err("got `lost`")),
            (Asked { split: "half".into(), ..plain() }, Err("got `half`")),
            (Asked { split: "train".into(), ..asked("dropped") }, Err("cannot be filtered by `split`")),
            (Asked { step: "filter".into(), ..plain() }, Err("cannot be filtered by `step`")),
            (Asked { row: "a".into(), ..asked("rejected") }, Err("cannot be filtered by `row`")),
        ] {
            match (wanted(&asked), expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected),
                (Err(got), Err(part)) => assert!(got.contains(part), "{got}"),
                (got, expected) => panic!("{asked:?}: got {got:?}, expected {expected:?}"),
            }
        }
    }
}
