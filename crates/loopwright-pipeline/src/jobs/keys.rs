//! API keys: made here, shown once, kept hashed.

use crate::{
    context::Context,
    error::{Doing, Result},
};
use loopwright_serve::keys;
use loopwright_store::{Change, ListQuery};
use loopwright_types::{
    Entity,
    event::NewEvent,
    id::KeyId,
    key::{ApiKey, Scope},
};

/// Makes a key and returns its secret, which is not kept.
pub async fn make(ctx: &Context, owner: &str, scope: Scope) -> Result<(ApiKey, String)> {
    let secret = keys::fresh_secret().doing(|| "failed to draw a random key".into())?;
    let key = ApiKey {
        id: KeyId::new(ctx.store.new_id("key")),
        owner: owner.to_string(),
        hash: keys::hash(&secret),
        scope,
        created_at: ctx.store.now(),
        revoked_at: None,
    };
    let event = NewEvent::new(ctx.actor, "api_key.created", key.entity_ref());
    ctx.store.apply(event.with_body(serde_json::json!({"scope": scope})), vec![Change::put(&key)]).await?;
    Ok((key, secret))
}

/// Withdraws every active key of an owner.
pub async fn revoke_of(ctx: &Context, owner: &str) -> Result<u64> {
    let mut n = 0;
    for key in list(ctx).await?.into_iter().filter(|key| key.owner == owner && key.revoked_at.is_none()) {
        revoke(ctx, key).await?;
        n += 1;
    }
    Ok(n)
}

/// Withdraws a key.
pub async fn revoke(ctx: &Context, mut key: ApiKey) -> Result<()> {
    key.revoked_at = Some(ctx.store.now());
    ctx.store.apply(NewEvent::new(ctx.actor, "api_key.revoked", key.entity_ref()), vec![Change::put(&key)]).await?;
    Ok(())
}

/// Every key.
pub async fn list(ctx: &Context) -> Result<Vec<ApiKey>> {
    Ok(ctx.store.list(&ListQuery { limit: u32::MAX, ..Default::default() }).await?)
}
