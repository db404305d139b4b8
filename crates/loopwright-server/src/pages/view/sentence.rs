//! Events in plain language.

use super::{figures, link};
use loopwright_types::event::Event;
use maud::{Markup, html};
use serde_json::Value;

/// How many figures of an event's body a line shows.
const MOST_FIGURES: usize = 4;
/// Longest text of a figure, in characters.
const LONGEST_TEXT: usize = 100;

/// Kinds whose own words tell little: what stands before the record, and what after it.
const PHRASES: &[(&str, &str, &str)] = &[
    ("answer.explained", "Explanation ", " was made"),
    ("drift.alarm", "Drift check ", " raised an alarm"),
    ("drift.quiet", "Drift check ", " saw nothing unusual"),
    ("erasure.advanced", "Erasure ", " went on"),
    ("erasure.done", "Erasure ", " is done and its receipt signed"),
    ("erasure.removed", "Erasure ", " removed the person's rows"),
    ("erasure.retrained", "Erasure ", " has its retrained model"),
    ("erasure.scanned", "Erasure ", " scanned every file"),
    ("explanations.erased", "Erasure ", " removed explanations"),
    ("feedback.received", "Feedback came in on trace ", ""),
    ("model_version.judged", "Evaluation ", " judged a model"),
    ("model_versions.retired", "Erasure ", " retired the models that learned from the person"),
    ("package.built", "Package of model ", " was built and signed"),
    ("retrain.queued", "Drift check ", " queued a retraining"),
    ("rollout.ended", "The canary on route ", " ended without a decision"),
    ("rollout.observed", "The canary on route ", " gathered evidence"),
    ("rollout.promoted", "The canary on route ", " proved better and became live"),
    ("rollout.rolled_back", "The canary on route ", " proved worse and was withdrawn"),
    ("rollout.started", "A canary began on route ", ""),
    ("route.deployed", "Route ", " got a live version"),
    ("run.advanced", "Run ", " went on"),
    ("source.collected", "Source rows of dataset ", " were collected"),
    ("step.marked", "Step ", " noted how far it is"),
    ("subjects.registered", "People of project ", " were registered"),
    ("traces.dropped", "Traces were dropped, one of them ", ""),
    ("traces.recorded", "Traces were kept, the first of them ", ""),
];

/// Is the event worth a line on the first page? Others are steps on the way; the audit page has them all.
pub fn is_news(event: &Event) -> bool {
    const STEPS: [&str; 7] = [
        "erasure.advanced",
        "feedback.received",
        "rollout.observed",
        "run.advanced",
        "step.marked",
        "step.started",
        "traces.recorded",
    ];
    !STEPS.contains(&event.event.kind.as_str())
}

/// What happened, as a sentence with a link to the record: `Dataset support@1 was created (rows 3,812).`
pub fn sentence(event: &Event) -> Markup {
    let about = &event.event.about;
    let kind = event.event.kind.as_str();
    let figures = figures(&event.event.body);
    html! {
        @match PHRASES.iter().find(|(of, _, _)| *of == kind) {
            Some((_, before, after)) => { (before) (link::to(about)) (after) },
            None => { (in_general(kind, &about.kind)) " " (link::to(about)) " " (past(kind)) },
        }
        @if !figures.is_empty() { " (" (figures) ")" }
        "."
    }
}

/// The event's noun; and the record's, where the event tells of something other than the record it is about.
fn in_general(kind: &str, about: &str) -> String {
    let noun = kind.rsplit_once('.').map_or(about, |(noun, _)| noun);
    let (noun, about) = (link::kind_words(noun), link::kind_words(about));
    if noun == about { capital(&noun) } else { format!("{} of {about}", capital(&noun)) }
}

/// The event's verb in the past tense, with `was` where the record is acted upon rather than acts.
fn past(kind: &str) -> String {
    let verb = kind.rsplit_once('.').map_or(kind, |(_, verb)| verb);
    let words = verb.replace('_', " ");
    match verb {
        "started" | "finished" | "failed" | "ended" | "resumed" | "began" | "alarmed" | "passed" | "opted_out"
        | "opted_in" => words,
        _ => format!("was {words}"),
    }
}

/// The first plain values of an event's body, as `name value, name value`; of what is yes or no, what is yes. Digests
/// and ids say nothing in a sentence.
fn figures(body: &Value) -> String {
    let Value::Object(fields) = body else { return String::new() };
    let shown = fields.iter().filter(|(name, _)| *name != "digest").filter_map(|(name, value)| {
        let name = name.strip_prefix("n_").unwrap_or(name).replace('_', " ");
        let value = match value {
            Value::String(text) if !text.is_empty() && link::short(text) == *text => text.clone(),
            Value::String(text) if text.contains(' ') => cut(text),
            Value::Number(n) => {
                n.as_u64().map_or_else(|| n.as_f64().map_or_else(|| n.to_string(), figures::decimal), figures::count)
            }
            Value::Bool(true) => return Some(name),
            _ => return None,
        };
        Some(format!("{name} {value}"))
    });
    shown.take(MOST_FIGURES).collect::<Vec<_>>().join(", ")
}

/// The text, or its start where it is long.
fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST_TEXT {
        text.to_string()
    } else {
        text.chars().take(LONGEST_TEXT - 1).chain(['…']).collect()
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::{
        EntityRef, Timestamp,
        event::{GENESIS, NewEvent},
    };
    use serde_json::json;

    fn event(kind: &str, about: EntityRef, body: Value) -> Event {
        Event::link(1, Timestamp(0), NewEvent::new("cli", kind, about).with_body(body), GENESIS)
    }

    fn check(kind: &str, about: EntityRef, body: Value, expected: &str) {
        assert_eq!(sentence(&event(kind, about, body)).into_string(), expected);
    }

    #[test]
    fn events_read_as_sentences() {
        check(
            "dataset_version.created",
            EntityRef::new("dataset_version", "support@1"),
            json!({"n_rows": 3812, "list": [1], "digest": "sha256:00"}),
            "Dataset <a href=\"/datasets/support@1\">support@1</a> was created (rows 3,812).",
        );
        check(
            "rollout.rolled_back",
            EntityRef::new("route", "support"),
            json!({}),
            "The canary on route <a href=\"/routes/support\">support</a> proved worse and was withdrawn.",
        );
        check(
            "shadow.paused",
            EntityRef::new("route", "r"),
            json!({}),
            "Shadow of route <a href=\"/routes/r\">r</a> was paused.",
        );
        check("run.started", EntityRef::new("run", "r"), json!(null), "Run <a href=\"/runs/r\">r</a> started.");
        check(
            "odd",
            EntityRef::new("thing", "<x>"),
            json!({"ok": true, "not": false, "run": "run_01M84M7MYYR1DF82BDZYPDSN03"}),
            "Thing <code>&lt;x&gt;</code> was odd (ok).",
        );
    }

    #[test]
    fn phrases_are_sorted_and_unique_and_long_texts_are_cut() {
        assert!(PHRASES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(cut(&"ä".repeat(200)).chars().count(), LONGEST_TEXT);
    }

    #[test]
    fn small_steps_are_not_news() {
        assert!(!is_news(&event("step.started", EntityRef::new("step", "x"), json!({}))));
        assert!(is_news(&event("drift.alarm", EntityRef::new("drift_check", "x"), json!({}))));
    }
}
