//! The demo's whole walk through the binary: once undisturbed with its outcomes asserted, once killed again and again.

mod circle;
mod demo;
mod killed;
