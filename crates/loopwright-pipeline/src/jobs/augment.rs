//! Augment: a version's rows, and new train rows made of them, as the next version.

use super::{
    collect::in_background,
    curate::{self, Basis},
    recipe::Prepared,
    synthesise::{self, Synthesis},
};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::LoopSettings,
};
use loopwright_data::augment::{
    Parent, Synthetic,
    enlarge::{self, Base, Enlarged, Made},
};
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

/// Makes the version after the newest out of the rows of `base` and what the generators, and a model if one is asked, make
/// of them.
pub async fn augment(
    ctx: &Context,
    it: &LoopSettings,
    base: &DatasetVersion,
    settings: &Settings,
    asked: Option<&Synthesis>,
) -> Result<Augmented> {
    settings.check().doing(|| "these settings make no rows".into())?;
    asked.map_or(Ok(()), Synthesis::check)?;
    let dataset = base.dataset.to_string();
    let work = Arc::new(Work {
        rows: ctx.store.tables().read_examples(&base.dataset, None).await?,
        prepared: Prepared::of(ctx, it).await?,
        settings: settings.clone(),
        seed: ctx.seed_for(&format!("augment {dataset}")),
        dataset,
    });
    if settings.slots || asked.is_some() {
        require_labels(&work.dataset, &work.rows)?;
    }
    let mut made = match asked {
        Some(asked) => work.ask(ctx, asked).await?,
        None => Made::default(),
    };
    let enlarged = in_background(move || {
        made.rows.extend(work.generate()?);
        work.enlarge(made)
    })
    .await?;
    let mut how = serde_json::json!(settings);
    how["synthetic"] = serde_json::json!(asked);
    publish(ctx, it, base, how, enlarged).await
}

/// A version with all that is needed to make rows of its rows.
struct Work {
    dataset: String,
    rows: Vec<Example>,
    prepared: Prepared,
    settings: Settings,
    seed: u64,
}

impl Work {
    /// The rows that may be parents.
    fn base(&self) -> Result<Base<'_>> {
        let base = self.prepared.with(|context| Base::of(&self.rows, context.opted_out));
        if base.parents().is_empty() {
            return Err(no_parents(&self.dataset));
        }
        Ok(base)
    }

    async fn ask(&self, ctx: &Context, asked: &Synthesis) -> Result<Made> {
        let parents = self.base()?.some_parents(asked.n_rows, self.seed);
        let labelled: Vec<Parent<'_>> = parents.into_iter().filter(|parent| !parent.label.is_empty()).collect();
        synthesise::write(ctx, &labelled, asked).await
    }

    fn generate(&self) -> Result<Vec<Synthetic>> {
        let made = enlarge::generate(&self.base()?, &self.settings, self.seed);
        made.doing(|| format!("failed to augment `{}`", self.dataset))
    }

    fn enlarge(&self, made: Made) -> Result<Enlarged> {
        let enlarged = self.prepared.with(|context| enlarge::enlarge(&self.rows, made, &self.prepared.recipe, context));
        enlarged.doing(|| format!("failed to augment `{}`", self.dataset))
    }
}

async fn publish(
    ctx: &Context,
    it: &LoopSettings,
    base: &DatasetVersion,
    how: serde_json::Value,
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
    recipe["augment"] = how;
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
