//! Rows of an Arrow batch as JSON values.
//!
//! Text, numbers, booleans, lists, structs and dictionaries become what they are; times become RFC 3339, dates
//! `2026-01-31`, decimals their digits. Bytes become text if they are UTF-8 (old Parquet writers do not mark text) and
//! nothing otherwise. A type that is not in the list is nothing, too; `data` sets of text do not use them.

use super::sink::{Column, Fields};
use arrow_array::{
    Array, ArrayRef, RecordBatch,
    cast::AsArray,
    types::{
        Date32Type, Date64Type, Decimal128Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
        UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use arrow_schema::{DataType, Schema, TimeUnit};
use serde_json::Value;

/// Levels of lists and structs that are followed.
const DEPTH_MAX: usize = 32;

/// The schema's columns with words for their types.
pub(super) fn columns(schema: &Schema) -> Vec<Column> {
    let column = |field: &arrow_schema::Field| Column { name: field.name().clone(), kind: kind(field.data_type(), 0) };
    schema.fields().iter().map(|field| column(field)).collect()
}

/// One row of a batch. Columns without a value are left out.
pub(super) fn fields(batch: &RecordBatch, row: usize) -> Fields {
    let schema = batch.schema_ref();
    let mut fields = Fields::new();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let value = cell(column, row, 0);
        if !value.is_null() {
            fields.insert(field.name().clone(), value);
        }
    }
    fields
}

/// A word for a type.
fn kind(data_type: &DataType, depth: usize) -> String {
    use DataType as T;
    if depth > DEPTH_MAX {
        return "…".into();
    }
    match data_type {
        T::Utf8 | T::LargeUtf8 | T::Utf8View => "text".into(),
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => "bytes".into(),
        T::Boolean => "boolean".into(),
        T::Float16 | T::Float32 | T::Float64 | T::Decimal128(..) | T::Decimal256(..) => "number".into(),
        T::Timestamp(..) | T::Date32 | T::Date64 => "time".into(),
        T::Dictionary(_, values) => kind(values, depth + 1),
        T::List(item) | T::LargeList(item) | T::FixedSizeList(item, _) => {
            format!("list of {}", kind(item.data_type(), depth + 1))
        }
        T::Struct(fields) => {
            let names: Vec<&str> = fields.iter().take(6).map(|field| field.name().as_str()).collect();
            format!("object of {}", names.join(", "))
        }
        T::Map(..) => "object".into(),
        _ if data_type.is_integer() => "integer".into(),
        other => format!("{other}").chars().take(40).collect::<String>().to_lowercase(),
    }
}

macro_rules! number {
    ($array:expr, $row:expr, $kind:ty) => {
        Value::from($array.as_primitive::<$kind>().value($row))
    };
}

fn cell(array: &ArrayRef, row: usize, depth: usize) -> Value {
    use DataType as T;
    if depth > DEPTH_MAX || array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        T::Utf8 => Value::from(array.as_string::<i32>().value(row)),
        T::LargeUtf8 => Value::from(array.as_string::<i64>().value(row)),
        T::Utf8View => Value::from(array.as_string_view().value(row)),
        T::Boolean => Value::from(array.as_boolean().value(row)),
        T::Int8 => number!(array, row, Int8Type),
        T::Int16 => number!(array, row, Int16Type),
        T::Int32 => number!(array, row, Int32Type),
        T::Int64 => number!(array, row, Int64Type),
        T::UInt8 => number!(array, row, UInt8Type),
        T::UInt16 => number!(array, row, UInt16Type),
        T::UInt32 => number!(array, row, UInt32Type),
        T::UInt64 => number!(array, row, UInt64Type),
        T::Float16 => Value::from(f32::from(array.as_primitive::<Float16Type>().value(row))),
        T::Float32 => number!(array, row, Float32Type),
        T::Float64 => number!(array, row, Float64Type),
        T::Decimal128(..) => Value::from(array.as_primitive::<Decimal128Type>().value_as_string(row)),
        T::Binary => bytes(array.as_binary::<i32>().value(row)),
        T::LargeBinary => bytes(array.as_binary::<i64>().value(row)),
        T::BinaryView => bytes(array.as_binary_view().value(row)),
        T::FixedSizeBinary(_) => bytes(array.as_fixed_size_binary().value(row)),
        T::Date32 => date(i64::from(array.as_primitive::<Date32Type>().value(row)) * 86_400_000),
        T::Date64 => date(array.as_primitive::<Date64Type>().value(row)),
        T::Timestamp(unit, _) => time(array, *unit, row),
        T::Dictionary(..) => dictionary(array, row, depth),
        T::List(_) => list(&array.as_list::<i32>().value(row), depth),
        T::LargeList(_) => list(&array.as_list::<i64>().value(row), depth),
        T::FixedSizeList(..) => list(&array.as_fixed_size_list().value(row), depth),
        T::Struct(_) => object(array, row, depth),
        T::Map(..) => map(array, row, depth),
        _ => Value::Null,
    }
}

fn bytes(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or(Value::Null, Value::from)
}

fn dictionary(array: &ArrayRef, row: usize, depth: usize) -> Value {
    let Some(dictionary) = array.as_any_dictionary_opt() else { return Value::Null };
    // `normalized_keys` would copy every key for each row.
    let keys = dictionary.keys();
    match cell(&keys.slice(row, 1), 0, depth + 1).as_u64() {
        Some(key) if (key as usize) < dictionary.values().len() => cell(dictionary.values(), key as usize, depth + 1),
        _ => Value::Null,
    }
}

fn list(items: &ArrayRef, depth: usize) -> Value {
    Value::Array((0..items.len()).map(|index| cell(items, index, depth + 1)).collect())
}

fn object(array: &ArrayRef, row: usize, depth: usize) -> Value {
    let object = array.as_struct();
    let named = object.fields().iter().zip(object.columns());
    Value::Object(named.map(|(field, column)| (field.name().clone(), cell(column, row, depth + 1))).collect())
}

fn map(array: &ArrayRef, row: usize, depth: usize) -> Value {
    let entries = array.as_map().value(row);
    let name = |index| match cell(entries.column(0), index, depth + 1) {
        Value::String(name) => name,
        other => other.to_string(),
    };
    Value::Object((0..entries.len()).map(|i| (name(i), cell(entries.column(1), i, depth + 1))).collect())
}

fn date(milliseconds: i64) -> Value {
    let time = jiff::Timestamp::from_millisecond(milliseconds).ok();
    time.map_or(Value::Null, |time| Value::from(jiff::tz::TimeZone::UTC.to_datetime(time).date().to_string()))
}

fn time(array: &ArrayRef, unit: TimeUnit, row: usize) -> Value {
    let time = match unit {
        TimeUnit::Second => jiff::Timestamp::from_second(array.as_primitive::<TimestampSecondType>().value(row)),
        TimeUnit::Millisecond => {
            jiff::Timestamp::from_millisecond(array.as_primitive::<TimestampMillisecondType>().value(row))
        }
        TimeUnit::Microsecond => {
            jiff::Timestamp::from_microsecond(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        TimeUnit::Nanosecond => {
            jiff::Timestamp::from_nanosecond(i128::from(array.as_primitive::<TimestampNanosecondType>().value(row)))
        }
    };
    time.map_or(Value::Null, |time| Value::from(time.to_string()))
}
