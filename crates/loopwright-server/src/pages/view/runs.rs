//! `/runs` and `/runs/{id}`: training runs with their curves.

use super::{
    badge::badge,
    chart_line::{Line, line_chart},
    figures, link, moment,
    shell::{Section, back, page},
    table::{Head, cell, empty, facts, none, table},
};
use loopwright_types::{
    Entity as _, Timestamp,
    run::{MetricPoint, Run, RunKind},
};
use maud::{Markup, html};

/// What a kind of run does, in words.
pub fn kind_words(kind: RunKind) -> &'static str {
    match kind {
        RunKind::Pretrain => "pre-training",
        RunKind::Lora => "LoRA fine-tuning",
        RunKind::Full => "fine-tuning of the whole model",
    }
}

/// The list, in the order given.
pub fn runs(runs: &[Run], now: Timestamp) -> Markup {
    let loss = |run: &Run, name: &str| run.metrics.get(name).map_or_else(none, |loss| cell(figures::decimal(*loss)));
    let rows = runs
        .iter()
        .map(|run| {
            vec![
                link::run(&run.id),
                badge(run.state()),
                cell(kind_words(run.kind)),
                link::dataset(&run.dataset),
                run.model.as_ref().map_or_else(none, link::model),
                loss(run, "train_loss"),
                loss(run, "validation_loss"),
                moment::recent(run.started_at, now),
            ]
        })
        .collect();
    let heads = [
        Head::Text("Run"),
        Head::Text("State"),
        Head::Text("Kind"),
        Head::Text("Dataset"),
        Head::Text("Made"),
        Head::Number("Train loss"),
        Head::Number("Validation loss"),
        Head::Text("Began"),
    ];
    page(
        Section::Runs,
        "Runs",
        html! {
            p { "Each run records its dataset version, settings, seed, environment and every metric." }
            @if runs.is_empty() { (empty("No run yet.", "Train on the newest dataset version:", "loopwright train")) }
            @else { (table("Training runs, newest first", &heads, rows)) }
        },
    )
}

/// One run.
pub fn run(run: &Run, points: &[MetricPoint], now: Timestamp) -> Markup {
    let took = run.ended_at.map(|end| figures::duration_ms(end.ms_since(run.started_at) as f64));
    page(
        Section::Runs,
        &format!("Run {}", run.id),
        html! {
            (back("/runs", "Runs"))
            p.lead { (badge(run.state())) " " (kind_words(run.kind)) " on " (link::dataset(&run.dataset))
                @if let Some(model) = &run.model { ", made " (link::model(model)) } "." }
            @if let Some(error) = &run.error { p.notice.bad { strong { "It failed: " } (error) } }
            h2 { "Loss" }
            (curves(points))
            h2 { "Facts" }
            (facts(vec![
                ("Base", run.base.as_ref().map_or_else(none, link::model)),
                ("Started from", run.parent.as_ref().map_or_else(none, link::model)),
                ("Seed", cell(run.seed)),
                ("Began", moment::when(run.started_at, now)),
                ("Ended", run.ended_at.map_or_else(|| cell("not yet"), |end| moment::when(end, now))),
                ("Took", took.map_or_else(none, cell)),
            ]))
            div.two {
                div { (pairs("Last value of each metric", "Metric", run.metrics.iter().map(|(k, v)| (k, figures::decimal(*v))))) }
                div { (pairs("Settings, as resolved", "Setting", run.params.iter().map(|(k, v)| (k, v.clone())))) }
            }
            (pairs("Environment", "Name", run.environment.iter().map(|(k, v)| (k, v.clone()))))
        },
    )
}

fn pairs<'a>(caption: &str, name: &'static str, rows: impl Iterator<Item = (&'a String, String)>) -> Markup {
    let rows: Vec<Vec<Markup>> = rows.map(|(name, value)| vec![cell(name), html! { span.value { (value) } }]).collect();
    html! {
        @if rows.is_empty() { p.quiet { (caption) ": nothing recorded." } }
        @else { (table(caption, &[Head::Text(name), Head::Text("Value")], rows)) }
    }
}

/// Train and validation loss by step, with first and last values in words.
fn curves(points: &[MetricPoint]) -> Markup {
    let series = |metric: &str| -> Vec<(f64, f64)> {
        points.iter().filter(|point| point.name == metric).map(|point| (point.step as f64, point.value)).collect()
    };
    let lines = [
        Line { name: "train loss", points: series("train_loss") },
        Line { name: "validation loss", points: series("validation_loss") },
    ];
    let said: Vec<String> = lines.iter().filter_map(Line::in_words).collect();
    let said = if said.is_empty() { "No losses recorded yet.".to_string() } else { said.join(" ") };
    line_chart("Loss by step", "optimiser step", "loss (nats per token)", &lines, &said)
}

impl Line<'_> {
    /// `Train loss went from 4.1 at step 0 to 0.31 at step 400.`
    fn in_words(&self) -> Option<String> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        let mut words = if self.points.len() == 1 {
            format!("{} is {} at step {}.", self.name, figures::decimal(last.1), last.0)
        } else {
            let (from, to) = (figures::decimal(first.1), figures::decimal(last.1));
            format!("{} went from {from} at step {} to {to} at step {}.", self.name, first.0, last.0)
        };
        words[..1].make_ascii_uppercase();
        Some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn a_run_tells_its_losses_in_words() {
        let html = run(&sample::run(), &sample::metric_points(), sample::NOW).into_string();
        for part in [
            "Train loss went from 4 at step 0 to 0.5 at step 70.",
            "Validation loss went from 4.1",
            "role=\"img\"",
            "learning_rate",
            "/models/support@2",
            "Took",
            "1 min 30 s",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn a_failed_run_says_why() {
        let mut failed = sample::run();
        failed.error = Some("out of memory".into());
        let html = run(&failed, &[], sample::NOW).into_string();
        assert!(html.contains("out of memory") && html.contains("No losses recorded yet."));
    }

    #[test]
    fn runs_are_listed_or_the_command_is_named() {
        assert!(runs(&[sample::run()], sample::NOW).into_string().contains("LoRA fine-tuning"));
        assert!(runs(&[], sample::NOW).into_string().contains("<code>loopwright train</code>"));
    }
}
