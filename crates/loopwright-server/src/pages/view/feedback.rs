//! `/feedback`: what people said about answers.

use super::{
    figures, link, moment,
    pager::{Slice, pager},
    shell::{Section, page},
    table::{Head, cell, empty, none, table},
};
use loopwright_types::{Timestamp, feedback::Feedback};
use maud::{Markup, html};

/// What is counted over all feedback.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FeedbackCounts {
    /// Thumbs up.
    pub n_up: u64,
    /// Thumbs down.
    pub n_down: u64,
    /// Corrections.
    pub n_corrections: u64,
}

impl FeedbackCounts {
    /// Counts these pieces.
    pub fn of(feedback: &[Feedback]) -> Self {
        let n = |it: &dyn Fn(&Feedback) -> bool| feedback.iter().filter(|f| it(f)).count() as u64;
        Self {
            n_up: n(&|f| f.thumb_up == Some(true)),
            n_down: n(&|f| f.thumb_up == Some(false)),
            n_corrections: n(&|f| f.correction.is_some()),
        }
    }
}

/// The list.
pub fn feedback(
    feedback: &[Feedback],
    counts: FeedbackCounts,
    corrections_only: bool,
    slice: Slice,
    now: Timestamp,
) -> Markup {
    let filter = if corrections_only { "yes" } else { "" };
    page(
        Section::Feedback,
        "Feedback",
        html! {
            p { "Thumbs and corrections on served answers. Corrections become rows of the next dataset version." }
            @if feedback.is_empty() && !corrections_only {
                (empty("No feedback yet.", "Open a trace and say whether its answer was right, or let a client say it:",
                    "curl -H \"authorization: Bearer $KEY\" -d '{\"trace_id\":\"TRACE\",\"correction\":\"LABEL\"}' $SERVER/v1/feedback"))
            } @else {
                p.lead { "✓ " (figures::count(counts.n_up)) " right · ✕ " (figures::count(counts.n_down)) " wrong · "
                    (figures::plural(counts.n_corrections, "correction")) }
                p {
                    @if corrections_only { "Showing corrections only. " a href="/feedback" { "Show all" } }
                    @else { a href="/feedback?corrections=yes" { "Show corrections only" } }
                }
                @if feedback.is_empty() { p.quiet { "No correction yet." } }
                @else {
                    (feedback_table("Feedback", feedback, now))
                    (pager("/feedback", &[("corrections", filter)], slice))
                }
            }
        },
    )
}

/// Pieces of feedback as a table, in the order given.
pub fn feedback_table(caption: &str, feedback: &[Feedback], now: Timestamp) -> Markup {
    let rows = feedback.iter().map(|it| {
        vec![
            link::trace(&it.trace),
            match it.thumb_up {
                Some(true) => cell("✓ right"),
                Some(false) => cell("✕ wrong"),
                None => none(),
            },
            it.correction.as_ref().map_or_else(none, cell),
            it.comment.as_ref().map_or_else(none, |comment| html! { span.wide { (comment) } }),
            cell(&it.source),
            moment::recent(it.at, now),
        ]
    });
    let heads = [
        Head::Text("Trace"),
        Head::Text("Thumb"),
        Head::Text("Right answer"),
        Head::Text("Remark (masked)"),
        Head::Text("From"),
        Head::Text("When"),
    ];
    table(caption, &heads, rows.collect())
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn thumbs_are_words_too() {
        let pieces = [sample::feedback()];
        let counts = FeedbackCounts::of(&pieces);
        assert_eq!(counts, FeedbackCounts { n_up: 0, n_down: 1, n_corrections: 1 });
        let html = feedback(&pieces, counts, false, Slice::new(None, 50, 1), sample::NOW).into_string();
        assert!(html.contains("✕ wrong") && html.contains("refund") && html.contains("/traces/trace_1"));
    }

    #[test]
    fn empty_lists_say_why() {
        let none = FeedbackCounts::default();
        let slice = Slice::new(None, 50, 0);
        assert!(feedback(&[], none, false, slice, sample::NOW).into_string().contains("/v1/feedback"));
        assert!(feedback(&[], none, true, slice, sample::NOW).into_string().contains("No correction yet."));
    }
}
