//! loopwright-train
