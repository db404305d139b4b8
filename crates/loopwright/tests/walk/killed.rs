//! Killed with SIGKILL at several moments, the same command goes on: finished stages are not run again, nothing is
//! half-written, nothing is counted twice.

use crate::demo::Demo;
use serde_json::Value;
use std::collections::BTreeMap;

/// The demo is killed as soon as the event log tells this: rows become a version; in the middle of pre-training; of a
/// replay; while a canary takes traffic; after a person's rows are removed and before their models are replaced.
const MOMENTS: [&str; 5] =
    ["source.collected", "run.advanced", "feedback.received", "rollout.started", "erasure.removed"];

#[test]
fn a_killed_demo_goes_on_where_it_was() {
    let demo = Demo::new();
    for moment in MOMENTS {
        demo.kill_when_the_log_tells(moment);
        let checked = demo.command(&["audit", "verify"]);
        assert_eq!(checked["broken"], Value::Null, "the chain is whole after a kill at `{moment}`");
    }
    let summary = demo.run_to_the_end();
    let cached = summary["stages"].as_array().unwrap().iter().filter(|stage| stage["cached"] == true).count();
    assert_eq!(cached, 10, "the stages before the erasure were not run again");
    assert_eq!(summary["retrained"]["rollout"]["state"], "promoted", "{}", summary["retrained"]["rollout"]);
    assert_eq!(summary["erased"]["erasure"]["state"], "done");

    let events = demo.command(&["audit", "list", "--limit", "1000000"]);
    let mut finished: BTreeMap<&str, u64> = BTreeMap::new();
    let mut n_runs = 0;
    for event in events.as_array().unwrap() {
        match event["kind"].as_str().unwrap() {
            "step.finished" => *finished.entry(event["about"]["id"].as_str().unwrap()).or_default() += 1,
            "run.started" => n_runs += 1,
            _ => {}
        }
    }
    assert_eq!(finished.len(), 12);
    assert!(finished.values().all(|n| *n == 1), "no stage was finished twice: {finished:?}");
    assert_eq!(n_runs, 5, "a base and an adapter, the grown adapter, and both again without the erased rows");
    let traces = demo.command(&["traces", "--tag", "month-1", "--limit", "100000"]);
    let n_erased = summary["erased"]["erasure"]["removed"]["traces with their feedback"].as_u64().unwrap();
    let (n_traces, n_watched) = (traces.as_array().unwrap().len() as u64, u64_of(&summary["watched"]["n_traces"]));
    assert!(n_traces <= n_watched && n_watched <= n_traces + n_erased, "{n_traces} of {n_watched}, {n_erased} erased");
}

fn u64_of(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("expected a count, got {value}"))
}
