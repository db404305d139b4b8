//! What jobs report, drawn: a bar with rate and remaining time on a terminal, plain lines when piped. All of it goes
//! to stderr.

use crate::{output, units};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use loopwright_pipeline::progress::{Progress, Report};
use std::{
    fmt::Write,
    io::IsTerminal,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Between two lines of progress when piped, at least.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Before the first of them.
const FIRST_LINE_AFTER: Duration = Duration::from_millis(500);
/// A bar is drawn again so often, at most.
const DRAWN_PER_SECOND: u8 = 8;

/// The reporter of the command line.
pub struct Screen {
    is_terminal: bool,
    work: Mutex<Work>,
}

/// The long work under way.
struct Work {
    what: String,
    began: Instant,
    told: Option<Instant>,
    bar: Option<ProgressBar>,
    in_stage: bool,
}

impl Screen {
    /// For this process's stderr.
    pub fn new() -> Self {
        let now = Instant::now();
        let work = Work { what: String::new(), began: now, told: None, bar: None, in_stage: false };
        Self { is_terminal: std::io::stderr().is_terminal(), work: Mutex::new(work) }
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        // A poisoned lock guards nothing but what is on the screen.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report for Screen {
    fn stage(&self, number: usize, n_stages: usize, title: &str) {
        let mut work = self.lock();
        work.end();
        work.in_stage = true;
        output::talk(&format!("[{number}/{n_stages}] {title}"));
    }

    fn say(&self, line: &str) {
        let work = self.lock();
        let indent = if work.in_stage { "    " } else { "" };
        let line = format!("{indent}{line}");
        match &work.bar {
            Some(bar) => bar.suspend(|| output::talk(&line)),
            None => output::talk(&line),
        }
    }

    fn progress(&self, at: &Progress) {
        let mut work = self.lock();
        if work.what != at.what {
            work.end();
            work.begin(at, self.is_terminal);
        }
        if let Some(bar) = &work.bar {
            if at.total > 0 {
                bar.set_length(at.total);
            }
            bar.set_position(at.done);
            bar.set_message(at.note.clone());
        } else if (at.total == 0 || at.done < at.total) && work.is_due() {
            work.told = Some(Instant::now());
            output::talk(&format!("    {}", line(at, work.began.elapsed())));
        }
        if at.total > 0 && at.done >= at.total {
            work.end();
        }
    }
}

impl Work {
    fn begin(&mut self, at: &Progress, is_terminal: bool) {
        self.what.clone_from(&at.what);
        self.began = Instant::now();
        self.told = None;
        self.bar = is_terminal.then(|| bar(at));
    }

    /// Is it time for a line? Work that is over in a moment gets none.
    fn is_due(&self) -> bool {
        match self.told {
            None => self.began.elapsed() >= FIRST_LINE_AFTER,
            Some(told) => told.elapsed() >= LINE_EVERY,
        }
    }

    fn end(&mut self) {
        self.what.clear();
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar(at: &Progress) -> ProgressBar {
    let total = (at.total > 0).then_some(at.total);
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(DRAWN_PER_SECOND));
    let template = match total {
        Some(_) => "    {prefix} [{bar:24}] {human_pos}/{human_len}  {rate}, {eta} left  {msg}",
        None => "    {prefix} {human_pos}  {rate}  {msg}",
    };
    let style = ProgressStyle::with_template(template).expect("the template is a constant that a test draws");
    let rate = |state: &ProgressState, text: &mut dyn Write| {
        // A rate that could not be written is a gap in a line that is drawn again at once.
        write!(text, "{:.1}/s", state.per_sec()).ok();
    };
    bar.set_style(style.with_key("rate", rate).progress_chars("=> "));
    bar.set_prefix(at.what.clone());
    bar
}

/// `fine-tuning: 120 of 400 (30%), 12/s, 23 s left; loss 0.31`
fn line(at: &Progress, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(1e-3);
    let rate = at.done as f64 / seconds;
    if at.total == 0 {
        return format!("{}: {}, {rate:.1}/s", at.what, units::count(at.done));
    }
    let mut line = format!("{}: {} of {}", at.what, units::count(at.done), units::count(at.total));
    if at.done > 0 && at.total >= at.done {
        let left = (at.total - at.done) as f64 / rate;
        let percent = 100.0 * at.done as f64 / at.total as f64;
        line.push_str(&format!(" ({percent:.0}%), {rate:.1}/s, {} left", units::duration(left)));
    }
    if !at.note.is_empty() {
        line.push_str(&format!("; {}", at.note));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rate_and_remaining_time() {
        let at = Progress { what: "fine-tuning".into(), done: 100, total: 400, note: "loss 0.31".into() };
        assert_eq!(line(&at, Duration::from_secs(10)), "fine-tuning: 100 of 400 (25%), 10.0/s, 30 s left; loss 0.31");
        let none = Progress { done: 0, note: String::new(), ..at };
        assert_eq!(line(&none, Duration::from_secs(10)), "fine-tuning: 0 of 400");
        let open = Progress { what: "collecting".into(), done: 2000, total: 0, note: String::new() };
        assert_eq!(line(&open, Duration::from_secs(10)), "collecting: 2,000, 200.0/s");
    }

    #[test]
    fn the_bar_can_be_drawn() {
        let bar = bar(&Progress { what: "x".into(), done: 0, total: 2, note: String::new() });
        bar.set_draw_target(ProgressDrawTarget::hidden());
        bar.set_position(1);
        bar.finish_and_clear();
        assert!(bar.is_finished());
    }
}
