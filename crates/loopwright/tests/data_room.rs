//! The data room through the binary: sources of several formats in, a curated version out, handed on, a person erased.
#![allow(clippy::unwrap_used, reason = "a test all through: its functions stop where it should stop")]

mod room;

use room::{Room, message};
use serde_json::{Value, json};
use std::{fs, path::Path};

fn json_lines(from: usize, to: usize) -> String {
    let line = |n: usize| {
        let label = ["billing", "delivery"][n % 2];
        json!({"id": format!("j{n}"), "text": message(n), "label": label, "customer": format!("C-{}", n % 10)})
            .to_string()
    };
    (from..to).map(|n| line(n) + "\n").collect()
}

fn csv(from: usize, to: usize) -> String {
    let row = |n: usize| format!("c{n},{},{},C-{}\n", message(n), ["billing", "delivery"][n % 2], n % 10);
    String::from("id,text,label,customer\n") + &(from..to).map(row).collect::<String>()
}

fn fill(room: &Room) {
    fs::create_dir(room.path("sources/mail")).unwrap();
    fs::write(room.path("sources/mail/a.jsonl"), json_lines(0, 40) + "{broken\n").unwrap();
    fs::write(room.path("sources/mail/b.csv"), csv(40, 80)).unwrap();
}

#[test]
fn sources_of_several_formats_become_one_version_and_only_new_files_are_read_again() {
    let room = Room::new("[\"sources/mail\"]", "rows_licence = \"CC-BY-4.0\"\nrows_tags = [\"training\"]\n");
    fill(&room);
    let first = room.run(&["data", "import"]);
    assert_eq!((&first["n_rows"], &first["n_rejected"], &first["n_files"]), (&json!(80), &json!(1), &json!(2)));
    let version = room.run(&["data", "curate", "--memory", "256MB"]);
    assert_eq!((&version["dataset"], &version["n_rows"]), (&json!("mail@1"), &json!(80)));
    let card = &version["card"];
    assert_eq!(card["sources"], json!({"sources/mail/a.jsonl": 40, "sources/mail/b.csv": 40}));
    assert_eq!((&card["licences"], &card["tags"]), (&json!({"CC-BY-4.0": 80}), &json!({"training": 80})));
    assert!(!room.path(".loopwright/curation/mail").exists(), "nothing is left of the work");

    // The same rows give the same version; a new file gives the next.
    assert_eq!(room.run(&["data", "curate"])["dataset"], "mail@1");
    fs::write(room.path("sources/mail/c.jsonl"), json_lines(80, 100)).unwrap();
    let second = room.run(&["data", "import", "--only-new"]);
    assert_eq!(
        (&second["n_rows"], &second["n_new"], &second["n_files_unchanged"]),
        (&json!(100), &json!(20), &json!(2))
    );
    let version = room.run(&["data", "curate"]);
    assert_eq!((&version["dataset"], &version["n_rows"]), (&json!("mail@2"), &json!(100)));
    // A whole import of the same files comes to the same rows.
    assert_eq!(room.run(&["data", "import"])["n_rows"], 100);
    assert_eq!(room.run(&["data", "curate"])["dataset"], "mail@2");
}

#[test]
fn one_command_tells_why_a_row_is_gone_or_changed() {
    let room = Room::new("[\"sources/a.csv\"]", "");
    let rows = format!("id,text,label\nr1,<b>{}</b>,x\nr2,hi,x\nr3,{},x\n{}", message(1), message(1), "");
    fs::write(
        room.path("sources/a.csv"),
        rows + &csv(10, 40).replace("id,text,label,customer\n", "").replace(",C-", ",\"\" C-"),
    )
    .unwrap();
    room.run(&["data", "import"]);
    room.run(&["data", "curate"]);
    let changed = room.run(&["data", "why", "r1"]);
    let outcome = |told: &Value, step: &str| {
        told["steps"].as_array().unwrap().iter().find(|it| it["step"] == step).unwrap()["outcome"].clone()
    };
    assert_eq!(outcome(&changed, "strip_html")["after"], message(1));
    assert_eq!(changed["kept"]["row_id"], "r1");
    let short = room.run(&["data", "why", "r2"]);
    assert_eq!(outcome(&short, "length")["kind"], "dropped");
    let twin = room.run(&["data", "why", "r3"]);
    assert_eq!((&twin["dropped"]["step"], &twin["kept"]), (&json!("exact_dedup"), &Value::Null));
    let (ok, _, says) = room.try_run(&["data", "why", "r99"]);
    assert!(!ok && says.contains("no source row") && says.contains("hint: "), "{says}");
}

#[test]
fn a_version_leaves_in_three_formats_and_comes_in_again() {
    let room = Room::new("[\"sources/mail\"]", "");
    fill(&room);
    room.run(&["data", "import"]);
    room.run(&["data", "curate"]);
    let lines = room.run(&["data", "export"]);
    let text = fs::read_to_string(room.path("exports/mail-1.jsonl")).unwrap();
    assert_eq!((lines["files"]["mail-1.jsonl"].as_u64(), text.lines().count()), (Some(80), 80));
    room.run(&["data", "export", "--format", "parquet", "--to", "out/mail.parquet"]);
    room.run(&["data", "export", "--format", "hf", "--to", "out/hub"]);
    let (ok, _, says) = room.try_run(&["data", "export"]);
    assert!(!ok && says.contains("is there already"), "{says}");
    for source in ["out/mail.parquet", "out/hub", "exports/mail-1.jsonl"] {
        let other = Room::new(&format!("[{:?}]", room.path(source)), "");
        assert_eq!(other.run(&["data", "import"])["n_rows"], 80, "{source}");
    }
}

#[test]
fn chats_keep_their_turns() {
    let room = Room::new("[\"sources/chats.jsonl\"]", "");
    let chat = |n: usize| {
        let turns = [("user", message(n)), ("assistant", message(n + 100))];
        let messages = turns.map(|(role, content)| json!({"role": role, "content": content}));
        json!({"messages": messages, "label": "x"}).to_string() + "\n"
    };
    fs::write(room.path("sources/chats.jsonl"), (0..30).map(chat).collect::<String>()).unwrap();
    room.run(&["data", "import"]);
    room.run(&["data", "curate"]);
    room.run(&["data", "export"]);
    let text = fs::read_to_string(room.path("exports/mail-1.jsonl")).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["messages"][0]["role"], "user");
    assert_eq!(first["messages"][1]["content"], message(100));
    let to = room.path("chats.parquet");
    room.run(&["data", "export", "--format", "parquet", "--to", to.to_str().unwrap()]);
    let other = Room::new(&format!("[{to:?}]"), "");
    assert_eq!(other.run(&["data", "schema", to.to_str().unwrap()])["shape"], "chat");
    assert_eq!(other.run(&["data", "import"])["n_rows"], 30);
}

#[test]
fn an_erased_person_leaves_every_kind_of_source() {
    let room = Room::new("[\"sources/mail\", \"sources/table.parquet\"]", "");
    fill(&room);
    // A table of columns made of a version's rows; its persons are pseudonyms, which serve as names here.
    let other = Room::new("[\"sources/m.csv\"]", "");
    fs::write(other.path("sources/m.csv"), csv(200, 240)).unwrap();
    other.run(&["data", "import"]);
    other.run(&["data", "curate"]);
    let to = room.path("sources/table.parquet");
    other.run(&["data", "export", "--format", "parquet", "--to", to.to_str().unwrap()]);

    assert_eq!(room.run(&["data", "import"])["n_rows"], 120);
    room.run(&["data", "curate"]);
    let erasure = room.run(&["erase", "C-3"]);
    assert_eq!(erasure["state"], "done", "{erasure}");
    let removed = |place: &str| erasure["removed"][place].as_u64().unwrap_or(0);
    assert_eq!((removed("sources/mail/a.jsonl"), removed("sources/mail/b.csv")), (4, 4), "{erasure}");
    assert_is_gone(&room, &["C-3", &message(3), &message(43)]);

    // A person of the table of columns, by the name that stands there.
    let person = other.run(&["data", "query", "SELECT subject FROM examples_mail_1 WHERE row_id = 'c203'"]);
    let person = person[0]["subject"].as_str().unwrap();
    let erasure = room.run(&["erase", person]);
    let removed = &erasure["removed"]["sources/table.parquet"];
    assert_eq!((&erasure["state"], removed), (&json!("done"), &json!(4)), "{erasure}");
    assert_is_gone(&room, &[person, &message(203)]);
    assert_eq!(room.run(&["data", "import"])["n_rows"], 108, "the others are still there");
}

#[test]
fn a_document_that_names_the_person_holds_the_erasure_open() {
    let room = Room::new("[\"sources/a.csv\"]", "");
    fs::write(room.path("sources/a.csv"), csv(0, 40)).unwrap();
    fs::write(room.path("sources/notes.zip"), b"PK\x03\x04 packed notes").unwrap();
    room.run(&["data", "import"]);
    let (ok, _, says) = room.try_run(&["erase", "C-3"]);
    assert!(!ok && says.contains("notes.zip") && says.contains("cannot be looked into"), "{says}");
    fs::remove_file(room.path("sources/notes.zip")).unwrap();
    assert_eq!(room.run(&["erase", "C-3"])["state"], "done");
}

#[test]
fn steps_of_ones_own_and_named_recipes_run_and_queries_can_ask_a_step() {
    let steps = "steps = [{step = \"repair_text\"}, {step = \"words_list\", words = [\"forbidden\"]}, \
                 {step = \"minhash\"}, {step = \"split\", train = 1.0, validation = 0.0, test = 0.0}]\n";
    let room = Room::new("[\"sources/a.jsonl\"]", steps);
    // MinHash takes all numbers for the same: these words differ in letters.
    let letter = |c: char| c.to_digit(10).map_or(c, |digit| char::from(b'a' + digit as u8));
    let text = |n: usize| -> String {
        format!("{} {} {}", message(n), message(n + 50), message(n + 90)).chars().map(letter).collect()
    };
    let line = |text: String| json!({ "text": text }).to_string() + "\n";
    let mut lines: String = (0..20).map(|n| line(text(n))).collect();
    lines += &line(text(3) + " again");
    lines += &line("this is forbidden".into());
    fs::write(room.path("sources/a.jsonl"), lines).unwrap();
    room.run(&["data", "import"]);
    let version = room.run(&["data", "curate"]);
    let gone = |version: &Value, step: &str| {
        let count = version["card"]["steps"].as_array().unwrap().iter().find(|count| count["step"] == step).unwrap();
        count["n_in"].as_u64().unwrap() - count["n_out"].as_u64().unwrap()
    };
    assert_eq!((&version["n_rows"], gone(&version, "minhash"), gone(&version, "words_list")), (&json!(20), 1, 1));
    assert_eq!(version["recipe"]["steps"][1]["words"], json!(["forbidden"]));
    let why = room.run(&["data", "why", "sources/a.jsonl-22"]);
    assert_eq!(why["dropped"]["step"], "words_list");

    let asked = "SELECT step_strip_html('<b>x</b> y') AS clean, step_gopher_quality('too short') AS reason";
    let answer = room.run(&["data", "query", asked]);
    assert_eq!(answer[0]["clean"], "x y");
    assert!(answer[0]["reason"].as_str().unwrap().contains("words"), "{answer}");

    let listed = room.run(&["data", "operators"]);
    assert!(listed.as_array().unwrap().len() >= 30);
    let (ok, _, says) = Room::new("[\"x\"]", "recipe = \"gofer\"\n").try_run(&["data", "import"]);
    assert!(!ok && says.contains("no recipe is called `gofer`"), "{says}");
}

#[test]
fn a_version_that_breaks_an_expectation_is_not_published() {
    let room = Room::new("[\"sources/a.csv\"]", "[data.mail.expectations]\nlabel_rows_min = 30\n");
    fs::write(room.path("sources/a.csv"), csv(0, 40)).unwrap();
    room.run(&["data", "import"]);
    let (ok, _, says) = room.try_run(&["data", "curate"]);
    assert!(
        !ok && says.contains("label_rows_min") && says.contains("not published") && says.contains("hint: "),
        "{says}"
    );
    assert_eq!(room.run(&["data", "list"]), json!([]));
    let file = fs::read_to_string(room.path("loopwright.toml")).unwrap();
    fs::write(room.path("loopwright.toml"), file.replace("label_rows_min = 30", "label_rows_min = 10")).unwrap();
    assert_eq!(room.run(&["data", "curate"])["dataset"], "mail@1");
}

#[test]
fn the_newest_rows_are_held_out_and_evaluation_texts_are_kept_away() {
    let steps = "evaluation = [\"sources/exam.csv\"]\nsteps = [{step = \"decontaminate\", ngram_words = 8}, \
                 {step = \"exact_dedup\"}, {step = \"split\", by = \"time\"}]\n";
    let room = Room::new("[\"sources/a.csv\"]", steps);
    let row = |n: usize| format!("r{n},{} {},x,2026-01-{:02}\n", message(n), message(n + 60), n + 1);
    let rows: String = (0..20).map(row).collect();
    fs::write(room.path("sources/a.csv"), format!("id,text,label,created_at\n{rows}")).unwrap();
    fs::write(room.path("sources/exam.csv"), format!("id,text,label\nq,{},x\n", message(5))).unwrap();
    room.run(&["data", "import"]);
    let version = room.run(&["data", "curate"]);
    assert_eq!(version["n_rows"], 19);
    assert_eq!(room.run(&["data", "why", "r5"])["dropped"]["step"], "decontaminate");
    let test = room.run(&["data", "show", "--split", "test"]);
    assert!(test.as_array().unwrap().iter().any(|row| row["row_id"] == "r19"), "{test}");
    assert_eq!(version["card"]["months"]["2026-01"]["sources/a.csv"], 19);
}

/// No file of the project holds any of these strings.
fn assert_is_gone(room: &Room, strings: &[&str]) {
    fn look(folder: &Path, strings: &[&str]) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, strings);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            for string in strings {
                let found = bytes.windows(string.len() + 1).any(|window| {
                    window.starts_with(string.as_bytes()) && !window[string.len()].is_ascii_alphanumeric()
                });
                assert!(!found, "`{string}` is still in {}", path.display());
            }
        }
    }
    look(&room.path(""), strings);
}
