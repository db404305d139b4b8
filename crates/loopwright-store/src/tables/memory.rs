//! How much memory reading and writing tables may take.

/// What tables may take of the memory that a job has. None of it changes a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableMemory {
    /// For sorting and joining in one query, in bytes; more goes to the disk.
    pub query_bytes: usize,
    /// Rows that a query hands on at once.
    pub batch_rows: usize,
    /// A row group that is being written, in bytes; a writer has three times as much in hand at most.
    pub row_group_bytes: usize,
}

impl Default for TableMemory {
    /// 512 MiB, 8,192 rows, 16 MiB.
    fn default() -> Self {
        Self { query_bytes: 512 << 20, batch_rows: 8192, row_group_bytes: 16 << 20 }
    }
}
