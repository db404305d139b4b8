//! OpenAI's chat completions.

mod answer;
mod request;

pub use answer::ChatWriter;
pub use request::{ChatAsk, read_chat};
pub(crate) use request::{StreamOptions, check_messages, read_part};
