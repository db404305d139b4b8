//! What every implementation of the stores must do, as code that a test runs against it.
//!
//! Each function takes an empty store and panics where it behaves otherwise than it must; an `Err` means that an
//! operation failed that must not.

mod objects;
mod records;
mod tables;

pub use objects::objects_conformance;
pub use records::records_conformance;
pub use tables::tables_conformance;
