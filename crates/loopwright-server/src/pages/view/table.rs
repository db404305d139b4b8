//! Tables, lists of facts and what stands in their place while there is nothing to show.

use maud::{Markup, Render, html};

/// A column's heading; numbers stand to the right.
#[derive(Clone, Copy, Debug)]
pub enum Head {
    /// A column of words.
    Text(&'static str),
    /// A column of numbers.
    Number(&'static str),
}

impl Head {
    fn title(self) -> &'static str {
        match self {
            Self::Text(title) | Self::Number(title) => title,
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Number(_))
    }
}

/// A table in a box of its own that scrolls sideways when it is too wide. The first cell of each row names the row.
pub fn table(caption: &str, heads: &[Head], rows: Vec<Vec<Markup>>) -> Markup {
    html! {
        div.scroll role="region" aria-label=(caption) tabindex="0" {
            table {
                caption { span { (caption) } }
                thead { tr { @for head in heads { th scope="col" class=[head.is_number().then_some("num")] { (head.title()) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (i, cell) in row.iter().enumerate() {
                                @let class = heads.get(i).is_some_and(|head| head.is_number()).then_some("num");
                                @if i == 0 { th scope="row" class=[class] { (cell) } } @else { td class=[class] { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Names and values, one under the other.
pub fn facts(rows: Vec<(&str, Markup)>) -> Markup {
    html! { dl.facts { @for (name, value) in rows { div { dt { (name) } dd { (value) } } } } }
}

/// Any shown value as a cell.
pub fn cell(value: impl Render) -> Markup {
    value.render()
}

/// A word for "there is none here".
pub fn none() -> Markup {
    html! { span.quiet { "none" } }
}

/// What a list says while it is empty: what will stand here and the command that brings the first one.
pub fn empty(what: &str, how: &str, command: &str) -> Markup {
    html! {
        div.empty {
            p { strong { (what) } }
            p { (how) }
            pre { code { (command) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_captions_headers_and_a_scroll_box() {
        let html =
            table("Runs", &[Head::Text("Run"), Head::Number("Rows")], vec![vec![cell("a<b"), cell(3)]]).into_string();
        for part in [
            "<caption><span>Runs</span></caption>",
            "<th scope=\"col\" class=\"num\">Rows</th>",
            "<th scope=\"row\">a&lt;b</th>",
            "<td class=\"num\">3</td>",
            "class=\"scroll\"",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn an_empty_list_names_the_command() {
        assert!(
            empty("No runs yet.", "Train one:", "loopwright train")
                .into_string()
                .contains("<code>loopwright train</code>")
        );
    }
}
