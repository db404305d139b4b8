//! The handlers: each parses, calls one function, maps the answer.

pub mod chat;
pub mod draft;
pub mod feedback;
pub mod health;
pub mod metrics;
pub mod models;
pub mod sign_in;
pub mod studies;
pub mod version;
