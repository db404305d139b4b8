//! An answer by one of our own models.

use super::About;
use crate::{AppState, auth::Caller};
use loopwright_serve::{
    Constraint, Error, GenerateRequest,
    ask::{Ask, Format, Message, Part, Prompt, Role, Sampling, ToolChoice},
    event::{Events, Progress},
    gateway::bucket,
    grammar::Form,
    pieces, tools,
};
use loopwright_types::model::ModelRef;

/// Hands a request to the engine; calls of tools are heard in what it answers.
pub(super) async fn ask(
    state: &AppState,
    about: &About,
    ask: Ask,
    caller: &Caller,
    progress: Progress,
) -> Result<Events, Error> {
    let model = &about.chosen.variant.model;
    let defaults = &state.settings().chat;
    let may_call = !ask.tools.is_empty() && ask.tool_choice != ToolChoice::None;
    let constraint = constraint(state, model, &ask).await?;
    let pieces = state.engine().generate(GenerateRequest {
        model: model.clone(),
        prompt: prompt(state, model, &ask).await?,
        n: ask.n,
        max_tokens: ask.max_tokens.unwrap_or(defaults.max_tokens),
        stop: ask.stop,
        sampling: Sampling {
            temperature: Some(ask.sampling.temperature.unwrap_or(defaults.temperature)),
            top_p: Some(ask.sampling.top_p.unwrap_or(defaults.top_p)),
            // Without a seed each request draws its own numbers, which its trace's id tells again.
            seed: ask.sampling.seed.or_else(|| bucket("seed", about.id.as_str(), u64::MAX)),
            ..ask.sampling
        },
        logprobs: ask.logprobs,
        constraint,
        owner: caller.key.0.clone(),
    })?;
    let events = pieces::events(pieces, ask.n, progress);
    if !may_call {
        return Ok(events);
    }
    let format = state.engine().call_format(model).await?;
    Ok(tools::hear(events, format, &ask.tools, ask.parallel_tool_calls, about.id.as_str()))
}

/// What is to be continued, in tokens.
pub(crate) async fn prompt(state: &AppState, model: &ModelRef, ask: &Ask) -> Result<Vec<u32>, Error> {
    match &ask.prompt {
        Prompt::Chat(messages) => {
            let messages = messages.iter().map(|message| prepared(state, message)).collect();
            let tools = if ask.tool_choice == ToolChoice::None { Vec::new() } else { ask.tools.clone() };
            state.engine().encode_talk(model, messages, tools).await
        }
        Prompt::Text(text) => state.engine().tokenize(model, text.clone()).await,
        Prompt::Tokens(tokens) => {
            state.engine().check_tokens(model, tokens, "prompt").await?;
            Ok(tokens.clone())
        }
    }
}

/// What the answer is held to: its form, or calls that must be made.
async fn constraint(state: &AppState, model: &ModelRef, ask: &Ask) -> Result<Option<Box<dyn Constraint>>, Error> {
    let calls = match ask.tool_choice {
        ToolChoice::None => None,
        _ => {
            let format = state.engine().call_format(model).await?;
            tools::held(format, &ask.tools, &ask.tool_choice, ask.parallel_tool_calls)
        }
    };
    let must_call = matches!(ask.tool_choice, ToolChoice::Required | ToolChoice::Named(_));
    // A call that must be made goes before the form of a text; a text in a form leaves no room for calls.
    let (form, param) = match (&ask.format, calls) {
        (Format::Text, calls) => (calls, "tools"),
        (_, Some(calls)) if must_call => (Some(calls), "tools"),
        (format, _) => (Form::of(format), "response_format"),
    };
    match form {
        Some(form) => state.engine().hold(model, form).await.map(Some).map_err(|error| blamed(error, param)),
        None => Ok(None),
    }
}

/// The same error, blamed on this field.
fn blamed(error: Error, field: &str) -> Error {
    match error {
        Error::Invalid { code, message, .. } => Error::Invalid { param: Some(field.to_owned()), code, message },
        other => other,
    }
}

/// A user's message in the form that the model learned from.
fn prepared(state: &AppState, message: &Message) -> Message {
    let is_text = message.parts.iter().all(|part| matches!(part, Part::Text(_)));
    match message.role {
        Role::User if is_text => {
            Message { parts: vec![Part::Text((state.settings().preparer)(&message.text()))], ..message.clone() }
        }
        _ => message.clone(),
    }
}
