//! `/datasets/{name@version}/diff?with=…`: what changed between two versions of a dataset, each removal with its reason.

use super::{
    chart_bar::count_bars,
    figures, link,
    shell::{Section, back, page},
    table::{Head, cell, facts, table},
};
use loopwright_pipeline::diff::{ChangedRow, Difference, RemovedRow, ShownRow, UNRECORDED};
use loopwright_types::DatasetRef;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// What there is to say of two versions.
#[derive(Clone, Debug, PartialEq)]
pub enum Compared {
    /// There is no other version to compare with.
    Alone,
    /// The rows of one of them are not on this machine.
    NoRows {
        /// The earlier version.
        before: DatasetRef,
    },
    /// They are too large to be compared for a page.
    TooLarge {
        /// The earlier version.
        before: DatasetRef,
        /// Rows of both.
        n_rows: u64,
    },
    /// They were compared.
    Made {
        /// The earlier version.
        before: DatasetRef,
        /// What changed.
        difference: Box<Difference>,
    },
}

impl Compared {
    fn before(&self) -> Option<&DatasetRef> {
        match self {
            Self::Alone => None,
            Self::NoRows { before } | Self::TooLarge { before, .. } | Self::Made { before, .. } => Some(before),
        }
    }
}

/// The page. `others` are the versions to choose from.
pub fn diff(after: &DatasetRef, others: &[DatasetRef], compared: &Compared) -> Markup {
    let heading = match compared.before() {
        Some(before) => format!("From {before} to {after}"),
        None => format!("Compare {after}"),
    };
    page(
        Section::Datasets,
        &heading,
        html! {
            (back(&format!("/datasets/{}", link::segment(&after.to_string())), &format!("Dataset {after}")))
            @if !others.is_empty() { (form(after, others, compared.before())) }
            @match compared {
                Compared::Alone => {
                    div.empty {
                        p { strong { "There is no other version yet." } }
                        p { "Change the recipe, the sources or the corrections, and curate again:" }
                        pre { code { "loopwright data curate" } }
                    }
                }
                Compared::NoRows { .. } => p.notice { "The rows of one of the two versions are not on this machine." },
                Compared::TooLarge { before, n_rows } => {
                    p.notice {
                        "Together the two have " (figures::plural(*n_rows, "row")) ", too many to compare for a page. On the command line it is no trouble:"
                    }
                    pre { code { "loopwright data diff " (before) " " (after) } }
                }
                Compared::Made { before, difference } => (difference_of(before, after, difference)),
            }
        },
    )
}

fn form(after: &DatasetRef, others: &[DatasetRef], chosen: Option<&DatasetRef>) -> Markup {
    let path = format!("/datasets/{}/diff", link::segment(&after.to_string()));
    html! {
        form.filters method="get" action=(path) aria-label="Choose the other version" {
            div {
                label for="with" { "Compare with" }
                select #with name="with" {
                    @for other in others { option value=(other) selected[Some(other) == chosen] { (other) } }
                }
            }
            div { button type="submit" { "Compare" } }
        }
    }
}

fn difference_of(before: &DatasetRef, after: &DatasetRef, found: &Difference) -> Markup {
    if found.is_empty() {
        return html! {
            div.empty {
                p { strong { "The versions are the same." } }
                p { "They hold the same " (figures::plural(found.n_same, "row")) ". Choose another version to compare with." }
            }
        };
    }
    html! {
        p.lead {
            (after) " has " (figures::plural(found.n_after, "row")) ", " (before) " " (figures::count(found.n_before)) ": "
            (figures::count(found.n_added)) " added, " (figures::count(found.n_removed)) " removed, "
            (figures::count(found.n_changed)) " changed, " (figures::count(found.n_same)) " the same."
        }
        (facts(vec![
            ("Rows added", cell(format!("+ {}", figures::count(found.n_added)))),
            ("Rows removed", cell(format!("− {}", figures::count(found.n_removed)))),
            ("Rows changed", cell(figures::count(found.n_changed))),
            ("Rows that are the same", cell(figures::count(found.n_same))),
        ]))
        div.two {
            (counted("Added rows by label", "Label", &found.added_labels))
            (counted("Removed rows by label", "Label", &found.removed_labels))
            (counted("Removed rows by step", "Step", &found.removed_steps))
            (counted("Changed rows by field", "Field", &found.changed_fields))
        }
        @if found.removed_steps.contains_key(UNRECORDED) {
            p.quiet { "“" (UNRECORDED) "”: gone without a step that dropped it: erased, or from a source that is no longer read." }
        }
        @if !found.added.is_empty() { (added(after, found)) }
        @if !found.removed.is_empty() { (removed(before, after, found)) }
        @if !found.changed.is_empty() { (changed(after, found)) }
    }
}

fn counted(caption: &str, name: &'static str, counts: &BTreeMap<String, u64>) -> Markup {
    let named = counts.iter().map(|(name, n)| (if name.is_empty() { "no label" } else { name }.to_string(), *n));
    let named: BTreeMap<String, u64> = named.collect();
    html! { @if !named.is_empty() { div { (count_bars(caption, name, "Rows", &named)) } } }
}

/// `Added: 20 of 212`.
fn caption(what: &str, n_shown: usize, n_total: u64) -> String {
    format!("{what}: {} of {}", figures::count(n_shown as u64), figures::count(n_total))
}

/// A row's id, linked to the row in a version that has it.
fn row_link(dataset: &DatasetRef, which: &str, id: &str) -> Markup {
    html! { a.nowrap href=(link::rows(dataset, &[("which", which), ("row", id)])) title=(id) { (link::short(id)) } }
}

fn row_cells(dataset: &DatasetRef, row: &ShownRow) -> Vec<Markup> {
    vec![row_link(dataset, "", row.row_id.as_str()), html! { span.wide { (row.text) } }, cell(&row.label)]
}

fn added(after: &DatasetRef, found: &Difference) -> Markup {
    let rows = found.added.iter().map(|row| row_cells(after, row)).collect();
    let heads = [Head::Text("Row"), Head::Text("Text (masked)"), Head::Text("Label")];
    table(&caption("Added rows", found.added.len(), found.n_added), &heads, rows)
}

fn removed(before: &DatasetRef, after: &DatasetRef, found: &Difference) -> Markup {
    let cells = |it: &RemovedRow| {
        let mut cells = row_cells(before, &it.row);
        cells.push(match it.step == UNRECORDED {
            true => cell(&it.step),
            false => html! { a href=(link::rows(after, &[("which", "dropped"), ("row", it.row.row_id.as_str())])) { (it.step) } },
        });
        cells.push(html! { span.wide { (it.reason) } });
        cells
    };
    let heads =
        [Head::Text("Row"), Head::Text("Text (masked)"), Head::Text("Label"), Head::Text("Step"), Head::Text("Reason")];
    table(
        &caption("Removed rows", found.removed.len(), found.n_removed),
        &heads,
        found.removed.iter().map(cells).collect(),
    )
}

fn changed(after: &DatasetRef, found: &Difference) -> Markup {
    let lines = |row: &ChangedRow| -> Vec<Vec<Markup>> {
        let id = row_link(after, "", row.row_id.as_str());
        let line = |field: &loopwright_pipeline::diff::ChangedField| {
            vec![id.clone(), cell(&field.field), value(&field.before), value(&field.after)]
        };
        row.fields.iter().map(line).collect()
    };
    let heads = [Head::Text("Row"), Head::Text("Field"), Head::Text("Before →"), Head::Text("→ After")];
    let rows = found.changed.iter().flat_map(lines).collect();
    table(&caption("Changed rows", found.changed.len(), found.n_changed), &heads, rows)
}

fn value(text: &str) -> Markup {
    html! { @if text.is_empty() { span.quiet { "empty" } } @else { span.wide { (text) } } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_pipeline::diff::{ChangedField, DiffSettings};

    fn versions() -> (DatasetRef, DatasetRef) {
        (DatasetRef::new("support", 1), DatasetRef::new("support", 2))
    }

    fn made(difference: Difference) -> String {
        let (before, after) = versions();
        let compared = Compared::Made { before: before.clone(), difference: Box::new(difference) };
        diff(&after, &[before], &compared).into_string()
    }

    fn shown(id: &str) -> ShownRow {
        ShownRow { row_id: id.into(), label: "refund".into(), text: "money <b>back</b>".into() }
    }

    #[test]
    fn every_change_is_shown_with_its_reason() {
        let removed = |id: &str, step: &str, reason: &str| RemovedRow {
            row: shown(id),
            step: step.into(),
            reason: reason.into(),
        };
        let field = |field: &str, before: &str, after: &str| ChangedField {
            field: field.into(),
            before: before.into(),
            after: after.into(),
        };
        let html = made(Difference {
            n_before: 100,
            n_after: 1_100,
            n_added: 1_020,
            n_removed: 20,
            n_changed: 3,
            n_same: 77,
            added_labels: BTreeMap::from([("refund".into(), 1_000), (String::new(), 20)]),
            removed_steps: BTreeMap::from([("near_dedup".into(), 19), (UNRECORDED.into(), 1)]),
            added: vec![shown("row-a")],
            removed: vec![removed("row-b", "near_dedup", "near-duplicate of row-1"), removed("row-c", UNRECORDED, "")],
            changed: vec![ChangedRow { row_id: "row-d".into(), fields: vec![field("label", "", "<new>")] }],
            ..Difference::default()
        });
        for part in [
            "<h1>From support@1 to support@2</h1>",
            "support@2 has 1,100 rows, support@1 100: 1,020 added, 20 removed, 3 changed, 77 the same.",
            "money &lt;b&gt;back&lt;/b&gt;",
            "Added rows: 1 of 1,020",
            "Removed rows: 2 of 20",
            "no label",
            "href=\"/datasets/support@2/rows?row=row-a\"",
            "href=\"/datasets/support@1/rows?row=row-b\"",
            "href=\"/datasets/support@2/rows?which=dropped&amp;row=row-b\"",
            "near-duplicate of row-1",
            "erased, or from a source that is no longer read",
            "&lt;new&gt;",
            "<span class=\"quiet\">empty</span>",
            "<option value=\"support@1\" selected>",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn the_same_versions_are_said_to_be_the_same() {
        let row = loopwright_types::Example { row_id: "a".into(), ..Default::default() };
        let rows = [row];
        let same = loopwright_pipeline::diff::diff(&rows, &rows, &[], &DiffSettings::default());
        let html = made(same);
        assert!(html.contains("The versions are the same.") && html.contains("They hold the same 1 row."), "{html}");
    }

    #[test]
    fn what_cannot_be_compared_says_why_and_what_to_do() {
        let (before, after) = versions();
        let html = diff(&after, &[], &Compared::Alone).into_string();
        assert!(html.contains("loopwright data curate") && !html.contains("<select"), "{html}");
        let large = Compared::TooLarge { before: before.clone(), n_rows: 2_000_000 };
        let html = diff(&after, &[], &large).into_string();
        assert!(html.contains("2,000,000 rows") && html.contains("loopwright data diff support@1 support@2"), "{html}");
        assert!(diff(&after, &[], &Compared::NoRows { before }).into_string().contains("not on this machine"));
    }
}
