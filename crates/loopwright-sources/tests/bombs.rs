//! Files made to fill a machine's memory. One test in a process of its own, because it looks at that process's peak.

// The functions around the tests stop a test where it should stop.
#![allow(clippy::unwrap_used)]

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use loopwright_sources::{ChildCommand, Limits, OpenSettings, Spec, error::Kind, open};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, Encoding, ZstdLevel},
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter},
        properties::WriterProperties,
    },
};
use std::{io::Write, sync::Arc};

/// A file of one text, as it should be.
fn honest(compression: Compression) -> Vec<u8> {
    let texts = Arc::new(StringArray::from(vec!["a"])) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("text", texts)]).unwrap();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// 64 mebibytes of line ends, packed.
fn pack_line_ends(mut pack: impl Write) {
    let line_ends = vec![b'\n'; 1 << 20];
    (0..64).for_each(|_| pack.write_all(&line_ends).unwrap());
}

/// A number as Thrift's compact protocol writes it: zigzag, then seven bits a byte.
fn varint(value: i32) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 31)) as u32;
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

/// A page header (parquet.thrift, `PageHeader`): a data page, or a dictionary page, that claims what it likes.
fn page_header(is_dictionary: bool, unpacked_bytes: i32, packed_bytes: i32, n_values: i32) -> Vec<u8> {
    let field = |value: i32| [vec![0x15], varint(value)].concat();
    let kind = field(if is_dictionary { 2 } else { 0 });
    let sizes = [kind, field(unpacked_bytes), field(packed_bytes)].concat();
    // Field 5 is the data page's own header, field 7 the dictionary page's.
    let own = match is_dictionary {
        true => [vec![0x4C], field(n_values), field(0), vec![0]].concat(),
        false => [vec![0x2C], field(n_values), field(0), field(3), field(3), vec![0]].concat(),
    };
    [sizes, own, vec![0]].concat()
}

/// A Parquet file of one text column whose column chunk is these bytes.
fn crafted(chunk: &[u8], compression: Compression, has_dictionary: bool) -> Vec<u8> {
    let honest = honest(compression);
    let reader = ParquetMetaDataReader::new().parse_and_finish(&bytes::Bytes::from(honest)).unwrap();
    let group = reader.row_group(0).clone();
    let column = ColumnChunkMetaData::builder(group.column(0).column_descr_ptr())
        .set_compression(compression)
        .set_encodings(vec![Encoding::PLAIN, Encoding::RLE])
        .set_num_values(1)
        .set_total_compressed_size(chunk.len() as i64)
        .set_total_uncompressed_size(chunk.len() as i64)
        .set_dictionary_page_offset(has_dictionary.then_some(4))
        .set_data_page_offset(4)
        .build()
        .unwrap();
    let group = group.into_builder().set_column_metadata(vec![column]).build().unwrap();
    let metadata = ParquetMetaData::new(reader.file_metadata().clone(), vec![group]);
    let mut file = [b"PAR1", chunk].concat();
    let mut footer = Vec::new();
    ParquetMetaDataWriter::new(&mut footer, &metadata).finish().unwrap();
    file.append(&mut footer);
    file
}

/// The most that this process ever had in memory, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_file_that_asks_for_gigabytes_costs_the_child_its_life_and_the_parent_nothing() {
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let packed = zstd::stream::encode_all(&[0; 64][..], 3).unwrap();
    let page = |is_dictionary, unpacked, n_values| {
        [page_header(is_dictionary, unpacked, packed.len() as i32, n_values), packed.clone()].concat()
    };
    let snappy = [page_header(false, i32::MAX, 6, 1), b"\xff\xff\xff\xff\x07a".to_vec()].concat();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    pack_line_ends(&mut gzip);
    let mut frames = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    pack_line_ends(&mut frames);
    let limits = Limits { child_memory_bytes_max: 256 << 20, child_cpu_seconds_max: 60, ..Limits::default() };
    let child = ChildCommand { program: env!("CARGO_BIN_EXE_read-child").into(), args: Vec::new() };
    let settings = OpenSettings { limits, child: Some(child) };
    let folder = tempfile::tempdir().unwrap();
    let before = peak_bytes();
    for (name, file, words) in [
        ("a.parquet", crafted(&page(false, i32::MAX, 1), zstd, false), "`child_memory_bytes_max`"),
        ("b.parquet", crafted(&page(true, i32::MAX, 1), zstd, true), "`child_memory_bytes_max`"),
        ("c.parquet", crafted(&page(true, 64, i32::MAX), zstd, true), "`child_memory_bytes_max`"),
        ("d.parquet", crafted(&page(false, 64, i32::MAX), zstd, false), "the data is damaged"),
        ("e.parquet", crafted(&page(false, -1, -1), zstd, false), "the data is damaged"),
        ("f.parquet", crafted(&snappy, Compression::SNAPPY, false), "`child_memory_bytes_max`"),
        ("g.jsonl.gz", gzip.finish().unwrap(), "`unpack_ratio_max`"),
        ("h.jsonl.zst", frames.finish().unwrap(), "`unpack_ratio_max`"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, file).unwrap();
        let spec = Spec { location: path.to_string_lossy().into_owned(), ..Spec::default() };
        let error = open(&spec, &settings).find_map(Result::err).unwrap_or_else(|| panic!("{name} was read"));
        let text = error.to_string();
        assert!(matches!(error.kind(), Kind::Limit | Kind::Damaged), "{text}");
        assert!(text.contains(words) && text.contains(name) && text.contains("\nhint: "), "{text}");
    }
    let grown = peak_bytes() - before;
    assert!(grown < 32 << 20, "the parent grew by {grown} bytes");
}
