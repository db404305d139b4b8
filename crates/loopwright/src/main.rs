//! `loopwright`: the command line, the one door through which people and scripts turn the loop.
//!
//! ```text
//! args (as typed) → commands/* (call loopwright-pipeline and loopwright-server) → output (the only place that prints)
//! ```
//!
//! [`args`] says what can be typed; its texts are the help. Each file in [`commands`] is one family of commands: it
//! opens the project, calls one function of the pipeline and turns what comes back into an [`output::Answer`]. The
//! rules live below: a command decides nothing but how to show it. [`serving`] joins the pipeline and the server,
//! [`background`] keeps an `up` project turning by itself, [`progress`] draws what jobs report.
//!
//! Data goes to stdout, talk to stderr. With `--json` stdout carries one JSON document and nothing else. The exit code
//! is 0 when all is well, 1 when something failed or was not passed, 2 when the command line was not understood.

mod args;
mod background;
mod commands;
mod failure;
mod footprint;
mod output;
mod progress;
mod serving;
mod stop;
mod table;
mod units;

use args::{Cli, Command};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Training allocates and frees many large buffers on many threads, where the system's allocator is slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Environment variable with the log's filter, e.g. `info` or `loopwright_server=debug`.
const LOG_VARIABLE: &str = "LOOPWRIGHT_LOG";

#[allow(unsafe_code)]
fn main() -> ExitCode {
    // SAFETY: nothing has started a thread yet.
    unsafe { loopwright_pipeline::keep_tensors_on_one_thread() };
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    if matches!(cli.command, Command::ReadChild) {
        return read_child();
    }
    start_log();
    if matches!(cli.command, Command::Up(_) | Command::Data(_)) {
        footprint::keep_pages_small();
    }
    let json = cli.everywhere.json;
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            return output::failure(&Failure::of(&anyhow::Error::new(error).context("failed to start")), json);
        }
    };
    let result = runtime.block_on(commands::run(&cli));
    // Blocking work that was given up (a training under way at Ctrl-C) must not hold the process back.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(commands::End::NotPassed) => ExitCode::FAILURE,
        Err(commands::End::Failed(error)) => output::failure(&Failure::of(&error), json),
    }
}

/// Reads one source for a parent process and answers on stdout, before anything else touches it.
fn read_child() -> ExitCode {
    match loopwright_pipeline::sources::child::serve(std::io::stdin().lock(), std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        // The parent went away: there is nobody to tell.
        Err(_) => ExitCode::FAILURE,
    }
}

fn start_log() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("warn"));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(is_terminal).init();
}
