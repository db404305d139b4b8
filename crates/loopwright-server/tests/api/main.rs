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
mod reconcile;
mod responses;
mod stream;
mod studies;
