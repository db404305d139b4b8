//! Diversity: how different the rows of a version are from each other, and those of each label.

use super::{collect::in_background, vectors::Vectors};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
};
use loopwright_data::diversity::{self, Settings};
use loopwright_types::{DatasetVersion, ModelRef, Split, score::Interval};
use serde::Serialize;
use std::collections::BTreeMap;

/// Labels with fewer rows are not measured: with fewer than five rows a sample tells nothing.
pub const LABEL_ROWS_MIN: usize = 40;

/// The figures of a version.
#[derive(Clone, Debug, Serialize)]
pub struct VersionDiversity {
    /// The version.
    pub dataset: String,
    /// `words`, or the model whose vectors the Vendi score compares.
    pub vectors: String,
    /// All rows.
    pub all: Figures,
    /// Each label with at least [`LABEL_ROWS_MIN`] rows, all measured at the same number of rows, so that they compare with
    /// each other (and not with all rows).
    pub labels: BTreeMap<String, Figures>,
    /// Labels with fewer rows, and how many they have.
    pub labels_too_small: BTreeMap<String, u64>,
}

/// The figures of a set of rows.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Rows of the set.
    pub n_rows: u64,
    /// Rows per sample: figures compare at the same number only.
    pub rows_sampled: u64,
    /// Different words per word.
    pub distinct_1: Interval,
    /// Different pairs of words per pair.
    pub distinct_2: Interval,
    /// Different runs of three words per run.
    pub distinct_3: Interval,
    /// Share of a text's runs of three words that another text has, too.
    pub self_overlap: Interval,
    /// As many rows as would be as diverse if all were wholly unlike.
    pub vendi: Interval,
}

/// Measures the rows of a version, of one split or all. `model` gives the vectors; words do unless it is given.
pub async fn diversity(
    ctx: &Context,
    version: &DatasetVersion,
    split: Option<Split>,
    model: Option<&ModelRef>,
) -> Result<VersionDiversity> {
    let rows = ctx.store.tables().read_examples(&version.dataset, split).await?;
    let vectors = Vectors::of(ctx, model).await?;
    let of_model = model.map_or_else(|| "words".to_string(), ModelRef::to_string);
    let (dataset, seed) = (version.dataset.to_string(), ctx.seed_for("diversity"));
    in_background(move || {
        let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
        let set = Set { vectors: vectors.embed(&texts)?, texts, seed };
        let everything: Vec<usize> = (0..rows.len()).collect();
        let few = |error: Error| error.hint("16 rows are the least; leave `--split` out to measure all");
        let all = set.measured(&everything, Settings::default().rows_sampled).map_err(few)?;
        let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, row) in rows.iter().enumerate().filter(|(_, row)| !row.label.is_empty()) {
            members.entry(&row.label).or_default().push(index);
        }
        let (large, small): (BTreeMap<_, _>, BTreeMap<_, _>) =
            members.into_iter().partition(|(_, rows)| rows.len() >= LABEL_ROWS_MIN);
        let n_smallest = large.values().map(Vec::len).min().unwrap_or(0);
        let rows_sampled = Settings::default().rows_sampled.min(n_smallest / diversity::N_SAMPLES);
        let of_label = |(label, rows): (&str, Vec<usize>)| Ok((label.to_string(), set.measured(&rows, rows_sampled)?));
        Ok(VersionDiversity {
            dataset,
            vectors: of_model,
            all,
            labels: large.into_iter().map(of_label).collect::<Result<_>>()?,
            labels_too_small: small.into_iter().map(|(label, rows)| (label.to_string(), rows.len() as u64)).collect(),
        })
    })
    .await
}

/// Texts with their vectors.
struct Set<'a> {
    texts: Vec<&'a str>,
    vectors: Vec<Vec<f32>>,
    seed: u64,
}

impl Set<'_> {
    fn measured(&self, rows: &[usize], rows_sampled: usize) -> Result<Figures> {
        let texts: Vec<&str> = rows.iter().map(|row| self.texts[*row]).collect();
        let vectors: Vec<Vec<f32>> = rows.iter().map(|row| self.vectors[*row].clone()).collect();
        let found = diversity::measure(&texts, &vectors, &Settings { rows_sampled }, self.seed)
            .doing(|| "failed to measure how diverse the rows are".into())?;
        let [distinct_1, distinct_2, distinct_3] = found.distinct;
        Ok(Figures {
            n_rows: found.n_rows,
            rows_sampled: found.rows_sampled,
            distinct_1,
            distinct_2,
            distinct_3,
            self_overlap: found.self_overlap,
            vendi: found.vendi,
        })
    }
}
