//! From OpenAI's chat completions on the wire to a plan, and from an answer back to the wire.
//!
//! [`read_chat`] turns a body into a [`ChatPlan`] or into the error that OpenAI's clients expect; [`Answer`] writes
//! the whole answer or its stream of server-sent events. Nothing here knows HTTP.

mod answer;
mod request;

pub use answer::{Answer, DONE_FRAME, error_body, sse_frame};
pub use request::{ChatDefaults, ChatPlan, read_chat, read_json};
