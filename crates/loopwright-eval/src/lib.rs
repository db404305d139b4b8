//! loopwright-eval
