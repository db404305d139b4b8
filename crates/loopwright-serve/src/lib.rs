//! Serving: models in memory, and the rules between a client's request and an answer. No HTTP: that is the server's.
//!
//! - [`engine::Engine`] holds model versions (adapters share their base) and answers prompts token by token, many at a
//!   time, with a bounded queue.
//! - [`gateway::RouteTable`] says which model version answers a request for a route.
//! - [`keys::KeyRing`] says whether a key may ask, [`ledger::Ledger`] how much more, at the [`price::Price`] of tokens.
//! - [`guardrails::Guard`] looks at what comes in and at what goes out, [`cache::AnswerCache`] gives answers again.
//! - [`grammar`] holds an answer to a form, [`tools`] tells a model what it may call and hears what it calls.
//! - [`wire`] turns bodies of several APIs into an [`ask::Ask`], and the answer's [`event::Event`]s into bodies and streams.
//!
//! The server calls them in the order keys → wire → gateway → engine → wire. Everything but the engine is pure:
//!
//! ```
//! use loopwright_serve::{gateway::RouteTable, wire};
//! use loopwright_types::{Timestamp, deployment::{Route, Variant}, model::ModelRef};
//!
//! let body = br#"{"model": "support", "messages": [{"role": "user", "content": "Where is my parcel?"}]}"#;
//! let asked = wire::read_chat(body).unwrap();
//!
//! let live = Variant { name: "live".into(), model: ModelRef::new("support", 3), weight_percent: 100 };
//! let route = Route { name: "support".into(), variants: vec![live], rollout: None, updated_at: Timestamp(0) };
//! let table = RouteTable::new([route]);
//! assert_eq!(table.choose(&asked.ask.route, "trace_1").unwrap().model.to_string(), "support@3");
//! ```

pub mod ask;
pub mod cache;
pub mod engine;
mod error;
pub mod event;
pub mod gateway;
mod gathered;
pub mod grammar;
pub mod guardrails;
pub mod keys;
pub mod ledger;
pub mod pieces;
pub mod price;
pub mod prompts;
pub mod rules;
pub mod tools;
pub mod upstream;
pub mod wire;

pub use engine::{Allowed, Constraint, Engine, EngineSettings, EngineStats, GenerateRequest, Piece};
pub use error::{Error, Kind, Result, Trouble, chain};
pub use gathered::{Gathered, GatheredChoice};
