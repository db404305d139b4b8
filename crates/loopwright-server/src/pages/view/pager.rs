//! Long lists, cut into numbered pages.

use super::{figures, link};
use maud::{Markup, html};

/// A page of a list whose length is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slice {
    /// Page, from 1.
    pub page: u64,
    /// Rows on a page.
    pub size: u64,
    /// Rows in all.
    pub n_total: u64,
}

impl Slice {
    /// The page asked for, held between the first and the last.
    pub fn new(asked: Option<u64>, size: u64, n_total: u64) -> Self {
        let n_pages = n_total.div_ceil(size).max(1);
        Self { page: asked.unwrap_or(1).clamp(1, n_pages), size, n_total }
    }

    /// Rows before this page.
    pub fn offset(&self) -> u64 {
        (self.page - 1) * self.size
    }

    fn n_pages(&self) -> u64 {
        self.n_total.div_ceil(self.size).max(1)
    }
}

/// Links to the pages around, keeping the other parts of the query.
pub fn pager(path: &str, filters: &[(&str, &str)], slice: Slice) -> Markup {
    let to = |page: u64| {
        let page = page.to_string();
        let mut pairs = filters.to_vec();
        pairs.push(("page", &page));
        format!("{path}{}", link::query(&pairs))
    };
    let last = slice.n_pages();
    html! {
        @if slice.n_total > slice.size {
            nav.pager aria-label="Pages" {
                @if slice.page > 1 { a href=(to(1)) { "First" } a href=(to(slice.page - 1)) rel="prev" { "← Before" } }
                span { "Page " (figures::count(slice.page)) " of " (figures::count(last)) }
                @if slice.page < last { a href=(to(slice.page + 1)) rel="next" { "Next →" } a href=(to(last)) { "Last" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_stay_in_range() {
        for (asked, n_total, page, offset) in
            [(None, 0, 1, 0), (Some(0), 10, 1, 0), (Some(9), 101, 3, 100), (Some(2), 100, 2, 50)]
        {
            let slice = Slice::new(asked, 50, n_total);
            assert_eq!((slice.page, slice.offset()), (page, offset));
        }
    }

    #[test]
    fn filters_survive_paging() {
        let html = pager("/traces", &[("tag", "a b"), ("route", "")], Slice::new(Some(2), 50, 200)).into_string();
        assert!(html.contains("href=\"/traces?tag=a%20b&amp;page=3\""), "{html}");
        assert!(html.contains("Page 2 of 4"));
        assert_eq!(pager("/x", &[], Slice::new(None, 50, 50)).into_string(), "");
    }
}
