//! The gate: may this model version be served?
//!
//! Each rule is decided from an interval, never from the point: it passes when the whole interval lies on the right
//! side of its bound, fails when it lies wholly on the wrong side, and otherwise needs more rows. The intervals run
//! at a two-sided level of 1 − 2·alpha, so a rule that does not hold in truth passes with probability at most alpha; and
//! since all rules must pass, so does the gate (Berger 1982, "Multiparameter hypothesis testing and acceptance
//! sampling"). That holds for one look at one set of rows: whoever gathers more rows after "needs more" and asks again
//! spends alpha again.
//!
//! | rule | interval |
//! |---|---|
//! | `min_accuracy`, `min_valid_json` | Clopper–Pearson, exact |
//! | `beat_majority`, `max_regression` | Tango's for the same rows, with continuity correction ([`crate::paired`]) |
//! | `max_group_gap` | Newcombe's on exact limits, over all pairs of groups ([`crate::fairness::gap_bounds`]) |

mod markdown;
mod rule;
#[cfg(test)]
mod simulation;

pub use markdown::to_markdown;

use crate::{
    baseline::BaselineAnswers,
    error::{Error, Result},
    fairness::gap_bounds_of,
    interval::{Share, exact_limits, two_sided_z},
    paired::{CONTINUITY, Paired, PairedCounts},
    row::{JudgedRow, by_group, valid_answers},
};
use loopwright_types::{
    ModelRef,
    score::{GateReport, GateRule, Interval, Verdict},
};
use rule::{Rule, Side};
use serde::{Deserialize, Serialize};

/// What a model version must show. A rule set to `None` (or `false`, or 0) is not asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateSettings {
    /// Bound on the probability that a rule passes although it does not hold.
    pub alpha: f64,
    /// Least accuracy.
    pub min_accuracy: Option<f64>,
    /// How far accuracy may lie below the live model's on the same rows: 0.02 allows two points, 0 asks for no loss at
    /// all, −0.02 asks for a gain of two points. Not asked while there is no live model.
    pub max_regression: Option<f64>,
    /// Must accuracy lie above that of always answering the most frequent label?
    pub beat_majority: bool,
    /// Largest difference in accuracy between any two groups of customers. Rows with fewer than two groups show
    /// nothing about it, so the rule then needs more.
    pub max_group_gap: Option<f64>,
    /// Least share of valid answers. A share of 1 can never be shown from a finite number of rows; 0.99 takes 299
    /// rows without a single invalid answer at alpha 0.05, 0.95 takes 59.
    pub min_valid_json: Option<f64>,
    /// Fewest rows to decide on.
    pub min_rows: u64,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            min_accuracy: None,
            max_regression: Some(0.02),
            beat_majority: true,
            max_group_gap: None,
            min_valid_json: None,
            min_rows: 50,
        }
    }
}

/// The live model on the very rows that the candidate was judged on.
#[derive(Clone, Debug)]
pub struct LiveRows<'a> {
    /// The live version.
    pub model: ModelRef,
    /// Its answers, in the order of the candidate's rows.
    pub rows: &'a [JudgedRow],
}

/// What a gate decides on.
#[derive(Clone, Debug)]
pub struct GateInput<'a> {
    /// The rules.
    pub settings: &'a GateSettings,
    /// The candidate's rows.
    pub rows: &'a [JudgedRow],
    /// What the majority baseline answers on the same rows; needed for `beat_majority`.
    pub majority: Option<&'a BaselineAnswers>,
    /// The live model on the same rows; without one `max_regression` is not asked.
    pub live: Option<LiveRows<'a>>,
}

/// Decides.
///
/// ```
/// use loopwright_eval::{gate::{GateInput, GateSettings, decide}, row::JudgedRow};
/// use loopwright_types::score::Verdict;
/// let row = |i: usize| JudgedRow {
///     row_id: format!("r{i}").as_str().into(),
///     expected: "refund".into(),
///     answer: Ok(if i % 10 == 0 { "invoice" } else { "refund" }.into()),
///     group: None,
/// };
/// let decide_on = |n: usize| {
///     let rows: Vec<_> = (0..n).map(row).collect();
///     let settings = GateSettings { min_accuracy: Some(0.85), beat_majority: false, ..Default::default() };
///     decide(&GateInput { settings: &settings, rows: &rows, majority: None, live: None }).unwrap()
/// };
/// // 90% of 100 rows may still be a model that is right for 83% of all; of 400 rows it may not.
/// assert_eq!(decide_on(100).verdict, Verdict::NeedMore);
/// assert_eq!(decide_on(400).verdict, Verdict::Pass);
/// ```
pub fn decide(input: &GateInput<'_>) -> Result<GateReport> {
    let settings = input.settings;
    check_settings(settings)?;
    if input.rows.is_empty() {
        return Err(Error::Input("expected rows to decide on, got none".into()));
    }
    let live = input.live.as_ref().filter(|_| settings.max_regression.is_some());
    let mut rules = vec![];
    if settings.min_rows > 0 {
        rules.push(enough_rows(input.rows.len() as u64, settings.min_rows));
    }
    if let Some(bound) = settings.min_accuracy {
        let share = Share::of(input.rows.iter().map(JudgedRow::is_right));
        rules.push(share_rule(format!("accuracy is at least {bound}"), share, bound, settings.alpha));
    }
    if let Some(bound) = settings.min_valid_json {
        let share = valid_answers(input.rows);
        rules.push(share_rule(format!("the share of valid answers is at least {bound}"), share, bound, settings.alpha));
    }
    if settings.beat_majority {
        rules.push(majority_rule(input)?);
    }
    if let (Some(max_regression), Some(live)) = (settings.max_regression, live) {
        rules.push(live_rule(input, live, max_regression)?);
    }
    if let Some(bound) = settings.max_group_gap {
        rules.push(gap_rule(input.rows, bound, settings.alpha));
    }
    if rules.is_empty() {
        return Err(Error::Input("expected at least one rule, but every rule of the gate is switched off".into()));
    }
    let compared_with = live.map(|live| live.model.clone());
    Ok(GateReport { verdict: overall(&rules), alpha: settings.alpha, rules, compared_with })
}

fn check_settings(settings: &GateSettings) -> Result<()> {
    if !(settings.alpha > 0.0 && settings.alpha < 0.5) {
        return Err(Error::Input(format!("expected a gate's alpha above 0 and below 0.5, got {}", settings.alpha)));
    }
    let shares = [
        ("min_accuracy", settings.min_accuracy, 0.0),
        ("max_regression", settings.max_regression, -1.0),
        ("max_group_gap", settings.max_group_gap, 0.0),
        ("min_valid_json", settings.min_valid_json, 0.0),
    ];
    for (name, value, least) in shares {
        if let Some(value) = value.filter(|v| !(least..=1.0).contains(v)) {
            return Err(Error::Input(format!("expected a gate's `{name}` between {least} and 1, got {value}")));
        }
    }
    Ok(())
}

fn overall(rules: &[GateRule]) -> Verdict {
    let any = |verdict| rules.iter().any(|rule| rule.verdict == verdict);
    match (any(Verdict::Fail), any(Verdict::NeedMore)) {
        (true, _) => Verdict::Fail,
        (false, true) => Verdict::NeedMore,
        (false, false) => Verdict::Pass,
    }
}

fn enough_rows(n: u64, n_min: u64) -> GateRule {
    let count = n as f64;
    GateRule {
        rule: format!("at least {n_min} rows are judged"),
        measured: Interval { low: count, point: count, high: count, level: 1.0 },
        bound: n_min as f64,
        verdict: if n >= n_min { Verdict::Pass } else { Verdict::NeedMore },
        n_rows_needed: (n < n_min).then_some(n_min),
    }
}

fn share_rule(text: String, share: Share, bound: f64, alpha: f64) -> GateRule {
    let interval_of = |factor: f64| {
        let (low, high) = exact_limits(share.n_right as f64 * factor, share.n as f64 * factor, alpha);
        Interval { low, point: share.value(), high, level: 1.0 - 2.0 * alpha }
    };
    Rule { text, bound, side: Side::AtLeast, n_rows: share.n }.decide(interval_of)
}

fn majority_rule(input: &GateInput<'_>) -> Result<GateRule> {
    let Some(majority) = input.majority else {
        return Err(Error::Input(
            "expected the majority baseline's answers for the rule `beat_majority`, got none".into(),
        ));
    };
    if majority.labels.len() != input.rows.len() {
        let (expected, got) = (input.rows.len(), majority.labels.len());
        return Err(Error::Input(format!("expected {expected} answers of the majority baseline, got {got}")));
    }
    let pairs = input.rows.iter().zip(&majority.labels).map(|(row, label)| (row.is_right(), *label == row.expected));
    let text = "accuracy is above that of the majority baseline".to_string();
    Ok(paired_rule(text, Paired::of(pairs), 0.0, input.settings.alpha))
}

fn live_rule(input: &GateInput<'_>, live: &LiveRows<'_>, max_regression: f64) -> Result<GateRule> {
    let same = |(a, b): (&JudgedRow, &JudgedRow)| a.row_id == b.row_id && a.expected == b.expected;
    if live.rows.len() != input.rows.len() || !input.rows.iter().zip(live.rows).all(same) {
        return Err(Error::Input(format!("expected the answers of {} on the same rows in the same order", live.model)));
    }
    let pairs = input.rows.iter().zip(live.rows).map(|(a, b)| (a.is_right(), b.is_right()));
    let against = format!("that of {} on the same rows", live.model);
    let text = match max_regression {
        0.0 => format!("accuracy is no lower than {against}"),
        gain if gain < 0.0 => format!("accuracy is at least {} above {against}", -gain),
        loss => format!("accuracy is at most {loss} below {against}"),
    };
    // Not `-max_regression`, which would print as "-0" for no loss at all.
    Ok(paired_rule(text, Paired::of(pairs), 0.0 - max_regression, input.settings.alpha))
}

fn paired_rule(text: String, paired: Paired, bound: f64, alpha: f64) -> GateRule {
    let level = 1.0 - 2.0 * alpha;
    let point = paired.cautious_difference(level).point;
    let counts = PairedCounts::from(paired);
    let interval_of = |factor: f64| {
        let (low, high) = counts.scaled(factor).limits(two_sided_z(level), CONTINUITY);
        Interval { low, point, high, level }
    };
    Rule { text, bound, side: Side::AtLeast, n_rows: paired.n }.decide(interval_of)
}

fn gap_rule(rows: &[JudgedRow], bound: f64, alpha: f64) -> GateRule {
    let shares: Vec<(f64, f64)> = by_group(rows).values().map(|s| (s.n_right as f64, s.n as f64)).collect();
    // Fewer than two groups show nothing: the gap may be anything.
    let nothing_known = Interval { low: 0.0, point: 0.0, high: 1.0, level: 1.0 - 2.0 * alpha };
    let interval_of = |factor: f64| {
        let scaled: Vec<(f64, f64)> = shares.iter().map(|(right, n)| (right * factor, n * factor)).collect();
        gap_bounds_of(&scaled, alpha).unwrap_or(nothing_known)
    };
    let text = format!("accuracy differs between any two groups by at most {bound}");
    Rule { text, bound, side: Side::AtMost, n_rows: rows.len() as u64 }.decide(interval_of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{majority, rows};

    const OFF: GateSettings = GateSettings {
        alpha: 0.05,
        min_accuracy: None,
        max_regression: None,
        beat_majority: false,
        max_group_gap: None,
        min_valid_json: None,
        min_rows: 0,
    };

    fn check(settings: GateSettings, expected: Verdict) -> GateRule {
        let rows = rows();
        let majority = majority(&rows);
        let live = LiveRows { model: ModelRef::new("support", 1), rows: &rows };
        let input = GateInput { settings: &settings, rows: &rows, majority: Some(&majority), live: Some(live) };
        let report = decide(&input).unwrap();
        assert_eq!(report.verdict, expected, "{report:?}");
        report.rules[0].clone()
    }

    /// 15 of 20 right: the 90% Clopper–Pearson interval is [0.544, 0.896] (beta quantiles).
    #[test]
    fn each_side_of_a_bound() {
        let min_accuracy = |bound| GateSettings { min_accuracy: Some(bound), ..OFF };
        check(min_accuracy(0.54), Verdict::Pass);
        check(min_accuracy(0.90), Verdict::Fail);
        let rule = check(min_accuracy(0.60), Verdict::NeedMore);
        assert!((rule.measured.low - 0.544).abs() < 1e-3 && (rule.measured.high - 0.896).abs() < 1e-3, "{rule:?}");
        // By the normal approximation, n with 1.645·sqrt(0.75·0.25/n) = 0.15 is 23; the exact interval wants more.
        let n = rule.n_rows_needed.unwrap();
        assert!((23..60).contains(&n), "{n}");
    }

    #[test]
    fn every_rule_is_asked() {
        check(GateSettings { min_valid_json: Some(0.70), ..OFF }, Verdict::Pass);
        check(GateSettings { min_rows: 21, ..OFF }, Verdict::NeedMore);
        check(GateSettings { max_group_gap: Some(0.9), ..OFF }, Verdict::Pass);
        check(GateSettings { max_group_gap: Some(0.05), ..OFF }, Verdict::NeedMore);
        // 5 rows only the model got right, 2 only the majority: (5 − 2)/20 may still be nothing.
        check(GateSettings { beat_majority: true, ..OFF }, Verdict::NeedMore);
        check(GateSettings { max_regression: Some(0.20), ..OFF }, Verdict::Pass);
        let same = check(GateSettings { max_regression: Some(0.0), ..OFF }, Verdict::NeedMore);
        assert_eq!((same.n_rows_needed, same.bound.to_string().as_str()), (None, "0"));
        assert_eq!(same.rule, "accuracy is no lower than that of support@1 on the same rows");
    }

    #[test]
    fn a_failed_rule_outweighs_an_open_one() {
        check(GateSettings { min_accuracy: Some(0.9), min_rows: 21, ..OFF }, Verdict::Fail);
    }

    #[test]
    fn one_group_shows_no_fairness() {
        let mut rows = rows();
        rows.iter_mut().for_each(|row| row.group = None);
        let settings = GateSettings { max_group_gap: Some(0.5), ..OFF };
        let report = decide(&GateInput { settings: &settings, rows: &rows, majority: None, live: None }).unwrap();
        assert_eq!((report.verdict, report.rules[0].n_rows_needed), (Verdict::NeedMore, None));
    }

    #[test]
    fn what_cannot_be_decided_is_refused() {
        let rows = rows();
        let refuse = |settings: GateSettings, live: Option<&[JudgedRow]>, expected: &str| {
            let live = live.map(|rows| LiveRows { model: ModelRef::new("support", 1), rows });
            let error = decide(&GateInput { settings: &settings, rows: &rows, majority: None, live }).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        refuse(OFF, None, "every rule");
        refuse(GateSettings { beat_majority: true, ..OFF }, None, "majority");
        refuse(GateSettings { alpha: 0.5, min_rows: 1, ..OFF }, None, "alpha");
        refuse(GateSettings { min_accuracy: Some(80.0), ..OFF }, None, "`min_accuracy` between 0 and 1, got 80");
        let mut shuffled = rows.clone();
        shuffled.swap(0, 19);
        refuse(GateSettings { max_regression: Some(0.0), ..OFF }, Some(&shuffled), "same rows in the same order");
        refuse(GateSettings { max_regression: Some(0.0), ..OFF }, Some(&rows[1..]), "same rows in the same order");
    }
}
