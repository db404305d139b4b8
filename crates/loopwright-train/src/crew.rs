//! The threads of a run, shared out among the parts of a batch.

use crate::error::{Error, Kind, Result};
use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};

/// Threads for each part of a batch. Parts that had all threads in common would wait for each other's operations.
pub(crate) struct Crew {
    /// None where a single thread does the parts one after another, or a single part has all threads.
    pools: Option<Vec<ThreadPool>>,
}

impl Crew {
    /// Deals the threads of the caller's pool among so many parts.
    pub(crate) fn new(n_parts: usize) -> Result<Self> {
        let threads = rayon::current_num_threads();
        let pool = |_| ThreadPoolBuilder::new().num_threads(threads.div_ceil(n_parts)).build();
        let pools = (threads > 1 && n_parts > 1)
            .then(|| (0..n_parts).map(pool).collect::<std::result::Result<Vec<_>, _>>())
            .transpose();
        let failed = |source| Error::caused(Kind::Io, "failed to start the threads of a run", source);
        Ok(Self { pools: pools.map_err(failed)? })
    }

    /// Does the parts at the same time and gives what comes of them in their order. A part alone has all threads.
    pub(crate) fn side_by_side<T: Sync, R: Send>(&self, parts: &[T], work: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
        match &self.pools {
            Some(pools) if parts.len() > 1 => {
                let tasks = parts.par_iter().zip(pools).enumerate();
                tasks.map(|(i, (part, pool))| pool.install(|| work(i, part))).collect()
            }
            _ => parts.iter().enumerate().map(|(i, part)| work(i, part)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_share_the_threads_and_keep_their_order() {
        let pool = ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        pool.install(|| {
            let crew = Crew::new(2).unwrap();
            let seen = crew.side_by_side(&[10, 20], |i, part| (i, *part, rayon::current_num_threads()));
            assert_eq!(seen, [(0, 10, 2), (1, 20, 2)]);
            assert_eq!(crew.side_by_side(&[10], |_, _| rayon::current_num_threads()), [4]);
        });
    }
}
