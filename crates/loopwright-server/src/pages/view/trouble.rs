//! Pages for what is not there and for what went wrong.

use super::shell::{Section, back, page};
use maud::{Markup, html};

/// There is no such record.
pub fn not_found(section: Section, what: &str, id: &str, list: (&str, &str)) -> Markup {
    page(
        section,
        "Not found",
        html! {
            (back(list.0, list.1))
            p.lead { "There is no " (what) " " code { (id) } "." }
            p {
                "It may have been erased, or the address may be mistyped. "
                a href=(list.0) { "See the list" } " or go " a href="/" { "back to the loop" } "."
            }
        },
    )
}

/// There is no such page.
pub fn no_page() -> Markup {
    page(
        Section::Outside,
        "Not found",
        html! {
            p.lead { "There is no page at this address." }
            p { a href="/" { "Back to the loop" } }
        },
    )
}

/// The request cannot be served; `why` is for people.
pub fn refused(heading: &str, why: &str, way_back: &str) -> Markup {
    page(
        Section::Outside,
        heading,
        html! {
            p.notice.bad role="alert" { (why) }
            p { a href=(way_back) { "Back" } }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_way_back() {
        let html = not_found(Section::Runs, "run", "<r>", ("/runs", "Runs")).into_string();
        assert!(html.contains("href=\"/runs\"") && html.contains("&lt;r&gt;") && html.contains("href=\"/\""));
        assert!(no_page().into_string().contains("Back to the loop"));
        assert!(refused("Refused", "why", "/traces").into_string().contains("href=\"/traces\""));
    }
}
