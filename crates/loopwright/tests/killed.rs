//! Killed with SIGKILL at several stages, the same command goes on: finished stages are not run again, nothing is half-written.

mod demo;

use demo::Demo;
use serde_json::Value;
use std::collections::BTreeMap;

/// Moments in the walk: while raw rows become a version, in the middle of training, of a replay, and of the turn.
const MOMENTS: [&str; 4] = ["[2/12]", "fine-tuning", "[8/12]", "[9/12]"];

#[test]
fn a_killed_demo_goes_on_where_it_was() {
    let demo = Demo::new();
    for moment in MOMENTS {
        let said = demo.kill_when_it_says(moment);
        // Stages that were finished before say so instead of running.
        let titles = said.iter().filter(|line| line.starts_with('[')).count();
        let skipped = said.iter().filter(|line| line.contains("done before")).count();
        assert!(skipped <= titles);
        let checked = demo.command(&["audit", "verify"]);
        assert_eq!(checked["broken"], Value::Null, "the chain is whole after a kill at `{moment}`");
    }
    let summary = demo.run_to_the_end();
    let cached = summary["stages"].as_array().unwrap().iter().filter(|stage| stage["cached"] == true).count();
    assert_eq!(cached, 8, "the stages before `{}` were not run again", MOMENTS[3]);
    assert_eq!(summary["retrained"]["rollout"]["state"], "promoted");
    assert_eq!(summary["erased"]["erasure"]["state"], "done");

    // No stage was finished twice, no training was begun twice, no request was counted twice.
    let mut finished: BTreeMap<String, u64> = BTreeMap::new();
    let mut n_runs = 0;
    for event in demo.command(&["audit", "list", "--limit", "1000000"]).as_array().unwrap() {
        match event["kind"].as_str().unwrap() {
            "step.finished" => *finished.entry(event["about"]["id"].as_str().unwrap().to_string()).or_default() += 1,
            "run.started" => n_runs += 1,
            _ => {}
        }
    }
    assert!(finished.values().all(|n| *n == 1), "{finished:?}");
    assert_eq!(n_runs, 5, "a base and an adapter, the grown adapter, and both again without the erased rows");
    let watched = &summary["watched"];
    let traces = demo.command(&["traces", "--tag", "month-1", "--limit", "100000"]);
    let subject_rows = watched["n_traces"].as_u64().unwrap() as usize;
    assert!(traces.as_array().unwrap().len() <= subject_rows);
}
