//! How far a source may go, each limit with a name.

use serde::{Deserialize, Serialize};

/// What is over a limit is refused with a message that names it, or becomes a rejected row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// A line, a JSON value, a table's row or a document that is longer becomes a rejected row; in bytes.
    pub record_bytes_max: usize,
    /// Rows wait for their reader in batches of about this size, at most three of them; in bytes.
    pub batch_bytes_max: usize,
    /// What one packed file may unpack to, in bytes.
    pub unpacked_bytes_max: u64,
    /// Unpacked bytes per packed byte, looked at from 16 MiB of unpacked bytes on. Text rarely passes 30.
    pub unpack_ratio_max: u64,
    /// A Parquet or Arrow file that cannot be read in place (packed, in an archive, from a stream) is put into a
    /// temporary file of at most this size, in bytes.
    pub spooled_bytes_max: u64,
    /// Entries of one archive.
    pub archive_entries_max: u64,
    /// Files of a folder or pattern.
    pub files_max: usize,
    /// Different columns (or keys) of one file.
    pub columns_max: usize,
    /// A Parquet file's footer, in bytes.
    pub footer_bytes_max: u64,
    /// Ids that are remembered to tell repeated ones apart; a later id gets its row's index appended.
    pub ids_checked_max: usize,
    /// What the child that reads untrusted files may have in memory, above what it starts with; in bytes.
    pub child_memory_bytes_max: u64,
    /// How long that child may compute, in seconds.
    pub child_cpu_seconds_max: u64,
    /// One message of that child, in bytes.
    pub child_frame_bytes_max: u64,
}

const MIB: u64 = 1 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self {
            record_bytes_max: 16 << 20,
            batch_bytes_max: 1 << 20,
            unpacked_bytes_max: 256 << 30,
            unpack_ratio_max: 250,
            spooled_bytes_max: 16 << 30,
            archive_entries_max: 10_000_000,
            files_max: 100_000,
            columns_max: 10_000,
            footer_bytes_max: 64 * MIB,
            ids_checked_max: 2_000_000,
            child_memory_bytes_max: 1024 * MIB,
            child_cpu_seconds_max: 6 * 3600,
            child_frame_bytes_max: 256 * MIB,
        }
    }
}
