//! `/datasets`: every dataset version.

use super::{
    figures, link, moment,
    shell::{Section, page},
    table::{Head, cell, empty, none, table},
};
use loopwright_types::{DatasetVersion, Timestamp};
use maud::{Markup, html};

/// The list, in the order given.
pub fn datasets(versions: &[DatasetVersion], now: Timestamp) -> Markup {
    let rows = versions
        .iter()
        .map(|version| {
            vec![
                link::dataset(&version.dataset),
                cell(figures::count(version.n_rows)),
                cell(figures::count(version.card.labels.len() as u64)),
                cell(figures::count(version.card.pii.values().sum())),
                version.parent.as_ref().map_or_else(none, link::dataset),
                version.erased.as_ref().map_or_else(none, |erased| html! { (figures::plural(erased.n_rows, "row")) }),
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
                        Head::Number("Labels"),
                        Head::Number("Masked spans"),
                        Head::Text("Built on"),
                        Head::Text("Erased"),
                        Head::Text("Made"),
                    ],
                    rows,
                ))
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn versions_are_listed_and_linked() {
        let html = datasets(&[sample::dataset()], sample::NOW).into_string();
        assert!(html.contains("<a href=\"/datasets/support@2\">support@2</a>") && html.contains("3,812"));
        assert!(html.contains("<a href=\"/datasets/support@1\">"));
    }

    #[test]
    fn the_empty_list_says_how_to_begin() {
        assert!(datasets(&[], sample::NOW).into_string().contains("loopwright data import"));
    }
}
