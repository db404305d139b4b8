//! Reading in a child: the same rows, and a parent that stays small and alive whatever the file does.

use super::{All, arrow_tables, at, datasets, folder, gzip, read};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use loopwright_sources::{ChildCommand, Limits, Mapping, OpenSettings, Spec, error::Kind, open, open_reader, schema};
use parquet::basic::Compression;
use std::{io, sync::Arc};

fn settings(limits: Limits) -> OpenSettings {
    let child = ChildCommand { program: env!("CARGO_BIN_EXE_read-child").into(), args: Vec::new() };
    OpenSettings { limits, child: Some(child) }
}

fn one_text(text: &str) -> RecordBatch {
    RecordBatch::try_from_iter([("text", Arc::new(StringArray::from(vec![text])) as ArrayRef)]).unwrap()
}

#[test]
fn a_child_gives_the_same_rows() {
    let parquet = arrow_tables::parquet(&one_text("a"), Compression::SNAPPY, 1);
    let lines = gzip("{\"text\":\"a\"}\n{broken\n".repeat(5000).as_bytes());
    let folder = folder(&[("a.parquet", &parquet), ("b.jsonl.gz", &lines)]);
    let limits = Limits { batch_bytes_max: 10_000, ..Limits::default() };
    for name in ["a.parquet", "b.jsonl.gz"] {
        let spec = at(&folder.path().join(name));
        let (here, there) = (read(&spec), All::of(open(&spec, &settings(limits.clone()))));
        assert_eq!((there.texts(), &there.rows, &there.rejected), (here.texts(), &here.rows, &here.rejected));
        let page = schema::infer(&spec, &settings(limits.clone())).unwrap();
        assert_eq!(page, schema::infer(&spec, &OpenSettings::default()).unwrap());
    }
    let error = All::of(open(&at(&folder.path().join("c")), &settings(limits))).error.unwrap();
    assert_eq!(error.kind(), Kind::Unreadable);
}

#[test]
fn a_stream_goes_to_the_child_and_what_breaks_it_comes_back() {
    let bytes = b"{\"text\":\"a\"}\n".repeat(20_000);
    let limits = Limits::default;
    let spec = Spec::default();
    let all = All::of(open_reader("a.jsonl", io::Cursor::new(bytes.clone()), &spec, &settings(limits())));
    assert_eq!(all.texts().len(), 20_000);
    let broken = io::Read::chain(io::Cursor::new(bytes), Broken);
    let all = All::of(open_reader("a.jsonl", broken, &spec, &settings(limits())));
    assert!(all.error_text().contains("the line went dead"), "{}", all.error_text());
    // Dropping the rows early ends child and thread.
    let endless = io::Read::chain(io::Cursor::new(b"{\"text\":\"a\"}\n".repeat(10)), io::repeat(b'\n'));
    let mut reads = open_reader("a.jsonl", endless, &spec, &settings(Limits { batch_bytes_max: 1, ..limits() }));
    assert!(reads.next().unwrap().is_ok());
}

struct Broken;

impl io::Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the line went dead"))
    }
}

#[test]
fn a_program_that_is_no_child_is_told() {
    let folder = folder(&[("a.jsonl.gz", &gzip(b"{\"text\":\"a\"}\n"))]);
    let spec = at(&folder.path().join("a.jsonl.gz"));
    for (program, args, words) in [
        ("/does/not/exist", vec![], "did not start"),
        ("/bin/sh", vec!["-c", "echo what is this >&2; exit 3"], "what is this"),
        ("/bin/sh", vec!["-c", "printf '\\001\\000\\000\\000x'"], "makes no sense"),
        ("/bin/sh", vec!["-c", "printf '\\377\\377\\377\\377x'"], "makes no sense"),
        ("/bin/sh", vec!["-c", "kill -9 $$"], "it was killed"),
    ] {
        let child = ChildCommand { program: program.into(), args: args.into_iter().map(Into::into).collect() };
        let all = All::of(open(&spec, &OpenSettings { limits: Limits::default(), child: Some(child) }));
        assert!(all.error_text().contains(words), "{}", all.error_text());
    }
}

#[test]
fn an_arrow_message_that_claims_gigabytes_ends_in_an_error() {
    let batch = one_text("a");
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    let whole = writer.into_inner().unwrap();
    let limits = Limits { child_memory_bytes_max: 256 << 20, child_cpu_seconds_max: 30, ..Limits::default() };
    // Every position of the messages' headers set to a large number once: lengths, counts, offsets.
    for at_byte in (8..whole.len() - 4).step_by(16) {
        let mut bytes = whole.clone();
        bytes[at_byte..at_byte + 4].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0x7F]);
        let folder = folder(&[("bomb.arrow", &bytes)]);
        let all = All::of(open(&at(&folder.path().join("bomb.arrow")), &settings(limits.clone())));
        if let Some(error) = &all.error {
            assert!(matches!(error.kind(), Kind::Limit | Kind::Damaged | Kind::MissingColumn), "{at_byte}: {error}");
        }
    }
}

#[test]
fn a_child_that_computes_for_ever_is_ended() {
    let folder = folder(&[("a.jsonl.gz", &gzip("{\"text\":\"a\"}\n".repeat(10).as_bytes()))]);
    let busy = ChildCommand {
        program: "/bin/sh".into(),
        args: ["-c", "ulimit -t 1; while :; do :; done"].map(Into::into).to_vec(),
    };
    let all = All::of(open(
        &at(&folder.path().join("a.jsonl.gz")),
        &OpenSettings { limits: Limits::default(), child: Some(busy) },
    ));
    let text = all.error_text();
    assert!(text.contains("`child_cpu_seconds_max`") || text.contains("it was killed"), "{text}");
}

#[test]
fn real_sets_are_the_same_in_the_child() {
    let Some(sets) = datasets() else { return };
    for (path, text, n_rows) in [
        ("openai-moderation/samples-1680.jsonl.gz", None, 1_680),
        ("pypa-advisories/pypa-advisories.tar", Some("details"), 2_661),
    ] {
        let mapping = Mapping { text: text.map(str::to_string), ..Mapping::default() };
        let spec = Spec { mapping, ..at(&sets.join(path)) };
        let there = All::of(open(&spec, &settings(Limits::default())));
        assert_eq!((there.texts().len(), &there.rows), (n_rows, &read(&spec).rows), "{path}");
    }
}
