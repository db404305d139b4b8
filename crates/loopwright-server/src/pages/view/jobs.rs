//! `/jobs`: queued work.

use super::{
    badge::badge,
    figures, link, moment,
    shell::{Section, page},
    table::{Head, cell, empty, none, table},
};
use loopwright_types::{Timestamp, job::Job};
use maud::{Markup, html};

/// The queue, in the order given.
pub fn jobs(jobs: &[Job], now: Timestamp) -> Markup {
    let rows = jobs.iter().map(|job| {
        vec![
            html! { span.nowrap #(job.id) { (link::short(job.id.as_str())) } },
            cell(&job.job.kind),
            html! { (badge(job.state.as_str())) @if let Some(until) = job.leased_until { " lease ends " (moment::distance(until, now)) } },
            cell(figures::count(u64::from(job.attempts))),
            job.error.as_ref().map_or_else(none, |error| html! { span.wide { (error) } }),
            html! { code { (job.job.idempotency_key) } },
            moment::recent(job.created_at, now),
        ]
    });
    let heads = [
        Head::Text("Job"),
        Head::Text("Kind"),
        Head::Text("State"),
        Head::Number("Attempts"),
        Head::Text("Last error"),
        Head::Text("Done once per"),
        Head::Text("Queued"),
    ];
    page(
        Section::Jobs,
        "Jobs",
        html! {
            p { "Work that a worker leases and does once. A worker that dies loses its lease, and another goes on." }
            @if jobs.is_empty() {
                (empty(
                    "The queue is empty.",
                    "Alarms and erasures queue work by themselves. `loopwright up` does it beside serving; to do only that:",
                    "loopwright work",
                ))
            } @else { (table("Jobs, newest first", &heads, rows.collect())) }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn jobs_show_state_and_error() {
        let html = jobs(&[sample::job()], sample::NOW).into_string();
        assert!(
            html.contains("retrain")
                && html.contains("queued")
                && html.contains("connection lost")
                && html.contains("id=\"job_1\"")
        );
    }

    #[test]
    fn the_empty_queue() {
        assert!(jobs(&[], sample::NOW).into_string().contains("<code>loopwright work</code>"));
    }
}
