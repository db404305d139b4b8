//! From the APIs on the wire to an [`Ask`](crate::ask::Ask), and from an answer's events back to the wire.
//!
//! Each API has a reader of bodies, which gives an ask or the error that its clients expect, and a [`Writer`] of answers,
//! whole or streamed. Nothing here knows HTTP.

pub mod chat;
mod fields;
mod tools;
mod writer;

pub use chat::{ChatAsk, ChatWriter, read_chat};
pub use fields::{ChatDefaults, read_json};
pub use writer::{DONE_FRAME, Head, Writer, error_body, sse_frame};
