//! Sums of indicators as pages and reports ask for them.

use rusqlite::params;
use taizhang_core::id::PlaceId;

use super::StoreError;
use super::read::Reader;

/// Which records a list shows: those that count in a figure.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counted {
    /// Indicator ids as JSON, which is how SQLite reads them; empty if it does not matter.
    pub indicators: String,
    /// First and last period; all if empty.
    pub from: String,
    /// Last period.
    pub to: String,
    /// Places on the path from the root down to the one whose figure it is.
    pub depth: usize,
}

impl Counted {
    /// Records that count in any of the indicators, within some periods, at a place so far down.
    pub fn of(indicators: &[String], from: &str, to: &str, depth: usize) -> Self {
        let indicators = match indicators.is_empty() {
            true => String::new(),
            false => serde_json::to_string(indicators).unwrap_or_default(),
        };
        Self { indicators, from: from.to_owned(), to: to.to_owned(), depth }
    }
}

impl Reader<'_> {
    /// Sums of a place's subtree by indicator, over all periods.
    pub fn rollup(&self, place: PlaceId) -> Result<Vec<(String, i64)>, StoreError> {
        self.sums(place, "", "~")
    }

    /// Sums of a place's subtree in periods between two, both included: `2018-05`.
    pub fn rollup_between(
        &self,
        place: PlaceId,
        from: &str,
        to: &str,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        self.sums(place, from, to)
    }

    /// Sums of a place's subtree before a period; what has no period is not among them.
    pub fn rollup_before(
        &self,
        place: PlaceId,
        period: &str,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = "SELECT indicator, sum(value) FROM rollup WHERE place = ?1 AND period > '' \
                   AND period < ?2 GROUP BY 1 HAVING sum(value) <> 0";
        let mut query = self.db.prepare_cached(sql)?;
        let found =
            query.query_map(params![place.0, period], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    fn sums(&self, place: PlaceId, from: &str, to: &str) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = "SELECT indicator, sum(value) FROM rollup WHERE place = ?1 \
                   AND period BETWEEN ?2 AND ?3 GROUP BY 1 HAVING sum(value) <> 0";
        let mut query = self.db.prepare_cached(sql)?;
        let key = params![place.0, from, to];
        let found = query.query_map(key, |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// The sum of one indicator by period.
    pub fn trend(
        &self,
        place: PlaceId,
        indicator: &str,
        from: &str,
        to: &str,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = "SELECT period, value FROM rollup WHERE place = ?1 AND indicator = ?2 \
                   AND period BETWEEN ?3 AND ?4 AND value <> 0 ORDER BY period";
        let mut query = self.db.prepare_cached(sql)?;
        let key = params![place.0, indicator, from, to];
        let found = query.query_map(key, |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// All sums of a place by indicator and period.
    pub fn rollup_periods(&self, place: PlaceId) -> Result<Vec<(String, String, i64)>, StoreError> {
        let sql = "SELECT indicator, period, value FROM rollup WHERE place = ?1 AND value <> 0 \
                   ORDER BY 1, 2";
        let mut query = self.db.prepare_cached(sql)?;
        let found =
            query.query_map([place.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }
}
