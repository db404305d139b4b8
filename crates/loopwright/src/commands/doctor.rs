//! `doctor`: the project looked at part by part, each finding with the way out.

use super::{all, screen};
use crate::{args::Everywhere, failure::Failure, output::Answer, serving, units};
use loopwright_pipeline::{
    Context,
    jobs::{erase, torch},
    project::{Project, ProviderSettings},
    store::{Store, TableKey},
};
use loopwright_types::{
    ModelRef, ModelVersion,
    deployment::{Package, Route},
    job::JobState,
    model::ModelState,
};
use serde::Serialize;
use std::{collections::BTreeSet, net::SocketAddr, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Less free space than this is worth a warning: a dataset version and a model fit in.
const FREE_BYTES_LOW: u64 = 1 << 30;
/// A server on this machine answers within this time.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// How a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Ok,
    Warn,
    Fail,
}

/// A part that was looked at.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    part: String,
    health: Health,
    /// What was seen.
    seen: String,
    /// The way out, if one is needed.
    way_out: Option<String>,
}

impl Finding {
    fn ok(part: &str, seen: impl Into<String>) -> Self {
        Self { part: part.into(), health: Health::Ok, seen: seen.into(), way_out: None }
    }

    fn warn(part: &str, seen: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { part: part.into(), health: Health::Warn, seen: seen.into(), way_out: Some(way_out.into()) }
    }

    fn fail(part: &str, seen: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { part: part.into(), health: Health::Fail, seen: seen.into(), way_out: Some(way_out.into()) }
    }

    /// A part that could not even be looked at.
    fn of_error(part: &str, error: impl Into<anyhow::Error>, way_out: &str) -> Self {
        let failure = Failure::of(&error.into());
        let seen = std::iter::once(failure.message).chain(failure.because).collect::<Vec<_>>().join(": ");
        Self::fail(part, seen, failure.hints.into_iter().next().unwrap_or_else(|| way_out.to_string()))
    }
}

pub async fn doctor(everywhere: &Everywhere, port: Option<u16>) -> anyhow::Result<Answer> {
    let mut findings = Vec::new();
    if let Some(ctx) = opened(everywhere, &mut findings).await {
        findings.push(database(&ctx.store).await);
        findings.push(event_log(&ctx.store).await);
        findings.push(tables(&ctx.store).await);
        findings.extend(models(&ctx).await?);
        findings.push(jobs(&ctx.store).await?);
        findings.push(erasures(&ctx).await?);
        findings.extend(providers(&ctx));
        findings.extend(pytorch(&ctx).await);
        findings.push(free_space(&everywhere.project).await);
        findings.push(listening(&ctx, port).await);
    }
    let healthy = findings.iter().all(|finding| finding.health != Health::Fail);
    let text: String = findings.iter().map(told).collect();
    Ok(Answer::new(&findings, text).with_passed(healthy))
}

fn told(finding: &Finding) -> String {
    let word = match finding.health {
        Health::Ok => "ok",
        Health::Warn => "warn",
        Health::Fail => "FAIL",
    };
    let way_out = finding.way_out.as_ref().map(|way| format!("                    → {way}\n")).unwrap_or_default();
    format!("{word:<5} {:<13} {}\n{way_out}", finding.part, finding.seen)
}

/// The project file read and the store opened, as far as that goes.
async fn opened(everywhere: &Everywhere, findings: &mut Vec<Finding>) -> Option<Context> {
    let project = match Project::load(&everywhere.project) {
        Ok(project) => project,
        Err(error) => {
            findings.push(Finding::of_error("project file", error, "mend `loopwright.toml`"));
            return None;
        }
    };
    let names = project.loops.keys().cloned().collect::<Vec<_>>().join(", ");
    findings.push(Finding::ok("project file", format!("`{}`, loops: {names}", project.project.name)));
    match Context::open(project, screen(), "cli").await {
        Ok(ctx) => Some(ctx),
        Err(error) => {
            findings.push(Finding::of_error("database", error, "restore `.loopwright` from a backup"));
            None
        }
    }
}

async fn database(store: &Store) -> Finding {
    match store.check().await {
        Ok(problems) if problems.is_empty() => Finding::ok("database", "structure and references are sound"),
        Ok(problems) => {
            Finding::fail("database", problems.join("; "), "restore `.loopwright/records.db` from a backup")
        }
        Err(error) => Finding::of_error("database", error, "restore `.loopwright/records.db` from a backup"),
    }
}

async fn event_log(store: &Store) -> Finding {
    match store.verify_events().await {
        Ok(report) => match report.broken {
            None => Finding::ok("event log", format!("{} links, intact", units::count(report.n_links))),
            Some(link) => Finding::fail(
                "event log",
                format!("broken at link {}: {}", link.seq, link.problem),
                "compare with a backup",
            ),
        },
        Err(error) => Finding::of_error("event log", error, "compare with a backup"),
    }
}

async fn tables(store: &Store) -> Finding {
    let keys = match store.tables().all_tables().await {
        Ok(keys) => keys,
        Err(error) => return Finding::of_error("tables", error, "restore `.loopwright/tables` from a backup"),
    };
    let mut n_rows = 0;
    for key in &keys {
        match n_rows_of(store, key).await {
            Ok(n) => n_rows += n,
            Err(error) => {
                let finding = Finding::of_error("tables", error, "");
                let way_out = "`loopwright data import` and `data curate` write raw rows and the newest version again";
                return Finding { seen: format!("{key}: {}", finding.seen), way_out: Some(way_out.into()), ..finding };
            }
        }
    }
    Finding::ok("tables", format!("{} tables, {} rows, all readable", keys.len(), units::count(n_rows)))
}

async fn n_rows_of(store: &Store, key: &TableKey) -> anyhow::Result<u64> {
    let tables = store.tables();
    Ok(match key {
        TableKey::Raw { .. } => tables.read_source_rows(key).await?.len(),
        TableKey::Rejected { .. } => tables.read_rejected(key).await?.len(),
        TableKey::Examples(dataset) => tables.read_examples(dataset, None).await?.len(),
        TableKey::Dropped(dataset) => tables.read_dropped(dataset).await?.len(),
    } as u64)
}

/// Every packaged version that may still be served, and every version behind a route.
async fn models(ctx: &Context) -> anyhow::Result<Vec<Finding>> {
    let versions: Vec<ModelVersion> = all(&ctx.store).await?;
    let packages: Vec<Package> = all(&ctx.store).await?;
    let routes: Vec<Route> = all(&ctx.store).await?;
    let served =
        |model: &ModelRef| routes.iter().any(|route| route.variants.iter().any(|variant| variant.model == *model));
    let mut findings = Vec::new();
    let mut n_sound = 0;
    for version in &versions {
        let model = &version.model;
        let is_retired = version.state == ModelState::Retired;
        if is_retired && served(model) {
            let way_out = "`loopwright promote NAME@VERSION` puts another version behind the route";
            findings.push(Finding::fail("models", format!("{model} is retired and still behind a route"), way_out));
        }
        if is_retired || !(served(model) || packages.iter().any(|package| package.model == *model)) {
            continue;
        }
        match serving::verify(&ctx.store, model).await {
            Ok(()) => n_sound += 1,
            Err(error) => findings.push(refused(model, &error)),
        }
    }
    if findings.is_empty() {
        let seen = format!("{} versions, {n_sound} packaged ones whole, signed and as packaged", versions.len());
        findings.push(Finding::ok("models", seen));
    }
    Ok(findings)
}

fn refused(model: &ModelRef, error: &anyhow::Error) -> Finding {
    let way_out = format!(
        "a server refuses it; if the files are good, `loopwright package {model}`, else restore them from a backup"
    );
    Finding::fail("models", format!("{model}: {error:#}"), way_out)
}

async fn jobs(store: &Store) -> anyhow::Result<Finding> {
    let n_waiting = store.jobs(Some(JobState::Queued), u32::MAX).await?.len();
    let failed = store.jobs(Some(JobState::Failed), u32::MAX).await?;
    Ok(match failed.first() {
        Some(job) => {
            let error = job.error.clone().unwrap_or_default();
            let seen = format!("{} given up; the newest, `{}`: {error}", failed.len(), job.job.kind);
            Finding::warn("jobs", seen, "`loopwright jobs` lists them; mend the cause and run the stage by hand")
        }
        None if n_waiting > 0 => {
            Finding::warn("jobs", format!("{n_waiting} waiting"), "`loopwright up` or `loopwright work` does them")
        }
        None => Finding::ok("jobs", "none waits, none was given up"),
    })
}

async fn erasures(ctx: &Context) -> anyhow::Result<Finding> {
    let all = erase::all(ctx).await?;
    let n_open = all.iter().filter(|erasure| erasure.done_at.is_none()).count();
    Ok(match n_open {
        0 => Finding::ok("erasures", format!("{} done, none open", all.len())),
        _ => {
            Finding::warn("erasures", format!("{n_open} not finished"), "repeat `loopwright erase PERSON`: it goes on")
        }
    })
}

/// The keys of each provider that a route names; none is asked.
fn providers(ctx: &Context) -> Vec<Finding> {
    let gateway = &ctx.project.gateway;
    let named: BTreeSet<String> =
        gateway.routes.values().flat_map(|policy| policy.targets().map(|it| it.provider().to_string())).collect();
    let is_set = |name: &str| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
    let finding = |(name, provider): (&String, &ProviderSettings)| {
        let seen = format!("`{name}` at {}", provider.base());
        let variable = &provider.api_key_env;
        match variable.is_empty() || is_set(variable) {
            true => Finding::ok("provider", seen),
            false => {
                let way_out = format!("set the environment variable `{variable}`, which holds its key");
                Finding::warn("provider", format!("{seen}: `{variable}` is not set"), way_out)
            }
        }
    };
    gateway.providers.iter().filter(|(name, _)| named.contains(*name)).map(finding).collect()
}

/// The Python of each loop that trains in PyTorch.
async fn pytorch(ctx: &Context) -> Vec<Finding> {
    let mut findings = Vec::new();
    for it in ctx.project.loops.values() {
        let Some(settings) = it.train.with_torch() else { continue };
        findings.push(match torch::look(ctx, settings).await {
            Ok(environment) => match environment.problems(settings).as_slice() {
                [] => Finding::ok("pytorch", format!("`{}`: {}", it.name, environment.told())),
                problems => {
                    let seen = format!("`{}`: {}: {}", it.name, environment.program, problems.join("; "));
                    Finding::fail("pytorch", seen, torch::INSTALL)
                }
            },
            Err(error) => Finding::of_error("pytorch", error, torch::INSTALL),
        });
    }
    findings
}

async fn free_space(dir: &Path) -> Finding {
    match free_bytes(dir).await {
        Some(bytes) if bytes < FREE_BYTES_LOW => {
            Finding::warn("disk", format!("{} free", units::size(bytes)), "free some space before the next training")
        }
        Some(bytes) => Finding::ok("disk", format!("{} free", units::size(bytes))),
        None => Finding::warn("disk", "the free space could not be told", "look at it with `df`"),
    }
}

/// Free bytes of the disk under a folder, as POSIX `df -P -k` tells them.
async fn free_bytes(dir: &Path) -> Option<u64> {
    let output = tokio::process::Command::new("df").args(["-P", "-k"]).arg(dir).output().await.ok()?;
    parse_df(std::str::from_utf8(&output.stdout).ok()?)
}

fn parse_df(text: &str) -> Option<u64> {
    let free: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    free.checked_mul(1024)
}

async fn listening(ctx: &Context, port: Option<u16>) -> Finding {
    let address = match serving::address(ctx, port) {
        Ok(address) => address,
        Err(error) => return Finding::of_error("port", error, "mend `address` in [serve] of the project file"),
    };
    match TcpListener::bind(address).await {
        Ok(_) => Finding::ok("port", format!("{address} is free")),
        Err(_) if answers(address).await => Finding::ok("port", format!("a server answers at {address}")),
        Err(error) => {
            let way_out =
                "stop the program that uses it, or choose another port with `--port` or in [serve] of the project file";
            Finding::fail("port", format!("{address} cannot be listened on: {error}"), way_out)
        }
    }
}

/// Does one of our servers listen there?
async fn answers(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET /health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.take(64 << 10).read_to_string(&mut answer).await.ok()?;
        Some(answer.contains(" 200 ") && answer.contains("\"models\""))
    };
    tokio::time::timeout(ANSWERS_WITHIN, ask).await.ok().flatten().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_read_off_the_fourth_column() {
        let text = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/a 100 60 40 60% /\n";
        assert_eq!(parse_df(text), Some(40 * 1024));
        assert_eq!(parse_df("nonsense"), None);
    }
}
