//! One file: its packing off, its format found, its reader called.

use super::{
    archive, arrow, document, encoding,
    failure::{AtPlace, Failure, Flow, Place},
    format::{self, Format},
    json, parquet,
    sink::{FileSink, Job, RowSink},
    table,
    unpack::{self, Bytes, Counted},
    yaml,
};
use std::{
    fs::File,
    io::{Cursor, Read, Seek, Write},
    sync::atomic::Ordering,
};

/// First bytes by which a format is told.
pub(super) const HEAD_BYTES: u64 = 64 * 1024;

/// Packings around one file that are taken off.
const PACKINGS_MAX: usize = 2;

/// Reads a file from a stream; `origin` is the file itself, where it lies on a disk.
pub(super) fn read_file(job: Job<'_>, stream: Bytes<'_>, origin: Option<File>, sink: &mut dyn FileSink) -> Flow {
    let taken = sink.taken();
    // What an archive holds is counted with the archive.
    let stream: Bytes<'_> = if job.depth == 0 { Box::new(Counted { inner: stream, n: taken.clone() }) } else { stream };
    let (mut head, mut stream) = peek(job, stream)?;
    let (mut n_packings, mut outermost) = (0, None);
    while let Some(packing) = format::packing(&head) {
        n_packings += 1;
        outermost = outermost.or(Some(packing));
        if n_packings > PACKINGS_MAX {
            let problem = format!("it is packed more than {PACKINGS_MAX} times");
            let hint = "unpack it first";
            return Err(Failure::new(crate::error::Kind::Limit, Place::file(job.name), problem, hint).into());
        }
        let unpacked = unpack::unpack(job.name, packing, stream, job.limits)?;
        (head, stream) = peek(job, unpacked)?;
    }
    let format = format::detect(job.name, &head, job.spec.format)?;
    if format == Format::Tar {
        return archive::read(job, stream, sink);
    }
    let rows = sink.begin_file(job.name, format, outermost)?;
    match format {
        Format::Parquet => match origin.filter(|_| n_packings == 0) {
            Some(file) => {
                let size = file.metadata().map_or(0, |metadata| metadata.len());
                parquet::read(job, file, rows)?;
                taken.fetch_add(size.saturating_sub(HEAD_BYTES.min(size)), Ordering::Relaxed);
                Ok(())
            }
            None => parquet::read(job, spool(job, stream)?, rows),
        },
        Format::Arrow => arrow::read(job, &head, stream, rows),
        text => read_format(job, text, &head, stream, rows),
    }
}

/// Formats of text.
fn read_format(job: Job<'_>, format: Format, head: &[u8], stream: Bytes<'_>, rows: &mut dyn RowSink) -> Flow {
    let first_offset = if head.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    let job = Job { first_offset, ..job };
    let stream = encoding::to_utf8(head, stream);
    match format {
        Format::JsonLines => json::read_lines(job, stream, rows),
        Format::Json => json::read_values(job, stream, rows),
        Format::Csv => table::read(job, stream, rows),
        Format::Markdown => document::read_markdown(job, stream, rows),
        Format::Html => document::read_page(job, stream, rows),
        Format::Yaml => yaml::read(job, stream, rows),
        Format::Text | Format::Parquet | Format::Arrow | Format::Tar => document::read_text(job, stream, rows),
    }
}

/// The first bytes, and the stream with them still in front.
fn peek<'a>(job: Job<'_>, mut stream: Bytes<'a>) -> Result<(Vec<u8>, Bytes<'a>), Failure> {
    let mut head = Vec::new();
    (&mut stream).take(HEAD_BYTES).read_to_end(&mut head).at(|| Place::file(job.name))?;
    Ok((head.clone(), Box::new(Cursor::new(head).chain(stream))))
}

/// A temporary file without a name: nothing is left of it, whatever happens.
fn spool(job: Job<'_>, stream: Bytes<'_>) -> Result<File, Failure> {
    let place = || Place::file(job.name);
    let mut file = tempfile::tempfile().at(place)?;
    let bytes_max = job.limits.spooled_bytes_max;
    let n = std::io::copy(&mut stream.take(bytes_max + 1), &mut file).at(place)?;
    if n > bytes_max {
        return Err(Failure::over_limit(place(), format!("it has more than {bytes_max} bytes"), "spooled_bytes_max"));
    }
    file.flush().at(place)?;
    file.rewind().at(place)?;
    Ok(file)
}
