//! OpenAI's completions: plain texts, or tokens, continued without any frame around them.

mod answer;
mod request;

pub use answer::{CompletionWriter, Echo};
pub(crate) use request::Prompts;
pub use request::{CompletionAsk, read_completion};
