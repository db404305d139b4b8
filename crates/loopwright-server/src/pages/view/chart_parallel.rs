//! Parallel coordinates (Inselberg 1985): an axis for each parameter, a line for each trial, the best ones on top.

use super::figures;
use loopwright_pipeline::search::{Direction, plot::Parallel};
use maud::{Markup, html};

/// Width and height of the drawing, and the room around it, in user units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 260.0;
const SIDE: f64 = 48.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 44.0;
/// Lines drawn, the best ones.
const LINES_MAX: usize = 200;

/// The trials of a study over all of its parameters, and their values on the last axis.
pub fn parallel_chart(parallel: &Parallel, direction: Direction) -> Markup {
    let mut lines: Vec<_> = parallel.lines.iter().filter(|line| line.value.is_finite()).collect();
    lines.sort_by(|a, b| direction.loss(a.value).total_cmp(&direction.loss(b.value)));
    lines.truncate(LINES_MAX);
    let (Some(best), Some(worst)) = (lines.first(), lines.last()) else {
        return html! { p.quiet { "No trial is complete yet." } };
    };
    let (low, high) = (best.value.min(worst.value), best.value.max(worst.value));
    let span = if high > low { high - low } else { 1.0 };
    let n_axes = parallel.axes.len() + 1;
    let x = |axis: usize| SIDE + axis as f64 / (n_axes - 1).max(1) as f64 * (WIDTH - 2.0 * SIDE);
    let y = |place: f64| TOP + (1.0 - place) * (HEIGHT - TOP - BOTTOM);
    let path = |line: &loopwright_pipeline::search::plot::Line| {
        let places = line.places.iter().enumerate().filter_map(|(axis, place)| Some((axis, (*place)?)));
        let all = places.chain([(n_axes - 1, (line.value - low) / span)]);
        all.map(|(axis, place)| format!("{:.1},{:.1}", x(axis), y(place))).collect::<Vec<_>>().join(" ")
    };
    let said = format!(
        "{} trials over {} parameters; the best value is {}, the worst shown {}.",
        lines.len(),
        parallel.axes.len(),
        figures::decimal(best.value),
        figures::decimal(worst.value)
    );
    let names = || parallel.axes.iter().map(|(name, _)| name.as_str()).chain(["value"]);
    html! {
        figure.chart {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ "Parallel coordinates. " (said) } {
                @for (axis, name) in names().enumerate() {
                    line.grid x1=(unit(x(axis))) x2=(unit(x(axis))) y1=(unit(y(0.0))) y2=(unit(y(1.0))) {}
                    text.axis x=(unit(x(axis))) y=(HEIGHT - 12.0) text-anchor="middle" { (name) }
                }
                @for line in lines.iter().rev() {
                    @if line.number == best.number { polyline.line.line-0 points=(path(line)) {} }
                    @else { polyline.trial points=(path(line)) {} }
                }
                text.tick x=(WIDTH - SIDE + 6.0) y=(unit(y(0.0))) { (figures::decimal(low)) }
                text.tick x=(WIDTH - SIDE + 6.0) y=(unit(y(1.0))) { (figures::decimal(high)) }
            }
            figcaption { (said) " The best one is the thick line." }
        }
    }
}

/// One decimal is finer than a screen shows.
fn unit(value: f64) -> String {
    format!("{value:.1}")
}
