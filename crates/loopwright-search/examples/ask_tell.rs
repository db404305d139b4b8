//! A study behind a pipe: one JSON object per line in, one out. `bench/search.py` drives it, and any language can.
//!
//! ```text
//! {"new": {"space": {"x": {"type": "float", "low": 0, "high": 1}}, "direction": "minimise", "seed": 1}}   → {"ok": true}
//! {"ask": {}}                                          → {"number": 0, "params": {"x": 0.5}}
//! {"report": {"number": 0, "step": 1, "value": 0.4}}   → {"prune": false}
//! {"tell": {"number": 0, "value": 0.3}}                → {"ok": true}
//! {"prune": {"number": 0}}                             → {"ok": true}
//! {"best": {}}                                         → the best trial, or null
//! ```
//!
//! A line that cannot be carried out is answered by `{"error": "…"}`.
#![allow(clippy::print_stdout, missing_docs)]

use loopwright_search::{Settings, Study};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    error::Error,
    io::{BufRead, Write, stdin, stdout},
};

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    New(Settings),
    Ask {},
    Report { number: u64, step: u64, value: f64 },
    Tell { number: u64, value: f64 },
    Prune { number: u64 },
    Best {},
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut study = None;
    for line in stdin().lock().lines() {
        let answer = answer(&mut study, &line?).unwrap_or_else(|error| json!({"error": error.to_string()}));
        let mut out = stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn answer(study: &mut Option<Study>, line: &str) -> Result<Value, Box<dyn Error>> {
    let request = serde_json::from_str(line)?;
    if let Request::New(settings) = request {
        *study = Some(Study::new(settings)?);
        return Ok(json!({"ok": true}));
    }
    let study = study.as_mut().ok_or("the first line must be `new`")?;
    Ok(match request {
        Request::New(_) => json!({"ok": true}),
        Request::Ask {} => {
            let trial = study.ask()?;
            json!({"number": trial.number, "params": trial.params})
        }
        Request::Report { number, step, value } => json!({"prune": study.report(number, step, value)?}),
        Request::Tell { number, value } => {
            study.tell(number, value)?;
            json!({"ok": true})
        }
        Request::Prune { number } => {
            study.prune(number)?;
            json!({"ok": true})
        }
        Request::Best {} => serde_json::to_value(study.best())?,
    })
}
