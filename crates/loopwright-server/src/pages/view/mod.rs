//! Every page as a pure function: values in, markup out. Nothing here reads a store or a clock.
//!
//! A page puts words first and drawings second. Each drawing is made of SVG on the server and says in words what it
//! shows; each state is a symbol and a word before it is a colour; each list says what to run while it is empty.

pub mod audit;
pub mod badge;
pub mod card;
pub mod chart_bar;
pub mod chart_column;
pub mod chart_line;
pub mod chart_parallel;
pub mod chart_point;
pub mod dataset;
pub mod datasets;
pub mod diagram;
pub mod diff;
pub mod drift;
pub mod evaluation;
pub mod explanation;
pub mod feedback;
pub mod figures;
pub mod home;
pub mod jobs;
pub mod lineage;
pub mod link;
pub mod models;
pub mod moment;
pub mod pager;
pub mod passage;
pub mod playground;
pub mod routes;
pub mod rows;
pub mod runs;
#[cfg(test)]
pub mod sample;
pub mod sentence;
pub mod shell;
pub mod sign_in;
pub mod studies;
pub mod subjects;
pub mod table;
pub mod targets;
pub mod trace;
pub mod traces;
pub mod trouble;
