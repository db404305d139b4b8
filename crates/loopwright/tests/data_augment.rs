//! New rows and what a dataset stands for, through the binary.
#![allow(clippy::unwrap_used, reason = "a test all through: its functions stop where it should stop")]

use serde_json::{Value, json};
use std::{fs, path::PathBuf, process::Command};
use tempfile::TempDir;

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
        command.env_remove("OPENAI_BASE_URL").env_remove("OPENAI_API_KEY");
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
    for command in [&["data", "augment", "--noise"][..], &["data", "robustness"]] {
        fails(command, &["has no version yet", "hint: run `loopwright data curate`"]);
    }
    fails(&["data", "augment"], &["--noise", "--slots", "Usage"]);
    room.run(&["data", "import"]);
    room.run(&["data", "curate"]);
    fails(&["data", "augment", "--noise=-1"], &["these settings make no rows", "expected 0 to 1"]);
    fails(&["data", "augment", "--noise", "--share", "2"], &["`augment.share` is 2", "at most 1"]);
    fails(&["data", "augment", "mail@9", "--noise"], &["mail@9"]);

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
