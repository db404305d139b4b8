//! `/routes` and `/routes/{name}`: who answers, and how the canary fares.

use super::{
    badge::{Tone, badge, marked},
    chart_bar::{bar, interval_bar, interval_words},
    figures, link, moment,
    shell::{Section, back, page},
    table::{Head, cell, empty, facts, table},
};
use loopwright_types::{
    Entity as _, ModelRef, Timestamp,
    deployment::{Evidence, Rollout, RolloutState, Route},
};
use maud::{Markup, html};

/// A route that providers answer, with its targets in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Hosted {
    /// Its name.
    pub name: String,
    /// Who answers.
    pub targets: String,
}

/// The list: routes with deployed models, and those that only providers answer.
pub fn routes(routes: &[Route], hosted: &[Hosted], now: Timestamp) -> Markup {
    let rows = routes.iter().map(|route| {
        let shares: Vec<String> =
            route.variants.iter().map(|v| format!("{} {} ({}%)", v.name, v.model, v.weight_percent)).collect();
        vec![
            link::route(&route.name),
            badge(route.state()),
            html! { span.value { (shares.join(", ")) } },
            moment::recent(route.updated_at, now),
        ]
    });
    let hosted = hosted.iter().map(|it| {
        vec![link::route(&it.name), cell("none"), html! { span.value { (it.targets) } }, cell("in the project file")]
    });
    let rows: Vec<Vec<Markup>> = rows.chain(hosted).collect();
    let heads = [Head::Text("Route"), Head::Text("Rollout"), Head::Text("Variants"), Head::Text("Changed")];
    page(
        Section::Routes,
        "Routes",
        html! {
            p { "A route is a model name that clients send; the versions behind it change without them." }
            @if rows.is_empty() { (empty("No route yet.", "Put an approved model version behind a route:", "loopwright deploy")) }
            @else { (table("Routes", &heads, rows)) }
        },
    )
}

/// A model that the server will not serve, and why, in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The version.
    pub model: ModelRef,
    /// Why.
    pub reason: String,
}

/// Warnings about models that a route names and the server refuses.
pub fn warnings(refused: &[Refused]) -> Markup {
    html! {
        @for it in refused {
            p.notice.bad role="alert" {
                (marked("✕", "not served", Tone::Bad)) " " (link::model(&it.model)) ": " (it.reason) "."
            }
        }
    }
}

/// A route that only providers answer; `live` are its targets and its traffic.
pub fn hosted(name: &str, live: &Markup) -> Markup {
    page(
        Section::Routes,
        &format!("Route {name}"),
        html! {
            (back("/routes", "Routes"))
            p { "Providers answer this route, as the project file says. " a href={ "/traces" (link::query(&[("route", name)])) } { "Its traces" } }
            (live)
        },
    )
}

/// One route; `refused` are the models that the server will not serve, of this or other routes; `live` are its targets
/// and its traffic.
pub fn route(route: &Route, refused: &[Refused], live: &Markup, now: Timestamp) -> Markup {
    let of_this = |it: &&Refused| route.variants.iter().any(|variant| variant.model == it.model);
    let refused: Vec<Refused> = refused.iter().filter(of_this).cloned().collect();
    let rows = route.variants.iter().map(|variant| {
        vec![
            cell(&variant.name),
            link::model(&variant.model),
            bar(f64::from(variant.weight_percent) / 100.0),
            html! { (variant.weight_percent) "%" },
        ]
    });
    let heads =
        [Head::Text("Variant"), Head::Text("Model"), Head::Text("In proportion"), Head::Number("Share of requests")];
    page(
        Section::Routes,
        &format!("Route {}", route.name),
        html! {
            (back("/routes", "Routes"))
            (warnings(&refused))
            (table("Who answers", &heads, rows.collect()))
            p { "Changed " (moment::when(route.updated_at, now)) ". " a href={ "/traces" (link::query(&[("route", &route.name)])) } { "Its traces" } }
            (live)
            h2 { "Canary" }
            @match &route.rollout {
                Some(rollout) => { (canary(rollout, now)) },
                None => {
                    (empty(
                        "No canary so far.",
                        "What an alarm's retraining makes is tried on a share of the requests. To try the newest version now:",
                        "loopwright deploy --canary",
                    ))
                },
            }
        },
    )
}

fn canary(rollout: &Rollout, now: Timestamp) -> Markup {
    html! {
        p.lead { (badge(rollout.state.as_str())) " " (verdict(rollout)) }
        (facts(vec![
            ("Candidate", link::model(&rollout.candidate)),
            ("Live version", link::model(&rollout.live)),
            ("Candidate's share of requests", html! { (rollout.share_percent) "%" }),
            ("Promised error rate (alpha)", cell(figures::share(rollout.alpha))),
            ("Began", moment::when(rollout.started_at, now)),
            ("Decided", rollout.decided_at.map_or_else(|| cell("not yet"), |at| moment::when(at, now))),
        ]))
        (answers(&rollout.evidence))
        (e_values(&rollout.evidence, rollout.alpha))
        (pairs(&rollout.evidence))
    }
}

/// What the state means, in a sentence.
fn verdict(rollout: &Rollout) -> String {
    let (candidate, live) = (&rollout.candidate, &rollout.live);
    match rollout.state {
        RolloutState::Running => format!("{candidate} is on trial beside {live}; the evidence does not decide yet."),
        RolloutState::Promoted => format!("{candidate} proved better and became live in place of {live}."),
        RolloutState::RolledBack => format!("{candidate} proved worse and was withdrawn; {live} stayed live."),
        RolloutState::Undecided => format!("The traffic ended before the evidence decided; {live} stayed live."),
    }
}

fn answers(evidence: &Evidence) -> Markup {
    let row = |name: &str, n: u64, right: u64, accuracy: &Option<loopwright_types::score::Interval>| {
        vec![
            cell(name),
            accuracy.as_ref().map_or_else(|| cell(""), |interval| interval_bar(interval, None)),
            cell(accuracy.as_ref().map_or("not enough answers".to_string(), interval_words)),
            cell(figures::count(right)),
            cell(figures::count(n)),
        ]
    };
    let heads = [
        Head::Text("Variant"),
        Head::Text("Accuracy, 0 to 100%"),
        Head::Number("Accuracy (interval)"),
        Head::Number("Right"),
        Head::Number("Judged answers"),
    ];
    table(
        "Judged answers so far",
        &heads,
        vec![
            row("live", evidence.n_live, evidence.n_live_right, &evidence.live_accuracy),
            row("candidate", evidence.n_candidate, evidence.n_candidate_right, &evidence.candidate_accuracy),
        ],
    )
}

/// How far an e-value has come towards its bound, on a logarithmic scale: 0 at no evidence (1 or less), 1 at the bound.
fn progress(e: f64, bound: f64) -> f64 {
    if e.is_nan() || e <= 1.0 || bound <= 1.0 { 0.0 } else { (e.ln() / bound.ln()).min(1.0) }
}

fn e_values(evidence: &Evidence, alpha: f64) -> Markup {
    let bound = 1.0 / alpha;
    let row = |question: &str, decides: &str, e: f64| {
        vec![
            cell(question),
            bar(progress(e, bound)),
            cell(figures::decimal(e)),
            cell(figures::decimal(bound)),
            if e >= bound {
                html! { "✓ reached: " (decides) }
            } else {
                cell("○ not reached")
            },
        ]
    };
    let heads = [
        Head::Text("Evidence that the candidate is"),
        Head::Text("On the way to the bound (logarithmic)"),
        Head::Number("E-value"),
        Head::Number("Bound"),
        Head::Text("In words"),
    ];
    html! {
        (table(
            "Evidence for a decision",
            &heads,
            vec![row("better", "promotes", evidence.e_better), row("worse", "rolls back", evidence.e_worse)],
        ))
        p {
            "An e-value is how many times one's stake would have grown by betting against \"there is no difference\". At 1 there is "
            "no evidence; at " (figures::decimal(bound)) " (1 divided by alpha " (figures::decimal(alpha)) ") it decides. One may "
            "look at any time: a candidate that is no better is ever promoted with a probability of at most " (figures::share(alpha)) "."
            @if evidence.e_better_max > 0.0 {
                " The largest value so far was " (figures::decimal(evidence.e_better_max)) ", an always-valid p-value of "
                (figures::p_value((1.0 / evidence.e_better_max).min(1.0))) "."
            }
        }
    }
}

fn pairs(evidence: &Evidence) -> Markup {
    html! {
        @if evidence.n_pairs > 0 {
            p {
                "Of " (figures::plural(evidence.n_pairs, "pair")) " of answers, only the candidate was right in "
                (figures::count(evidence.n_only_candidate)) " and only the live version in " (figures::count(evidence.n_only_live)) "."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn a_running_canary_shows_its_evidence() {
        let html = route(&sample::route(), &[], &html! {}, sample::NOW).into_string();
        for part in [
            "▶</span> running",
            "support@2 is on trial beside support@1",
            "87.5% (80.0% to 92.0%)",
            ">7.5<",
            ">20<",
            "not reached",
            "an always-valid p-value of 0.125",
            "only the candidate was right in 9",
            "/traces?route=support",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn every_end_is_told_in_words() {
        for (state, words) in [
            (RolloutState::Promoted, "became live"),
            (RolloutState::RolledBack, "was withdrawn"),
            (RolloutState::Undecided, "stayed live"),
        ] {
            let mut rollout = sample::route().rollout.unwrap();
            rollout.state = state;
            rollout.evidence.e_better = 25.0;
            let html = canary(&rollout, sample::NOW).into_string();
            assert!(html.contains(words) && html.contains("reached: promotes"), "{html}");
        }
    }

    #[test]
    fn a_refused_model_is_named_on_its_own_route_only() {
        let refused =
            |version| Refused { model: ModelRef::new("support", version), reason: "its signature is wrong".into() };
        let html = route(&sample::route(), &[refused(1), refused(9)], &html! {}, sample::NOW).into_string();
        assert!(html.contains("its signature is wrong") && html.contains("role=\"alert\""), "{html}");
        assert!(!html.contains("/models/support@9"));
    }

    #[test]
    fn the_way_to_the_bound_is_logarithmic() {
        assert_eq!(progress(0.2, 20.0), 0.0);
        assert_eq!(progress(f64::NAN, 20.0), 0.0);
        assert_eq!(progress(400.0, 20.0), 1.0);
        assert!((progress(20f64.sqrt(), 20.0) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_route_without_a_canary_and_no_route_at_all() {
        let mut stable = sample::route();
        stable.rollout = None;
        assert!(route(&stable, &[], &html! {}, sample::NOW).into_string().contains("No canary so far."));
        assert!(routes(&[], &[], sample::NOW).into_string().contains("<code>loopwright deploy</code>"));
        let hosted = Hosted { name: "chat".into(), targets: "gpt-4o at openai".into() };
        let html = routes(&[stable], &[hosted], sample::NOW).into_string();
        assert!(html.contains("live support@1 (90%)") && html.contains("/routes/chat"), "{html}");
    }
}
