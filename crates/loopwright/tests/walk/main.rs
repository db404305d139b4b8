//! The demo's whole walk through the binary: once undisturbed with its outcomes asserted, once killed again and again.
#![allow(clippy::unwrap_used, reason = "a test all through: its functions stop where it should stop")]

mod circle;
mod demo;
mod killed;
