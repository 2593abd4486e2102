//! Records with equal values of an identity field, wherever they stand.

use rusqlite::params;

use super::{Store, StoreError};

impl Store {
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
