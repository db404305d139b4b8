//! `demo`: the whole life of a model on an example project, then the server left up.

use super::{screen, up::stay_up};
use crate::{
    args::{DemoArgs, DemoSize, Everywhere},
    output::{self, Answer},
    serving, stop,
    table::{Table, pairs},
    units,
};
use loopwright_pipeline::{
    Context, Error,
    jobs::{
        keys::{self, KeyRules},
        replay::Door,
    },
    project::Project,
    walk::{self, DemoSettings, Size, Summary},
};
use loopwright_server::{Server, serve};
use loopwright_types::key::Scope;

/// Who holds the demo's key.
const OWNER: &str = "demo";

pub async fn demo(args: &DemoArgs, everywhere: &Everywhere) -> anyhow::Result<Answer> {
    walk::create(&args.dir, &settings(args)?)?;
    let project = Project::load(&args.dir)?;
    let ctx = Context::open(project, screen(), "demo").await?.with_reading_child(super::reading_child()?);
    let mut asked = std::pin::pin!(stop::asked());
    let server = serve(serving::settings(&ctx, args.port)?).await?;
    let door = door(&ctx, &server).await?;
    let summary = tokio::select! {
        summary = walk::turn(&ctx, door.clone()) => summary?,
        () = &mut asked => {
            server.shutdown().await?;
            return Err(Error::outside("the demo was stopped").hint("run the same command again: it goes on from here").into());
        }
    };
    let sign_in = server.sign_in_url()?;
    let answer = answer(&summary, &door, &sign_in);
    if args.once {
        server.shutdown().await?;
        return Ok(answer);
    }
    output::answer(&answer.with_text(next_steps(&ctx, &summary, &door, &sign_in)?), everywhere.json);
    stay_up(&ctx, server, true, asked).await?;
    Ok(Answer::silent())
}

fn settings(args: &DemoArgs) -> anyhow::Result<DemoSettings> {
    let size = match args.size {
        DemoSize::Full => Size::Full,
        DemoSize::Small => Size::Small,
    };
    // Absolute, so that the same folder is the same from wherever the demo is resumed.
    let data = args.data.as_deref().map(std::path::absolute).transpose()?;
    Ok(DemoSettings { size, data, seed: args.seed })
}

/// A fresh key for this process; the keys of earlier ones are withdrawn.
async fn door(ctx: &Context, server: &Server) -> anyhow::Result<Door> {
    keys::revoke_of(ctx, OWNER).await?;
    let (_, api_key) = keys::make(ctx, OWNER, Scope::Inference, KeyRules::default()).await?;
    Ok(Door { base_url: server.url(), api_key })
}

fn answer(summary: &Summary, door: &Door, sign_in: &str) -> Answer {
    let mut answer = Answer::new(summary, outcome(summary));
    answer.json["server"] = serde_json::json!({ "base_url": door.base_url, "api_key": door.api_key });
    answer.json["sign_in"] = sign_in.into();
    answer
}

/// What the loop came to, stage by stage and in its main figures.
fn outcome(summary: &Summary) -> String {
    let mut stages = Table::new(&[">stage", "what", ">time"]);
    for stage in &summary.stages {
        let time = if stage.cached { "done before".to_string() } else { units::duration(stage.seconds) };
        stages.row([stage.number.to_string(), stage.title.clone(), time]);
    }
    let retrained = &summary.retrained;
    let figures = pairs(&[
        ("project", summary.project.display().to_string()),
        ("live at its end", live_at_the_end(summary)),
        ("first model's accuracy", summary.judged.scores.accuracy.to_string()),
        ("later month, before", format!("{} ({})", retrained.accuracy_before, retrained.before)),
        ("later month, after", format!("{} ({})", retrained.accuracy_after, retrained.after)),
        ("erasure's receipt", units::or_dash(summary.erased.erasure.receipt.as_ref())),
        ("event log", format!("{} links, intact", units::count(summary.handed_over.n_events))),
        ("time", units::duration(summary.stages.iter().map(|stage| stage.seconds).sum())),
    ]);
    format!("{stages}\n{figures}")
}

fn live_at_the_end(summary: &Summary) -> String {
    summary.erased.erasure.retrained.as_ref().unwrap_or(&summary.retrained.after).to_string()
}

/// The outcome, and the lines that a newcomer pastes next.
fn next_steps(ctx: &Context, summary: &Summary, door: &Door, sign_in: &str) -> anyhow::Result<String> {
    let route = ctx.the_loop(None)?.name;
    let question = serde_json::json!({
        "model": route,
        "messages": [{ "role": "user", "content": "I was charged twice for the same order" }],
    });
    Ok(format!(
        "{outcome}\nThe server is up at {base_url} (Ctrl-C stops it). Sign in to its pages, once:\n\n  {sign_in}\n\n\
         Ask the model:\n\n  export OPENAI_BASE_URL={base_url}/v1\n  export OPENAI_API_KEY={api_key}\n  \
         curl -s $OPENAI_BASE_URL/chat/completions -H \"Authorization: Bearer $OPENAI_API_KEY\" \
         -H 'content-type: application/json' -d '{question}'\n",
        outcome = outcome(summary),
        base_url = door.base_url,
        api_key = door.api_key,
    ))
}
