//! A route's targets and how they fare, and the traffic of its variants since the server began.

use super::{
    badge::{Tone, marked},
    figures,
    table::{Head, cell, table},
};
use loopwright_observe::metrics::SeriesSummary;
use loopwright_serve::gateway::{Part, Target, TargetView, breaker::BreakerState};
use maud::{Markup, html};

/// Who is asked, how often, and whether a target is being left alone.
pub fn targets(targets: &[TargetView]) -> Markup {
    let rows = targets.iter().map(|it| {
        let condition = &it.condition;
        let per_second = f64::from(condition.n_seen) * 1_000.0 / condition.window_ms.max(1) as f64;
        let failed = match condition.n_seen {
            0 => "none tried".to_string(),
            n => figures::share(f64::from(condition.n_failed) / f64::from(n)),
        };
        vec![
            cell(&it.name),
            cell(who(&it.target)),
            cell(part(it.part)),
            breaker(condition.breaker),
            cell(format!("{per_second:.2}/s")),
            cell(failed),
            cell(condition.n_in_flight),
        ]
    });
    let heads = [
        Head::Text("Target"),
        Head::Text("Who"),
        Head::Text("Part"),
        Head::Text("Breaker"),
        Head::Number("Tries now"),
        Head::Number("Failed"),
        Head::Number("Under way"),
    ];
    let window_s = targets.first().map_or(0, |it| it.condition.window_ms / 1_000);
    html! {
        (table("Targets", &heads, rows.collect()))
        p { "Tries and failures are those of the last " (window_s) " s; each retry and hedge is a try of its own." }
    }
}

/// What was counted for each variant of a route.
pub fn traffic(route: &str, series: &[SeriesSummary]) -> Markup {
    let of_route = series.iter().filter(|it| it.route == route);
    let rows: Vec<Vec<Markup>> = of_route
        .map(|it| {
            vec![
                cell(&it.variant),
                cell(figures::count(it.n_requests)),
                cell(figures::count(it.n_errors)),
                cell(figures::duration_ms(it.latency_ms_p50)),
                cell(figures::duration_ms(it.latency_ms_p95)),
                cell(figures::duration_ms(it.latency_ms_p99)),
                cell(figures::count(it.tokens_in)),
                cell(figures::count(it.tokens_out)),
            ]
        })
        .collect();
    let heads = [
        Head::Text("Variant"),
        Head::Number("Requests"),
        Head::Number("Errors"),
        Head::Number("Median"),
        Head::Number("95th percentile"),
        Head::Number("99th percentile"),
        Head::Number("Tokens in"),
        Head::Number("Tokens out"),
    ];
    html! {
        @if rows.is_empty() { p.quiet { "No request since the server began." } }
        @else { (table("Traffic since the server began", &heads, rows)) }
    }
}

/// A target in words.
pub fn who(target: &Target) -> String {
    match target {
        Target::Own => "the deployed models".into(),
        Target::Provider { provider, model } => format!("{model} at {provider}"),
    }
}

fn part(part: Part) -> String {
    match part {
        Part::Variant { weight, of } => {
            format!("{} of requests", figures::share(f64::from(weight) / f64::from(of.max(1))))
        }
        Part::Fallback => "fallback".into(),
        Part::Shadow { share } => format!("copies of {}", figures::share(share)),
    }
}

fn breaker(state: BreakerState) -> Markup {
    match state {
        BreakerState::Closed => marked("✓", "closed", Tone::Good),
        BreakerState::HalfOpen => marked("?", "half open: trying", Tone::Busy),
        BreakerState::Open { left_ms } => {
            marked("✕", &format!("open for {}", figures::duration_ms(left_ms as f64)), Tone::Bad)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_serve::gateway::Condition;

    #[test]
    fn targets_are_shown_in_words() {
        let view = |name: &str, target, part, breaker| TargetView {
            name: name.into(),
            target,
            part,
            condition: Condition { breaker, n_in_flight: 3, n_seen: 60, n_failed: 15, window_ms: 30_000 },
        };
        let provider = Target::new("openai", "gpt-4o");
        let html = targets(&[
            view("own", Target::Own, Part::Variant { weight: 3, of: 4 }, BreakerState::Closed),
            view("trial", provider.clone(), Part::Variant { weight: 1, of: 4 }, BreakerState::Open { left_ms: 4_000 }),
            view("openai/gpt-4o", provider.clone(), Part::Fallback, BreakerState::HalfOpen),
            view("shadow openai/gpt-4o", provider, Part::Shadow { share: 0.1 }, BreakerState::Closed),
        ])
        .into_string();
        for part in [
            "the deployed models",
            "gpt-4o at openai",
            "75.0% of requests",
            "open for 4.0 s",
            "half open",
            "copies of 10.0%",
            "2.00/s",
            "25.0%",
            "last 30 s",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn only_the_routes_own_traffic_is_shown() {
        let series = |route: &str, n_requests| SeriesSummary {
            route: route.into(),
            variant: "live".into(),
            n_requests,
            n_errors: 2,
            latency_ms_p50: 40.0,
            latency_ms_p95: 80.0,
            latency_ms_p99: 90.0,
            tokens_in: 7,
            tokens_out: 9,
        };
        let html = traffic("chat", &[series("chat", 1_234), series("other", 777)]).into_string();
        assert!(html.contains("1,234") && html.contains("40 ms") && !html.contains("777"), "{html}");
        assert!(traffic("idle", &[series("chat", 1)]).into_string().contains("No request"));
    }
}
