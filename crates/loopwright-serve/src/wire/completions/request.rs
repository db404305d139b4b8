//! Reading the body of `POST /v1/completions`.

use crate::{
    Error, Result,
    ask::{Ask, Prompt, ToolChoice},
    wire::{
        chat::StreamOptions,
        fields::{About, FormatFields, OneOrMany, SamplingFields, answers, read_json, stops, unserved},
    },
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Prompts of one request.
const N_PROMPTS_MAX: usize = 128;
const N_LOGPROBS_MAX: u32 = 20;
/// OpenAI's default.
const N_TOKENS: u32 = 16;

/// A request that was found good.
#[derive(Clone, Debug, PartialEq)]
pub struct CompletionAsk {
    /// One for each prompt, in order.
    pub asks: Vec<Ask>,
    /// Does the answer begin with the prompt?
    pub echo: bool,
    /// Is nothing but the prompt asked for?
    pub only_echo: bool,
    /// With a last chunk that tells the usage?
    pub include_usage: bool,
}

#[derive(Deserialize)]
struct Body {
    model: String,
    prompt: Option<Prompts>,
    max_tokens: Option<u32>,
    n: Option<u32>,
    best_of: Option<u32>,
    echo: Option<bool>,
    suffix: Option<String>,
    logprobs: Option<u32>,
    stop: Option<OneOrMany>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    user: Option<String>,
    metadata: Option<BTreeMap<String, Value>>,
}

/// A prompt or several, each as text or as tokens.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Prompts {
    Text(String),
    Tokens(Vec<u32>),
    Texts(Vec<String>),
    ManyTokens(Vec<Vec<u32>>),
}

impl Prompts {
    /// The prompts in order, at most `limit`; none of them may be empty.
    pub(crate) fn read(self, param: &str, limit: usize) -> Result<Vec<Prompt>> {
        let prompts: Vec<Prompt> = match self {
            Self::Text(text) => vec![Prompt::Text(text)],
            // An empty list may be one of either kind.
            Self::Tokens(tokens) if tokens.is_empty() => Vec::new(),
            Self::Tokens(tokens) => vec![Prompt::Tokens(tokens)],
            Self::Texts(texts) => texts.into_iter().map(Prompt::Text).collect(),
            Self::ManyTokens(many) => many.into_iter().map(Prompt::Tokens).collect(),
        };
        let is_empty = |prompt: &Prompt| match prompt {
            Prompt::Text(text) => text.is_empty(),
            Prompt::Tokens(tokens) => tokens.is_empty(),
            Prompt::Chat(messages) => messages.is_empty(),
        };
        let problem = match prompts.len() {
            0 => format!("`{param}` must hold at least one text"),
            n if n > limit => format!("`{param}` must hold at most {limit} texts, got {n}"),
            _ if prompts.iter().any(is_empty) => format!("`{param}` must not hold an empty text"),
            _ => return Ok(prompts),
        };
        Err(Error::invalid(param, "invalid_value", problem))
    }
}

/// Reads and checks the body of `POST /v1/completions`.
pub fn read_completion(body: &[u8]) -> Result<CompletionAsk> {
    let fields: Body = read_json(body)?;
    if fields.suffix.as_deref().is_some_and(|suffix| !suffix.is_empty()) {
        return Err(unserved("suffix"));
    }
    let n = answers(fields.n)?;
    if fields.best_of.is_some_and(|best_of| best_of != n) {
        return Err(Error::invalid(
            "best_of",
            "unsupported_value",
            "`best_of` must be `n`: every answer is given back",
        ));
    }
    let echo = fields.echo.unwrap_or_default();
    let max_tokens = fields.max_tokens.unwrap_or(N_TOKENS);
    if max_tokens == 0 && !echo {
        return Err(Error::invalid("max_tokens", "invalid_value", "`max_tokens` must be at least 1 without `echo`"));
    }
    if let Some(logprobs) = fields.logprobs.filter(|n| *n > N_LOGPROBS_MAX) {
        let message = format!("`logprobs` must be at most {N_LOGPROBS_MAX}, got {logprobs}");
        return Err(Error::invalid("logprobs", "invalid_value", message));
    }
    let missing = || Error::invalid("prompt", "missing_required_parameter", "`prompt` is missing");
    let prompts = fields.prompt.ok_or_else(missing)?.read("prompt", N_PROMPTS_MAX)?;
    let about = About::read(fields.user, fields.metadata)?;
    let stream = fields.stream.unwrap_or_default();
    let ask = Ask {
        route: fields.model,
        prompt: Prompt::Tokens(Vec::new()),
        n,
        max_tokens: Some(max_tokens.max(1)),
        stop: stops(fields.stop, "stop")?,
        sampling: read_json::<SamplingFields>(body)?.read()?,
        logprobs: fields.logprobs,
        format: read_json::<FormatFields>(body)?.read()?,
        tools: Vec::new(),
        tool_choice: ToolChoice::None,
        parallel_tool_calls: false,
        stream,
        user: about.user,
        session: about.session,
        tag: about.tag,
    };
    let include_usage = fields.stream_options.and_then(|options| options.include_usage).unwrap_or_default();
    Ok(CompletionAsk {
        asks: prompts.into_iter().map(|prompt| Ask { prompt, ..ask.clone() }).collect(),
        echo,
        only_echo: max_tokens == 0,
        include_usage: stream && include_usage,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(fields: Value) -> Result<CompletionAsk> {
        let mut body = json!({"model": "support", "prompt": "once"});
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        read_completion(body.to_string().as_bytes())
    }

    #[test]
    fn prompts_come_in_four_forms() {
        let prompts = |prompt: Value| -> Vec<Prompt> {
            with(json!({"prompt": prompt})).unwrap().asks.into_iter().map(|ask| ask.prompt).collect()
        };
        assert_eq!(prompts(json!("a")), [Prompt::Text("a".into())]);
        assert_eq!(prompts(json!(["a", "b"])), [Prompt::Text("a".into()), Prompt::Text("b".into())]);
        assert_eq!(prompts(json!([1, 2])), [Prompt::Tokens(vec![1, 2])]);
        assert_eq!(prompts(json!([[1, 2], [3]])), [Prompt::Tokens(vec![1, 2]), Prompt::Tokens(vec![3])]);
    }

    #[test]
    fn a_benchmark_asks_for_the_prompt_and_nothing_else() {
        let read = with(json!({"prompt": [[1, 2]], "echo": true, "logprobs": 1, "max_tokens": 0, "temperature": 0}));
        let read = read.unwrap();
        assert!(read.echo && read.only_echo);
        assert_eq!((read.asks[0].max_tokens, read.asks[0].logprobs), (Some(1), Some(1)));
        assert_eq!(with(json!({})).unwrap().asks[0].max_tokens, Some(16));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (fields, param) in [
            (json!({"prompt": []}), "prompt"),
            (json!({"prompt": null}), "prompt"),
            (json!({"prompt": ["a", ""]}), "prompt"),
            (json!({"prompt": vec!["a"; 129]}), "prompt"),
            (json!({"suffix": "end"}), "suffix"),
            (json!({"best_of": 3}), "best_of"),
            (json!({"max_tokens": 0}), "max_tokens"),
            (json!({"logprobs": 21}), "logprobs"),
            (json!({"n": 0}), "n"),
        ] {
            assert_eq!(with(fields.clone()).unwrap_err().param(), Some(param), "{fields}");
        }
        assert_eq!(with(json!({"prompt": 7})).unwrap_err().code(), "invalid_body");
    }
}
