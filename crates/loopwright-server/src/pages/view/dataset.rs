//! `/datasets/{name@version}`: the data card of one version, with rows to look at.

use super::{
    card,
    chart_bar::count_bars,
    figures, lineage, link, moment,
    passage::{self, Fold},
    shell::{Section, back, page},
    table::{Head, cell, facts, none, table},
};
use loopwright_types::{
    DatasetVersion, Example, Timestamp,
    dataset::{DroppedRow, Origin, RejectedRow},
};
use maud::{Markup, html};

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
    /// All of those.
    pub n_rejected: u64,
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
            (doors(version, rows))
            @if let Some(erased) = &version.erased {
                p.notice {
                    strong { (figures::plural(erased.n_rows, "row")) " erased" }
                    " from this version since it was written, last on " (moment::date(erased.at)) ". See "
                    a href="/subjects" { "People" } "."
                }
            }
            (summary(version, now))
            h2 { "What is in it" }
            @if version.erased.is_some() { p.quiet { "Counted when it was made, with the rows that were erased since." } }
            (card::contents(&version.dataset, card))
            h2 { "How it was made" }
            (card::funnel(&version.dataset, &card.steps))
            div.two {
                div { (card::left_out(card)) }
                div {
                    @let drops = card::drops(&card.steps);
                    @if drops.is_empty() { p.quiet { "Nothing was dropped." } }
                    @else { (count_bars("Dropped rows by reason", "Reason", "Rows", &drops)) }
                }
            }
            h2 { "Rows to look at" }
            (kept(&rows.kept))
            (dropped(rows))
            @if !rows.rejected.is_empty() { (rejected(rows)) }
            (doors(version, rows))
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

/// Where to go from here: to all rows of each kind, and to what changed.
fn doors(version: &DatasetVersion, rows: &Rows) -> Markup {
    let to = |which: &str| link::rows(&version.dataset, &[("which", which)]);
    html! {
        ul.doors {
            li { a href=(to("")) { "Look at the " (figures::plural(version.n_rows, "row")) } }
            @if rows.n_dropped > 0 { li { a href=(to("dropped")) { (figures::plural(rows.n_dropped, "dropped row")) } } }
            @if rows.n_rejected > 0 { li { a href=(to("rejected")) { (figures::plural(rows.n_rejected, "unreadable row")) } } }
            @match &version.parent {
                Some(parent) => li { a href=(link::diff(&version.dataset, parent)) { "What changed since " (parent) } },
                None => li { a href={ "/datasets/" (link::segment(&version.dataset.to_string())) "/diff" } { "Compare with another version" } },
            }
        }
    }
}

fn summary(version: &DatasetVersion, now: Timestamp) -> Markup {
    let card = &version.card;
    let mut rows = vec![("Rows", cell(figures::count(version.n_rows)))];
    if card.n_words > 0 {
        rows.push(("Words", cell(figures::count(card.n_words))));
        rows.push(("Text", cell(figures::bytes(card.n_bytes))));
    }
    rows.extend([
        ("Built on", version.parent.as_ref().map_or_else(none, link::dataset)),
        ("Corrections from feedback", cell(figures::count(card.n_corrections))),
        ("Rows that nobody wrote", cell(figures::count(card.n_augmented.values().sum()))),
        ("Spans of personal data masked", cell(figures::count(card.pii.values().sum()))),
        ("Seed", cell(version.seed)),
        ("Digest", html! { code title=(version.digest) { (version.digest.short()) } }),
        ("Made", moment::when(version.created_at, now)),
    ]);
    facts(rows)
}

fn kept(examples: &[Example]) -> Markup {
    let rows = examples.iter().map(|example| {
        vec![
            html! { span.nowrap { (link::short(example.row_id.as_str())) } },
            passage::text(&example.text, Fold::Folded),
            cell(&example.label),
            cell(example.split.as_str()),
            cell(&example.language),
            cell(match &example.origin {
                Origin::Source => example.source.clone(),
                Origin::Correction { .. } => "correction".into(),
                Origin::Augmented { parent, generator } => format!("{generator} of {parent}"),
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

fn rejected(rows: &Rows) -> Markup {
    let cells = rows
        .rejected
        .iter()
        .map(|row| vec![html! { (row.source) ":" (row.line) }, html! { span.wide { (row.reason) } }]);
    let caption = format!("{} of {}", rows.rejected.len(), figures::plural(rows.n_rejected, "unreadable row"));
    table(&caption, &[Head::Text("Place"), Head::Text("Reason")], cells.collect())
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
            ..Rows::default()
        };
        let html = dataset(&sample::dataset(), &rows, &sample::lineage(), sample::NOW).into_string();
        for part in [
            "near_dedup",
            "too short",
            "1 of 312 dropped rows",
            "near-duplicate of row-12 (similarity 0.91)",
            "Where is my parcel, &lt;PERSON&gt;?",
            "Author opted out",
            "Masked spans by kind",
            "<dt>Words</dt><dd>51,204</dd>",
            "<dt>Text</dt><dd>294.8 KiB</dd>",
            "1 row</strong>",
            "with the rows that were erased since",
        ] {
            assert!(html.contains(part) || html.contains(&part.replace("</strong>", "")), "{part} in {html}");
        }
    }

    #[test]
    fn there_are_doors_to_every_kind_of_row_and_to_what_changed() {
        let rows = Rows { n_dropped: 2, n_rejected: 1, ..Rows::default() };
        let html = doors(&sample::dataset(), &rows).into_string();
        for part in [
            "<a href=\"/datasets/support@2/rows\">Look at the 3,812 rows</a>",
            "<a href=\"/datasets/support@2/rows?which=dropped\">2 dropped rows</a>",
            "<a href=\"/datasets/support@2/rows?which=rejected\">1 unreadable row</a>",
            "<a href=\"/datasets/support@2/diff?with=support@1\">What changed since support@1</a>",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        let first = DatasetVersion { parent: None, ..sample::dataset() };
        let html = doors(&first, &Rows::default()).into_string();
        assert!(html.contains("<a href=\"/datasets/support@2/diff\">") && !html.contains("which="), "{html}");
    }

    #[test]
    fn the_raw_text_of_a_rejected_row_is_not_shown() {
        let row =
            RejectedRow { source: "a.csv".into(), line: 7, reason: "no label".into(), excerpt: "Ann Smith".into() };
        let html = rejected(&Rows { rejected: vec![row], n_rejected: 1, ..Rows::default() }).into_string();
        assert!(html.contains("a.csv:7") && !html.contains("Ann Smith"));
    }
}
