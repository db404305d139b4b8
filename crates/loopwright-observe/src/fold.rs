//! From the journal into the database, each record exactly once.
//!
//! A [`Folder`] reads the journal behind its mark, and writes traces, what keys used, and the new mark in one
//! transaction. Killed before it, the records are read again; killed after it, they are skipped. [`recover`] does the
//! same with the journals of servers that were killed.

use crate::{
    Error, Kind, Result,
    entry::{Closed, Entry, Killed, Opened},
};
use loopwright_store::{Change, Journal, JournalMark, Store};
use loopwright_types::{
    EntityRef, Timestamp,
    event::NewEvent,
    id::{KeyId, TraceId},
    key::{Amount, Spending},
    trace::Trace,
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// While requests are open, files are left behind about so often, so that what is in the database does not stay in them.
const CARRY_EVERY_MS: i64 = 5_000;
/// Bytes of the journal that go into one transaction.
const PAGE_BYTES: usize = 4 << 20;

/// Folds one journal into the store.
#[derive(Debug)]
pub(crate) struct Folder {
    store: Store,
    journal: Arc<Journal>,
    /// Up to where it was folded in.
    mark: Option<JournalMark>,
    /// Requests that were begun and have not ended.
    open: HashMap<TraceId, Opened>,
    /// When a file was last left behind.
    left_at: Timestamp,
}

/// What was read of the journal.
struct Page {
    /// The place behind it; none at the end.
    last: Option<JournalMark>,
    entries: Vec<Entry>,
    n_torn_bytes: u64,
}

/// Folds in what killed servers left behind; returns how many traces there were. Cheap if there is nothing. `killed` says what
/// becomes of the reservations of requests that were under way.
pub async fn recover(store: &Store, killed: Killed) -> Result<u64> {
    let failed = |source| Error::store("failed to look for journals", source);
    let mut n = 0;
    for (journal, mark) in store.abandoned_journals().await.map_err(failed)? {
        let mut folder = Folder::new(store.clone(), Arc::new(journal), mark);
        folder.close_killed(killed).await?;
        n += folder.fold(0).await?;
    }
    Ok(n)
}

impl Folder {
    pub fn new(store: Store, journal: Arc<Journal>, mark: Option<JournalMark>) -> Self {
        let left_at = store.now();
        Self { store, journal, mark, open: HashMap::new(), left_at }
    }

    /// At the start: whatever is open in the journal was under way when its process was killed. Says so in the journal
    /// itself, so that it is folded in once like everything else.
    pub async fn close_killed(&mut self, policy: Killed) -> Result<()> {
        let (mut at, mut n_torn_bytes) = (None, 0);
        let mut open: BTreeMap<TraceId, Opened> = BTreeMap::new();
        let mut closed: HashSet<TraceId> = HashSet::new();
        loop {
            let page = self.read(at).await?;
            n_torn_bytes += page.n_torn_bytes;
            let Some(last) = page.last else { break };
            at = Some(last);
            for entry in page.entries {
                match entry {
                    Entry::Opened(opened) | Entry::StillOpen(opened) if !closed.contains(&opened.id) => {
                        open.insert(opened.id.clone(), opened);
                    }
                    Entry::Opened(_) | Entry::StillOpen(_) => {}
                    Entry::Closed(it) => {
                        open.remove(&it.trace.id);
                        closed.insert(it.trace.id);
                    }
                }
            }
        }
        if n_torn_bytes > 0 {
            // What was being written when the process was killed: nobody was told that it is there.
            tracing::warn!(n_torn_bytes, slot = self.journal.slot(), "the journal ended within a record");
        }
        for opened in open.into_values() {
            self.append(Entry::Closed(opened.killed(policy)))?;
        }
        Ok(())
    }

    fn append(&self, entry: Entry) -> Result<()> {
        let appended = self.journal.append(&entry.encode());
        appended.map(drop).map_err(|source| Error::store("failed to write the journal", source))
    }

    /// Folds in everything that the journal has; returns how many traces there were.
    ///
    /// `n_dropped` traces are told of in the event. If nothing else is to be told, they get one of their own.
    pub async fn fold(&mut self, mut n_dropped: u64) -> Result<u64> {
        // What comes meanwhile is for the next time, so that transactions stay few.
        let end = self.journal.end();
        let mut n_traces = self.catch_up(end, &mut n_dropped).await?;
        if n_dropped > 0 {
            let told = self.store.apply(batch_event(&[], n_dropped), Vec::new()).await;
            told.map_err(|source| Error::store("failed to tell of lost traces", source))?;
        }
        let failed = |source| Error::store("failed to tidy the journal", source);
        let now = self.store.now();
        if self.open.is_empty() {
            self.left_at = now;
            self.journal.forget(end, true).map_err(failed)?;
        } else if self.journal.is_long() || now.ms_since(self.left_at) > CARRY_EVERY_MS {
            self.left_at = now;
            // What is open must be known to whoever reads the rest after a kill, before the beginning is forgotten.
            let segment = self.journal.begin_anew().map_err(failed)?;
            let begun = JournalMark { segment, offset: 0, ..end };
            n_traces += self.catch_up(begun, &mut 0).await?;
            for opened in self.open.values() {
                self.append(Entry::StillOpen(opened.clone()))?;
            }
            self.journal.forget(begun, false).map_err(failed)?;
        }
        Ok(n_traces)
    }

    /// Folds in what lies before this place, and perhaps a little more.
    async fn catch_up(&mut self, end: JournalMark, n_dropped: &mut u64) -> Result<u64> {
        let mut n_traces = 0;
        while self.mark.is_none_or(|mark| mark < end) {
            let page = self.read(self.mark).await?;
            let Some(last) = page.last else { break };
            // A page that cannot be written is read again; noting it twice is the same as once.
            let closed: Vec<Closed> = page.entries.into_iter().filter_map(|it| note(&mut self.open, it)).collect();
            if !closed.is_empty() {
                n_traces += closed.len() as u64;
                self.write(closed, last, *n_dropped).await?;
                *n_dropped = 0;
            }
            self.mark = Some(last);
        }
        Ok(n_traces)
    }

    /// Reads and decodes away from the threads that answer.
    async fn read(&self, after: Option<JournalMark>) -> Result<Page> {
        let journal = self.journal.clone();
        let reading = tokio::task::spawn_blocking(move || {
            journal.read_after(after, PAGE_BYTES).map(|page| Page {
                last: page.records.last().map(|(mark, _)| *mark),
                entries: page.records.iter().filter_map(|(_, record)| decoded(record)).collect(),
                n_torn_bytes: page.n_torn_bytes,
            })
        });
        let page = reading.await.map_err(|problem| Error::new(Kind::Lost, format!("reading died: {problem}")))?;
        page.map_err(|source| Error::store("failed to read the journal", source))
    }

    async fn write(&self, closed: Vec<Closed>, mark: JournalMark, n_dropped: u64) -> Result<()> {
        let spendings = spendings(&closed);
        let traces: Vec<Trace> = closed.into_iter().map(|closed| closed.trace).collect();
        let event = batch_event(&traces, n_dropped);
        let changes = vec![Change::Traces(traces), Change::Spend { mark, spendings }];
        let written = self.store.apply(event, changes).await;
        written.map(drop).map_err(|source| Error::store("failed to write traces", source))
    }
}

fn decoded(record: &[u8]) -> Option<Entry> {
    match Entry::decode(record) {
        Ok(entry) => Some(entry),
        Err(error) => {
            // Its checksum is right, so it was written like this: by a later version, which this one cannot undo.
            tracing::error!(error = &error as &dyn std::error::Error, "a record of the journal is left out");
            None
        }
    }
}

/// Keeps track of what is open; returns what has ended.
fn note(open: &mut HashMap<TraceId, Opened>, entry: Entry) -> Option<Closed> {
    match entry {
        Entry::Opened(opened) => {
            open.insert(opened.id.clone(), opened);
            None
        }
        Entry::StillOpen(_) => None,
        Entry::Closed(closed) => {
            open.remove(&closed.trace.id);
            Some(closed)
        }
    }
}

/// What each key used in each minute.
fn spendings(closed: &[Closed]) -> Vec<Spending> {
    let mut sums: BTreeMap<(&KeyId, i64), Amount> = BTreeMap::new();
    for Closed { ended_at, trace } in closed {
        if let Some(key) = &trace.key {
            let sum = sums.entry((key, ended_at.0.max(0) / 60_000)).or_default();
            *sum = sum.plus(trace.used());
        }
    }
    let one =
        |((key, minute), used): ((&KeyId, i64), Amount)| Spending { key: key.clone(), minute: Some(minute), used };
    sums.into_iter().map(one).collect()
}

/// The event of a batch: figures only. It is about the batch's first trace.
pub(crate) fn batch_event(traces: &[Trace], n_dropped: u64) -> NewEvent {
    let Some(first) = traces.first() else {
        let about = EntityRef::new("trace_sink", "traces");
        return NewEvent::new("server", "traces.dropped", about).with_body(serde_json::json!({"n_dropped": n_dropped}));
    };
    let mut routes: BTreeMap<&str, u64> = BTreeMap::new();
    traces.iter().for_each(|trace| *routes.entry(&trace.route).or_default() += 1);
    let micro_usd: u64 = traces.iter().map(|trace| trace.detail.cost_micro_usd).sum();
    let body = serde_json::json!({
        "n": traces.len(), "n_dropped": n_dropped, "routes": routes, "micro_usd": micro_usd,
    });
    NewEvent::new("server", "traces.recorded", EntityRef::new("trace", first.id.as_str())).with_body(body)
}

#[cfg(test)]
impl Folder {
    /// For tests: an entry, as the way in writes it.
    pub fn append_entry(&self, entry: &Entry) {
        self.journal.append(&entry.encode()).expect("there is room");
    }

    /// For tests: into the database, and no further.
    pub async fn catch_up_now(&mut self) {
        self.catch_up(self.journal.end(), &mut 0).await.expect("there is a store");
    }
}
