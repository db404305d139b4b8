//! Points over one parameter: a number line, its logarithm, or one column for each word.

use super::{chart_line::ticks, figures};
use loopwright_pipeline::search::plot::{Slice, SlicePoint};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Width and height of the drawing, and the room around it, in user units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 52.0;

/// Points with their places on the axis, from 0 to 1, and marks along it.
pub struct Dots {
    points: Vec<(f64, f64)>,
    marks: Vec<(String, f64)>,
    said: String,
}

impl Dots {
    /// The values of a study by one of its parameters.
    pub fn of(slice: &Slice) -> Self {
        let number = |point: &SlicePoint| point.at.as_f64().map(|at| if slice.log { at.ln() } else { at });
        let numbers: Option<Vec<f64>> = slice.points.iter().map(number).collect();
        let values = slice.points.iter().map(|point| point.value);
        let (places, marks) = match numbers {
            Some(numbers) => on_a_line(&numbers, slice.log),
            None => in_columns(&slice.points),
        };
        let best = slice.points.iter().min_by(|a, b| a.value.total_cmp(&b.value));
        let said = best.map_or_else(
            || "No trial is complete yet.".to_string(),
            |best| format!("The lowest value, {}, is at {}.", figures::decimal(best.value), word(&best.at)),
        );
        Self { points: places.into_iter().zip(values).collect(), marks, said }
    }
}

fn word(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.as_f64().map_or_else(|| value.to_string(), figures::decimal), str::to_string)
}

/// Places of numbers, and round marks (powers of ten where they are logarithms).
fn on_a_line(numbers: &[f64], log: bool) -> (Vec<f64>, Vec<(String, f64)>) {
    let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let high = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let width = if high > low { high - low } else { 1.0 };
    let place = |at: f64| (at - low) / width;
    let marks: Vec<(String, f64)> = match log {
        true => {
            let tens = (low / std::f64::consts::LN_10).floor() as i32..=(high / std::f64::consts::LN_10).ceil() as i32;
            let marks = tens.map(|ten| (format!("1e{ten}"), place(f64::from(ten) * std::f64::consts::LN_10)));
            marks.filter(|(_, at)| (-0.001..=1.001).contains(at)).collect()
        }
        false => ticks(low, high).into_iter().map(|at| (figures::decimal(at), place(at))).collect(),
    };
    (numbers.iter().map(|at| place(*at)).collect(), marks)
}

/// A column for each word, in order.
fn in_columns(points: &[SlicePoint]) -> (Vec<f64>, Vec<(String, f64)>) {
    let words: BTreeMap<String, usize> = points.iter().map(|point| (word(&point.at), 0)).collect();
    let n = words.len().max(1) as f64;
    let places: BTreeMap<String, f64> =
        words.into_keys().enumerate().map(|(index, word)| (word, (index as f64 + 0.5) / n)).collect();
    (points.iter().map(|point| places[&word(&point.at)]).collect(), places.into_iter().collect())
}

/// A chart of points; what it shows is said below.
pub fn point_chart(title: &str, x_label: &str, y_label: &str, dots: &Dots) -> Markup {
    let finite = |point: &&(f64, f64)| point.1.is_finite();
    let values = || dots.points.iter().filter(finite).map(|point| point.1);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    if !low.is_finite() {
        return html! { p.quiet { (dots.said) } };
    }
    let span = if high > low { high - low } else { 1.0 };
    let x = |at: f64| unit(LEFT + at * (WIDTH - LEFT - RIGHT));
    let y = |value: f64| unit(TOP + (1.0 - (value - low) / span) * (HEIGHT - TOP - BOTTOM));
    html! {
        figure.chart {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ (title) ". " (dots.said) } {
                @for value in ticks(low, high) {
                    line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(y(value)) y2=(y(value)) {}
                    text.tick x=(LEFT - 8.0) y=(y(value)) text-anchor="end" { (figures::decimal(value)) }
                }
                @for (word, at) in &dots.marks {
                    text.tick x=(x(*at)) y=(HEIGHT - BOTTOM + 18.0) text-anchor="middle" { (word) }
                }
                text.axis x=(unit((LEFT + WIDTH - RIGHT) / 2.0)) y=(HEIGHT - 8.0) text-anchor="middle" { (x_label) }
                @let middle = unit(HEIGHT / 2.0);
                text.axis.upright x="14" y=(middle) text-anchor="middle" transform={ "rotate(-90 14 " (middle) ")" } { (y_label) }
                @for (at, value) in dots.points.iter().filter(finite) {
                    circle.dot-0 cx=(x(*at)) cy=(y(*value)) r="4" {}
                }
            }
            figcaption { (dots.said) }
        }
    }
}

/// One decimal is finer than a screen shows.
fn unit(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slice(log: bool, points: &[(serde_json::Value, f64)]) -> Slice {
        let point = |(index, (at, value)): (usize, &(serde_json::Value, f64))| SlicePoint {
            number: index as u64,
            at: at.clone(),
            value: *value,
        };
        Slice { param: "p".into(), log, points: points.iter().enumerate().map(point).collect() }
    }

    #[test]
    fn numbers_logarithms_and_words_have_their_places() {
        let dots = Dots::of(&slice(true, &[(json!(1e-4), 3.0), (json!(1e-3), 2.0), (json!(1e-2), 1.0)]));
        assert_eq!(dots.marks.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>(), ["1e-4", "1e-3", "1e-2"]);
        assert!((dots.points[1].0 - 0.5).abs() < 1e-9);
        let dots = Dots::of(&slice(false, &[(json!("b"), 3.0), (json!("a"), 2.0)]));
        assert_eq!(dots.points.iter().map(|point| point.0).collect::<Vec<_>>(), [0.75, 0.25]);
        let html = point_chart("Value by p", "p", "value", &dots).into_string();
        assert!(html.contains("role=\"img\"") && html.contains("The lowest value, 2, is at a."), "{html}");
    }

    #[test]
    fn no_points_no_drawing() {
        let html = point_chart("t", "x", "y", &Dots::of(&slice(false, &[]))).into_string();
        assert_eq!(html, "<p class=\"quiet\">No trial is complete yet.</p>");
    }
}
