//! `GET /drift`

use crate::{
    AppState,
    auth::SignedIn,
    pages::{
        answer::{Page, PageResult},
        view::drift::drift,
    },
};
use axum::extract::State;
use loopwright_store::ListQuery;
use loopwright_types::drift::DriftCheck;

/// Checks listed.
const CHECKS_SHOWN: u32 = 100;

/// `GET /drift`
pub async fn list(_: SignedIn, State(state): State<AppState>) -> PageResult {
    let checks: Vec<DriftCheck> =
        state.store().list(&ListQuery { limit: CHECKS_SHOWN, ..ListQuery::default() }).await?;
    Ok(Page(drift(&checks, state.store().now())))
}
