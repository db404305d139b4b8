//! Reading any source as a stream of rows.
//!
//! [`open`] takes a file, a folder or a pattern, [`open_reader`] anything that can be read from, so that remote sources
//! need no more than a reader and a name. Both find the packing, the format and the shape by themselves, and hold a few
//! batches of rows in memory, whatever the size of the source.
//!
//! ```
//! use loopwright_sources::{OpenSettings, Read, Spec, open_reader};
//!
//! let file = b"{\"messages\": [{\"role\": \"user\", \"content\": \"Where is it?\"}]}\nbroken\n";
//! let reads = open_reader("chats.jsonl", &file[..], &Spec::default(), &OpenSettings::default());
//! let reads: Vec<Read> = reads.collect::<Result<_, _>>()?;
//! let Read::Row(row) = &reads[0] else { panic!() };
//! assert_eq!((row.row_id.as_str(), row.text.as_str()), ("chats.jsonl-1", "user: Where is it?"));
//! let Read::Rejected(rejected) = &reads[1] else { panic!() };
//! assert_eq!((rejected.line, rejected.excerpt.as_str()), (2, "broken"));
//! # Ok::<(), loopwright_sources::Error>(())
//! ```

pub use super::feed::Reads;
use super::{
    child,
    failure::{AtPlace, Failure, Flow, Place},
    feed, file, files, format, hub,
    shaping::{Facts, Out, Shaping},
    sink::{FileSink, Job},
    spec::{OpenSettings, Spec},
    unpack::Bytes,
};
use crate::Error;
use std::{fs::File, io};

/// Opens a source. What is wrong with it as a whole is the first, and then the only, item.
///
/// If [`OpenSettings::child`] is set and any of the files is of a binary format, packed or an archive, the whole source
/// is read in the child.
pub fn open(spec: &Spec, settings: &OpenSettings) -> Reads {
    if let Some(command) = &settings.child {
        match needs_child(spec, settings) {
            Ok(true) => return child::open(command.command(), spec, &settings.limits),
            Ok(false) => {}
            Err(error) => return Reads::failed(error),
        }
    }
    let (spec, limits) = (spec.clone(), settings.limits.clone());
    feed::start(limits.batch_bytes_max, move |batches| read_location(&spec, &limits, batches), None)
}

/// Opens a stream under a name; its ending tells the format where the first bytes do not.
///
/// The reader should give up by itself when the other side is silent: dropping [`Reads`] waits for it.
pub fn open_reader(name: &str, reader: impl io::Read + Send + 'static, spec: &Spec, settings: &OpenSettings) -> Reads {
    if let Some(command) = &settings.child {
        return child::open_reader(command.command(), name, reader, spec, &settings.limits);
    }
    let (name, spec, limits) = (name.to_string(), spec.clone(), settings.limits.clone());
    let read = move |batches: &mut feed::Batches| read_stream(&name, Box::new(reader), &spec, &limits, batches);
    feed::start(settings.limits.batch_bytes_max, read, None)
}

/// Whether any file of a source is of a sort that only the child should parse.
fn needs_child(spec: &Spec, settings: &OpenSettings) -> Result<bool, Error> {
    for found in files::list(spec, &settings.limits)? {
        let mut head = Vec::new();
        let file = File::open(&found.path).at(|| Place::file(&found.name))?;
        io::Read::read_to_end(&mut io::Read::take(file, format::MAGIC_BYTES), &mut head)
            .at(|| Place::file(&found.name))?;
        if format::needs_child(&found.name, &head) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads the files of a location, in this thread.
pub(super) fn read_location(spec: &Spec, limits: &super::Limits, out: &mut dyn Out) -> Flow {
    let mut shaping = Shaping::new(spec, limits, out);
    for found in files::list(spec, limits)? {
        shaping.know(Facts { split: found.split.clone(), licence: found.licence.clone() });
        read_found(&found, spec, limits, &mut shaping)?;
        shaping.end_file()?;
    }
    Ok(())
}

/// Reads a stream, in this thread.
pub(super) fn read_stream(
    name: &str,
    stream: Bytes<'_>,
    spec: &Spec,
    limits: &super::Limits,
    out: &mut dyn Out,
) -> Flow {
    let mut shaping = Shaping::new(spec, limits, out);
    shaping.know(Facts { split: hub::split_of(file_name(name)), licence: spec.licence.clone() });
    let job = Job { name, spec, limits, depth: 0, first_offset: 0 };
    file::read_file(job, stream, None, &mut shaping)?;
    shaping.end_file()
}

/// An address's last part: the rest names places, not parts of a dataset.
pub(super) fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Reads one file of a listing.
pub(super) fn read_found(found: &files::Found, spec: &Spec, limits: &super::Limits, sink: &mut dyn FileSink) -> Flow {
    let open = || -> Result<(File, File), Failure> {
        let file = File::open(&found.path).at(|| Place::file(&found.name))?;
        let origin = file.try_clone().at(|| Place::file(&found.name))?;
        Ok((file, origin))
    };
    let (file, origin) = open()?;
    let job = Job { name: &found.name, spec, limits, depth: 0, first_offset: 0 };
    file::read_file(job, Box::new(file), Some(origin), sink)
}
