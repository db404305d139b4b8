//! Any bytes as `a.tar` are read or refused.

#![no_main]

mod reading;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| reading::read_or_refuse("a.tar", bytes));
