//! Any bytes are read or refused, whatever the name claims; never a panic, never more memory than the limits allow.

use super::{All, arrow_tables, gzip};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use loopwright_sources::{ChildCommand, Limits, OpenSettings, Spec, TextUnit, error::Kind, open_reader};
use proptest::prelude::*;
use std::sync::Arc;

const NAMES: [&str; 13] = [
    "a.jsonl",
    "a.json",
    "a.csv",
    "a.tsv",
    "a.txt",
    "a.md",
    "a.html",
    "a.yaml",
    "a.parquet",
    "a.arrow",
    "a.tar",
    "a.jsonl.gz",
    "a",
];

fn small() -> Limits {
    Limits { record_bytes_max: 256, batch_bytes_max: 512, unpacked_bytes_max: 1 << 20, ..Limits::default() }
}

fn read(name: &str, bytes: Vec<u8>, settings: &OpenSettings) -> All {
    let spec = Spec { text_unit: TextUnit::Paragraph, ..Spec::default() };
    All::of(open_reader(name, std::io::Cursor::new(bytes), &spec, settings))
}

fn is_told(all: &All) {
    if let Some(error) = &all.error {
        assert_ne!(error.kind(), Kind::Crashed, "{error}");
    }
    assert!(all.rejected.iter().all(|row| row.excerpt.chars().count() <= 200 && !row.reason.is_empty()));
    assert!(all.rows.iter().all(|row| row.text.len() <= 256), "a row over the limit");
}

proptest! {
    #[test]
    fn any_bytes_under_any_name(bytes in prop::collection::vec(any::<u8>(), 0..400), index in 0..NAMES.len()) {
        let settings = OpenSettings { limits: small(), child: None };
        is_told(&read(NAMES[index], bytes.clone(), &settings));
        is_told(&read(NAMES[index], gzip(&bytes), &settings));
    }

    #[test]
    fn any_text_under_any_name(text in "[a-z{}\\[\\]\",:;<>/=&#\\-\t\r\n é]{0,300}", index in 0..NAMES.len()) {
        is_told(&read(NAMES[index], text.into_bytes(), &OpenSettings { limits: small(), child: None }));
    }

    #[test]
    fn any_cut_or_altered_packing(cut in 0.0f64..1.0, byte in any::<u8>(), at in 0.0f64..1.0) {
        let lines = b"{\"text\":\"some text to be packed\"}\n".repeat(20);
        for mut packed in [gzip(&lines), zstd::stream::encode_all(lines.as_slice(), 3).unwrap()] {
            let index = (at * packed.len() as f64) as usize;
            packed[index] = byte;
            packed.truncate((cut * 2.0 * packed.len() as f64) as usize);
            is_told(&read("a.jsonl", packed, &OpenSettings { limits: small(), child: None }));
        }
    }
}

proptest! {
    // Each case starts a process.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_altered_table_in_the_child(
        changes in prop::collection::vec((0.0f64..1.0, any::<u8>()), 1..6),
        sort in 0..3usize,
    ) {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["one", "two", "two", "three"]));
        let batch = RecordBatch::try_from_iter([("text", texts)]).unwrap();
        let zstd = parquet::basic::Compression::ZSTD(Default::default());
        let (name, mut bytes) = match sort {
            0 => ("a.parquet", arrow_tables::parquet(&batch, zstd, 2)),
            1 => ("a.parquet", arrow_tables::parquet(&batch, parquet::basic::Compression::SNAPPY, 4)),
            _ => ("a.arrow", arrow_tables::arrow_file(&batch)),
        };
        for (at, byte) in changes {
            let index = (at * bytes.len() as f64) as usize;
            bytes[index] = byte;
        }
        let child = ChildCommand { program: env!("CARGO_BIN_EXE_read-child").into(), args: Vec::new() };
        let limits = Limits { child_memory_bytes_max: 256 << 20, child_cpu_seconds_max: 20, ..Limits::default() };
        let all = read(name, bytes, &OpenSettings { limits, child: Some(child) });
        if let Some(error) = &all.error {
            prop_assert_ne!(error.kind(), Kind::Crashed, "{}", error);
        }
    }
}
