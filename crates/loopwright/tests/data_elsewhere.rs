//! Rows from elsewhere, through the binary: a file on the web, sources and columns named on the command line, stand-ins
//! and the way back from them.
#![allow(clippy::unwrap_used, reason = "a test all through: its functions stop where it should stop")]

mod room;

use room::{Room, message};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// Serves one file, and breaks off in the middle of the first whole transfer.
struct Web {
    address: String,
    /// `Range` headers that came, empty ones included.
    ranges: Arc<Mutex<Vec<String>>>,
}

impl Web {
    fn serve(body: String, tag: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let seen = ranges.clone();
        // The thread ends with the test's process; it holds nothing.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &body, tag, &seen);
            }
        });
        Self { address, ranges }
    }
}

fn answer(mut stream: TcpStream, body: &str, tag: &str, seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut path, mut range, mut line) = (String::new(), String::new(), String::new());
    while reader.read_line(&mut line).unwrap_or(0) > 2 {
        if path.is_empty() {
            path = line.split(' ').nth(1).unwrap_or_default().to_string();
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            range = value.trim().trim_end_matches('-').to_string();
        }
        line.clear();
    }
    // A client that went away is the client's affair.
    if !path.starts_with("/rows.csv") {
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    }
    let n_before = {
        let mut seen = seen.lock().unwrap();
        seen.push(range.clone());
        seen.len()
    };
    let from: usize = range.parse().unwrap_or(0);
    let status = if range.is_empty() { "200 OK" } else { "206 Partial Content" };
    let rest = &body[from..];
    let head =
        format!("HTTP/1.1 {status}\r\nETag: {tag}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len());
    let _ = stream.write_all(head.as_bytes());
    // The first request only asks for the tag; the second, the transfer itself, breaks.
    let n_sent = if n_before == 2 { rest.len() / 2 } else { rest.len() };
    let _ = stream.write_all(&rest.as_bytes()[..n_sent]);
}

fn csv(n_rows: usize) -> String {
    let row = |n: usize| format!("w{n},{},{}\n", message(n), ["billing", "delivery"][n % 2]);
    String::from("id,text,label\n") + &(0..n_rows).map(row).collect::<String>()
}

#[test]
fn a_file_on_the_web_is_read_over_a_broken_transfer_and_once() {
    let web = Web::serve(csv(60), "\"one\"");
    let source = format!("{}/rows.csv?token=secret", web.address);
    let room = Room::new(&format!("[{source:?}]"), "");
    let first = room.run(&["data", "import"]);
    assert_eq!((&first["n_rows"], &first["n_rejected"]), (&json!(60), &json!(0)));
    let ranges = web.ranges.lock().unwrap().clone();
    assert!(ranges.iter().any(|range| !range.is_empty()), "the transfer was taken up again: {ranges:?}");
    let again = room.run(&["data", "import", "--only-new"]);
    assert_eq!((&again["n_rows"], &again["n_files"], &again["n_files_unchanged"]), (&json!(60), &json!(0), &json!(1)));
    let rows = room.run(&["data", "query", "SELECT DISTINCT source FROM raw_mail"]);
    assert_eq!(rows[0]["source"], format!("{}/rows.csv", web.address), "no token is kept");
    let (ok, _, says) = room.try_run(&["data", "import", &format!("{}/gone.csv", web.address)]);
    assert!(!ok && says.contains("404") && says.contains("hint: "), "{says}");
    assert_eq!(room.run(&["data", "query", "SELECT count(*) AS n FROM raw_mail"])[0]["n"], 60, "nothing is lost");
    let schema = room.run(&["data", "schema", &source]);
    assert_eq!((&schema["mapping"]["text"], &schema["format"]), (&json!("text"), &json!("csv")));
}

#[test]
fn addresses_that_cannot_be_used_are_told_with_the_way_out() {
    let room = Room::new("[\"sources/a.csv\"]", "");
    for (source, word) in [
        ("ftp://host/x.csv", "known: s3"),
        ("postgres://u:hunter2@127.0.0.1/d#SELECT 1", "PGPASSWORD"),
        ("postgres://u@127.0.0.1:1/d#SELECT 1", "PGHOST"),
        ("https://u:hunter2@127.0.0.1/x.csv", "password"),
        ("s3://", "no bucket"),
    ] {
        let (ok, _, says) = room.try_run(&["data", "import", source]);
        assert!(!ok && says.contains(word) && says.contains("hint: "), "{source}: {says}");
        assert!(!says.contains("hunter2"), "{says}");
    }
}

#[test]
fn sources_and_columns_are_named_on_the_command_line() {
    let room = Room::new("[\"sources/none.csv\"]", "");
    let lines: String = (0..30)
        .map(|n| json!({"body": message(n), "topic": "x", "who": format!("P-{n}")}).to_string() + "\n")
        .collect();
    fs::write(room.path("sources/odd.jsonl"), lines).unwrap();
    let flags = [
        "data",
        "import",
        "sources/odd.jsonl",
        "--text",
        "body",
        "--label",
        "topic",
        "--subject",
        "who",
        "--rows-tags",
        "consent",
    ];
    let looked = room.run(&[&flags[..], &["--dry-run"]].concat());
    assert_eq!((&looked[0]["mapping"]["text"], &looked[0]["n_rows"]), (&json!("body"), &json!(30)));
    assert!(!room.path(".loopwright/tables").exists() || room.run(&["data", "list"]) == json!([]));
    assert_eq!(room.run(&flags)["n_rows"], 30);
    let rows =
        room.run(&["data", "query", "SELECT text, label, subject, source FROM raw_mail ORDER BY row_index LIMIT 1"]);
    assert_eq!(
        (&rows[0]["text"], &rows[0]["label"], &rows[0]["source"]),
        (&json!(message(0)), &json!("x"), &json!("sources/odd.jsonl"))
    );
    assert!(rows[0]["subject"].as_str().is_some_and(|subject| !subject.contains("P-0")));
    let (ok, _, says) = room.try_run(&["data", "import", "sources/odd.jsonl", "--text", "boddy"]);
    assert!(!ok && says.contains("boddy"), "{says}");
    let (ok, stdout, says) = room.try_run(&["data", "import", "sources/odd.jsonl", "--text", "body"]);
    assert!(ok && stdout.starts_with('{'), "{stdout}{says}");
    let body = says.lines().find(|line| line.starts_with("  body ")).unwrap();
    assert!(says.contains("sources/odd.jsonl: json_lines, flat\n") && body.ends_with("  text"), "{says}");
    let (ok, _, says) = room.try_run(&["data", "import", "--shape", "poem"]);
    assert!(!ok && says.contains("flat"), "{says}");
}

#[test]
fn stand_ins_have_a_way_back_until_the_person_is_erased() {
    let steps = "steps = [{ step = \"redact\", surrogates = true, reversible = true }, { step = \"split\" }]\n";
    let room = Room::new("[\"sources/a.jsonl\"]", steps);
    let line = |n: usize| {
        let text = format!("Write to person{n}@mail.example about {}", message(n));
        json!({"id": n.to_string(), "text": text, "label": "x", "customer": format!("C-{}", n / 2)}).to_string() + "\n"
    };
    fs::write(room.path("sources/a.jsonl"), (0..40).map(line).collect::<String>()).unwrap();
    room.run(&["data", "import"]);
    room.run(&["data", "curate"]);
    let text_of = |id: &str| {
        let rows = room.run(&["data", "query", &format!("SELECT text FROM examples_mail_1 WHERE row_id = '{id}'")]);
        rows[0]["text"].as_str().unwrap().to_string()
    };
    let (first, other) = (text_of("0"), text_of("5"));
    assert!(!first.contains("mail.example") && first.contains('@'), "{first}");
    let restored = |text: &str| room.run(&["data", "restore", text])["text"].clone();
    assert_eq!(restored(&first), format!("Write to person0@mail.example about {}", message(0)));
    assert_eq!(restored(&other), format!("Write to person5@mail.example about {}", message(5)));
    // A later version has the same stand-ins.
    fs::write(room.path("sources/a.jsonl"), (0..60).map(line).collect::<String>()).unwrap();
    room.run(&["data", "import"]);
    assert_eq!(room.run(&["data", "curate"])["dataset"], "mail@2");
    let again = room.run(&["data", "query", "SELECT text FROM examples_mail_2 WHERE row_id = '0'"]);
    assert_eq!(again[0]["text"], Value::from(first.clone()));
    // Nobody reads an address in the kept mapping, and the erased person's is gone from it.
    let kept = String::from_utf8_lossy(&fs::read(room.path(".loopwright/stand_ins/mail")).unwrap()).into_owned();
    assert!(!kept.contains("mail.example"));
    room.run(&["erase", "C-0"]);
    assert_eq!(restored(&first), Value::from(first.clone()));
    assert_eq!(restored(&other), format!("Write to person5@mail.example about {}", message(5)));
    let (ok, _, says) = Room::new("[\"sources/a.jsonl\"]", "").try_run(&["data", "restore", "x"]);
    assert!(!ok && says.contains("reversible = true"), "{says}");
}
