//! `feedback`: what people said of answers.

use crate::{args::FeedbackCommand, output::Answer, table::Table, units};
use loopwright_pipeline::{Context, store::FeedbackQuery};
use loopwright_types::feedback::Feedback;

pub async fn feedback(ctx: &Context, command: &FeedbackCommand) -> anyhow::Result<Answer> {
    let FeedbackCommand::List { tag, corrections, limit } = command;
    let query =
        FeedbackQuery { tag: tag.clone(), corrections_only: *corrections, limit: *limit, ..FeedbackQuery::default() };
    let said = ctx.store.feedback(&query).await?;
    let row = |said: &Feedback| {
        let thumb = said.thumb_up.map(|up| if up { "up" } else { "down" });
        [
            units::moment(said.at),
            said.trace.to_string(),
            units::or_dash(thumb),
            units::or_dash(said.correction.as_ref()),
            said.source.clone(),
            said.comment.clone().unwrap_or_default(),
        ]
    };
    let table = Table::of(["at", "trace", "thumb", "right label", "by", "comment"], &said, row);
    Ok(Answer::list(
        &said,
        &table,
        "no such feedback yet: clients send it to `/v1/feedback`, people on the page of a trace",
    ))
}
