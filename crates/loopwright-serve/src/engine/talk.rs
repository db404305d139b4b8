//! What the engine knows of a model beside its weights: how it is talked to, and what its answers can be held to.

use super::{Engine, models::Loaded, off_the_runtime};
use crate::{
    Constraint, Result,
    ask::{Message, Tool},
    event::TokenLogprob,
    grammar::Form,
    tools::{CallFormat, Told, told},
};
use loopwright_types::model::ModelRef;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Forms compiled, and prompts scored, at a time: each keeps a core busy that answers need.
const N_ASIDE_MAX: usize = 2;

/// Who may work beside the engine's thread.
#[derive(Debug)]
pub(crate) struct Aside(Semaphore);

impl Default for Aside {
    fn default() -> Self {
        Self(Semaphore::new(N_ASIDE_MAX))
    }
}

impl Aside {
    /// Does work outside of the async runtime once there is a place for it.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let _place = self.0.acquire().await.map_err(|_| crate::Error::Stopped)?;
        off_the_runtime(work).await
    }
}

impl Engine {
    /// A conversation as the prompt of a model, with the tools that it may call.
    pub async fn encode_talk(&self, model: &ModelRef, messages: Vec<Message>, tools: Vec<Tool>) -> Result<Vec<u32>> {
        let loaded = self.present(model).await?;
        let told = told(&messages, &tools, call_format(&loaded), loaded.format().knows_tools())?;
        match told {
            Told::Plain(messages) => self.encode_chat(model, messages).await,
            Told::Template { messages, tools } => off_the_runtime(move || loaded.talk(&messages, &tools)).await,
        }
    }

    /// How a model writes a call.
    pub async fn call_format(&self, model: &ModelRef) -> Result<CallFormat> {
        Ok(call_format(&*self.present(model).await?))
    }

    /// What holds a model's answers to a form.
    pub async fn hold(&self, model: &ModelRef, form: Form) -> Result<Box<dyn Constraint>> {
        let loaded = self.present(model).await?;
        self.0.aside.run(move || loaded.space()?.hold(&form)).await
    }

    /// A text's tokens as a model wants whole texts: with what stands around them, such as BERT's `[CLS]` and `[SEP]`.
    pub async fn tokenize_whole(&self, model: &ModelRef, text: String) -> Result<Vec<u32>> {
        let loaded = self.present(model).await?;
        off_the_runtime(move || Ok(loaded.tokenizer().encode_whole(&text))).await
    }

    /// The text of tokens; a token that the model does not have is refused.
    pub async fn detokenize(&self, model: &ModelRef, tokens: Vec<u32>) -> Result<String> {
        self.check_tokens(model, &tokens, "tokens").await?;
        let loaded = self.present(model).await?;
        off_the_runtime(move || Ok(loaded.tokenizer().decode(&tokens))).await
    }

    /// Refuses tokens that a model does not have.
    pub async fn check_tokens(&self, model: &ModelRef, tokens: &[u32], param: &str) -> Result<()> {
        let n = self.present(model).await?.tokenizer().vocab_size();
        match tokens.iter().find(|token| **token as usize >= n) {
            None => Ok(()),
            Some(token) => {
                let message =
                    format!("`{param}` holds the token {token}; the model has the tokens 0 to {}", n.saturating_sub(1));
                Err(crate::Error::invalid(param, "invalid_value", message))
            }
        }
    }

    /// Each token as text; bytes that are no whole character are shown as replacement characters.
    pub async fn token_texts(&self, model: &ModelRef, tokens: &[u32]) -> Result<Vec<String>> {
        let loaded = self.present(model).await?;
        let text = |id: &u32| String::from_utf8_lossy(loaded.tokenizer().token_bytes(*id)).into_owned();
        Ok(tokens.iter().map(text).collect())
    }

    /// What is known of a model: tokens of its context and of its vocabulary, its chat template if it is a published one.
    pub async fn describe(&self, model: &ModelRef) -> Result<Description> {
        let loaded = self.present(model).await?;
        Ok(Description {
            context: loaded.context(),
            vocab_size: loaded.tokenizer().vocab_size(),
            special_tokens: loaded.tokenizer().special_tokens().to_vec(),
            end_tokens: loaded.base_model().config().eos_token_ids.clone(),
            chat_template: loaded.format().template().map(|template| template.source().to_owned()),
        })
    }

    /// The log-probability of each token after those before it, with so many alternatives; the first has none.
    pub async fn score_tokens(&self, model: &ModelRef, tokens: Vec<u32>, n_top: u32) -> Result<Vec<TokenLogprob>> {
        let loaded = self.present(model).await?;
        self.0.aside.run(move || loaded.score_tokens(&tokens, n_top as usize)).await
    }
}

fn call_format(loaded: &Loaded) -> CallFormat {
    loaded.format().template().map(|template| CallFormat::of_template(template.source())).unwrap_or_default()
}

/// What is known of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Tokens that prompt and answer may have together.
    pub context: u32,
    /// Tokens of its vocabulary.
    pub vocab_size: usize,
    /// Those that no text spells.
    pub special_tokens: Vec<String>,
    /// Ids of those that end an answer.
    pub end_tokens: Vec<u32>,
    /// Its chat template, if it has one of its own.
    pub chat_template: Option<String>,
}

impl Loaded {
    /// A conversation for a template that knows of tools.
    fn talk(&self, messages: &[serde_json::Value], tools: &[serde_json::Value]) -> Result<Vec<u32>> {
        self.format().talk_tokens(self.tokenizer(), messages, tools).map_err(|e| self.failed(e))
    }

    fn score_tokens(&self, tokens: &[u32], n_top: usize) -> Result<Vec<TokenLogprob>> {
        let scored = loopwright_lm::score_tokens(&self.model(), tokens, n_top).map_err(|e| self.failed(e))?;
        let named = |(id, logprob): (u32, f32), top: Vec<TokenLogprob>| {
            let bytes = self.tokenizer().token_bytes(id).to_vec();
            TokenLogprob { id, token: String::from_utf8_lossy(&bytes).into_owned(), bytes, logprob, top }
        };
        let all = scored.into_iter().map(|scored| {
            let top = scored.top.into_iter().map(|one| named(one, Vec::new())).collect();
            named((scored.token, scored.logprob), top)
        });
        Ok(all.collect())
    }
}

/// Makes what is made once per model.
pub(crate) fn space_of(loaded: &Loaded) -> Result<Arc<crate::grammar::TokenSpace>> {
    crate::grammar::TokenSpace::new(loaded.tokenizer(), &loaded.base_model().config().eos_token_ids).map(Arc::new)
}
