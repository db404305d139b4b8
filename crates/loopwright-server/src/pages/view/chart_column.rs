//! Columns along an ordered axis, stacked by series. Each series has a hatching of its own, so that it is told apart
//! without colour, and the values stand in a table below.

use super::{
    chart_line::{round_step, ticks},
    figures::count,
    table::{Head, table},
};
use maud::{Markup, html};

/// Series with a hatching of their own; give no more.
pub const SERIES_MAX: usize = 6;

/// What a chart of columns shows.
pub struct ColumnChart<'a> {
    /// Names the chart's parts; different for each chart of a page.
    pub id: &'static str,
    /// What is shown, in a few words.
    pub title: &'a str,
    /// What the drawing says, in a sentence.
    pub said: &'a str,
    /// Under the axis from left to right.
    pub x_label: &'a str,
    /// Heads the first column of the table.
    pub x_name: &'static str,
    /// The columns, from left to right.
    pub columns: Vec<Column>,
    /// The names of the series, from below; one without a name has no legend.
    pub series: Vec<String>,
}

/// One column.
pub struct Column {
    /// Stands under the column where there is room.
    pub tick: String,
    /// Names the row of the table.
    pub name: String,
    /// One value per series.
    pub values: Vec<u64>,
}

impl Column {
    fn total(&self) -> u64 {
        self.values.iter().sum()
    }
}

/// Width and height of the drawing, and the room around it, in user units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 68.0;
/// A column is no wider, however few there are.
const COLUMN_WIDTH_MAX: f64 = 72.0;
/// Room that a character of a tick takes on a phone, where the drawing shrinks and its text does not.
const TICK_CHAR_WIDTH: f64 = 14.0;

/// The chart and its table; nothing where no column holds anything.
pub fn column_chart(chart: &ColumnChart) -> Markup {
    let most = chart.columns.iter().map(Column::total).max().unwrap_or(0);
    if most == 0 {
        return html! {};
    }
    let step = round_step(most as f64);
    let top = (most as f64 / step).ceil() * step;
    html! {
        figure.chart {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-labelledby={ (chart.id) "-title " (chart.id) "-said" } {
                title id={ (chart.id) "-title" } { (chart.title) }
                desc id={ (chart.id) "-said" } { (chart.said) }
                @if chart.series.len() > 1 { (hatchings(chart.id, chart.series.len())) }
                (frame(chart.x_label, top))
                @for (i, column) in chart.columns.iter().enumerate() { (stack(chart, i, column, top)) }
            }
            figcaption {
                @if chart.series.len() > 1 { (legend(chart)) }
                strong { (chart.title) "." } " " (chart.said)
                details { summary { "The values as a table" } (values(chart)) }
            }
        }
    }
}

/// Lines across with their values, and the name of the axis.
fn frame(x_label: &str, top: f64) -> Markup {
    html! {
        @for tick in ticks(0.0, top).into_iter().filter(|tick| tick.fract() == 0.0) {
            @let y = y(tick, top);
            line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(unit(y)) y2=(unit(y)) {}
            text.tick x=(LEFT - 8.0) y=(unit(y + 4.0)) text-anchor="end" { (count(tick as u64)) }
        }
        text.axis x=(unit((LEFT + WIDTH - RIGHT) / 2.0)) y=(HEIGHT - 8.0) text-anchor="middle" { (x_label) }
    }
}

/// A column from below, and its tick where it is the turn of one.
fn stack(chart: &ColumnChart, index: usize, column: &Column, top: f64) -> Markup {
    let step = (WIDTH - LEFT - RIGHT) / chart.columns.len() as f64;
    let width = (step * 0.8).min(COLUMN_WIDTH_MAX);
    let middle = LEFT + step * (index as f64 + 0.5);
    let mut below = 0;
    let parts = column.values.iter().enumerate().filter(|(_, n)| **n > 0).map(|(series, n)| {
        let (from, to) = (y(below as f64, top), y((below + n) as f64, top));
        below += n;
        html! {
            rect.column.{ "series-" (series) } x=(unit(middle - width / 2.0)) y=(unit(to)) width=(unit(width)) height=(unit(from - to))
                fill=[(chart.series.len() > 1 && series > 0).then(|| format!("url(#{}-{series})", chart.id))] {}
        }
    });
    let parts: Vec<Markup> = parts.collect();
    html! {
        @for part in &parts { (part) }
        @if index.is_multiple_of(columns_per_tick(&chart.columns, step)) {
            text.tick x=(unit(middle)) y=(HEIGHT - BOTTOM + 26.0) text-anchor="middle" { (column.tick) }
        }
    }
}

/// Every how many columns a tick has room.
fn columns_per_tick(columns: &[Column], step: f64) -> usize {
    let longest = columns.iter().map(|column| column.tick.chars().count()).max().unwrap_or(1);
    ((longest as f64 + 1.0) * TICK_CHAR_WIDTH / step).ceil().max(1.0) as usize
}

/// The patterns of all series but the first, which is filled.
fn hatchings(id: &str, n_series: usize) -> Markup {
    let strokes = |series: usize| match series {
        1 => "M0 8L8 0",
        2 => "M0 4H8",
        3 => "M4 0V8",
        4 => "M0 0L8 8M0 8L8 0",
        _ => "M3 4H5",
    };
    html! {
        defs {
            @for series in 1..n_series {
                pattern.hatching id={ (id) "-" (series) } width="8" height="8" patternUnits="userSpaceOnUse" {
                    rect.paper width="8" height="8" {}
                    path.{ "hatch-" (series) } d=(strokes(series)) {}
                }
            }
        }
    }
}

fn legend(chart: &ColumnChart) -> Markup {
    html! {
        ul.legend aria-hidden="true" {
            @for (series, name) in chart.series.iter().enumerate() {
                li {
                    svg.swatch viewBox="0 0 24 16" {
                        rect.column.{ "series-" (series) } x="1" y="1" width="22" height="14"
                            fill=[(series > 0).then(|| format!("url(#{}-{series})", chart.id))] {}
                    }
                    " " (name)
                }
            }
        }
    }
}

fn values(chart: &ColumnChart) -> Markup {
    let is_stacked = chart.series.len() > 1;
    let rows = chart.columns.iter().map(|column| {
        let mut cells = vec![html! { (column.name) }, html! { (count(column.total())) }];
        if is_stacked {
            let parts = chart.series.iter().zip(&column.values).filter(|(_, n)| **n > 0);
            let parts: Vec<String> = parts.map(|(name, n)| format!("{name} {}", count(*n))).collect();
            cells.push(html! { span.wide { (parts.join(", ")) } });
        }
        cells
    });
    let mut heads = vec![Head::Text(chart.x_name), Head::Number("Rows")];
    if is_stacked {
        heads.push(Head::Text("Of which"));
    }
    table(chart.title, &heads, rows.collect())
}

fn y(value: f64, top: f64) -> f64 {
    TOP + (1.0 - value / top) * (HEIGHT - TOP - BOTTOM)
}

/// One decimal is finer than a screen shows.
fn unit(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(columns: &[(&str, &[u64])], series: &[&str]) -> String {
        let column = |(name, values): &(&str, &[u64])| Column {
            tick: (*name).into(),
            name: (*name).into(),
            values: values.to_vec(),
        };
        column_chart(&ColumnChart {
            id: "months",
            title: "Rows over time",
            said: "Most in <May>.",
            x_label: "month",
            x_name: "Month",
            columns: columns.iter().map(column).collect(),
            series: series.iter().map(|name| name.to_string()).collect(),
        })
        .into_string()
    }

    #[test]
    fn columns_stand_on_each_other_and_are_told_in_a_table() {
        let html = chart(&[("April", &[10, 30]), ("May", &[60, 40]), ("June", &[0, 0])], &["a.csv", "b & c"]);
        for part in [
            "<title id=\"months-title\">Rows over time</title>",
            "<desc id=\"months-said\">Most in &lt;May&gt;.</desc>",
            "aria-labelledby=\"months-title months-said\"",
            "fill=\"url(#months-1)\"",
            "<pattern class=\"hatching\" id=\"months-1\"",
            "a.csv 10, b &amp; c 30",
            "<td class=\"num\">100</td>",
            ">100</text>",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        // The second part of May ends where the axis does: 100 of 100.
        assert!(html.contains("y=\"14.0\""), "{html}");
        assert_eq!(html.matches("class=\"column series-0\"").count(), 3, "two columns and the legend: {html}");
    }

    #[test]
    fn one_series_needs_no_legend_and_no_hatching() {
        let html = chart(&[("20", &[3])], &[""]);
        assert!(!html.contains("legend") && !html.contains("pattern") && !html.contains("url("), "{html}");
        assert!(html.contains("width=\"72.0\""), "{html}");
    }

    #[test]
    fn nothing_to_show_is_no_drawing() {
        assert_eq!(chart(&[("20", &[0])], &[""]), "");
        assert_eq!(chart(&[], &[]), "");
    }

    #[test]
    fn ticks_thin_out_where_columns_are_many() {
        let names: Vec<String> = (1..=36).map(|n| format!("2026-{n:02}")).collect();
        let columns: Vec<(&str, &[u64])> = names.iter().map(|name| (name.as_str(), &[1_u64][..])).collect();
        let html = chart(&columns, &[""]);
        let n_ticks = html.matches(">2026-").count() - html.matches("row\">2026-").count();
        assert!((4..8).contains(&n_ticks), "{n_ticks}");
    }
}
