//! One page of a table: the rows that fit a filter, counted, without reading a whole table for the twenty that are seen.
//!
//! The first pass reads the columns that the filter names and keeps positions only: sorted (the session spills what
//! memory cannot hold), counted, and those of the page noted. The second reads the page's rows whole, by position.

use super::{
    READ_TRIES, Tables,
    generation::Generation,
    rewrite::column,
    rows::{Columns, POSITION, TableRow},
};
use crate::{Error, Kind, Result, error::Doing, key::TableKey};
use datafusion::{
    functions::expr_fn::{lower, strpos},
    prelude::{DataFrame, Expr, lit},
};
use futures::StreamExt;
use loopwright_types::{
    DatasetRef, Example, Split,
    dataset::{DroppedRow, RejectedRow},
    id::RowId,
};

/// Most rows of one page.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// A stretch of a longer list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowPage<R> {
    /// The rows, in the order they were written.
    pub rows: Vec<R>,
    /// How many rows fit the filter in all.
    pub n_total: u64,
}

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Skip so many fitting rows.
    pub offset: u64,
    /// Then take so many, at most [`PAGE_ROWS_MAX`].
    pub limit: usize,
}

/// Which rows of a dataset version; what is not said narrows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExampleFilter {
    /// Only this row.
    pub row_id: Option<RowId>,
    /// Only of this split.
    pub split: Option<Split>,
    /// Only with this label.
    pub label: Option<String>,
    /// Only of this source.
    pub source: Option<String>,
    /// Only with this in the text; upper and lower case are the same.
    pub text_contains: Option<String>,
}

/// Which of the rows that were left out of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DroppedFilter {
    /// Only this row.
    pub row_id: Option<RowId>,
    /// Only what this step dropped.
    pub step: Option<String>,
    /// Only with this in the reason; upper and lower case are the same.
    pub reason_contains: Option<String>,
}

/// Which of the lines that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RejectedFilter {
    /// Only of this source.
    pub source: Option<String>,
    /// Only with this in the reason; upper and lower case are the same.
    pub reason_contains: Option<String>,
}

impl ExampleFilter {
    fn condition(&self) -> Option<Expr> {
        all([
            equal("row_id", self.row_id.as_ref().map(RowId::as_str)),
            equal("split", self.split.map(Split::as_str)),
            equal("label", self.label.as_deref()),
            equal("source", self.source.as_deref()),
            contains("text", self.text_contains.as_deref()),
        ])
    }
}

impl DroppedFilter {
    fn condition(&self) -> Option<Expr> {
        all([
            equal("row_id", self.row_id.as_ref().map(RowId::as_str)),
            equal("step", self.step.as_deref()),
            contains("reason", self.reason_contains.as_deref()),
        ])
    }
}

impl RejectedFilter {
    fn condition(&self) -> Option<Expr> {
        all([equal("source", self.source.as_deref()), contains("reason", self.reason_contains.as_deref())])
    }
}

fn all<const N: usize>(conditions: [Option<Expr>; N]) -> Option<Expr> {
    conditions.into_iter().flatten().reduce(Expr::and)
}

fn equal(name: &str, value: Option<&str>) -> Option<Expr> {
    value.map(|value| column(name).eq(lit(value)))
}

fn contains(name: &str, text: Option<&str>) -> Option<Expr> {
    text.map(|text| strpos(lower(column(name)), lower(lit(text))).gt(lit(0)))
}

impl Tables {
    /// A page of the rows of a dataset version.
    pub async fn browse_examples(
        &self,
        version: &DatasetRef,
        filter: &ExampleFilter,
        stretch: Stretch,
    ) -> Result<RowPage<Example>> {
        self.browse(&TableKey::Examples(version.clone()), filter.condition(), stretch).await
    }

    /// A page of the rows left out of a dataset version.
    pub async fn browse_dropped(
        &self,
        version: &DatasetRef,
        filter: &DroppedFilter,
        stretch: Stretch,
    ) -> Result<RowPage<DroppedRow>> {
        self.browse(&TableKey::Dropped(version.clone()), filter.condition(), stretch).await
    }

    /// A page of the lines of a dataset's sources that could not be read.
    pub async fn browse_rejected(
        &self,
        dataset: &str,
        filter: &RejectedFilter,
        stretch: Stretch,
    ) -> Result<RowPage<RejectedRow>> {
        self.browse(&TableKey::Rejected { dataset: dataset.to_string() }, filter.condition(), stretch).await
    }

    async fn browse<R: TableRow>(&self, key: &TableKey, filter: Option<Expr>, stretch: Stretch) -> Result<RowPage<R>> {
        if stretch.limit > PAGE_ROWS_MAX {
            let message = format!("a page has at most {PAGE_ROWS_MAX} rows, got a limit of {}", stretch.limit);
            return Err(Error::new(Kind::Bug, message));
        }
        for _ in 1..READ_TRIES {
            let generation = self.require(key).await?;
            match self.browse_generation(key, generation, filter.clone(), stretch).await {
                // A writer replaced the table while we read: read the new one.
                Err(_) if self.current(key).await? != Some(generation) => {}
                read => return read,
            }
        }
        self.browse_generation(key, self.require(key).await?, filter, stretch).await
    }

    async fn browse_generation<R: TableRow>(
        &self,
        key: &TableKey,
        generation: Generation,
        filter: Option<Expr>,
        stretch: Stretch,
    ) -> Result<RowPage<R>> {
        let reading = || format!("look for rows among the {key}");
        let session = self.session()?;
        let mut fitting = self.open(&session, key, generation).await?;
        if let Some(filter) = filter {
            fitting = fitting.filter(filter).doing(reading)?;
        }
        let fitting = fitting.select(vec![column(POSITION)]).doing(reading)?;
        let (positions, n_total) = positions(fitting, stretch, reading).await?;
        let (Some(first), Some(last)) = (positions.first(), positions.last()) else {
            return Ok(RowPage { rows: Vec::new(), n_total });
        };
        // The bounds let the reader skip whole row groups; the list picks the rows.
        let within = column(POSITION).between(lit(*first), lit(*last));
        let listed = column(POSITION).in_list(positions.iter().map(|position| lit(*position)).collect(), false);
        let rows = self.read_generation(key, generation, Some(within.and(listed))).await?;
        Ok(RowPage { rows, n_total })
    }
}

/// The positions within the stretch, in order, and how many there are in all.
async fn positions(rows: DataFrame, stretch: Stretch, reading: impl Fn() -> String + Copy) -> Result<(Vec<i64>, u64)> {
    let sorted = rows.sort(vec![column(POSITION).sort(true, true)]).doing(reading)?;
    let mut batches = sorted.execute_stream().await.doing(reading)?;
    let (mut wanted, mut n_total) = (Vec::new(), 0);
    while let Some(batch) = batches.next().await {
        let batch = batch.doing(reading)?;
        let skip = usize::try_from(stretch.offset.saturating_sub(n_total)).unwrap_or(usize::MAX);
        let missing = stretch.limit - wanted.len();
        if missing > 0 && skip < batch.num_rows() {
            let here = Columns(&batch).positions()?;
            wanted.extend(here.values().iter().skip(skip).take(missing));
        }
        n_total += batch.num_rows() as u64;
    }
    Ok((wanted, n_total))
}
