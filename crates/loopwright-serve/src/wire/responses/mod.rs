//! OpenAI's responses.

mod answer;
mod request;

pub use answer::ResponseWriter;
pub use request::{ResponseAsk, read_response};
