//! `key`: who may ask.

use crate::{args::KeyCommand, output::Answer, table::Table, units};
use loopwright_pipeline::{Context, Error, jobs::keys};
use loopwright_types::{
    Entity,
    key::{ApiKey, Scope},
};

pub async fn key(ctx: &Context, command: &KeyCommand) -> anyhow::Result<Answer> {
    match command {
        KeyCommand::Make { owner, admin } => make(ctx, owner, *admin).await,
        KeyCommand::List => list(ctx).await,
        KeyCommand::Revoke { id } => revoke(ctx, id).await,
    }
}

/// Stdout gets the secret alone, so that `KEY=$(loopwright key make --owner x)` works.
async fn make(ctx: &Context, owner: &str, admin: bool) -> anyhow::Result<Answer> {
    if owner.trim().is_empty() {
        return Err(Error::user("a key has an owner").hint("name one with `--owner`").into());
    }
    let (key, secret) = keys::make(ctx, owner, if admin { Scope::Admin } else { Scope::Inference }).await?;
    let json = serde_json::json!({ "id": key.id, "owner": key.owner, "scope": key.scope, "secret": secret });
    Ok(Answer::new(json, secret).with_talk(format!("{} is shown only now: only its hash is kept", key.id)))
}

async fn list(ctx: &Context) -> anyhow::Result<Answer> {
    let keys = keys::list(ctx).await?;
    let row = |key: &ApiKey| {
        let scope = match key.scope {
            Scope::Inference => "inference",
            Scope::Admin => "admin",
        };
        let revoked = units::or_dash(key.revoked_at.map(units::moment));
        [
            key.id.to_string(),
            key.owner.clone(),
            scope.to_string(),
            key.state().to_string(),
            units::moment(key.created_at),
            revoked,
        ]
    };
    let table = Table::of(["key", "owner", "scope", "state", "made", "revoked"], &keys, row);
    Ok(Answer::list(&keys, &table, "no key yet: `loopwright key make --owner NAME` makes one"))
}

async fn revoke(ctx: &Context, id: &str) -> anyhow::Result<Answer> {
    let key: Option<ApiKey> = ctx.store.get(id).await?;
    let key =
        key.ok_or_else(|| Error::user(format!("there is no key `{id}`")).hint("`loopwright key list` shows them"))?;
    if key.revoked_at.is_none() {
        keys::revoke(ctx, key.clone()).await?;
    }
    let text = format!("{} of `{}` is good for nothing any more\n", key.id, key.owner);
    Ok(Answer::new(serde_json::json!({ "id": key.id, "owner": key.owner, "state": "revoked" }), text))
}
