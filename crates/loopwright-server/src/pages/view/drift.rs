//! `/drift`: did the inputs change? Each check with its figures and what they mean.

use super::{
    badge::badge,
    chart_bar::paired_bars,
    figures, link, moment,
    shell::{Section, page},
    table::{Head, cell, empty, facts, table},
};
use loopwright_types::{
    Entity as _, Timestamp,
    drift::{DriftCheck, MovedTerm},
};
use maud::{Markup, html};

/// Moved words shown per check.
const MOST_TERMS: usize = 12;
/// Checks shown in full; older ones only in the table.
const MOST_IN_FULL: usize = 6;

/// The checks, in the order given.
pub fn drift(checks: &[DriftCheck], now: Timestamp) -> Markup {
    let rows = checks.iter().map(|check| {
        vec![
            html! { a.nowrap href={ "#" (check.id) } { (check.window) } },
            badge(check.state()),
            cell(figures::p_value(check.p_value)),
            cell(check.alpha),
            cell(format!("{:+.1}", check.effect)),
            link::route(&check.route),
            moment::recent(check.at, now),
        ]
    });
    let heads = [
        Head::Text("Traffic"),
        Head::Text("Outcome"),
        Head::Number("p-value"),
        Head::Number("Alarm at"),
        Head::Number("Effect (sd)"),
        Head::Text("Route"),
        Head::Text("When"),
    ];
    page(
        Section::Drift,
        "Drift",
        html! {
            p { "Each check compares recent messages with rows that the model knows, and alarms on unchanged traffic no more often than stated." }
            @if checks.is_empty() { (empty("No drift check yet.", "Compare a route's recent messages with its dataset:", "loopwright drift")) }
            @else {
                (table("Checks, newest first", &heads, rows.collect()))
                @for check in checks.iter().take(MOST_IN_FULL) { (in_full(check, now)) }
            }
        },
    )
}

fn in_full(check: &DriftCheck, now: Timestamp) -> Markup {
    html! {
        section.panel #(check.id) {
            h2 { (check.window) " " (badge(check.state())) }
            p { (in_words(check)) }
            (facts(vec![
                ("Route", link::route(&check.route)),
                ("Compared with", html! { (link::dataset(&check.reference)) ", " (figures::plural(check.n_reference, "row")) }),
                ("Traffic", html! { (figures::plural(check.n_window, "message")) }),
                ("Test", html! { code { (check.test) } }),
                ("Statistic", cell(figures::decimal(check.statistic))),
                ("p-value", cell(figures::p_value(check.p_value))),
                ("Alarms when the p-value is at most", cell(check.alpha)),
                ("Effect", html! { (format!("{:+.1}", check.effect)) " standard deviations" }),
                ("When", moment::when(check.at, now)),
            ]))
            (moved(&check.moved))
        }
    }
}

/// What the figures mean.
fn in_words(check: &DriftCheck) -> String {
    let often = figures::share(check.alpha);
    if check.alarm {
        format!(
            "The messages differ from the reference more than chance explains: were nothing changed, a difference this large would show \
             with {}. Such an alarm is false in at most {often} of checks on unchanged traffic.",
            figures::probability(check.p_value)
        )
    } else {
        format!(
            "Nothing to see beyond chance: were nothing changed, a difference this large would show with {}, above the \
             bound of {often}. Silence does not prove that nothing moved, only that {} do not show it.",
            figures::probability(check.p_value),
            figures::plural(check.n_window, "message")
        )
    }
}

fn moved(terms: &[MovedTerm]) -> Markup {
    let most = terms.iter().flat_map(|t| [t.reference_percent, t.window_percent]).fold(0.0, f64::max);
    let rows = terms.iter().take(MOST_TERMS).map(|term| {
        let difference = term.window_percent - term.reference_percent;
        vec![
            cell(&term.term),
            paired_bars(term.reference_percent, term.window_percent, most),
            cell(figures::percent(term.reference_percent)),
            cell(figures::percent(term.window_percent)),
            html! { @if difference >= 0.0 { "more (+" } @else { "less (−" } (format!("{:.1}", difference.abs())) ")" },
        ]
    });
    let heads = [
        Head::Text("Word"),
        Head::Text("Before (outlined) and now (filled)"),
        Head::Number("Before"),
        Head::Number("Now"),
        Head::Text("Moved by points"),
    ];
    html! {
        @if terms.is_empty() { p.quiet { "No single word stands out." } }
        @else { (table("Words that moved most, share of messages with the word", &heads, rows.collect())) }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn an_alarm_is_explained() {
        let html = drift(&[sample::drift_check()], sample::NOW).into_string();
        for part in [
            "✕</span> alarm",
            "below 0.001",
            "false in at most 5.0% of checks",
            "doorbell",
            "from 0.1% to 12.4%",
            "more (+12.3)",
            "less (−3.0)",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn silence_is_not_oversold() {
        let mut check = sample::drift_check();
        check.alarm = false;
        check.p_value = 0.4;
        check.moved.clear();
        let html = drift(&[check], sample::NOW).into_string();
        assert!(html.contains("Silence does not prove") && html.contains("No single word stands out."));
        assert!(html.contains("no alarm"));
    }

    #[test]
    fn no_checks_yet() {
        assert!(drift(&[], sample::NOW).into_string().contains("<code>loopwright drift</code>"));
    }
}
