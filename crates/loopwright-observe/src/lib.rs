//! loopwright-observe
