//! Bars that live in tables: the words and numbers are the table's own, so the drawing needs no other alternative and a
//! phone shows it as well as a wide screen.

use super::{
    figures::{count, percent, share},
    table::{Head, table},
};
use loopwright_types::score::Interval;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// A bar from the left edge, `part` of the whole width (0 to 1).
pub fn bar(part: f64) -> Markup {
    let width = clamp(part) * 200.0;
    html! {
        svg.bar viewBox="0 0 200 14" preserveAspectRatio="none" aria-hidden="true" {
            rect.back x="0" y="0" width="200" height="14" {}
            rect.fill x="0" y="0" width=(unit(width)) height="14" {}
        }
    }
}

/// Bars of a table; what comes after them is added up in a last row.
const BARS_MAX: usize = 200;

/// Counts by name as bars, largest first; equal counts by name. `unit` heads the column of counts.
pub fn count_bars(caption: &str, name: &'static str, unit: &'static str, counts: &BTreeMap<String, u64>) -> Markup {
    named_bars(caption, (name, unit), counts, &|name| html! { (name) })
}

/// The same, each name linked to where `to` says.
pub fn linked_bars(
    caption: &str,
    name: &'static str,
    unit: &'static str,
    counts: &BTreeMap<String, u64>,
    to: &dyn Fn(&str) -> String,
) -> Markup {
    named_bars(caption, (name, unit), counts, &|name| html! { a href=(to(name)) { (name) } })
}

fn named_bars(
    caption: &str,
    heads: (&'static str, &'static str),
    counts: &BTreeMap<String, u64>,
    named: &dyn Fn(&str) -> Markup,
) -> Markup {
    let mut counts: Vec<(&String, u64)> = counts.iter().map(|(name, n)| (name, *n)).collect();
    counts.sort_by_key(|(name, n)| (std::cmp::Reverse(*n), (*name).clone()));
    let most = counts.first().map_or(1, |row| row.1.max(1));
    let total: u64 = counts.iter().map(|row| row.1).sum();
    let row = |name: Markup, n: u64| {
        vec![name, bar(n as f64 / most as f64), html! { (count(n)) }, html! { (share(n as f64 / total.max(1) as f64)) }]
    };
    let (shown, rest) = counts.split_at(counts.len().min(BARS_MAX));
    let mut rows: Vec<Vec<Markup>> = shown.iter().map(|(name, n)| row(named(name), *n)).collect();
    if !rest.is_empty() {
        let words = html! { span.quiet { (count(rest.len() as u64)) " more" } };
        rows.push(row(words, rest.iter().map(|row| row.1).sum()));
    }
    table(
        caption,
        &[Head::Text(heads.0), Head::Text("In proportion"), Head::Number(heads.1), Head::Number("Share")],
        rows,
    )
}

/// A stage of a funnel: what went in as an outline, what came out filled, both on a scale that ends at `most`.
pub fn stage_bar(n_in: u64, n_out: u64, most: u64) -> Markup {
    let width = |n: u64| unit(clamp(n as f64 / most.max(1) as f64) * 198.0);
    html! {
        svg.bar.stage viewBox="0 0 200 14" preserveAspectRatio="none" aria-hidden="true" {
            rect.fill x="1" y="1" width=(width(n_out)) height="12" {}
            rect.outline x="1" y="1" width=(width(n_in)) height="12" {}
        }
    }
}

/// Two shares (percent) of the same thing, one over the other: the reference in outline, the window filled.
pub fn paired_bars(reference_percent: f64, window_percent: f64, most_percent: f64) -> Markup {
    let width = |percent: f64| unit(clamp(percent / most_percent.max(f64::MIN_POSITIVE)) * 198.0);
    html! {
        svg.pair viewBox="0 0 200 26" preserveAspectRatio="none" role="img"
            aria-label={ "from " (percent(reference_percent)) " to " (percent(window_percent)) } {
            rect.outline x="1" y="1" width=(width(reference_percent)) height="10" {}
            rect.fill x="1" y="14" width=(width(window_percent)) height="11" {}
        }
    }
}

/// A bar from the middle: to the right for what speaks for an answer, to the left for what speaks against it.
pub fn signed_bar(value: f64, largest: f64) -> Markup {
    let length = clamp(value.abs() / largest.max(f64::MIN_POSITIVE)) * 98.0;
    let (x, class) = if value < 0.0 { (100.0 - length, "against") } else { (100.0, "towards") };
    html! {
        svg.bar viewBox="0 0 200 14" preserveAspectRatio="none" aria-hidden="true" {
            rect.back x="0" y="0" width="200" height="14" {}
            rect.(class) x=(unit(x)) y="1" width=(unit(length)) height="12" {}
            line.zero x1="100" x2="100" y1="0" y2="14" {}
        }
    }
}

/// An interval on a scale from 0 to 1: a line with ends, a dot at the estimate, and a tick at `bound` if there is one.
pub fn interval_bar(interval: &Interval, bound: Option<f64>) -> Markup {
    let x = |value: f64| 2.0 + clamp(value) * 196.0;
    html! {
        svg.interval viewBox="0 0 200 18" role="img"
            aria-label={ (share(interval.point)) ", interval from " (share(interval.low)) " to " (share(interval.high)) } {
            line.rule x1="2" x2="198" y1="9" y2="9" {}
            @for tick in [0.0, 0.25, 0.5, 0.75, 1.0] { line.rule x1=(unit(x(tick))) x2=(unit(x(tick))) y1="7" y2="11" {} }
            @if let Some(bound) = bound { line.bound x1=(unit(x(bound))) x2=(unit(x(bound))) y1="0" y2="18" {} }
            line.span x1=(unit(x(interval.low))) x2=(unit(x(interval.high))) y1="9" y2="9" {}
            @for end in [interval.low, interval.high] { line.span x1=(unit(x(end))) x2=(unit(x(end))) y1="5" y2="13" {} }
            circle.point cx=(unit(x(interval.point))) cy="9" r="4" {}
        }
    }
}

/// An interval in words: `91.2% (89.4% to 92.7%)`.
pub fn interval_words(interval: &Interval) -> String {
    format!("{} ({} to {})", share(interval.point), share(interval.low), share(interval.high))
}

fn clamp(part: f64) -> f64 {
    if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 }
}

fn unit(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_largest_first_with_their_share() {
        let counts = BTreeMap::from([("a".into(), 1), ("b".into(), 3), ("c".into(), 0)]);
        let html = count_bars("Labels", "Label", "Rows", &counts).into_string();
        let at = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text} in {html}"));
        assert!(at("row\">b<") < at("row\">a<") && at("row\">a<") < at("row\">c<"));
        assert!(html.contains("75.0%") && html.contains("width=\"66.7\""));
    }

    #[test]
    fn names_lead_on_and_a_crowd_is_added_up() {
        let counts: BTreeMap<String, u64> = (0..205).map(|n| (format!("<{n:03}>"), 2)).collect();
        let html = linked_bars("Labels", "Label", "Rows", &counts, &|name| format!("/x?label={}", name.len()));
        let html = html.into_string();
        assert!(html.contains("<a href=\"/x?label=5\">&lt;000&gt;</a>"), "{html}");
        assert!(html.contains("5 more") && html.contains("<td class=\"num\">10</td>"), "{html}");
        assert!(!html.contains("&lt;200&gt;"), "{html}");
    }

    #[test]
    fn a_stage_shows_what_went_in_and_what_came_out() {
        let html = stage_bar(50, 25, 100).into_string();
        assert!(html.contains("class=\"fill\" x=\"1\" y=\"1\" width=\"49.5\""), "{html}");
        assert!(html.contains("class=\"outline\" x=\"1\" y=\"1\" width=\"99.0\""), "{html}");
        assert!(!stage_bar(0, 0, 0).into_string().contains("NaN"));
    }

    #[test]
    fn bars_never_leave_their_box() {
        assert!(bar(7.0).into_string().contains("width=\"200.0\""));
        assert!(bar(f64::NAN).into_string().contains("width=\"0.0\""));
        assert!(signed_bar(-0.5, 0.5).into_string().contains("class=\"against\" x=\"2.0\""));
        assert!(signed_bar(0.25, 0.5).into_string().contains("class=\"towards\" x=\"100.0\" y=\"1\" width=\"49.0\""));
        assert!(!signed_bar(0.0, 0.0).into_string().contains("NaN"));
    }

    #[test]
    fn intervals_are_drawn_and_said() {
        let interval = Interval { low: 0.25, point: 0.5, high: 0.75, level: 0.95 };
        let html = interval_bar(&interval, Some(1.0)).into_string();
        assert!(html.contains("cx=\"100.0\"") && html.contains("x1=\"51.0\" x2=\"149.0\""), "{html}");
        assert!(html.contains("class=\"bound\" x1=\"198.0\""));
        assert_eq!(interval_words(&interval), "50.0% (25.0% to 75.0%)");
        assert!(paired_bars(5.0, 10.0, 10.0).into_string().contains("from 5.0% to 10.0%"));
    }
}
