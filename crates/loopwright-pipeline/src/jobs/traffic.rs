//! Answered requests as source rows: what people asked, with the label that their feedback gives.

use super::curate;
use crate::{
    context::Context,
    error::{Doing, Result},
    project::LoopSettings,
};
use loopwright_store::TraceQuery;
use loopwright_types::{Digest, SourceRow};
use std::collections::{BTreeMap, BTreeSet};

/// A source that begins so names the route whose traces are rows: `traces:support`.
const PREFIX: &str = "traces:";

/// The route of a source of traces.
pub fn route(source: &str) -> Option<&str> {
    source.strip_prefix(PREFIX)
}

/// Takes up what killed servers wrote down and the database does not have yet.
pub async fn recover(ctx: &Context) -> Result<()> {
    let recovered = loopwright_observe::fold::recover(&ctx.store, ctx.project.serve.killed).await;
    recovered.map(drop).outside(|| "failed to take up what a killed server left".into())
}

/// The traces of a route in the order they came. Their text was masked when it was kept. A correction, or an answer that
/// was confirmed, is the label; the others have none.
pub async fn rows(ctx: &Context, it: &LoopSettings, source: &str, route: &str) -> Result<Vec<SourceRow>> {
    let of_route = LoopSettings { name: route.to_string(), ..it.clone() };
    let corrections = curate::new_corrections(ctx, &of_route, &BTreeSet::new()).await?;
    let labels: BTreeMap<_, _> = corrections.into_iter().map(|it| (it.trace, it.label)).collect();
    let query =
        TraceQuery { route: Some(route.to_string()), limit: u32::MAX, newest_first: false, ..Default::default() };
    let traces = ctx.store.traces(&query).await?;
    let row = |(index, trace): (usize, loopwright_types::trace::Trace)| SourceRow {
        label: labels.get(&trace.id).cloned(),
        row_id: trace.id.0,
        source: source.to_string(),
        row_index: index as u64 + 1,
        text: trace.input,
        subject: trace.subject,
        at: Some(trace.at),
        licence: (!it.data.rows_licence.is_empty()).then(|| it.data.rows_licence.clone()),
        tags: it.data.rows_tags.clone(),
        ..SourceRow::default()
    };
    Ok(traces.into_iter().enumerate().map(row).collect())
}

/// The size and digest of rows, by which a later import tells whether there are new ones.
pub fn digest(rows: &[SourceRow]) -> (u64, Digest) {
    let size = rows.iter().map(|row| row.text.len() as u64).sum();
    let parts =
        rows.iter().flat_map(|row| [row.row_id.as_bytes(), row.label.as_deref().unwrap_or_default().as_bytes()]);
    (size, Digest::of_parts(parts))
}
