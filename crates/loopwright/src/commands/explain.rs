//! `explain`: why an answer is what it is.

use crate::{
    args::ExplainArgs,
    output::Answer,
    table::{Table, pairs},
    units,
};
use loopwright_pipeline::{Context, Error, jobs::explain, project::LoopSettings};
use loopwright_types::explain::Explanation;

/// Characters of a training row shown.
const TEXT_CHARS: usize = 72;

pub async fn explain(ctx: &Context, it: &LoopSettings, args: &ExplainArgs) -> anyhow::Result<Answer> {
    let explanation = match (&args.trace, &args.text) {
        (Some(trace), _) => explain::of_trace(ctx, it, trace).await?,
        (None, Some(text)) if !text.trim().is_empty() => explain::of_text(ctx, it, text).await?,
        _ => {
            return Err(Error::user("there is no message to explain").hint("`loopwright explain --text \"…\"`").into());
        }
    };
    let text = told(&explanation);
    Ok(Answer::new(&explanation, text)
        .with_talk(format!("its page is `/explanations/{}` of the server", explanation.id)))
}

fn told(it: &Explanation) -> String {
    let facts = pairs(&[
        ("message", it.input.clone()),
        ("answer", it.answer.clone()),
        ("model", it.model.to_string()),
        ("probability", format!("{:.3}, and {:.3} without any of the message", it.probability, it.base_probability)),
    ]);
    let segments = Table::of(["segment", ">shapley", ">lime"], &it.segments, |segment| {
        [segment.text.trim().to_string(), format!("{:+.3}", segment.shapley), format!("{:+.3}", segment.lime)]
    });
    let quality = format!(
        "Shapley values add up to within {:.1e}; LIME explains {:.0}% of the variance around the message and ranks {} under other samples\n",
        it.shapley_sum_error,
        100.0 * it.lime_r2,
        if it.lime_stable { "alike" } else { "differently" },
    );
    let nearest = Table::of([">similarity", "label", "row it learned from"], &it.nearest, |row| {
        [format!("{:.3}", row.similarity), row.label.clone(), units::excerpt(&row.text, TEXT_CHARS)]
    });
    format!("{facts}\n{segments}\n{quality}\n{nearest}")
}
