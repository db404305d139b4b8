//! Is there room for a request under its key's limits?

use super::Refused;
use crate::{AppState, auth::Caller, errors::ApiError};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use loopwright_serve::{
    Error,
    ask::{Ask, Part, Prompt},
    keys,
    ledger::{Reservation, Room},
    price::{self, Price},
};
use loopwright_types::key::{Amount, Measure};

const LIMIT_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const REMAINING_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const RESET_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");
const LIMIT_TOKENS: HeaderName = HeaderName::from_static("x-ratelimit-limit-tokens");
const REMAINING_TOKENS: HeaderName = HeaderName::from_static("x-ratelimit-remaining-tokens");
const RESET_TOKENS: HeaderName = HeaderName::from_static("x-ratelimit-reset-tokens");
/// What is left of the key's tightest budget.
const REMAINING_USD: HeaderName = HeaderName::from_static("x-loopwright-budget-remaining-usd");

/// Tokens that a chat template may put around a message, and around all of them.
const FRAME_TOKENS: u64 = 16;
const FRAMES_TOKENS: u64 = 64;
/// Tokens of a picture, as the dearest provider counts a large one.
const IMAGE_TOKENS: u64 = 2048;

/// Makes room for a request, or refuses it; with the headers that tell how much is left.
pub(super) fn reserve(
    state: &AppState,
    caller: &Caller,
    ask: &Ask,
    route: &str,
    price: &Price,
) -> Result<(Reservation, HeaderMap), Refused> {
    reserve_bound(state, caller, route, bound(state, ask, price))
}

/// The same for texts that are read and not answered.
pub(super) fn reserve_texts(
    state: &AppState,
    caller: &Caller,
    texts: &[Prompt],
    route: &str,
    price: &Price,
) -> Result<(Reservation, HeaderMap), Refused> {
    let tokens: u64 = texts.iter().map(|text| text_tokens_max(text) + FRAMES_TOKENS).sum();
    let micro_usd = price.bound_micro_usd(u32::try_from(tokens).unwrap_or(u32::MAX), 0);
    reserve_bound(state, caller, route, Amount { requests: 1, tokens, micro_usd })
}

fn reserve_bound(
    state: &AppState,
    caller: &Caller,
    route: &str,
    bound: Amount,
) -> Result<(Reservation, HeaderMap), Refused> {
    keys::check_route(&caller.record, route)?;
    let now = state.store().now();
    let reserved = state.ledger().reserve(&caller.record, bound, now);
    let headers = told(&state.ledger().room(&caller.record, now));
    match reserved {
        Ok(reservation) => Ok((reservation, headers)),
        Err(error) => Err(over(error, headers)),
    }
}

fn over(error: Error, headers: HeaderMap) -> Refused {
    Refused { error: Box::new(ApiError::from(error)), about: None, headers }
}

/// What a request can use at most. A token has at least one byte, so a text has no more tokens than bytes.
fn bound(state: &AppState, ask: &Ask, price: &Price) -> Amount {
    let prompt = u32::try_from(prompt_tokens_max(ask)).unwrap_or(u32::MAX);
    let each = ask.max_tokens.unwrap_or(state.settings().chat.max_tokens);
    let answers = each.saturating_mul(ask.n.max(1));
    Amount {
        requests: 1,
        tokens: u64::from(prompt) + u64::from(answers),
        micro_usd: price.bound_micro_usd(prompt, answers),
    }
}

fn prompt_tokens_max(ask: &Ask) -> u64 {
    let tool = |tool: &loopwright_serve::ask::Tool| {
        let text = tool.name.len() + tool.description.as_deref().map_or(0, str::len);
        text as u64 + tool.parameters.to_string().len() as u64 + FRAME_TOKENS
    };
    text_tokens_max(&ask.prompt) + ask.tools.iter().map(tool).sum::<u64>() + FRAMES_TOKENS
}

fn text_tokens_max(prompt: &Prompt) -> u64 {
    let part = |part: &Part| match part {
        Part::Text(text) => text.len() as u64,
        Part::Image(_) => IMAGE_TOKENS,
    };
    match prompt {
        Prompt::Chat(messages) => messages
            .iter()
            .map(|message| {
                let calls = message.tool_calls.iter().map(|call| (call.name.len() + call.arguments.len()) as u64);
                message.parts.iter().map(part).sum::<u64>() + calls.sum::<u64>() + FRAME_TOKENS
            })
            .sum(),
        Prompt::Text(text) => text.len() as u64,
        Prompt::Tokens(tokens) => tokens.len() as u64,
    }
}

/// OpenAI's headers, for the limit of each measure that is nearest to its end.
fn told(rooms: &[Room]) -> HeaderMap {
    let tightest = |of: Measure| rooms.iter().filter(|room| room.limit.of == of).min_by_key(|room| room.remaining);
    let mut headers = HeaderMap::new();
    for (of, limit, remaining, reset) in [
        (Measure::Requests, LIMIT_REQUESTS, REMAINING_REQUESTS, RESET_REQUESTS),
        (Measure::Tokens, LIMIT_TOKENS, REMAINING_TOKENS, RESET_TOKENS),
    ] {
        if let Some(room) = tightest(of) {
            headers.insert(limit, room.limit.at_most.into());
            headers.insert(remaining, room.remaining.into());
            let resets_in = room.resets_in_ms.and_then(|ms| HeaderValue::from_str(&duration(ms)).ok());
            headers.extend(resets_in.map(|value| (reset, value)));
        }
    }
    let left = tightest(Measure::MicroUsd).map(|room| price::usd(room.remaining));
    if let Some(value) = left.and_then(|left| HeaderValue::from_str(&left).ok()) {
        headers.insert(REMAINING_USD, value);
    }
    headers
}

/// A duration as OpenAI's headers write it: `20ms`, `1.5s`, `6m0s`, `1h0m0s`.
fn duration(ms: u64) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, (ms % 60_000) as f64 / 1_000.0);
    match (hours, minutes) {
        (0, 0) if ms > 0 && ms < 1_000 => format!("{ms}ms"),
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_are_written_as_openai_does() {
        let written = [0, 20, 1_000, 1_500, 360_000, 3_600_000, 90_061_001].map(duration);
        assert_eq!(written, ["0s", "20ms", "1s", "1.5s", "6m0s", "1h0m0s", "25h1m1.001s"]);
    }
}
