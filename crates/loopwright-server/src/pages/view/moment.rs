//! How points in time are written for people: always the date in UTC, with the distance from now beside it.

use loopwright_types::Timestamp;
use maud::{Markup, html};

/// `2026-03-01 12:30:05 UTC`.
pub fn date(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(time)) if text.ends_with('Z') => format!("{day} {time} UTC"),
        _ => text,
    }
}

/// `2026-03-01`, in UTC.
pub fn day(at: Timestamp) -> String {
    date(at).split(' ').next().unwrap_or_default().to_string()
}

/// `3 minutes ago`, `in 2 hours`, `just now`.
pub fn distance(at: Timestamp, now: Timestamp) -> String {
    let ms = now.ms_since(at);
    let seconds = ms.unsigned_abs() / 1000;
    let (n, unit) = match seconds {
        0..5 => return "just now".into(),
        5..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let words = super::figures::plural(n, unit);
    if ms >= 0 { format!("{words} ago") } else { format!("in {words}") }
}

/// The date and the distance, as a `time` element.
pub fn when(at: Timestamp, now: Timestamp) -> Markup {
    html! {
        time datetime=(at) { (date(at)) }
        " " span.quiet { "(" (distance(at, now)) ")" }
    }
}

/// Only the distance; the date is in the element's title. For narrow columns.
pub fn recent(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(at) title=(date(at)) { (distance(at, now)) } }
}

/// Midnight (UTC) of the day that holds this time.
pub fn day_start(now: Timestamp) -> Timestamp {
    const DAY_MS: i64 = 86_400_000;
    Timestamp(now.millis().div_euclid(DAY_MS) * DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        let at = Timestamp(1_700_000_000_123);
        assert_eq!(date(at), "2023-11-14 22:13:20 UTC");
        assert_eq!(day(at), "2023-11-14");
        for (ms, text) in
            [(0, "just now"), (61_000, "1 minute ago"), (-7_300_000, "in 2 hours"), (90_000_000, "1 day ago")]
        {
            assert_eq!(distance(at, at.plus_ms(ms)), text);
        }
        assert_eq!(date(day_start(at)), "2023-11-14 00:00:00 UTC");
        assert!(when(at, at).into_string().contains("datetime=\"2023-11-14T22:13:20.123Z\""));
    }
}
