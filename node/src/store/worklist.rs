//! What waits for somebody: records by state and place, and by their due dates.

use rusqlite::params;
use taizhang_core::calendar::{self, Calendar};
use taizhang_core::id::PlaceId;
use taizhang_core::time::Date;

use super::read::Reader;
use super::{StoreError, rows};

/// Records of one ledger, place and state that are not void.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StateCount {
    /// Ledger id.
    pub ledger: String,
    /// Place of the slice.
    pub place: PlaceId,
    /// State id.
    pub state: String,
    /// How many.
    pub count: u64,
}

/// Days for a list of what is due; any if empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Due {
    /// First day, ISO.
    pub from: String,
    /// Last day, ISO.
    pub to: String,
}

impl Reader<'_> {
    /// Records by ledger, place and state.
    pub fn state_counts(&self) -> Result<Vec<StateCount>, StoreError> {
        let sql = "SELECT ledger, place, state, count FROM state_tally WHERE state <> '' \
                   AND count > 0 ORDER BY 1, 2, 3";
        let mut query = self.db.prepare_cached(sql)?;
        let found = query.query_map([], |row| {
            Ok(StateCount {
                ledger: row.get(0)?,
                place: rows::place(row, 1)?,
                state: row.get(2)?,
                count: rows::count(row, 3)?,
            })
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// The days of the calendar that differ from the week.
    pub fn calendar(&self) -> Result<Calendar, StoreError> {
        let sql = "SELECT json_extract(row, '$.fields.date'), \
                   json_extract(row, '$.fields.is_workday') FROM record \
                   WHERE ledger = ?1 AND is_void = 0 AND row <> ''";
        let mut query = self.db.prepare_cached(sql)?;
        let found = query.query_map([calendar::LEDGER], |row| {
            Ok((row.get::<_, Option<String>>(0)?, row.get::<_, Option<bool>>(1)?))
        })?;
        let days = found.collect::<Result<Vec<_>, _>>()?.into_iter();
        Ok(Calendar::new(days.filter_map(|(day, worked)| Some((Date::parse(&day?)?, worked?)))))
    }

    /// Records whose certified content has changed, by ledger.
    pub fn recheck_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let sql =
            "SELECT ledger, count(*) FROM record WHERE recheck > 0 AND is_void = 0 GROUP BY 1";
        let mut query = self.db.prepare_cached(sql)?;
        let found = query.query_map([], |row| Ok((row.get(0)?, rows::count(row, 1)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// How many records of a ledger are due within some days.
    pub fn due_count(&self, ledger: &str, due: &Due) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM record WHERE ledger = ?1 AND due_on <> '' \
                   AND due_on BETWEEN ?2 AND ?3";
        let key = params![ledger, due.from, due.to];
        Ok(self.db.prepare_cached(sql)?.query_row(key, |row| rows::count(row, 0))?)
    }
}
