//! Any bytes as a packed file are read or refused.

#![no_main]

mod reading;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| reading::read_or_refuse("a.jsonl.gz", bytes));
