//! Robustness: what augmented rows do to the accuracy on clean and on noisy test rows.
//!
//! A small linear classifier stands in for a fine-tune: it learns in seconds, so the question can be asked before the
//! rows are trained on. Its answer is about these rows, not about the model.

use super::{augment::require_labels, collect::in_background, recipe::Prepared};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::LoopSettings,
};
use loopwright_data::augment::{
    enlarge::{self, Base, Made, Settings, judged_by_classifier},
    noise::Rates,
    report::{AugmentReport, Labelled, report},
};
use loopwright_types::{DatasetVersion, Example, Split, dataset::Origin};
use serde::Serialize;

/// Four accuracies and two gains, and which rows were added.
#[derive(Clone, Debug, Serialize)]
pub struct Robustness {
    /// The accuracies, as `report.plain_clean` and so on.
    #[serde(flatten)]
    pub report: AugmentReport,
    /// Whether noisy rows surely gained, and clean rows lost no more than chance allows.
    pub is_worth_it: bool,
    /// Whether the new rows are those of the version; else they were made for this report, and are not kept.
    pub new_rows_are_stored: bool,
}

/// Trains on the train rows of a version, without and with augmented ones, and judges on its test rows. The augmented rows
/// are the version's own, or else `copies` noisy ones of each train row. `rates` are those of the noise in the test rows
/// and in copies made here.
pub async fn robustness(
    ctx: &Context,
    it: &LoopSettings,
    version: &DatasetVersion,
    rates: &Rates,
    copies: usize,
) -> Result<Robustness> {
    let settings = Settings { share: 1.0, copies, noise: Some(*rates), slots: false };
    settings.check().doing(|| "these settings make no noise".into())?;
    let dataset = version.dataset.to_string();
    let rows = ctx.store.tables().read_examples(&version.dataset, None).await?;
    require_labels(&dataset, &rows)?;
    let has = |wanted: Split| rows.iter().any(|row| row.split == wanted && !row.label.is_empty());
    if !has(Split::Train) || !has(Split::Test) {
        return Err(Error::user(format!("`{dataset}` has no labelled rows to learn from, or none to be judged by"))
            .hint("`loopwright data card` shows the splits; `test_share` of `[data.*]` sets rows aside"));
    }
    let prepared = Prepared::of(ctx, it).await?;
    let (make, judge) = (ctx.seed_for(&format!("augment {dataset}")), ctx.seed_for("robustness"));
    let rates = *rates;
    in_background(move || {
        let doing = || format!("failed to measure the robustness of `{dataset}`");
        let is_made = |row: &Example| matches!(row.origin, Origin::Augmented { .. });
        let new_rows_are_stored = rows.iter().any(is_made);
        let enlarged = match new_rows_are_stored {
            true => None,
            false => {
                let made = prepared.with(|context| {
                    let rows_made = enlarge::generate(&Base::of(&rows, context.opted_out), &settings, make)?;
                    let made = Made { rows: rows_made, ..Made::default() };
                    enlarge::enlarge(&rows, made, &prepared.recipe, context)
                });
                Some(made.doing(doing)?.curated.examples)
            }
        };
        let all = enlarged.as_deref().unwrap_or(&rows);
        let part = |split: Split, made: bool| -> Vec<Labelled<'_>> {
            let rows = all.iter().filter(|row| row.split == split && is_made(row) == made && !row.label.is_empty());
            rows.map(|row| (row.text.as_str(), row.label.as_str())).collect()
        };
        let judged = |train: &[Labelled<'_>], test: &[Labelled<'_>]| judged_by_classifier(train, test, judge);
        let (train, new, test) = (part(Split::Train, false), part(Split::Train, true), part(Split::Test, false));
        let report = report(&train, &new, &test, &rates, judge, &judged).doing(doing)?;
        Ok(Robustness { is_worth_it: report.is_worth_it(), report, new_rows_are_stored })
    })
    .await
}
