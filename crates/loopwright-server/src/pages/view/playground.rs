//! `/playground`: a conversation with one route, or with two side by side.

use super::{
    figures, link,
    shell::{Section, page},
    table::{cell, empty, facts, none},
    trace::guardrails,
};
use loopwright_types::{id::TraceId, trace::GuardVerdict};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

/// What the page shows.
#[derive(Clone, Debug, Default)]
pub struct Talk {
    /// Routes to choose from.
    pub routes: Vec<String>,
    /// The one that is asked.
    pub route: String,
    /// The one beside it; empty for none.
    pub beside: String,
    /// Instructions before the conversation.
    pub system: String,
    /// As it was typed.
    pub temperature: String,
    /// As it was typed.
    pub max_tokens: String,
    /// A message that was not sent.
    pub message: String,
    /// Why it was not.
    pub problem: Option<String>,
    /// The conversation, oldest first.
    pub turns: Vec<Turn>,
}

/// A message and its answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// What was said.
    pub message: String,
    /// The answer of each route.
    pub sides: Vec<Side>,
}

/// One route's answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Side {
    /// The route.
    pub route: String,
    /// The model version, or the provider's model.
    pub answered_by: String,
    /// The answer.
    pub text: String,
    /// Why it ended.
    pub finish: Option<String>,
    /// Tokens of the prompt.
    pub tokens_in: u32,
    /// Of these, read from a cache.
    pub tokens_cached: u32,
    /// Tokens of the answer.
    pub tokens_out: u32,
    /// When the first token came.
    pub first_token_ms: f64,
    /// When the last came.
    pub whole_ms: f64,
    /// What it cost.
    pub cost_micro_usd: u64,
    /// What guardrails said.
    pub guard: Vec<GuardVerdict>,
    /// Where it is kept.
    pub trace: Option<TraceId>,
    /// Why there is no answer.
    pub problem: Option<String>,
}

/// The page.
pub fn playground(talk: &Talk) -> Markup {
    page(
        Section::Playground,
        "Playground",
        html! {
            p.quiet { "Every turn goes through the same door as a client's request, and leaves a trace." }
            @if talk.routes.is_empty() {
                (empty("No route answers yet", "Train and deploy a model, or name a provider in the project file:", "loopwright run"))
            } @else {
                @for turn in &talk.turns { (turn_of(turn)) }
                (form(talk))
            }
        },
    )
}

fn turn_of(turn: &Turn) -> Markup {
    html! {
        h2 { "You" }
        div.message { (turn.message) }
        div class=[(turn.sides.len() > 1).then_some("two")] {
            @for side in &turn.sides { (side_of(side)) }
        }
    }
}

fn side_of(side: &Side) -> Markup {
    let tokens_in = match side.tokens_cached {
        0 => side.tokens_in.to_string(),
        cached => format!("{} ({cached} from a cache)", side.tokens_in),
    };
    let after_first_s = (side.whole_ms - side.first_token_ms) / 1e3;
    let rate = (after_first_s > 0.0 && side.tokens_out > 1).then(|| f64::from(side.tokens_out - 1) / after_first_s);
    html! {
        section {
            h3 { (link::route(&side.route)) @if !side.answered_by.is_empty() { " · " code { (side.answered_by) } } }
            @if let Some(problem) = &side.problem { p.notice.bad role="alert" { strong { "No answer: " } (problem) } }
            @if side.problem.is_none() || !side.text.is_empty() {
                div.message { @if side.text.is_empty() { span.quiet { "An empty answer." } } @else { (side.text) } }
            }
            (facts(vec![
                ("Tokens in", cell(tokens_in)),
                ("Tokens out", cell(side.tokens_out)),
                ("Cost", cell(figures::usd(side.cost_micro_usd))),
                ("First token after", cell(figures::duration_ms(side.first_token_ms))),
                ("Last token after", cell(figures::duration_ms(side.whole_ms))),
                ("Tokens a second", rate.map_or_else(none, |rate| cell(figures::decimal(rate)))),
                ("Ended with", side.finish.as_ref().map_or_else(none, cell)),
                ("Trace", side.trace.as_ref().map_or_else(none, link::trace)),
            ]))
            (guardrails(&side.guard))
        }
    }
}

fn form(talk: &Talk) -> Markup {
    let turns = serde_json::to_string(&talk.turns).expect("turns have text keys only");
    let choice = |name: &str, chosen: &str| {
        html! { option value=(name) selected[name == chosen] { (name) } }
    };
    html! {
        form.panel method="post" action="/playground" {
            @if let Some(problem) = &talk.problem { p.notice.bad role="alert" { strong { "Not sent: " } (problem) } }
            input type="hidden" name="talk" value=(turns);
            div.two {
                div.field {
                    label for="route" { "Route" }
                    select #route name="route" { @for name in &talk.routes { (choice(name, &talk.route)) } }
                }
                div.field {
                    label for="beside" { "Beside it" }
                    select #beside name="beside" {
                        option value="" selected[talk.beside.is_empty()] { "none" }
                        @for name in &talk.routes { (choice(name, &talk.beside)) }
                    }
                }
                div.field {
                    label for="temperature" { "Temperature (0 to 2; empty: the route's own)" }
                    input #temperature name="temperature" inputmode="decimal" value=(talk.temperature);
                }
                div.field {
                    label for="max_tokens" { "Answer tokens (empty: the route's own)" }
                    input #max_tokens name="max_tokens" inputmode="numeric" value=(talk.max_tokens);
                }
            }
            div.choice {
                label for="system" { "Instructions" }
                textarea #system name="system" rows="2" { (talk.system) }
            }
            div.choice {
                label for="message" { "Message" }
                textarea #message name="message" rows="4" autofocus { (talk.message) }
            }
            p {
                button type="submit" { "Send" }
                @if !talk.turns.is_empty() { " " button.link type="submit" name="clear" value="yes" { "Start again" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_answers_stand_side_by_side_with_what_they_took() {
        let side = |route: &str, problem: Option<&str>| Side {
            route: route.into(),
            answered_by: "support@3".into(),
            text: "<b>yes</b>".into(),
            tokens_in: 12,
            tokens_cached: 8,
            tokens_out: 5,
            cost_micro_usd: 1_500,
            first_token_ms: 20.0,
            whole_ms: 420.0,
            trace: Some("trace_1".into()),
            problem: problem.map(str::to_owned),
            ..Side::default()
        };
        let turn = Turn { message: "is it open?".into(), sides: vec![side("a", None), side("b", Some("it is full"))] };
        let talk = Talk { routes: vec!["a".into(), "b".into()], turns: vec![turn.clone()], ..Talk::default() };
        let text = playground(&talk).into_string();
        for expected in
            ["class=\"two\"", "12 (8 from a cache)", "&lt;b&gt;yes", "/traces/trace_1", "it is full", "Start again"]
        {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        // 4 tokens after the first, in 0.4 s.
        assert!(text.contains("10"), "{text}");
        let turns: Vec<Turn> = serde_json::from_str(&serde_json::to_string(&talk.turns).unwrap()).unwrap();
        assert_eq!(turns, [turn]);
    }

    #[test]
    fn without_routes_it_says_what_to_do() {
        let text = playground(&Talk::default()).into_string();
        assert!(text.contains("No route answers yet") && !text.contains("<form class=\"panel\""), "{text}");
    }
}
