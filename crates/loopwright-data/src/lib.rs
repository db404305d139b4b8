//! loopwright-data
