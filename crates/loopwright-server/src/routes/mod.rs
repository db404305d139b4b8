//! The handlers: each parses, calls one function, maps the answer.

pub mod chat;
pub mod completions;
pub mod draft;
pub mod embeddings;
pub mod feedback;
pub mod health;
pub mod messages;
pub mod metrics;
pub mod models;
pub mod responses;
pub mod sign_in;
pub mod studies;
pub mod tokens;
pub mod version;
