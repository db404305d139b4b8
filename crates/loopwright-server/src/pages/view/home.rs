//! `/`: where the loop stands.

use super::{
    badge,
    chart_bar::interval_words,
    diagram::{STAGES, Stage, diagram, stage_list},
    figures, link, moment,
    routes::{Refused, warnings},
    sentence,
    shell::{Refresh, Section, page, refreshed_page},
    table,
};
use loopwright_types::{
    DatasetVersion, Entity as _, ModelVersion, Timestamp,
    deployment::{Package, Route},
    drift::DriftCheck,
    event::Event,
    run::Run,
    score::Evaluation,
};
use maud::{Markup, html};

/// Seconds between two loads of the page while it follows the loop.
const FOLLOW_EVERY_S: u32 = 10;

/// The newest record of each stage, and a few counts.
#[derive(Default)]
pub struct LoopState {
    /// The newest dataset version.
    pub dataset: Option<DatasetVersion>,
    /// The newest run.
    pub run: Option<Run>,
    /// The model that answers by default, or else the newest.
    pub model: Option<ModelVersion>,
    /// That model's newest evaluation.
    pub evaluation: Option<Evaluation>,
    /// That model's package.
    pub package: Option<Package>,
    /// The route that changed last.
    pub route: Option<Route>,
    /// What was answered today.
    pub traffic: Traffic,
    /// Pieces of feedback ever (counted up to a limit).
    pub n_feedback: u64,
    /// Corrections among them.
    pub n_corrections: u64,
    /// The newest drift check.
    pub drift: Option<DriftCheck>,
    /// Jobs waiting or being worked on.
    pub n_open_jobs: u64,
    /// Models that routes name and the server refuses.
    pub refused: Vec<Refused>,
    /// The last events, newest first.
    pub events: Vec<Event>,
}

/// Requests since midnight (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Requests today.
    pub n_today: u64,
    /// Requests ever.
    pub n_total: u64,
    /// 95th percentile of the latency of today's newest requests, in milliseconds.
    pub p95_ms: Option<f64>,
}

/// The value that 95 of 100 values do not exceed (nearest rank); none of none.
pub fn p95(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * 95).div_ceil(100);
    values.get(rank.checked_sub(1)?).copied()
}

/// The page. `follow` loads it again every few seconds.
pub fn home(state: &LoopState, follow: bool, now: Timestamp) -> Markup {
    let stages = stages(state);
    let middle = state.events.first().map_or_else(
        || "Nothing has happened yet".to_string(),
        |event| {
            format!("Last event: {}, {}", event.event.kind.replace(['.', '_'], " "), moment::distance(event.at, now))
        },
    );
    let body = html! {
        (warnings(&state.refused))
        p.lead { (in_words(state)) }
        @if state.events.is_empty() {
            (table::empty("The loop has not turned yet.", "To see a whole turn on an example project, in about five minutes:", "loopwright demo"))
            p { "Or, in this project: " code { "loopwright run" } "." }
        }
        figure.loop aria-label="The loop" { (diagram(&stages, &middle)) (stage_list(&stages)) }
        h2 { "Last events" }
        (event_log(&state.events, now))
        p {
            a href="/audit" { "All events" } " · "
            @if follow { "This page loads again every " (FOLLOW_EVERY_S) " seconds. " a href="/" { "Stop" } }
            @else { a href="/?follow=yes" { "Follow: load again every " (FOLLOW_EVERY_S) " seconds" } }
        }
    };
    let again = Refresh { after_s: FOLLOW_EVERY_S, to: "/?follow=yes" };
    if follow { refreshed_page(Section::Loop, "The loop", again, body) } else { page(Section::Loop, "The loop", body) }
}

/// Events with their distance from now, newest first.
pub fn event_log(events: &[Event], now: Timestamp) -> Markup {
    html! {
        ul.log {
            @for event in events { li { span.quiet { (moment::recent(event.at, now)) } span { (sentence::sentence(event)) } } }
        }
    }
}

/// One or two sentences on how the loop fares.
fn in_words(state: &LoopState) -> String {
    let mut words = Vec::new();
    if let (Some(model), Some(evaluation)) = (&state.model, &state.evaluation) {
        words.push(format!(
            "Model {} answers {} of held-out messages correctly.",
            model.model,
            interval_words(&evaluation.scores.accuracy)
        ));
    }
    if let Some(drift) = &state.drift {
        words.push(if drift.alarm {
            format!("The messages on route {} have drifted (p {}).", drift.route, figures::p_value(drift.p_value))
        } else {
            format!("The messages on route {} look like the ones in training.", drift.route)
        });
    }
    match state.n_open_jobs {
        0 => {}
        n => words.push(format!("{} open.", figures::plural(n, "job"))),
    }
    words.join(" ")
}

fn stages(state: &LoopState) -> [Stage; STAGES] {
    [
        data(state.dataset.as_ref()),
        training(state.run.as_ref()),
        judging(state),
        packaging(state.package.as_ref()),
        serving(state.route.as_ref()),
        watching(&state.traffic),
        listening(state),
        drift(state.drift.as_ref()),
    ]
}

/// A stage that has not happened yet, with the command that makes it happen.
fn waiting(name: &'static str, path: &str, command: &str) -> Stage {
    Stage { name, figure: "nothing yet".into(), details: vec![format!("run: {command}")], path: path.into() }
}

/// A state as words with its symbol.
fn state_words(state: &str) -> String {
    let (symbol, word, _) = badge::reading(state);
    format!("{symbol} {word}")
}

fn data(dataset: Option<&DatasetVersion>) -> Stage {
    let Some(dataset) = dataset else { return waiting("Data", "/datasets", "loopwright data curate") };
    let mut details = vec![figures::plural(dataset.n_rows, "row")];
    details.push(match dataset.card.n_corrections {
        0 => figures::plural(dataset.card.labels.len() as u64, "label"),
        n => format!("{} learned", figures::plural(n, "correction")),
    });
    let path = format!("/datasets/{}", link::segment(&dataset.dataset.to_string()));
    Stage { name: "Data", figure: dataset.dataset.to_string(), details, path }
}

fn training(run: Option<&Run>) -> Stage {
    let Some(run) = run else { return waiting("Training", "/runs", "loopwright train") };
    let loss = run.metrics.get("validation_loss").or_else(|| run.metrics.get("train_loss"));
    let mut details = vec![super::runs::kind_words(run.kind).to_string()];
    details.extend(loss.map(|loss| format!("loss {}", figures::decimal(*loss))));
    Stage {
        name: "Training",
        figure: state_words(run.state()),
        details,
        path: format!("/runs/{}", link::segment(run.id.as_str())),
    }
}

fn judging(state: &LoopState) -> Stage {
    let Some(evaluation) = &state.evaluation else { return waiting("Judging", "/models", "loopwright eval") };
    let accuracy = &evaluation.scores.accuracy;
    let mut details = vec![format!("right ({} to {})", figures::share(accuracy.low), figures::share(accuracy.high))];
    details.push(match &evaluation.gate {
        Some(gate) => format!("gate: {}", state_words(gate.verdict.as_str())),
        None => "no gate asked".into(),
    });
    let path = format!("/models/{}", link::segment(&evaluation.model.to_string()));
    Stage { name: "Judging", figure: figures::share(accuracy.point), details, path }
}

fn packaging(package: Option<&Package>) -> Stage {
    let Some(package) = package else { return waiting("Package", "/models", "loopwright package") };
    let path = format!("/models/{}#package", link::segment(&package.model.to_string()));
    let details = vec![format!("✓ signed, {}", figures::bytes(package.size_bytes)), package.digest.short().to_string()];
    Stage { name: "Package", figure: package.model.to_string(), details, path }
}

fn serving(route: Option<&Route>) -> Stage {
    let Some(route) = route else { return waiting("Serving", "/routes", "loopwright deploy") };
    let shares: Vec<String> =
        route.variants.iter().map(|v| format!("{} {} {}%", v.name, v.model, v.weight_percent)).collect();
    let mut details = shares;
    details.push(match &route.rollout {
        Some(rollout) => format!("canary: {}", state_words(rollout.state.as_str())),
        None => "no canary so far".into(),
    });
    Stage {
        name: "Serving",
        figure: route.name.clone(),
        details,
        path: format!("/routes/{}", link::segment(&route.name)),
    }
}

fn watching(traffic: &Traffic) -> Stage {
    let details = vec![
        match traffic.p95_ms {
            Some(ms) => format!("95% within {}", figures::duration_ms(ms)),
            None => "none measured today".into(),
        },
        format!("{} in all", figures::plural(traffic.n_total, "trace")),
    ];
    Stage {
        name: "Watching",
        figure: format!("{} today", figures::count(traffic.n_today)),
        details,
        path: "/traces".into(),
    }
}

fn listening(state: &LoopState) -> Stage {
    let details = vec!["pieces of feedback".into(), figures::plural(state.n_corrections, "correction")];
    Stage { name: "Feedback", figure: figures::count(state.n_feedback), details, path: "/feedback".into() }
}

fn drift(check: Option<&DriftCheck>) -> Stage {
    let Some(check) = check else { return waiting("Drift", "/drift", "loopwright drift") };
    let details =
        vec![format!("p {}, alarm at {}", figures::p_value(check.p_value), check.alpha), check.window.clone()];
    Stage { name: "Drift", figure: state_words(check.state()), details, path: "/drift".into() }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn each_stage_shows_its_figure() {
        let html = home(&sample::loop_state(), false, sample::NOW).into_string();
        for part in [
            "support@2",
            "3,812 rows",
            "91.2%",
            "gate: ✓ passed",
            "live support@1 90%",
            "canary: ▶ running",
            "1,204 today",
            "95% within 41 ms",
            "✕ alarm",
            "41 corrections",
            "Dataset <a href=\"/datasets/support@2\">",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("http-equiv=\"refresh\""));
    }

    #[test]
    fn a_model_that_is_not_served_comes_first() {
        let reason = "its signature is wrong".to_string();
        let refused = vec![Refused { model: loopwright_types::ModelRef::new("support", 1), reason }];
        let html = home(&LoopState { refused, ..sample::loop_state() }, false, sample::NOW).into_string();
        assert!(html.find("its signature is wrong").unwrap() < html.find("answers 91.2%").unwrap());
    }

    #[test]
    fn a_new_project_is_told_what_to_run() {
        let html = home(&LoopState::default(), true, sample::NOW).into_string();
        assert!(html.contains("<code>loopwright demo</code>") && html.contains("run: loopwright train"));
        assert!(html.contains("http-equiv=\"refresh\" content=\"10;url=/?follow=yes\""));
    }

    #[test]
    fn the_percentile_is_the_nearest_rank() {
        assert_eq!(p95(vec![]), None);
        assert_eq!(p95(vec![3.0]), Some(3.0));
        assert_eq!(p95((1..=100).rev().map(f64::from).collect()), Some(95.0));
        assert_eq!(p95((1..=20).map(f64::from).collect()), Some(19.0));
    }
}
