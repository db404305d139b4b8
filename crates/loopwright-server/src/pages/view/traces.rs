//! `/traces`: answered requests, filtered.

use super::{
    figures, link, moment,
    pager::{Slice, pager},
    shell::{Section, page},
    table::{Head, cell, empty, none, table},
};
use loopwright_types::{Timestamp, trace::Trace};
use maud::{Markup, html};

/// What the list is narrowed to; an empty text narrows nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters {
    /// The route asked for.
    pub route: String,
    /// The variant that answered.
    pub variant: String,
    /// The client's tag.
    pub tag: String,
    /// Words in the message or the answer.
    pub text: String,
}

impl Filters {
    fn pairs(&self) -> [(&str, &str); 4] {
        [("route", &self.route), ("variant", &self.variant), ("tag", &self.tag), ("text", &self.text)]
    }

    fn any(&self) -> bool {
        self.pairs().iter().any(|(_, value)| !value.is_empty())
    }
}

/// What a client sends, for the empty list.
const FIRST_REQUEST: &str = r#"curl -H "authorization: Bearer $KEY" -H 'content-type: application/json' \
  -d '{"model":"support","messages":[{"role":"user","content":"Where is my parcel?"}]}' \
  $SERVER/v1/chat/completions"#;

/// The list. `routes` are the names to choose from.
pub fn traces(traces: &[Trace], filters: &Filters, routes: &[String], slice: Slice, now: Timestamp) -> Markup {
    let rows = traces.iter().map(|trace| row(trace, now)).collect();
    let heads = [
        Head::Text("Trace"),
        Head::Text("When"),
        Head::Text("Message (masked)"),
        Head::Text("Answer"),
        Head::Text("Route"),
        Head::Text("Variant"),
        Head::Number("Latency"),
        Head::Number("Status"),
        Head::Text("Tag"),
    ];
    page(
        Section::Traces,
        "Traces",
        html! {
            p { "Each request to a route leaves a trace; personal data is masked before it is kept. " a href="/explanations" { "Explained answers" } }
            @if filters.any() || slice.n_total > 0 { (form(filters, routes)) }
            @if !traces.is_empty() {
                (table(&format!("{}, newest first", figures::plural(slice.n_total, "trace")), &heads, rows))
                (pager("/traces", &filters.pairs(), slice))
            } @else if filters.any() {
                p { strong { "No trace fits these filters." } " " a href="/traces" { "Show all" } }
            } @else {
                (empty(
                    "No trace yet.",
                    "Send a request to a route, as any OpenAI client does (make a key with `loopwright key make --owner NAME`):",
                    FIRST_REQUEST,
                ))
            }
        },
    )
}

fn row(trace: &Trace, now: Timestamp) -> Vec<Markup> {
    vec![
        link::trace(&trace.id),
        html! { span.nowrap { (moment::recent(trace.at, now)) } },
        html! { span.wide { (start(&trace.input)) } },
        cell(start(&trace.output)),
        cell(&trace.route),
        cell(&trace.variant),
        cell(figures::duration_ms(trace.latency_ms)),
        cell(trace.status),
        trace.tag.as_ref().map_or_else(none, cell),
    ]
}

/// The start of a long text.
fn start(text: &str) -> String {
    const LONGEST: usize = 160;
    if text.chars().count() <= LONGEST { text.to_string() } else { text.chars().take(LONGEST).chain(['…']).collect() }
}

fn form(filters: &Filters, routes: &[String]) -> Markup {
    html! {
        form.filters method="get" action="/traces" role="search" aria-label="Filter traces" {
            div { label for="route" { "Route" }
                select #route name="route" {
                    option value="" { "all" }
                    @for route in routes { option value=(route) selected[*route == filters.route] { (route) } }
                } }
            div { label for="variant" { "Variant" }
                select #variant name="variant" {
                    option value="" { "all" }
                    @for variant in ["live", "canary"] { option value=(variant) selected[variant == filters.variant] { (variant) } }
                } }
            div { label for="tag" { "Tag" } input #tag name="tag" value=(filters.tag); }
            div { label for="text" { "Text contains" } input #text name="text" type="search" value=(filters.text); }
            div { button type="submit" { "Filter" } @if filters.any() { " " a href="/traces" { "Show all" } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn filters_keep_what_was_typed() {
        let filters = Filters { variant: "canary".into(), text: "\"parcel\"".into(), ..Filters::default() };
        let html = traces(&[sample::trace()], &filters, &["support".into()], Slice::new(None, 50, 1), sample::NOW)
            .into_string();
        assert!(html.contains("<option value=\"canary\" selected>"), "{html}");
        assert!(html.contains("value=\"&quot;parcel&quot;\""));
        assert!(html.contains("1 trace, newest first") && html.contains("41 ms"));
    }

    #[test]
    fn empty_because_of_a_filter_is_not_empty_for_good() {
        let filters = Filters { tag: "x".into(), ..Filters::default() };
        let slice = Slice::new(None, 50, 0);
        assert!(traces(&[], &filters, &[], slice, sample::NOW).into_string().contains("No trace fits these filters."));
        let html = traces(&[], &Filters::default(), &[], slice, sample::NOW).into_string();
        assert!(html.contains("/v1/chat/completions") && !html.contains("<form class=\"filters\""));
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(start(&"ä".repeat(200)).chars().count(), 161);
    }
}
