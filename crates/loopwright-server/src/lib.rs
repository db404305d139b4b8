//! The server: OpenAI's doors in front of the engine, health and metrics, and the pages that people read.
//!
//! [`serve`] binds the port, answers `/health` at once and loads models behind it. The server keeps itself in step with
//! the store: a route or key that any process changes takes effect without a restart, and a model whose package does
//! not pass [`Verifier`] is never served. What it shares is in [`AppState`]; the doors are listed in [`router`].
//!
//! ```text
//! request → auth → body → wire (read) → gateway (variant) → engine → wire (write) → answer
//!                                                                └─→ trace → sink → store
//! ```
//!
//! ```no_run
//! # async fn run(store: loopwright_store::Store) -> loopwright_server::Result<()> {
//! use loopwright_server::{ServerSettings, serve};
//! use std::sync::Arc;
//!
//! let address = "127.0.0.1:7878".parse().expect("an address");
//! let server = serve(ServerSettings::new(address, store, Arc::new(|_model| Ok(())))).await?;
//! let link = server.sign_in_url()?;
//! // … print the link, wait for a signal …
//! server.shutdown().await
//! # }
//! ```

pub mod auth;
mod body;
mod error;
pub mod errors;
pub mod headers;
pub mod live;
pub mod meters;
pub mod pages;
mod reconcile;
mod router;
pub mod routes;
mod server;
pub mod sessions;
mod settings;
mod state;

pub use error::{Error, Kind, Result};
pub use loopwright_serve::EngineSettings;
pub use reconcile::REFUSED;
pub use router::router;
pub use server::{Server, serve};
pub use settings::{Preparer, ServerSettings, Stickiness, Verifier};
pub use state::AppState;
