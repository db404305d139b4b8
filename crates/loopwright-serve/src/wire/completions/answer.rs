//! Writing a completion.

use crate::{
    Error,
    event::{Event, TokenLogprob, Used},
    gathered::{Gathered, GatheredChoice},
    wire::{
        chat::usage_json,
        writer::{DONE_FRAME, Head, Writer, error_body, sse_frame},
    },
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A prompt that its answer begins with.
#[derive(Clone, Debug, PartialEq)]
pub struct Echo {
    /// The prompt as text.
    pub text: String,
    /// Its tokens, where log-probabilities were asked for. The first one follows nothing and has none.
    pub logprobs: Vec<TokenLogprob>,
}

/// Writes completions.
#[derive(Debug)]
pub struct CompletionWriter {
    head: Head,
    include_usage: bool,
    /// Were log-probabilities asked for, and how many alternatives?
    logprobs: Option<u32>,
    /// The prompts, by choice.
    echoes: BTreeMap<u32, Echo>,
    /// How much of each choice was written, in characters.
    offsets: BTreeMap<u32, usize>,
    used: Used,
}

impl CompletionWriter {
    /// A writer; `echoes` holds the prompts of the choices whose answers begin with them.
    pub fn new(head: Head, include_usage: bool, logprobs: Option<u32>, echoes: BTreeMap<u32, Echo>) -> Self {
        Self { head, include_usage, logprobs, echoes, offsets: BTreeMap::new(), used: Used::default() }
    }

    fn chunk(&self, choices: Value, usage: Option<Value>) -> String {
        let mut chunk = self.body(choices);
        if self.include_usage {
            chunk["usage"] = usage.unwrap_or_default();
        }
        sse_frame(&chunk)
    }

    fn body(&self, choices: Value) -> Value {
        json!({
            "id": self.head.id,
            "object": "text_completion",
            "created": self.head.created,
            "model": self.head.model,
            "system_fingerprint": self.head.fingerprint,
            "choices": choices,
        })
    }

    fn text_chunk(&mut self, index: u32, text: &str, tokens: &[TokenLogprob], is_prompt: bool) -> String {
        let offset = self.offsets.entry(index).or_default();
        let at = *offset;
        *offset += text.chars().count();
        let logprobs = self.logprobs.map(|_| logprobs_json(tokens, at, is_prompt));
        self.chunk(json!([{"index": index, "text": text, "logprobs": logprobs, "finish_reason": null}]), None)
    }

    fn choice(&self, index: usize, choice: &GatheredChoice) -> Value {
        let echo = u32::try_from(index).ok().and_then(|index| self.echoes.get(&index));
        let prompt = echo.map(|echo| echo.text.as_str()).unwrap_or_default();
        let tokens: Vec<TokenLogprob> =
            echo.iter().flat_map(|echo| &echo.logprobs).chain(&choice.logprobs).cloned().collect();
        let logprobs = self.logprobs.map(|_| logprobs_json(&tokens, 0, echo.is_some()));
        let text = format!("{prompt}{}", choice.text);
        json!({"index": index, "text": text, "logprobs": logprobs, "finish_reason": choice.reason().as_str()})
    }
}

impl Writer for CompletionWriter {
    fn begin(&mut self, _: Used) -> String {
        let echoes = std::mem::take(&mut self.echoes);
        echoes.iter().map(|(index, echo)| self.text_chunk(*index, &echo.text, &echo.logprobs, true)).collect()
    }

    fn event(&mut self, event: &Event) -> String {
        match event {
            Event::Text { text, logprobs, .. } if text.is_empty() && logprobs.is_empty() => String::new(),
            Event::Text { choice, text, logprobs } => self.text_chunk(*choice, text, logprobs, false),
            Event::Reasoning { .. } | Event::ToolCall { .. } => String::new(),
            Event::Finish { choice, reason } => {
                let last = json!({"index": choice, "text": "", "logprobs": null, "finish_reason": reason.as_str()});
                self.chunk(json!([last]), None)
            }
            Event::Usage(used) => {
                self.used = *used;
                String::new()
            }
        }
    }

    fn end(&mut self) -> String {
        let usage = self.include_usage.then(|| self.chunk(json!([]), Some(usage_json(self.used))));
        usage.unwrap_or_default() + DONE_FRAME
    }

    fn failed(&mut self, error: &Error) -> String {
        sse_frame(&error_body(error))
    }

    fn whole(&self, answer: &Gathered) -> Value {
        let choices = answer.choices.iter().enumerate().map(|(i, choice)| self.choice(i, choice)).collect();
        let mut body = self.body(choices);
        body["usage"] = usage_json(answer.used);
        body
    }
}

/// Tokens of a completion, in four lists of the same length. A prompt's first token has no probability: it is `null`.
fn logprobs_json(tokens: &[TokenLogprob], offset: usize, is_prompt: bool) -> Value {
    let mut at = offset;
    let offsets = tokens.iter().map(|token| {
        let start = at;
        at += token.token.chars().count();
        start
    });
    let offsets: Vec<usize> = offsets.collect();
    let known = |i: usize| !(is_prompt && i == 0);
    let probabilities: Vec<Option<f32>> =
        tokens.iter().enumerate().map(|(i, token)| known(i).then_some(token.logprob)).collect();
    let top: Vec<Option<Map<String, Value>>> =
        tokens.iter().enumerate().map(|(i, token)| known(i).then(|| alternatives(token))).collect();
    let texts: Vec<String> = tokens.iter().map(name_of).collect();
    json!({"tokens": texts, "token_logprobs": probabilities, "top_logprobs": top, "text_offset": offsets})
}

/// The likeliest tokens by their text, the chosen one among them.
fn alternatives(token: &TokenLogprob) -> Map<String, Value> {
    let mut named = Map::new();
    for one in token.top.iter().chain([token]) {
        named.entry(name_of(one)).or_insert_with(|| json!(one.logprob));
    }
    named
}

/// A token's text; bytes that are no whole character are written as OpenAI writes them, so that no two tokens look alike.
fn name_of(token: &TokenLogprob) -> String {
    match std::str::from_utf8(&token.bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => token.bytes.iter().fold("bytes:".to_owned(), |all, byte| format!("{all}\\x{byte:02x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FinishReason;

    fn head() -> Head {
        Head { id: "trace_1".into(), created: 7, model: "support".into(), fingerprint: "support@2".into() }
    }

    fn token(text: &str, logprob: f32, top: Vec<TokenLogprob>) -> TokenLogprob {
        TokenLogprob { id: 1, token: text.into(), bytes: text.as_bytes().to_vec(), logprob, top }
    }

    #[test]
    fn an_echo_is_scored_as_benchmarks_read_it() {
        let prompt = vec![token("a", 0.0, vec![]), token("b", -2.0, vec![token("c", -0.5, vec![])])];
        let echoes = [(0, Echo { text: "ab".into(), logprobs: prompt })].into();
        let writer = CompletionWriter::new(head(), false, Some(1), echoes);
        let mut answer = Gathered::default();
        let top = vec![token("d", -0.25, vec![])];
        answer.add(&Event::Text { choice: 0, text: "d".into(), logprobs: vec![token("d", -0.25, top)] });
        answer.add(&Event::Finish { choice: 0, reason: FinishReason::Length });
        let choice = &writer.whole(&answer)["choices"][0];
        assert_eq!((&choice["text"], &choice["finish_reason"]), (&json!("abd"), &json!("length")));
        let expected = json!({
            "tokens": ["a", "b", "d"],
            "token_logprobs": [null, -2.0, -0.25],
            "top_logprobs": [null, {"c": -0.5, "b": -2.0}, {"d": -0.25}],
            "text_offset": [0, 1, 2],
        });
        assert_eq!(choice["logprobs"], expected);
    }

    #[test]
    fn a_stream_has_text_an_end_and_usage() {
        let mut writer = CompletionWriter::new(head(), true, None, BTreeMap::new());
        assert_eq!(writer.begin(Used::default()), "");
        let text = writer.event(&Event::Text { choice: 1, text: "hi".into(), logprobs: vec![] });
        let tail = r#""choices":[{"index":1,"text":"hi","logprobs":null,"finish_reason":null}],"usage":null}"#;
        assert!(text.ends_with(&format!("{tail}\n\n")), "{text}");
        assert!(
            writer
                .event(&Event::Finish { choice: 1, reason: FinishReason::Stop })
                .contains(r#""finish_reason":"stop""#)
        );
        let end = writer.end();
        assert!(end.contains(r#""choices":[],"usage":{"#) && end.ends_with(DONE_FRAME), "{end}");
    }

    #[test]
    fn half_characters_are_told_apart() {
        let half =
            |byte| TokenLogprob { id: 1, token: "\u{fffd}".into(), bytes: vec![byte], logprob: -1.0, top: vec![] };
        assert_eq!((name_of(&half(0xe2)), name_of(&half(0xe3))), ("bytes:\\xe2".into(), "bytes:\\xe3".into()));
    }
}
