//! `/datasets`: every dataset version.

use super::{
    figures, link, moment,
    shell::{Section, page},
    table::{Head, cell, empty, none, table},
};
use loopwright_types::{DatasetVersion, Timestamp, dataset::DataCard};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Sources named in a line of the list.
const SOURCES_SHOWN: usize = 2;

/// The list. Versions come newest first; those of one dataset are kept together, the dataset that changed last on top.
pub fn datasets(versions: &[DatasetVersion], now: Timestamp) -> Markup {
    let rows = by_dataset(versions)
        .into_iter()
        .map(|version| {
            let card = &version.card;
            vec![
                link::dataset(&version.dataset),
                cell(figures::count(version.n_rows)),
                if_known(card.n_words, figures::count),
                if_known(card.n_bytes, figures::bytes),
                sources(card),
                cell(figures::count(card.labels.len() as u64)),
                cell(figures::count(card.pii.values().sum())),
                version.parent.as_ref().map_or_else(none, link::dataset),
                version.erased.as_ref().map_or_else(none, |erased| cell(figures::count(erased.n_rows))),
                moment::recent(version.created_at, now),
            ]
        })
        .collect();
    page(
        Section::Datasets,
        "Datasets",
        html! {
            p { "Immutable versions of curated rows. Only an erasure rewrites one, and then it says so." }
            @if versions.is_empty() {
                (empty("No dataset version yet.", "Import a source and curate it:", "loopwright data import\nloopwright data curate"))
            } @else {
                (table(
                    "Dataset versions, newest first",
                    &[
                        Head::Text("Version"),
                        Head::Number("Rows"),
                        Head::Number("Words"),
                        Head::Number("Text"),
                        Head::Text("Sources"),
                        Head::Number("Labels"),
                        Head::Number("Masked"),
                        Head::Text("Built on"),
                        Head::Number("Erased"),
                        Head::Text("Made"),
                    ],
                    rows,
                ))
            }
        },
    )
}

/// Versions of the same dataset together, each dataset where its newest version stands, newest version first.
fn by_dataset(versions: &[DatasetVersion]) -> Vec<&DatasetVersion> {
    let mut place: BTreeMap<&str, usize> = BTreeMap::new();
    for version in versions {
        let next = place.len();
        place.entry(&version.dataset.name).or_insert(next);
    }
    let mut ordered: Vec<&DatasetVersion> = versions.iter().collect();
    ordered
        .sort_by_key(|version| (place.get(version.dataset.name.as_str()), std::cmp::Reverse(version.dataset.version)));
    ordered
}

/// Cards of earlier versions do not count words, bytes and sources.
fn if_known(n: u64, written: impl Fn(u64) -> String) -> Markup {
    if n == 0 {
        html! { span.quiet { "not counted" } }
    } else {
        cell(written(n))
    }
}

/// The sources with the most rows, and how many more there are.
fn sources(card: &DataCard) -> Markup {
    let mut sources: Vec<(&String, u64)> = card.sources.iter().map(|(name, n)| (name, *n)).collect();
    sources.sort_by_key(|(name, n)| (std::cmp::Reverse(*n), *name));
    let names: Vec<&str> = sources.iter().take(SOURCES_SHOWN).map(|(name, _)| name.as_str()).collect();
    html! {
        @if sources.is_empty() { span.quiet { "not counted" } }
        @else {
            span.some {
                (names.join(", "))
                @if sources.len() > SOURCES_SHOWN { span.quiet { " and " (figures::count((sources.len() - SOURCES_SHOWN) as u64)) " more" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};
    use loopwright_types::DatasetRef;

    #[test]
    fn versions_are_listed_and_linked() {
        let html = datasets(&[sample::dataset()], sample::NOW).into_string();
        assert!(html.contains("<a href=\"/datasets/support@2\">support@2</a>") && html.contains("3,812"));
        assert!(html.contains("<a href=\"/datasets/support@1\">"));
        assert!(
            html.contains("51,204") && html.contains("294.8 KiB") && html.contains("month-1.csv, traces"),
            "{html}"
        );
    }

    #[test]
    fn versions_of_a_dataset_stand_together() {
        let version =
            |name: &str, number| DatasetVersion { dataset: DatasetRef::new(name, number), ..sample::dataset() };
        let listed = [version("b", 1), version("a", 10), version("b", 2), version("a", 9)];
        let names: Vec<String> = by_dataset(&listed).iter().map(|version| version.dataset.to_string()).collect();
        assert_eq!(names, ["b@2", "b@1", "a@10", "a@9"]);
    }

    #[test]
    fn what_an_earlier_card_did_not_count_is_said() {
        let card = DataCard::default();
        assert!(sources(&card).into_string().contains("not counted"));
        let many = (1..=4).map(|n| (format!("<{n}>"), n)).collect();
        let html = sources(&DataCard { sources: many, ..card }).into_string();
        assert!(html.contains("&lt;4&gt;, &lt;3&gt;") && html.contains(" and 2 more"), "{html}");
        let version = DatasetVersion { card: DataCard::default(), ..sample::dataset() };
        assert_eq!(datasets(&[version], sample::NOW).into_string().matches("not counted").count(), 3);
    }

    #[test]
    fn the_empty_list_says_how_to_begin() {
        assert!(datasets(&[], sample::NOW).into_string().contains("loopwright data import"));
    }
}
