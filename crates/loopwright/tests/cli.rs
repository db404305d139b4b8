//! The command line as people and scripts meet it: exit codes, messages with a way out, one JSON document.
#![allow(clippy::unwrap_used, reason = "a test all through: its functions stop where it should stop")]

use assert_cmd::Command;
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// What a call came to.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is not one JSON document ({error}):\n{}", self.stdout))
    }

    /// Checks that it went well and that stdout has each of `words`.
    fn prints(&self, words: &[&str]) {
        assert_eq!(self.code, 0, "stderr:\n{}", self.stderr);
        for word in words {
            assert!(self.stdout.contains(word), "expected `{word}` in:\n{}", self.stdout);
        }
    }

    /// Checks the exit code and that stderr says each of `words`.
    fn says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "expected `{word}` in:\n{}", self.stderr);
        }
    }
}

fn run(argv: &[&str], dir: &Path) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_loopwright")).args(argv).current_dir(dir).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A fresh project.
fn project() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(&["init"], dir.path()).code, 0);
    dir
}

#[test]
fn what_cannot_be_understood_exits_with_2() {
    let dir = tempfile::tempdir().unwrap();
    run(&["modles"], dir.path()).says(2, &["modles", "similar", "'models'"]);
    run(&["models", "--jsn"], dir.path()).says(2, &["--json"]);
    run(&[], dir.path()).says(2, &["Usage:"]);
    run(&["deploy", "support"], dir.path()).says(2, &["name@version"]);
    let help = run(&["--help"], dir.path());
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    assert!(help.stdout.contains("erase"));
}

#[test]
fn a_folder_without_a_project_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    for argv in [&["models"][..], &["up"], &["run"], &["erase", "C-1"], &["audit", "verify"]] {
        run(argv, dir.path()).says(1, &["error: ", "loopwright.toml", "hint: ", "loopwright init"]);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "a refused command must not leave anything behind");
    let doctor = run(&["doctor"], dir.path());
    assert_eq!(doctor.code, 1);
    assert!(
        doctor.stdout.contains("FAIL  project file") && doctor.stdout.contains("loopwright init"),
        "{}",
        doctor.stdout
    );
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest() {
    let dir = project();
    let file = dir.path().join("loopwright.toml");
    let text = fs::read_to_string(&file).unwrap().replace("queue_max", "queue_maxx");
    fs::write(&file, text).unwrap();
    run(&["models"], dir.path()).says(1, &["unknown key `queue_maxx`", "line ", "hint: did you mean `queue_max`?"]);
}

#[test]
fn a_second_init_changes_nothing() {
    let dir = project();
    let file = dir.path().join("loopwright.toml");
    fs::write(&file, "# mine\n").unwrap();
    run(&["init"], dir.path()).says(1, &["is there already", "hint: "]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "# mine\n");
}

#[test]
fn a_port_in_use_is_named_with_the_way_out() {
    let dir = project();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    run(&["up", "--port", &port], dir.path()).says(1, &[&format!("port {port} is in use"), "hint: ", "--port"]);
    let doctor = run(&["doctor", "--port", &port], dir.path());
    assert_eq!(doctor.code, 1);
    assert!(doctor.stdout.contains("FAIL  port"), "{}", doctor.stdout);
}

#[test]
fn a_demo_does_not_touch_a_folder_that_holds_something_else() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "mine").unwrap();
    run(&["demo", "--dir", "."], dir.path()).says(1, &["not empty", "hint: ", "--dir"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_database_is_named_and_left_as_it_is() {
    let dir = project();
    assert_eq!(run(&["models"], dir.path()).code, 0);
    let file = dir.path().join(".loopwright/records.db");
    for beside in ["records.db-wal", "records.db-shm"] {
        fs::remove_file(file.with_file_name(beside)).ok();
    }
    let garbage = b"this is not a database, but long enough to look like a page of one ".repeat(200);
    fs::write(&file, &garbage).unwrap();
    run(&["models"], dir.path()).says(1, &["error: ", "records.db", "hint: "]);
    assert_eq!(fs::read(&file).unwrap(), garbage);
    let doctor = run(&["doctor"], dir.path());
    assert_eq!(doctor.code, 1);
    assert!(doctor.stdout.contains("FAIL  database"), "{}", doctor.stdout);
    assert_eq!(fs::read(&file).unwrap(), garbage);
}

#[test]
fn with_json_stdout_is_one_document_whatever_happens() {
    let dir = tempfile::tempdir().unwrap();
    let absent = run(&["models", "--json"], dir.path());
    assert_eq!(absent.code, 1);
    assert!(absent.json()["error"]["hints"][0].as_str().unwrap().contains("loopwright init"));
    assert!(run(&["init", "--json"], dir.path()).json()["written"].as_array().is_some_and(|files| files.len() == 3));
    for list in ["models", "runs", "routes", "traces", "jobs"] {
        assert_eq!(run(&[list, "--json"], dir.path()).json(), serde_json::json!([]), "{list}");
    }
    for list in [
        &["data", "list", "--json"][..],
        &["feedback", "list", "--json"],
        &["drift", "--list", "--json"],
        &["erase", "--list", "--json"],
    ] {
        assert_eq!(run(list, dir.path()).json(), serde_json::json!([]), "{list:?}");
    }
    let parts = run(&["doctor", "--json", "--port", "0"], dir.path());
    assert_eq!(parts.code, 0, "{}", parts.stdout);
    assert!(parts.json().as_array().unwrap().iter().any(|part| part["part"] == "event log" && part["health"] == "ok"));
}

#[test]
fn an_empty_list_says_what_to_do_on_stderr() {
    let dir = project();
    for (argv, way) in [
        (&["models"][..], "loopwright run train"),
        (&["data", "list"], "loopwright run curate"),
        (&["data", "rejected"], "loopwright data import"),
        (&["traces"], "loopwright up"),
        (&["routes"], "loopwright run deploy"),
        (&["key", "list"], "loopwright key make"),
        (&["drift", "--list"], "loopwright drift"),
    ] {
        let ran = run(argv, dir.path());
        ran.says(0, &[way]);
        assert_eq!(ran.stdout, "", "{argv:?}");
    }
}

#[test]
fn stages_that_lack_what_comes_before_say_which_command_makes_it() {
    let dir = project();
    for (argv, way) in [
        (&["train"][..], "loopwright data curate"),
        (&["data", "card"], "loopwright data curate"),
        (&["rollback"], "loopwright deploy"),
        (&["explain", "--text", "hello there"], "loopwright run deploy"),
        (&["explain", "tr_none"], "loopwright traces"),
        (&["erase", "C-0001"], "customers file"),
        (&["data", "import"], "sources"),
        (&["run", "jugde"], "judge"),
        (&["models", "--loop", "x"], ""),
    ] {
        let ran = run(argv, dir.path());
        if way.is_empty() {
            assert_eq!(ran.code, 0, "a list takes every loop: {}", ran.stderr);
        } else {
            ran.says(1, &["error: ", "hint: ", way]);
        }
    }
}

#[test]
fn a_key_is_shown_once_and_can_be_withdrawn() {
    let dir = project();
    let made = run(&["key", "make", "--owner", "shop"], dir.path());
    made.says(0, &["shown only now"]);
    let secret = made.stdout.trim().to_string();
    assert!(secret.len() >= 43, "256 bits do not fit into `{secret}`");
    let keys = run(&["key", "list", "--json"], dir.path());
    assert!(!keys.stdout.contains(&secret));
    let id = keys.json()[0]["id"].as_str().unwrap().to_string();
    assert_eq!(run(&["key", "revoke", &id], dir.path()).code, 0);
    assert!(run(&["key", "list"], dir.path()).stdout.contains("revoked"));
    run(&["key", "revoke", "key_none"], dir.path()).says(1, &["key_none", "loopwright key list"]);
}

#[test]
fn a_key_has_limits_that_can_be_changed() {
    let dir = project();
    let args =
        ["key", "make", "--owner", "shop", "--expires", "90d", "--models", "support", "--requests-per-minute", "60"];
    let made =
        run(&[&args[..], &["--budget-usd", "25.50", "--limit", "tokens/hour=1000", "--json"]].concat(), dir.path());
    let id = made.json()["id"].as_str().unwrap().to_string();
    let limit =
        |of: &str, window: &str, at_most: u64| serde_json::json!({"of": of, "window": window, "at_most": at_most});
    let limits =
        [limit("requests", "minute", 60), limit("micro_usd", "month", 25_500_000), limit("tokens", "hour", 1000)];
    assert_eq!(made.json()["limits"], serde_json::json!(limits));
    run(&["key", "show", &id], dir.path()).prints(&["60 requests/minute", "$25.50/month", "support", "ever"]);
    let updated =
        run(&["key", "update", &id, "--requests-per-minute", "5", "--all-models", "--no-expiry", "--json"], dir.path());
    assert_eq!(updated.json()["limits"][2], limit("requests", "minute", 5));
    assert_eq!(
        (&updated.json()["routes"], &updated.json()["expires_at"]),
        (&serde_json::json!([]), &serde_json::Value::Null)
    );
    let shown = run(&["key", "show", &id, "--json"], dir.path()).json();
    assert_eq!(shown["used"]["total"]["requests"], 0);
    assert!(shown.get("hash").is_none());
    for (args, says) in [
        (["--limit", "requests/week=1"], "got `week`"),
        (["--limit", "cents/day=1"], "expected requests, tokens or usd"),
        (["--expires", "yesterday"], "`yesterday` is no time"),
        (["--models", "nobody"], "the project has no route `nobody`"),
        (["--budget-usd", "1e3"], "expected dollars"),
    ] {
        run(&[&["key", "update", &id][..], &args].concat(), dir.path()).says(1, &[says]);
    }
}

#[test]
fn a_key_is_for_routes_of_providers_too() {
    let dir = project();
    let file = dir.path().join("loopwright.toml");
    let more = "\n[provider.near]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:9/v1\"\nallow_private = true\n\
                \n[route.chat]\nvariants = [{provider = \"near\", model = \"m\"}]\n";
    fs::write(&file, fs::read_to_string(&file).unwrap() + more).unwrap();
    let made = run(&["key", "make", "--owner", "shop", "--models", "chat", "--json"], dir.path());
    assert_eq!(made.json()["routes"], serde_json::json!(["chat"]), "{}", made.stderr);
    run(&["key", "make", "--owner", "shop", "--models", "nobody"], dir.path()).says(1, &["it has: chat, support"]);
}

#[test]
fn prompts_have_versions_that_stay_and_labels_that_move() {
    let dir = project();
    let save = |text: &str, more: &[&str]| {
        std::fs::write(dir.path().join("kind.txt"), text).unwrap();
        run(&[&["prompt", "save", "kind", "kind.txt"][..], more].concat(), dir.path())
    };
    save("Be kind to {{ shop }}.", &["--label", "production"]).prints(&["kind@1"]);
    save("Be brief.", &[]).prints(&["kind@2"]);
    save("Be brief.", &["--label", "staging"]).prints(&["kind@2"]);
    save("{{ broken", &[]).says(1, &["the template cannot be read"]);
    let listed = run(&["prompt", "list", "--json"], dir.path()).json();
    assert_eq!(listed[0]["labels"], serde_json::json!({"production": 1, "staging": 2}));
    run(&["prompt", "label", "kind", "production", "2"], dir.path()).prints(&["kind:production is kind@2"]);
    run(&["prompt", "label", "kind", "production", "3"], dir.path()).says(1, &["has no version 3"]);
    run(&["prompt", "show", "kind", "--version", "1"], dir.path()).prints(&["Be kind to {{ shop }}."]);
    run(&["prompt", "show", "nobody"], dir.path()).says(1, &["there is no prompt `nobody`"]);
}

#[test]
fn a_log_that_was_handed_over_is_checked_link_by_link() {
    let dir = project();
    for owner in ["a", "b", "c"] {
        assert_eq!(run(&["key", "make", "--owner", owner], dir.path()).code, 0);
    }
    let intact = run(&["audit", "verify", "--json"], dir.path());
    assert_eq!((intact.code, intact.json()["n_links"].as_u64()), (0, Some(3)));
    assert_eq!(run(&["audit", "export", "--out", "log.jsonl"], dir.path()).code, 0);
    let log = dir.path().join("log.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(run(&["audit", "verify", "--from-file", "log.jsonl"], dir.path()).code, 0);
    let tampered: Vec<String> = text
        .lines()
        .enumerate()
        .map(|(index, line)| if index == 1 { line.replace("inference", "admin") } else { line.to_string() })
        .collect();
    assert_ne!(tampered.join("\n") + "\n", text);
    fs::write(&log, tampered.join("\n")).unwrap();
    let broken = run(&["audit", "verify", "--from-file", "log.jsonl"], dir.path());
    assert_eq!(broken.code, 1);
    assert!(broken.stdout.contains("BROKEN at link 2"), "{}", broken.stdout);
    run(&["audit", "export", "--out", "log.jsonl"], dir.path()).says(1, &["is there already"]);
}

#[test]
fn the_pipeline_is_written_for_others() {
    let dir = project();
    let written = run(&["export", "kubeflow", "--json"], dir.path()).json();
    let file = dir.path().join(written["file"].as_str().unwrap());
    assert!(fs::read_to_string(file).unwrap().contains("schemaVersion: 2.1.0"));
    assert_eq!(run(&["export", "airflow", "--out", "dag.py"], dir.path()).code, 0);
    assert!(fs::read_to_string(dir.path().join("dag.py")).unwrap().contains("DAG("));
}

/// A server that is up, ended with the test.
struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[cfg(unix)]
#[test]
fn up_answers_at_once_and_ends_well_when_asked() {
    let dir = project();
    let began = Instant::now();
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_loopwright"))
        .args(["up", "--port", "0"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut up = Up(child);
    let mut lines = BufReader::new(up.0.stdout.take().unwrap()).lines();
    let address = lines.next().unwrap().unwrap().replace("address  http://", "");
    assert!(lines.next().unwrap().unwrap().contains("/sign-in?token="));
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
        .write_all(format!("GET /health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    // One second is the promise for a release build on a quiet machine; tests share theirs.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let asked = std::process::Command::new("kill").arg(up.0.id().to_string()).status().unwrap();
    assert!(asked.success());
    let ended = up.0.wait().unwrap();
    assert_eq!(ended.code(), Some(0));
    let mut said = String::new();
    up.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("stopping"), "{said}");
}
