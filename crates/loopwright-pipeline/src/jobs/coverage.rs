//! Coverage: does a version stand for the traffic? Which regions are asked for and hardly learned, and which the other way
//! round.

use super::{collect::in_background, vectors::Vectors};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
};
use loopwright_data::coverage::{self, Region, Settings, Thin};
use loopwright_store::TraceQuery;
use loopwright_types::{DatasetVersion, Example, ModelRef, Split, score::Interval, trace::Trace};
use serde::Serialize;

/// The newest requests that are looked at.
const TRACES_MAX: u32 = 20_000;
/// Regions, unless said otherwise: at most so many, and so few that each may have some dozen rows of either side.
const REGIONS_MAX: usize = 50;
const ROWS_PER_REGION: usize = 24;

/// Which traffic is looked at, and how.
#[derive(Clone, Debug, Default)]
pub struct CoverageSettings {
    /// The route; that of the dataset's loop unless given.
    pub route: Option<String>,
    /// Only requests with this tag.
    pub tag: Option<String>,
    /// The model whose vectors are compared; vectors of words unless given.
    pub model: Option<ModelRef>,
    /// Regions; by the number of rows unless given.
    pub regions: Option<usize>,
}

/// A version and traffic compared.
#[derive(Clone, Debug, Serialize)]
pub struct Coverage {
    /// The version.
    pub dataset: String,
    /// The route whose traffic it is.
    pub route: String,
    /// `words`, or the model whose vectors were compared.
    pub vectors: String,
    /// Train rows that were compared.
    pub n_rows: u64,
    /// Requests that were compared.
    pub n_requests: u64,
    /// Regions that both were cut into.
    pub n_regions: u64,
    /// Share of the requests that fall into regions which the version hardly has.
    pub traffic_not_covered: Interval,
    /// Share of the rows that fall into regions which are hardly asked for.
    pub dataset_not_asked_for: Interval,
    /// Half the sum of the differences of the shares, from 0 (alike) to 1 (apart).
    pub total_variation: f64,
    /// Regions that are asked for and hardly learned, the most asked for first.
    pub hardly_learned: Vec<ThinRegion>,
    /// Regions that are learned and hardly asked for, the largest first.
    pub hardly_asked_for: Vec<ThinRegion>,
}

/// A region that one side hardly has.
#[derive(Clone, Debug, Serialize)]
pub struct ThinRegion {
    /// Its share of the rows.
    pub dataset: Interval,
    /// Its share of the requests.
    pub traffic: Interval,
    /// Rows nearest to its centre.
    pub rows: Vec<Shown>,
    /// Requests nearest to its centre.
    pub requests: Vec<Shown>,
}

/// A row or a request, shown as an example.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// The row's or the trace's id.
    pub id: String,
    /// Its text, masked.
    pub text: String,
    /// The row's label; empty for requests.
    pub label: String,
}

/// Compares the train rows of a version (what a model learns from) with the inputs of a route.
pub async fn coverage(ctx: &Context, version: &DatasetVersion, settings: &CoverageSettings) -> Result<Coverage> {
    let route = settings.route.clone().unwrap_or_else(|| version.dataset.name.clone());
    let rows = ctx.store.tables().read_examples(&version.dataset, Some(Split::Train)).await?;
    let query =
        TraceQuery { route: Some(route.clone()), tag: settings.tag.clone(), limit: TRACES_MAX, ..Default::default() };
    let mut traces = ctx.store.traces(&query).await?;
    // Rows are in the form in which models get them, so requests must be, too.
    traces.iter_mut().for_each(|trace| trace.input = ctx.prepare(&trace.input));
    traces.retain(|trace| !trace.input.is_empty());
    if traces.is_empty() {
        return Err(no_traces(&route, settings.tag.as_deref()));
    }
    let vectors = Vectors::of(ctx, settings.model.as_ref()).await?;
    let dataset = version.dataset.to_string();
    let (asked, seed) = (settings.clone(), ctx.seed_for("coverage"));
    in_background(move || {
        let doing = || format!("failed to compare `{dataset}` with the traffic of `{route}`");
        let texts: Vec<&str> =
            rows.iter().map(|row| row.text.as_str()).chain(traces.iter().map(|trace| trace.input.as_str())).collect();
        let mut of_rows = vectors.embed(&texts)?;
        let of_traces = of_rows.split_off(rows.len());
        let n_regions = asked.regions.unwrap_or_else(|| {
            let n_smaller = rows.len().min(traces.len());
            (n_smaller / ROWS_PER_REGION).clamp(2, REGIONS_MAX)
        });
        let settings = Settings { regions: n_regions, ..Settings::default() };
        let found = coverage::coverage(&of_rows, &of_traces, &settings, seed).doing(doing)?;
        let thin = |side: Thin| -> Vec<ThinRegion> {
            let regions = found.regions.iter().filter(|region| region.thin == Some(side));
            regions.map(|region| shown(region, &rows, &traces)).collect()
        };
        let mut hardly_asked_for = thin(Thin::InTraffic);
        hardly_asked_for.sort_by(|a, b| b.dataset.point.total_cmp(&a.dataset.point));
        Ok(Coverage {
            dataset,
            route,
            vectors: asked.model.map_or_else(|| "words".to_string(), |model| model.to_string()),
            n_rows: rows.len() as u64,
            n_requests: traces.len() as u64,
            n_regions: found.regions.len() as u64,
            traffic_not_covered: found.traffic_not_covered,
            dataset_not_asked_for: found.dataset_not_asked_for,
            total_variation: found.total_variation,
            hardly_learned: thin(Thin::InDataset),
            hardly_asked_for,
        })
    })
    .await
}

fn shown(region: &Region, rows: &[Example], traces: &[Trace]) -> ThinRegion {
    let row = |index: &usize| {
        let row = &rows[*index];
        Shown { id: row.row_id.to_string(), text: row.text.clone(), label: row.label.clone() }
    };
    let request = |index: &usize| {
        let trace = &traces[*index];
        Shown { id: trace.id.to_string(), text: trace.input.clone(), label: String::new() }
    };
    ThinRegion {
        dataset: region.dataset,
        traffic: region.traffic,
        rows: region.dataset_rows.iter().map(row).collect(),
        requests: region.traffic_rows.iter().map(request).collect(),
    }
}

fn no_traces(route: &str, tag: Option<&str>) -> Error {
    let tagged = tag.map_or_else(String::new, |tag| format!(" with the tag `{tag}`"));
    Error::user(format!("route `{route}` has no traces{tagged} yet"))
        .hint("traces come from requests to `loopwright up`; `loopwright traces` lists them with their routes and tags")
}
