//! `/datasets/{name@version}/rows`: the rows of a version, page by page, narrowed by a form.

use super::{
    figures, link, moment,
    pager::{Slice, pager},
    passage::{self, Fold},
    shell::{Section, back, page},
    table::{Head, cell, table},
};
use loopwright_types::{
    DatasetRef, DatasetVersion, Example,
    dataset::{DroppedRow, Origin, RejectedRow},
    id::SubjectId,
};
use maud::{Markup, html};

/// Choices that a list of them offers; of more, one is typed.
const CHOICES_MAX: usize = 200;

/// What the list is narrowed to; an empty text narrows nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters {
    /// Only this row.
    pub row: String,
    /// Only of this split.
    pub split: String,
    /// Only with this label.
    pub label: String,
    /// Only of this source.
    pub source: String,
    /// Only what this step dropped.
    pub step: String,
    /// Words in the text, or in the reason.
    pub text: String,
}

/// The rows of a page, of one kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// Rows of the version, masked.
    Kept(Vec<Example>),
    /// Rows that curation dropped.
    Dropped(Vec<DroppedRow>),
    /// Lines that could not be read; what looks like personal data in them is masked.
    Rejected(Vec<RejectedRow>),
}

impl Shown {
    /// The word in the address; the kept rows need none.
    fn which(&self) -> &'static str {
        match self {
            Self::Kept(_) => "",
            Self::Dropped(_) => "dropped",
            Self::Rejected(_) => "rejected",
        }
    }

    fn noun(&self) -> &'static str {
        match self {
            Self::Kept(_) => "row",
            Self::Dropped(_) => "dropped row",
            Self::Rejected(_) => "unreadable row",
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Kept(rows) => rows.is_empty(),
            Self::Dropped(rows) => rows.is_empty(),
            Self::Rejected(rows) => rows.is_empty(),
        }
    }
}

impl Filters {
    /// The parts of the address.
    fn pairs<'a>(&'a self, which: &'a str) -> [(&'a str, &'a str); 7] {
        [
            ("which", which),
            ("row", &self.row),
            ("split", &self.split),
            ("label", &self.label),
            ("source", &self.source),
            ("step", &self.step),
            ("text", &self.text),
        ]
    }

    fn any(&self) -> bool {
        self.pairs("").iter().any(|(_, value)| !value.is_empty())
    }
}

/// The page.
pub fn rows(version: &DatasetVersion, filters: &Filters, shown: &Shown, slice: Slice) -> Markup {
    let dataset = &version.dataset;
    let heading = match shown {
        Shown::Kept(_) => format!("Rows of {dataset}"),
        Shown::Dropped(_) => format!("Rows dropped from {dataset}"),
        Shown::Rejected(_) => format!("Unreadable rows of {}", dataset.name),
    };
    let pairs = filters.pairs(shown.which());
    page(
        Section::Datasets,
        &heading,
        html! {
            (back(&format!("/datasets/{}", link::segment(&dataset.to_string())), &format!("Dataset {dataset}")))
            (kinds(dataset, shown))
            p { (about(shown)) }
            @if filters.any() || slice.n_total > 0 { (form(version, filters, shown)) }
            @if shown.is_empty() { (nothing(dataset, filters, shown)) } @else {
                (listed(shown, filters, &caption(shown, slice)))
                (pager(&link::rows(dataset, &[]), &pairs, slice))
            }
        },
    )
}

/// The three kinds of rows, the current one marked.
fn kinds(dataset: &DatasetRef, shown: &Shown) -> Markup {
    let kinds = [("", "Kept"), ("dropped", "Dropped"), ("rejected", "Unreadable")];
    html! {
        nav.tabs aria-label="Which rows" {
            @for (which, name) in kinds {
                a href=(link::rows(dataset, &[("which", which)])) aria-current=[(which == shown.which()).then_some("page")] { (name) }
            }
        }
    }
}

fn about(shown: &Shown) -> &'static str {
    match shown {
        Shown::Kept(_) => {
            "The rows that a model learns from and is judged by, in their order. Personal data is masked."
        }
        Shown::Dropped(_) => "The rows that curation left out, with the step that dropped each, and why.",
        Shown::Rejected(_) => {
            "Lines of the dataset's sources that could not be read, for none of its versions. What looks like personal data is masked, but a name or a customer number in a column of its own may not. Mend the lines where the source lies, and import it again."
        }
    }
}

/// `51–100 of 3,812 rows`.
fn caption(shown: &Shown, slice: Slice) -> String {
    let last = (slice.offset() + slice.size).min(slice.n_total);
    format!(
        "{}–{} of {}",
        figures::count(slice.offset() + 1),
        figures::count(last),
        figures::plural(slice.n_total, shown.noun())
    )
}

fn form(version: &DatasetVersion, filters: &Filters, shown: &Shown) -> Markup {
    let card = &version.card;
    let typed = |id: &str, name: &str, value: &str| field(id, name, value, Vec::new());
    let path = link::rows(&version.dataset, &[]);
    let all = link::rows(&version.dataset, &[("which", shown.which())]);
    html! {
        form.filters.many method="get" action=(path) role="search" aria-label="Filter rows" {
            @if !shown.which().is_empty() { input type="hidden" name="which" value=(shown.which()); }
            @match shown {
                Shown::Kept(_) => {
                    (field("split", "Split", &filters.split, vec!["train", "validation", "test"]))
                    (field("label", "Label", &filters.label, card.labels.keys().map(String::as_str).collect()))
                    (field("source", "Source", &filters.source, card.sources.keys().map(String::as_str).collect()))
                    (typed("row", "Row", &filters.row))
                    (typed("text", "Text contains", &filters.text))
                }
                Shown::Dropped(_) => {
                    @let steps = card.steps.iter().filter(|step| !step.dropped.is_empty());
                    (field("step", "Step", &filters.step, steps.map(|step| step.step.as_str()).collect()))
                    (typed("row", "Row", &filters.row))
                    (typed("text", "Reason contains", &filters.text))
                }
                Shown::Rejected(_) => {
                    (typed("source", "Source", &filters.source))
                    (typed("text", "Reason contains", &filters.text))
                }
            }
            div { button type="submit" { "Filter" } @if filters.any() { " " a href=(all) { "Show all" } } }
        }
    }
}

/// A field to choose from, or to type into where there are no choices or too many. What was asked for is always among
/// them.
fn field<'a>(id: &str, name: &str, value: &'a str, mut choices: Vec<&'a str>) -> Markup {
    let is_typed = choices.is_empty() || choices.len() > CHOICES_MAX;
    if !value.is_empty() && !choices.contains(&value) {
        choices.push(value);
    }
    html! {
        div {
            label for=(id) { (name) }
            @if is_typed { input id=(id) name=(id) value=(value); } @else {
                select id=(id) name=(id) {
                    option value="" { "all" }
                    @for choice in choices { option value=(choice) selected[choice == value] { (choice) } }
                }
            }
        }
    }
}

fn nothing(dataset: &DatasetRef, filters: &Filters, shown: &Shown) -> Markup {
    if filters.any() {
        let all = link::rows(dataset, &[("which", shown.which())]);
        return html! { p { strong { "No row fits these filters." } " " a href=(all) { "Show all" } } };
    }
    let (what, how) = match shown {
        Shown::Kept(_) => (
            "There are no rows of this version here.",
            "Either every row was dropped (look at the dropped ones), or the rows lie on another machine.",
        ),
        Shown::Dropped(_) => ("No row was dropped.", "Every row that was read is in this version."),
        Shown::Rejected(_) => ("No unreadable row.", "Every line of the sources could be read."),
    };
    html! { div.empty { p { strong { (what) } } p { (how) } } }
}

fn listed(shown: &Shown, filters: &Filters, caption: &str) -> Markup {
    let fold = if filters.row.is_empty() { Fold::Folded } else { Fold::Open };
    match shown {
        Shown::Kept(rows) => kept(rows, fold, caption),
        Shown::Dropped(rows) => dropped(rows, caption),
        Shown::Rejected(rows) => rejected(rows, caption),
    }
}

fn kept(rows: &[Example], fold: Fold, caption: &str) -> Markup {
    let cells = rows.iter().map(|row| {
        let said = match &row.conversation {
            Some(conversation) => passage::conversation(conversation, fold),
            None => passage::text(&row.text, fold),
        };
        vec![id(row.row_id.as_str()), said, cell(&row.label), cell(row.split.as_str()), about_row(row)]
    });
    let heads = [
        Head::Text("Row"),
        Head::Text("Text (masked)"),
        Head::Text("Label"),
        Head::Text("Split"),
        Head::Text("What else is known"),
    ];
    table(caption, &heads, cells.collect())
}

/// What else a row says of itself; what it does not say is left out.
fn about_row(row: &Example) -> Markup {
    let (from, source) = match &row.origin {
        Origin::Source => ("source", row.source.clone()),
        Origin::Correction { .. } => ("correction from", row.source.clone()),
        Origin::Augmented { parent, generator } => ("made by", format!("{generator} of {parent}, {}", row.source)),
    };
    let facts = [
        (from, source),
        ("language", row.language.clone()),
        ("cluster", row.cluster.to_string()),
        ("licence", row.licence.clone().unwrap_or_default()),
        ("tags", row.tags.join(", ")),
        ("group", row.group.clone().unwrap_or_default()),
        ("person", person(row.subject.as_ref())),
        ("written", row.at.map_or_else(String::new, moment::day)),
    ];
    html! {
        ul.about {
            @for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) { li { span.quiet { (name) } " " (value) } }
        }
    }
}

/// The start of a person's pseudonym.
fn person(subject: Option<&SubjectId>) -> String {
    subject.map_or_else(String::new, |subject| link::short(subject.as_str()))
}

fn dropped(rows: &[DroppedRow], caption: &str) -> Markup {
    let cells = rows.iter().map(|row| {
        let reason = html! { span.wide { (row.reason) } };
        vec![id(row.row_id.as_str()), cell(&row.step), reason, cell(person(row.subject.as_ref()))]
    });
    let heads = [Head::Text("Row"), Head::Text("Step"), Head::Text("Reason"), Head::Text("Person")];
    table(caption, &heads, cells.collect())
}

fn rejected(rows: &[RejectedRow], caption: &str) -> Markup {
    let cells = rows.iter().map(|row| {
        let place = html! { span.some { (row.source) ":" (row.line) } };
        vec![place, html! { span.wide { (row.reason) } }, html! { span.wide { code { (row.excerpt) } } }]
    });
    let heads = [Head::Text("Place"), Head::Text("Reason"), Head::Text("Start of the line")];
    table(caption, &heads, cells.collect())
}

fn id(id: &str) -> Markup {
    let short = link::short(id);
    html! { span.nowrap title=[(short != id).then_some(id)] { (short) } }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};
    use loopwright_types::{
        Conversation,
        conversation::{Role, Turn},
    };

    fn kept_rows(rows: Vec<Example>, filters: &Filters, n_total: u64) -> String {
        super::rows(&sample::dataset(), filters, &Shown::Kept(rows), Slice::new(Some(2), 50, n_total)).into_string()
    }

    #[test]
    fn kept_rows_say_what_they_are() {
        let row = Example {
            subject: Some(SubjectId::new("pseudonym-0123456789abcdef")),
            licence: Some("CC-BY-4.0".into()),
            tags: vec!["training".into(), "<research>".into()],
            ..sample::example()
        };
        let html = kept_rows(vec![row], &Filters::default(), 3812);
        for part in [
            "<h1>Rows of support@2</h1>",
            "51–100 of 3,812 rows",
            "Where is my parcel, &lt;PERSON&gt;?",
            "training, &lt;research&gt;",
            "CC-BY-4.0",
            "pseudonym-01…",
            "month-1.csv",
            "<a href=\"/datasets/support@2\">",
            "aria-current=\"page\">Kept",
            "href=\"/datasets/support@2/rows?which=dropped\"",
            "Page 2 of 77",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("pseudonym-0123456789"), "a person is shown by the start of the pseudonym");
        assert!(!html.contains(">written<"), "what a row does not say is left out");
    }

    #[test]
    fn filters_stay_in_the_form_and_in_the_pager() {
        let filters = Filters { label: "refund".into(), text: "\"a\" & b".into(), ..Filters::default() };
        let html = kept_rows(vec![sample::example()], &filters, 120);
        for part in [
            "<option value=\"refund\" selected>",
            "value=\"&quot;a&quot; &amp; b\"",
            "/datasets/support@2/rows?label=refund&amp;text=%22a%22%20%26%20b&amp;page=3",
            "Show all",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        let unknown = Filters { label: "never heard".into(), ..Filters::default() };
        assert!(kept_rows(vec![], &unknown, 0).contains("<option value=\"never heard\" selected>"));
    }

    #[test]
    fn many_labels_are_typed_not_chosen() {
        let names: Vec<String> = (0..=CHOICES_MAX).map(|n| n.to_string()).collect();
        let html = field("label", "Label", "7", names.iter().map(String::as_str).collect()).into_string();
        assert!(
            html.contains("<input id=\"label\" name=\"label\" value=\"7\">") && !html.contains("<select"),
            "{html}"
        );
    }

    #[test]
    fn a_row_that_was_asked_for_is_unfolded_and_turns_are_turns() {
        let turns = vec![Turn::new(Role::User, "Hello?"), Turn::new(Role::Assistant, "Yes.")];
        let row = Example { conversation: Some(Conversation::Turns(turns)), ..sample::example() };
        let asked = Filters { row: "row-77".into(), ..Filters::default() };
        assert!(kept_rows(vec![row.clone()], &asked, 1).contains("<details class=\"wide\" open>"));
        let html = kept_rows(vec![row], &Filters::default(), 1);
        assert!(html.contains("2 turns") && !html.contains("<details class=\"wide\" open>"), "{html}");
    }

    #[test]
    fn dropped_and_rejected_rows_have_their_own_columns_and_fields() {
        let version = sample::dataset();
        let slice = Slice::new(None, 50, 1);
        let filters = Filters { step: "near_dedup".into(), ..Filters::default() };
        let html = super::rows(&version, &filters, &Shown::Dropped(vec![sample::dropped_row()]), slice).into_string();
        for part in [
            "<h1>Rows dropped from support@2</h1>",
            "1–1 of 1 dropped row",
            "near-duplicate of row-12 (similarity 0.91)",
            "<option value=\"near_dedup\" selected>",
            "<input type=\"hidden\" name=\"which\" value=\"dropped\">",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("name=\"split\"") && !html.contains("<option value=\"normalise\""), "{html}");
        let line =
            RejectedRow { source: "a.csv".into(), line: 7, reason: "no label".into(), excerpt: "<NAME>,x".into() };
        let html = super::rows(&version, &Filters::default(), &Shown::Rejected(vec![line]), slice).into_string();
        assert!(html.contains("Unreadable rows of support") && html.contains("&lt;NAME&gt;,x"), "{html}");
    }

    #[test]
    fn nothing_is_explained() {
        let version = sample::dataset();
        let none =
            |shown, filters: &Filters| super::rows(&version, filters, &shown, Slice::new(None, 50, 0)).into_string();
        let plain = Filters::default();
        for (shown, said) in [
            (Shown::Kept(vec![]), "the rows lie on another machine"),
            (Shown::Dropped(vec![]), "Every row that was read is in this version."),
            (Shown::Rejected(vec![]), "Every line of the sources could be read."),
        ] {
            let html = none(shown, &plain);
            assert!(html.contains(said) && !html.contains("class=\"filters\""), "{said} in {html}");
        }
        let narrow = Filters { text: "x".into(), ..plain };
        let html = none(Shown::Dropped(vec![]), &narrow);
        assert!(
            html.contains("No row fits these filters.") && html.contains("rows?which=dropped\">Show all"),
            "{html}"
        );
    }
}
