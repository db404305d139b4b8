//! The loop as a drawing: eight stages on a track, four above from left to right, four below from right to left.

use maud::{Markup, html};

/// One stage with its current figure, in the words of the drawing and of the list below it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// What the stage does, one or two words.
    pub name: &'static str,
    /// The figure to see first.
    pub figure: String,
    /// What goes with it; the drawing has room for three short lines.
    pub details: Vec<String>,
    /// The page that tells more.
    pub path: String,
}

/// Stages on the track; the drawing has room for exactly these.
pub const STAGES: usize = 8;

const BOX_WIDTH: f64 = 236.0;
const BOX_HEIGHT: f64 = 136.0;
const GAP: f64 = 32.0;
const ROW_GAP: f64 = 74.0;
const WIDTH: f64 = 4.0 * BOX_WIDTH + 3.0 * GAP + 4.0;
const HEIGHT: f64 = 2.0 * BOX_HEIGHT + ROW_GAP + 4.0;
/// Characters that fit into a box, per kind of line.
const FIGURE_FITS: usize = 19;
const DETAIL_FITS: usize = 31;
/// Detail lines that fit into a box.
const DETAILS_FIT: usize = 3;

/// Left upper corner of the box of stage `i`.
fn corner(i: usize) -> (f64, f64) {
    let column = if i < 4 { i } else { 7 - i } as f64;
    (2.0 + column * (BOX_WIDTH + GAP), if i < 4 { 2.0 } else { 2.0 + BOX_HEIGHT + ROW_GAP })
}

/// The drawing for wide screens, each box a link that says all its lines.
pub fn diagram(stages: &[Stage; STAGES], middle: &str) -> Markup {
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="group" aria-label="The loop, stage by stage" {
            (arrows())
            text.detail x=(WIDTH / 2.0) y=(HEIGHT / 2.0 + 5.0) text-anchor="middle" { (fit(middle, 110)) }
            @for (i, stage) in stages.iter().enumerate() {
                @let (x, y) = corner(i);
                a href=(stage.path) aria-label={ (stage.name) ": " (stage.figure) ". " (stage.details.join(". ")) } {
                    rect.box x=(x) y=(y) width=(BOX_WIDTH) height=(BOX_HEIGHT) rx="10" {}
                    text.stage x=(x + 14.0) y=(y + 25.0) { (i + 1) ". " (stage.name) }
                    text.main x=(x + 14.0) y=(y + 54.0) { (fit(&stage.figure, FIGURE_FITS)) }
                    @for (line, detail) in stage.details.iter().take(DETAILS_FIT).enumerate() {
                        text.detail x=(x + 14.0) y=(y + 79.0 + 20.0 * line as f64) { (fit(detail, DETAIL_FITS)) }
                    }
                }
            }
        }
    }
}

/// The pieces of track between neighbours, each with its head.
fn arrows() -> Markup {
    let centre = |i: usize| {
        let (x, y) = corner(i);
        (x + BOX_WIDTH / 2.0, y + BOX_HEIGHT / 2.0)
    };
    html! {
        g aria-hidden="true" {
            @for i in 0..STAGES {
                @let (from, to) = (centre(i), centre((i + 1) % STAGES));
                // Along the row the arrow leaves a side, between the rows the upper or lower edge.
                @let (dx, dy) = ((to.0 - from.0).signum(), (to.1 - from.1).signum());
                @let along = from.1 == to.1;
                @let start = if along { (from.0 + dx * BOX_WIDTH / 2.0, from.1) } else { (from.0, from.1 + dy * BOX_HEIGHT / 2.0) };
                @let end = if along { (start.0 + dx * (GAP - 3.0), start.1) } else { (start.0, start.1 + dy * (ROW_GAP - 3.0)) };
                @let (ux, uy) = if along { (dx, 0.0) } else { (0.0, dy) };
                path.track d={ "M" (start.0) " " (start.1) " L" (end.0 - ux * 8.0) " " (end.1 - uy * 8.0) } {}
                polygon.head points={
                    (end.0) "," (end.1) " "
                    (end.0 - ux * 12.0 - uy * 7.0) "," (end.1 - uy * 12.0 - ux * 7.0) " "
                    (end.0 - ux * 12.0 + uy * 7.0) "," (end.1 - uy * 12.0 + ux * 7.0)
                } {}
            }
        }
    }
}

/// The text, or its start with `…` where it is too long.
fn fit(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        text.to_string()
    } else {
        text.chars().take(longest - 1).chain(['…']).collect()
    }
}

/// The same one below the other, for narrow screens; a screen shows one of the two.
pub fn stage_list(stages: &[Stage; STAGES]) -> Markup {
    html! {
        ol.cards.stages {
            @for (i, stage) in stages.iter().enumerate() {
                li.card {
                    h3 { (i + 1) ". " a href=(stage.path) { (stage.name) } }
                    p.figure { (stage.figure) }
                    @for detail in &stage.details { p.quiet { (detail) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages() -> [Stage; STAGES] {
        std::array::from_fn(|i| Stage {
            name: "Data",
            figure: format!("figure {i}"),
            details: vec!["x".repeat(40), "second".into(), "third".into(), "only in the list".into()],
            path: format!("/{i}"),
        })
    }

    #[test]
    fn every_stage_is_drawn_linked_and_listed() {
        let drawn = diagram(&stages(), "Last event").into_string();
        let listed = stage_list(&stages()).into_string();
        for i in 0..STAGES {
            assert!(drawn.contains(&format!("href=\"/{i}\"")) && drawn.contains(&format!(">figure {i}<")));
            assert!(listed.contains(&format!("href=\"/{i}\"")));
        }
        assert_eq!(drawn.matches("<polygon").count(), STAGES);
        assert!(drawn.contains(&format!(">{}…<", "x".repeat(30))));
        assert!(listed.contains("only in the list") && !drawn.contains(">only in the list<"));
    }

    #[test]
    fn the_track_is_a_circle() {
        // Stage 4 lies under stage 3, and the last under the first.
        assert_eq!(corner(3).0, corner(4).0);
        assert_eq!(corner(0).0, corner(7).0);
        assert!(corner(0).0 + BOX_WIDTH < WIDTH && corner(4).1 + BOX_HEIGHT < HEIGHT);
    }
}
