//! The corpus filters on rows: what of a row each of them looks at.
//!
//! The rules themselves are in [`loopwright_corpus::quality`]. Neighbouring filters look at one split of the text into
//! words; a filter that changes texts ends it.

use crate::{
    draft::{Reason, Verdict},
    rows::{
        rewrite::{Rewritten, parts},
        view::View,
    },
};
use loopwright_corpus::quality::{c4, urls::UrlRules};
use loopwright_types::SourceRow;

/// Why a row goes for an address: its source and its tags, as far as they are addresses, and those in its text.
pub(crate) fn urls(row: &SourceRow, rules: &UrlRules) -> Option<Reason> {
    let named = std::iter::once(&row.source).chain(&row.tags).map(String::as_str).filter(|word| word.contains("://"));
    let written =
        row.text.split(|c: char| c.is_whitespace() || "<>\"()[]{}|`".contains(c)).filter(|word| is_address(word));
    named.chain(written).find_map(|address| rules.check(address.trim_end_matches([',', ';', '.', '!', '?', '\''])))
}

/// Whether a word of a text is meant as an address.
fn is_address(word: &str) -> bool {
    word.contains("://") || word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("www."))
}

/// C4's rules. The lines of a conversation's turns are judged turn by turn, its sentences counted together.
pub(crate) fn c4(view: &View<'_>, settings: &c4::Settings) -> Verdict {
    let row = view.row();
    let cleaned = match row.conversation {
        None => c4::clean(view.words(), settings).map(|text| vec![text]),
        Some(_) => c4::clean_parts(&parts(row), settings),
    };
    match cleaned {
        Ok(cleaned) => Verdict::changed(Rewritten::with(row, &cleaned)),
        Err(reason) => Verdict::Drop(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_corpus::quality::urls;

    #[test]
    fn addresses_are_found_where_rows_have_them() {
        let rules =
            UrlRules::new(&urls::Settings { hosts: vec!["spam.example".into()], ..Default::default() }).unwrap();
        let row = |source: &str, tag: &str, text: &str| SourceRow {
            source: source.into(),
            tags: vec![tag.into()],
            text: text.into(),
            ..SourceRow::default()
        };
        for (row, goes) in [
            (row("https://spam.example/page", "", ""), true),
            (row("spam.example", "spam.example", "spam.example"), false),
            (row("", "http://www.spam.example", ""), true),
            (row("", "", "look at (https://spam.example/x), all of you"), true),
            (row("", "", "look at WWW.spam.example."), true),
            (row("", "", "look at https://good.example/?u=spam.example"), false),
        ] {
            assert_eq!(super::urls(&row, &rules).is_some(), goes, "{row:?}");
        }
    }
}
