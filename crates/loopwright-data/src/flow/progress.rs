//! How far a flow has come, and how fast it goes.

use std::time::Duration;

/// A message from a running flow, sent after each batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What is being done: `read`, `rows`, a step's name with its pass (`split: look`, `split: judge`), or `write`.
    pub phase: String,
    /// Rows of this phase so far.
    pub n_rows: u64,
    /// Bytes of text of this phase so far.
    pub n_bytes: u64,
    /// Rows of the whole phase, if it is known.
    pub rows_total: Option<u64>,
}

/// Speed, and time that is left of a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Rows per second.
    pub rows_per_s: f64,
    /// Bytes of text per second.
    pub bytes_per_s: f64,
    /// Time until the phase is over, if its number of rows is known and it has begun.
    pub left: Option<Duration>,
}

impl Progress {
    /// The speed so far, given how long the phase has been running.
    pub fn rate(&self, elapsed: Duration) -> Rate {
        let seconds = elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        let rows_per_s = self.n_rows as f64 / seconds;
        let n_left = self.rows_total.map(|total| total.saturating_sub(self.n_rows) as f64);
        let left = n_left.and_then(|n_left| Duration::try_from_secs_f64(n_left / rows_per_s).ok());
        Rate { rows_per_s, bytes_per_s: self.n_bytes as f64 / seconds, left }
    }
}

/// Counts the rows of a phase and passes the sums on.
pub(crate) struct Meter<'a> {
    progress: Progress,
    sink: &'a mut dyn FnMut(&Progress) -> crate::Result<()>,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(
        phase: impl Into<String>,
        rows_total: Option<u64>,
        sink: &'a mut dyn FnMut(&Progress) -> crate::Result<()>,
    ) -> Self {
        Self { progress: Progress { phase: phase.into(), n_rows: 0, n_bytes: 0, rows_total }, sink }
    }

    /// From here on rows count for this phase, from 0 if it is another one than before.
    pub(crate) fn enter(&mut self, phase: &str) {
        if self.progress.phase != phase {
            let rows_total = self.progress.rows_total;
            self.progress = Progress { phase: phase.to_string(), n_rows: 0, n_bytes: 0, rows_total };
        }
    }

    pub(crate) fn add(&mut self, n_rows: u64, n_bytes: u64) -> crate::Result<()> {
        self.progress.n_rows += n_rows;
        self.progress.n_bytes += n_bytes;
        (self.sink)(&self.progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_its_share() {
        let progress = Progress { phase: "read".into(), n_rows: 100, n_bytes: 5000, rows_total: Some(400) };
        let rate = progress.rate(Duration::from_secs(2));
        assert_eq!((rate.rows_per_s, rate.bytes_per_s, rate.left), (50.0, 2500.0, Some(Duration::from_secs(6))));
        assert_eq!(Progress { rows_total: None, ..progress.clone() }.rate(Duration::from_secs(2)).left, None);
        assert_eq!(Progress { n_rows: 0, ..progress }.rate(Duration::ZERO).left, None);
    }
}
