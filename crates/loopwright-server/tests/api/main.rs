//! The server as its clients meet it: over a real loopback socket, with tiny random models in a temporary project.

mod auth;
mod chat;
mod client;
mod desk;
mod doors;
mod feedback;
mod limits;
mod reconcile;
mod stream;
