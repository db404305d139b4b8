//! The engine's thread: takes requests from the queue, and reads and writes for all active ones in passes.

use super::{
    EngineSettings, GenerateRequest, Piece,
    admission::{Admission, Place},
    fair::{FairQueue, WRITTEN_COST},
    models::Loaded,
    plan::share_out,
    prefixes::Prefixes,
    strand::{News, Strand},
};
use crate::{
    Error, Result,
    event::{FinishReason, Used},
};
use loopwright_lm::{PagePool, Segment};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, TryRecvError},
    },
    time::Instant,
};
use tokio::sync::mpsc;

/// Answers being written up to which guesses are made: beyond, a pass has rows enough.
const N_WRITING_GUESS_MAX: usize = 2;

/// Pages that are let go at a time when memory is wanted.
const N_RELEASE: usize = 16;

/// A request in the queue, with its place there.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) request: GenerateRequest,
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) sender: mpsc::Sender<Result<Piece>>,
    pub(crate) place: Place,
}

/// What the engine's thread tells the handles, and they it.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) n_running: AtomicUsize,
    pub(crate) n_done: AtomicU64,
    pub(crate) n_cancelled: AtomicU64,
    pub(crate) n_refused: AtomicU64,
    pub(crate) n_failed: AtomicU64,
    pub(crate) n_preempted: AtomicU64,
    pub(crate) prompt_tokens: AtomicU64,
    pub(crate) cached_tokens: AtomicU64,
    pub(crate) written_tokens: AtomicU64,
    pub(crate) guessed_tokens: AtomicU64,
    pub(crate) right_tokens: AtomicU64,
    pub(crate) n_passes: AtomicU64,
    pub(crate) pass_us: AtomicU64,
    pub(crate) is_stopping: AtomicBool,
    pub(crate) forgets_prefixes: AtomicBool,
}

/// Everything that the engine's thread owns.
pub(crate) struct Owner {
    settings: EngineSettings,
    queue: Receiver<Job>,
    waiting: FairQueue<Job>,
    active: Vec<Active>,
    /// Requests that gave their memory up for older ones; the oldest goes on first.
    paused: Vec<Active>,
    prefixes: Prefixes,
    pool: PagePool,
    admission: Arc<Admission>,
    counters: Arc<Counters>,
}

/// A request under way.
struct Active {
    strands: Vec<Strand>,
    /// Answers that begin once the prompt was read.
    n_to_fork: u32,
    sender: mpsc::Sender<Result<Piece>>,
    owner: String,
    used: Used,
    /// The piece that ends it, until it was counted.
    last: Option<Piece>,
    since: Instant,
}

/// How a request ended.
enum End {
    Answered,
    Cancelled,
    Failed(Error),
}

/// What one strand reads in a pass: where it is, how many tokens it reads, and how many it had read.
#[derive(Clone, Copy)]
struct Turn {
    request: usize,
    strand: usize,
    n: usize,
    n_read: usize,
}

impl Owner {
    pub(crate) fn new(
        settings: EngineSettings,
        queue: Receiver<Job>,
        pool: PagePool,
        admission: Arc<Admission>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            settings,
            queue,
            waiting: FairQueue::default(),
            active: Vec::new(),
            paused: Vec::new(),
            prefixes: Prefixes::default(),
            pool,
            admission,
            counters,
        }
    }

    /// Runs until every handle is gone or one says stop.
    pub(crate) fn run(mut self) {
        while self.take_jobs() {
            if self.counters.forgets_prefixes.swap(false, Relaxed) {
                self.prefixes.clear();
            }
            self.end_cancelled();
            self.admit();
            for base in self.bases() {
                self.pass(&base);
            }
            self.counters.n_running.store(self.n_running(), Relaxed);
        }
        self.end_all();
    }

    fn n_running(&self) -> usize {
        self.active.len() + self.paused.len()
    }

    /// Takes jobs from the handles; waits for one if there is nothing to do. False once it is time to end.
    fn take_jobs(&mut self) -> bool {
        let mut is_idle = self.n_running() == 0 && self.waiting.is_empty();
        loop {
            let job = match is_idle {
                true => self.queue.recv().map_err(|_| TryRecvError::Disconnected),
                false => self.queue.try_recv(),
            };
            match job {
                Ok(job) => {
                    let owner = job.request.owner.clone();
                    self.waiting.push(&owner, job);
                    is_idle = false;
                }
                Err(TryRecvError::Disconnected) if is_idle => return false,
                Err(_) => break,
            }
        }
        !self.counters.is_stopping.load(Relaxed)
    }

    fn end_cancelled(&mut self) {
        self.waiting.take_where(|job| job.sender.is_closed()).iter().for_each(|_| {
            self.counters.n_cancelled.fetch_add(1, Relaxed);
        });
        let is_gone = |request: &mut Active| request.sender.is_closed();
        let gone: Vec<Active> =
            self.active.extract_if(.., is_gone).chain(self.paused.extract_if(.., is_gone)).collect();
        gone.into_iter().for_each(|request| self.end(request, End::Cancelled));
    }

    /// Lets paused and waiting requests in while there is room.
    fn admit(&mut self) {
        let n_strands = |list: &[Active]| -> usize {
            list.iter().map(|request| request.strands.len() + request.n_to_fork as usize).sum()
        };
        // A paused one goes on once there is memory for it and a page more for everybody.
        while let Some(first) = self.paused.first() {
            let wanted: usize = first.strands.iter().map(Strand::whole_bytes).sum();
            let free = self.pool.most_bytes().saturating_sub(self.pool.used_bytes());
            if !self.active.is_empty() && free < wanted {
                return;
            }
            let mut request = self.paused.remove(0);
            request.strands.iter_mut().for_each(|strand| strand.start_over(&mut self.prefixes));
            self.active.push(request);
        }
        while n_strands(&self.active) < self.settings.n_active_max.max(1) {
            let Some(job) = self.waiting.pop() else { break };
            self.begin(job);
        }
    }

    fn begin(&mut self, job: Job) {
        let Job { request, loaded, sender, place } = job;
        drop(place);
        let (since, owner, n) = (Instant::now(), request.owner.clone(), request.n.max(1));
        let class = catch_unwind(AssertUnwindSafe(|| loaded.class_of(&request.prompt)))
            .unwrap_or_else(|_| Err(Error::Thread("the model panicked".into())));
        let n_prompt = u32::try_from(request.prompt.len()).unwrap_or(u32::MAX);
        let used = Used { prompt_tokens: n_prompt, ..Used::default() };
        match class {
            // A classifier reads the whole text and has its answer at once.
            Ok(Some(class)) => {
                let text = super::stops::cut(&request.stop, &loopwright_types::answer::text_of(&class));
                let request = Active { strands: Vec::new(), n_to_fork: 0, sender, owner, used, last: None, since };
                let piece = |choice| Piece {
                    choice,
                    text: text.clone(),
                    logprobs: Vec::new(),
                    finish: Some(FinishReason::Stop),
                    used,
                };
                (0..n - 1).for_each(|choice| drop(request.sender.try_send(Ok(piece(choice)))));
                self.end_with(request, Some(piece(n - 1)), End::Answered);
            }
            Err(error) => {
                let request = Active { strands: Vec::new(), n_to_fork: 0, sender, owner, used, last: None, since };
                self.end(request, End::Failed(error));
            }
            Ok(None) => {
                let strand = Strand::new(request, &loaded, &self.pool, &mut self.prefixes);
                let cached = u32::try_from(strand.n_read()).unwrap_or(u32::MAX);
                self.counters.cached_tokens.fetch_add(u64::from(cached), Relaxed);
                self.counters.prompt_tokens.fetch_add(u64::from(n_prompt), Relaxed);
                let used = Used { cached_tokens: cached, ..used };
                let strands = vec![strand];
                self.active.push(Active { strands, n_to_fork: n - 1, sender, owner, used, last: None, since });
            }
        }
        self.counters.n_running.store(self.n_running(), Relaxed);
    }

    /// One version on each base that active requests stand on.
    fn bases(&self) -> Vec<Arc<Loaded>> {
        let mut bases: Vec<Arc<Loaded>> = Vec::new();
        for strand in self.active.iter().flat_map(|request| &request.strands) {
            if !bases.iter().any(|base| base.shares_base(strand.loaded())) {
                bases.push(Arc::clone(strand.loaded()));
            }
        }
        bases
    }

    /// One pass of everything that is active on a base.
    fn pass(&mut self, base: &Loaded) {
        let since = Instant::now();
        let turns = self.turns(base);
        if turns.is_empty() {
            return;
        }
        let mut failed = Vec::new();
        match self.read(&turns) {
            Ok(logits) => failed.extend(self.tell(&turns, logits)),
            // Whose fault it is shows when each reads alone.
            Err(_) if turns.len() > 1 => {
                for turn in &turns {
                    match self.read(std::slice::from_ref(turn)) {
                        Ok(logits) => failed.extend(self.tell(std::slice::from_ref(turn), logits)),
                        Err(error) => failed.push((turn.request, error)),
                    }
                }
            }
            Err(error) => failed.push((turns[0].request, error)),
        }
        self.counters.n_passes.fetch_add(1, Relaxed);
        self.counters.pass_us.fetch_add(u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX), Relaxed);
        self.end_done(failed);
    }

    /// Who reads how much; those for whom there is no memory give way, the youngest first.
    fn turns(&mut self, base: &Loaded) -> Vec<Turn> {
        let is_ours = |strand: &Strand| !strand.is_done() && strand.loaded().shares_base(base);
        let n_writing = self.active.iter().flat_map(|request| &request.strands).filter(|s| is_ours(s)).count();
        let may_guess = self.settings.speculate && n_writing <= N_WRITING_GUESS_MAX;
        let (mut places, mut wants) = (Vec::new(), Vec::new());
        for (r, request) in self.active.iter_mut().enumerate() {
            for (s, strand) in request.strands.iter_mut().enumerate().filter(|(_, strand)| is_ours(strand)) {
                places.push((r, s));
                wants.push(strand.want(may_guess));
            }
        }
        let shares = share_out(&wants, self.settings.n_tokens_step.max(1));
        let mut turns = Vec::new();
        let mut n_kept = self.active.len();
        for ((request, strand), n) in places.into_iter().zip(shares) {
            if n == 0 || request >= n_kept {
                continue;
            }
            while request < n_kept && !self.active[request].strands[strand].prepare(n) {
                if self.prefixes.release(N_RELEASE) > 0 {
                    continue;
                } else if n_kept > 1 {
                    n_kept -= 1;
                    self.pause(n_kept);
                } else {
                    break;
                }
            }
            if request < n_kept {
                let n_read = self.active[request].strands[strand].n_read();
                turns.push(Turn { request, strand, n, n_read });
            }
        }
        let pushed_out = self.active.split_off(n_kept);
        turns.retain(|turn| turn.request < n_kept);
        self.paused.splice(0..0, pushed_out);
        turns
    }

    /// Takes the memory of an active request.
    fn pause(&mut self, request: usize) {
        self.counters.n_preempted.fetch_add(1, Relaxed);
        for strand in &mut self.active[request].strands {
            strand.give_up();
        }
    }

    /// Reads the tokens of each turn; logits where they are asked for.
    fn read(&mut self, turns: &[Turn]) -> Result<Vec<Vec<Vec<f32>>>> {
        let mut wanted = turns.iter().copied().peekable();
        let (mut tokens, mut n_logits, mut caches, mut loaded) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (r, request) in self.active.iter_mut().enumerate() {
            for (s, strand) in request.strands.iter_mut().enumerate() {
                if let Some(turn) = wanted.next_if(|turn| (turn.request, turn.strand) == (r, s)) {
                    loaded.push(Arc::clone(strand.loaded()));
                    let (new, n, cache) = strand.reading(turn.n);
                    tokens.push(new);
                    n_logits.push(n);
                    caches.push(cache);
                }
            }
        }
        let Some(first) = loaded.first().cloned() else { return Ok(Vec::new()) };
        let mut segments: Vec<Segment> = tokens
            .iter()
            .zip(caches)
            .zip(loaded.iter().zip(&n_logits))
            .map(|((tokens, cache), (loaded, n_logits))| Segment {
                tokens,
                cache,
                adapter: loaded.adapter(),
                n_logits: *n_logits,
            })
            .collect();
        // A panic in one pass must not end the others.
        let read = catch_unwind(AssertUnwindSafe(|| first.base_model().step(&mut segments)));
        match read {
            Ok(Ok(logits)) => {
                let mut logits = logits.into_iter();
                Ok(n_logits.iter().map(|n| logits.by_ref().take(*n).collect()).collect())
            }
            failed => {
                for (segment, turn) in segments.iter_mut().zip(turns) {
                    segment.cache.truncate(turn.n_read);
                }
                Err(match failed {
                    Ok(Err(error)) => first.failed(error),
                    _ => Error::Thread("the model panicked".into()),
                })
            }
        }
    }

    /// Goes on with what was read. Requests that failed, with why.
    fn tell(&mut self, turns: &[Turn], logits: Vec<Vec<Vec<f32>>>) -> Vec<(usize, Error)> {
        let mut failed = Vec::new();
        for (turn, logits) in turns.iter().zip(logits) {
            let request = &mut self.active[turn.request];
            let mut told = Vec::new();
            let n_forks = if logits.is_empty() { 0 } else { std::mem::take(&mut request.n_to_fork) };
            for choice in 1..=n_forks {
                let mut fork = request.strands[turn.strand].fork(choice);
                told.push((choice, fork.go_on(logits.clone(), &mut self.prefixes)));
                request.strands.push(fork);
            }
            let strand = &mut request.strands[turn.strand];
            told.insert(0, (strand.choice, strand.go_on(logits, &mut self.prefixes)));
            self.waiting.charge(&request.owner, turn.n as u64);
            for (choice, news) in told {
                match news {
                    Ok(news) => self.send(turn.request, choice, news),
                    Err(error) => failed.push((turn.request, error)),
                }
            }
        }
        failed
    }

    fn send(&mut self, request: usize, choice: u32, news: News) {
        let counters = &self.counters;
        counters.written_tokens.fetch_add(u64::from(news.n_tokens), Relaxed);
        counters.guessed_tokens.fetch_add(u64::from(news.n_guesses), Relaxed);
        counters.right_tokens.fetch_add(u64::from(news.n_right), Relaxed);
        let request = &mut self.active[request];
        self.waiting.charge(&request.owner, WRITTEN_COST * u64::from(news.n_tokens));
        request.used.completion_tokens += news.n_tokens;
        let News { text, logprobs, finish, .. } = news;
        let is_last = finish.is_some() && request.is_done();
        // The last piece goes out when the request has been counted.
        if !is_last && (finish.is_some() || !text.is_empty() || !logprobs.is_empty()) {
            let piece = Piece { choice, text, logprobs, finish, used: request.used };
            // A client that went away is seen before the next pass.
            let _ = request.sender.try_send(Ok(piece));
        } else if is_last {
            request.last = Some(Piece { choice, text, logprobs, finish, used: request.used });
        }
    }

    /// Ends the requests that are answered or failed.
    fn end_done(&mut self, failed: Vec<(usize, Error)>) {
        let mut failed: std::collections::BTreeMap<usize, Error> = failed.into_iter().rev().collect();
        for (i, mut request) in std::mem::take(&mut self.active).into_iter().enumerate() {
            match (failed.remove(&i), request.last.take()) {
                (Some(error), _) => self.end(request, End::Failed(error)),
                (None, Some(piece)) => self.end_with(request, Some(piece), End::Answered),
                (None, None) => self.active.push(request),
            }
        }
    }

    fn end(&mut self, request: Active, end: End) {
        self.end_with(request, None, end);
    }

    fn end_with(&mut self, request: Active, piece: Option<Piece>, end: End) {
        let counters = &self.counters;
        let Active { sender, owner, since, strands, .. } = request;
        // Counted before anybody can see the end, its memory given back: whoever has an answer finds it in the figures.
        drop(strands);
        self.waiting.done(&owner);
        match &end {
            End::Answered => drop(counters.n_done.fetch_add(1, Relaxed)),
            End::Cancelled => drop(counters.n_cancelled.fetch_add(1, Relaxed)),
            End::Failed(_) => {
                counters.n_failed.fetch_add(1, Relaxed);
                counters.n_done.fetch_add(1, Relaxed);
            }
        }
        if !matches!(end, End::Cancelled) {
            self.admission.record_us(u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        let last = match end {
            End::Failed(error) => Some(Err(error)),
            _ => piece.map(Ok),
        };
        // A client that went away needs no answer.
        last.into_iter().for_each(|last| drop(sender.try_send(last)));
    }

    fn end_all(&mut self) {
        let active = self.active.drain(..).chain(self.paused.drain(..)).map(|request| request.sender);
        let waiting = self.waiting.take_where(|_| true).into_iter().map(|job| job.sender);
        let queued = std::iter::from_fn(|| self.queue.try_recv().ok()).map(|job| job.sender);
        for sender in active.chain(waiting).chain(queued) {
            // A client that went away needs no answer.
            let _ = sender.try_send(Err(Error::Stopped));
        }
        self.counters.n_running.store(0, Relaxed);
    }
}

impl Active {
    fn is_done(&self) -> bool {
        self.n_to_fork == 0 && self.strands.iter().all(Strand::is_done)
    }
}
