//! `traces`: answered requests.

use crate::{args::TracesArgs, output::Answer, table::Table, units};
use loopwright_pipeline::{Context, jobs::traffic, store::TraceQuery};
use loopwright_types::trace::Trace;

/// Characters of a message shown.
const INPUT_CHARS: usize = 48;
/// Characters of an answer shown.
const OUTPUT_CHARS: usize = 36;

pub async fn traces(ctx: &Context, args: &TracesArgs) -> anyhow::Result<Answer> {
    let query = TraceQuery {
        tag: args.tag.clone(),
        text_contains: args.text.clone(),
        limit: args.limit,
        ..TraceQuery::default()
    };
    traffic::recover(ctx).await?;
    let traces = ctx.store.traces(&query).await?;
    let n_all = ctx.store.count_traces(&query).await?;
    let row = |trace: &Trace| {
        [
            trace.id.to_string(),
            units::moment(trace.at),
            trace.variant.clone(),
            trace.model.to_string(),
            trace.status.to_string(),
            format!("{}+{}", trace.tokens_in, trace.tokens_out),
            format!("{:.1} ms", trace.latency_ms),
            units::or_dash(trace.tag.as_ref()),
            units::excerpt(&trace.input, INPUT_CHARS),
            units::excerpt(&trace.output, OUTPUT_CHARS),
        ]
    };
    let head = ["trace", "at", "variant", "model", ">status", ">tokens", ">latency", "tag", "message", "answer"];
    let table = Table::of(head, &traces, row);
    let empty = match (&args.tag, &args.text) {
        (None, None) => "no request was answered yet: `loopwright up` serves the route",
        _ => "no request matches: leave `--tag` and `--text` out to see all",
    };
    let answer = Answer::list(&traces, &table, empty);
    Ok(match n_all > traces.len() as u64 && !traces.is_empty() {
        true => answer.with_talk(format!("the newest of {}: `--limit` shows more", units::count(n_all))),
        false => answer,
    })
}
