//! What only the words before it make recognisable: passport and licence numbers, dates of birth, places on earth.

use super::{char_at, char_before, cue::Cue, cue::Hit};
use crate::{Finding, PiiKind};
use std::ops::Range;

/// How far behind its cue the value may begin, in bytes.
const GAP_BYTES: usize = 32;

pub(super) fn find(text: &str, hits: &[Hit], found: &mut Vec<Finding>) {
    for hit in hits {
        let (kind, span) = match hit.cue {
            Cue::Passport => (PiiKind::Document, document(text, hit.end, 6..=9, 4)),
            Cue::Licence => (PiiKind::Document, document(text, hit.end, 5..=20, 4)),
            Cue::Birth => (PiiKind::BirthDate, date(text, hit.end)),
            Cue::Place => (PiiKind::Coordinates, pair(text, hit.end)),
            _ => continue,
        };
        found.extend(span.map(|span| Finding { kind, start: span.start, end: span.end }));
    }
}

/// Where the first digit after a cue stands, if near and in the same sentence.
fn first_digit(text: &str, end: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let window = &bytes[end..(end + GAP_BYTES).min(bytes.len())];
    let at = window.iter().position(u8::is_ascii_digit)?;
    let is_near = !window[..at].iter().any(|byte| matches!(byte, b'\n' | b'<' | b'>' | b';'));
    is_near.then_some(end + at)
}

/// A word of letters and digits, so long, with at least so many digits.
fn document(text: &str, end: usize, chars: std::ops::RangeInclusive<usize>, digits_min: usize) -> Option<Range<usize>> {
    let digit = first_digit(text, end)?;
    let bytes = text.as_bytes();
    let fits = |byte: &&u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    let start = digit - bytes[end..digit].iter().rev().take_while(fits).count();
    let stop = digit + bytes[digit..].iter().take(*chars.end() + 1).take_while(fits).count();
    let n_digits = bytes[start..stop].iter().filter(|byte| byte.is_ascii_digit()).count();
    (chars.contains(&(stop - start)) && n_digits >= digits_min && is_alone(text, start, stop)).then_some(start..stop)
}

fn is_alone(text: &str, start: usize, end: usize) -> bool {
    !char_before(text, start).is_some_and(char::is_alphanumeric)
        && !char_at(text, end).is_some_and(char::is_alphanumeric)
}

/// A whole date: in figures with the year first or last, or with the month as a word.
fn date(text: &str, end: usize) -> Option<Range<usize>> {
    let digit = first_digit(text, end)?;
    let found = figures(text, digit).map(|stop| digit..stop).or_else(|| with_month(text, end, digit))?;
    is_alone(text, found.start, found.end).then_some(found)
}

fn figures(text: &str, start: usize) -> Option<usize> {
    let (first, at) = number(text, start)?;
    let joint = char_at(text, at).filter(|c| matches!(c, '.' | '/' | '-'))?;
    let after = skip_spaces(text, at + 1);
    let (second, at) = number(text, after)?;
    let last = char_at(text, at).filter(|c| *c == joint).map(|_| skip_spaces(text, at + 1))?;
    let (third, stop) = number(text, last)?;
    let day_or_month = |value: u32| (1..=31).contains(&value);
    let is_year = |value: u32, digits: usize| (digits == 4 && (1870..=2100).contains(&value)) || digits == 2;
    let year_last = day_or_month(first) && day_or_month(second) && is_year(third, stop - last);
    let year_first = (1870..=2100).contains(&first) && (1..=12).contains(&second) && day_or_month(third);
    (year_last || year_first).then_some(stop)
}

/// The first three letters of the months in English, German, French, Spanish, Italian and Dutch.
const MONTHS: [&str; 30] = [
    "abr", "ago", "aoû", "apr", "aug", "avr", "dec", "dez", "dic", "déc", "ene", "feb", "fév", "gen", "giu", "jan",
    "jul", "jun", "lug", "mag", "mai", "mar", "may", "mei", "mär", "nov", "oct", "okt", "ott", "sep",
];

/// `12 March 1985`, `12. März 1985`, `March 12, 1985`.
fn with_month(text: &str, end: usize, digit: usize) -> Option<Range<usize>> {
    let (_, at) = number(text, digit).filter(|(day, _)| (1..=31).contains(day))?;
    let rest = text[at..].trim_start_matches(|c: char| c.is_ascii_lowercase() && at > digit);
    let after_day = skip_signs(text, text.len() - rest.len());
    if let Some(month_end) = month_end(text, after_day) {
        let (_, stop) = year(text, skip_signs(text, month_end))?;
        return Some(digit..stop);
    }
    let before = text[end..digit].trim_end_matches([' ', '.']);
    let month = before
        .rfind(|c: char| !c.is_alphabetic())
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    month_end(text, end + month)?;
    let (_, stop) = year(text, after_day)?;
    Some(end + month..stop)
}

fn month_end(text: &str, at: usize) -> Option<usize> {
    let length: usize = text[at..].chars().take(12).take_while(|c| c.is_alphabetic()).map(char::len_utf8).sum();
    let first: String = text[at..at + length].chars().take(3).flat_map(char::to_lowercase).collect();
    MONTHS.contains(&first.as_str()).then_some(at + length)
}

fn year(text: &str, at: usize) -> Option<(u32, usize)> {
    number(text, at).filter(|(year, _)| (1870..=2100).contains(year))
}

/// At most four digits, and where they end.
fn number(text: &str, at: usize) -> Option<(u32, usize)> {
    let n = text.as_bytes()[at..].iter().take(5).take_while(|byte| byte.is_ascii_digit()).count();
    text[at..at + n].parse().ok().filter(|_| n <= 4).map(|value| (value, at + n))
}

fn skip_spaces(text: &str, at: usize) -> usize {
    at + text[at..].bytes().take(2).take_while(|byte| *byte == b' ').count()
}

fn skip_signs(text: &str, at: usize) -> usize {
    let mut rest = text[at..].trim_start_matches([' ', '.', ',']);
    for word in ["de ", "of "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let skipped = text.len() - rest.len();
    if skipped - at > 8 { at } else { skipped }
}

/// Latitude and longitude in degrees with decimals, or in degrees, minutes and seconds.
fn pair(text: &str, end: usize) -> Option<Range<usize>> {
    let digit = first_digit(text, end)?;
    let start = digit - usize::from(matches!(text.as_bytes()[digit - 1], b'-' | b'+'));
    let latitude_end = degrees(text, start, 90.0)?;
    let bytes = text.as_bytes();
    let window = &bytes[latitude_end..(latitude_end + GAP_BYTES).min(bytes.len())];
    let next = window.iter().position(u8::is_ascii_digit)? + latitude_end;
    if text.as_bytes()[latitude_end..next].iter().any(|byte| matches!(byte, b'\n' | b'<' | b'>')) {
        return None;
    }
    let stop = degrees(text, next, 180.0)?;
    Some(start..stop)
}

/// Where an angle of at most so many degrees ends: `52.5200`, `52°31'12.0"N`.
fn degrees(text: &str, start: usize, most: f64) -> Option<usize> {
    let (whole, fraction_digits, end) = decimal(text, start)?;
    let rest = &text[end..];
    let Some(minutes) = rest.strip_prefix('°') else {
        return (fraction_digits >= 3 && whole.abs() <= most).then_some(end);
    };
    let length = minutes.bytes().take(14).take_while(|b| b.is_ascii_digit() || b" .'\"".contains(b)).count();
    let hemisphere = char_at(minutes, length).filter(|c| matches!(c, 'N' | 'S' | 'E' | 'W' | 'O'));
    let stop = end + '°'.len_utf8() + length + usize::from(hemisphere.is_some());
    (whole.abs() <= most && (hemisphere.is_some() || fraction_digits >= 3)).then_some(stop)
}

/// A decimal number, how many digits its fraction has, and where it ends.
fn decimal(text: &str, start: usize) -> Option<(f64, usize, usize)> {
    let bytes = &text.as_bytes()[start..];
    let sign = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let n_whole = bytes[sign..].iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    let mut length = sign + n_whole;
    let mut fraction = 0;
    if bytes.get(length) == Some(&b'.') {
        fraction = bytes[length + 1..].iter().take(16).take_while(|byte| byte.is_ascii_digit()).count();
        length += if fraction > 0 { fraction + 1 } else { 0 };
    }
    let value = text[start..start + length].parse().ok()?;
    (1..=3).contains(&n_whole).then_some((value, fraction, start + length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{check, marks::Marks};

    fn search(text: &str, found: &mut Vec<Finding>) {
        find(text, &Marks::of(text).hits, found);
    }

    #[test]
    fn documents_follow_their_names() {
        check(
            search,
            &[
                ("passport no. C01X00T47, ok", &["C01X00T47"]),
                ("Reisepass: C01X00T47; my passport number is 533380006", &["C01X00T47", "533380006"]),
                ("driver's license number D1234567", &["D1234567"]),
                ("passport control at gate 12, passport 2024", &[]),
                ("C01X00T47 533380006, passport\n533380006", &[]),
            ],
        );
    }

    #[test]
    fn dates_of_birth_follow_their_names() {
        check(
            search,
            &[
                ("date of birth: 12/03/1985.", &["12/03/1985"]),
                ("DOB 1985-03-12, born on 12 March 1985", &["1985-03-12", "12 March 1985"]),
                ("geboren am 12. März 1985; born March 12, 1985", &["12. März 1985", "March 12, 1985"]),
                (
                    "née le 3 février 1990, fecha de nacimiento: 3 de mayo de 1990",
                    &["3 février 1990", "3 de mayo de 1990"],
                ),
                ("born in 1985, born at 10:30, born 12.5 years ago, born 99/99/1985", &[]),
                ("on 12/03/1985", &[]),
            ],
        );
    }

    #[test]
    fn places_need_their_word() {
        check(
            search,
            &[
                ("lat 52.5200, lon 13.4050", &["52.5200, lon 13.4050"]),
                ("GPS: 52.52000,13.40500.", &["52.52000,13.40500"]),
                ("location 52°31'12.0\"N 13°24'18\"E ok", &["52°31'12.0\"N 13°24'18\"E"]),
                ("coordinates: -33.8688, 151.2093", &["-33.8688, 151.2093"]),
                ("losses 0.1234, 0.5678; gps 95.1234, 13.4050; position 3.14 of 4.20", &[]),
            ],
        );
    }
}
