//! Lengths of time as people write them: `90s`, `30m`, `2h`, `1h30m`, `3d`, or `off`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The units, the longest first: letter and seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];
/// No longer time is taken: ten years, in seconds.
const LONGEST: u64 = 3650 * 86_400;
const MICROS: i64 = 1_000_000;

/// A length of time in whole seconds, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

/// Text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a length of time: `90s`, `30m`, `2h`, `1h30m` and `3d` are")]
pub struct SpanError {
    /// What was given.
    pub given: String,
}

impl Span {
    /// So many seconds, as far as that can be.
    pub const fn seconds(seconds: u64) -> Self {
        match seconds {
            0 => Self(1),
            LONGEST.. => Self(LONGEST),
            _ => Self(seconds),
        }
    }

    /// So many hours.
    pub const fn hours(hours: u64) -> Self {
        Self::seconds(hours.saturating_mul(3600))
    }

    /// The same, rounded up, of microseconds; nothing below zero.
    pub fn of_micros(micros: i64) -> Self {
        let seconds = micros.max(0).saturating_add(MICROS - 1) / MICROS;
        Self::seconds(u64::try_from(seconds).unwrap_or_default())
    }

    /// In microseconds.
    pub fn micros(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX / MICROS).saturating_mul(MICROS)
    }

    /// In seconds.
    pub fn as_seconds(self) -> u64 {
        self.0
    }

    /// For people: the two longest units of it.
    pub fn words(self) -> String {
        self.parts(2).join(" ")
    }

    fn parts(self, most: usize) -> Vec<String> {
        let mut rest = self.0;
        let mut parts = Vec::new();
        for (letter, length) in UNITS {
            let count = rest / length;
            rest %= length;
            if count > 0 {
                parts.push(format!("{count}{letter}"));
            }
        }
        parts.truncate(most);
        parts
    }
}

impl FromStr for Span {
    type Err = SpanError;
    fn from_str(text: &str) -> Result<Self, SpanError> {
        let refused = || SpanError { given: text.to_owned() };
        let mut units = UNITS.iter();
        let (mut seconds, mut rest) = (0_u64, text);
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (count, after) = rest.split_at(digits);
            let letter = after.chars().next().ok_or_else(refused)?;
            // Each unit once, the longest first.
            let (_, length) = units.find(|(unit, _)| *unit == letter).ok_or_else(refused)?;
            let count: u64 = count.parse().map_err(|_| refused())?;
            let part = count.checked_mul(*length).ok_or_else(refused)?;
            seconds = seconds.checked_add(part).ok_or_else(refused)?;
            rest = after.get(letter.len_utf8()..).unwrap_or_default();
        }
        if (1..=LONGEST).contains(&seconds) { Ok(Self(seconds)) } else { Err(refused()) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts(UNITS.len()).concat())
    }
}

crate::text::as_text!(Span);

/// A length of time, or `off`: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct After(pub Option<Span>);

impl After {
    /// Never.
    pub const OFF: Self = Self(None);
}

impl FromStr for After {
    type Err = SpanError;
    fn from_str(text: &str) -> Result<Self, SpanError> {
        match text {
            "off" | "never" => Ok(Self::OFF),
            _ => text.parse().map(Some).map(Self),
        }
    }
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(span) => span.fmt(f),
            None => f.write_str("off"),
        }
    }
}

crate::text::as_text!(After);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_and_written() {
        for (text, seconds, again) in [
            ("90s", 90, "1m30s"),
            ("30m", 1800, "30m"),
            ("2h", 7200, "2h"),
            ("1h30m", 5400, "1h30m"),
            ("3d", 259_200, "3d"),
            ("25h", 90_000, "1d1h"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.as_seconds(), span.to_string().as_str()), (seconds, again), "{text}");
        }
        assert_eq!("1d2h3m4s".parse::<Span>().unwrap().words(), "1d 2h");
        assert_eq!("off".parse::<After>().unwrap(), After::OFF);
        assert_eq!(Span::of_micros(-5), Span::seconds(1));
        assert_eq!(Span::of_micros(1_000_001), Span::seconds(2));
    }

    #[test]
    fn what_is_no_length_of_time_is_refused() {
        for text in [
            "",
            "0s",
            "5",
            "h",
            "2x",
            "1m1h",
            "1h1h",
            "-1h",
            "1.5h",
            "99999999999999999999s",
            "4000d",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
