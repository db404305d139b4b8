//! Threads that share out the products of an answer.
//!
//! A token of an answer takes a few hundred products of some ten microseconds each. Waking a sleeping thread takes as long,
//! so the team's threads look for the next work for a moment before they go to sleep. Work comes as numbered tasks, taken
//! in turn by whoever is free: a thread that the system holds up does not hold up the others. What a task computes depends
//! on its number alone.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Condvar, Mutex, OnceLock, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
        },
    },
    time::{Duration, Instant},
};

/// How long a thread looks for work before it sleeps; longer than what lies between two products of a step.
const LOOK_FOR: Duration = Duration::from_micros(200);

/// Looks at a word between two looks at the clock.
const LOOKS: u32 = 64;

/// Does tasks 0 to n − 1, on all threads where there are several tasks; returns once all are done.
pub(crate) fn run(n_tasks: usize, task: impl Fn(usize) + Sync) {
    // Inside a pool of one thread its owner shares out the work in another way.
    if n_tasks < 2 || rayon::current_num_threads() < 2 {
        return (0..n_tasks).for_each(task);
    }
    static TEAM: OnceLock<Team> = OnceLock::new();
    TEAM.get_or_init(Team::start).run(n_tasks, &task);
}

/// Does something once with each of these, as tasks of their own.
pub(crate) fn each<T: Send>(items: impl IntoIterator<Item = T>, work: impl Fn(T) + Sync) {
    let items: Vec<Mutex<Option<T>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
    run(items.len(), |i| {
        // Each is taken once: the lock is never waited for.
        let item = items[i].lock().unwrap_or_else(PoisonError::into_inner).take();
        item.into_iter().for_each(&work);
    });
}

/// Threads that tasks are dealt to, the caller's among them.
pub(crate) fn size() -> usize {
    rayon::current_num_threads()
}

struct Team {
    /// Held while work is under way: one work at a time.
    turn: Mutex<()>,
    shared: &'static Shared,
}

#[derive(Default)]
struct Shared {
    /// Number of the work, raised when there is new work.
    round: AtomicUsize,
    /// Where the work is; read only by threads that have joined a round that is not over.
    work: AtomicUsize,
    n_tasks: AtomicUsize,
    next: AtomicUsize,
    /// Threads that look at the work of this round.
    n_inside: AtomicUsize,
    has_failed: AtomicBool,
    n_asleep: Mutex<usize>,
    woken: Condvar,
}

/// A task that any thread may run, behind one thin pointer.
struct Work<'a>(&'a (dyn Fn(usize) + Sync));

/// Says that no thread may join the round any more.
const CLOSED: usize = usize::MAX / 2;

impl Team {
    fn start() -> Self {
        let shared: &'static Shared = Box::leak(Box::default());
        shared.n_inside.store(CLOSED, SeqCst);
        for i in 1..size() {
            // Without its threads the team is slower, and no less right.
            let _ = std::thread::Builder::new().name(format!("team-{i}")).spawn(move || shared.serve());
        }
        Self { turn: Mutex::new(()), shared }
    }

    fn run(&self, n_tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let Ok(_turn) = self.turn.try_lock() else { return (0..n_tasks).for_each(task) };
        let shared = self.shared;
        let work = Work(task);
        shared.work.store(std::ptr::from_ref(&work) as usize, Relaxed);
        shared.n_tasks.store(n_tasks, Relaxed);
        shared.next.store(0, Relaxed);
        shared.n_inside.store(0, Release);
        shared.round.fetch_add(1, SeqCst);
        if *shared.n_asleep.lock().unwrap_or_else(PoisonError::into_inner) > 0 {
            shared.woken.notify_all();
        }
        // A panic of a task must not leave the work's frame while others look at it.
        let close = Close(shared);
        shared.take_tasks(task);
        drop(close);
        assert!(!shared.has_failed.swap(false, Relaxed), "a task panicked on another thread");
    }
}

/// Closes the round and waits for those inside.
struct Close(&'static Shared);

impl Drop for Close {
    fn drop(&mut self) {
        let mut n_looks = 0u32;
        // Tasks are all taken, unless one panicked; nobody takes another.
        self.0.next.store(CLOSED, SeqCst);
        while self.0.n_inside.compare_exchange(0, CLOSED, AcqRel, Relaxed).is_err() {
            n_looks += 1;
            if n_looks.is_multiple_of(1 << 12) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }
}

impl Shared {
    fn take_tasks(&self, task: &(dyn Fn(usize) + Sync)) {
        let n_tasks = self.n_tasks.load(Relaxed);
        loop {
            match self.next.fetch_add(1, Relaxed) {
                i if i < n_tasks => task(i),
                _ => break,
            }
        }
    }

    fn serve(&self) {
        let mut seen = 0;
        loop {
            seen = self.wait_for(seen);
            self.join_round();
        }
    }

    /// Takes part in the round, if it is still open.
    #[allow(unsafe_code)]
    fn join_round(&self) {
        let enter = |n: usize| (n < CLOSED).then_some(n + 1);
        if self.n_inside.fetch_update(AcqRel, Relaxed, enter).is_err() {
            return;
        }
        // SAFETY: the round was open when we entered, and its owner leaves the frame that holds the work only after everybody
        // who entered has left (`Close`), also when it panics. Nothing below unwinds past the last line.
        let work = unsafe { &*(self.work.load(Relaxed) as *const Work<'_>) };
        if catch_unwind(AssertUnwindSafe(|| self.take_tasks(work.0))).is_err() {
            self.has_failed.store(true, Relaxed);
        }
        self.n_inside.fetch_sub(1, AcqRel);
    }

    /// The number of the next round.
    fn wait_for(&self, seen: usize) -> usize {
        let until = Instant::now() + LOOK_FOR;
        loop {
            for _ in 0..LOOKS {
                let round = self.round.load(Acquire);
                if round != seen {
                    return round;
                }
                std::hint::spin_loop();
            }
            if Instant::now() > until {
                break;
            }
        }
        let mut n_asleep = self.n_asleep.lock().unwrap_or_else(PoisonError::into_inner);
        *n_asleep += 1;
        while self.round.load(SeqCst) == seen {
            n_asleep = self.woken.wait(n_asleep).unwrap_or_else(PoisonError::into_inner);
        }
        *n_asleep -= 1;
        self.round.load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once_whoever_asks() {
        let ask = |n: usize| {
            let done: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
            run(n, |i| {
                done[i].fetch_add(1, Relaxed);
            });
            assert!(done.iter().all(|done| done.load(Relaxed) == 1), "{n}");
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..300).for_each(|i| ask(i % 17)));
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_goes_on() {
        let failed = std::panic::catch_unwind(|| {
            run(8, |i| {
                if i == 0 {
                    panic!("on purpose");
                }
            });
        });
        // Whichever thread it ran on.
        assert!(failed.is_err());
        let sum = AtomicUsize::new(0);
        run(10, |i| {
            sum.fetch_add(i, Relaxed);
        });
        assert_eq!(sum.into_inner(), 45);
    }
}
