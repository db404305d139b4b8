//! Augment: a version's rows, and new train rows made of them, as the next version.

use super::{
    collect::in_background,
    curate::{self, Basis},
    recipe::Prepared,
};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::LoopSettings,
};
use loopwright_data::augment::enlarge::{self, Base, Enlarged, Made};
use loopwright_types::{DatasetVersion, Example};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub use loopwright_data::augment::{enlarge::Settings, noise::Rates};

/// What augmenting came to.
#[derive(Clone, Debug, Serialize)]
pub struct Augmented {
    /// The version with the new rows.
    pub version: DatasetVersion,
    /// Rows that were added, by generator.
    pub added: BTreeMap<String, u64>,
    /// Rows that were made and not added, by generator and reason.
    pub refused: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Makes the version after the newest out of the rows of `base` and what the generators make of them.
pub async fn augment(
    ctx: &Context,
    it: &LoopSettings,
    base: &DatasetVersion,
    settings: &Settings,
) -> Result<Augmented> {
    settings.check().doing(|| "these settings make no rows".into())?;
    let rows: Arc<[Example]> = ctx.store.tables().read_examples(&base.dataset, None).await?.into();
    let prepared = Arc::new(Prepared::of(ctx, it).await?);
    let seed = ctx.seed_for(&format!("augment {}", base.dataset));
    let made = {
        let (rows, prepared, settings) = (rows.clone(), prepared.clone(), settings.clone());
        let dataset = base.dataset.clone();
        in_background(move || {
            let opted_out = prepared.with(|context| context.opted_out.clone());
            let base = Base::of(&rows, &opted_out);
            if base.parents().is_empty() {
                return Err(no_parents(&dataset.to_string()));
            }
            if settings.slots {
                require_labels(&dataset.to_string(), &rows)?;
            }
            let rows = enlarge::generate(&base, &settings, seed).doing(|| format!("failed to augment `{dataset}`"))?;
            Ok(Made { rows, ..Made::default() })
        })
        .await?
    };
    let enlarged = {
        let dataset = base.dataset.clone();
        in_background(move || {
            let enlarged = prepared.with(|context| enlarge::enlarge(&rows, made, &prepared.recipe, context));
            enlarged.doing(|| format!("failed to augment `{dataset}`"))
        })
        .await?
    };
    publish(ctx, it, base, settings, enlarged).await
}

async fn publish(
    ctx: &Context,
    it: &LoopSettings,
    base: &DatasetVersion,
    settings: &Settings,
    enlarged: Enlarged,
) -> Result<Augmented> {
    let Enlarged { curated, added, refused } = enlarged;
    if added.is_empty() {
        return Err(nothing_added(&base.dataset.to_string(), &refused));
    }
    let mut recipe = base.recipe.clone();
    if !recipe.is_object() {
        recipe = serde_json::json!({});
    }
    recipe["augment"] = serde_json::json!(settings);
    let newest = curate::newest(ctx, it).await?;
    let basis = Basis { newest, parent: Some(base.dataset.clone()), recipe };
    let version = curate::publish(ctx, it, curated, basis).await?;
    Ok(Augmented { version, added, refused })
}

fn no_parents(dataset: &str) -> Error {
    Error::user(format!("no row of `{dataset}` can be augmented"))
        .hint("new rows are made of train rows that are no conversations and whose authors allow training; `loopwright data card` shows the splits")
}

/// Fails where no row says what it is an example of.
pub(super) fn require_labels(dataset: &str, rows: &[Example]) -> Result<()> {
    let labels: BTreeSet<&str> = rows.iter().map(|row| row.label.as_str()).filter(|label| !label.is_empty()).collect();
    if !labels.is_empty() {
        return Ok(());
    }
    Err(Error::user(format!("no row of `{dataset}` has a label"))
        .hint("name the column with the labels in `label` of `[data.*]`, then run `loopwright data import` and `loopwright data curate`"))
}

fn nothing_added(dataset: &str, refused: &BTreeMap<String, BTreeMap<String, u64>>) -> Error {
    let reasons: Vec<String> = refused
        .iter()
        .flat_map(|(generator, reasons)| reasons.iter().map(move |(reason, n)| format!("{n} {generator}: {reason}")))
        .collect();
    let made = match reasons.is_empty() {
        true => "nothing could be made of its rows".to_string(),
        false => format!("none of the new rows passed ({})", reasons.join(", ")),
    };
    Error::user(format!("no row was added to `{dataset}`: {made}")).hint(
        "swaps need numbers, names or quotes that rows of a label share; noise may be raised: `--noise=2 --copies 2`",
    )
}
