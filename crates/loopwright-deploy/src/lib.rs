//! loopwright-deploy
