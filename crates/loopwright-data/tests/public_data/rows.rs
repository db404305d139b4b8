//! Reading the public rows.

use std::path::PathBuf;

/// A text and its label.
pub type Row = (String, String);

fn file(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("LOOPWRIGHT_DATASETS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/datasets")), PathBuf::from);
    let read = std::fs::read(folder.join(name)).ok();
    if read.is_none() {
        println!("skipped: no {name} under {}", folder.display());
    }
    read
}

/// Messages of bank customers in 77 intents; `part` is `train` or `test`.
pub fn banking77(part: &str) -> Option<Vec<Row>> {
    let bytes = file(&format!("banking77/{part}.csv"))?;
    Some(csv::Reader::from_reader(bytes.as_slice()).deserialize().map(Result::unwrap).collect())
}

/// Grade-school questions, without their answers; `part` is `train` or `test`.
pub fn gsm8k(part: &str) -> Option<Vec<String>> {
    let bytes = file(&format!("gsm8k/{part}.jsonl"))?;
    let lines = std::str::from_utf8(&bytes).unwrap().lines();
    let question =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["question"].as_str().map(str::to_string);
    Some(lines.map(|line| question(line).unwrap()).collect())
}
