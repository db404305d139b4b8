//! `audit`: the event log, checked and written out.

use super::open;
use crate::{
    args::{AuditCommand, Everywhere},
    output::Answer,
    table::Table,
    units,
};
use anyhow::Context as _;
use loopwright_pipeline::{Context, Error};
use loopwright_types::event::{BrokenLink, ChainCheck, Event};
use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
};

/// Events read at a time.
const PAGE: u32 = 1000;

pub async fn audit(everywhere: &Everywhere, command: &AuditCommand) -> anyhow::Result<Answer> {
    match command {
        // A log that was handed over is checked without the project it came from.
        AuditCommand::Verify { from_file: Some(file) } => {
            let (n_links, head, broken) = check_file(file)?;
            Ok(verdict(n_links, &head, broken.as_ref()))
        }
        AuditCommand::Verify { from_file: None } => {
            let report = open(everywhere, "cli").await?.store.verify_events().await?;
            Ok(verdict(report.n_links, &report.head, report.broken.as_ref()))
        }
        AuditCommand::List { limit } => list(&open(everywhere, "cli").await?, *limit).await,
        AuditCommand::Export { out } => export(&open(everywhere, "cli").await?, out).await,
    }
}

fn verdict(n_links: u64, head: &str, broken: Option<&BrokenLink>) -> Answer {
    let text = match broken {
        None => format!("intact: {} links, head {head}\n", units::count(n_links)),
        Some(link) => format!(
            "BROKEN at link {}: {}\n{} links before it are intact\n",
            link.seq,
            link.problem,
            units::count(n_links)
        ),
    };
    let json = serde_json::json!({ "n_links": n_links, "head": head, "broken": broken });
    let answer = Answer::new(json, text).with_passed(broken.is_none());
    match broken {
        Some(_) => answer.with_talk("hint: somebody changed the records beside this program; compare with a backup"),
        None => answer,
    }
}

/// Checks JSON lines, one event each, as `audit export` writes them.
fn check_file(path: &Path) -> anyhow::Result<(u64, String, Option<BrokenLink>)> {
    let reading = || format!("failed to read `{}`", path.display());
    let mut check = ChainCheck::default();
    for line in BufReader::new(File::open(path).with_context(reading)?).lines() {
        let line = line.with_context(reading)?;
        let broken = match serde_json::from_str::<Event>(&line) {
            Ok(event) => check.next(&event).err(),
            Err(error) => {
                Some(BrokenLink { seq: check.n_checked() + 1, problem: format!("it is not an event: {error}") })
            }
        };
        if broken.is_some() {
            return Ok((check.n_checked(), check.head().to_string(), broken));
        }
    }
    Ok((check.n_checked(), check.head().to_string(), None))
}

async fn list(ctx: &Context, limit: u32) -> anyhow::Result<Answer> {
    let last = ctx.store.data_version().await?;
    let mut events = ctx.store.events(last.saturating_sub(u64::from(limit)), limit).await?;
    events.reverse();
    let row = |event: &Event| {
        let told = &event.event;
        [
            event.seq.to_string(),
            units::moment(event.at),
            told.actor.clone(),
            told.kind.clone(),
            told.about.to_string(),
            event.hash[..12].to_string(),
        ]
    };
    let table = Table::of([">link", "at", "who", "what", "about", "hash"], &events, row);
    Ok(Answer::list(&events, &table, "nothing has happened yet: `loopwright run` turns the loop"))
}

async fn export(ctx: &Context, out: &Path) -> anyhow::Result<Answer> {
    if out.exists() {
        return Err(Error::user(format!("`{}` is there already", out.display()))
            .hint("name another file with `--out`")
            .into());
    }
    let writing = || format!("failed to write `{}`", out.display());
    let mut file = BufWriter::new(File::create(out).with_context(writing)?);
    let mut n_links = 0;
    loop {
        let page = ctx.store.events(n_links, PAGE).await?;
        let Some(last) = page.last() else { break };
        n_links = last.seq;
        for event in &page {
            serde_json::to_writer(&mut file, event).with_context(writing)?;
            file.write_all(b"\n").with_context(writing)?;
        }
    }
    file.flush().with_context(writing)?;
    let json = serde_json::json!({ "file": out, "n_links": n_links });
    let talk = format!("anyone can check it: `loopwright audit verify --from-file {}`", out.display());
    Ok(Answer::new(json, format!("{}: {} links\n", out.display(), units::count(n_links))).with_talk(talk))
}
