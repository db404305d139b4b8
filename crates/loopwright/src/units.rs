//! Figures as people read them.

use loopwright_types::Timestamp;

/// A count with separators: `12,345`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size: `1.5 MiB`.
pub fn size(n_bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n_bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n_bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Money, from millionths of a dollar: `$0.50`, `$0.000123`, never rounded.
pub fn usd(micro_usd: u64) -> String {
    let part = format!("{:06}", micro_usd % 1_000_000);
    let kept = part.trim_end_matches('0').len().max(2);
    format!("${}.{}", count(micro_usd / 1_000_000), &part[..kept])
}

/// Parameters of a model: `1.23 M`.
pub fn parameters(n: u64) -> String {
    match n {
        0..10_000 => count(n),
        10_000..1_000_000 => format!("{:.0} k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} M", n as f64 / 1e6),
        _ => format!("{:.2} G", n as f64 / 1e9),
    }
}

/// A stretch of time: `0.4 s`, `12 s`, `2 min 13 s`, `1 h 5 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        _ if seconds < 9.95 => format!("{:.1} s", seconds.max(0.0)),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A moment, to the second, in UTC: `2026-11-23 15:08:32`.
pub fn moment(at: Timestamp) -> String {
    at.to_string().chars().take(19).map(|c| if c == 'T' { ' ' } else { c }).collect()
}

/// The start of a text, at most `n_max` characters.
pub fn excerpt(text: &str, n_max: usize) -> String {
    if width(text) <= n_max {
        return text.to_string();
    }
    let start: String = text.chars().take(n_max.saturating_sub(1)).collect();
    format!("{}…", start.trim_end())
}

/// A value that may be missing.
pub fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "–".to_string(), |value| value.to_string())
}

/// Characters of a text: what it takes on a line, wide scripts aside.
pub fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(size(512), "512 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!((usd(0), usd(1_500_000), usd(123)), ("$0.00".into(), "$1.50".into(), "$0.000123".into()));
        assert_eq!(parameters(1_230_000), "1.23 M");
        assert_eq!(parameters(64_400), "64 k");
        assert_eq!(moment(Timestamp(0)), "1970-01-01 00:00:00");
    }

    #[test]
    fn durations_change_their_unit() {
        for (seconds, expected) in
            [(0.04, "0.0 s"), (9.96, "10 s"), (59.6, "1 min 0 s"), (133.0, "2 min 13 s"), (3900.0, "1 h 5 min")]
        {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn an_excerpt_is_cut_between_characters() {
        assert_eq!(excerpt("äöü", 3), "äöü");
        assert_eq!(excerpt("äöüß", 3), "äö…");
    }
}
