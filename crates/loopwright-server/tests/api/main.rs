//! The server as its clients meet it: over a real loopback socket, with tiny random models in a temporary project.
#![allow(clippy::unwrap_used, reason = "a test all through: its functions stop where it should stop")]

mod auth;
mod chat;
mod client;
mod desk;
mod doors;
mod feedback;
mod limits;
#[allow(dead_code, reason = "the gateway's own tests use the rest of it")]
#[path = "../../../loopwright-serve/tests/gateway/mock.rs"]
mod mock;
mod reconcile;
mod stream;
mod studies;
mod upstreams;
