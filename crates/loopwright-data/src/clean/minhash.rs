//! Leaves out near-duplicates among documents: the search and the survivors of datatrove ([`loopwright_corpus::minhash`]).
//!
//! [`super::near_dedup`] is for messages: it works on characters, compares candidates, and keeps the first row of each
//! cluster. Here words count, nothing is compared again, and the row that stays is the root of its cluster, which need
//! not be the first. Rows of fewer words than an n-gram always stay.

use crate::{
    Result,
    draft::{Draft, Reason, StepOutput, drop_rows},
};
use loopwright_corpus::minhash::{Cluster, MinHashSettings, clusters};

/// The step's name.
pub const STEP: &str = "minhash";

/// Keeps one row of each cluster of near-duplicates, and notes the cluster.
pub fn apply(mut drafts: Vec<Draft>, settings: &MinHashSettings) -> Result<StepOutput> {
    let texts: Vec<&str> = drafts.iter().map(|draft| draft.row.text.as_str()).collect();
    let found = clusters(settings, &texts)?;
    let ids: Vec<String> = drafts.iter().map(|draft| draft.row.row_id.clone()).collect();
    drafts.iter_mut().zip(0..).for_each(|(draft, row)| draft.cluster = number(found.of(row)));
    Ok(drop_rows(STEP, drafts, |row, _| {
        let cluster = found.of(row as u64);
        (!cluster.is_kept).then(|| reason(&ids[cluster.id as usize], cluster))
    }))
}

/// A cluster's number: the position of the row that stays, from 1.
pub(crate) fn number(cluster: Cluster) -> u64 {
    cluster.id + 1
}

/// Why a near-duplicate of this row goes.
pub(crate) fn reason(kept_id: &str, cluster: Cluster) -> Reason {
    Reason::new("near_duplicate", format!("near-duplicate of {kept_id}, one of {}", cluster.size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::SourceRow;

    #[test]
    fn one_of_each_cluster_stays_and_knows_it() {
        let row = |id: &str, text: &str| {
            Draft::new(SourceRow { row_id: id.into(), text: text.into(), ..SourceRow::default() })
        };
        let rows = vec![
            row("a", "short"),
            row("b", "a kettle that whistles when its water boils"),
            row("c", "A kettle that whistles, when its water boils!"),
        ];
        let out = apply(rows, &MinHashSettings::default()).unwrap();
        assert_eq!(out.drafts.iter().map(|draft| draft.cluster).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(out.dropped[0].reason, "near-duplicate of b, one of 2");
    }
}
