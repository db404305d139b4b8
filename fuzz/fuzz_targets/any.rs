//! Any bytes as a file whose name tells nothing are read or refused.

#![no_main]

mod reading;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| reading::read_or_refuse("a", bytes));
