//! The handlers: each reads what its page shows, and hands it to the page's function.

pub mod audit;
pub mod datasets;
pub mod diff;
pub mod drift;
pub mod explanations;
pub mod family;
pub mod feedback;
pub mod home;
pub mod jobs;
pub mod models;
pub mod playground;
pub mod routes;
pub mod rows;
pub mod runs;
pub mod studies;
pub mod subjects;
pub mod traces;
