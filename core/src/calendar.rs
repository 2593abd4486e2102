//! Working days: Monday to Friday, but for the days that a published calendar turns round.
//!
//! The State Council moves holidays and the weekends that make up for them each year; the city
//! publishes those days (S68, `work_calendar`). A year of which it lists no day is unknown: deadlines
//! that reach into it are provisional.

use std::collections::BTreeMap;

use crate::time::Date;

/// The register of days.
pub const LEDGER: &str = "work_calendar";

/// Days counted at most: a year and a half of working days.
const DAYS_MAX: i64 = 400;

/// The days that differ from the week, and the years they cover.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Calendar {
    days: BTreeMap<i64, bool>,
}

impl Calendar {
    /// A calendar of `(day, whether it is worked)`.
    pub fn new(days: impl IntoIterator<Item = (Date, bool)>) -> Self {
        Self { days: days.into_iter().map(|(day, worked)| (day.to_days(), worked)).collect() }
    }

    /// Whether the calendar of that year is there.
    pub fn knows(&self, year: i32) -> bool {
        let first = |year| Date::new(year, 1, 1).map_or(i64::MAX, Date::to_days);
        self.days.range(first(year)..first(year.saturating_add(1))).next().is_some()
    }

    /// Whether people work on that day.
    pub fn is_workday(&self, day: Date) -> bool {
        let days = day.to_days();
        // 1970-01-01 was a Thursday.
        self.days.get(&days).copied().unwrap_or_else(|| (days + 3).rem_euclid(7) < 5)
    }

    /// The day that many working days after `from`, which itself does not count.
    pub fn after(&self, from: Date, workdays: i64) -> Date {
        let (mut day, mut left) = (from, workdays.clamp(0, DAYS_MAX));
        while left > 0 {
            day = day.plus_days(1);
            left -= i64::from(self.is_workday(day));
        }
        day
    }

    /// How many working days come after `from`, up to `to` and with it; negative if `to` is earlier.
    pub fn between(&self, from: Date, to: Date) -> i64 {
        if to < from {
            return -self.between(to, from);
        }
        let (first, end) = (from.to_days() + 1, to.to_days() + 1);
        // Mondays to Fridays before a day, counted from a Monday.
        let before = |day: i64| (day + 3).div_euclid(7) * 5 + (day + 3).rem_euclid(7).min(5);
        let turned = self
            .days
            .range(first..end.max(first))
            .map(|(day, worked)| i64::from(*worked) - i64::from((day + 3).rem_euclid(7) < 5));
        before(end) - before(first) + turned.sum::<i64>()
    }

    /// The first and last day from which [`Calendar::after`] leads into `first..=last`.
    pub fn before(&self, (first, last): (Date, Date), workdays: i64) -> (Date, Date) {
        let earliest = |reached: Date| {
            let mut day = reached;
            while day.year > 1 && self.after(day, workdays) >= reached {
                day = day.plus_days(-1);
            }
            day.plus_days(1)
        };
        (earliest(first), earliest(last.plus_days(1)).plus_days(-1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        Date::parse(text).unwrap()
    }

    /// DOMAIN.md §4.6.
    pub(crate) fn of_2018() -> Calendar {
        let off = [
            ("2018-01-01", 1),
            ("2018-02-15", 7),
            ("2018-04-05", 3),
            ("2018-04-29", 3),
            ("2018-06-18", 1),
            ("2018-09-24", 1),
            ("2018-10-01", 7),
        ];
        let worked =
            ["2018-02-11", "2018-02-24", "2018-04-08", "2018-04-28", "2018-09-29", "2018-09-30"];
        let off = off
            .iter()
            .flat_map(|(from, days)| (0..*days).map(|ahead| (day(from).plus_days(ahead), false)));
        Calendar::new(off.chain(worked.map(|one| (day(one), true))))
    }

    #[test]
    fn fifteen_working_days_over_the_holidays_of_2018() {
        let calendar = of_2018();
        for (from, to) in [
            ("2018-04-20", "2018-05-14"),
            ("2018-06-11", "2018-07-03"),
            ("2018-09-20", "2018-10-17"),
            ("2018-09-28", "2018-10-24"),
            ("2018-02-09", "2018-03-07"),
        ] {
            assert_eq!(calendar.after(day(from), 15), day(to), "{from}");
            assert_eq!(calendar.between(day(from), day(to)), 15, "{from}");
            assert_eq!(calendar.between(day(to), day(from)), -15, "{from}");
            let (first, last) = calendar.before((day(to), day(to)), 15);
            assert!(first <= day(from) && day(from) <= last, "{from}: {first} to {last}");
            assert!(calendar.after(first.plus_days(-1), 15) < day(to));
            assert!(calendar.after(last.plus_days(1), 15) > day(to));
        }
        assert!(calendar.knows(2018) && !calendar.knows(2019));
    }

    #[test]
    fn without_a_calendar_the_week_counts() {
        let calendar = Calendar::default();
        assert_eq!(calendar.after(day("2018-06-15"), 1), day("2018-06-18"));
        assert_eq!(calendar.after(day("2018-06-15"), 0), day("2018-06-15"));
        assert_eq!(calendar.between(day("2018-06-15"), day("2018-06-17")), 0);
        assert_eq!(calendar.between(day("2018-06-17"), day("2018-06-29")), 10);
    }
}
