//! `/traces/{id}`: one answered request, what people said about it, and a form to say more.

use super::{
    feedback, figures, link, moment,
    shell::{Section, back, page},
    table::{Head, cell, facts, none, table},
};
use loopwright_types::{
    Timestamp,
    explain::Explanation,
    feedback::Feedback,
    trace::{Attempt, CacheState, GuardAction, GuardFinding, GuardStage, GuardVerdict, Trace},
};
use maud::{Markup, html};

/// One trace with what belongs to it.
pub struct TracePage {
    /// The trace.
    pub trace: Trace,
    /// Feedback on it, oldest first.
    pub feedback: Vec<Feedback>,
    /// Explanations of its answer.
    pub explanations: Vec<Explanation>,
    /// Labels that a correction may choose from.
    pub labels: Vec<String>,
    /// Was feedback just stored?
    pub just_stored: bool,
}

/// The page.
pub fn trace(it: &TracePage, now: Timestamp) -> Markup {
    let trace = &it.trace;
    page(
        Section::Traces,
        "Trace",
        html! {
            (back("/traces", "Traces"))
            p { code { (trace.id) } " · " (moment::when(trace.at, now)) }
            @if it.just_stored { p.notice.good role="status" { span aria-hidden="true" { "✓ " } "Your feedback is stored." } }
            h2 { "Message (masked)" }
            div.message { (trace.input) }
            h2 { "Answer (masked)" }
            div.message { @if trace.output.is_empty() { span.quiet { "No answer: " (trace.finish) "." } } @else { (trace.output) } }
            (facts(vec![
                ("Route", link::route(&trace.route)),
                ("Answered by", html! { (link::model(&trace.model)) " (" (trace.variant) ")" }),
                ("Tokens in", cell(trace.tokens_in)),
                ("Tokens out", cell(trace.tokens_out)),
                ("First token after", cell(figures::duration_ms(trace.first_token_ms))),
                ("Last token after", cell(figures::duration_ms(trace.latency_ms))),
                ("HTTP status", cell(trace.status)),
                ("Ended with", cell(&trace.finish)),
                ("Key", trace.key.as_ref().map_or_else(none, |key| html! { code { (key) } })),
                ("Author (pseudonym)", trace.subject.as_ref().map_or_else(none, |id| html! { code { (link::short(id.as_str())) } })),
                ("Tag", trace.tag.as_ref().map_or_else(none, cell)),
                ("Conversation", trace.detail.session.as_ref().map_or_else(none, cell)),
                ("Cost", cell(figures::usd(trace.detail.cost_micro_usd))),
                ("Tokens in, from a cache", cell(trace.detail.tokens_cached)),
                ("Answer cache", cell(cache_words(trace.detail.cache))),
            ]))
            @if trace.detail.is_cut { p.quiet { "Message or answer is longer than what is kept of it." } }
            (guardrails(&trace.detail.guard))
            (attempts(&trace.detail.attempts))
            h2 { "Why this answer" }
            (explanations(it))
            h2 { "Feedback" }
            @if it.feedback.is_empty() { p.quiet { "Nobody has said anything about this answer yet." } }
            @else { (feedback::feedback_table("Feedback on this answer", &it.feedback, now)) }
            (form(it))
        },
    )
}

fn cache_words(state: CacheState) -> &'static str {
    match state {
        CacheState::Off => "not asked",
        CacheState::Miss => "asked, not found there",
        CacheState::Hit => "given again from there",
        CacheState::Semantic => "given again from there, for a question that means the same",
    }
}

/// What each rule said; never the text that it found.
pub(super) fn guardrails(verdicts: &[GuardVerdict]) -> Markup {
    let row = |it: &GuardVerdict| {
        let stage = match it.stage {
            GuardStage::Input => "message",
            GuardStage::Output => "answer",
        };
        let verdict = match it.verdict {
            GuardFinding::Pass => "nothing found",
            GuardFinding::Hit => "found",
            GuardFinding::Failed => "could not be asked",
        };
        let done = match it.done {
            GuardAction::None => "nothing",
            GuardAction::Flag => "noted",
            GuardAction::Mask => "masked",
            GuardAction::Block => "refused",
        };
        let found = if it.found.is_empty() { none() } else { cell(it.found.join(", ")) };
        vec![cell(&it.rule), cell(stage), cell(verdict), found, cell(done)]
    };
    let heads = ["Rule", "Looked at", "Said", "What", "Done"].map(Head::Text);
    html! {
        @if !verdicts.is_empty() {
            h2 { "Guardrails" }
            (table("What each guardrail said", &heads, verdicts.iter().map(row).collect()))
        }
    }
}

/// Who was asked, in order.
fn attempts(attempts: &[Attempt]) -> Markup {
    let row = |it: &Attempt| vec![cell(&it.target), cell(&it.outcome), cell(figures::duration_ms(it.ms))];
    let heads = [Head::Text("Asked"), Head::Text("Outcome"), Head::Number("Took")];
    html! {
        @if !attempts.is_empty() {
            h2 { "Attempts" }
            (table("Who was asked, in order", &heads, attempts.iter().map(row).collect()))
        }
    }
}

fn explanations(it: &TracePage) -> Markup {
    html! {
        @if it.explanations.is_empty() {
            p { "Not explained yet. To take it apart: " code { "loopwright explain " (it.trace.id) } }
        } @else {
            ul { @for one in &it.explanations {
                li { a href={ "/explanations/" (link::segment(&one.id)) } { "Explanation of the answer " code { (one.answer) } } }
            } }
        }
    }
}

/// Plain form fields; the server checks that the form came from its own page.
fn form(it: &TracePage) -> Markup {
    let action = format!("/traces/{}/feedback", link::segment(it.trace.id.as_str()));
    html! {
        form.panel method="post" action=(action) aria-labelledby="say" {
            h3 #say { "Say what you think of it" }
            fieldset {
                legend { "Was the answer right?" }
                @for (value, words) in [("up", "✓ right"), ("down", "✕ wrong"), ("", "not sure")] {
                    label { input type="radio" name="thumb" value=(value) checked[value.is_empty()]; " " (words) }
                }
            }
            div.field {
                label for="correction" { "The right answer, if you know it" }
                input #correction name="correction" list="labels" maxlength="200" autocomplete="off";
                datalist #labels { @for label in &it.labels { option value=(label) {} } }
            }
            div.field {
                label for="comment" { "A remark (personal data in it is masked)" }
                textarea #comment name="comment" rows="3" maxlength="2000" {}
            }
            button type="submit" { "Store feedback" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    fn shown() -> TracePage {
        TracePage {
            trace: sample::trace(),
            feedback: vec![sample::feedback()],
            explanations: vec![sample::explanation()],
            labels: vec!["invoice".into(), "refund".into()],
            just_stored: false,
        }
    }

    #[test]
    fn a_trace_shows_text_figures_feedback_and_the_form() {
        let html = trace(&shown(), sample::NOW).into_string();
        for part in [
            "Where is my parcel, &lt;PERSON&gt;?",
            "action=\"/traces/trace_1/feedback\"",
            "method=\"post\"",
            "<option value=\"refund\">",
            "/explanations/expl_1",
            "41 ms",
            "✕ wrong",
            "pseudonym-01…",
            "$0.000123",
            "given again from there",
            "injection",
            "override_instructions",
            "refused",
            "mirror.example",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("Your feedback is stored."));
    }

    #[test]
    fn a_fresh_trace_says_how_to_explain_it() {
        let it = TracePage { feedback: vec![], explanations: vec![], just_stored: true, ..shown() };
        let html = trace(&it, sample::NOW).into_string();
        assert!(html.contains("loopwright explain trace_1") && html.contains("Your feedback is stored."));
    }
}
