//! loopwright-serve
