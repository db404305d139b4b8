//! Line charts: series told apart by dashes and by a name at their end, axes with round numbers, the essence in words.

use super::figures::count;
use maud::{Markup, html};

/// One line of a chart.
pub struct Line<'a> {
    /// Its name in the legend.
    pub name: &'a str,
    /// Points from left to right.
    pub points: Vec<(f64, f64)>,
}

/// Width and height of the drawing, and the room around it, in user units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 52.0;

/// A chart of lines over a shared axis. `said` tells in words what the drawing shows; it stands below and is what a
/// screen reader hears. Points that are not finite are left out; without any points only the words remain.
pub fn line_chart(title: &str, x_label: &str, y_label: &str, lines: &[Line], said: &str) -> Markup {
    let finite = |(x, y): &&(f64, f64)| x.is_finite() && y.is_finite();
    let all: Vec<(f64, f64)> = lines.iter().flat_map(|line| line.points.iter()).filter(finite).copied().collect();
    let Some(scale) = Scale::over(&all) else {
        return html! { p.quiet { (said) } };
    };
    html! {
        figure.chart {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ (title) ". " (said) } {
                @for (label, y) in scale.y_ticks() {
                    line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(unit(y)) y2=(unit(y)) {}
                    text.tick x=(LEFT - 8.0) y=(unit(y + 4.0)) text-anchor="end" { (label) }
                }
                @for (value, x) in scale.x_ticks() {
                    text.tick x=(unit(x)) y=(HEIGHT - BOTTOM + 18.0) text-anchor="middle" { (count(value as u64)) }
                }
                text.axis x=(unit((LEFT + WIDTH - RIGHT) / 2.0)) y=(HEIGHT - 8.0) text-anchor="middle" { (x_label) }
                @let middle = unit(HEIGHT / 2.0);
                text.axis.upright x="14" y=(middle) text-anchor="middle" transform={ "rotate(-90 14 " (middle) ")" } { (y_label) }
                @for (i, line) in lines.iter().enumerate() {
                    polyline.line.{ "line-" (i) } points=(scale.path(line.points.iter().filter(finite))) {}
                    @if let Some((x, y)) = line.points.iter().rfind(finite) {
                        circle.{ "dot-" (i) } cx=(unit(scale.x(*x))) cy=(unit(scale.y(*y))) r="4" {}
                    }
                }
            }
            figcaption {
                ul.legend aria-hidden="true" {
                    @for (i, line) in lines.iter().enumerate() {
                        li {
                            svg.key viewBox="0 0 36 10" { line.line.{ "line-" (i) } x1="0" x2="36" y1="5" y2="5" {} }
                            " " (line.name)
                        }
                    }
                }
                (said)
            }
        }
    }
}

/// One decimal is finer than a screen shows.
fn unit(value: f64) -> String {
    format!("{value:.1}")
}

/// Values on both axes, to positions.
struct Scale {
    x: (f64, f64),
    y: (f64, f64),
}

impl Scale {
    fn over(points: &[(f64, f64)]) -> Option<Self> {
        let span = |values: &mut dyn Iterator<Item = f64>| {
            values.fold(None, |span: Option<(f64, f64)>, v| match span {
                None => Some((v, v)),
                Some((low, high)) => Some((low.min(v), high.max(v))),
            })
        };
        let (x_low, x_high) = span(&mut points.iter().map(|p| p.0))?;
        let (y_low, y_high) = span(&mut points.iter().map(|p| p.1))?;
        // Losses are compared with zero: the axis begins there unless a value is negative.
        let y_low = y_low.min(0.0);
        let step = round_step(y_high - y_low);
        Some(Self {
            x: (x_low, if x_high > x_low { x_high } else { x_low + 1.0 }),
            y: ((y_low / step).floor() * step, (y_high / step).ceil().max(1.0) * step),
        })
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + (value - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let height = HEIGHT - TOP - BOTTOM;
        TOP + height - (value - self.y.0) / (self.y.1 - self.y.0) * height
    }

    /// Labels with as many decimals as the step needs, and where they stand.
    fn y_ticks(&self) -> Vec<(String, f64)> {
        let n_decimals = (-round_step(self.y.1 - self.y.0).log10().floor()).clamp(0.0, 6.0) as usize;
        ticks(self.y.0, self.y.1).into_iter().map(|v| (format!("{v:.n_decimals$}"), self.y(v))).collect()
    }

    fn x_ticks(&self) -> Vec<(f64, f64)> {
        ticks(self.x.0, self.x.1).into_iter().filter(|v| v.fract() == 0.0).map(|v| (v, self.x(v))).collect()
    }

    fn path<'a>(&self, points: impl Iterator<Item = &'a (f64, f64)>) -> String {
        let points: Vec<String> = points.map(|(x, y)| format!("{:.1},{:.1}", self.x(*x), self.y(*y))).collect();
        points.join(" ")
    }
}

/// A step of 1, 2 or 5 times a power of ten that cuts the span into four to eight parts.
pub fn round_step(span: f64) -> f64 {
    if span <= 0.0 || !span.is_finite() {
        return 1.0;
    }
    let rough = span / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = match rough / power {
        r if r < 1.5 => 1.0,
        r if r < 3.5 => 2.0,
        r if r < 7.5 => 5.0,
        _ => 10.0,
    };
    step * power
}

/// Round values from `low` to `high`.
pub fn ticks(low: f64, high: f64) -> Vec<f64> {
    let step = round_step(high - low);
    let first = (low / step).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        for (span, step) in [(5.0, 1.0), (4.2, 1.0), (0.37, 0.05), (900.0, 200.0), (0.0, 1.0)] {
            assert!((round_step(span) - step).abs() < 1e-9, "{span}: {}", round_step(span));
        }
        assert_eq!(ticks(0.0, 4.0), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(ticks(0.0, 400.0).last(), Some(&400.0));
    }

    #[test]
    fn lines_lie_inside_the_drawing_and_are_told_in_words() {
        let lines = [
            Line { name: "train loss", points: vec![(0.0, 4.1), (10.0, f64::NAN), (20.0, 1.0)] },
            Line { name: "validation loss", points: vec![(20.0, 1.2)] },
        ];
        let html = line_chart("Loss", "step", "loss", &lines, "It fell.").into_string();
        assert!(html.contains("aria-label=\"Loss. It fell.\""), "{html}");
        assert!(html.contains("points=\"76.0,") && html.contains(" 700.0,"), "{html}");
        assert!(!html.contains("NaN") && html.contains("validation loss"));
        assert!(html.contains(">4</text>") && html.contains(">5</text>"), "{html}");
        assert!(html.contains(">step</text>") && html.contains(">loss</text>"));
    }

    #[test]
    fn no_points_no_drawing() {
        let html = line_chart("Loss", "step", "loss", &[], "No values yet.").into_string();
        assert_eq!(html, "<p class=\"quiet\">No values yet.</p>");
    }
}
