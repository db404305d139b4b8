//! `/studies` and `/studies/{id}`: searches over settings, with their plots.

use super::{
    badge::badge,
    chart_bar::bar,
    chart_line::{Line, line_chart},
    chart_parallel::parallel_chart,
    chart_point::{Dots, point_chart},
    figures, link, moment,
    shell::{Section, back, page},
    table::{Head, cell, empty, facts, none, table},
};
use loopwright_pipeline::{
    jobs::tune::StudyRecord,
    search::{Importance, Trial, plot},
};
use loopwright_types::{Entity as _, Timestamp};
use maud::{Markup, html};

/// The list, in the order given.
pub fn studies(studies: &[StudyRecord], now: Timestamp) -> Markup {
    let rows = studies
        .iter()
        .map(|record| {
            let study = &record.study;
            vec![
                link::study(&record.name),
                badge(record.state()),
                record.subject.as_ref().map_or_else(|| cell("trials run elsewhere"), |it| link::dataset(&it.dataset)),
                cell(figures::count(study.trials().len() as u64)),
                study.best().and_then(Trial::value).map_or_else(none, |value| cell(figures::decimal(value))),
                moment::recent(record.created_at, now),
            ]
        })
        .collect();
    let heads = [
        Head::Text("Study"),
        Head::Text("State"),
        Head::Text("About"),
        Head::Number("Trials"),
        Head::Number("Best value"),
        Head::Text("Began"),
    ];
    page(
        Section::Studies,
        "Studies",
        html! {
            p { "A study searches for the settings that train best, trial by trial." }
            @if studies.is_empty() { (empty("No study yet.", "Name parameters in `[tune.*] space`, then:", "loopwright tune")) }
            @else { (table("Studies, newest first", &heads, rows)) }
        },
    )
}

/// One study.
pub fn study(record: &StudyRecord, importances: &[Importance], now: Timestamp) -> Markup {
    let study = &record.study;
    let best = study.best();
    let count = |name: &str| figures::count(study.trials().iter().filter(|it| it.state.name() == name).count() as u64);
    page(
        Section::Studies,
        &format!("Study {}", record.name),
        html! {
            (back("/studies", "Studies"))
            p.lead { (badge(record.state())) " " (figures::count(study.trials().len() as u64)) " trials"
                @if let Some(value) = best.and_then(Trial::value) { ", the best with " (figures::decimal(value)) } "." }
            h2 { "Progress" }
            (history(record))
            @if !importances.is_empty() {
                h2 { "Which parameters mattered" }
                (importance(importances))
            }
            h2 { "All parameters at once" }
            (parallel_chart(&plot::parallel(study), study.settings().direction))
            h2 { "Each parameter" }
            @for slice in plot::slices(study) {
                @let dots = Dots::of(&slice);
                (point_chart(&format!("Value by {}", slice.param), &slice.param, "value", &dots))
            }
            h2 { "Facts" }
            (facts(vec![
                ("Dataset", record.subject.as_ref().map_or_else(none, |it| link::dataset(&it.dataset))),
                ("Base", record.subject.as_ref().map_or_else(none, |it| link::model(&it.base))),
                ("Sampler", cell(word(&study.settings().sampler))),
                ("Pruner", cell(word(&study.settings().pruner))),
                ("Complete", cell(count("complete"))),
                ("Given up", cell(count("pruned"))),
                ("Failed", cell(count("failed"))),
                ("Began", moment::when(record.created_at, now)),
            ]))
            h2 { "Trials" }
            (trials(record))
        },
    )
}

/// The name of a sampler or pruner.
fn word(it: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(it).unwrap_or_default();
    json.get("name").and_then(|name| name.as_str()).unwrap_or_default().to_string()
}

fn history(record: &StudyRecord) -> Markup {
    let points = plot::history(&record.study);
    let lines = [
        Line { name: "value of each trial", points: points.iter().map(|p| (p.number as f64, p.value)).collect() },
        Line { name: "best so far", points: points.iter().map(|p| (p.number as f64, p.best)).collect() },
    ];
    let said = match (points.first(), points.last()) {
        (Some(first), Some(last)) => format!(
            "The best value went from {} after trial {} to {} after trial {}.",
            figures::decimal(first.best),
            first.number,
            figures::decimal(last.best),
            last.number
        ),
        _ => "No trial is complete yet.".to_string(),
    };
    line_chart("Best value by trial", "trial", "value", &lines, &said)
}

fn importance(importances: &[Importance]) -> Markup {
    let row = |it: &Importance| vec![cell(&it.param), bar(it.share), cell(figures::share(it.share))];
    let heads = [Head::Text("Parameter"), Head::Text("In proportion"), Head::Number("Share")];
    table("Share of what the values differ by (fANOVA)", &heads, importances.iter().map(row).collect())
}

fn trials(record: &StudyRecord) -> Markup {
    let best = record.study.best().map(|trial| trial.number);
    let rows = record.study.trials().iter().rev().map(|trial| {
        let params: Vec<String> = trial.params.iter().map(|(name, value)| format!("{name} {value}")).collect();
        vec![
            cell(trial.number),
            badge(trial.state.name()),
            trial.value().map_or_else(none, |value| cell(figures::decimal(value))),
            cell(params.join(", ")),
            record.runs.get(&trial.number).map_or_else(none, link::run),
            if best == Some(trial.number) { cell("best") } else { none() },
        ]
    });
    let heads = [
        Head::Number("Trial"),
        Head::Text("State"),
        Head::Number("Value"),
        Head::Text("Settings"),
        Head::Text("Run"),
        Head::Text(""),
    ];
    table("Trials, newest first", &heads, rows.collect())
}
