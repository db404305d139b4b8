//! `GET /jobs`

use crate::{
    AppState,
    auth::SignedIn,
    pages::{
        answer::{Page, PageResult},
        view::jobs::jobs,
    },
};
use axum::extract::State;

/// Jobs shown.
const JOBS_SHOWN: u32 = 200;

/// `GET /jobs`
pub async fn list(_: SignedIn, State(state): State<AppState>) -> PageResult {
    let all = state.store().jobs(None, JOBS_SHOWN).await?;
    Ok(Page(jobs(&all, state.store().now())))
}
