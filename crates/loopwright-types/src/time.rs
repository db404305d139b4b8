//! Points in time, as values. The clock itself is read in the store.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Milliseconds since the epoch.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// This time plus so many milliseconds (saturating).
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time (negative if it is later).
    pub fn ms_since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

impl Timestamp {
    /// The beginning, in UTC, of a day written as `2026-01-31`; none if it is no day.
    ///
    /// ```
    /// use loopwright_types::Timestamp;
    /// let day = Timestamp::of_day("2026-01-31").unwrap();
    /// assert_eq!(day.to_string(), "2026-01-31T00:00:00.000Z");
    /// assert_eq!(day.plus_ms(5).day(), day);
    /// assert_eq!(day.strftime("%d %b %Y").unwrap(), "31 Jan 2026");
    /// ```
    pub fn of_day(day: &str) -> Option<Self> {
        let day: jiff::civil::Date = day.parse().ok()?;
        let since = jiff::tz::TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()?;
        Some(Self(since.as_millisecond()))
    }

    /// The beginning of its day in UTC.
    pub fn day(self) -> Self {
        Self(self.0.div_euclid(DAY_MS).saturating_mul(DAY_MS))
    }

    /// The time in UTC as C's and Python's `strftime` writes it. The error says what of the pattern is unknown.
    pub fn strftime(self, pattern: &str) -> Result<String, String> {
        let time = jiff::Timestamp::from_millisecond(self.0).map_err(|error| error.to_string())?;
        jiff::fmt::strtime::format(pattern, jiff::tz::TimeZone::UTC.to_datetime(time))
            .map_err(|error| error.to_string())
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, to the millisecond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_as_rfc3339() {
        assert!(Timestamp::of_day("2026-02-30").is_none() && Timestamp::of_day("today").is_none());
        assert_eq!(Timestamp(-1).day(), Timestamp(-DAY_MS));
        assert!(Timestamp(0).strftime("%!").is_err());
        // As `datetime(1970, 1, 1).strftime` writes them.
        assert_eq!(
            Timestamp(0).strftime("%A, %-d %B %Y %H:%M %j %y").unwrap(),
            "Thursday, 1 January 1970 00:00 001 70"
        );
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(1_700_000_000_123).to_string(), "2023-11-14T22:13:20.123Z");
    }
}
