//! loopwright-server
