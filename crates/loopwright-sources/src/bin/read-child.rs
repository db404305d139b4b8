//! The reading child alone, for this crate's tests and fuzzers; in the product it is a hidden subcommand.

use loopwright_sources::child;
use std::io::{stdin, stdout};

fn main() -> std::io::Result<()> {
    child::serve(stdin().lock(), stdout().lock())
}
