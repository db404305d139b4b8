//! Formats of text: JSON, tables, documents; packed or not.

use super::{All, at, folder, gzip, read};
use loopwright_sources::{Mapping, OpenSettings, Spec, TextUnit, error::Kind, open_reader};

#[test]
fn one_text_in_every_dress_gives_the_same_rows() {
    let lines = b"{\"text\":\"one\",\"label\":\"a\"}\n{\"text\":\"two \xC3\xA9\",\"label\":\"b\"}\n".as_slice();
    let table = "text,label\none,a\ntwo é,b\n";
    let utf16: Vec<u8> = [0xFF, 0xFE].into_iter().chain(table.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let members = [gzip(&lines[..20]), gzip(&lines[20..])].concat();
    let twice = gzip(&zstd::stream::encode_all(lines, 3).unwrap());
    let files: [(&str, &[u8]); 11] = [
        ("a.jsonl", lines),
        ("a.ndjson", lines),
        ("b.json", b"[{\"text\":\"one\",\"label\":\"a\"}, {\"text\":\"two \xC3\xA9\",\"label\":\"b\"}]"),
        ("c.csv", table.as_bytes()),
        ("d.tsv", "text\tlabel\none\ta\ntwo é\tb\n".as_bytes()),
        ("e.csv", &utf16),
        ("f.jsonl.gz", &members),
        ("g.csv.zst", &zstd::stream::encode_all(table.as_bytes(), 3).unwrap()),
        ("h.jsonl.zst.gz", &twice),
        ("i.csv", &gzip(table.as_bytes())),
        ("j.yaml", "text: one\nlabel: a\n---\ntext: two é\nlabel: b\n".as_bytes()),
    ];
    let folder = folder(&files);
    for (name, _) in files {
        let all = read(&at(&folder.path().join(name)));
        assert_eq!(all.texts(), ["one", "two é"], "{name}");
        assert_eq!(all.rows.iter().map(|row| row.label.as_deref()).collect::<Vec<_>>(), [Some("a"), Some("b")]);
        assert_eq!(all.rows[1].row_id, format!("{name}-2"));
        assert!(all.rejected.is_empty());
    }
}

#[test]
fn ids_are_those_of_the_source_and_stay_apart() {
    let folder = folder(&[("a.csv", b"id,text,customer\n7,a,C-1\n7,b,\n,c,\n")]);
    let all = read(&at(&folder.path().join("a.csv")));
    assert_eq!(all.rows.iter().map(|row| row.row_id.as_str()).collect::<Vec<_>>(), ["7", "7~2", "a.csv-3"]);
    assert_eq!(all.rows[0].subject_external.as_deref(), Some("C-1"));
}

#[test]
fn an_office_export_is_read_whole() {
    let file = "\u{feff}id;text;category;customer;segment;created_at\r\n7;\"a \"\"b\"\"\nc\";refund;C-1;business;2026-01-02T03:04:05Z\r\n8;x;;;;2026-01-02\r\n9;y;;;;yesterday\r\n";
    let folder = folder(&[("a.csv", file.as_bytes())]);
    let all = read(&at(&folder.path().join("a.csv")));
    let first = &all.rows[0];
    assert_eq!(
        (first.row_id.as_str(), first.text.as_str(), first.label.as_deref()),
        ("7", "a \"b\"\nc", Some("refund"))
    );
    assert_eq!((first.subject_external.as_deref(), first.group.as_deref()), (Some("C-1"), Some("business")));
    let times = all.rows.iter().map(|row| row.at.map(|at| at.to_string()).unwrap_or_default());
    assert_eq!(times.collect::<Vec<_>>(), ["2026-01-02T03:04:05.000Z", "2026-01-02T00:00:00.000Z"]);
    assert_eq!(all.rows[1].label, None);
    assert_eq!((all.rejected.len(), all.rejected[0].line), (1, 5));
    assert!(all.rejected[0].reason.contains("`yesterday`"), "{}", all.rejected[0].reason);
}

#[test]
fn broken_quotes_cost_their_own_rows_only() {
    let file = b"id,text,label\n1,good,a\n2,too,many,a\n3,\xff\xfe,a\n4,\"open,a\n5,fine,a\n6,\"also \"bad\",a\n7,short\n8,\"last\",a\n9,\"open at the end,a";
    let folder = folder(&[("a.csv", file)]);
    let all = read(&at(&folder.path().join("a.csv")));
    assert_eq!(all.rows.iter().map(|row| row.row_id.as_str()).collect::<Vec<_>>(), ["1", "5", "8"]);
    assert_eq!(all.rejected.iter().map(|row| row.line).collect::<Vec<_>>(), [3, 4, 5, 7, 8, 10]);
    assert_eq!(all.rejected[0].excerpt, "2,too,many,a");
}

#[test]
fn rejected_rows_say_where_and_why_and_the_rest_goes_on() {
    let file = b"{\"text\":\"a\"}\n{\"text\":\n{\"words\":1}\n{}\n{\"text\":\"b\",\"at\":\"soon\"}\n{\"text\":\"c\"}\n";
    let folder = folder(&[("a.jsonl", file)]);
    let all = read(&at(&folder.path().join("a.jsonl")));
    assert_eq!(all.texts(), ["a", "c"]);
    assert_eq!(all.rejected.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 3, 4, 5]);
    assert_eq!(all.rejected[1].excerpt, "{\"words\":1}");
    assert_eq!(all.rows[1].row_index, 6);
}

#[test]
fn first_rows_may_be_odd_but_not_all_of_them() {
    let folder = folder(&[("a.jsonl", b"{\"meta\":1}\n{\"text\":\"a\"}\n"), ("b.jsonl", b"{\"meta\":1}\n{\"n\":2}\n")]);
    let all = read(&at(&folder.path().join("a.jsonl")));
    assert_eq!((all.texts(), all.rejected.len()), (vec!["a"], 1));
    let all = read(&at(&folder.path().join("b.jsonl")));
    assert_eq!(all.error.as_ref().unwrap().kind(), Kind::MissingColumn);
    assert!(all.error_text().contains("`meta`"), "{}", all.error_text());
}

#[test]
fn documents_keep_what_they_say_of_themselves() {
    let page = "<html lang=\"en\"><title>T</title><nav>Menu</nav><main><p>Body &amp; soul</p></main>";
    let folder = folder(&[
        ("a.md", b"---\nlicense: mit\ndate: 2024-05-06\ncategory: news\n---\n# Title\n"),
        ("b.html", page.as_bytes()),
        ("c.txt", b"one\n\ntwo\n"),
    ]);
    let all = read(&at(folder.path()));
    assert_eq!(all.texts(), ["# Title\n", "Body & soul", "one\n\ntwo\n"]);
    let first = &all.rows[0];
    assert_eq!((first.licence.as_deref(), first.label.as_deref()), (Some("mit"), Some("news")));
    assert_eq!(first.at.map(|at| at.to_string()).as_deref(), Some("2024-05-06T00:00:00.000Z"));
    let spec = Spec { text_unit: TextUnit::Paragraph, only: Some("*.txt".into()), ..at(folder.path()) };
    assert_eq!(read(&spec).texts(), ["one", "two"]);
}

#[test]
fn a_stream_needs_only_a_name() {
    let mapping = Mapping { text: Some("body".into()), ..Mapping::default() };
    let spec = Spec { mapping, licence: Some("cc0".into()), tags: vec!["research".into()], ..Spec::default() };
    let packed = gzip(b"{\"body\":\"a\",\"tags\":[\"x\"]}\n");
    let all = All::of(open_reader("s3/train.jsonl.gz", std::io::Cursor::new(packed), &spec, &OpenSettings::default()));
    assert_eq!(all.texts(), ["a"]);
    let row = &all.rows[0];
    assert_eq!((row.source.as_str(), row.split.as_deref()), ("s3/train.jsonl.gz", Some("train")));
    assert_eq!(
        (row.licence.as_deref(), row.tags.as_slice()),
        (Some("cc0"), ["x".to_string(), "research".into()].as_slice())
    );
}

#[test]
fn what_a_file_is_not_is_told() {
    let folder = folder(&[
        ("a.jsonl", b"text,label\na,b\n"),
        ("b.csv", b"\x89PNG\r\n\x1a\n"),
        ("c.parquet", b"{\"text\":1}"),
        ("d.csv", b"t\0e\0x\0t\0,\0l\0"),
        ("e.csv", b" \n"),
        ("f", b"hello"),
    ]);
    for (name, words) in [
        ("a.jsonl", "expected json_lines"),
        ("b.csv", "PNG"),
        ("c.parquet", "got JSON"),
        ("d.csv", "UTF-16 text without a byte order mark"),
        ("e.csv", "it is empty"),
        ("f", "neither its name nor its first bytes"),
    ] {
        let all = read(&at(&folder.path().join(name)));
        assert_eq!(all.error.as_ref().unwrap().kind(), Kind::WrongFormat);
        let text = all.error_text();
        assert!(text.contains(words) && text.contains(&format!("`{name}`")), "{text}");
    }
}
