//! Own entries of a closed epoch that wait to be written again.

use rusqlite::params;
use taizhang_core::id::{Hash, Lane, RecordId, SliceId};
use taizhang_core::record::edit::Rewrites;

use super::rows::{self, signed};
use super::{Store, StoreError};

/// One entry to write again.
#[derive(Clone, Debug)]
pub struct Again {
    /// Its place in the order of saving.
    pub position: i64,
    /// Its slice.
    pub slice: SliceId,
    /// Its lane.
    pub lane: Lane,
    /// Canonical bytes.
    pub bytes: Vec<u8>,
}

impl Store {
    /// Moves the unsealed tail aside: its entries name an epoch that is closed.
    pub fn tail_to_again(&self) -> Result<(), StoreError> {
        self.ledger.execute_batch(
            "INSERT INTO again (is_ledger, place, lane, entry) \
             SELECT is_ledger, place, lane, entry FROM tail ORDER BY position; DELETE FROM tail;",
        )?;
        Ok(())
    }

    /// Everything that waits, oldest first.
    pub fn again(&self) -> Result<Vec<Again>, StoreError> {
        let sql = "SELECT is_ledger, place, lane, entry, position FROM again ORDER BY position";
        let mut query = self.ledger.prepare_cached(sql)?;
        let found = query.query_map([], |row| {
            let lane = Lane::from_code(row.get(2)?).unwrap_or(Lane::Ordinary);
            let (slice, bytes, position) = (rows::slice(row, 0)?, row.get(3)?, row.get(4)?);
            Ok(Again { position, slice, lane, bytes })
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// One waits no more.
    pub fn drop_again(&self, position: i64) -> Result<(), StoreError> {
        self.ledger.execute("DELETE FROM again WHERE position = ?1", [position])?;
        Ok(())
    }

    /// Notes that an entry of a segment was written again; `false` if it was before.
    pub fn note_written_again(&self, hash: Hash, entry: usize) -> Result<bool, StoreError> {
        let sql = "INSERT OR IGNORE INTO written_again VALUES (?1, ?2)";
        let row = params![hash.0, signed(entry as u64)];
        Ok(self.ledger.prepare_cached(sql)?.execute(row)? > 0)
    }

    /// What was written again of a record.
    pub fn rewrites(&self, record: RecordId) -> Result<Rewrites, StoreError> {
        let sql = "SELECT hash, body FROM rewritten WHERE record = ?1";
        let mut query = self.ledger.prepare_cached(sql)?;
        let mut found = query.query([record.0])?;
        let mut list = Rewrites::new();
        while let Some(row) = found.next()? {
            let body = serde_json::from_str(&row.get::<_, String>(1)?)
                .map_err(|error| StoreError::Damaged(format!("a rewritten change: {error}")))?;
            list.insert(rows::hash(row, 0)?, body);
        }
        Ok(list)
    }

    /// Keeps it.
    pub fn put_rewrites(&self, record: RecordId, list: &Rewrites) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO rewritten VALUES (?1, ?2, ?3)";
        let mut insert = self.ledger.prepare_cached(sql)?;
        for (hash, one) in list {
            let body = serde_json::to_string(one).unwrap_or_default();
            insert.execute(params![record.0, hash.0, body])?;
        }
        Ok(())
    }

    /// Whether an entry of a segment was written again.
    pub fn was_written_again(&self, hash: Hash, entry: usize) -> Result<bool, StoreError> {
        let sql = "SELECT count(*) FROM written_again WHERE hash = ?1 AND entry = ?2";
        let row = params![hash.0, signed(entry as u64)];
        let count: i64 = self.ledger.prepare_cached(sql)?.query_row(row, |row| row.get(0))?;
        Ok(count > 0)
    }
}
