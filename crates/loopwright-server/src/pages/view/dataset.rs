//! `/datasets/{name@version}`: the data card of one version, with rows to look at.

use super::{
    chart_bar::count_bars,
    figures, lineage, link, moment,
    shell::{Section, back, page},
    table::{Head, cell, facts, none, table},
};
use loopwright_types::{
    DatasetVersion, Example, Timestamp,
    dataset::{DataCard, DroppedRow, RejectedRow, StepCount},
};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Rows to look at; each list is the start of a longer one.
#[derive(Default)]
pub struct Rows {
    /// Kept rows, masked.
    pub kept: Vec<Example>,
    /// Rows that curation dropped.
    pub dropped: Vec<DroppedRow>,
    /// All dropped rows.
    pub n_dropped: u64,
    /// Rows of the source that could not be read.
    pub rejected: Vec<RejectedRow>,
}

/// The page.
pub fn dataset(version: &DatasetVersion, rows: &Rows, lineage: &lineage::Lineage, now: Timestamp) -> Markup {
    let card = &version.card;
    page(
        Section::Datasets,
        &format!("Dataset {}", version.dataset),
        html! {
            (back("/datasets", "Datasets"))
            p.lead { (in_words(version)) }
            @if let Some(erased) = &version.erased {
                p.notice {
                    strong { (figures::plural(erased.n_rows, "row")) " erased" }
                    " from this version since it was written, last on " (moment::date(erased.at)) ". See "
                    a href="/subjects" { "People" } "."
                }
            }
            (summary(version, now))
            h2 { "How it was made" }
            (steps(card))
            (rows_by("Dropped rows by reason", "Reason", &drops(&card.steps), "Nothing was dropped."))
            h2 { "What is in it" }
            (rows_by("Rows per label", "Label", &card.labels, "No labels."))
            div.two {
                div { (rows_by("Rows per split", "Split", &card.splits, "No splits.")) }
                div { (rows_by("Rows per group", "Group", &card.groups, "Rows carry no group.")) }
                div {
                    (rows_by("Languages before the language filter", "Language (ISO 639-3)", &card.languages, "No language was detected."))
                }
                div {
                    @if card.pii.is_empty() { p.quiet { "No personal data was found to mask." } }
                    @else { (count_bars("Masked spans by kind", "Kind", "Spans", &card.pii)) }
                }
            }
            h2 { "Rows to look at" }
            (kept(&rows.kept))
            (dropped(rows))
            @if !rows.rejected.is_empty() { (rejected(&rows.rejected)) }
            h2 { "Lineage" }
            (lineage::both_ways(lineage))
        },
    )
}

fn in_words(version: &DatasetVersion) -> String {
    let card = &version.card;
    let [shortest, median, p95, longest] = card.length_chars;
    format!(
        "{} with {}, {shortest} to {longest} characters long (half of them at most {median}, 95 of 100 at most {p95}).",
        figures::plural(version.n_rows, "row"),
        figures::plural(card.labels.len() as u64, "label"),
    )
}

fn summary(version: &DatasetVersion, now: Timestamp) -> Markup {
    let card = &version.card;
    facts(vec![
        ("Rows", cell(figures::count(version.n_rows))),
        ("Built on", version.parent.as_ref().map_or_else(none, link::dataset)),
        ("Corrections from feedback", cell(figures::count(card.n_corrections))),
        ("Left out: author opted out", html! { (figures::plural(card.n_opted_out, "row")) }),
        ("Left out: author erased", html! { (figures::plural(card.n_erased, "row")) }),
        ("Exact duplicates removed", cell(figures::count(card.n_exact_duplicates))),
        ("Near-duplicates removed", cell(figures::count(card.n_near_duplicates))),
        ("Suspected wrong labels dropped", cell(figures::count(card.n_label_conflicts))),
        ("Unreadable rows kept aside", cell(figures::count(card.n_rejected))),
        ("Spans of personal data masked", cell(figures::count(card.pii.values().sum()))),
        ("Seed", cell(version.seed)),
        ("Digest", html! { code title=(version.digest) { (version.digest.short()) } }),
        ("Made", moment::when(version.created_at, now)),
    ])
}

fn steps(card: &DataCard) -> Markup {
    let rows = card.steps.iter().map(|step| {
        let dropped: Vec<String> =
            step.dropped.iter().map(|(reason, n)| format!("{reason} {}", figures::count(*n))).collect();
        vec![
            cell(&step.step),
            cell(figures::count(step.n_in)),
            cell(figures::count(step.n_out)),
            cell(figures::count(step.n_changed)),
            cell(figures::count(step.dropped.values().sum())),
            html! { @if !dropped.is_empty() { span.value { (dropped.join(", ")) } } },
        ]
    });
    let heads = [
        Head::Text("Step"),
        Head::Number("Rows in"),
        Head::Number("Rows out"),
        Head::Number("Changed"),
        Head::Number("Dropped"),
        Head::Text("Why"),
    ];
    table("Curation, step by step", &heads, rows.collect())
}

/// Dropped rows by reason, over all steps.
fn drops(steps: &[StepCount]) -> BTreeMap<String, u64> {
    let mut drops = BTreeMap::new();
    for (reason, n) in steps.iter().flat_map(|step| &step.dropped) {
        *drops.entry(reason.clone()).or_default() += n;
    }
    drops
}

/// Rows by some name, or the words for none.
fn rows_by(caption: &str, name: &'static str, counts: &BTreeMap<String, u64>, if_empty: &str) -> Markup {
    html! { @if counts.is_empty() { p.quiet { (if_empty) } } @else { (count_bars(caption, name, "Rows", counts)) } }
}

fn kept(examples: &[Example]) -> Markup {
    let rows = examples.iter().map(|example| {
        vec![
            html! { span.nowrap { (link::short(example.row_id.as_str())) } },
            html! { span.wide { (example.text) } },
            cell(&example.label),
            cell(example.split.as_str()),
            cell(&example.language),
            cell(match &example.origin {
                loopwright_types::dataset::Origin::Source => example.source.clone(),
                loopwright_types::dataset::Origin::Correction { .. } => "correction".into(),
            }),
        ]
    });
    let heads = [
        Head::Text("Row"),
        Head::Text("Text (masked)"),
        Head::Text("Label"),
        Head::Text("Split"),
        Head::Text("Language"),
        Head::Text("From"),
    ];
    html! {
        @if examples.is_empty() { p.quiet { "The rows of this version are not on this machine." } }
        @else { (table(&format!("The first {} of the kept rows", examples.len()), &heads, rows.collect())) }
    }
}

fn dropped(rows: &Rows) -> Markup {
    let cells = rows.dropped.iter().map(|row| {
        vec![
            html! { span.nowrap { (link::short(row.row_id.as_str())) } },
            cell(&row.step),
            html! { span.wide { (row.reason) } },
        ]
    });
    let heads = [Head::Text("Row"), Head::Text("Step"), Head::Text("Reason")];
    let caption = format!("{} of {}", rows.dropped.len(), figures::plural(rows.n_dropped, "dropped row"));
    html! {
        @if rows.dropped.is_empty() { p.quiet { "No row was dropped." } } @else { (table(&caption, &heads, cells.collect())) }
    }
}

fn rejected(rows: &[RejectedRow]) -> Markup {
    let cells =
        rows.iter().map(|row| vec![html! { (row.source) ":" (row.line) }, html! { span.wide { (row.reason) } }]);
    table("Rows that could not be read", &[Head::Text("Place"), Head::Text("Reason")], cells.collect())
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn the_card_tells_steps_labels_and_what_was_left_out() {
        let rows = Rows {
            kept: vec![sample::example()],
            dropped: vec![sample::dropped_row()],
            n_dropped: 312,
            rejected: vec![],
        };
        let html = dataset(&sample::dataset(), &rows, &sample::lineage(), sample::NOW).into_string();
        for part in [
            "near_dedup",
            "too short",
            "1 of 312 dropped rows",
            "near-duplicate of row-12 (similarity 0.91)",
            "Where is my parcel, &lt;PERSON&gt;?",
            "Left out: author opted out",
            "Masked spans by kind",
            "1 row</strong>",
        ] {
            assert!(html.contains(part) || html.contains(&part.replace("</strong>", "")), "{part} in {html}");
        }
    }

    #[test]
    fn drops_add_up_over_steps() {
        let mut step = sample::dataset().card.steps[0].clone();
        step.dropped = BTreeMap::from([("empty".into(), 2)]);
        assert_eq!(drops(&[step.clone(), step]), BTreeMap::from([("empty".to_string(), 4)]));
    }

    #[test]
    fn the_raw_text_of_a_rejected_row_is_not_shown() {
        let row =
            RejectedRow { source: "a.csv".into(), line: 7, reason: "no label".into(), excerpt: "Ann Smith".into() };
        let html = rejected(&[row]).into_string();
        assert!(html.contains("a.csv:7") && !html.contains("Ann Smith"));
    }
}
