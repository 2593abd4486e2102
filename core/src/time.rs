//! Instants and civil dates as values. Nothing here reads a clock (promise: same inputs, same outputs).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00Z by some replica's own clock. Annotation only: never ordered
/// across replicas (DESIGN §3).
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UtcMillis(pub i64);

impl UtcMillis {
    /// This instant and `millis` milliseconds.
    pub fn plus(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this instant, never below zero.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).max(0)
    }

    /// The civil date in China (UTC+8, no daylight saving since 1991).
    pub fn date(self) -> Date {
        Date::from_days(self.0.saturating_add(8 * 3_600_000).div_euclid(86_400_000))
    }

    /// `2018-05-20 14:03:22` in China.
    pub fn local_text(self) -> String {
        let shifted = self.0.saturating_add(8 * 3_600_000);
        let second = shifted.rem_euclid(86_400_000) / 1000;
        format!("{} {:02}:{:02}:{:02}", self.date(), second / 3600, second / 60 % 60, second % 60)
    }
}

/// A civil date, proleptic Gregorian. Text form `2018-05-20`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Date {
    /// 1..=9999.
    pub year: i32,
    /// 1..=12.
    pub month: u8,
    /// 1..=31.
    pub day: u8,
}

impl Date {
    /// The date, if there is such a day.
    pub fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 => 28 + u8::from(leap),
            _ => return None,
        };
        ((1..=9999).contains(&year) && (1..=days).contains(&day)).then_some(Self {
            year,
            month,
            day,
        })
    }

    /// Reads `YYYY-MM-DD` and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return None;
        }
        let number = |range: std::ops::Range<usize>| -> Option<i32> {
            let digits = text.get(range)?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
        };
        Self::new(number(0..4)?, number(5..7)?.try_into().ok()?, number(8..10)?.try_into().ok()?)
    }

    /// Days since 1970-01-01 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    pub fn to_days(self) -> i64 {
        let month = i64::from(self.month);
        let year = i64::from(self.year) - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// The date that many days after 1970-01-01, clamped into the years 1 to 9999.
    pub fn from_days(days: i64) -> Self {
        let shifted = days.clamp(-719_162, 2_932_896) + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let small = |value: i64| u8::try_from(value).unwrap_or(1);
        Self { year: i32::try_from(year).unwrap_or(9999), month: small(month), day: small(day) }
    }

    /// The date `days` days later.
    pub fn plus_days(self, days: i64) -> Self {
        Self::from_days(self.to_days().saturating_add(days))
    }

    /// The date `months` months later; a day that the month lacks becomes its last.
    pub fn plus_months(self, months: i64) -> Self {
        let all = (i64::from(self.year) * 12 + i64::from(self.month) - 1).saturating_add(months);
        let year = i32::try_from(all.div_euclid(12)).unwrap_or(9999).clamp(1, 9999);
        let month = u8::try_from(all.rem_euclid(12) + 1).unwrap_or(1);
        let days = (28..=self.day.max(28)).rev();
        let last = days.filter(|_| self.day > 28).find_map(|day| Self::new(year, month, day));
        last.unwrap_or(Self { year, month, day: self.day })
    }

    /// Whole years from this date, a birth, to `on`; below zero before it.
    pub fn years_until(self, on: Self) -> i32 {
        on.year - self.year - i32::from((on.month, on.day) < (self.month, self.day))
    }

    /// Midnight of this day in China.
    pub fn start(self) -> UtcMillis {
        UtcMillis(self.to_days() * 86_400_000 - 8 * 3_600_000)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        for days in (-719_000..2_900_000).step_by(379) {
            assert_eq!(Date::from_days(days).to_days(), days);
        }
        assert_eq!(Date::from_days(0).to_string(), "1970-01-01");
        assert_eq!(Date::parse("2018-04-09").map(Date::to_days), Some(17_630));
    }

    #[test]
    fn impossible_dates_are_refused() {
        for text in
            ["2018-02-29", "2018-13-01", "18-01-01", "2018-1-01", "2018/01/01", "+018-01-01"]
        {
            assert_eq!(Date::parse(text), None, "{text}");
        }
        assert!(Date::parse("2020-02-29").is_some());
    }

    #[test]
    fn the_day_changes_at_midnight_in_china() {
        assert_eq!(UtcMillis(16 * 3_600_000 - 1).date().to_string(), "1970-01-01");
        assert_eq!(UtcMillis(16 * 3_600_000).local_text(), "1970-01-02 00:00:00");
    }
}
