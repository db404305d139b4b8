//! What a data card says, drawn: the funnel of curation, what was left out, lengths, and rows over time.
//!
//! A figure that the card does not hold, as those of earlier versions do not, is left out.

use super::{
    chart_bar::{bar, count_bars, linked_bars, stage_bar},
    chart_column::{Column, ColumnChart, SERIES_MAX, column_chart},
    figures, link,
    table::{Head, cell, table},
};
use loopwright_types::{
    DatasetRef,
    dataset::{DataCard, StepCount},
};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Months drawn one by one; a longer time is drawn in years.
const MONTHS_MAX: usize = 36;
/// Years drawn one by one; of a longer time only those that have rows.
const YEARS_MAX: usize = 60;

type BySource = BTreeMap<String, u64>;

/// Curation as a funnel: what went into each step, what came out, and why rows stayed behind.
pub fn funnel(dataset: &DatasetRef, steps: &[StepCount]) -> Markup {
    let most = steps.iter().map(|step| step.n_in.max(step.n_out)).max().unwrap_or(0);
    let rows = steps.iter().map(|step| {
        let reasons: Vec<String> =
            step.dropped.iter().map(|(reason, n)| format!("{reason} {}", figures::count(*n))).collect();
        let n_dropped: u64 = step.dropped.values().sum();
        let dropped = link::rows(dataset, &[("which", "dropped"), ("step", &step.step)]);
        vec![
            cell(&step.step),
            stage_bar(step.n_in, step.n_out, most),
            cell(figures::count(step.n_in)),
            cell(figures::count(step.n_out)),
            cell(figures::count(step.n_changed)),
            html! { @if n_dropped > 0 { a href=(dropped) { (figures::count(n_dropped)) } } @else { "0" } },
            html! { @if !reasons.is_empty() { span.wide { (reasons.join(", ")) } } },
        ]
    });
    let heads = [
        Head::Text("Step"),
        Head::Text("Outline: in, filled: out"),
        Head::Number("Rows in"),
        Head::Number("Rows out"),
        Head::Number("Changed"),
        Head::Number("Dropped"),
        Head::Text("Why"),
    ];
    table("Curation, step by step", &heads, rows.collect())
}

/// What is not in the version, by cause, in a fixed order.
pub fn left_out(card: &DataCard) -> Markup {
    let causes = [
        ("Exact duplicates", card.n_exact_duplicates),
        ("Near-duplicates", card.n_near_duplicates),
        ("Suspected wrong labels", card.n_label_conflicts),
        ("Author opted out", card.n_opted_out),
        ("Author erased", card.n_erased),
        ("Unreadable, kept aside", card.n_rejected),
    ];
    let most = causes.iter().map(|cause| cause.1).max().unwrap_or(0).max(1);
    let row = |(cause, n): (&str, u64)| vec![cell(cause), bar(n as f64 / most as f64), cell(figures::count(n))];
    let heads = [Head::Text("Cause"), Head::Text("In proportion"), Head::Number("Rows")];
    table("Left out, by cause", &heads, causes.map(row).into())
}

/// Dropped rows by reason, over all steps.
pub fn drops(steps: &[StepCount]) -> BTreeMap<String, u64> {
    let mut drops = BTreeMap::new();
    for (reason, n) in steps.iter().flat_map(|step| &step.dropped) {
        *drops.entry(reason.clone()).or_default() += n;
    }
    drops
}

/// What the rows are, by label, split, source and so on. Labels, splits and sources lead to their rows.
pub fn contents(dataset: &DatasetRef, card: &DataCard) -> Markup {
    let leads = |filter: &'static str| move |name: &str| link::rows(dataset, &[(filter, name)]);
    let by = |caption: &str, name, counts: &BTreeMap<String, u64>| count_bars(caption, name, "Rows", counts);
    html! {
        @if card.labels.is_empty() { p.quiet { "No labels." } }
        @else { (linked_bars("Rows per label", "Label", "Rows", &card.labels, &leads("label"))) }
        (lengths(card))
        (tokens(card))
        (over_time(&card.months))
        div.two {
            @if !card.splits.is_empty() {
                div { (linked_bars("Rows per split", "Split", "Rows", &card.splits, &leads("split"))) }
            }
            @if !card.sources.is_empty() {
                div { (linked_bars("Rows per source", "Source", "Rows", &card.sources, &leads("source"))) }
            }
            @if !card.languages.is_empty() {
                div { (by("Languages before the language filter", "Language (ISO 639-3)", &card.languages)) }
            }
            @if !card.licences.is_empty() { div { (by("Rows per licence", "Licence", &card.licences)) } }
            @if !card.tags.is_empty() { div { (by("Rows per tag", "Tag", &card.tags)) } }
            @if !card.groups.is_empty() { div { (by("Rows per group", "Group", &card.groups)) } }
            div {
                @if card.pii.is_empty() { p.quiet { "No personal data was found to mask." } }
                @else { (count_bars("Masked spans by kind", "Kind", "Spans", &card.pii)) }
            }
        }
    }
}

/// Rows by length.
fn lengths(card: &DataCard) -> Markup {
    let bins = card.lengths.iter().map(|bin| (bin.chars_max, bin.n_rows));
    by_size(&Sizes { id: "lengths", title: "Rows by length", unit: "characters", x_name: "Characters", note: "" }, bins)
}

/// Rows by their number of tokens, and whose tokens these are.
fn tokens(card: &DataCard) -> Markup {
    let Some(tokens) = &card.tokens else { return html! {} };
    let [min, median, p95, max] = tokens.per_row.map(figures::count);
    let note = format!(
        " {} tokens in all, {min} to {max} a row, median {median}, 95th percentile {p95}; {}.",
        figures::count(tokens.n_tokens),
        tokens.counted()
    );
    let sizes = Sizes { id: "tokens", title: "Rows by tokens", unit: "tokens", x_name: "Tokens", note: &note };
    by_size(&sizes, tokens.bins.iter().map(|bin| (bin.tokens_max, bin.n_rows)))
}

/// What rows are measured in.
struct Sizes<'a> {
    id: &'static str,
    title: &'a str,
    unit: &'a str,
    x_name: &'static str,
    /// Said behind the sentence on the largest bin.
    note: &'a str,
}

/// Rows by size, in bins of which each begins behind the one before.
fn by_size(sizes: &Sizes<'_>, bins: impl Iterator<Item = (u64, u64)>) -> Markup {
    let mut above = None;
    let column = |(most, n_rows): (u64, u64)| {
        let upto = figures::count(most);
        let name = match above.replace(most) {
            None => format!("up to {upto}"),
            Some(below) => format!("{} to {upto}", figures::count(below + 1)),
        };
        Column { tick: upto, name, values: vec![n_rows] }
    };
    let columns: Vec<Column> = bins.map(column).collect();
    let Some(most) = columns.iter().max_by_key(|column| column.values[0]) else { return html! {} };
    let Sizes { id, title, unit, x_name, note } = sizes;
    let said = format!("Most rows ({}) have {} {unit}.{note}", figures::count(most.values[0]), most.name);
    let x_label = format!("length in {unit}, at most");
    let series = vec![String::new()];
    column_chart(&ColumnChart { id, title, said: &said, x_label: &x_label, x_name, columns, series })
}

/// Rows by the month in which they were written, stacked by source.
fn over_time(months: &BTreeMap<String, BySource>) -> Markup {
    let Some((first, last)) = months.keys().next().zip(months.keys().next_back()) else { return html! {} };
    let (unit, periods) = periods(months);
    let series = series(months);
    let column = |(period, by_source): (String, BySource)| Column {
        values: stacked(&by_source, &series),
        tick: period.clone(),
        name: period,
    };
    let columns: Vec<Column> = periods.into_iter().map(column).collect();
    let n_rows: u64 = months.values().flat_map(BTreeMap::values).sum();
    let said = format!("{} say when they were written, from {first} to {last}.", figures::plural(n_rows, "row"));
    column_chart(&ColumnChart {
        id: "months",
        title: "Rows over time, by source",
        said: &said,
        x_label: unit,
        x_name: "Time",
        columns,
        series,
    })
}

/// The largest sources, largest first; those that have no place of their own are one series at the end.
fn series(months: &BTreeMap<String, BySource>) -> Vec<String> {
    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    for (source, n) in months.values().flatten() {
        *totals.entry(source).or_default() += n;
    }
    let mut sources: Vec<(&str, u64)> = totals.into_iter().collect();
    sources.sort_by_key(|(source, n)| (std::cmp::Reverse(*n), *source));
    let mut names: Vec<String> = sources.iter().map(|(source, _)| source.to_string()).collect();
    if names.len() > SERIES_MAX {
        let n_others = names.len() - (SERIES_MAX - 1);
        names.truncate(SERIES_MAX - 1);
        names.push(format!("{n_others} other sources"));
    }
    names
}

/// One value per series; what belongs to none of them counts for the last.
fn stacked(by_source: &BySource, series: &[String]) -> Vec<u64> {
    let mut values = vec![0; series.len()];
    for (source, n) in by_source {
        let place = series.iter().position(|name| name == source).unwrap_or(series.len() - 1);
        values[place] += n;
    }
    values
}

/// The time as months without gaps, or as years where there are too many months.
fn periods(months: &BTreeMap<String, BySource>) -> (&'static str, Vec<(String, BySource)>) {
    let numbers: Option<Vec<usize>> = months.keys().map(|month| month_number(month)).collect();
    let Some((first, last)) = numbers.as_ref().and_then(|all| all.first().zip(all.last())) else {
        return ("month", months.clone().into_iter().collect());
    };
    if last - first < MONTHS_MAX {
        let name = |number: usize| format!("{:04}-{:02}", number / 12, number % 12 + 1);
        return ("month", (*first..=*last).map(name).map(|name| with_rows(months, name)).collect());
    }
    let mut years: BTreeMap<String, BySource> = BTreeMap::new();
    for (month, by_source) in months {
        let year = years.entry(month.chars().take(4).collect()).or_default();
        by_source.iter().for_each(|(source, n)| *year.entry(source.clone()).or_default() += n);
    }
    let (first, last) = (first / 12, last / 12);
    if last - first < YEARS_MAX {
        return ("year", (first..=last).map(|year| with_rows(&years, format!("{year:04}"))).collect());
    }
    ("year, if it has rows", years.into_iter().collect())
}

fn with_rows(periods: &BTreeMap<String, BySource>, name: String) -> (String, BySource) {
    let rows = periods.get(&name).cloned().unwrap_or_default();
    (name, rows)
}

/// Months since the year 0, of `2026-01`.
fn month_number(month: &str) -> Option<usize> {
    let (year, month) = month.split_once('-')?;
    let (year, month): (usize, usize) = (year.parse().ok()?, month.parse().ok()?);
    (year < 10_000 && (1..=12).contains(&month)).then(|| year * 12 + month - 1)
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};
    use loopwright_types::dataset::RowTokens;

    fn months(rows: &[(&str, &str, u64)]) -> BTreeMap<String, BySource> {
        let mut months: BTreeMap<String, BySource> = BTreeMap::new();
        for (month, source, n) in rows {
            months.entry(month.to_string()).or_default().insert(source.to_string(), *n);
        }
        months
    }

    #[test]
    fn a_card_is_drawn_and_told() {
        let version = sample::dataset();
        let html = contents(&version.dataset, &version.card).into_string();
        for part in [
            "<title id=\"lengths-title\">Rows by length</title>",
            "Most rows (1,544) have 51 to 100 characters.",
            "up to 20",
            "<title id=\"tokens-title\">Rows by tokens</title>",
            "Most rows (2,640) have 11 to 20 tokens. 63,004 tokens in all, 3 to 97 a row, median 15, 95th percentile 41; \
             counted with the tokenizer of support-base@1.",
            "<title id=\"months-title\">Rows over time, by source</title>",
            "3,771 rows say when they were written, from 2026-01 to 2026-02.",
            "/datasets/support@2/rows?label=refund",
            "/datasets/support@2/rows?source=month-1.csv",
            "CC-BY-4.0",
            "Masked spans by kind",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn what_an_earlier_card_does_not_hold_is_left_out() {
        let card = DataCard { labels: BTreeMap::from([("a".into(), 1)]), ..DataCard::default() };
        let html = contents(&DatasetRef::new("support", 1), &card).into_string();
        for absent in
            ["Rows by length", "Rows by tokens", "Rows over time", "licence", "Rows per source", "Rows per tag"]
        {
            assert!(!html.contains(absent), "{absent} in {html}");
        }
    }

    #[test]
    fn pieces_are_not_told_as_a_models_tokens() {
        let version = sample::dataset();
        let counted =
            version.card.tokens.clone().map(|tokens| RowTokens { counted_by: RowTokens::PIECES.into(), ..tokens });
        let html = tokens(&DataCard { tokens: counted, ..version.card }).into_string();
        assert!(html.contains("counted in pieces") && !html.contains("the tokenizer of"), "{html}");
    }

    #[test]
    fn steps_lead_to_what_they_dropped() {
        let version = sample::dataset();
        let html = funnel(&version.dataset, &version.card.steps).into_string();
        assert!(html.contains("href=\"/datasets/support@2/rows?which=dropped&amp;step=near_dedup\""), "{html}");
        assert!(html.contains("language 84, too short 96"), "{html}");
        assert!(left_out(&version.card).into_string().contains("Author opted out"));
    }

    #[test]
    fn drops_add_up_over_steps() {
        let mut step = sample::dataset().card.steps[0].clone();
        step.dropped = BTreeMap::from([("empty".into(), 2)]);
        assert_eq!(drops(&[step.clone(), step]), BTreeMap::from([("empty".to_string(), 4)]));
    }

    #[test]
    fn time_has_no_gaps_and_long_times_are_years() {
        let names = |months: &BTreeMap<String, BySource>| -> Vec<String> {
            periods(months).1.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(
            names(&months(&[("2025-11", "a", 1), ("2026-02", "a", 1)])),
            ["2025-11", "2025-12", "2026-01", "2026-02"]
        );
        let long = months(&[("2020-05", "a", 1), ("2020-06", "a", 2), ("2023-07", "b", 3)]);
        assert_eq!(names(&long), ["2020", "2021", "2022", "2023"]);
        assert_eq!(periods(&long).1[0].1, BTreeMap::from([("a".to_string(), 3)]));
        assert_eq!(names(&months(&[("1900-05", "a", 1), ("2023-07", "b", 3)])), ["1900", "2023"]);
        assert_eq!(names(&months(&[("-0001-05", "a", 1)])), ["-0001-05"], "what is no month is shown as it is");
    }

    #[test]
    fn small_sources_share_a_series() {
        let sources: Vec<(String, u64)> = (1..=8).map(|n| (format!("s{n}"), n)).collect();
        let rows: Vec<(&str, &str, u64)> = sources.iter().map(|(name, n)| ("2026-01", name.as_str(), *n)).collect();
        let months = months(&rows);
        let series = series(&months);
        assert_eq!(series, ["s8", "s7", "s6", "s5", "s4", "3 other sources"]);
        assert_eq!(stacked(&months["2026-01"], &series), [8, 7, 6, 5, 4, 6]);
    }
}
