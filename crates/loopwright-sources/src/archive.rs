//! Tar archives: each file of a known format, as if it lay in a folder.
//!
//! Nothing is written to disk, so names cannot lead out of a folder; links are not followed. Files whose names claim no
//! format that we read are passed over, as in a folder, unless the settings name the format. An archive inside an
//! archive is refused.

use super::{
    failure::{AtPlace, Failure, Flow, Halt, Place},
    file, files,
    format::Format,
    sink::{FileSink, Job},
    unpack::Bytes,
};
use crate::{Error, error::Kind};
use std::io::Read;
use tar::{Archive, Entry, EntryType};

/// Reads an archive.
pub(super) fn read(job: Job<'_>, stream: Bytes<'_>, sink: &mut dyn FileSink) -> Flow {
    if job.depth > 0 {
        let hint = "unpack the outer archive first";
        return Err(Failure::new(Kind::Limit, Place::file(job.name), "it is an archive inside an archive", hint).into());
    }
    let mut archive = Archive::new(stream);
    let mut n_entries = 0;
    for entry in archive.entries().at(|| Place::file(job.name))? {
        n_entries += 1;
        let place = || Place::file(job.name).at_record(n_entries);
        if n_entries > job.limits.archive_entries_max {
            let problem = format!("it has more than {} entries", job.limits.archive_entries_max);
            return Err(Failure::over_limit(place(), problem, "archive_entries_max").into());
        }
        let entry = entry.map_err(|error| damaged(place(), &error))?;
        read_entry(job, entry, sink)?;
    }
    Ok(())
}

fn read_entry(job: Job<'_>, entry: Entry<'_, Bytes<'_>>, sink: &mut dyn FileSink) -> Flow {
    let path = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_string();
    let name = format!("{}/{path}", job.name);
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous if is_wanted(job, &path) => {}
        // A sparse file claims any size in a few bytes.
        EntryType::GNUSparse if is_wanted(job, &path) => {
            let hint = "write the archive without sparse files";
            return Err(Failure::new(Kind::WrongFormat, Place::file(&name), "it is a sparse file", hint).into());
        }
        _ => return Ok(()),
    }
    let job = Job { name: &name, depth: job.depth + 1, ..job };
    let stream = Whole { left: entry.size(), entry, name: &name };
    match file::read_file(job, Box::new(stream), None, sink) {
        // One odd file among many is a rejected row.
        Err(Halt::Failed(Error::Source(failure))) if failure.kind == Kind::WrongFormat => {
            let rows = sink.begin_file(&name, Format::Tar, None)?;
            rows.reject(1, format!("{} ({})", failure.problem, failure.hint), b"")
        }
        other => other,
    }
}

fn is_wanted(job: Job<'_>, path: &str) -> bool {
    files::is_data_name(path, job.spec.format.is_some()) && files::is_chosen(path, job.spec)
}

fn damaged(place: Place, error: &std::io::Error) -> Failure {
    let failure = Failure::from_io(place.clone(), error);
    match failure.kind {
        Kind::Unreadable => {
            Failure::damaged(place, format!("the archive is damaged: {error}"), "get it again, or pack it anew")
        }
        _ => failure,
    }
}

/// An entry that must be as long as its header says.
struct Whole<'a, R: Read> {
    left: u64,
    entry: R,
    name: &'a str,
}

impl<R: Read> Read for Whole<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.entry.read(buffer)?;
        self.left -= (n as u64).min(self.left);
        if n == 0 && self.left > 0 && !buffer.is_empty() {
            let problem = format!("the archive ends too early: {} bytes of this file are missing", self.left);
            return Err(
                Failure::damaged(Place::file(self.name), problem, "the archive was cut off: get it again").into_io()
            );
        }
        Ok(n)
    }
}
