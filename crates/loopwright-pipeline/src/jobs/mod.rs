//! The jobs: one file each. A job reads the store, calls pure functions of the stages, and records what came of it.

pub mod canary;
pub mod collect;
pub mod curate;
pub mod customers;
pub mod deploy;
pub mod drift;
pub mod erase;
pub mod explain;
mod flowing;
pub mod hand_out;
pub mod judge;
pub mod keys;
pub mod package;
pub mod predict;
pub mod reading;
pub mod recipe;
pub mod replay;
pub mod retrain;
pub mod scan;
mod sealed;
mod sources;
pub mod subject;
mod traffic;
pub mod train;
pub mod why;
