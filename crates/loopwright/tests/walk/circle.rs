//! The circle test: the demo's whole walk on a small size, through the binary, with its outcomes asserted.

use crate::demo::{Demo, walk_files};
use serde_json::Value;

#[test]
fn the_loop_turns_and_every_promise_of_the_walk_holds() {
    let demo = Demo::new();
    let summary = demo.run_to_the_end();

    // Collect and curate: dirt is found, kept aside or dropped with reasons, and masked.
    assert!(u(&summary["collected"]["n_rows"]) > 900, "{}", summary["collected"]);
    assert!(u(&summary["collected"]["n_rejected"]) > 0, "malformed rows are kept aside");
    let card = &summary["curated"]["card"];
    for figure in ["n_exact_duplicates", "n_near_duplicates"] {
        assert!(u(&card[figure]) > 0, "{figure}: {card}");
    }
    assert!(card["labels"].as_object().unwrap().len() >= 12);
    for kind in ["email", "phone", "card", "person"] {
        assert!(u(&card["pii"][kind]) > 0, "no {kind} was masked");
    }
    assert_eq!(summary["curated"]["dataset"], "support@1");

    // Judge: better than always guessing, and the gate says so from the intervals.
    let judged = &summary["judged"];
    assert_eq!(judged["gate"]["verdict"], "pass");
    assert!(f(&judged["scores"]["accuracy"]["low"]) > f(&judged["baselines"][0]["accuracy"]["high"]));
    assert!(f(&judged["valid_json"]) > 0.9);
    assert!(judged["fairness"]["gap"]["low"].is_number());

    // Package and serve.
    assert_eq!(summary["packaged"]["package"]["digest"], summary["packaged"]["rebuilt"]);
    assert!(summary["served"]["answer"].as_str().unwrap().starts_with("{\"intent\":"));

    // Watch: every request became a trace, and nobody can be read in it.
    assert_eq!(u(&summary["watched"]["replayed"]["n_errors"]), 0);
    assert!(u(&summary["watched"]["n_with_personal_data"]) > 0);
    assert_eq!(u(&summary["watched"]["n_leaks"]), 0);

    // Drift: silent on the same month, alarmed by the later one.
    assert_eq!(summary["drift"]["first_month"]["alarm"], false, "{}", summary["drift"]["first_month"]);
    assert_eq!(summary["drift"]["later_month"]["alarm"], true, "{}", summary["drift"]["later_month"]);

    // Retrain and canary: promoted by the sequential test, and better beyond the intervals.
    let turned = &summary["retrained"];
    assert_eq!(turned["gate"]["gate"]["verdict"], "pass", "{}", turned["gate"]["gate"]);
    assert_eq!(turned["rollout"]["state"], "promoted", "{}", turned["rollout"]);
    assert!(f(&turned["rollout"]["evidence"]["e_better_max"]) >= 1.0 / f(&turned["rollout"]["alpha"]));
    assert!(f(&turned["accuracy_after"]["low"]) > f(&turned["accuracy_before"]["high"]), "{turned}");

    // Explain: the values add up.
    let explained = &summary["explained"];
    let sum: f64 = explained["segments"].as_array().unwrap().iter().map(|s| f(&s["shapley"])).sum();
    let difference = f(&explained["probability"]) - f(&explained["base_probability"]);
    assert!((sum - difference).abs() < 1e-6, "{sum} against {difference}");
    assert!(!explained["nearest"].as_array().unwrap().is_empty());

    erased_is_gone(&demo, &summary);

    // Hand over: the chain is whole, and the files are there.
    let checked = demo.command(&["audit", "verify"]);
    assert!(u(&checked["n_links"]) >= u(&summary["handed_over"]["n_events"]));
    assert_eq!(checked["broken"], Value::Null);
    assert_eq!(summary["handed_over"]["exports"].as_array().unwrap().len(), 2);

    // Answered requests are a source like any other.
    let path = demo.dir().join("loopwright.toml");
    let file = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, file.replace("\"sources/month-1.csv\"", "\"sources/month-1.csv\", \"traces:support\""))
        .unwrap();
    let collected = demo.command(&["data", "import", "--only-new"]);
    let n_traces = u(&summary["watched"]["n_traces"]);
    assert!(u(&collected["n_new"]) >= n_traces && n_traces > 0, "{collected}");
}

fn erased_is_gone(demo: &Demo, summary: &Value) {
    let erased = &summary["erased"];
    assert!(erased["exported"].as_array().unwrap().iter().take(2).all(|n| u(n) > 0));
    assert_eq!(u(&erased["n_rows_of_opted_out"]), 0);
    let erasure = &erased["erasure"];
    assert_eq!(erasure["state"], "done");
    assert!(erasure["receipt"].as_str().unwrap().starts_with("sha256:"));
    assert!(!erasure["models"].as_array().unwrap().is_empty());
    assert!(u(&erasure["n_files_scanned"]) > 10);
    // The example is made anew elsewhere to know what was planted: whoever is missing from the customers file now.
    let untouched = demo.example_again();
    let before = std::fs::read_to_string(untouched.path().join("example/sources/customers.csv")).unwrap();
    let after = std::fs::read_to_string(demo.dir().join("sources/customers.csv")).unwrap();
    let gone: Vec<&str> = before.lines().filter(|line| !after.contains(line)).collect();
    assert_eq!(gone.len(), 1, "exactly one customer is gone");
    // What somebody of the same household goes by as well (a phone) rightly stays with them.
    let own = |field: &&str| !after.contains(field);
    let planted: Vec<&str> = gone[0].split(',').take(5).map(|field| field.trim_matches('"')).filter(own).collect();
    assert!(planted.len() >= 3, "an identifier, a name and an e-mail are the person's own: {planted:?}");
    for (path, bytes) in walk_files(demo.dir()) {
        for string in &planted {
            assert!(!contains_word(&bytes, string.as_bytes()), "`{string}` is still in {}", path.display());
        }
    }
}

/// Is `needle` there, not as a part of a longer word?
fn contains_word(bytes: &[u8], needle: &[u8]) -> bool {
    let word = |at: Option<&u8>| at.is_some_and(u8::is_ascii_alphanumeric);
    bytes.windows(needle.len()).enumerate().any(|(at, window)| {
        window.eq_ignore_ascii_case(needle)
            && !word(at.checked_sub(1).and_then(|before| bytes.get(before)))
            && !word(bytes.get(at + needle.len()))
    })
}

fn u(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("expected a count, got {value}"))
}

fn f(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("expected a number, got {value}"))
}
