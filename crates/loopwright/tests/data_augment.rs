//! New rows and what a dataset stands for, through the binary.
#![allow(clippy::unwrap_used, reason = "a test all through: its functions stop where it should stop")]

use loopwright_pipeline::store::{Change, Store};
use loopwright_types::{EntityRef, Timestamp, event::NewEvent, trace::Trace};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    thread::JoinHandle,
};
use tempfile::TempDir;

/// What the endpoint of synthetic rows wants to see.
const KEY: &str = "key-of-the-test";

/// A project with one source of labelled messages.
struct Room {
    dir: TempDir,
}

impl Room {
    /// With the messages as a version.
    fn new() -> Self {
        let room = Self::empty();
        room.run(&["data", "import"]);
        assert_eq!(room.run(&["data", "curate"])["dataset"], "mail@1");
        room
    }

    fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sources")).unwrap();
        let file = "[project]\nname = \"room\"\n[data.mail]\nsources = [\"sources/a.csv\"]\ncustomers = \"\"\n\
                    languages = []\n";
        fs::write(dir.path().join("loopwright.toml"), file).unwrap();
        fs::write(dir.path().join("sources/a.csv"), rows()).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Value {
        let (ok, stdout, stderr) = self.try_run(&[args, &["--json"]].concat());
        assert!(ok, "{args:?}: {stderr}");
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {stdout}"))
    }

    fn try_run(&self, args: &[&str]) -> (bool, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loopwright"));
        command.env_remove("OPENAI_BASE_URL").env("OPENAI_API_KEY", KEY);
        let output = command.args(args).current_dir(self.dir.path()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    /// The rows of a version by a query.
    fn query(&self, sql: &str) -> Vec<Value> {
        self.run(&["data", "query", sql]).as_array().unwrap().clone()
    }

    fn count(&self, sql: &str) -> u64 {
        self.query(&format!("SELECT count(*) AS n FROM {sql}"))[0]["n"].as_u64().unwrap()
    }
}

/// 240 messages of three labels by twelve people. Each has words of its own, so that none is like another, words of its
/// label, and a number.
fn rows() -> String {
    let words = ["kettle", "lamp", "bicycle", "garden", "backpack", "radio", "teapot", "mirror", "clock", "carpet"];
    let mut rows = String::from("id,text,label,customer\n");
    for n in 0..240 {
        let own: Vec<String> = (0..6).map(|k| format!("{}{}", words[(n * 7 + k * 3) % 10], n * 6 + k)).collect();
        let (label, about) = match n % 3 {
            0 => ("delivery", format!("parcel waited {} days", n + 2)),
            1 => ("billing", format!("invoice over {} euros", n + 2)),
            _ => ("damage", format!("broken in {} pieces", n + 2)),
        };
        rows += &format!("r{n},{about} {},{label},C-{}\n", own.join(" "), n % 12);
    }
    rows
}

#[test]
fn the_next_version_has_the_rows_and_marked_new_ones_in_train_only() {
    let room = Room::new();
    let made = room.run(&["data", "augment", "--noise=2", "--slots", "--share", "0.5"]);
    let version = &made["version"];
    assert_eq!((&version["dataset"], &version["parent"]), (&json!("mail@2"), &json!("mail@1")));
    let (noise, slots) = (made["added"]["noise"].as_u64().unwrap(), made["added"]["slots"].as_u64().unwrap());
    assert!(noise > 40 && slots > 40, "{made}");
    assert_eq!(version["card"]["n_augmented"], made["added"]);
    assert_eq!(version["recipe"]["augment"]["share"], 0.5);

    let before = room.count("examples_mail_1");
    assert_eq!(version["n_rows"].as_u64().unwrap(), before + noise + slots);
    assert_eq!(room.count("examples_mail_2 WHERE origin = 'augmented'"), noise + slots);
    assert_eq!(room.count("examples_mail_2 WHERE origin = 'augmented' AND split <> 'train'"), 0);
    let strays = "examples_mail_2 AS new JOIN examples_mail_2 AS old ON new.origin_trace = old.row_id \
                  WHERE new.subject <> old.subject OR new.label <> old.label OR old.split <> 'train'";
    assert_eq!(room.count(strays), 0, "subject, label and split are the parent's");

    // The same again is the same version; on top of it, there are further rows.
    let again = room.run(&["data", "augment", "mail@1", "--noise=2", "--slots", "--share", "0.5"]);
    assert_eq!(again["version"]["digest"], version["digest"]);
    assert_eq!(again["version"]["dataset"], "mail@2");
    let more = room.run(&["data", "augment", "--noise"]);
    assert_eq!((&more["version"]["dataset"], &more["version"]["parent"]), (&json!("mail@3"), &json!("mail@2")));
    assert_eq!(
        room.count(
            "examples_mail_3 AS a JOIN examples_mail_3 AS b ON a.origin_trace = b.row_id WHERE b.origin = 'augmented'"
        ),
        0
    );
    let (_, card, _) = room.try_run(&["data", "card", "mail@2"]);
    assert!(card.contains(&format!("by what made them: {noise} noise, {slots} slots")), "{card}");
    let (ok, table, says) = room.try_run(&["data", "augment", "mail@1", "--slots"]);
    assert!(ok && table.contains("slots") && says.contains("loopwright train"), "{table}{says}");
}

#[test]
fn an_erasure_takes_the_rows_made_of_a_persons_rows() {
    let room = Room::new();
    room.run(&["data", "augment", "--noise", "--share", "1"]);
    let of = |person: &str| format!("examples_mail_2 WHERE origin = 'augmented' AND subject = '{person}'");
    let rows = room.query("SELECT subject FROM examples_mail_2 WHERE row_id = 'r3'");
    let person = rows[0]["subject"].as_str().unwrap();
    assert!(room.count(&of(person)) > 5);
    let erasure = room.run(&["erase", "C-3"]);
    assert_eq!(erasure["state"], "done", "{erasure}");
    assert_eq!(room.count(&of(person)), 0);
    assert!(room.count("examples_mail_2 WHERE origin = 'augmented'") > 50, "the others stay");
}

#[test]
fn nobody_who_opted_out_is_a_parent() {
    let room = Room::new();
    let rows = room.query("SELECT subject FROM examples_mail_1 WHERE row_id = 'r3'");
    let person = rows[0]["subject"].as_str().unwrap();
    room.run(&["subject", "opt-out", "C-3"]);
    room.run(&["data", "augment", "--noise", "--share", "1"]);
    assert_eq!(room.count(&format!("examples_mail_2 WHERE subject = '{person}'")), 0);
    assert!(room.count("examples_mail_2 WHERE origin = 'augmented'") > 50);
}

#[test]
fn robustness_compares_clean_and_noisy_rows_with_and_without() {
    let room = Room::new();
    let made = room.run(&["data", "robustness", "--noise", "3"]);
    assert_eq!(made["new_rows_are_stored"], false);
    let n_test = made["n_test"].as_u64().unwrap();
    assert!(n_test > 20 && made["n_synthetic"].as_u64().unwrap() > 200, "{made}");
    for figure in ["plain_clean", "plain_noised", "augmented_clean", "augmented_noised"] {
        let at = |end: &str| made[figure][end].as_f64().unwrap();
        assert!(
            0.0 <= at("low") && at("low") <= at("point") && at("point") <= at("high") && at("high") <= 1.0,
            "{made}"
        );
    }
    assert!(made["plain_clean"]["point"].as_f64().unwrap() > 0.9, "{made}");
    let versions = room.run(&["data", "list"]);
    assert_eq!(versions.as_array().unwrap().len(), 1, "a report makes no version");

    room.run(&["data", "augment", "--noise=3", "--share", "1"]);
    let stored = room.run(&["data", "robustness", "--noise", "3"]);
    assert_eq!(stored["new_rows_are_stored"], true);
    assert_eq!(stored["plain_noised"], made["plain_noised"], "the same test rows, the same noise");
    let (ok, table, _) = room.try_run(&["data", "robustness"]);
    assert!(ok && table.contains("clean") && table.contains("noisy") && table.contains('['), "{table}");
}

#[test]
fn what_cannot_be_done_says_what_to_do() {
    let room = Room::empty();
    let fails = |args: &[&str], words: &[&str]| {
        let (ok, _, says) = room.try_run(args);
        assert!(!ok && words.iter().all(|word| says.contains(word)), "{args:?}: {says}");
    };
    for command in
        [&["data", "augment", "--noise"][..], &["data", "robustness"], &["data", "coverage"], &["data", "diversity"]]
    {
        fails(command, &["has no version yet", "hint: run `loopwright data curate`"]);
    }
    fails(&["data", "augment"], &["--noise", "--slots", "Usage"]);
    room.run(&["data", "import"]);
    room.run(&["data", "curate"]);
    fails(&["data", "augment", "--noise=-1"], &["these settings make no rows", "expected 0 to 1"]);
    fails(&["data", "augment", "--noise", "--share", "2"], &["`augment.share` is 2", "at most 1"]);
    fails(&["data", "augment", "mail@9", "--noise"], &["mail@9"]);
    fails(&["data", "augment", "--noise", "--model", "m"], &["--synthetic"]);
    fails(&["data", "augment", "--synthetic", "3"], &["nobody is named", "hint: name a route"]);
    let odd = ["data", "augment", "--synthetic", "3", "--model", "m", "--base-url", "ftp://api.example/v1"];
    fails(&odd, &["no address of an HTTP server", "hint: name an endpoint"]);
    fails(&["data", "coverage"], &["route `mail` has no traces yet", "hint: traces come from"]);
    fails(&["data", "coverage", "--tag", "x"], &["no traces with the tag `x`"]);
    fails(&["data", "diversity", "--model", "none@1"], &["none@1"]);

    // Rows without labels: there is nothing to keep, and nothing to judge by.
    let file = fs::read_to_string(room.path("loopwright.toml")).unwrap();
    let steps = "steps = [{ step = \"exact_dedup\" }, { step = \"split\" }]\n";
    fs::write(room.path("loopwright.toml"), file + steps).unwrap();
    fs::write(room.path("sources/a.csv"), rows().replace("text,label", "text,kind")).unwrap();
    room.run(&["data", "import"]);
    room.run(&["data", "curate"]);
    for command in [&["data", "augment", "--slots"][..], &["data", "robustness"]] {
        fails(command, &["no row of `mail@2` has a label", "hint: name the column"]);
    }
    assert!(room.run(&["data", "augment", "--noise"])["added"]["noise"].as_u64().unwrap() > 10);
}

#[test]
fn coverage_shows_what_is_asked_for_and_not_learned() {
    let room = Room::new();
    room.ask(400);
    let found = room.run(&["data", "coverage"]);
    assert_eq!(
        (&found["route"], &found["n_requests"], &found["vectors"]),
        (&json!("mail"), &json!(400), &json!("words"))
    );
    let missed = &found["traffic_not_covered"];
    // Half of the requests are about passwords, no row is.
    assert!(missed["low"].as_f64().unwrap() < 0.5 && missed["high"].as_f64().unwrap() > 0.5, "{found:#}");
    let region = &found["hardly_learned"][0];
    assert!(region["requests"][0]["text"].as_str().unwrap().contains("password"), "{found:#}");
    assert!(region["dataset"]["point"].as_f64().unwrap() < 0.05);
    let tagged = room.run(&["data", "coverage", "--tag", "new", "--regions", "2"]);
    assert_eq!(tagged["n_requests"], 200);
    let (ok, table, _) = room.try_run(&["data", "coverage"]);
    assert!(ok && table.contains("asked for and hardly learned") && table.contains("password"), "{table}");
}

#[test]
fn diversity_is_measured_for_all_rows_and_for_each_label() {
    let room = Room::new();
    let found = room.run(&["data", "diversity"]);
    let interval = |set: &Value, figure: &str| set[figure]["point"].as_f64().unwrap();
    assert_eq!((&found["all"]["n_rows"], &found["all"]["rows_sampled"]), (&json!(240), &json!(30)));
    assert_eq!(found["labels"].as_object().unwrap().len(), 3);
    for set in found["labels"].as_object().unwrap().values() {
        assert_eq!((&set["n_rows"], &set["rows_sampled"]), (&json!(80), &json!(10)));
        assert!(interval(set, "vendi") > 1.0 && interval(set, "vendi") <= 10.0);
    }
    let test = room.run(&["data", "diversity", "--split", "train"]);
    assert!(test["all"]["n_rows"].as_u64().unwrap() < 240);
    let small = room.run(&["data", "diversity", "--split", "test"]);
    assert_eq!(small["labels"], json!({}), "too few rows of each label");
    assert_eq!(small["labels_too_small"].as_object().unwrap().len(), 3);
    // Copies make a set less diverse, at the same number of rows per sample.
    room.run(&["data", "augment", "--noise", "--share", "1", "--copies", "3"]);
    let more = room.run(&["data", "diversity"]);
    assert!(
        interval(&more["labels"]["billing"], "self_overlap") > interval(&found["labels"]["billing"], "self_overlap")
    );
    let (ok, table, _) = room.try_run(&["data", "diversity"]);
    assert!(ok && table.contains("VENDI") && table.contains("billing"), "{table}");
}

#[test]
fn a_model_of_the_project_gives_the_vectors() {
    let room = Room::new();
    room.ask(40);
    let file = fs::read_to_string(room.path("loopwright.toml")).unwrap();
    let tiny = "[train.mail]\nvocab_size = 300\nhidden_size = 16\nn_layers = 1\nn_heads = 2\npretrain_epochs = 1\n";
    fs::write(room.path("loopwright.toml"), file + tiny).unwrap();
    room.run(&["train", "--base-only"]);
    let by_words = room.run(&["data", "diversity"]);
    let by_model = room.run(&["data", "diversity", "--model", "mail-base@1"]);
    assert_eq!((&by_words["vectors"], &by_model["vectors"]), (&json!("words"), &json!("mail-base@1")));
    assert_ne!(by_words["all"]["vendi"], by_model["all"]["vendi"]);
    assert_eq!(by_words["all"]["distinct_2"], by_model["all"]["distinct_2"], "words are words");
    let covered = room.run(&["data", "coverage", "--model", "mail-base@1", "--regions", "3"]);
    assert_eq!((&covered["vectors"], &covered["n_requests"]), (&json!("mail-base@1"), &json!(40)));
}

#[test]
fn rows_that_a_model_writes_are_added_only_if_they_pass() {
    let room = Room::new();
    let writer = Writer::start(6);
    let (url, n) = (writer.url.clone(), "6");
    let made = room.run(&["data", "augment", "--synthetic", n, "--base-url", &url, "--model", "writer"]);
    let asked = writer.stop();
    assert_eq!(made["added"], json!({"synthetic": 1}), "{made:#}");
    let refused = json!({"copy": 1, "label": 2, "personal_data": 1, "unreadable": 1});
    assert_eq!(made["refused"], json!({"synthetic": refused}));
    let rows = room.query("SELECT * FROM examples_mail_2 WHERE origin_generator = 'synthetic'");
    assert_eq!(rows.len(), 1);
    assert!(rows[0]["row_id"].as_str().unwrap().ends_with("~synthetic-1") && rows[0]["split"] == "train");
    let parent = room.query(&format!(
        "SELECT * FROM examples_mail_1 WHERE row_id = '{}'",
        rows[0]["origin_trace"].as_str().unwrap()
    ));
    assert_eq!((&parent[0]["subject"], &parent[0]["label"]), (&rows[0]["subject"], &rows[0]["label"]));
    assert!(asked.iter().all(|request| request.key == format!("Bearer {KEY}") && request.body["model"] == "writer"));
    assert!(!fs::read_to_string(room.path("loopwright.toml")).unwrap().contains(KEY));
    let version = room.run(&["data", "list"])[0].to_string();
    assert!(version.contains("\"n_rows\":6") && !version.contains(KEY), "{version}");
    let dropped = room.run(&["data", "dropped", "mail@2"]);
    assert_eq!(dropped.as_array().unwrap().len(), 5);

    let refusing = Writer::start(0);
    let url = refusing.url.clone();
    let (ok, _, says) = room.try_run(&["data", "augment", "--synthetic", "1", "--base-url", &url, "--model", "writer"]);
    assert!(!ok && says.contains("answered with 401") && says.contains("OPENAI_API_KEY"), "{says}");
    refusing.stop();
}

impl Room {
    /// Puts requests into the project as a server would: half of them, tagged, about what no row is about.
    fn ask(&self, n_requests: usize) {
        let rows: Vec<String> = rows().lines().skip(1).map(|row| row.split(',').nth(1).unwrap().to_string()).collect();
        let trace = |n: usize| {
            let is_new = n.is_multiple_of(2);
            let input = match is_new {
                true => "i forgot my password and cannot sign in to my account".to_string(),
                false => rows[n * 3 % rows.len()].clone(),
            };
            Trace {
                id: format!("t{n}").as_str().into(),
                at: Timestamp(n as i64),
                route: "mail".into(),
                variant: "live".into(),
                model: "mail@1".parse().unwrap(),
                key: None,
                subject: None,
                input,
                output: "{}".into(),
                tokens_in: 1,
                tokens_out: 1,
                latency_ms: 1.0,
                first_token_ms: 1.0,
                status: 200,
                finish: "stop".into(),
                tag: is_new.then(|| "new".into()),
                detail: Default::default(),
            }
        };
        let traces = (0..n_requests).map(trace).collect();
        let event = NewEvent::new("test", "traces.recorded", EntityRef::new("project", "room"));
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let store = Store::create_or_open(self.dir.path()).await.unwrap();
            store.apply(event, vec![Change::Traces(traces)]).await.unwrap();
        });
    }
}

/// A model that writes rows, each in another way wrong but one.
struct Writer {
    url: String,
    answering: JoinHandle<Vec<Asked>>,
}

/// A request as the model saw it.
struct Asked {
    key: String,
    body: Value,
}

impl Writer {
    /// Answers so many requests and then ends; with none to answer, refuses one.
    fn start(n_requests: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let answering = std::thread::spawn(move || {
            let one = |n: usize| {
                let (stream, _) = listener.accept().unwrap();
                answer(stream, (n_requests > 0).then_some(n))
            };
            (0..n_requests.max(1)).map(one).collect()
        });
        Self { url, answering }
    }

    fn stop(self) -> Vec<Asked> {
        self.answering.join().unwrap()
    }
}

/// Reads a request and answers it with the `n`th kind of row, or refuses it.
fn answer(stream: TcpStream, n: Option<usize>) -> Asked {
    let mut reader = BufReader::new(stream);
    let (mut key, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => key = value.to_string(),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap(),
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let (status, answer) = match n {
        Some(n) => ("200 OK", json!({"choices": [{"message": {"role": "assistant", "content": row(n, &body)}}]})),
        None => ("401 Unauthorized", json!({"error": {"message": "no such key"}})),
    };
    let answer = answer.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close",
        answer.len()
    );
    write!(reader.get_mut(), "{head}\r\n\r\n{answer}").unwrap();
    Asked { key, body }
}

/// A copy, a row with an address, a row that says it has another label, one that reads like another label, no row, a row.
fn row(n: usize, request: &Value) -> String {
    let asked = request["messages"][1]["content"].as_str().unwrap();
    let label = asked.split('`').nth(1).unwrap();
    let example = asked.split("\n\n").nth(1).unwrap();
    let good = |label: &str| match label {
        "delivery" => "has the parcel waited for days",
        "billing" => "an invoice over too many euros",
        _ => "broken in many pieces",
    };
    let other = if label == "billing" { "damage" } else { "billing" };
    let text = match n {
        0 => example.to_string(),
        1 => format!("{}, write to mara@mail.example", good(label)),
        3 => format!("{} once more", good(other)),
        4 => return "{\"text\": \"a broken".to_string(),
        _ => format!("{} again", good(label)),
    };
    json!({"text": text, "label": if n == 2 { other } else { label }}).to_string()
}
