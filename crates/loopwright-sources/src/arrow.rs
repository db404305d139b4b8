//! Apache Arrow IPC: streams, and files.
//!
//! A file is a stream between two marks, followed by a footer that lists the batches (Arrow columnar format, "IPC File
//! Format"). We read both as streams, so a file needs no seeking and may come packed; that a file is whole is seen at
//! its closing mark.

use super::{
    cells,
    failure::{AtPlace, Failure, Flow, Place},
    parquet::guarded,
    sink::{Job, RowSink},
    unpack::Bytes,
};
use arrow_ipc::reader::StreamReader;
use std::io::{self, BufRead, BufReader, Read};

const MARK: &[u8; 6] = b"ARROW1";

/// Reads an Arrow file or stream; `head` are its first bytes.
pub(super) fn read(job: Job<'_>, head: &[u8], stream: Bytes<'_>, sink: &mut dyn RowSink) -> Flow {
    let mut stream = BufReader::new(stream);
    let is_file = head.starts_with(MARK);
    let place = Place::file(job.name);
    if is_file {
        skip_mark(&mut stream).at(|| place.clone())?;
    }
    let mut reader = guarded(&place, || StreamReader::try_new(stream, None))?;
    let columns = cells::columns(&reader.schema());
    if columns.len() > job.limits.columns_max {
        let problem = format!("it has {} columns, more than {}", columns.len(), job.limits.columns_max);
        return Err(Failure::over_limit(place, problem, "columns_max").into());
    }
    // A stream's batches are read whole; columns that are not wanted cost their unpacking only.
    sink.columns(&columns)?;
    let (mut n_rows, mut n_batches) = (0, 0);
    loop {
        let place = Place::file(job.name).in_group(n_batches).at_record(n_rows + 1);
        let Some(batch) = guarded(&place, || reader.next().transpose())? else { break };
        for row in 0..batch.num_rows() {
            n_rows += 1;
            let fields = guarded(&place, || Ok::<_, std::fmt::Error>(cells::fields(&batch, row)))?;
            sink.row(n_rows, fields)?;
        }
        n_batches += 1;
    }
    if is_file { check_end(job, reader.get_mut(), n_rows) } else { Ok(()) }
}

/// Steps over the mark and the zeros behind it, which writers use to align what follows.
fn skip_mark(stream: &mut impl BufRead) -> io::Result<()> {
    stream.read_exact(&mut [0; MARK.len()])?;
    while stream.fill_buf()?.first() == Some(&0) {
        stream.consume(1);
    }
    Ok(())
}

/// A file ends with its mark; what stands before it is the footer, which we do not need.
fn check_end(job: Job<'_>, rest: &mut impl Read, n_rows: u64) -> Flow {
    let mut footer = Vec::new();
    rest.take(job.limits.footer_bytes_max).read_to_end(&mut footer).at(|| Place::file(job.name))?;
    if footer.ends_with(MARK) {
        return Ok(());
    }
    let place = Place::file(job.name).at_record(n_rows + 1);
    let problem = "it does not end with `ARROW1`, the mark of a whole Arrow file";
    Err(Failure::damaged(place, problem, "the file was cut off or is still being written: get it again").into())
}
