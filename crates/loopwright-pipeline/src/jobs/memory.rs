//! How the memory that a curation may take is shared out.
//!
//! `memory_mb` (or `--memory`) is a cap on what the process ever has resident, not on one buffer of it. So everything that
//! grows takes its share out of it: the steps' sorters and tables, the batches on their way, the row groups that are being
//! written, the query that reads the raw rows. The program itself takes [`PROGRAM_BYTES`], which the test
//! `a_curation_stays_beneath_its_memory` holds to; what is loaded for the recipe (a model, evaluation texts, people's names)
//! is measured when it is loaded. A cap with no room for the least shares is refused with one that works.
//!
//! Where other work shares the process (`up`, `run`, `demo`), its memory comes on top.

use crate::error::{Error, Result};
use loopwright_store::TableMemory;

const MIB: u64 = 1 << 20;
/// What the program takes beside the shares: its code, its threads' stacks and heaps, a row group that is being read.
const PROGRAM_BYTES: u64 = 160 * MIB;
/// The same for each further thread that works on rows.
const THREAD_BYTES: u64 = 2 * MIB;
/// The least that works: what is left for the shares.
const SHARED_BYTES_MIN: u64 = 16 * MIB;
/// What is loaded takes a little more in one process than in another; a cap that is named has room for that.
const LOADED_SPREAD_BYTES: u64 = 8 * MIB;
/// Rows of a batch from the raw table, at least and at most.
const BATCH_ROWS: (u64, u64) = (16, 8192);
/// Row groups of a version's table, at most, in bytes.
const ROW_GROUP_BYTES_MAX: u64 = 16 * MIB;

/// The shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    cap_bytes: u64,
    /// What is not shared out.
    fixed_bytes: u64,
    /// For the steps: sorters, tables, a batch of rows.
    pub(super) flow_bytes: u64,
    /// For reading and writing tables.
    pub(super) tables: TableMemory,
}

impl Shares {
    /// Shares out a cap, given what was loaded, and how long a row of the input is.
    pub(super) fn of(cap_bytes: u64, loaded_bytes: u64, n_threads: u64, row_bytes: u64) -> Result<Self> {
        let fixed_bytes = PROGRAM_BYTES + loaded_bytes + n_threads.saturating_sub(1) * THREAD_BYTES;
        let shared_bytes = cap_bytes.saturating_sub(fixed_bytes);
        if shared_bytes < SHARED_BYTES_MIN {
            return Err(too_small(cap_bytes, "the program", fixed_bytes + SHARED_BYTES_MIN + LOADED_SPREAD_BYTES));
        }
        let tables = TableMemory {
            query_bytes: (shared_bytes / 16) as usize,
            // Some eight of them are on their way: as columns, as rows, in the channel, with the flow.
            batch_rows: (shared_bytes / 64 / row_bytes.max(1)).clamp(BATCH_ROWS.0, BATCH_ROWS.1) as usize,
            row_group_bytes: (shared_bytes / 16).min(ROW_GROUP_BYTES_MAX) as usize,
        };
        Ok(Self { cap_bytes, fixed_bytes, flow_bytes: shared_bytes / 2, tables })
    }

    /// An error of the curation, where a step wants more than its share: with the cap that would do.
    pub(super) fn explain(&self, error: loopwright_data::Error) -> Error {
        match error {
            loopwright_data::Error::Memory { step, what, needed_bytes, .. } => {
                let whose = format!("the step `{step}`, which needs {} MiB for {what}", needed_bytes.div_ceil(MIB));
                // A step's tables may take half of the flow's share, which is half of what is shared out.
                too_small(
                    self.cap_bytes,
                    &whose,
                    self.fixed_bytes + needed_bytes.saturating_mul(4) + LOADED_SPREAD_BYTES,
                )
            }
            other => Error::user("failed to curate").because(other),
        }
    }
}

fn too_small(cap_bytes: u64, whose: &str, least_bytes: u64) -> Error {
    let least = least_bytes.div_ceil(MIB);
    Error::resources(format!("{} MiB of memory are too few for {whose}", cap_bytes / MIB))
        .hint(format!("`--memory {least}MiB` is enough, or `memory_mb = {least}` in `[data.*]`"))
}

/// The most that the process ever had resident, where the system says it.
pub fn peak_bytes() -> Option<u64> {
    status_bytes("VmHWM:")
}

/// What the process has resident; nothing where the system does not say.
pub(super) fn resident_bytes() -> u64 {
    status_bytes("VmRSS:").unwrap_or(0)
}

fn status_bytes(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn all_shares_together_are_beneath_the_cap() {
        for (cap_mib, row_bytes) in [(176, 100), (256, 2_000), (4096, 40)] {
            let shares = Shares::of(cap_mib * MIB, 0, 1, row_bytes).unwrap();
            let shared = cap_mib * MIB - shares.fixed_bytes;
            let batches = 8 * (shares.tables.batch_rows as u64 * row_bytes).min(shared / 64);
            let written = 3 * shares.tables.row_group_bytes as u64;
            let all = shares.flow_bytes + batches + written + shares.tables.query_bytes as u64;
            assert!(shares.fixed_bytes + all <= cap_mib * MIB, "{shares:?}");
        }
    }

    #[test]
    fn a_cap_with_too_little_room_names_one_that_works() {
        let error = Shares::of(64 * MIB, 10 * MIB, 3, 100).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (Kind::Resources, "64 MiB of memory are too few for the program".into())
        );
        let hint = error.hint_text().unwrap();
        assert!(hint.contains("`--memory 198MiB`") && hint.contains("`memory_mb = 198`"), "{hint}");
        assert!(Shares::of(190 * MIB, 10 * MIB, 3, 100).is_ok() && Shares::of(189 * MIB, 10 * MIB, 3, 100).is_err());
    }

    #[test]
    fn a_step_that_wants_more_names_a_cap_in_which_it_has_it() {
        let shares = Shares::of(192 * MIB, 0, 1, 100).unwrap();
        let refused = loopwright_data::Error::Memory {
            step: "minhash".into(),
            what: "the clusters of 5 rows".into(),
            needed_bytes: 40 * MIB,
            memory_bytes: 8 * MIB,
            hint: String::new(),
        };
        let error = shares.explain(refused);
        assert_eq!(
            error.to_string(),
            "192 MiB of memory are too few for the step `minhash`, which needs 40 MiB for the clusters of 5 rows"
        );
        assert!(error.hint_text().unwrap().contains("`--memory 328MiB`"), "{:?}", error.hint_text());
        assert_eq!(Shares::of(320 * MIB, 0, 1, 100).unwrap().flow_bytes / 2, 40 * MIB);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_knows_what_it_has() {
        let now = resident_bytes();
        assert!(now > MIB && peak_bytes().is_some_and(|peak| peak >= now));
    }
}
