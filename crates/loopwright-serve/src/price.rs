//! From tokens to money, in whole millionths of a dollar.
//!
//! Prices are data in the project. They are given in dollars per million tokens, as providers print them, and kept in
//! micro-dollars per million tokens, so that the cost of a request is a product of integers, rounded once (half up).
//!
//! ```
//! use loopwright_serve::{event::Used, price::Price};
//!
//! let price = Price::from_usd_per_million(0.15, 0.60, 0.075).unwrap();
//! let used = Used { prompt_tokens: 1_000, cached_tokens: 400, completion_tokens: 50, reasoning_tokens: 0 };
//! // 600 x 0.15 + 400 x 0.075 + 50 x 0.60 micro-dollars
//! assert_eq!(price.cost_micro_usd(&used), 150);
//! ```

use crate::event::Used;
use serde::{Deserialize, Serialize};

/// What tokens cost, in micro-dollars per million. Free by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Prompt tokens.
    pub input: u64,
    /// Prompt tokens that are read from a cache.
    pub cached_input: u64,
    /// Answer tokens, reasoning included.
    pub output: u64,
}

/// Dearer than anything that is sold, in dollars per million tokens: a misplaced point is told, not paid.
const USD_PER_MILLION_MAX: f64 = 1_000_000.0;
const MILLION: u128 = 1_000_000;

impl Price {
    /// A price as it is written: dollars per million tokens, to the micro-dollar. The error says what is wrong.
    pub fn from_usd_per_million(input: f64, output: f64, cached_input: f64) -> Result<Self, String> {
        let whole = |name: &str, usd: f64| {
            if (0.0..=USD_PER_MILLION_MAX).contains(&usd) {
                Ok((usd * 1e6).round() as u64)
            } else {
                Err(format!("{name} must be between 0 and {USD_PER_MILLION_MAX} dollars per million tokens, got {usd}"))
            }
        };
        Ok(Self {
            input: whole("input_per_million_usd", input)?,
            output: whole("output_per_million_usd", output)?,
            cached_input: whole("cached_input_per_million_usd", cached_input)?,
        })
    }

    /// As dear as the dearer of both, for each kind of token.
    pub fn dearer(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            cached_input: self.cached_input.max(other.cached_input),
            output: self.output.max(other.output),
        }
    }

    /// What these tokens cost.
    pub fn cost_micro_usd(&self, used: &Used) -> u64 {
        let cached = used.cached_tokens.min(used.prompt_tokens);
        let fresh = used.prompt_tokens - cached;
        let sum = u128::from(fresh) * u128::from(self.input)
            + u128::from(cached) * u128::from(self.cached_input)
            + u128::from(used.completion_tokens) * u128::from(self.output);
        u64::try_from((sum + MILLION / 2) / MILLION).unwrap_or(u64::MAX)
    }

    /// What a request can cost at most: no token of the prompt is read from a cache, or all are if that is dearer, and every
    /// answer is as long as it may be.
    pub fn bound_micro_usd(&self, prompt_tokens: u32, answer_tokens: u32) -> u64 {
        let dearest =
            Self { cached_input: self.cached_input.max(self.input), input: self.cached_input.max(self.input), ..*self };
        let used = Used { prompt_tokens, completion_tokens: answer_tokens, ..Used::default() };
        dearest.cost_micro_usd(&used)
    }
}

/// Micro-dollars as people write dollars: `0.001234`, never rounded.
pub fn usd(micro_usd: u64) -> String {
    format!("{}.{:06}", micro_usd / 1_000_000, micro_usd % 1_000_000)
}

/// Dollars as people write them, in micro-dollars: at most six digits behind the point. The error says what is wrong.
pub fn micro_usd(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("expected dollars such as `25` or `0.50`, with at most six digits behind the point, got `{text}`");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && part.is_empty()) || !is_digits(whole) || !is_digits(part) || part.len() > 6 {
        return Err(wrong());
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
    let part: u64 = format!("{part:0<6}").parse().map_err(|_| wrong())?;
    whole.checked_mul(1_000_000).and_then(|micro| micro.checked_add(part)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn costs_are_rounded_once_half_up() {
        let price = Price { input: 150_000, cached_input: 75_000, output: 600_000 };
        let cost = |prompt, cached, answer| {
            price.cost_micro_usd(&Used {
                prompt_tokens: prompt,
                cached_tokens: cached,
                completion_tokens: answer,
                reasoning_tokens: 0,
            })
        };
        assert_eq!(cost(0, 0, 0), 0);
        assert_eq!(cost(3, 0, 0), 0, "0.45 micro-dollars");
        assert_eq!(cost(0, 0, 1), 1, "0.6");
        assert_eq!(cost(10, 0, 0), 2, "1.5");
        assert_eq!(cost(10, 99, 0), 1, "no more is cached than was read: 0.75");
        assert_eq!(cost(u32::MAX, 0, u32::MAX), 3_221_225_471, "4294967295 x 0.75");
    }

    #[test]
    fn money_is_written_and_read_to_the_micro_dollar() {
        for (micro, text) in
            [(0, "0.000000"), (1, "0.000001"), (25_500_000, "25.500000"), (u64::MAX, "18446744073709.551615")]
        {
            assert_eq!(usd(micro), text);
            assert_eq!(micro_usd(text), Ok(micro));
        }
        assert_eq!((micro_usd("25"), micro_usd(".5"), micro_usd("3.")), (Ok(25_000_000), Ok(500_000), Ok(3_000_000)));
        for wrong in ["", ".", "-1", "1e3", "0.0000001", "1,5", "18446744073709.551616", "99999999999999999999"] {
            assert!(micro_usd(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn senseless_prices_are_refused_by_name() {
        assert!(Price::from_usd_per_million(-1.0, 0.0, 0.0).unwrap_err().starts_with("input_per_million_usd"));
        assert!(Price::from_usd_per_million(0.0, f64::NAN, 0.0).unwrap_err().starts_with("output_per_million_usd"));
        assert!(Price::from_usd_per_million(0.0, 0.0, 2e6).unwrap_err().starts_with("cached_input_per_million_usd"));
    }

    proptest! {
        #[test]
        fn the_bound_is_never_below_the_cost(
            input in 0u64..100_000_000, cached_input in 0u64..100_000_000, output in 0u64..100_000_000,
            prompt in 0u32..200_000, cached in 0u32..200_000, answer in 0u32..200_000, room in 0u32..1000,
        ) {
            let price = Price { input, cached_input, output };
            let used = Used { prompt_tokens: prompt, cached_tokens: cached, completion_tokens: answer, reasoning_tokens: 0 };
            prop_assert!(price.cost_micro_usd(&used) <= price.bound_micro_usd(prompt, answer + room));
        }
    }
}
