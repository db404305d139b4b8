//! How numbers are written for people.

/// Money, from millionths of a dollar, never rounded.
pub fn usd(micro_usd: u64) -> String {
    format!("${}", loopwright_serve::price::usd(micro_usd))
}

/// A whole number with thousands separated: `12,345`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with its noun: `1 row`, `12,345 rows`.
pub fn plural(n: u64, one: &str) -> String {
    match (n, one.strip_suffix('y')) {
        (1, _) => format!("1 {one}"),
        (_, Some(stem)) => format!("{} {stem}ies", count(n)),
        _ => format!("{} {one}s", count(n)),
    }
}

/// A share from 0 to 1 as `12.3%`.
pub fn share(value: f64) -> String {
    percent(value * 100.0)
}

/// A number of percent as `12.3%`.
pub fn percent(value: f64) -> String {
    if value.is_finite() { format!("{value:.1}%") } else { "unknown".into() }
}

/// Up to four significant digits, without an exponent where that is readable: `0.05`, `7.5`, `1234`.
pub fn decimal(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        _ if !value.is_finite() => "unknown".into(),
        0.0 => "0".into(),
        _ if !(1e-4..1e6).contains(&size) => format!("{value:.2e}"),
        _ if size >= 1000.0 => format!("{value:.0}"),
        _ if size >= 100.0 => format!("{value:.1}"),
        _ if size >= 10.0 => format!("{value:.2}"),
        _ if size >= 0.1 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    };
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    } else {
        text
    }
}

/// A value with its sign, three decimals: `+0.312`.
pub fn signed(value: f64) -> String {
    if !value.is_finite() {
        return "unknown".into();
    }
    // A true minus sign, as wide as the plus.
    format!("{}{:.3}", if value < 0.0 { "−" } else { "+" }, value.abs())
}

/// A p-value: `0.013`, or `below 0.001`.
pub fn p_value(p: f64) -> String {
    if p < 0.001 { "below 0.001".into() } else { format!("{p:.3}") }
}

/// A p-value in a sentence: `a probability of 0.013`, or `a probability below 0.001`.
pub fn probability(p: f64) -> String {
    format!("a probability {}{}", if p < 0.001 { "" } else { "of " }, p_value(p))
}

/// A size in bytes, KiB, MiB or GiB.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 3] = ["KiB", "MiB", "GiB"];
    if n < 1024 {
        return plural(n, "byte");
    }
    let mut size = n as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// Milliseconds as `41 ms`, `2.3 s` or `4 min 10 s`.
pub fn duration_ms(ms: f64) -> String {
    match ms {
        _ if !ms.is_finite() => "unknown".into(),
        _ if ms < 10.0 => format!("{ms:.1} ms"),
        _ if ms < 1000.0 => format!("{ms:.0} ms"),
        _ if ms < 60_000.0 => format!("{:.1} s", ms / 1000.0),
        _ => format!("{} min {} s", (ms / 60_000.0) as u64, (ms % 60_000.0 / 1000.0) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1234567, "1,234,567")] {
            assert_eq!(count(n), text);
        }
        assert_eq!(plural(1, "row"), "1 row");
        assert_eq!(plural(2, "reply"), "2 replies");
        assert_eq!(share(0.1234), "12.3%");
        for (value, text) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (20.0, "20"),
            (100.0, "100"),
            (12.345, "12.35"),
            (0.01234, "0.0123"),
            (0.00001, "1.00e-5"),
        ] {
            assert_eq!(decimal(value), text);
        }
        assert_eq!(signed(-0.25), "−0.250");
        assert_eq!(p_value(0.0001), "below 0.001");
        assert_eq!(p_value(0.05), "0.050");
        assert_eq!(probability(0.05), "a probability of 0.050");
        assert_eq!(probability(0.0), "a probability below 0.001");
        assert_eq!(bytes(512), "512 bytes");
        assert_eq!(bytes(3 * 1024 * 1024), "3.0 MiB");
        assert_eq!(duration_ms(41.4), "41 ms");
        assert_eq!(duration_ms(250_000.0), "4 min 10 s");
        assert_eq!(decimal(f64::NAN), "unknown");
    }
}
