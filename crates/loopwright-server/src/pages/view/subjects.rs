//! `/subjects`: how many people we hold words of, who may be learned from, and every erasure with its receipt. No names.

use super::{
    badge::badge,
    figures, link, moment,
    shell::{Section, page},
    table::{Head, cell, empty, facts, none, table},
};
use loopwright_types::{Entity as _, Timestamp, subject::Erasure};
use maud::{Markup, html};

/// People by consent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SubjectCounts {
    /// People known to the project.
    pub n_subjects: u64,
    /// Those whose words may not be learned from.
    pub n_opted_out: u64,
}

/// The page; erasures in the order given.
pub fn subjects(counts: SubjectCounts, erasures: &[Erasure], now: Timestamp) -> Markup {
    page(
        Section::Subjects,
        "People",
        html! {
            p { "Whose words the project holds. Records carry pseudonyms only; this page shows no names." }
            @if counts.n_subjects == 0 && erasures.is_empty() {
                (empty("Nobody is known yet.", "People come with imported rows:", "loopwright data import"))
            } @else {
                (facts(vec![
                    ("People known", cell(figures::count(counts.n_subjects))),
                    ("May be learned from", cell(figures::count(counts.n_subjects.saturating_sub(counts.n_opted_out)))),
                    ("Opted out of training", cell(figures::count(counts.n_opted_out))),
                    ("Erased", cell(figures::count(erasures.len() as u64))),
                ]))
                p {
                    "To hand over all that is held on a person: " code { "loopwright subject export PERSON" }
                    ". To leave one out of training: " code { "loopwright subject opt-out PERSON" }
                    ". To erase one: " code { "loopwright erase PERSON" } "."
                }
            }
            h2 { "Erasures" }
            @if erasures.is_empty() { p.quiet { "Nobody has been erased." } }
            @for erasure in erasures { (one(erasure, now)) }
        },
    )
}

fn one(it: &Erasure, now: Timestamp) -> Markup {
    let models = listed(it.models.iter().map(link::model).collect());
    let datasets = listed(it.datasets.iter().map(link::dataset).collect());
    let places: Vec<Vec<Markup>> =
        it.removed.iter().map(|(place, n)| vec![cell(place), cell(figures::count(*n))]).collect();
    html! {
        section.panel #(it.id) {
            h3 { "Erasure of " code { (link::short(it.subject.as_str())) } " " (badge(it.state())) }
            p { (in_words(it)) }
            (facts(vec![
                ("Asked for", moment::when(it.requested_at, now)),
                ("Receipt signed", it.done_at.map_or_else(|| cell("not yet"), |at| moment::when(at, now))),
                ("Receipt digest", it.receipt.as_ref().map_or_else(none, |digest| html! { code { (digest) } })),
                ("Models that had learned from the rows", models),
                ("Retrained without them", it.retrained.as_ref().map_or_else(none, link::model)),
                ("Dataset versions rewritten", datasets),
            ]))
            @if !places.is_empty() { (table("Removed rows", &[Head::Text("Place"), Head::Number("Rows")], places)) }
        }
    }
}

/// Links one after another, or the word for none.
fn listed(links: Vec<Markup>) -> Markup {
    html! { @for (i, link) in links.iter().enumerate() { @if i > 0 { ", " } (link) } @if links.is_empty() { (none()) } }
}

fn in_words(it: &Erasure) -> String {
    let n_removed: u64 = it.removed.values().sum();
    if it.receipt.is_some() {
        format!(
            "{} removed. A closing scan of {} ({}) found none of {}.",
            figures::plural(n_removed, "row"),
            figures::plural(it.n_files_scanned, "file"),
            figures::bytes(it.n_bytes_scanned),
            figures::plural(it.n_strings, "identifying string"),
        )
    } else {
        format!(
            "{} removed so far. There is no receipt until a scan of every file finds nothing.",
            figures::plural(n_removed, "row")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn a_receipt_tells_what_was_scanned() {
        let counts = SubjectCounts { n_subjects: 300, n_opted_out: 2 };
        let html = subjects(counts, &[sample::erasure()], sample::NOW).into_string();
        for part in [
            "12 rows removed. A closing scan of 240 files (3.0 MiB) found none of 4 identifying strings.",
            "pseudonym-01…",
            "dataset support@1",
            "298",
            "sha256:",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn an_unfinished_erasure_claims_nothing() {
        let mut erasure = sample::erasure();
        erasure.receipt = None;
        erasure.done_at = None;
        assert!(in_words(&erasure).contains("There is no receipt until"));
    }

    #[test]
    fn nobody_yet() {
        let html = subjects(SubjectCounts::default(), &[], sample::NOW).into_string();
        assert!(html.contains("loopwright data import") && html.contains("Nobody has been erased."));
    }
}
