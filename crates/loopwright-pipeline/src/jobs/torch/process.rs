//! torchrun with `train.py` under it: started, listened to, stopped.

use super::{INSTALL, SAFE_PATH, absolute, folder::PROGRAM};
use crate::{
    error::{Doing, Error, Result},
    project::TorchSettings,
};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, VecDeque},
    ffi::{OsStr, OsString},
    io::{self, BufRead, BufReader, Read},
    ops::ControlFlow,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

/// Longest line that is read of what the processes say, in bytes.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// Last lines of their standard error that an error shows.
const TAIL_LINES: usize = 20;
/// How long torchrun may take to stop its processes before it is killed: so many looks of so many milliseconds. It gives
/// them 30 seconds itself.
const STOP_LOOKS: u32 = 450;
const STOP_LOOK_MS: u64 = 100;

/// What is to be started.
pub(super) struct Launch<'a> {
    pub python: &'a OsStr,
    /// The recipe.
    pub folder: &'a Path,
    pub torch: &'a TorchSettings,
}

/// What `train.py` tells, one JSON line each.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Event {
    /// All processes are there and have their weights.
    Begin { step: u64, n_processes: u64, device: String, versions: BTreeMap<String, String> },
    /// A step was taken.
    Step { step: u64, loss: f32, lr: f64, gradient_norm: f64, tokens_per_s: f64, validation_loss: Option<f32> },
    /// The end of standard input was seen; a checkpoint is written.
    Stopped,
    /// All steps were taken; a checkpoint is written.
    Done,
    /// One of the processes could not go on.
    Failed { kind: Failure, message: String },
}

/// Why a process could not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Failure {
    NotFinite,
    Diverged,
    Checkpoint,
    Model,
    Environment,
    Memory,
    Other,
}

/// What another program said.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

impl Launch<'_> {
    /// What Python is given to start as machine `node`.
    pub(super) fn words(&self, node: usize) -> Vec<OsString> {
        let torch = self.torch;
        let mut words: Vec<OsString> = vec!["-m".into(), "torch.distributed.run".into()];
        words.push(format!("--nproc-per-node={}", torch.nproc_per_node).into());
        match torch.nnodes {
            // A free port of this machine.
            0 | 1 => words.push("--standalone".into()),
            n => {
                words.extend([format!("--nnodes={n}").into(), format!("--node-rank={node}").into()]);
                words.extend([
                    "--rdzv-backend=static".into(),
                    format!("--rdzv-endpoint={}", torch.rdzv_endpoint).into(),
                ]);
            }
        }
        let folder = absolute(self.folder);
        words.extend([folder.join(PROGRAM).into(), folder.into()]);
        words
    }

    fn command(&self) -> Command {
        let threads = std::thread::available_parallelism().map_or(1, usize::from) / self.torch.nproc_per_node.max(1);
        let mut command = Command::new(self.python);
        command.args(self.words(0)).arg("--watch-stdin");
        // Everything lies in the folder: nothing is looked for on the network.
        command.envs([("HF_HUB_OFFLINE", "1"), ("TRANSFORMERS_OFFLINE", "1")]);
        command.env(SAFE_PATH.0, SAFE_PATH.1);
        if std::env::var_os("OMP_NUM_THREADS").is_none() {
            command.env("OMP_NUM_THREADS", threads.max(1).to_string());
        }
        // Ctrl-C in a terminal reaches every process of a group: these are told by their standard input, and finish their
        // step.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Starts the processes and hands on what they tell, until they have ended. A break asks them to stop after their step.
pub(super) fn follow(launch: &Launch, mut tell: impl FnMut(Event) -> ControlFlow<()>) -> Result<()> {
    let mut child = launch.command().spawn().map_err(|error| {
        Error::user(format!("failed to start the Python `{}`", launch.python.to_string_lossy()))
            .because(error)
            .hint(INSTALL)
    })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut running = Running { stdin: child.stdin.take(), child };
    let tail = std::thread::spawn(move || stderr.map(last_lines).unwrap_or_default());
    let (mut failed, mut has_begun, mut has_ended) = (None, false, false);
    let mut lines = BufReader::new(stdout.ok_or_else(|| Error::bug("the child has no standard output"))?);
    while let Some(event) = next(&mut lines)? {
        has_begun |= matches!(event, Event::Begin { .. });
        has_ended |= matches!(event, Event::Stopped | Event::Done);
        match event {
            // When one process fails, others lose their connection to it and say so.
            Event::Failed { kind, message } => match failed {
                Some((Failure::Other, _)) | None => failed = Some((kind, message)),
                Some(_) => {}
            },
            event => {
                if tell(event).is_break() {
                    running.stdin = None;
                }
            }
        }
    }
    let status = running.child.wait().outside(|| "failed to wait for Python".into())?;
    let tail = tail.join().map_err(|_| Error::bug("what Python said was not read to its end"))?;
    match failed {
        Some((kind, message)) => Err(failure(kind, message, tail)),
        None if status.success() && has_ended => Ok(()),
        None => {
            let error = Error::outside(format!("Python ended before the run did ({status})")).because(Said(tail));
            Err(if has_begun {
                error.hint("the same command goes on from the last checkpoint")
            } else {
                error.hint(INSTALL)
            })
        }
    }
}

/// The next thing told; none at the end.
fn next(lines: &mut impl BufRead) -> Result<Option<Event>> {
    let mut line = Vec::new();
    lines.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).outside(|| "failed to read what Python says".into())?;
    if line.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&line).map(Some).map_err(|error| {
        let text = String::from_utf8_lossy(&line);
        let shown: String = text.trim_end().chars().take(200).collect();
        Error::outside(format!("Python said something that `{PROGRAM}` does not say: `{shown}`"))
            .because(error)
            .hint("something in its environment prints to file descriptor 1; `loopwright doctor` looks at the Python")
    })
}

/// The error of a process that told why it could not go on.
fn failure(kind: Failure, message: String, tail: String) -> Error {
    use loopwright_train::{Error as Train, Kind};
    let error = Error::user("training with PyTorch failed");
    match kind {
        Failure::NotFinite => error.because(Train::reported(Kind::NotFinite, message)),
        Failure::Diverged => {
            error.because(Train::reported(Kind::Diverged, message)).hint("lower the learning rate, or warm up longer")
        }
        Failure::Checkpoint => error.because(Train::reported(Kind::BadCheckpoint, message)),
        Failure::Model => error
            .because(Train::reported(Kind::Model, message))
            .hint("transformers or PEFT computes this model otherwise: train it with backend = \"native\""),
        Failure::Environment => error.because(Said(message)).hint(INSTALL),
        Failure::Memory => error.because(Said(message)).hint(
            "a smaller `batch_size` with more `gradient_accumulation_steps` takes the same steps in less memory; so do \
             `gradient_checkpointing = true` and `bf16 = true`",
        ),
        Failure::Other => Error::outside("training with PyTorch failed").because(Said(format!("{message}\n{tail}"))),
    }
}

/// The last lines of a stream that is read to its end.
fn last_lines(stream: impl Read) -> String {
    let mut lines: VecDeque<String> = VecDeque::new();
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        match (&mut stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(1..) => {}
            _ => break,
        }
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(String::from_utf8_lossy(&line).trim_end().to_string());
    }
    Vec::from(lines).join("\n")
}

/// A child that ends with its owner.
struct Running {
    child: Child,
    /// Held open; its end is what the processes stop at.
    stdin: Option<ChildStdin>,
}

impl Running {
    /// Asks torchrun to stop its processes, and kills it if it does not.
    fn stop(&mut self) -> io::Result<()> {
        self.stdin = None;
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        for _ in 0..STOP_LOOKS {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(STOP_LOOK_MS));
        }
        // Its processes have seen their standard input end.
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::warn!(%error, "the processes of PyTorch could not be stopped");
        }
    }
}
