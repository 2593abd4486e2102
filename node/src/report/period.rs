//! A report's time: a month, a quarter or a year, and when it is due.

use std::fmt;

use taizhang_core::catalogue::report::Every;
use taizhang_core::time::Date;

/// A month, quarter or year.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Period {
    every: Every,
    /// Its first day.
    first: Date,
}

fn months(every: Every) -> i64 {
    match every {
        Every::Month => 1,
        Every::Quarter => 3,
        Every::Year => 12,
    }
}

impl Period {
    /// The period that holds a day.
    pub fn of(every: Every, day: Date) -> Self {
        let month = match every {
            Every::Month => day.month,
            Every::Quarter => (day.month - 1) / 3 * 3 + 1,
            Every::Year => 1,
        };
        Self { every, first: Date { month, day: 1, ..day } }
    }

    /// Reads `2018-05`, `2018-Q2` or `2018`.
    pub fn parse(every: Every, text: &str) -> Option<Self> {
        let first = match every {
            Every::Month => Date::parse(&format!("{text}-01"))?,
            Every::Quarter => {
                let (year, quarter) = text.split_once("-Q")?;
                let quarter: u8 = quarter.parse().ok().filter(|one| (1..=4).contains(one))?;
                Date::new(year.parse().ok()?, quarter * 3 - 2, 1)?
            }
            Every::Year => Date::new(text.parse().ok()?, 1, 1)?,
        };
        Some(Self { every, first })
    }

    /// The one before it.
    pub fn before(self) -> Self {
        Self { first: self.first.plus_months(-months(self.every)), ..self }
    }

    /// The one after it.
    pub fn after(self) -> Self {
        Self { first: self.first.plus_months(months(self.every)), ..self }
    }

    /// Its first day.
    pub fn first(self) -> Date {
        self.first
    }

    /// Its last day.
    pub fn last(self) -> Date {
        self.after().first.plus_days(-1)
    }

    /// First and last month, as roll-ups name them; of a year also what counts in the year as a whole.
    pub fn span(self) -> (String, String) {
        let month = |day: Date| day.to_string()[..7].to_owned();
        let from = match self.every {
            Every::Year => self.to_string(),
            _ => month(self.first),
        };
        (from, month(self.last()))
    }

    /// The day until which its report is due, its end included.
    pub fn due(self, day_of_month: i64) -> Date {
        self.after().first.plus_days(day_of_month - 1)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Date { year, month, .. } = self.first;
        match self.every {
            Every::Month => write!(f, "{year:04}-{month:02}"),
            Every::Quarter => write!(f, "{year:04}-Q{}", (month - 1) / 3 + 1),
            Every::Year => write!(f, "{year:04}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(every: Every, text: &str) -> (String, String, String) {
        let period = Period::parse(every, text).unwrap();
        let (from, to) = period.span();
        assert_eq!(period.to_string(), text);
        assert_eq!(Period::of(every, period.last()), period);
        (from, to, period.before().to_string())
    }

    #[test]
    fn periods_know_their_months_and_neighbours() {
        let own = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(span(Every::Month, "2018-01"), own("2018-01", "2018-01", "2017-12"));
        assert_eq!(span(Every::Quarter, "2018-Q2"), own("2018-04", "2018-06", "2018-Q1"));
        assert_eq!(span(Every::Year, "2018"), own("2018", "2018-12", "2017"));
        for wrong in ["2018-13", "2018-Q5", "201", ""] {
            assert!(Period::parse(Every::Month, wrong).is_none(), "{wrong}");
            assert!(Period::parse(Every::Quarter, wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_report_is_due_in_the_month_after() {
        let may = Period::parse(Every::Month, "2018-05").unwrap();
        assert_eq!(may.due(5).to_string(), "2018-06-05");
        let quarter = Period::parse(Every::Quarter, "2018-Q4").unwrap();
        assert_eq!(quarter.due(5).to_string(), "2019-01-05");
    }
}
