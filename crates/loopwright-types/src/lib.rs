//! loopwright-types
