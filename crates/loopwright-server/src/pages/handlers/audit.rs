//! `GET /audit`

use crate::{
    AppState,
    auth::SignedIn,
    pages::{
        answer::{Page, PageResult},
        view::audit::{ChainState, audit},
    },
};
use axum::extract::{Query, State};
use loopwright_store::{Result, Store};
use serde::Deserialize;

/// Events on a page.
const PAGE_SIZE: u64 = 50;
/// A log up to this long is checked with every page; a longer one when asked.
const CHECKED_MAX: u64 = 5_000;

/// The page's query.
#[derive(Deserialize)]
pub struct Asked {
    before: Option<u64>,
    verify: Option<String>,
}

/// `GET /audit`
pub async fn list(_: SignedIn, State(state): State<AppState>, Query(asked): Query<Asked>) -> PageResult {
    let store = state.store();
    let n_links = store.data_version().await?;
    let chain = chain(store, n_links, asked.verify.is_some()).await?;
    let (after, n) = span(asked.before, n_links);
    let mut events = store.events(after, n).await?;
    events.reverse();
    let older = (after > 0).then_some(after + 1);
    Ok(Page(audit(&events, &chain, older, store.now())))
}

/// The links of the page that ends before `before`: the one they come after, and how many they are.
fn span(before: Option<u64>, n_links: u64) -> (u64, u32) {
    let last = before.map_or(n_links, |before| before.saturating_sub(1)).min(n_links);
    let after = last.saturating_sub(PAGE_SIZE);
    (after, (last - after) as u32)
}

async fn chain(store: &Store, n_links: u64, asked: bool) -> Result<ChainState> {
    if n_links > CHECKED_MAX && !asked {
        return Ok(ChainState::NotChecked { n_links });
    }
    let report = store.verify_events().await?;
    Ok(ChainState::Checked { n_links: report.n_links, head: report.head, broken: report.broken })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_go_back_without_gaps() {
        assert_eq!(span(None, 120), (70, 50));
        assert_eq!(span(Some(71), 120), (20, 50));
        assert_eq!(span(Some(21), 120), (0, 20));
        assert_eq!(span(Some(0), 120), (0, 0));
        assert_eq!(span(Some(9_999), 3), (0, 3));
        assert_eq!(span(None, 0), (0, 0));
    }
}
