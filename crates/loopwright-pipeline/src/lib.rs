//! loopwright-pipeline
