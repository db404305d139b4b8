//! An evaluation and its gate as Markdown that a reviewer can read in a pull request.

use loopwright_types::score::{Evaluation, GateReport, GateRule, GroupGap, Interval, Scores, SliceScore, Verdict};
use std::fmt::Write;

const N_SLICES_MAX: usize = 15;
const N_PAIRS_MAX: usize = 10;

/// The report: the decision, its rules, the scores beside the baselines', the weakest labels, the most confused pairs
/// and the groups.
pub fn to_markdown(evaluation: &Evaluation) -> String {
    let mut page = Page::default();
    page.head(evaluation);
    if let Some(gate) = &evaluation.gate {
        page.rules(gate);
    }
    page.scores(evaluation);
    page.slices(&evaluation.slices);
    page.confusion(evaluation);
    if let Some(fairness) = &evaluation.fairness {
        page.groups(fairness);
    }
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: impl std::fmt::Display) {
        writeln!(self.text, "{line}").expect("a string takes any text");
    }

    fn table(&mut self, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        self.line(format_args!("| {} |", head.join(" | ")));
        self.line(format_args!("|{}", "---|".repeat(head.len())));
        for row in rows {
            self.line(format_args!("| {} |", row.join(" | ")));
        }
        self.line("");
    }

    fn head(&mut self, evaluation: &Evaluation) {
        let Evaluation { model, dataset, suite, .. } = evaluation;
        self.line(format_args!("# Evaluation of {model}\n"));
        if let Some(gate) = &evaluation.gate {
            self.line(format_args!("**{}**\n", decision(gate)));
        }
        let part = evaluation.split.as_str();
        self.line(format_args!(
            "Judged on {} rows of `{}` (dataset `{dataset}`, split `{part}`), {}.\n",
            evaluation.scores.n_rows,
            cell(suite),
            evaluation.created_at
        ));
    }

    fn rules(&mut self, gate: &GateReport) {
        self.line("## Rules\n");
        self.table(&["rule", "measured", "bound", "verdict"], gate.rules.iter().map(rule_row));
        let percent = (1.0 - 2.0 * gate.alpha) * 100.0;
        self.line(format_args!(
            "A rule passes when its whole {percent:.0}% interval lies on the right side of the bound, fails when it \
             lies wholly on the wrong side, and needs more rows otherwise. A rule that does not hold in truth passes \
             with probability at most {}. `loopwright gate` exits with 0 only when every rule passes, else with 1.\n",
            gate.alpha
        ));
        if let Some(live) = &gate.compared_with {
            self.line(format_args!("Compared with {live}, the live version, row by row.\n"));
        }
    }

    fn scores(&mut self, evaluation: &Evaluation) {
        self.line("## Scores\n");
        let row = |s: &Scores| vec![cell(&s.predictor), s.accuracy.to_string(), s.macro_f1.to_string()];
        let all = std::iter::once(&evaluation.scores).chain(&evaluation.baselines);
        self.table(&["predictor", "accuracy", "macro-F1"], all.map(row));
        self.line(format_args!(
            "Brackets hold {:.0}% intervals. {} of the model's answers were valid JSON with an intent.\n",
            evaluation.scores.accuracy.level * 100.0,
            percent(evaluation.valid_json)
        ));
    }

    fn slices(&mut self, slices: &[SliceScore]) {
        if slices.is_empty() {
            return;
        }
        let mut weakest: Vec<&SliceScore> = slices.iter().collect();
        weakest.sort_by(|a, b| a.accuracy.point.total_cmp(&b.accuracy.point));
        self.line("## Weakest labels\n");
        let row =
            |s: &&SliceScore| vec![cell(&s.name), s.n_rows.to_string(), s.accuracy.to_string(), format!("{:.3}", s.f1)];
        self.table(&["label", "rows", "accuracy", "F1"], weakest.iter().take(N_SLICES_MAX).map(row));
        if slices.len() > N_SLICES_MAX {
            self.line(format_args!("{} labels with higher accuracy are not shown.\n", slices.len() - N_SLICES_MAX));
        }
    }

    fn confusion(&mut self, evaluation: &Evaluation) {
        if evaluation.confused.is_empty() {
            return;
        }
        self.line("## Most confused\n");
        let rows = evaluation.confused.iter().take(N_PAIRS_MAX);
        self.table(
            &["right label", "answer", "rows"],
            rows.map(|pair| vec![cell(&pair.expected), cell(&pair.got), pair.n_rows.to_string()]),
        );
    }

    fn groups(&mut self, fairness: &GroupGap) {
        self.line("## Groups of customers\n");
        let row = |s: &SliceScore| vec![cell(&s.name), s.n_rows.to_string(), s.accuracy.to_string()];
        self.table(&["group", "rows", "accuracy"], fairness.groups.iter().map(row));
        let Interval { low, high, .. } = fairness.gap;
        let reading = if low > 0.0 {
            "The interval excludes 0: the groups are served differently."
        } else if high > 0.0 {
            "The interval contains 0: a difference is not shown."
        } else {
            "No difference."
        };
        let (best, worst) = (cell(&fairness.best), cell(&fairness.worst));
        self.line(format_args!("`{best}` minus `{worst}`: {}. {reading}", fairness.gap));
    }
}

fn decision(gate: &GateReport) -> String {
    let named = |verdict: Verdict| {
        let names: Vec<&str> = gate.rules.iter().filter(|r| r.verdict == verdict).map(|r| r.rule.as_str()).collect();
        names.join("; ")
    };
    match gate.verdict {
        Verdict::Pass => "Passed: every rule holds, uncertainty considered.".to_string(),
        Verdict::Fail => format!("Failed. Broken: {}.", named(Verdict::Fail)),
        Verdict::NeedMore => format!("Not decided: more rows are needed. Open: {}.", named(Verdict::NeedMore)),
    }
}

fn rule_row(rule: &GateRule) -> Vec<String> {
    // A count is exact: its interval is a point.
    let is_count = rule.measured.level >= 1.0;
    let measured = if is_count { format!("{:.0}", rule.measured.point) } else { rule.measured.to_string() };
    let verdict = match (rule.verdict, rule.n_rows_needed) {
        (Verdict::Pass, _) => "pass".to_string(),
        (Verdict::Fail, _) => "FAIL".to_string(),
        (Verdict::NeedMore, Some(n)) => format!("needs more: about {n} rows in all"),
        (Verdict::NeedMore, None) => "needs more: too close to the bound to say how many rows".to_string(),
    };
    vec![cell(&rule.rule), measured, rule.bound.to_string(), verdict]
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

/// Labels and groups come from data: nothing in them may break out of a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('`', "'").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gate::{GateInput, GateSettings, decide},
        report::tests::{evaluation, majority, rows},
    };

    #[test]
    fn the_report_reads_as_agreed() {
        let rows = rows();
        let majority = majority(&rows);
        let settings = GateSettings {
            min_accuracy: Some(0.5),
            max_group_gap: Some(0.3),
            min_valid_json: Some(0.99),
            min_rows: 10,
            ..GateSettings::default()
        };
        let input = GateInput { settings: &settings, rows: &rows, majority: Some(&majority), live: None };
        let evaluation = Evaluation { gate: Some(decide(&input).unwrap()), ..evaluation() };
        assert_eq!(to_markdown(&evaluation), include_str!("sample_report.md"));
    }

    #[test]
    fn data_cannot_break_a_table() {
        assert_eq!(cell("a|b\n<script>`x`"), "a\\|b &lt;script>'x'");
    }
}
