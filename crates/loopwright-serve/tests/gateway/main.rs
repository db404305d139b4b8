//! The gateway against providers on loopback: every language, every way to fail, and what the policy makes of it.
#![allow(clippy::unwrap_used, reason = "a test all through: its functions stop where it should stop")]

mod broken;
mod languages;
mod mock;
mod policy;
mod scene;
