//! `/audit`: the event log, and whether its chain holds.

use super::{
    badge::{Tone, marked},
    figures, link, moment,
    sentence::sentence,
    shell::{Section, page},
    table::{Head, cell, empty, table},
};
use loopwright_types::{
    Timestamp,
    event::{BrokenLink, Event},
};
use maud::{Markup, html};

/// What is known about the chain.
#[derive(Clone, Debug, PartialEq)]
pub enum ChainState {
    /// Checked now, from the first link on.
    Checked {
        /// Links that fit.
        n_links: u64,
        /// Hash of the last link that fits.
        head: String,
        /// The first that does not.
        broken: Option<BrokenLink>,
    },
    /// Too long to be checked with every page; can be asked for.
    NotChecked {
        /// Links in the log.
        n_links: u64,
    },
}

/// One page of the log, newest first. `older` is the position to go on from.
pub fn audit(events: &[Event], chain: &ChainState, older: Option<u64>, now: Timestamp) -> Markup {
    let rows = events.iter().map(|event| {
        vec![
            cell(figures::count(event.seq)),
            html! { span.nowrap { (moment::date(event.at)) } },
            actor(&event.event.actor),
            html! { span.wide { (sentence(event)) } },
            html! { code { (event.event.kind) } },
            html! { code title=(event.hash) { (event.hash.get(..12).unwrap_or(&event.hash)) } },
        ]
    });
    let heads = [
        Head::Number("No."),
        Head::Text("When"),
        Head::Text("Who"),
        Head::Text("What"),
        Head::Text("Kind"),
        Head::Text("Hash"),
    ];
    page(
        Section::Audit,
        "Audit",
        html! {
            p { "Every change is a link of one chain: each link holds the hash of the one before, so none can be altered unseen." }
            (chain_state(chain))
            @if events.is_empty() {
                (empty("Nothing has happened yet.", "The first command that changes anything writes the first link:", "loopwright data import"))
            } @else {
                (table(&format!("Events, newest first ({})", moment::distance(events[0].at, now)), &heads, rows.collect()))
                nav.pager aria-label="Pages" {
                    @if let Some(before) = older { a href={ "/audit" (link::query(&[("before", &before.to_string())])) } rel="next" { "Older →" } }
                    a href="/audit" { "Newest" }
                }
            }
        },
    )
}

/// Who did it: a part of this program, or a key.
fn actor(actor: &str) -> Markup {
    html! {
        @match actor.strip_prefix("key:") {
            Some(key) => { "key " code title=(key) { (link::short(key)) } },
            None => { (actor) },
        }
    }
}

fn chain_state(chain: &ChainState) -> Markup {
    match chain {
        ChainState::Checked { n_links, head, broken: None } => html! {
            p.notice.good { (marked("✓", "chain intact", Tone::Good)) " " (figures::plural(*n_links, "link")) " checked just now."
                @if *n_links > 0 { " Head: " code { (head) } } }
        },
        ChainState::Checked { n_links, broken: Some(broken), .. } => html! {
            p.notice.bad role="alert" { (marked("✕", "chain broken", Tone::Bad)) " at link " (figures::count(broken.seq)) ": " (broken.problem)
                ". " (figures::plural(*n_links, "link")) " before it are intact." }
        },
        ChainState::NotChecked { n_links } => html! {
            p.notice { (marked("?", "not checked", Tone::Busy)) " The log has " (figures::plural(*n_links, "link")) ". "
                a href="/audit?verify=yes" { "Check all of them now" } " or run " code { "loopwright audit verify" } "." }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn events_and_the_chain_are_shown() {
        let events = sample::events();
        let chain = ChainState::Checked { n_links: 1234, head: "ab".repeat(32), broken: None };
        let html = audit(&events, &chain, Some(51), sample::NOW).into_string();
        assert!(html.contains("chain intact") && html.contains("1,234 links checked just now."));
        assert!(html.contains("/audit?before=51") && html.contains("dataset_version.created"));
    }

    #[test]
    fn a_broken_chain_cries() {
        let broken = BrokenLink { seq: 7, problem: "its content does not fit its hash".into() };
        let html =
            chain_state(&ChainState::Checked { n_links: 6, head: String::new(), broken: Some(broken) }).into_string();
        assert!(
            html.contains("role=\"alert\"") && html.contains("chain broken") && html.contains("at link 7: its content")
        );
    }

    #[test]
    fn a_long_log_offers_the_check() {
        assert!(chain_state(&ChainState::NotChecked { n_links: 9 }).into_string().contains("/audit?verify=yes"));
        let none = ChainState::Checked { n_links: 0, head: String::new(), broken: None };
        assert!(audit(&[], &none, None, sample::NOW).into_string().contains("loopwright data import"));
    }
}
