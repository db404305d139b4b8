//! loopwright-guard
