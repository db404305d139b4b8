//! Checks the event log from its first link to its last.

use crate::{Kind, Records, Result};
use loopwright_types::event::{BrokenLink, ChainCheck};
use serde::Serialize;

/// Links read at a time.
const PAGE: u32 = 1000;

/// What a check of the event log found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChainReport {
    /// Intact links from the first on.
    pub n_links: u64,
    /// Hash of the last of them. Whoever wrote it down earlier can tell from it whether links were cut off the end.
    pub head: String,
    /// The first link that is not as it was written, if any.
    pub broken: Option<BrokenLink>,
}

/// Reads the log page by page and checks every link.
pub(crate) async fn verify(records: &dyn Records) -> Result<ChainReport> {
    let mut check = ChainCheck::default();
    let mut broken = None;
    while broken.is_none() {
        let page = match records.events(check.n_checked(), PAGE).await {
            // A link that cannot even be read: find out which of the page it is.
            Err(error) if error.kind() == Kind::Damaged => match records.events(check.n_checked(), 1).await {
                Err(error) if error.kind() == Kind::Damaged => {
                    broken = Some(BrokenLink { seq: check.n_checked() + 1, problem: error.to_string() });
                    continue;
                }
                one => one?,
            },
            page => page?,
        };
        if page.is_empty() {
            break;
        }
        broken = page.iter().find_map(|event| check.next(event).err());
    }
    Ok(ChainReport { n_links: check.n_checked(), head: check.head().to_string(), broken })
}
