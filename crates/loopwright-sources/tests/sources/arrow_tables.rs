//! Parquet and Arrow files with the types that sets of text use.

use super::{All, at, folder, gzip, read};
use arrow_array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray, types::Int32Type,
};
use arrow_array::{DictionaryArray, ListArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field};
use loopwright_sources::{OpenSettings, Shape, error::Kind, schema};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use std::sync::Arc;

fn flat() -> RecordBatch {
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("one"), None, Some("three é")]));
    let label: DictionaryArray<Int32Type> = vec!["a", "b", "a"].into_iter().collect();
    let at = TimestampMicrosecondArray::from(vec![1_700_000_000_000_000, 0, 1]).with_timezone("UTC");
    let n: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    RecordBatch::try_from_iter([
        ("text", text),
        ("label", Arc::new(label) as ArrayRef),
        ("created_at", Arc::new(at) as ArrayRef),
        ("n", n),
    ])
    .unwrap()
}

/// A list of structs: what chats look like in Parquet.
fn chat() -> RecordBatch {
    let strings = |values: &[&str]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let turns = StructArray::from(vec![
        (Arc::new(Field::new("role", DataType::Utf8, true)), strings(&["user", "assistant", "user"])),
        (Arc::new(Field::new("content", DataType::Utf8, true)), strings(&["q", "a", "p"])),
    ]);
    let item = Arc::new(Field::new("item", turns.fields().clone().into_dtype(), true));
    let lists = ListArray::new(item, OffsetBuffer::new(vec![0, 2, 3].into()), Arc::new(turns), None);
    RecordBatch::try_from_iter([("messages", Arc::new(lists) as ArrayRef)]).unwrap()
}

trait IntoDtype {
    fn into_dtype(self) -> DataType;
}

impl IntoDtype for arrow_schema::Fields {
    fn into_dtype(self) -> DataType {
        DataType::Struct(self)
    }
}

pub fn parquet(batch: &RecordBatch, compression: Compression, rows_per_group: usize) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(rows_per_group))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

pub fn arrow_file(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = arrow_ipc::writer::FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn arrow_stream(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn tables_give_the_same_rows_in_every_format() {
    let batch = flat();
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let files = [
        ("a.parquet", parquet(&batch, Compression::SNAPPY, 100)),
        ("b.parquet", parquet(&batch, zstd, 1)),
        ("c.parquet", parquet(&batch, Compression::GZIP(Default::default()), 2)),
        ("d.parquet", parquet(&batch, Compression::LZ4_RAW, 2)),
        ("e.parquet.gz", gzip(&parquet(&batch, Compression::UNCOMPRESSED, 100))),
        ("f.arrow", arrow_file(&batch)),
        ("g.arrows", arrow_stream(&batch)),
        ("h.arrow.gz", gzip(&arrow_file(&batch))),
    ];
    let named: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let folder = folder(&named);
    for (name, _) in named {
        let all = read(&at(&folder.path().join(name)));
        assert_eq!(all.texts(), ["one", "three é"], "{name}");
        assert_eq!((all.rejected[0].line, all.rejected[0].reason.as_str()), (2, "it has no `text`"), "{name}");
        assert_eq!(all.rows[1].row_id, format!("{name}-3"));
        assert_eq!(all.rows[0].label.as_deref(), Some("a"));
        assert_eq!(all.rows[0].at.map(|at| at.to_string()).as_deref(), Some("2023-11-14T22:13:20.000Z"), "{name}");
    }
}

#[test]
fn chats_in_parquet_are_turns() {
    let folder =
        folder(&[("a.parquet", &parquet(&chat(), Compression::SNAPPY, 100)), ("b.arrow", &arrow_file(&chat()))]);
    let all = read(&at(folder.path()));
    assert_eq!(all.texts(), ["user: q\n\nassistant: a", "user: p", "user: q\n\nassistant: a", "user: p"]);
    assert_eq!(all.n_turns(), 6);
    let page = schema::infer(&at(folder.path()), &OpenSettings::default()).unwrap();
    assert_eq!((page.shape, page.columns[0].kind.as_str()), (Some(Shape::Chat), "list of object of role, content"));
}

#[test]
fn declared_types_and_columns_stand_in_the_schema() {
    let folder = folder(&[("a.parquet", &parquet(&flat(), Compression::SNAPPY, 100))]);
    let page = schema::infer(&at(&folder.path().join("a.parquet")), &OpenSettings::default()).unwrap();
    let columns: Vec<(&str, &str)> = page.columns.iter().map(|c| (c.name.as_str(), c.kind.as_str())).collect();
    assert_eq!(columns, [("text", "text"), ("label", "text"), ("created_at", "time"), ("n", "integer")]);
    assert!((page.columns[0].null_share - 1.0 / 3.0).abs() < 1e-9);
    assert_eq!(page.mapping["at"], "created_at");
}

#[test]
fn cut_off_tables_say_so() {
    let (parquet, arrow) = (parquet(&flat(), Compression::SNAPPY, 1), arrow_file(&flat()));
    for (name, bytes, words) in [
        ("a.parquet", &parquet[..parquet.len() - 20], "does not end with `PAR1`"),
        ("b.parquet", &parquet[..7], "too few"),
        ("c.arrow", &arrow[..arrow.len() - 20], "does not end with `ARROW1`"),
        ("d.arrow", &arrow[..300], "`d.arrow`"),
    ] {
        let folder = folder(&[(name, bytes)]);
        let all = read(&at(&folder.path().join(name)));
        assert_eq!(all.error.as_ref().unwrap().kind(), Kind::Damaged, "{name}");
        assert!(all.error_text().contains(words), "{}", all.error_text());
    }
}

#[test]
fn a_damaged_page_names_its_row_group() {
    let mut bytes = parquet(&flat(), Compression::UNCOMPRESSED, 1);
    // The first page of the second row group: everything between the groups' offsets, the footer left whole.
    let at_second = bytes.windows(7).position(|window| window == "three \u{e9}".as_bytes()[..7].as_ref()).unwrap();
    bytes[at_second - 40..at_second - 4].fill(0xEE);
    let folder = folder(&[("a.parquet", &bytes)]);
    let all = All::of(loopwright_sources::open(&at(&folder.path().join("a.parquet")), &OpenSettings::default()));
    let text = all.error_text();
    assert!(text.contains("row group 2") && all.rows.len() == 1, "{text}");
}
