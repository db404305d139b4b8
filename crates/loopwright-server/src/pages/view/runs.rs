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
    run::{MetricPoint, Run, RunKind, Sample},
};
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

/// What a kind of run does, in words.
pub fn kind_words(kind: RunKind) -> &'static str {
    match kind {
        RunKind::Pretrain => "pre-training",
        RunKind::Lora => "LoRA fine-tuning",
        RunKind::Full => "fine-tuning of the whole model",
        RunKind::Dpo => "preference tuning (DPO)",
        RunKind::Classify => "training of a classifier",
        RunKind::Embed => "contrastive training of embeddings",
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
pub fn run(run: &Run, points: &[MetricPoint], samples: &[Sample], now: Timestamp) -> Markup {
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
            div.two {
                div { (one_curve(points, "learning_rate", "Learning rate")) }
                div { (one_curve(points, "gradient_norm", "Norm of the gradient")) }
            }
            (validated(points))
            (answers(samples))
            p { a href={ "/runs/compare?runs=" (link::segment(&run.id.0)) } { "Compare with other runs" } }
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

/// What else was measured on the validation rows, a curve each.
fn validated(points: &[MetricPoint]) -> Markup {
    let names: BTreeSet<&str> =
        points.iter().map(|point| point.name.as_str()).filter(|name| name.starts_with("eval_")).collect();
    html! {
        @if !names.is_empty() {
            h2 { "On the validation rows" }
            div.two { @for name in names { div { (one_curve(points, name, name)) } } }
        }
    }
}

/// The answers to each sample prompt, the newest first.
fn answers(samples: &[Sample]) -> Markup {
    let mut by_prompt: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    samples.iter().rev().for_each(|sample| by_prompt.entry(&sample.prompt).or_default().push(sample));
    html! {
        @if !samples.is_empty() {
            h2 { "What it answered as it learned" }
            @for (prompt, samples) in by_prompt {
                @let rows = samples.iter().map(|it| vec![cell(it.step), html! { span.value { (it.answer) } }]).collect();
                (table(prompt, &[Head::Number("Step"), Head::Text("Answer")], rows))
            }
        }
    }
}

fn pairs<'a>(caption: &str, name: &'static str, rows: impl Iterator<Item = (&'a String, String)>) -> Markup {
    let rows: Vec<Vec<Markup>> = rows.map(|(name, value)| vec![cell(name), html! { span.value { (value) } }]).collect();
    html! {
        @if rows.is_empty() { p.quiet { (caption) ": nothing recorded." } }
        @else { (table(caption, &[Head::Text(name), Head::Text("Value")], rows)) }
    }
}

/// A metric by step.
fn one_curve(points: &[MetricPoint], metric: &str, title: &str) -> Markup {
    let line = Line { name: title, points: series(points, metric) };
    let said = line.in_words().unwrap_or_else(|| format!("{title}: not recorded."));
    line_chart(&format!("{title} by step"), "optimiser step", title, &[line], &said)
}

fn series(points: &[MetricPoint], metric: &str) -> Vec<(f64, f64)> {
    points.iter().filter(|point| point.name == metric).map(|point| (point.step as f64, point.value)).collect()
}

/// Runs side by side: what differs between them, and their losses in one drawing.
pub fn compare(compared: &[(Run, Vec<MetricPoint>)], all: &[Run]) -> Markup {
    let ids: Vec<String> = compared.iter().map(|(run, _)| run.id.0.clone()).collect();
    let lines = |metric: &str| -> Vec<Line> {
        compared.iter().zip(&ids).map(|((_, points), id)| Line { name: id, points: series(points, metric) }).collect()
    };
    let said = |lines: &[Line]| lines.iter().filter_map(Line::in_words).collect::<Vec<_>>().join(" ");
    page(
        Section::Runs,
        "Compare runs",
        html! {
            (back("/runs", "Runs"))
            @if compared.len() < 2 { p { "Choose two runs or more." } }
            @if compared.len() > 1 {
                h2 { "What differs" }
                (differences(compared))
                @for (metric, title) in [("validation_loss", "Validation loss"), ("train_loss", "Train loss")] {
                    @let lines = lines(metric);
                    @let said = said(&lines);
                    h2 { (title) }
                    (line_chart(&format!("{title} by step"), "optimiser step", "loss (nats)", &lines, &said))
                }
            }
            h2 { "Choose" }
            form method="get" action="/runs/compare" {
                fieldset {
                    legend { "Runs" }
                    @for run in all {
                        p { label { input type="checkbox" name="run" value=(run.id) checked[ids.contains(&run.id.0)];
                            " " (run.id) " " span.quiet { (kind_words(run.kind)) } } }
                    }
                }
                button { "Compare" }
            }
        },
    )
}

/// Every setting, fact and last value that is not the same in all runs.
fn differences(compared: &[(Run, Vec<MetricPoint>)]) -> Markup {
    let mut facts: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    for (index, (run, _)) in compared.iter().enumerate() {
        let own = [
            ("dataset", Some(run.dataset.to_string())),
            ("base", run.base.as_ref().map(ToString::to_string)),
            ("made", run.model.as_ref().map(ToString::to_string)),
            ("state", Some(run.state().to_string())),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_string(), value));
        let params = run.params.iter().map(|(name, value)| (name.clone(), Some(value.clone())));
        let metrics = run.metrics.iter().map(|(name, value)| (format!("last {name}"), Some(figures::decimal(*value))));
        for (name, value) in own.chain(params).chain(metrics) {
            facts.entry(name).or_insert_with(|| vec![None; compared.len()])[index] = value;
        }
    }
    facts.retain(|_, values| values.iter().any(|value| value != &values[0]));
    let rows = facts.into_iter().map(|(name, values)| {
        let value = |value: Option<String>| value.map_or_else(none, |value| html! { span.value { (value) } });
        std::iter::once(cell(name)).chain(values.into_iter().map(value)).collect()
    });
    let rows: Vec<Vec<Markup>> = rows.collect();
    let names: Vec<Markup> = compared.iter().map(|(run, _)| link::run(&run.id)).collect();
    html! {
        @if rows.is_empty() { p { "Nothing: the same settings, rows and results." } }
        @else {
            div.scroll { table {
                caption { span { "Settings and results that differ" } }
                thead { tr { th scope="col" { "What" } @for name in &names { th scope="col" { (name) } } } }
                tbody { @for row in rows { tr { @for (i, value) in row.iter().enumerate() {
                    @if i == 0 { th scope="row" { (value) } } @else { td { (value) } }
                } } } }
            } }
        }
    }
}

/// Train and validation loss by step, with first and last values in words.
fn curves(points: &[MetricPoint]) -> Markup {
    let lines = [
        Line { name: "train loss", points: series(points, "train_loss") },
        Line { name: "validation loss", points: series(points, "validation_loss") },
    ];
    let said: Vec<String> = lines.iter().filter_map(Line::in_words).collect();
    let said = if said.is_empty() { "No losses recorded yet.".to_string() } else { said.join(" ") };
    line_chart("Loss by step", "optimiser step", "loss (nats)", &lines, &said)
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
        let mut points = sample::metric_points();
        points.push(MetricPoint { name: "eval_rewards/margins".into(), value: 1.5, ..points[0].clone() });
        let answers = [(10, "{\"in"), (20, "<b>refund</b>")].map(|(step, answer)| Sample {
            step,
            prompt: "Where is it?".into(),
            answer: answer.into(),
        });
        let html = run(&sample::run(), &points, &answers, sample::NOW).into_string();
        let (newer, older) = (html.find("&lt;b&gt;refund").unwrap(), html.find("{&quot;in").unwrap());
        assert!(newer < older, "the newest answer comes first, and is text");
        for part in [
            "Train loss went from 4 at step 0 to 0.5 at step 70.",
            "Validation loss went from 4.1",
            "role=\"img\"",
            "learning_rate",
            "/models/support@2",
            "Took",
            "Eval_rewards/margins is 1.5",
            "Where is it?",
            "1 min 30 s",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn a_failed_run_says_why() {
        let mut failed = sample::run();
        failed.error = Some("out of memory".into());
        let html = run(&failed, &[], &[], sample::NOW).into_string();
        assert!(html.contains("out of memory") && html.contains("No losses recorded yet."));
    }

    #[test]
    fn runs_are_listed_or_the_command_is_named() {
        assert!(runs(&[sample::run()], sample::NOW).into_string().contains("LoRA fine-tuning"));
        assert!(runs(&[], sample::NOW).into_string().contains("<code>loopwright train</code>"));
    }
}
