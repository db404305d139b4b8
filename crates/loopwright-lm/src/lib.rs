//! loopwright-lm
