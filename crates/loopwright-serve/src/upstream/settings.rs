//! A provider as the project file describes it.

use crate::price::Price;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// Whose language a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// OpenAI's, as many servers do.
    #[serde(rename = "openai")]
    OpenAi,
    /// Anthropic's Messages.
    Anthropic,
    /// Google's Gemini.
    Gemini,
    /// Amazon Bedrock's Converse.
    Bedrock,
    /// OpenAI's behind deployments on Azure.
    Azure,
}

impl ProviderKind {
    /// The word in the project file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
            Self::Azure => "azure",
        }
    }
}

/// `[provider.NAME]`: see the commented default for each key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ProviderSettings {
    pub kind: ProviderKind,
    pub base_url: String,
    pub api_key_env: String,
    pub region: String,
    pub api_version: String,
    pub deployment: String,
    pub allow_private: bool,
    pub connect_timeout_ms: u64,
    pub idle_timeout_ms: u64,
    pub in_flight_max: usize,
    pub probe_every_ms: u64,
    pub prices: BTreeMap<String, ModelPrice>,
}

impl ProviderSettings {
    /// The defaults of the project file, for a provider of this kind.
    pub fn new(kind: ProviderKind) -> Self {
        Self {
            kind,
            base_url: String::new(),
            api_key_env: String::new(),
            region: String::new(),
            api_version: String::new(),
            deployment: String::new(),
            allow_private: false,
            connect_timeout_ms: 5_000,
            idle_timeout_ms: 60_000,
            in_flight_max: 1_000,
            probe_every_ms: 0,
            prices: BTreeMap::new(),
        }
    }

    /// Where requests go, without a slash at the end.
    pub fn base(&self) -> String {
        let written = self.base_url.trim_end_matches('/');
        match self.kind {
            _ if !written.is_empty() => written.into(),
            ProviderKind::OpenAi => "https://api.openai.com/v1".into(),
            ProviderKind::Anthropic => "https://api.anthropic.com".into(),
            ProviderKind::Gemini => "https://generativelanguage.googleapis.com/v1beta".into(),
            ProviderKind::Bedrock => format!("https://bedrock-runtime.{}.amazonaws.com", self.region),
            ProviderKind::Azure => String::new(),
        }
    }

    /// What is wrong with these settings, in words.
    pub fn check(&self) -> Result<(), String> {
        if self.kind == ProviderKind::Bedrock && self.region.is_empty() {
            return Err("region must be given for kind \"bedrock\", such as \"eu-central-1\"".into());
        }
        if self.kind == ProviderKind::Azure && self.base_url.is_empty() {
            let example = "https://NAME.openai.azure.com";
            return Err(format!("base_url must be given for kind \"azure\", such as \"{example}\""));
        }
        let wrong = |says: &str| Err(format!("base_url `{}` {says}", self.base_url));
        match url::Url::parse(&self.base()) {
            Err(error) => return wrong(&format!("is no URL: {error}")),
            Ok(url) if url.host_str().is_none() || url.cannot_be_a_base() => return wrong("names no host"),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                return wrong("holds a secret: put it into an environment variable, and its name into api_key_env");
            }
            Ok(url) if url.query().is_some() || url.fragment().is_some() => return wrong("must end with its path"),
            Ok(url) if url.scheme() == "https" || (url.scheme() == "http" && self.allow_private) => {}
            Ok(url) if url.scheme() == "http" => {
                return wrong(
                    "would carry the key in clear text: write https, or allow_private = true for your network",
                );
            }
            Ok(_) => return wrong("must begin with https"),
        }
        let is_variable = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_variable(&self.api_key_env) {
            return Err("api_key_env must be the name of an environment variable, never the key itself".into());
        }
        if self.connect_timeout_ms == 0 || self.idle_timeout_ms == 0 || self.in_flight_max == 0 {
            return Err("connect_timeout_ms, idle_timeout_ms and in_flight_max must be above 0".into());
        }
        match self.prices.iter().find_map(|(model, price)| Some((model, price.price().err()?))) {
            Some((model, problem)) => Err(format!("prices: `{model}`: {problem}")),
            None => Ok(()),
        }
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }
}

/// What a million tokens cost, in dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPrice {
    /// Of the prompt.
    pub input: f64,
    /// Of the answer.
    pub output: f64,
    /// Of prompt tokens that the provider had in its cache; as `input` where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<f64>,
}

impl ModelPrice {
    /// The same in whole micro-dollars. The error says in words what is wrong.
    pub fn price(&self) -> Result<Price, String> {
        Price::from_usd_per_million(self.input, self.output, self.cached.unwrap_or(self.input))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_address() {
        let base = |kind| ProviderSettings { region: "eu-west-1".into(), ..ProviderSettings::new(kind) }.base();
        assert_eq!(base(ProviderKind::Bedrock), "https://bedrock-runtime.eu-west-1.amazonaws.com");
        assert_eq!(base(ProviderKind::OpenAi), "https://api.openai.com/v1");
        let own = ProviderSettings {
            base_url: "https://llm.example/v1/".into(),
            ..ProviderSettings::new(ProviderKind::OpenAi)
        };
        assert_eq!(own.base(), "https://llm.example/v1");
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        let check = |change: &dyn Fn(&mut ProviderSettings), says: &str| {
            let mut settings = ProviderSettings::new(ProviderKind::OpenAi);
            settings.check().unwrap();
            change(&mut settings);
            let problem = settings.check().unwrap_err();
            assert!(problem.contains(says), "{problem}");
        };
        check(&|it| it.kind = ProviderKind::Bedrock, "region");
        check(&|it| it.kind = ProviderKind::Azure, "base_url must be given");
        check(&|it| it.base_url = "api.openai.com".into(), "is no URL");
        check(&|it| it.base_url = "http://api.openai.com".into(), "clear text");
        check(&|it| it.base_url = "ftp://api.openai.com".into(), "must begin with https");
        check(&|it| it.base_url = "https://me:secret@api.openai.com".into(), "holds a secret");
        check(&|it| it.base_url = "https://api.openai.com/v1?key=1".into(), "end with its path");
        check(&|it| it.api_key_env = "sk-abc-def".into(), "never the key itself");
        check(&|it| it.idle_timeout_ms = 0, "above 0");
        let dear = ModelPrice { input: -1.0, ..ModelPrice::default() };
        check(&|it| it.prices = BTreeMap::from([("m".to_string(), dear)]), "`m`: input_per_million_usd must be");
    }
}
