//! Where the pipeline and the server meet: a project's settings as the server's.

use anyhow::{Context as _, anyhow};
use loopwright_pipeline::{Context, context, jobs::package::verify_for_serving, store::Store, work::chain};
use loopwright_server::{EngineSettings, Preparer, ServerSettings, Verifier};
use loopwright_types::{ModelRef, ModelVersion, deployment::Package};
use std::{
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
};
use tokio::runtime::Handle;

/// The settings of the project's server; `port` outranks the project file. Call it inside a runtime.
pub fn settings(ctx: &Context, port: Option<u16>) -> anyhow::Result<ServerSettings> {
    let mut settings = ServerSettings::new(address(ctx, port)?, ctx.store.clone(), verifier(&ctx.store));
    settings.preparer = preparer(ctx);
    settings.redactor = ctx.redactor.as_ref().clone();
    let serve = &ctx.project.serve;
    settings.engine = EngineSettings {
        n_active_max: serve.answers_max,
        n_waiting_max: serve.queue_max,
        n_tokens_step: serve.tokens_per_pass,
        kv_cache_bytes: serve.kv_cache_mb.saturating_mul(1 << 20),
        models_bytes_max: serve.models_mb.saturating_mul(1 << 20),
        weights: serve.weights,
        speculate: serve.speculate,
        template_date: ctx.project.project.template_date(),
    };
    let longest = ctx.project.loops.values().map(|it| it.route.max_answer_tokens).max();
    settings.chat.max_tokens = longest.unwrap_or(settings.chat.max_tokens);
    Ok(settings)
}

/// Where the project's server listens.
pub fn address(ctx: &Context, port: Option<u16>) -> anyhow::Result<SocketAddr> {
    let written = &ctx.project.serve.address;
    let wrong = || {
        format!(
            "`address` in [serve] of the project file is `{written}`\nhint: write `host:port`, such as `127.0.0.1:8700`"
        )
    };
    let mut address = written.to_socket_addrs().with_context(wrong)?.next().ok_or_else(|| anyhow!(wrong()))?;
    if let Some(port) = port {
        address.set_port(port);
    }
    Ok(address)
}

/// Only packaged, signed and unaltered versions are served.
fn verifier(store: &Store) -> Verifier {
    let (store, runtime) = (store.clone(), Handle::current());
    Arc::new(move |model: &ModelRef| runtime.block_on(verify(&store, model)).map_err(|error| format!("{error:#}")))
}

/// Checks that a version's package is whole, signed by this project, and made of the files that would be loaded.
pub async fn verify(store: &Store, model: &ModelRef) -> anyhow::Result<()> {
    let version: ModelVersion = store.require(&model.to_string()).await?;
    let package: Option<Package> = store.get(&model.to_string()).await?;
    let package = package.ok_or_else(|| anyhow!("it has no package: run `loopwright package {model}`"))?;
    let store = store.clone();
    let checked = tokio::task::spawn_blocking(move || verify_for_serving(&store, &version, &package)).await?;
    checked.map_err(|error| anyhow!(chain(&error)))
}

/// Messages are read in the form that the models learned from.
fn preparer(ctx: &Context) -> Preparer {
    let redactor = ctx.redactor.clone();
    Arc::new(move |text: &str| context::prepare(&redactor, text))
}
