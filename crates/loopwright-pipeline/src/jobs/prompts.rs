//! Prompt templates: versions that are written once, and labels that move between them.

use crate::{
    context::Context,
    error::{Error, Result},
};
use loopwright_serve::prompts;
use loopwright_store::{Change, ListQuery};
use loopwright_types::{
    Entity,
    event::NewEvent,
    prompt::{Prompt, PromptVersion},
};
use std::collections::BTreeMap;

/// Longest template.
const TEMPLATE_BYTES_MAX: usize = 256 << 10;

/// Writes a template as the next version of a prompt, with these labels. The same template as the newest version's makes no
/// new one; its labels move all the same.
pub async fn save(ctx: &Context, name: &str, template: &str, labels: &[String]) -> Result<PromptVersion> {
    check_word("name", name)?;
    labels.iter().try_for_each(|label| check_word("label", label))?;
    if template.len() > TEMPLATE_BYTES_MAX {
        return Err(Error::user(format!("a template has at most {TEMPLATE_BYTES_MAX} bytes, got {}", template.len())));
    }
    prompts::check(template).map_err(|problem| Error::user(format!("the template cannot be read: {problem}")))?;
    let now = ctx.store.now();
    let known: Option<Prompt> = ctx.store.get(name).await?;
    let fresh = || Prompt { name: name.into(), newest: 0, labels: BTreeMap::new(), updated_at: now };
    let mut prompt = known.unwrap_or_else(fresh);
    let newest = match prompt.newest {
        0 => None,
        version => Some(self::version(ctx, name, version).await?),
    };
    let version = match newest.filter(|newest| newest.template == template) {
        Some(newest) => newest,
        None => {
            PromptVersion { name: name.into(), version: prompt.newest + 1, template: template.into(), created_at: now }
        }
    };
    prompt.newest = version.version;
    prompt.labels.extend(labels.iter().map(|label| (label.clone(), version.version)));
    prompt.updated_at = now;
    let event = NewEvent::new(ctx.actor, "prompt.saved", version.entity_ref());
    let body = serde_json::json!({"version": version.version, "labels": labels});
    ctx.store.apply(event.with_body(body), vec![Change::put(&version), Change::put(&prompt)]).await?;
    Ok(version)
}

/// Moves a label to a version.
pub async fn label(ctx: &Context, name: &str, version: u32, label: &str) -> Result<Prompt> {
    check_word("label", label)?;
    let mut prompt = find(ctx, name).await?;
    self::version(ctx, name, version).await?;
    let before = prompt.labels.insert(label.into(), version);
    prompt.updated_at = ctx.store.now();
    let event = NewEvent::new(ctx.actor, "prompt.labelled", prompt.entity_ref());
    let body = serde_json::json!({"label": label, "version": version, "before": before});
    ctx.store.apply(event.with_body(body), vec![Change::put(&prompt)]).await?;
    Ok(prompt)
}

/// Every prompt.
pub async fn list(ctx: &Context) -> Result<Vec<Prompt>> {
    Ok(ctx.store.list(&ListQuery { limit: u32::MAX, newest_first: false, ..Default::default() }).await?)
}

/// The prompt of this name.
pub async fn find(ctx: &Context, name: &str) -> Result<Prompt> {
    let prompt = ctx.store.get(name).await?;
    prompt
        .ok_or_else(|| Error::user(format!("there is no prompt `{name}`")).hint("`loopwright prompt list` shows them"))
}

/// One version of a prompt.
pub async fn version(ctx: &Context, name: &str, version: u32) -> Result<PromptVersion> {
    let found = ctx.store.get(&format!("{name}@{version}")).await?;
    found.ok_or_else(|| {
        Error::user(format!("the prompt `{name}` has no version {version}"))
            .hint(format!("`loopwright prompt show {name}` shows the newest"))
    })
}

/// `@` and `:` part a name from a version or a label.
fn check_word(what: &str, word: &str) -> Result<()> {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if word.is_empty() || !word.chars().all(is_fit) {
        return Err(
            Error::user(format!("`{word}` cannot be a prompt's {what}")).hint("use letters, digits, `-`, `_` and `.`")
        );
    }
    Ok(())
}
