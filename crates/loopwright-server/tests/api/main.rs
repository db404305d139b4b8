//! The server as its clients meet it: over a real loopback socket, with tiny random models in a temporary project.
#![allow(clippy::unwrap_used, reason = "a test all through: its functions stop where it should stop")]

mod auth;
mod budgets;
mod chat;
mod client;
mod completions;
mod desk;
mod doors;
mod embeddings;
mod events;
mod feedback;
mod forms;
mod guards;
mod killed;
mod limits;
mod messages;
#[allow(dead_code, reason = "the gateway's own tests use the rest of it")]
#[path = "../../../loopwright-serve/tests/gateway/mock.rs"]
mod mock;
mod reconcile;
mod responses;
mod stream;
mod studies;
mod upstreams;
