//! Folders, patterns, archives, dataset folders of the Hub; and what a source looks like.

use super::{at, folder, gzip, read};
use loopwright_sources::{Limits, OpenSettings, Spec, error::Kind, open, schema};
use std::collections::BTreeMap;

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn a_folder_is_read_in_one_order_whatever_wrote_it_first() {
    let folder = folder(&[
        ("b/train-00001.jsonl", b"{\"text\":\"3\"}\n"),
        ("b/train-00000.jsonl", b"{\"text\":\"2\"}\n"),
        ("a.csv", b"text\n1\n"),
        ("notes.txt", b"no row"),
        ("README.md", b"no row"),
        (".hidden.csv", b"text\nno\n"),
        ("_SUCCESS", b""),
        ("c/_old/x.csv", b"text\nno\n"),
    ]);
    let spec = Spec { name: Some("mine".into()), ..at(folder.path()) };
    let all = read(&spec);
    assert_eq!(all.texts(), ["1", "2", "3"]);
    assert_eq!(all.rows[1].row_id, "mine/b/train-00000.jsonl-1");
    assert_eq!(all.rows[2].split.as_deref(), Some("train"));
    assert_eq!(read(&spec).rows, all.rows);
    let pattern = Spec { location: format!("{}/**/*.jsonl", folder.path().display()), ..Spec::default() };
    assert_eq!(read(&pattern).texts(), ["2", "3"]);
}

#[test]
fn a_dataset_folder_of_the_hub_tells_its_parts_and_licence() {
    let card = b"---\nlicense: cc-by-4.0\nconfigs:\n- config_name: main\n  default: true\n  data_files:\n  - split: train\n    path: main/tr*.jsonl\n  - split: extra\n    path: main/x.jsonl\n- config_name: other\n  data_files: other/*.csv\n---\n# A set\n";
    let folder = folder(&[
        ("README.md", card),
        ("main/train.jsonl", b"{\"text\":\"a\"}\n"),
        ("main/x.jsonl", b"{\"text\":\"b\"}\n"),
        ("other/test.csv", b"text\nc\n"),
    ]);
    let all = read(&at(folder.path()));
    assert_eq!(all.texts(), ["a", "b"]);
    assert!(all.rows.iter().all(|row| row.licence.as_deref() == Some("cc-by-4.0")));
    assert_eq!(all.rows[1].split.as_deref(), Some("extra"));
    let other = Spec { config: Some("other".into()), ..at(folder.path()) };
    assert_eq!(read(&other).texts(), ["c"]);
    let part = Spec { split: Some("extra".into()), ..at(folder.path()) };
    assert_eq!(read(&part).texts(), ["b"]);
    let none = read(&Spec { split: Some("test".into()), ..at(folder.path()) });
    assert!(none.error_text().contains("its parts are: extra, train"), "{}", none.error_text());
}

#[test]
fn files_that_do_not_fit_together_name_the_file_and_the_column() {
    let folder = folder(&[("a.csv", b"text,label\na,x\n"), ("b.csv", b"text,stars\nb,1\n")]);
    let all = read(&at(folder.path()));
    assert_eq!((all.rows.len(), all.error.as_ref().unwrap().kind()), (1, Kind::Mixed));
    let text = all.error_text();
    assert!(text.contains("/b.csv`") && text.contains("the column `label`"), "{text}");
    let chat = super::folder(&[("a.jsonl", b"{\"text\":\"a\"}\n"), ("b.jsonl", b"{\"messages\":[]}\n")]);
    assert!(read(&at(chat.path())).error_text().contains("it has the shape chat"));
}

#[test]
fn an_archive_is_a_folder() {
    let files: [(&str, &[u8]); 5] = [
        ("set/train.jsonl", b"{\"text\":\"a\"}\n"),
        ("set/test.csv.gz", &gzip(b"text\nb\n")),
        ("set/README.md", b"about"),
        ("set/.x.csv", b"text\nno\n"),
        ("set/image.png", b"\x89PNG"),
    ];
    let folder = folder(&[("a.tar", &tar(&files)), ("b.tgz", &gzip(&tar(&files)))]);
    for name in ["a.tar", "b.tgz"] {
        let all = read(&at(&folder.path().join(name)));
        assert_eq!(all.texts(), ["a", "b"]);
        assert_eq!(all.rows[1].source, format!("{name}/set/test.csv.gz"));
        assert_eq!(all.rows[1].split.as_deref(), Some("test"));
    }
}

#[test]
fn odd_archives_are_refused_or_put_aside() {
    let inner = tar(&[("a.txt", b"a")]);
    let whole = tar(&[("a.txt", b"good"), ("b.jsonl", b"{\"text\":\"b\"}\n")]);
    let lying = tar(&[("a.csv", b"\x89PNG\r\n"), ("b.csv", b"text\nb\n")]);
    let folder =
        folder(&[("nested.tar", &tar(&[("in.tar", &inner)])), ("cut.tar", &whole[..514]), ("lying.tar", &lying)]);
    let nested = read(&at(&folder.path().join("nested.tar")));
    assert!(nested.error_text().contains("an archive inside an archive"));
    let cut = read(&at(&folder.path().join("cut.tar")));
    assert_eq!(cut.error.as_ref().unwrap().kind(), Kind::Damaged);
    assert!(cut.error_text().contains("`cut.tar/a.txt`"), "{}", cut.error_text());
    let lying = read(&at(&folder.path().join("lying.tar")));
    assert_eq!((lying.texts(), lying.rejected.len()), (vec!["b"], 1));
    let settings = OpenSettings { limits: Limits { archive_entries_max: 1, ..Limits::default() }, child: None };
    let many = super::All::of(open(&at(&folder.path().join("lying.tar")), &settings));
    assert!(many.error_text().contains("`archive_entries_max`"));
}

#[test]
fn places_that_hold_nothing_say_so() {
    let folder = folder(&[("x/image.png", b"\x89PNG")]);
    for (location, words) in [
        (folder.path().join("missing.csv"), "there is no such file or folder"),
        (folder.path().join("*.csv"), "no file matches the pattern"),
        (folder.path().join("x"), "it holds no file of a format that we read"),
        ("/dev/null".into(), "a device, a pipe or a socket"),
    ] {
        let all = read(&at(&location));
        assert_eq!(all.error.as_ref().unwrap().kind(), Kind::Unreadable);
        assert!(all.error_text().contains(words), "{}", all.error_text());
    }
}

#[test]
fn a_schema_is_a_page_to_read() {
    let folder =
        folder(&[("m.csv", b"id,body,stars\n1,where is it?,4\n2,a rather long message that is cut off here,\nx\n")]);
    let spec = at(&folder.path().join("m.csv"));
    let page = schema::infer(&spec, &OpenSettings::default()).unwrap();
    assert_eq!(
        page.to_string(),
        "source   m.csv\n\
         format   csv\n\
         shape    flat\n\
         sample   2 rows, 1 rejected\n         \
         line 4: expected 3 fields, got 1\n\
         \n\
         column  type     empty  read as  examples\n\
         id      integer  0 %    id       1 | 2\n\
         body    text     0 %    text     where is it? | a rather long message that is cu…\n\
         stars   integer  50 %            4\n"
    );
    let odd = super::folder(&[(
        "m.jsonl",
        b"{\"words\":\"some words\",\"n\":1}\n{\"words\":\"more\",\"n\":1.5,\"x\":[1]}\n",
    )]);
    let page = schema::infer(&at(odd.path()), &OpenSettings::default()).unwrap();
    assert_eq!((page.shape, page.is_guess, page.mapping["text"].as_str()), (None, true, "words"));
    let kinds: BTreeMap<&str, &str> = page.columns.iter().map(|it| (it.name.as_str(), it.kind.as_str())).collect();
    assert_eq!(kinds, [("n", "number"), ("words", "text"), ("x", "list")].into());
    assert!(page.to_string().contains("set `text = \"words\"`"), "{page}");
}
