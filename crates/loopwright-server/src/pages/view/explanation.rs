//! `/explanations/{id}`: why the model answered as it did, for a reader who does not train models.

use super::{
    chart_bar::signed_bar,
    figures, link, moment,
    shell::{Section, back, page},
    table::{Head, cell, empty, facts, table},
};
use loopwright_types::{
    Timestamp,
    explain::{Explanation, Segment},
};
use maud::{Markup, html};

/// Values smaller than this share of the largest are called no matter.
const NEGLIGIBLE: f64 = 0.05;
/// An error below this is only rounding.
const ROUNDING: f64 = 1e-6;
/// LIME's linear model is called a poor fit below this.
const POOR_FIT_R2: f64 = 0.5;

/// The page.
pub fn explanation(it: &Explanation, now: Timestamp) -> Markup {
    let largest = it.segments.iter().map(|s| s.shapley.abs()).fold(0.0, f64::max);
    page(
        Section::Traces,
        "Why this answer",
        html! {
            @match &it.trace {
                Some(trace) => { (back(&format!("/traces/{}", link::segment(trace.as_str())), "The trace")) },
                None => { (back("/traces", "Traces")) },
            }
            p.lead { "Asked the message below, " (link::model(&it.model)) " answered " strong { (it.answer) }
                " with a probability of " strong { (figures::share(it.probability)) } "." }
            h2 { "The message, taken apart" }
            p.taken-apart { @for (i, segment) in it.segments.iter().enumerate() { (marked(i + 1, segment, largest)) " " } }
            p.quiet { "A solid line under a numbered segment: it speaks for the answer. A dashed line: it speaks against it. The darker, the more." }
            p { (in_words(it)) }
            (segment_table(it, largest))
            h2 { "How far to trust this" }
            (trust(it))
            h2 { "Training rows most like the message" }
            (nearest(it))
            (facts(vec![
                ("Model", link::model(&it.model)),
                ("Route", link::route(&it.route)),
                ("Made", moment::when(it.created_at, now)),
            ]))
        },
    )
}

/// Every explanation, in the order given.
pub fn explanations(all: &[Explanation], now: Timestamp) -> Markup {
    let rows = all.iter().map(|it| {
        vec![
            html! { a href={ "/explanations/" (link::segment(&it.id)) } { span.wide { (it.input) } } },
            cell(&it.answer),
            cell(figures::share(it.probability)),
            link::model(&it.model),
            moment::recent(it.created_at, now),
        ]
    });
    let heads = [
        Head::Text("Message (masked)"),
        Head::Text("Answer"),
        Head::Number("Probability"),
        Head::Text("Model"),
        Head::Text("Made"),
    ];
    page(
        Section::Traces,
        "Explanations",
        html! {
            (back("/traces", "Traces"))
            @if all.is_empty() { (empty("Nothing has been explained yet.", "Take the answer of a trace apart:", "loopwright explain TRACE")) }
            @else { (table("Explained answers, newest first", &heads, rows.collect())) }
        },
    )
}

/// Which way a segment pushes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Push {
    Towards,
    Against,
    Hardly,
}

impl Push {
    fn of(value: f64, largest: f64) -> Self {
        match value {
            _ if value.is_nan() || value.abs() <= largest * NEGLIGIBLE => Self::Hardly,
            _ if value > 0.0 => Self::Towards,
            _ => Self::Against,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Towards => "speaks for it",
            Self::Against => "speaks against it",
            Self::Hardly => "hardly matters",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Towards => "towards",
            Self::Against => "against",
            Self::Hardly => "hardly",
        }
    }
}

fn marked(number: usize, segment: &Segment, largest: f64) -> Markup {
    let shade = (segment.shapley.abs() / largest.max(f64::MIN_POSITIVE) * 3.0).ceil().clamp(1.0, 3.0) as u8;
    let push = Push::of(segment.shapley, largest);
    html! { mark.(push.class()).{ "by-" (shade) } { sup { (number) } (segment.text) } }
}

/// The essence: the strongest segments on each side.
fn in_words(it: &Explanation) -> String {
    let strongest = |sign: f64| {
        let best = it.segments.iter().enumerate().max_by(|a, b| (sign * a.1.shapley).total_cmp(&(sign * b.1.shapley)));
        best.filter(|(_, s)| sign * s.shapley > 0.0)
    };
    let mut words = format!(
        "With every segment left out, the model would give this answer with a probability of {}; with all of them, {}.",
        figures::share(it.base_probability),
        figures::share(it.probability)
    );
    if let Some((i, s)) = strongest(1.0) {
        words.push_str(&format!(
            " What speaks for it most is segment {}, \"{}\" ({}).",
            i + 1,
            s.text.trim(),
            figures::signed(s.shapley)
        ));
    }
    if let Some((i, s)) = strongest(-1.0) {
        words.push_str(&format!(
            " What speaks against it most is segment {}, \"{}\" ({}).",
            i + 1,
            s.text.trim(),
            figures::signed(s.shapley)
        ));
    }
    words
}

fn segment_table(it: &Explanation, largest: f64) -> Markup {
    let rows = it.segments.iter().enumerate().map(|(i, segment)| {
        vec![
            html! { (i + 1) },
            html! { span.wide { (segment.text) } },
            signed_bar(segment.shapley, largest),
            cell(figures::signed(segment.shapley)),
            cell(figures::signed(segment.lime)),
            cell(Push::of(segment.shapley, largest).words()),
        ]
    });
    let heads = [
        Head::Number("No."),
        Head::Text("Segment"),
        Head::Text("Against ← → for"),
        Head::Number("Shapley value"),
        Head::Number("LIME weight"),
        Head::Text("In words"),
    ];
    table("What each segment adds to the probability of the answer", &heads, rows.collect())
}

fn trust(it: &Explanation) -> Markup {
    html! {
        ul {
            li {
                "The Shapley values add up to the answer's probability minus the one without any segment, with an error of "
                (if it.shapley_sum_error < ROUNDING { "less than a millionth".into() } else { figures::decimal(it.shapley_sum_error) }) "."
            }
            li {
                "LIME, a second method, fits a straight line around this message; it explains " (figures::share(it.lime_r2)) " of what happens there"
                @if it.lime_r2 < POOR_FIT_R2 { ", which is little: do not rely on its weights" } "."
            }
            li {
                @if it.lime_stable { "LIME ranks the segments alike when its random samples change." }
                @else { "LIME ranks the segments differently when its random samples change: do not rely on its order." }
            }
            li { (agreement(&it.segments)) }
            li { "It tells what moved this model on this message, not what is true about the world." }
        }
    }
}

/// Do both methods name the same strongest segment?
fn agreement(segments: &[Segment]) -> &'static str {
    let strongest = |value: &dyn Fn(&Segment) -> f64| {
        segments.iter().enumerate().max_by(|a, b| value(a.1).total_cmp(&value(b.1))).map(|(i, _)| i)
    };
    if strongest(&|s| s.shapley) == strongest(&|s| s.lime) {
        "Both methods name the same segment as the strongest reason."
    } else {
        "The two methods name different segments as the strongest reason."
    }
}

fn nearest(it: &Explanation) -> Markup {
    let rows = it.nearest.iter().map(|row| {
        vec![
            html! { span.nowrap { (link::short(row.row_id.as_str())) } },
            html! { span.wide { (row.text) } },
            cell(&row.label),
            cell(format!("{:.3}", row.similarity)),
        ]
    });
    let heads = [Head::Text("Row"), Head::Text("Text (masked)"), Head::Text("Label"), Head::Number("Similarity")];
    html! {
        @if it.nearest.is_empty() { p.quiet { "No training rows were compared." } }
        @else { (table("Nearest first; 1 means the same to the model", &heads, rows.collect())) }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn segments_are_marked_numbered_and_listed() {
        let html = explanation(&sample::explanation(), sample::NOW).into_string();
        for part in [
            "<mark class=\"towards by-3\"><sup>1</sup>Where is my parcel,</mark>",
            "<mark class=\"against by-1\"><sup>2</sup>",
            "+0.700",
            "−0.100",
            "speaks against it",
            "97.0%",
            "segment 1",
            "of what happens there",
            "0.912",
            "less than a millionth",
            "/traces/trace_1",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn explanations_are_listed_or_the_command_is_named() {
        assert!(explanations(&[sample::explanation()], sample::NOW).into_string().contains("/explanations/expl_1"));
        assert!(explanations(&[], sample::NOW).into_string().contains("loopwright explain TRACE"));
    }

    #[test]
    fn doubts_are_spoken_out() {
        let mut it = sample::explanation();
        it.lime_r2 = 0.2;
        it.lime_stable = false;
        it.segments[1].lime = 0.9;
        let html = trust(&it).into_string();
        assert!(
            html.contains("which is little")
                && html.contains("do not rely on its order")
                && html.contains("different segments")
        );
    }

    #[test]
    fn small_values_hardly_matter() {
        assert_eq!(Push::of(0.01, 1.0), Push::Hardly);
        assert_eq!(Push::of(0.0, 0.0), Push::Hardly);
        assert_eq!(Push::of(-0.5, 1.0), Push::Against);
        assert_eq!(Push::of(f64::NAN, 1.0), Push::Hardly);
    }
}
