//! An evaluation: scores beside baselines, the gate, slices, confusions, the gap between groups.

use super::{
    badge::badge,
    chart_bar::{interval_bar, interval_words},
    figures, link, moment,
    table::{Head, cell, facts, table},
};
use loopwright_types::{
    Timestamp,
    score::{Evaluation, GateReport, GroupGap, Interval, Scores, SliceScore, Verdict},
};
use maud::{Markup, html};

/// Rows of the longest tables.
const MOST_ROWS: usize = 40;

/// One evaluation as a section of the model's page.
pub fn section(it: &Evaluation, now: Timestamp) -> Markup {
    let level = format!("{}%", figures::decimal(it.scores.accuracy.level * 100.0));
    html! {
        section.panel #(it.id) {
            h3 { (figures::plural(it.scores.n_rows, "row")) " of " (it.suite) }
            p { (in_words(it)) }
            @if let Some(gate) = &it.gate { (gate_report(gate)) } @else { p.quiet { "No gate was asked." } }
            (scores(it))
            (slices("By label, lowest accuracy first", "Label", &it.slices, true))
            (confused(it))
            @match &it.fairness {
                Some(gap) => { (fairness(gap)) },
                None => { p.quiet { "The rows carry no group, so no gap between groups was measured." } },
            }
            (facts(vec![
                ("Rows", html! { (link::dataset(&it.dataset)) ", " (it.split.as_str()) }),
                ("Answers in valid form", cell(figures::share(it.valid_json))),
                ("Intervals", html! { (level) " confidence" }),
                ("Made", moment::when(it.created_at, now)),
            ]))
        }
    }
}

fn in_words(it: &Evaluation) -> String {
    let accuracy = &it.scores.accuracy;
    let best = it.baselines.iter().max_by(|a, b| a.accuracy.point.total_cmp(&b.accuracy.point));
    let compared = match best {
        Some(best) if accuracy.is_above(&best.accuracy) => {
            format!(
                " Better than the best baseline ({}, {}) beyond both intervals.",
                best.predictor,
                figures::share(best.accuracy.point)
            )
        }
        Some(best) if best.accuracy.is_above(accuracy) => {
            format!(
                " Worse than a baseline ({}, {}) beyond both intervals.",
                best.predictor,
                figures::share(best.accuracy.point)
            )
        }
        Some(best) => format!(
            " Not to be told from the best baseline ({}, {}): the intervals overlap.",
            best.predictor,
            figures::share(best.accuracy.point)
        ),
        None => String::new(),
    };
    format!("{} of the answers are right.{compared}", interval_words(accuracy))
}

fn scores(it: &Evaluation) -> Markup {
    let row = |scores: &Scores| {
        vec![
            cell(&scores.predictor),
            interval_bar(&scores.accuracy, None),
            cell(interval_words(&scores.accuracy)),
            interval_bar(&scores.macro_f1, None),
            cell(interval_words(&scores.macro_f1)),
        ]
    };
    let heads = [
        Head::Text("Predictor"),
        Head::Text("Accuracy, 0 to 100%"),
        Head::Number("Accuracy (interval)"),
        Head::Text("Macro-F1, 0 to 100%"),
        Head::Number("Macro-F1 (interval)"),
    ];
    table("Scores beside the baselines", &heads, std::iter::once(&it.scores).chain(&it.baselines).map(row).collect())
}

fn gate_report(gate: &GateReport) -> Markup {
    let rows = gate
        .rules
        .iter()
        .map(|rule| {
            vec![
                html! { span.wide { (rule.rule) } },
                html! {
                    (badge(rule.verdict.as_str()))
                    @if let Some(n) = rule.n_rows_needed { " about " (figures::plural(n, "row")) " would decide" }
                },
                if in_unit(&rule.measured) { interval_bar(&rule.measured, Some(rule.bound)) } else { cell("") },
                html! { (rule.measured) },
                cell(figures::decimal(rule.bound)),
            ]
        })
        .collect();
    let heads = [
        Head::Text("Rule"),
        Head::Text("Outcome"),
        Head::Text("Measured, bound dashed"),
        Head::Number("Interval"),
        Head::Number("Bound"),
    ];
    let said = match gate.verdict {
        Verdict::Pass => "every rule holds, intervals considered.",
        Verdict::Fail => "a rule is broken.",
        Verdict::NeedMore => "the rows do not decide; more are needed.",
    };
    html! {
        p { strong { "Gate: " } (badge(gate.verdict.as_str())) ": " (said)
            " A false pass happens at most " (figures::share(gate.alpha)) " of the time per rule."
            @if let Some(other) = &gate.compared_with { " Compared with " (link::model(other)) " on the same rows." }
        }
        (table("Rules of the gate", &heads, rows))
    }
}

/// Can the interval stand on a scale from 0 to 1?
fn in_unit(interval: &Interval) -> bool {
    interval.low >= 0.0 && interval.high <= 1.0
}

fn slices(caption: &str, name: &'static str, slices: &[SliceScore], with_f1: bool) -> Markup {
    let mut slices: Vec<&SliceScore> = slices.iter().collect();
    slices.sort_by(|a, b| a.accuracy.point.total_cmp(&b.accuracy.point).then_with(|| a.name.cmp(&b.name)));
    let n_more = slices.len().saturating_sub(MOST_ROWS);
    let rows = slices.iter().take(MOST_ROWS).map(|slice| {
        let mut row = vec![
            cell(&slice.name),
            interval_bar(&slice.accuracy, None),
            cell(interval_words(&slice.accuracy)),
            cell(figures::count(slice.n_rows)),
        ];
        if with_f1 {
            row.push(cell(figures::share(slice.f1)));
        }
        row
    });
    let heads = [
        Head::Text(name),
        Head::Text("Accuracy, 0 to 100%"),
        Head::Number("Accuracy (interval)"),
        Head::Number("Rows"),
        Head::Number("F1"),
    ];
    let rows: Vec<Vec<Markup>> = rows.collect();
    html! {
        @if rows.is_empty() { p.quiet { (caption) ": none." } }
        @else { (table(caption, if with_f1 { &heads } else { &heads[..4] }, rows)) }
        @if n_more > 0 { p.quiet { "and " (n_more) " with a higher accuracy" } }
    }
}

fn confused(it: &Evaluation) -> Markup {
    let rows: Vec<Vec<Markup>> = it
        .confused
        .iter()
        .take(MOST_ROWS)
        .map(|pair| vec![cell(&pair.expected), cell(&pair.got), cell(figures::count(pair.n_rows))])
        .collect();
    html! {
        @if rows.is_empty() { p.quiet { "No label was taken for another." } }
        @else { (table("Most confused labels", &[Head::Text("Right label"), Head::Text("Answer"), Head::Number("Rows")], rows)) }
    }
}

fn fairness(it: &GroupGap) -> Markup {
    let sure = it.gap.low > 0.0;
    html! {
        p {
            strong { "Gap between groups: " } (interval_words(&it.gap)) ", " (it.best) " over " (it.worst) ". "
            @if sure { "The interval lies above zero: the groups are not served alike." }
            @else { "The interval reaches zero: chance alone can explain it." }
        }
        (slices("By group of customers", "Group", &it.groups, false))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn scores_stand_beside_baselines_and_the_gate_is_told() {
        let html = section(&sample::evaluation(), sample::NOW).into_string();
        for part in [
            "400 rows of test",
            "Better than the best baseline (linear n-grams, 80.0%) beyond both intervals.",
            "Gate: ",
            "passed",
            "accuracy is at least 0.80",
            "class=\"bound\"",
            "Most confused labels",
            "business over private",
            "chance alone can explain it",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn an_overlap_with_a_baseline_is_admitted() {
        let mut evaluation = sample::evaluation();
        evaluation.baselines[1].accuracy.high = 0.9;
        assert!(in_words(&evaluation).contains("Not to be told from the best baseline"));
        evaluation.baselines[1].accuracy = Interval { low: 0.95, point: 0.97, high: 0.98, level: 0.95 };
        assert!(in_words(&evaluation).contains("Worse than a baseline"));
    }

    #[test]
    fn the_worst_slice_comes_first() {
        let html = slices("x", "Label", &sample::evaluation().slices, true).into_string();
        assert!(html.find(">refund<").unwrap() < html.find(">invoice<").unwrap());
    }
}
