//! `GET /subjects`

use crate::{
    AppState,
    auth::SignedIn,
    pages::{
        answer::{Page, PageResult},
        view::subjects::{SubjectCounts, subjects},
    },
};
use axum::extract::State;
use loopwright_store::ListQuery;
use loopwright_types::{
    Entity as _,
    subject::{Erasure, Subject},
};

/// People who opted out that are counted.
const COUNTED_MAX: u32 = 100_000;

/// `GET /subjects`
pub async fn show(_: SignedIn, State(state): State<AppState>) -> PageResult {
    let store = state.store();
    // Only the number goes on: the records hold names in clear.
    let opted_out = ListQuery { state: Some("opted_out".into()), limit: COUNTED_MAX, ..ListQuery::default() };
    let n_opted_out = store.list::<Subject>(&opted_out).await?.len() as u64;
    let counts = SubjectCounts { n_subjects: store.count(Subject::KIND).await?, n_opted_out };
    let erasures: Vec<Erasure> = store.list(&ListQuery::default()).await?;
    Ok(Page(subjects(counts, &erasures, store.now())))
}
