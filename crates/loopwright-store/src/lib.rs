//! loopwright-store
