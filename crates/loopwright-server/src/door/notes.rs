//! What the steps of a request find out for its trace and its headers.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use loopwright_serve::price::{self, Price};
use loopwright_types::trace::{CacheState, TraceDetail};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a request cost, in dollars; on whole answers, as a stream's headers are gone before it is known.
pub const COST: HeaderName = HeaderName::from_static("x-loopwright-cost-usd");
/// Whether the answer came from the route's cache; only where it has one.
pub const CACHE: HeaderName = HeaderName::from_static("x-loopwright-cache");

/// Notes on one request. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<Noted>>);

/// What was found out.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// For the trace; the cost is added at the end.
    pub detail: TraceDetail,
    /// What tokens cost with whoever answers.
    pub price: Price,
    /// What the request cost, once it has ended.
    pub cost_micro_usd: Option<u64>,
}

impl Notes {
    /// The notes so far, to be read or added to.
    pub fn lock(&self) -> MutexGuard<'_, Noted> {
        // Notes are whole after every single write.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What headers say of it.
    pub(super) fn headers(&self) -> HeaderMap {
        let noted = self.lock();
        let mut headers = HeaderMap::new();
        if let Some(value) = noted.cost_micro_usd.and_then(|cost| HeaderValue::from_str(&price::usd(cost)).ok()) {
            headers.insert(COST, value);
        }
        if noted.detail.cache != CacheState::Off {
            headers.insert(CACHE, HeaderValue::from_static(noted.detail.cache.as_str()));
        }
        headers
    }
}
