//! Records with equal values of an identity field, wherever they stand.

use rusqlite::params;
use taizhang_core::id::{PlaceId, RecordId};

use super::rows;
use super::{Store, StoreError};

/// Records looked at for one value: more is a defect of the data, not a person.
const TWINS_MAX: i64 = 200;

impl Store {
    /// Places and records whose field has that value.
    pub fn with_value(
        &self,
        ledger: &str,
        field: &str,
        value: &str,
    ) -> Result<Vec<(PlaceId, RecordId)>, StoreError> {
        let mut query = self.derived.prepare_cached(
            "SELECT place, record FROM link WHERE ledger = ?1 AND field = ?2 AND value = ?3 \
             ORDER BY place, record LIMIT ?4",
        )?;
        let found = query.query_map(params![ledger, field, value, TWINS_MAX], |row| {
            Ok((rows::place(row, 0)?, rows::record(row, 1)?))
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Values of a field that more than one record has.
    pub fn repeated_values(&self, ledger: &str, field: &str) -> Result<Vec<String>, StoreError> {
        let mut query = self.derived.prepare_cached(
            "SELECT value FROM link WHERE ledger = ?1 AND field = ?2 AND value <> '' \
             GROUP BY value HAVING count(*) > 1 ORDER BY value LIMIT 1000",
        )?;
        let found = query.query_map(params![ledger, field], |row| row.get(0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }
}
