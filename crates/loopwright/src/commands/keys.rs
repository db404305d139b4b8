//! `key`: who may ask, what, and how much.

use crate::{
    args::{KeyCommand, KeyRuleArgs},
    output::Answer,
    table::Table,
    units,
};
use loopwright_pipeline::{
    Context, Error,
    jobs::keys::{self, KeyRules, KeyUse},
};
use loopwright_types::{
    Entity, Timestamp,
    key::{Amount, ApiKey, Limit, Measure, Scope, Window},
};
use std::collections::BTreeSet;

pub async fn key(ctx: &Context, command: &KeyCommand) -> anyhow::Result<Answer> {
    match command {
        KeyCommand::Make { owner, admin, rules } => make(ctx, owner, *admin, rules).await,
        KeyCommand::List => list(ctx).await,
        KeyCommand::Show { id } => show(ctx, id).await,
        KeyCommand::Update { id, rules, no_expiry, all_models, no_limits } => {
            let mut key = keys::find(ctx, id).await?;
            if *no_expiry {
                key.expires_at = None;
            }
            if *all_models {
                key.routes.clear();
            }
            if *no_limits {
                key.limits.clear();
            }
            update(ctx, key, rules).await
        }
        KeyCommand::Revoke { id } => revoke(ctx, id).await,
    }
}

/// What is typed, on top of what there is.
fn rules_of(args: &KeyRuleArgs, mut rules: KeyRules, now: Timestamp) -> anyhow::Result<KeyRules> {
    if let Some(text) = &args.expires {
        rules.expires_at = Some(keys::expiry_of(text, now)?);
    }
    if !args.models.is_empty() {
        rules.routes = args.models.clone();
    }
    let minute = |of, at_most| Limit { of, window: Window::Minute, at_most };
    let mut limits: Vec<Limit> = Vec::new();
    limits.extend(args.requests_per_minute.map(|n| minute(Measure::Requests, n)));
    limits.extend(args.tokens_per_minute.map(|n| minute(Measure::Tokens, n)));
    if let Some(usd) = &args.budget_usd {
        limits.push(keys::limit_of(&format!("usd/{}={usd}", args.budget_window))?);
    }
    for text in &args.limit {
        limits.push(keys::limit_of(text)?);
    }
    limits.into_iter().for_each(|limit| keys::set_limit(&mut rules.limits, limit));
    Ok(rules)
}

/// Stdout gets the secret alone, so that `KEY=$(loopwright key make --owner x)` works.
async fn make(ctx: &Context, owner: &str, admin: bool, args: &KeyRuleArgs) -> anyhow::Result<Answer> {
    if owner.trim().is_empty() {
        return Err(Error::user("a key has an owner").hint("name one with `--owner`").into());
    }
    let rules = rules_of(args, KeyRules::default(), ctx.store.now())?;
    warn_of_unknown(ctx, &rules.routes)?;
    let scope = if admin { Scope::Admin } else { Scope::Inference };
    let (key, secret) = keys::make(ctx, owner, scope, rules).await?;
    let json = serde_json::json!({
        "id": key.id, "owner": key.owner, "scope": key.scope, "secret": secret,
        "expires_at": key.expires_at, "routes": key.routes, "limits": key.limits,
    });
    Ok(Answer::new(json, secret).with_talk(format!("{} is shown only now: only its hash is kept", key.id)))
}

/// A key for a route that the project does not have would be good for nothing.
fn warn_of_unknown(ctx: &Context, routes: &[String]) -> anyhow::Result<()> {
    let known: BTreeSet<&str> = ctx.project.loops.keys().chain(ctx.project.routes.keys()).map(String::as_str).collect();
    match routes.iter().find(|route| !known.contains(route.as_str())) {
        Some(route) => Err(Error::user(format!("the project has no route `{route}`"))
            .hint(format!("it has: {}", known.into_iter().collect::<Vec<_>>().join(", ")))
            .into()),
        None => Ok(()),
    }
}

async fn update(ctx: &Context, key: ApiKey, args: &KeyRuleArgs) -> anyhow::Result<Answer> {
    let present = KeyRules { expires_at: key.expires_at, routes: key.routes.clone(), limits: key.limits.clone() };
    let rules = rules_of(args, present, ctx.store.now())?;
    warn_of_unknown(ctx, &rules.routes)?;
    let key = keys::update(ctx, key, rules).await?;
    let text = format!("{}\n", told(&key));
    Ok(Answer::new(shown(&key), text))
}

async fn show(ctx: &Context, id: &str) -> anyhow::Result<Answer> {
    let key = keys::find(ctx, id).await?;
    let used = keys::used(ctx, &key.id).await?;
    let rows = [("last hour", used.hour), ("last day", used.day), ("last 30 days", used.month), ("ever", used.total)];
    let row = |(when, used): &(&str, Amount)| {
        [when.to_string(), units::count(used.requests), units::count(used.tokens), units::usd(used.micro_usd)]
    };
    let table = Table::of(["used", "requests", "tokens", "dollars"], &rows, row);
    let mut json = shown(&key);
    json["used"] = used_json(&used);
    Ok(Answer::new(json, format!("{}\n\n{table}", told(&key))))
}

fn used_json(used: &KeyUse) -> serde_json::Value {
    serde_json::json!({"hour": used.hour, "day": used.day, "month": used.month, "total": used.total})
}

/// A key as machines read it: all but the hash.
fn shown(key: &ApiKey) -> serde_json::Value {
    serde_json::json!({
        "id": key.id, "owner": key.owner, "scope": key.scope, "state": key.state(), "created_at": key.created_at,
        "revoked_at": key.revoked_at, "expires_at": key.expires_at, "routes": key.routes, "limits": key.limits,
    })
}

/// A key as people read it.
fn told(key: &ApiKey) -> String {
    let expires = key.expires_at.map_or("never expires".into(), |at| format!("expires {}", units::moment(at)));
    let routes = if key.routes.is_empty() { "every route".into() } else { key.routes.join(", ") };
    let (id, owner, state) = (&key.id, &key.owner, key.state());
    format!("{id} of {owner}, {}, {state}, {expires}; {routes}; {}", scope(key), limits(key))
}

fn scope(key: &ApiKey) -> &'static str {
    match key.scope {
        Scope::Inference => "inference",
        Scope::Admin => "admin",
    }
}

fn limits(key: &ApiKey) -> String {
    if key.limits.is_empty() {
        return "no limits".into();
    }
    let one = |limit: &Limit| {
        let much = match limit.of {
            Measure::MicroUsd => units::usd(limit.at_most),
            Measure::Requests | Measure::Tokens => format!("{} {}", units::count(limit.at_most), limit.of.as_str()),
        };
        format!("{much}/{}", limit.window.as_str())
    };
    key.limits.iter().map(one).collect::<Vec<_>>().join(", ")
}

async fn list(ctx: &Context) -> anyhow::Result<Answer> {
    let keys = keys::list(ctx).await?;
    let row = |key: &ApiKey| {
        let until = units::or_dash(key.revoked_at.or(key.expires_at).map(units::moment));
        [
            key.id.to_string(),
            key.owner.clone(),
            scope(key).to_string(),
            key.state().to_string(),
            units::moment(key.created_at),
            until,
            limits(key),
        ]
    };
    let table = Table::of(["key", "owner", "scope", "state", "made", "until", "limits"], &keys, row);
    let json: Vec<serde_json::Value> = keys.iter().map(shown).collect();
    Ok(Answer::list(&json, &table, "no key yet: `loopwright key make --owner NAME` makes one"))
}

async fn revoke(ctx: &Context, id: &str) -> anyhow::Result<Answer> {
    let key = keys::find(ctx, id).await?;
    if key.revoked_at.is_none() {
        keys::revoke(ctx, key.clone()).await?;
    }
    let text = format!("{} of `{}` is good for nothing any more\n", key.id, key.owner);
    Ok(Answer::new(serde_json::json!({ "id": key.id, "owner": key.owner, "state": "revoked" }), text))
}
