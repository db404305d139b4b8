//! Rules for rows that a model is tuned on, one file per kind of row: is there something to learn from it?
//!
//! Web pages are judged by their look; a row that teaches behaviour is judged by its parts. [`chat`] looks at
//! conversations, [`instruction`] at an instruction with its answer, [`classification`] at a text with its label.
//! [`phrases`] knows the answers that teach a model to refuse or to speak of itself.

pub mod chat;
pub mod classification;
pub mod instruction;
pub mod phrases;
