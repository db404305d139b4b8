//! `POST /tokenize`, `POST /detokenize` and `GET /tokenizer_info`, as vLLM has them.

use crate::{
    AppState,
    auth::Caller,
    body::read_body,
    door::{self, Chosen},
    errors::{ApiError, ApiResult},
};
use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Query, State},
};
use loopwright_serve::{
    ask::Prompt,
    wire::{
        read_json,
        tokens::{DetokenizeAsk, read_tokenize, tokens_json},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

/// Which model is meant.
#[derive(Debug, Deserialize)]
pub struct ModelQuery {
    /// A route; may be left out where there is only one.
    pub model: Option<String>,
}

/// `POST /tokenize`.
pub async fn tokenize(_: Caller, State(state): State<AppState>, body: Body) -> ApiResult<Json<Value>> {
    let asked = read_tokenize(&read(&state, body).await?)?;
    let Chosen { variant, .. } = door::named(&state.live().routes, &asked.ask.route, "tokenize")?;
    let tokens = match &asked.ask.prompt {
        Prompt::Text(text) if asked.add_special_tokens => {
            state.engine().tokenize_whole(&variant.model, text.clone()).await?
        }
        _ => door::prompt(&state, &variant.model, &asked.ask).await?,
    };
    let texts = match asked.texts {
        true => Some(state.engine().token_texts(&variant.model, &tokens).await?),
        false => None,
    };
    let context = state.engine().describe(&variant.model).await?.context;
    Ok(Json(tokens_json(&tokens, context, texts)))
}

/// `POST /detokenize`.
pub async fn detokenize(_: Caller, State(state): State<AppState>, body: Body) -> ApiResult<Json<Value>> {
    let asked: DetokenizeAsk = read_json(&read(&state, body).await?)?;
    let Chosen { variant, .. } = door::named(&state.live().routes, &asked.model, "detokenize")?;
    let prompt = state.engine().detokenize(&variant.model, asked.tokens).await?;
    Ok(Json(json!({"prompt": prompt})))
}

/// `GET /tokenizer_info`.
pub async fn info(_: Caller, State(state): State<AppState>, query: Query<ModelQuery>) -> ApiResult<Json<Value>> {
    let live = state.live();
    let mut names = live.routes.routes().map(|route| route.name.clone());
    let name = match (query.0.model, names.next(), names.next()) {
        (Some(name), ..) | (None, Some(name), None) => name,
        _ => {
            return Err(
                ApiError::invalid("missing_model", "say which model is meant: `?model=ROUTE`").with_param("model")
            );
        }
    };
    let Chosen { variant, .. } = door::named(&live.routes, &name, "info")?;
    let about = state.engine().describe(&variant.model).await?;
    Ok(Json(json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model": name,
        "model_version": variant.model.to_string(),
        "model_max_length": about.context,
        "vocab_size": about.vocab_size,
        "special_tokens": about.special_tokens,
        "eos_token_ids": about.end_tokens,
        "chat_template": about.chat_template,
    })))
}

async fn read(state: &AppState, body: Body) -> ApiResult<Bytes> {
    let settings = state.settings();
    read_body(body, settings.body_bytes_max, settings.body_time_max).await
}
