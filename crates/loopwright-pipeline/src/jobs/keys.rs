//! API keys: made here, shown once, kept hashed.

use super::traffic;
use crate::{
    context::Context,
    error::{Doing, Error, Result},
};
use loopwright_serve::{keys, price};
use loopwright_store::{Change, ListQuery};
use loopwright_types::{
    Entity, Timestamp,
    event::NewEvent,
    id::KeyId,
    key::{Amount, ApiKey, Limit, Measure, Scope, Window},
};

/// How long, what and how much a key may ask.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyRules {
    /// From when on it is good for nothing.
    pub expires_at: Option<Timestamp>,
    /// The routes that it may ask; all where none is named.
    pub routes: Vec<String>,
    /// How much it may ask.
    pub limits: Vec<Limit>,
}

/// What a key has used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KeyUse {
    /// In the last 60 minutes.
    pub hour: Amount,
    /// In the last 24 hours.
    pub day: Amount,
    /// In the last 30 days.
    pub month: Amount,
    /// Ever.
    pub total: Amount,
}

/// Makes a key and returns its secret, which is not kept.
pub async fn make(ctx: &Context, owner: &str, scope: Scope, rules: KeyRules) -> Result<(ApiKey, String)> {
    let secret = keys::fresh_secret().doing(|| "failed to draw a random key".into())?;
    let key = ApiKey {
        id: KeyId::new(ctx.store.new_id("key")),
        owner: owner.to_string(),
        hash: keys::hash(&secret),
        scope,
        created_at: ctx.store.now(),
        revoked_at: None,
        expires_at: rules.expires_at,
        routes: rules.routes,
        limits: rules.limits,
    };
    let event = NewEvent::new(ctx.actor, "api_key.created", key.entity_ref());
    ctx.store.apply(event.with_body(rules_body(&key)), vec![Change::put(&key)]).await?;
    Ok((key, secret))
}

/// Changes what a key may ask; the event says what it may now.
pub async fn update(ctx: &Context, mut key: ApiKey, rules: KeyRules) -> Result<ApiKey> {
    (key.expires_at, key.routes, key.limits) = (rules.expires_at, rules.routes, rules.limits);
    let event = NewEvent::new(ctx.actor, "api_key.updated", key.entity_ref());
    ctx.store.apply(event.with_body(rules_body(&key)), vec![Change::put(&key)]).await?;
    Ok(key)
}

fn rules_body(key: &ApiKey) -> serde_json::Value {
    serde_json::json!({
        "scope": key.scope, "expires_at": key.expires_at, "routes": key.routes, "limits": key.limits,
    })
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

/// The key of this id.
pub async fn find(ctx: &Context, id: &str) -> Result<ApiKey> {
    let key = ctx.store.get(id).await?;
    key.ok_or_else(|| Error::user(format!("there is no key `{id}`")).hint("`loopwright key list` shows them"))
}

/// What a key has used, as far as servers have written it down.
pub async fn used(ctx: &Context, key: &KeyId) -> Result<KeyUse> {
    traffic::recover(ctx).await?;
    let now = ctx.store.now();
    let mut sums = KeyUse::default();
    for spending in ctx.store.spendings(Some(key), now.plus_ms(-31 * 86_400_000)).await? {
        let Some(minute) = spending.minute else {
            sums.total = spending.used;
            continue;
        };
        let ago_ms = now.0 - minute * 60_000;
        let windows = [(Window::Hour, &mut sums.hour), (Window::Day, &mut sums.day), (Window::Month, &mut sums.month)];
        for (_, sum) in windows.into_iter().filter(|(window, _)| window.length_ms().is_some_and(|ms| ago_ms < ms)) {
            *sum = sum.plus(spending.used);
        }
    }
    Ok(sums)
}

/// Adds a limit, in the place of one on the same thing over the same time.
pub fn set_limit(limits: &mut Vec<Limit>, limit: Limit) {
    limits.retain(|it| (it.of, it.window) != (limit.of, limit.window));
    limits.push(limit);
}

/// Reads a limit such as `requests/day=10000` or `usd/total=25.50`.
///
/// ```
/// use loopwright_pipeline::jobs::keys::limit_of;
/// use loopwright_types::key::{Limit, Measure, Window};
///
/// let limit = Limit { of: Measure::MicroUsd, window: Window::Total, at_most: 25_500_000 };
/// assert_eq!(limit_of("usd/total=25.50").unwrap(), limit);
/// assert!(limit_of("usd/week=1").unwrap_err().to_string().contains("week"));
/// ```
pub fn limit_of(text: &str) -> Result<Limit> {
    let wrong = |problem: String| {
        Error::user(format!("`{text}` is no limit: {problem}"))
            .hint("write `requests/day=10000`, `tokens/hour=50000` or `usd/total=25.50`")
    };
    let parts = text.split_once('=').and_then(|(left, much)| Some((left.split_once('/')?, much)));
    let ((of, window), much) = parts.ok_or_else(|| wrong("it is not `WHAT/WINDOW=NUMBER`".into()))?;
    let window: Window = window.parse().map_err(wrong)?;
    let whole = || much.parse::<u64>().map_err(|_| wrong(format!("expected a whole number, got `{much}`")));
    let (of, at_most) = match of {
        "requests" => (Measure::Requests, whole()?),
        "tokens" => (Measure::Tokens, whole()?),
        "usd" => (Measure::MicroUsd, price::micro_usd(much).map_err(wrong)?),
        other => return Err(wrong(format!("expected requests, tokens or usd, got `{other}`"))),
    };
    Ok(Limit { of, window, at_most })
}

/// Reads when a key expires: `90d`, `12h`, `30m` from now, or a day.
///
/// ```
/// use loopwright_pipeline::jobs::keys::expiry_of;
/// use loopwright_types::Timestamp;
///
/// assert_eq!(expiry_of("2h", Timestamp(1)).unwrap(), Timestamp(7_200_001));
/// assert_eq!(expiry_of("2030-01-02", Timestamp(1)).unwrap().to_string(), "2030-01-02T00:00:00.000Z");
/// assert!(expiry_of("1969-12-31", Timestamp(1)).unwrap_err().to_string().contains("is over"));
/// ```
pub fn expiry_of(text: &str, now: Timestamp) -> Result<Timestamp> {
    let span = |unit: char, ms: i64| {
        let n: i64 = text.strip_suffix(unit)?.parse().ok().filter(|n| *n > 0)?;
        n.checked_mul(ms).map(|ms| now.plus_ms(ms))
    };
    let at = span('d', 86_400_000).or_else(|| span('h', 3_600_000)).or_else(|| span('m', 60_000));
    let at = at.or_else(|| Timestamp::of_day(text)).ok_or_else(|| {
        Error::user(format!("`{text}` is no time")).hint("write `90d`, `12h`, `30m`, or a day such as `2026-12-31`")
    })?;
    if at <= now {
        return Err(Error::user(format!("`{text}` is over: the key would never be good for anything")));
    }
    Ok(at)
}
