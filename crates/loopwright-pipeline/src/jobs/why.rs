//! Why is a row gone, or changed? One answer for any source row, through every step.

use super::{collect::in_background, recipe::Prepared};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::LoopSettings,
};
use loopwright_data::flow::{self, StepOutcome};
use loopwright_store::TableKey;
use loopwright_types::{DatasetRef, Example, SourceRow, dataset::DroppedRow, id::RowId};
use serde::Serialize;

/// The way of a row from its source into, or out of, a version.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// The version that was asked about.
    pub version: DatasetRef,
    /// The row as it came.
    pub source: SourceRow,
    /// What each step of the recipe, as the project file has it now, makes of it.
    pub steps: Vec<StepOutcome>,
    /// The version's record of dropping it, if it did. Steps that compare rows with each other speak only here.
    pub dropped: Option<DroppedRow>,
    /// The row in the version, if it is there.
    pub kept: Option<Example>,
}

/// Follows a row of the loop's sources.
pub async fn why(ctx: &Context, it: &LoopSettings, row: &RowId, version: &DatasetRef) -> Result<Told> {
    let tables = ctx.store.tables();
    let raw = TableKey::Raw { dataset: it.name.clone() };
    let Some(source) = tables.find_source_row(&raw, row).await? else {
        return Err(Error::user(format!("no source row of `{}` is called `{row}`", it.name)).hint(
            "`loopwright data query \"SELECT row_id FROM raw_NAME LIMIT 20\"` lists them; lines that could not be read are in `loopwright data rejected`",
        ));
    };
    let prepared = Prepared::of(ctx, it).await?;
    let row_as_it_came = source.clone();
    let steps = in_background(move || {
        prepared
            .with(|context| flow::why(row_as_it_came, &prepared.recipe, context))
            .doing(|| "failed to follow a row".into())
    })
    .await?;
    let dropped = tables.find_dropped(version, row).await?;
    let kept = tables.find_example(version, row).await?;
    Ok(Told { version: version.clone(), source, steps, dropped, kept })
}
