//! Apache Parquet, row group by row group, only the columns that are used.
//!
//! The footer says what a file holds, and may lie. What can be checked is checked first: the footer's own size, and the
//! sizes it claims for each row group against the limits. A page header deeper in the file can still claim gigabytes
//! in ten bytes, and the decoder will ask for them: such files are for the child with its cap on memory
//! (see [`child`](super::child)). The schema that Arrow writers hide in the metadata is not believed; the columns' own
//! types are.

use super::{
    cells,
    failure::{AtPlace, Failure, Flow, Halt, Place},
    sink::{Job, RowSink},
};
use crate::{Error, error::Kind};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
        },
    },
    file::metadata::RowGroupMetaData,
};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    panic::{AssertUnwindSafe, catch_unwind},
};

const MAGIC: &[u8; 4] = b"PAR1";
/// Magic, footer length, magic.
const BYTES_MIN: u64 = 12;
const ROWS_PER_BATCH_MAX: u64 = 8192;

/// Reads a Parquet file.
pub(super) fn read(job: Job<'_>, file: File, sink: &mut dyn RowSink) -> Flow {
    check_ends(job, &file)?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let place = Place::file(job.name);
    let metadata = guarded(&place, || ArrowReaderMetadata::load(&file, options))?;
    let columns = cells::columns(metadata.schema());
    if columns.len() > job.limits.columns_max {
        let problem = format!("it has {} columns, more than {}", columns.len(), job.limits.columns_max);
        return Err(Failure::over_limit(place, problem, "columns_max").into());
    }
    let wanted = sink.columns(&columns)?;
    let mask = wanted.map_or(ProjectionMask::all(), |wanted| mask(&metadata, &wanted));
    let mut n_rows = 0;
    for (index, group) in metadata.metadata().row_groups().iter().enumerate() {
        let place = Place::file(job.name).in_group(index as u64);
        check_group(job, &place, group)?;
        let file = file.try_clone().at(|| place.clone())?;
        let rows = guarded(&place, || {
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone())
                .with_row_groups(vec![index])
                .with_projection(mask.clone())
                .with_batch_size(rows_per_batch(group, job.limits.batch_bytes_max))
                .build()
        })?;
        n_rows = read_group(&place, rows, n_rows, sink)?;
    }
    Ok(())
}

/// Only the top columns of these names.
fn mask(metadata: &ArrowReaderMetadata, wanted: &[String]) -> ProjectionMask {
    let schema = metadata.parquet_schema();
    let roots = schema.root_schema().get_fields().iter().enumerate();
    let roots = roots.filter(|(_, field)| wanted.iter().any(|name| name == field.name()));
    ProjectionMask::roots(schema, roots.map(|(index, _)| index))
}

fn read_group(place: &Place, rows: ParquetRecordBatchReader, n_before: u64, sink: &mut dyn RowSink) -> Flow<u64> {
    let mut rows = rows;
    let mut n_rows = n_before;
    loop {
        let place = place.clone().at_record(n_rows + 1);
        let Some(batch) = guarded(&place, || rows.next().transpose())? else { return Ok(n_rows) };
        for row in 0..batch.num_rows() {
            n_rows += 1;
            let fields = guarded(&place, || Ok::<_, std::fmt::Error>(cells::fields(&batch, row)))?;
            sink.row(n_rows, fields)?;
        }
    }
}

/// So many rows that a batch is about as large as batches may be, by the sizes that the footer claims.
fn rows_per_batch(group: &RowGroupMetaData, batch_bytes_max: usize) -> usize {
    let n_rows = group.num_rows().max(1) as u64;
    let row_bytes = (group.total_byte_size().max(0) as u64 / n_rows).max(1);
    (batch_bytes_max as u64 / row_bytes).clamp(1, ROWS_PER_BATCH_MAX) as usize
}

/// The magic at both ends and the footer's length.
fn check_ends(job: Job<'_>, file: &File) -> Result<(), Failure> {
    let place = || Place::file(job.name);
    let mut file = file;
    let size = file.metadata().at(place)?.len();
    let cut_off = |offset, problem: String| {
        Failure::damaged(
            place().at_offset(offset),
            problem,
            "the file was cut off or is still being written: get it again",
        )
    };
    if size < BYTES_MIN {
        return Err(cut_off(0, format!("{size} bytes are too few for a Parquet file")));
    }
    let mut tail = [0; 8];
    file.seek(SeekFrom::Start(size - 8)).at(place)?;
    file.read_exact(&mut tail).at(place)?;
    if &tail[4..] == b"PARE" {
        let hint = "decrypt it first; we hold no keys of Parquet files";
        return Err(Failure::new(Kind::WrongFormat, place(), "its footer is encrypted", hint));
    }
    if &tail[4..] != MAGIC {
        return Err(cut_off(size - 4, "it does not end with `PAR1`, the mark of a whole Parquet file".into()));
    }
    let footer = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    if footer > size - BYTES_MIN {
        return Err(cut_off(size - 8, format!("its footer claims {footer} bytes, the file has {size}")));
    }
    if footer > job.limits.footer_bytes_max {
        return Err(Failure::over_limit(place(), format!("its footer has {footer} bytes"), "footer_bytes_max"));
    }
    Ok(())
}

/// What the footer claims of a row group against the limits of packed data.
fn check_group(job: Job<'_>, place: &Place, group: &RowGroupMetaData) -> Result<(), Failure> {
    let bytes = group.total_byte_size().max(0) as u64;
    let packed = (group.compressed_size().max(1)) as u64;
    if bytes > job.limits.unpacked_bytes_max {
        let problem = format!("the row group claims to unpack to {bytes} bytes");
        return Err(Failure::over_limit(place.clone(), problem, "unpacked_bytes_max"));
    }
    if bytes >= super::unpack::RATIO_FROM_BYTES && bytes / packed > job.limits.unpack_ratio_max {
        let problem = format!("the row group claims that {packed} packed bytes unpack to {bytes}");
        return Err(Failure::over_limit(place.clone(), problem, "unpack_ratio_max"));
    }
    Ok(())
}

/// Runs a step of the decoder: its errors get their place, and so does a panic, which damaged files can bring it to.
pub(super) fn guarded<T, E: std::fmt::Display>(place: &Place, step: impl FnOnce() -> Result<T, E>) -> Result<T, Halt> {
    let hint = "get the file again, or write it with another tool";
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure::damaged(place.clone(), format!("the data is damaged: {error}"), hint).into()),
        Err(_) => {
            let problem = "the data is damaged in a way that the decoder gave up on";
            Err(Halt::Failed(Error::from(Failure::damaged(place.clone(), problem, hint))))
        }
    }
}
