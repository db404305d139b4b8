//! What every page shares: head, navigation, one heading, footer.

use super::super::assets;
use maud::{DOCTYPE, Markup, html};

/// The parts of the site, in the order of the loop; each is an entry of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The loop's state.
    Loop,
    /// Dataset versions.
    Datasets,
    /// Training runs.
    Runs,
    /// Searches over settings.
    Studies,
    /// Model versions.
    Models,
    /// Routes and their canaries.
    Routes,
    /// Conversations with routes.
    Playground,
    /// Answered requests.
    Traces,
    /// What people said about answers.
    Feedback,
    /// Drift checks.
    Drift,
    /// People, consent and erasure.
    Subjects,
    /// The event log.
    Audit,
    /// Queued work.
    Jobs,
    /// Pages outside the navigation.
    Outside,
}

impl Section {
    /// Name and path of each entry of the navigation.
    const ENTRIES: [(Section, &'static str, &'static str); 13] = [
        (Self::Loop, "Loop", "/"),
        (Self::Datasets, "Datasets", "/datasets"),
        (Self::Runs, "Runs", "/runs"),
        (Self::Studies, "Studies", "/studies"),
        (Self::Models, "Models", "/models"),
        (Self::Routes, "Routes", "/routes"),
        (Self::Playground, "Playground", "/playground"),
        (Self::Traces, "Traces", "/traces"),
        (Self::Feedback, "Feedback", "/feedback"),
        (Self::Drift, "Drift", "/drift"),
        (Self::Subjects, "People", "/subjects"),
        (Self::Audit, "Audit", "/audit"),
        (Self::Jobs, "Jobs", "/jobs"),
    ];
}

/// A page around its content. The heading names the page, in the tab as well.
pub fn page(section: Section, heading: &str, body: Markup) -> Markup {
    around(section, heading, None, body)
}

/// What the browser loads by itself, and when.
#[derive(Clone, Copy, Debug)]
pub struct Refresh {
    /// After so many seconds.
    pub after_s: u32,
    /// The path.
    pub to: &'static str,
}

/// A page that the browser leaves by itself for the same or another one.
pub fn refreshed_page(section: Section, heading: &str, refresh: Refresh, body: Markup) -> Markup {
    around(section, heading, Some(refresh), body)
}

fn around(section: Section, heading: &str, refresh: Option<Refresh>, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some(Refresh { after_s, to }) = refresh { meta http-equiv="refresh" content={ (after_s) ";url=" (to) }; }
                title { (heading) " · Loopwright" }
                link rel="icon" type="image/svg+xml" href="/assets/icon.svg";
                link rel="stylesheet" href=(assets::style_url());
            }
            body {
                a.skip href="#main" { "Skip to content" }
                div.frame {
                    header.side {
                        a.brand href="/" { span.mark aria-hidden="true" { "↻" } " Loopwright" }
                        @if section != Section::Outside { (navigation(section)) }
                    }
                    main #main {
                        h1 { (heading) }
                        (body)
                    }
                }
                footer {
                    @if section != Section::Outside {
                        form.inline method="post" action="/sign-out" { button.link type="submit" { "Sign out" } }
                        " · "
                    }
                    "Loopwright " (env!("CARGO_PKG_VERSION")) " · times in UTC · personal data in texts is masked"
                }
            }
        }
    }
}

fn navigation(section: Section) -> Markup {
    html! {
        nav aria-label="Main" {
            ul {
                @for (entry, name, path) in Section::ENTRIES {
                    li { a href=(path) aria-current=[(entry == section).then_some("page")] { (name) } }
                }
            }
        }
    }
}

/// The way back to the list a page belongs to.
pub fn back(path: &str, list: &str) -> Markup {
    html! { p.back { a href=(path) { span aria-hidden="true" { "← " } (list) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_page_is_marked_and_there_is_one_heading() {
        let html = page(Section::Runs, "Runs & more", html! { p { "x" } }).into_string();
        assert_eq!(html.matches("aria-current=\"page\"").count(), 1);
        assert!(html.contains("<a href=\"/runs\" aria-current=\"page\">Runs</a>"));
        assert_eq!(html.matches("<h1>").count(), 1);
        assert!(html.contains("<title>Runs &amp; more · Loopwright</title>"));
        assert!(html.contains("name=\"viewport\""));
        assert!(!html.contains("http-equiv=\"refresh\""));
    }

    #[test]
    fn nothing_inline_that_the_content_policy_would_refuse() {
        let html =
            refreshed_page(Section::Loop, "Loop", Refresh { after_s: 10, to: "/?follow=yes" }, html! {}).into_string();
        assert!(html.contains("<meta http-equiv=\"refresh\" content=\"10;url=/?follow=yes\">"));
        for part in ["<script", "style=\"", "onclick", "<style"] {
            assert!(!html.contains(part), "{part}");
        }
    }
}
