//! Answers in blocks of content, as Anthropic and Bedrock stream them: a block begins, grows and ends.

use super::tally::{CallPart, Complaint, Tally};
use crate::{
    Trouble,
    ask::{Ask, Format, Tool, ToolChoice},
    event::FinishReason,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The tool whose arguments are the answer, where an answer must be JSON.
pub(super) const ANSWER_TOOL: &str = "answer";

/// What a request's form asks of a provider that holds no form but that of a tool's arguments.
pub(super) struct Tools {
    /// The tools to offer.
    pub(super) tools: Vec<Tool>,
    /// Whether they are to be called.
    pub(super) choice: ToolChoice,
}

/// The tools of a request. JSON is had by a call that must be made, whose arguments become the answer's text.
pub(super) fn tools(ask: &Ask) -> Result<Tools, Complaint> {
    let schema = match &ask.format {
        Format::Text => return Ok(Tools { tools: ask.tools.clone(), choice: ask.tool_choice.clone() }),
        Format::Json => json!({"type": "object"}),
        Format::Schema { schema, .. } => schema.clone(),
        Format::Regex(_) | Format::Grammar(_) => return Err(super::openai::only_ours()),
    };
    if !ask.tools.is_empty() {
        let says = "tools and a JSON format at once are not served by this provider; leave one of them out";
        return Err(Complaint::new(Trouble::Unable, says));
    }
    let description = Some("The answer. Always call this.".into());
    let tool = Tool { name: ANSWER_TOOL.into(), description, parameters: schema, strict: false };
    Ok(Tools { tools: vec![tool], choice: ToolChoice::Named(ANSWER_TOOL.into()) })
}

/// Refuses what would change the answer and cannot be had, rather than leave it out in silence.
pub(super) fn check(ask: &Ask) -> Result<(), Complaint> {
    let it = &ask.sampling;
    let asked = [
        ("n", ask.n > 1),
        ("logprobs", ask.logprobs.is_some()),
        ("logit_bias", !it.logit_bias.is_empty()),
        ("presence_penalty", it.presence_penalty.is_some_and(|x| x != 0.0)),
        ("frequency_penalty", it.frequency_penalty.is_some_and(|x| x != 0.0)),
        ("repetition_penalty", it.repetition_penalty.is_some_and(|x| x != 1.0)),
        ("min_p", it.min_p.is_some_and(|x| x != 0.0)),
        ("min_tokens", it.min_tokens > 0),
        ("ignore_eos", it.ignore_eos),
    ];
    match asked.iter().find(|(_, is_asked)| *is_asked) {
        Some((name, _)) => Err(Complaint::new(Trouble::Unable, format!("`{name}` is not served by it; leave it out"))),
        None => Ok(()),
    }
}

/// A call's arguments as the object that these providers want.
pub(super) fn arguments(text: &str) -> Result<Value, Complaint> {
    if text.trim().is_empty() {
        return Ok(json!({}));
    }
    let refused = |why: String| Complaint::new(Trouble::Refused, format!("the arguments of a tool call {why}"));
    let value: Value = serde_json::from_str(text).map_err(|error| refused(format!("are no JSON: {error}")))?;
    if value.is_object() { Ok(value) } else { Err(refused("must be a JSON object".into())) }
}

/// An image's bytes out of its `data:` URL: media type and base64.
pub(super) fn data_url(url: &str) -> Option<(&str, &str)> {
    let (media, data) = url.strip_prefix("data:")?.split_once(',')?;
    Some((media.strip_suffix(";base64")?, data))
}

/// What the blocks of an answer have been so far.
#[derive(Debug)]
pub(super) struct Blocks {
    /// Which call a block is.
    calls: BTreeMap<u64, u32>,
    n_calls: u32,
    is_form: bool,
    /// The request's stop texts.
    stops: Vec<String>,
}

impl Blocks {
    pub(super) fn new(ask: &Ask) -> Self {
        let is_form = ask.format != Format::Text;
        Self { calls: BTreeMap::new(), n_calls: 0, is_form, stops: ask.stop.clone() }
    }

    /// A block that calls a tool begins.
    pub(super) fn begin_call(
        &mut self,
        block: u64,
        id: String,
        name: String,
        tally: &mut Tally,
    ) -> Result<(), Complaint> {
        if self.is_form {
            return Ok(());
        }
        let index = self.n_calls;
        self.n_calls += 1;
        self.calls.insert(block, index);
        tally.call((0, index), CallPart { id: Some(id), name: Some(name), arguments: String::new() })
    }

    /// Arguments of a block's call.
    pub(super) fn arguments(&mut self, block: u64, text: String, tally: &mut Tally) -> Result<(), Complaint> {
        if self.is_form {
            return tally.text(0, text, Vec::new());
        }
        match self.calls.get(&block) {
            Some(index) => tally.call((0, *index), CallPart { arguments: text, ..CallPart::default() }),
            // Of a kind of block that we do not know: a call that the provider answers itself.
            None => Ok(()),
        }
    }

    /// Text of the answer. Beside an answer that must be JSON, there is none.
    pub(super) fn text(&mut self, text: String, tally: &mut Tally) -> Result<(), Complaint> {
        if self.is_form { Ok(()) } else { tally.text(0, text, Vec::new()) }
    }

    /// The answer ends for a reason in the words that both providers use, by this stop text if it was one.
    pub(super) fn finish(&mut self, reason: &str, stop: Option<&str>, tally: &mut Tally) -> Result<(), Complaint> {
        // Where it is not told which, only one can be meant.
        let is_it = |it: &&(u32, &String)| stop.map_or(self.stops.len() == 1, |stop| it.1 == stop);
        let index = (0..).zip(&self.stops).find(|it| is_it(&it));
        let reason = match reason {
            "stop_sequence" if let Some((index, _)) = index => FinishReason::StopText(index),
            "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
            "tool_use" if self.is_form => FinishReason::Stop,
            "tool_use" => FinishReason::ToolCalls,
            "refusal" | "guardrail_intervened" | "content_filtered" => FinishReason::ContentFilter,
            _ => FinishReason::Stop,
        };
        tally.finish(0, reason)
    }
}
