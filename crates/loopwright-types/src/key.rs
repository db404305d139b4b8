//! API keys, as they are kept: hashed, with what they may ask and how much of it.

use crate::{Digest, Entity, Timestamp, id::KeyId};
use serde::{Deserialize, Serialize};

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Ask models and give feedback.
    Inference,
    /// Also read every page and record, and change routes.
    Admin,
}

/// An API key. The secret is 256 random bits, so a plain SHA-256 of it cannot be guessed back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiKey {
    /// The public half.
    pub id: KeyId,
    /// Who holds it.
    pub owner: String,
    /// SHA-256 of the whole secret text.
    pub hash: Digest,
    /// What it may do.
    pub scope: Scope,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was withdrawn.
    pub revoked_at: Option<Timestamp>,
    /// From when on it is good for nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The routes that it may ask; all where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// How much it may ask. All of them hold at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
}

impl ApiKey {
    /// May it ask this route?
    pub fn may_ask(&self, route: &str) -> bool {
        self.routes.is_empty() || self.routes.iter().any(|it| it == route)
    }

    /// Was it good until a time that is over?
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }
}

/// At most so much of something in any window of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limit {
    /// Of what.
    pub of: Measure,
    /// In how long.
    pub window: Window,
    /// How much: requests, tokens, or micro-dollars.
    pub at_most: u64,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Requests that were let in.
    Requests,
    /// Tokens of prompts and answers together.
    Tokens,
    /// Millionths of a dollar.
    MicroUsd,
}

impl Measure {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::MicroUsd => "micro_usd",
        }
    }
}

/// Over how long a limit counts. Windows slide: they end now, not at a full hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
    /// 30 days.
    Month,
    /// As long as the key exists.
    Total,
}

impl Window {
    /// Every window, shortest first.
    pub const ALL: [Self; 5] = [Self::Minute, Self::Hour, Self::Day, Self::Month, Self::Total];

    /// Its length in milliseconds; none for the one without end.
    pub fn length_ms(self) -> Option<i64> {
        match self {
            Self::Minute => Some(60_000),
            Self::Hour => Some(3_600_000),
            Self::Day => Some(86_400_000),
            Self::Month => Some(30 * 86_400_000),
            Self::Total => None,
        }
    }

    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        }
    }
}

impl std::str::FromStr for Window {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        let found = Self::ALL.into_iter().find(|window| window.as_str() == word);
        found.ok_or_else(|| format!("expected one of {}, got `{word}`", known()))
    }
}

/// How much was used, or may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Requests.
    pub requests: u64,
    /// Tokens of prompts and answers together.
    pub tokens: u64,
    /// Millionths of a dollar.
    pub micro_usd: u64,
}

impl Amount {
    /// One of the three.
    pub fn of(&self, measure: Measure) -> u64 {
        match measure {
            Measure::Requests => self.requests,
            Measure::Tokens => self.tokens,
            Measure::MicroUsd => self.micro_usd,
        }
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            tokens: self.tokens.saturating_add(other.tokens),
            micro_usd: self.micro_usd.saturating_add(other.micro_usd),
        }
    }

    /// Without the other; nothing is less than nothing.
    pub fn minus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(other.requests),
            tokens: self.tokens.saturating_sub(other.tokens),
            micro_usd: self.micro_usd.saturating_sub(other.micro_usd),
        }
    }
}

/// What a key used in one minute, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spending {
    /// Who used it.
    pub key: KeyId,
    /// Minutes since 1970; none for all that was ever used.
    pub minute: Option<i64>,
    /// How much.
    pub used: Amount,
}

impl Entity for ApiKey {
    const KIND: &'static str = "api_key";

    fn id(&self) -> String {
        self.id.0.clone()
    }

    fn state(&self) -> &str {
        if self.revoked_at.is_some() { "revoked" } else { "active" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_the_first_format_is_read_as_one_without_limits() {
        let old =
            r#"{"id":"key_1","owner":"a","hash":"sha256:00","scope":"inference","created_at":1,"revoked_at":null}"#;
        let key: ApiKey = serde_json::from_str(old).unwrap();
        assert!(key.may_ask("anything") && !key.is_expired(Timestamp(i64::MAX)) && key.limits.is_empty());
        assert_eq!(serde_json::to_string(&key).unwrap(), old, "and written as it was");
    }

    #[test]
    fn a_key_of_today_comes_back_as_it_was_written() {
        let text = r#"{"id":"key_1","owner":"a","hash":"sha256:00","scope":"admin","created_at":1,"revoked_at":null,"expires_at":9,"routes":["support"],"limits":[{"of":"micro_usd","window":"month","at_most":5000000}]}"#;
        let key: ApiKey = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&key).unwrap(), text);
        assert!(key.may_ask("support") && !key.may_ask("other"));
        assert!(key.is_expired(Timestamp(9)) && !key.is_expired(Timestamp(8)));
        assert_eq!(
            "fortnight".parse::<Window>().unwrap_err(),
            "expected one of minute, hour, day, month, total, got `fortnight`"
        );
    }
}
