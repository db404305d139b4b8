//! The search itself: documents go in in batches, clusters come out, and what is done is on disk.

use super::{
    buffer::Buffer,
    coverage::Coverage,
    forest::{Clusters, DOCUMENTS_MAX, Forest},
    merge::Limits,
    method::Method,
    pairs,
    run::Run,
    segment::WRITE_BUFFER_BYTES,
    settings::MinHashSettings,
    sign::Signer,
    words::Simplify,
};
use crate::{Error, Result};
use rayon::prelude::*;
use std::{
    ops::Range,
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::xxh3_64;

/// The least memory that a search works with.
pub const MEMORY_BYTES_MIN: u64 = 1 << 20;
/// Bytes that the reader of one run holds while runs are merged.
const READ_BUFFER_BYTES: usize = 64 << 10;
/// Runs that are open at once, over all buckets that are merged at the same time.
const OPEN_RUNS_MAX: usize = 512;

/// Finds duplicate documents in a corpus that is larger than memory.
///
/// Each document has an index; the caller counts them. A folder holds the work: after a kill, a search that is opened
/// with the same settings and folder goes on from it, and [`Finder::add`] passes over what is already there.
///
/// ```
/// use loopwright_corpus::minhash::{Finder, MinHashSettings};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// let mut finder = Finder::near(&MinHashSettings::default(), folder, 64 << 20)?;
/// finder.add(0, &["a kettle that whistles when its water boils", "short"])?;
/// finder.add(2, &["A kettle that whistles, when its water boils!"])?;
/// let clusters = finder.finish()?;
/// assert_eq!(clusters.kept().collect::<Vec<_>>(), [0, 1]);
/// assert_eq!(clusters.of(2).id, 0);
/// # Ok::<(), loopwright_corpus::Error>(())
/// ```
#[derive(Debug)]
pub struct Finder {
    folder: PathBuf,
    method: Method,
    memory_bytes: u64,
    n_sorts: usize,
    capacity: usize,
    buffer: Buffer,
    waiting: Coverage,
    covered: Coverage,
    runs: Vec<Run>,
    next_run: u32,
}

impl Finder {
    /// A search for near-duplicates. `folder` is made if need be, and belongs to this search alone; the caller deletes it.
    /// At most `memory_bytes` are used for documents on their way, and beside them only each thread's words of one text.
    pub fn near(settings: &MinHashSettings, folder: &Path, memory_bytes: u64) -> Result<Self> {
        Self::open(Method::Near(Signer::new(settings)?), folder, memory_bytes)
    }

    /// A search for documents whose words are equal after simplification. The first of them stays.
    pub fn exact(simplify: &Simplify, folder: &Path, memory_bytes: u64) -> Result<Self> {
        Self::open(Method::Exact(simplify.clone()), folder, memory_bytes)
    }

    fn open(method: Method, folder: &Path, memory_bytes: u64) -> Result<Self> {
        if memory_bytes < MEMORY_BYTES_MIN {
            return Err(Error::search_memory("a search", MEMORY_BYTES_MIN, memory_bytes));
        }
        std::fs::create_dir_all(folder).map_err(Error::on_file("create", folder))?;
        let shape = method.shape();
        let n_sorts = rayon::current_num_threads().min(shape.buckets);
        let for_documents = memory_bytes as usize - WRITE_BUFFER_BYTES;
        let mut finder = Self {
            folder: folder.to_path_buf(),
            memory_bytes,
            n_sorts,
            capacity: (for_documents / shape.waiting_bytes(n_sorts)).clamp(1, DOCUMENTS_MAX as usize),
            buffer: Buffer::new(shape),
            method,
            waiting: Coverage::default(),
            covered: Coverage::default(),
            runs: Vec::new(),
            next_run: 0,
        };
        finder.find_runs()?;
        Ok(finder)
    }

    /// Takes in the runs of an earlier process, and removes what it left unfinished.
    fn find_runs(&mut self) -> Result<()> {
        let doing = || Error::on_file("list", &self.folder);
        let entries = std::fs::read_dir(&self.folder).map_err(doing())?;
        let paths: std::io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut paths = paths.map_err(doing())?;
        paths.sort();
        for path in paths {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number = name.strip_prefix("run-").and_then(|name| name.strip_suffix(".sorted")?.parse::<u32>().ok());
            let run = match number {
                Some(_) => Run::open(&path, self.method.fingerprint(), self.method.shape())?,
                None => None,
            };
            if let (Some(number), Some(run)) = (number, run) {
                self.next_run = self.next_run.max(number + 1);
                run.ranges.iter().for_each(|range| self.covered.insert(range.clone()));
                self.runs.push(run);
            } else if number.is_some() || name.ends_with(".part") {
                std::fs::remove_file(&path).map_err(Error::on_file("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Whether the document at `index` is already in, here or in an earlier process.
    pub fn has(&self, index: u64) -> bool {
        self.covered.contains(index)
    }

    /// Takes in the documents with the indices `first_index`, `first_index + 1` and so on, in parallel. Batches may come in
    /// any order; documents that are already in are passed over. Returns how many were not.
    pub fn add<T: AsRef<str> + Sync>(&mut self, first_index: u64, texts: &[T]) -> Result<u64> {
        let end = first_index.saturating_add(texts.len() as u64);
        if end > DOCUMENTS_MAX {
            let expected = format!("at most {DOCUMENTS_MAX} documents");
            return Err(Error::Documents { expected, got: format!("one with index {}", end - 1) });
        }
        let missing = self.covered.missing(first_index..end);
        for range in &missing {
            let place = |index: u64| (index - first_index) as usize;
            self.take(range.clone(), &texts[place(range.start)..place(range.end)])?;
        }
        Ok(missing.iter().map(|range| range.end - range.start).sum())
    }

    fn take<T: AsRef<str> + Sync>(&mut self, range: Range<u64>, mut texts: &[T]) -> Result<()> {
        let mut first = range.start;
        while !texts.is_empty() {
            let (now, later) = texts.split_at(texts.len().min(self.capacity - self.buffer.len()));
            let method = &self.method;
            self.buffer.extend(first as u32, now, self.capacity, |scratch, text: &T, keys| {
                method.keys(scratch, text.as_ref(), keys)
            });
            let taken = first..first + now.len() as u64;
            first = taken.end;
            self.waiting.insert(taken.clone());
            self.covered.insert(taken);
            texts = later;
            if self.buffer.len() == self.capacity {
                self.write_run()?;
            }
        }
        Ok(())
    }

    /// Puts all documents that wait in memory on disk, so that a kill after this loses nothing. [`Finder::add`] does so
    /// whenever the granted memory is full.
    pub fn write_run(&mut self) -> Result<()> {
        if self.buffer.len() == 0 {
            return Ok(());
        }
        let path = self.folder.join(format!("run-{:06}.sorted", self.next_run));
        let (fingerprint, shape) = (self.method.fingerprint(), self.method.shape());
        let run = Run::write(&path, fingerprint, shape, &self.buffer, &self.waiting, self.n_sorts)?;
        self.runs.push(run);
        self.next_run += 1;
        self.buffer.clear();
        self.waiting.clear();
        Ok(())
    }

    /// Finds the clusters of all documents. Their indices must run from zero on without a gap.
    pub fn finish(mut self) -> Result<Clusters> {
        self.write_run()?;
        let n_documents = self.n_documents()?;
        let needed = n_documents * Forest::DOCUMENT_BYTES;
        if needed > self.memory_bytes {
            return Err(Error::search_memory("the clusters' forest", needed, self.memory_bytes));
        }
        // Its memory is needed from here on.
        self.buffer = Buffer::new(self.method.shape());
        self.write_pairs()?;
        let mut forest = Forest::new(n_documents as usize);
        for bucket in 0..self.method.shape().buckets {
            pairs::read(&self.pairs_path(bucket), |a, b| forest.join(a as usize, b as usize))?;
        }
        Ok(forest.into_clusters())
    }

    fn n_documents(&self) -> Result<u64> {
        match self.covered.ranges() {
            [] => Ok(0),
            [Range { start: 0, end }] => Ok(*end),
            ranges => {
                let end = ranges.last().map_or(0, |last| last.end);
                let gap = self.covered.missing(0..end)[0].clone();
                let got = format!("none with the indices {} to {}", gap.start, gap.end - 1);
                Err(Error::Documents { expected: format!("all documents from 0 to {}", end - 1), got })
            }
        }
    }

    /// Merges the buckets that are not yet merged, as many at once as the memory allows.
    fn write_pairs(&self) -> Result<()> {
        let (shape, digest) = (self.method.shape(), self.runs_digest());
        let mut open = Vec::new();
        for bucket in 0..shape.buckets {
            if pairs::count(&self.pairs_path(bucket), digest)?.is_none() {
                open.push(bucket);
            }
        }
        let (at_once, limits) = self.merge_limits();
        open.chunks(at_once).try_for_each(|buckets| {
            buckets.par_iter().try_for_each(|bucket| {
                let segments = self.runs.iter().map(|run| run.segment(*bucket, shape)).collect();
                pairs::write(&self.pairs_path(*bucket), digest, segments, shape, limits)
            })
        })
    }

    /// How many buckets are merged at once, and what each merge may use.
    fn merge_limits(&self) -> (usize, Limits) {
        // Four buffers for each bucket: three runs, and what is written.
        let memory = self.memory_bytes as usize;
        let at_once = self.n_sorts.min(memory / (4 * READ_BUFFER_BYTES)).max(1);
        let record_bytes = self.method.shape().record_bytes();
        // A reader has a running checksum and a head of its own beside its buffer; a kibibyte covers both.
        let run_bytes = READ_BUFFER_BYTES + record_bytes + 1024;
        let by_memory = (memory / at_once - WRITE_BUFFER_BYTES) / run_bytes;
        let fan_in = by_memory.min(OPEN_RUNS_MAX / at_once).max(2);
        (at_once, Limits { fan_in, buffer_bytes: READ_BUFFER_BYTES, record_bytes })
    }

    fn pairs_path(&self, bucket: usize) -> PathBuf {
        self.folder.join(format!("bucket-{bucket:03}.pairs"))
    }

    /// Names the runs' contents: pairs that were made of others are not taken for theirs.
    fn runs_digest(&self) -> u64 {
        let numbers = self.runs.iter().flat_map(|run| {
            let ranges = run.ranges.iter().flat_map(|range| [range.start, range.end]);
            [run.n_records, run.ranges.len() as u64].into_iter().chain(ranges).chain(run.checksums.iter().copied())
        });
        xxh3_64(&numbers.flat_map(u64::to_le_bytes).collect::<Vec<u8>>())
    }
}
