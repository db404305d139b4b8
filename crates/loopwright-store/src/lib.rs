//! Everything a project keeps: records, objects, tables, events, lineage and jobs.
//!
//! [`Store`] is the door. Behind it are three kinds of storage, each with its own strength:
//!
//! - **Records** (SQLite, behind the [`Records`] trait): documents, traces, feedback, metrics, edges, jobs. There is
//!   one way to write them, [`Store::apply`]: a list of [`Change`]s and the event that tells of them, in one
//!   transaction; the events form a hash chain ([`Store::verify_events`]).
//! - **Objects** ([`Objects`]): files of any size, such as models and packages, each under an [`ObjectKey`].
//! - **Tables** ([`Tables`]): rows of datasets as Delta tables, each under a [`TableKey`].
//!
//! What a server must not lose when it is killed goes into its [`Journal`] first. [`remote`] reads what others keep:
//! buckets, files on the web, queries.
//!
//! Time, ids and pseudonyms are made here ([`Store::now`], [`Store::new_id`], [`Store::subject_id`]) and handed to the
//! other crates as values. [`key`] owns every path.
//!
//! ```
//! use loopwright_store::{Change, ListQuery, Store};
//! use loopwright_types::{Entity, event::NewEvent, subject::Subject};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let store = Store::in_memory().await?;
//! let subject = Subject {
//!     id: store.subject_id("customer-17"),
//!     external_id: "customer-17".into(),
//!     identifiers: Default::default(),
//!     training_allowed: true,
//!     updated_at: store.now(),
//! };
//! let event = NewEvent::new("cli", "subject.created", subject.entity_ref());
//! let event = store.apply(event, vec![Change::put(&subject)]).await?;
//!
//! assert_eq!(event.seq, 1);
//! assert_eq!(store.require::<Subject>(&subject.id.0).await?, subject);
//! assert_eq!(store.list::<Subject>(&ListQuery::default()).await?.len(), 1);
//! assert_eq!(store.verify_events().await?.broken, None);
//! # Ok::<(), loopwright_store::Error>(())
//! # }).unwrap();
//! ```

pub mod change;
mod clock;
pub mod conformance;
pub mod error;
pub mod events;
pub mod journal;
pub mod key;
mod lineage;
mod lock;
pub mod objects;
pub mod query;
pub mod records;
pub mod remote;
mod samples;
mod secret;
pub mod sqlite;
mod store;
pub mod tables;

pub use change::{Change, EntityRow};
pub use error::{Error, Kind, Result};
pub use events::ChainReport;
pub use journal::{Journal, JournalMark, JournalPage, JournalSync};
pub use key::{Layout, ObjectKey, TableKey};
pub use objects::Objects;
pub use query::{Direction, FeedbackQuery, ListQuery, TraceQuery};
pub use records::Records;
pub use secret::SECRET_BYTES;
pub use store::Store;
pub use tables::{
    ColumnKind, DroppedFilter, ExampleFilter, ParquetFile, RejectedFilter, RowPage, SQL_ROWS_MAX, Stretch, TableMemory,
    TableWriter, Tables, TextFunction, Writing,
};
