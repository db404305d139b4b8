//! Parquet: the remaining rows of each batch, written with the same schema.

use super::{Work, trouble};
use crate::{Result, failure::AtPlace};
use arrow_array::{Array, BooleanArray, RecordBatch, cast::AsArray};
use arrow_schema::DataType;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties},
};
use std::{fs::File, path::Path};

pub(super) fn rewrite(work: Work<'_>, partial: &Path) -> Result<u64> {
    let file = File::open(work.path).at(|| work.place())?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| trouble(work.place(), error))?;
    let schema = reader.schema().clone();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let Some(subject) = work.subject_name(&names) else { return empty(partial) };
    // Statistics would keep words of rows that are taken out later.
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let out = File::create(partial).at(|| work.place())?;
    let mut writer =
        ArrowWriter::try_new(out, schema, Some(properties)).map_err(|error| trouble(work.place(), error))?;
    let mut n_rows = 0;
    for batch in reader.build().map_err(|error| trouble(work.place(), error))? {
        let batch = batch.map_err(|error| trouble(work.place(), error))?;
        let stays = stays(&batch, &subject, work.person.external_id);
        n_rows += stays.false_count() as u64;
        let kept = arrow_select::filter::filter_record_batch(&batch, &stays);
        writer
            .write(&kept.map_err(|error| trouble(work.place(), error))?)
            .map_err(|error| trouble(work.place(), error))?;
    }
    writer.close().map_err(|error| trouble(work.place(), error))?;
    Ok(n_rows)
}

/// No column of persons: nothing to take out, and nothing to swap in.
fn empty(partial: &Path) -> Result<u64> {
    File::create(partial).at(|| crate::Place::file(&partial.to_string_lossy()))?;
    Ok(0)
}

/// Which rows are not the person's. Numbers are compared as they are written.
fn stays(batch: &RecordBatch, subject: &str, external_id: &str) -> BooleanArray {
    let column = batch.column_by_name(subject);
    let is_theirs =
        |row: usize| column.is_some_and(|column| value(column.as_ref(), row).as_deref() == Some(external_id));
    (0..batch.num_rows()).map(|row| Some(!is_theirs(row))).collect()
}

fn value(column: &dyn Array, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    let text = match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_string(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).to_string(),
        DataType::Utf8View => column.as_string_view().value(row).to_string(),
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let key = dictionary.normalized_keys()[row];
            return value(dictionary.values().as_ref(), key);
        }
        DataType::Int64 => column.as_primitive::<arrow_array::types::Int64Type>().value(row).to_string(),
        DataType::Int32 => column.as_primitive::<arrow_array::types::Int32Type>().value(row).to_string(),
        _ => return None,
    };
    Some(text.trim().to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use arrow_array::StringArray;
    use arrow_schema::{Field, Schema};
    use std::sync::Arc;

    /// A file of texts and their writers.
    pub(crate) fn write(path: &Path, rows: &[(&str, &str)]) {
        let schema = Arc::new(Schema::new(vec![
            Field::new("text", DataType::Utf8, false),
            Field::new("customer", DataType::Utf8, true),
        ]));
        let texts = StringArray::from_iter_values(rows.iter().map(|row| row.0));
        let people = StringArray::from_iter_values(rows.iter().map(|row| row.1));
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(texts), Arc::new(people)]).unwrap();
        let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), schema, None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
}
