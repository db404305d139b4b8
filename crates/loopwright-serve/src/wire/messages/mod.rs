//! Anthropic's messages.

mod answer;
mod request;

pub use answer::{MessageWriter, anthropic_error};
pub use request::{read_count, read_message};
