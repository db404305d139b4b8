//! `prompt`: instructions as versions with labels.

use crate::{args::PromptCommand, output::Answer, table::Table, units};
use anyhow::Context as _;
use loopwright_pipeline::{Context, jobs::prompts};
use loopwright_types::prompt::Prompt;

pub async fn prompt(ctx: &Context, command: &PromptCommand) -> anyhow::Result<Answer> {
    match command {
        PromptCommand::Save { name, file, label } => {
            let template =
                std::fs::read_to_string(file).with_context(|| format!("failed to read `{}`", file.display()))?;
            let saved = prompts::save(ctx, name, &template, label).await?;
            let text = format!("{name}@{}\n", saved.version);
            Ok(Answer::new(&saved, text))
        }
        PromptCommand::List => list(ctx).await,
        PromptCommand::Show { name, version } => {
            let version = match version {
                Some(version) => *version,
                None => prompts::find(ctx, name).await?.newest,
            };
            let shown = prompts::version(ctx, name, version).await?;
            let text = shown.template.clone();
            Ok(Answer::new(&shown, text))
        }
        PromptCommand::Label { name, label, version } => {
            let prompt = prompts::label(ctx, name, *version, label).await?;
            Ok(Answer::new(&prompt, format!("{name}:{label} is {name}@{version}\n")))
        }
    }
}

async fn list(ctx: &Context) -> anyhow::Result<Answer> {
    let all = prompts::list(ctx).await?;
    let row = |prompt: &Prompt| {
        let labels: Vec<String> = prompt.labels.iter().map(|(label, version)| format!("{label}={version}")).collect();
        [prompt.name.clone(), prompt.newest.to_string(), labels.join(", "), units::moment(prompt.updated_at)]
    };
    let table = Table::of(["prompt", ">newest", "labels", "changed"], &all, row);
    Ok(Answer::list(&all, &table, "no prompt yet: `loopwright prompt save NAME FILE` writes one"))
}
