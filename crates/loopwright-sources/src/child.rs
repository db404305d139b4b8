//! Reading what cannot be trusted in a process of its own.
//!
//! Ten bytes of a Parquet page can ask a decoder for two gigabytes, and a decoder that gets them takes the whole server
//! down when memory runs out. So the binary starts itself again with a hidden subcommand that calls [`serve`]. The child
//! first takes power from itself (`setrlimit`: address space, data, processor time, file size, no core dumps), then
//! reads the source and writes rows to its standard output. If it dies, the parent tells why; its own memory stays
//! small, because a message of the child has a limit, too.
//!
//! **Protocol**, version 1. Every message is a frame: its length (four bytes, little-endian), then JSON. The parent sends one
//! [`Request`]; for a stream, the source's bytes follow in chunks with a length of their own, and a chunk of length 0 says
//! that they are complete. The child sends [`Answer`]s; the last is `done` or `failed`. Whatever else ends the
//! conversation is a crash.

use super::{
    Limits, Reads,
    chunks::{chunks, pump},
    failure::{Failure, Flow, Halt, Place},
    feed,
    row::Read,
    schema::{self, Schema},
    shaping::Out,
    sink::Taken,
    source,
    spec::Spec,
};
use crate::{Error, error::Kind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    io::{self, BufReader, BufWriter, Read as _, Seek, SeekFrom, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

/// Longest request, in bytes.
const REQUEST_BYTES_MAX: u64 = 16 << 20;
/// How much of the child's last words is looked at, in bytes.
const LAST_WORDS_BYTES: u64 = 4096;
/// Open files of the child.
const OPEN_FILES_MAX: u64 = 256;
/// How long a child whose output ended may take to be gone: so many looks of so many milliseconds.
const GONE_LOOKS: u32 = 200;
const GONE_LOOK_MS: u64 = 10;

/// What the parent asks for.
#[derive(Serialize, Deserialize)]
struct Request {
    task: Task,
    spec: Spec,
    limits: Limits,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Task {
    /// The rows of the location.
    Rows,
    /// The rows of a stream of this name.
    Stream(String),
    /// The location's schema.
    Schema,
    /// The schema of a stream of this name.
    StreamSchema(String),
}

/// What the child says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// This file is read now; if the child dies, it was this one.
    File(String),
    /// Rows, and how many bytes had been taken from the files when they were there.
    Reads(Vec<Read>, u64),
    Schema(Box<Schema>),
    Failed(Error),
    Done,
}

/// The child's side: limits itself, reads one request from `stdin`, answers on `stdout`.
///
/// To be called by the hidden subcommand before anything else touches the two. It must be a process of its own: the
/// limits cannot be taken back.
pub fn serve(stdin: impl io::Read, stdout: impl Write) -> io::Result<()> {
    let mut stdin = BufReader::new(stdin);
    let Some(Request { task, spec, limits }) = receive(&mut stdin, REQUEST_BYTES_MAX)? else {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no request came"));
    };
    restrict(&limits)?;
    let mut frames = Frames {
        stdout: BufWriter::new(stdout),
        batch: Vec::new(),
        size_bytes: 0,
        taken: Taken::default(),
        limits: &limits,
        broken: None,
    };
    let end = match task {
        Task::Rows => source::read_location(&spec, &limits, &mut frames),
        Task::Stream(name) => source::read_stream(&name, chunks(&mut stdin), &spec, &limits, &mut frames),
        Task::Schema => frames.tell(schema::look(&spec, &limits)),
        Task::StreamSchema(name) => frames.tell(schema::look_at_stream(&name, chunks(&mut stdin), &spec, &limits)),
    };
    let last = match end.and_then(|()| frames.flush()) {
        Ok(()) => Answer::Done,
        Err(Halt::Dropped) => return frames.broken.map_or(Ok(()), Err),
        Err(Halt::Failed(error)) => {
            let _ = frames.flush();
            Answer::Failed(error)
        }
    };
    // What could not be sent is in `broken`.
    let _ = frames.send(&last);
    frames.broken.map_or(Ok(()), Err)
}

/// Takes power from this process. Limits that are lower already stay.
fn restrict(limits: &Limits) -> io::Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let used = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    let memory = limits.child_memory_bytes_max;
    for (resource, value) in [
        (Resource::Core, 0),
        (Resource::Nofile, OPEN_FILES_MAX),
        (Resource::Fsize, limits.spooled_bytes_max.saturating_add(1 << 20)),
        (Resource::Cpu, limits.child_cpu_seconds_max),
        (Resource::Data, memory.saturating_add(used("VmData:"))),
        (Resource::As, memory.saturating_add(used("VmSize:"))),
    ] {
        let value = getrlimit(resource).maximum.map_or(value, |maximum| maximum.min(value));
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })?;
    }
    Ok(())
}

/// Sends rows in frames.
struct Frames<'a, W: Write> {
    stdout: BufWriter<W>,
    batch: Vec<Read>,
    size_bytes: usize,
    taken: Taken,
    limits: &'a Limits,
    /// Why nothing can be sent any more.
    broken: Option<io::Error>,
}

impl<W: Write> Frames<'_, W> {
    fn tell(&mut self, schema: Result<Schema, Error>) -> Flow {
        self.send(&Answer::Schema(Box::new(schema?)))
    }

    fn send(&mut self, answer: &Answer) -> Flow {
        let sent = send(&mut self.stdout, answer, self.limits.child_frame_bytes_max);
        // Each message goes out at once: rows do not wait for more rows, and the parent knows which file is parsed.
        sent.and_then(|()| self.stdout.flush()).map_err(|error| {
            self.broken = Some(error);
            Halt::Dropped
        })
    }

    fn flush(&mut self) -> Flow {
        self.size_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() { Ok(()) } else { self.send(&Answer::Reads(batch, self.taken.load(Ordering::Relaxed))) }
    }
}

impl<W: Write> Out for Frames<'_, W> {
    fn taken(&self) -> Taken {
        self.taken.clone()
    }

    fn begin(&mut self, file: &str) -> Flow {
        self.flush()?;
        self.send(&Answer::File(file.to_string()))
    }

    fn give(&mut self, read: Read) -> Flow {
        self.size_bytes += read.size_bytes();
        self.batch.push(read);
        if self.size_bytes >= self.limits.batch_bytes_max { self.flush() } else { Ok(()) }
    }
}

/// Reads a location in a child.
pub fn open(command: Command, spec: &Spec, limits: &Limits) -> Reads {
    let request = Request { task: Task::Rows, spec: spec.clone(), limits: limits.clone() };
    converse(command, request, None)
}

/// Reads a stream in a child: its bytes go there through a pipe.
pub fn open_reader(
    command: Command,
    name: &str,
    reader: impl io::Read + Send + 'static,
    spec: &Spec,
    limits: &Limits,
) -> Reads {
    let request = Request { task: Task::Stream(name.to_string()), spec: spec.clone(), limits: limits.clone() };
    converse(command, request, Some(Box::new(reader)))
}

/// Looks at a source in a child.
pub fn infer(command: Command, spec: &Spec, limits: &Limits) -> Result<Schema, Error> {
    look(command, Request { task: Task::Schema, spec: spec.clone(), limits: limits.clone() }, None)
}

/// Looks at a stream in a child.
pub fn infer_reader(
    command: Command,
    name: &str,
    reader: impl io::Read + Send + 'static,
    spec: &Spec,
    limits: &Limits,
) -> Result<Schema, Error> {
    let task = Task::StreamSchema(name.to_string());
    look(command, Request { task, spec: spec.clone(), limits: limits.clone() }, Some(Box::new(reader)))
}

fn look(mut command: Command, request: Request, reader: Option<Source>) -> Result<Schema, Error> {
    let running = Running::default();
    let mut schema = None;
    let end = running.talk(&mut command, &request, reader, &mut |answer| match answer {
        Answer::Schema(found) => {
            schema = Some(found);
            Ok(())
        }
        _ => Ok(()),
    });
    match (end, schema) {
        (Ok(()), Some(schema)) => Ok(*schema),
        (Err(Halt::Failed(error)), _) => Err(error),
        _ => Err(crash(&request, "it said nothing").into()),
    }
}

type Source = Box<dyn io::Read + Send>;

fn converse(mut command: Command, request: Request, reader: Option<Source>) -> Reads {
    let running = Running::default();
    let stopped = running.clone();
    let batch_bytes_max = request.limits.batch_bytes_max;
    let work = move |batches: &mut feed::Batches| {
        running.talk(&mut command, &request, reader, &mut |answer| match answer {
            Answer::Reads(reads, n_taken) => batches.give_all(reads, n_taken),
            _ => Ok(()),
        })
    };
    feed::start(batch_bytes_max, work, Some(Box::new(move || stopped.kill())))
}

/// The child, shared with whoever may have to end it.
#[derive(Clone, Default)]
struct Running {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    child: Option<Child>,
    is_stopped: bool,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the child; it has nothing to lose.
    fn kill(&self) {
        let mut state = self.lock();
        state.is_stopped = true;
        if let Some(child) = &mut state.child {
            // It may be gone already.
            let _ = child.kill();
        }
    }

    /// Starts the child, asks, hands its answers on, and sees it off.
    fn talk(
        &self,
        command: &mut Command,
        request: &Request,
        reader: Option<Source>,
        take: &mut dyn FnMut(Answer) -> Flow,
    ) -> Flow {
        let place = || Place::file(&request.name());
        let io_failure = |error: io::Error| Failure::from_io(place(), &error);
        let words = tempfile::tempfile().map_err(io_failure)?;
        let stderr = words.try_clone().map_err(io_failure)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let (stdin, stdout) = {
            let mut state = self.lock();
            if state.is_stopped {
                return Err(Halt::Dropped);
            }
            let mut child = command.spawn().map_err(|error| {
                let hint = "check that the program may start itself";
                Failure::new(Kind::Unreadable, place(), format!("the reading child did not start: {error}"), hint)
            })?;
            let pipes = (child.stdin.take(), child.stdout.take());
            state.child = Some(child);
            pipes
        };
        let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(crash(request, "it has no pipes").into());
        };
        // If the child is gone already, its end tells more than the broken pipe.
        let _ = send(&mut stdin, request, REQUEST_BYTES_MAX);
        let pump = reader.map(|reader| std::thread::spawn(move || pump(reader, stdin)));
        let end = listen(request, BufReader::new(stdout), take);
        let status = self.see_off();
        let pumped = pump.map_or(Ok(()), join).map_err(io_failure);
        match end {
            // A reader that broke explains a stream that ends too early.
            Ok(Heard { is_done: true, .. }) => Ok(pumped?),
            Ok(heard) => Err(death(request, &heard, status, words).into()),
            Err(Halt::Failed(error)) => Err(Halt::Failed(pumped.err().map_or(error, Error::from))),
            Err(Halt::Dropped) => Err(Halt::Dropped),
        }
    }

    /// Waits a little for the child to go by itself, then ends it.
    fn see_off(&self) -> Option<ExitStatus> {
        for _ in 0..GONE_LOOKS {
            match self.lock().child.as_mut().map(Child::try_wait) {
                Some(Ok(None)) => {}
                Some(Ok(status)) => return status,
                Some(Err(_)) | None => return None,
            }
            std::thread::sleep(Duration::from_millis(GONE_LOOK_MS));
        }
        self.kill();
        self.lock().child.as_mut().and_then(|child| child.wait().ok())
    }
}

impl Request {
    fn name(&self) -> String {
        match &self.task {
            Task::Stream(name) | Task::StreamSchema(name) => name.clone(),
            Task::Rows | Task::Schema => super::files::source_name(&self.spec),
        }
    }
}

/// What the child had said when its output ended.
#[derive(Default)]
struct Heard {
    is_done: bool,
    file: Option<String>,
}

fn listen(request: &Request, mut stdout: impl io::Read, take: &mut dyn FnMut(Answer) -> Flow) -> Flow<Heard> {
    let mut heard = Heard::default();
    loop {
        match receive(&mut stdout, request.limits.child_frame_bytes_max) {
            Ok(Some(Answer::File(file))) => heard.file = Some(file),
            Ok(Some(Answer::Failed(error))) => return Err(Halt::Failed(error)),
            Ok(Some(Answer::Done)) => return Ok(Heard { is_done: true, ..heard }),
            Ok(Some(answer)) => take(answer)?,
            Ok(None) => return Ok(heard),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(heard),
            Err(error) => return Err(crash(request, &format!("its answer makes no sense: {error}")).into()),
        }
    }
}

fn crash(request: &Request, problem: &str) -> Failure {
    let hint = "the file may be made to break a reader; if it is your own, please report this";
    Failure::new(Kind::Crashed, Place::file(&request.name()), format!("the reading child broke down: {problem}"), hint)
}

/// Signals by which a child dies of its limits (Linux, signal(7)).
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// Why the child died, from its status and its last words.
fn death(request: &Request, heard: &Heard, status: Option<ExitStatus>, mut words: std::fs::File) -> Failure {
    let mut last = Vec::new();
    let size = words.metadata().map_or(0, |metadata| metadata.len());
    let found = words.seek(SeekFrom::Start(size.saturating_sub(LAST_WORDS_BYTES)));
    // Without its last words the status has to do.
    let _ = found.and_then(|_| words.take(LAST_WORDS_BYTES).read_to_end(&mut last));
    let last = String::from_utf8_lossy(&last);
    let place = Place::file(heard.file.as_deref().unwrap_or(&request.name()));
    let limits = &request.limits;
    match status.and_then(|status| status.signal()) {
        Some(SIGABRT) if last.contains("memory allocation of") => {
            let asked = last.split("memory allocation of ").nth(1).and_then(|rest| rest.split(' ').next());
            let problem = format!(
                "it asks for {} bytes of memory at once; the child that reads it may have {} in all",
                asked.unwrap_or("too many"),
                limits.child_memory_bytes_max
            );
            Failure::over_limit(place, problem, "child_memory_bytes_max")
        }
        Some(SIGXCPU) => {
            let problem = format!("reading it took more than {} seconds of computing", limits.child_cpu_seconds_max);
            Failure::over_limit(place, problem, "child_cpu_seconds_max")
        }
        signal => {
            let how = match (signal, status) {
                (Some(SIGKILL), _) => "it was killed, perhaps because the machine ran out of memory".to_string(),
                (Some(signal), _) => format!("it died of signal {signal}"),
                (None, Some(status)) => format!("it ended with {status}"),
                (None, None) => "it went away".to_string(),
            };
            let last: String = last.trim().chars().rev().take(300).collect::<Vec<_>>().into_iter().rev().collect();
            Failure {
                place: Box::new(place),
                ..crash(request, &format!("{how}; its last words: `{}`", last.escape_debug()))
            }
        }
    }
}

fn join(pump: JoinHandle<io::Result<()>>) -> io::Result<()> {
    pump.join().unwrap_or_else(|_| Err(io::Error::other("the thread that passes the stream on broke down")))
}

/// Writes a frame.
fn send<T: Serialize>(writer: &mut impl Write, message: &T, bytes_max: u64) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() as u64 > bytes_max.min(u64::from(u32::MAX)) {
        return Err(io::Error::other(format!("a message of {} bytes, at most {bytes_max} may be sent", bytes.len())));
    }
    writer.write_all(&(bytes.len() as u32).to_le_bytes())?;
    writer.write_all(&bytes)
}

/// Reads a frame; nothing at the end. Memory grows with what arrives, not with what is claimed.
fn receive<T: DeserializeOwned>(reader: &mut impl io::Read, bytes_max: u64) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    if reader.read(&mut length[..1])? == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut length[1..])?;
    let length = u64::from(u32::from_le_bytes(length));
    if length > bytes_max {
        return Err(io::Error::other(format!("a message of {length} bytes, at most {bytes_max} are taken")));
    }
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(serde_json::from_slice(&bytes).map_err(io::Error::other)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_come_back_and_long_ones_are_refused() {
        let mut bytes = Vec::new();
        send(&mut bytes, &Answer::File("a".into()), 100).unwrap();
        assert!(matches!(receive(&mut bytes.as_slice(), 100), Ok(Some(Answer::File(name))) if name == "a"));
        assert!(receive::<Answer>(&mut bytes.as_slice(), 3).is_err());
        assert!(send(&mut Vec::new(), &Answer::File("a".repeat(200)), 100).is_err());
        let claim = [u32::MAX.to_le_bytes().as_slice(), b"{}"].concat();
        let error = receive::<Answer>(&mut claim.as_slice(), u64::from(u32::MAX)).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = receive::<Answer>(&mut bytes.as_slice(), 64);
        }
    }
}
