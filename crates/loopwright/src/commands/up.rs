//! `up`: a project served.

use super::open;
use crate::{
    args::{Everywhere, UpArgs},
    background, footprint,
    output::{self, Answer},
    serving, stop,
};
use loopwright_pipeline::Context;
use loopwright_server::{Server, serve};
use std::time::Duration;

/// By then the start is over, models aside.
const STARTED_AFTER: Duration = Duration::from_secs(2);

pub async fn up(args: &UpArgs, everywhere: &Everywhere) -> anyhow::Result<Answer> {
    let ctx = open(everywhere, "server").await?;
    let asked = stop::asked();
    let server = serve(serving::settings(&ctx, args.port)?).await?;
    let sign_in = server.sign_in_url()?;
    let base_url = server.url();
    let text = format!("address  {base_url}\nsign in  {sign_in}\n");
    let json = serde_json::json!({ "server": { "base_url": base_url, "sign_in": sign_in } });
    let talk = "the link signs a browser in, once, within an hour; Ctrl-C stops the server";
    output::answer(&Answer::new(json, text).with_talk(talk), everywhere.json);
    stay_up(&ctx, server, !args.no_work, asked).await?;
    Ok(Answer::silent())
}

/// Keeps a server up, and the project turning behind it, until somebody asks to stop.
pub async fn stay_up(
    ctx: &Context,
    server: Server,
    works: bool,
    asked: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let worker = async {
        match works {
            true => background::work(ctx).await,
            false => std::future::pending().await,
        }
    };
    let state = server.state().clone();
    tokio::spawn(async {
        tokio::time::sleep(STARTED_AFTER).await;
        // It holds up whoever asks for memory meanwhile, for some milliseconds.
        tokio::task::spawn_blocking(footprint::let_go_of_the_start).await.ok();
    });
    tokio::select! {
        () = asked => {}
        ((), ()) = async { tokio::join!(worker, background::reconcile(ctx)) } => {}
        () = background::follow_gateway(ctx, &state) => {}
    }
    output::talk("stopping: requests under way are answered first");
    server.shutdown().await?;
    Ok(())
}
