//! The server as its clients meet it: over a real loopback socket, with tiny random models in a temporary project.
#![allow(clippy::unwrap_used, reason = "a test all through: its functions stop where it should stop")]

mod auth;
mod budgets;
mod chat;
mod client;
mod desk;
mod doors;
mod feedback;
mod guards;
mod killed;
mod limits;
mod reconcile;
mod stream;
mod studies;
