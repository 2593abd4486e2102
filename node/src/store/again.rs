//! Own entries of a closed epoch that wait to be written again.

use rusqlite::params;
use taizhang_core::id::{Actor, Hash, Lane, RecordId, SliceId};
use taizhang_core::record::change::OpId;
use taizhang_core::record::edit::Rewritten;

use super::rows::{self, signed};
use super::{Store, StoreError};

/// One entry to write again.
#[derive(Clone, Debug)]
pub struct Again {
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
        let sql = "SELECT is_ledger, place, lane, entry FROM again ORDER BY position";
        let mut query = self.ledger.prepare_cached(sql)?;
        let found = query.query_map([], |row| {
            let lane = Lane::from_code(row.get(2)?).unwrap_or(Lane::Ordinary);
            Ok(Again { slice: rows::slice(row, 0)?, lane, bytes: row.get(3)? })
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Nothing waits any more.
    pub fn clear_again(&self) -> Result<(), StoreError> {
        self.ledger.execute_batch("DELETE FROM again")?;
        Ok(())
    }

    /// Notes that an entry of a segment was written again; `false` if it was before.
    pub fn note_written_again(&self, hash: Hash, entry: usize) -> Result<bool, StoreError> {
        let sql = "INSERT OR IGNORE INTO written_again VALUES (?1, ?2)";
        let row = params![hash.0, signed(entry as u64)];
        Ok(self.ledger.prepare_cached(sql)?.execute(row)? > 0)
    }

    /// What was written again of a record, by operation and change.
    pub fn rewritten(&self, record: RecordId) -> Result<Rewritten, StoreError> {
        let sql = "SELECT op, old, new FROM rewritten WHERE record = ?1";
        let mut query = self.ledger.prepare_cached(sql)?;
        let mut found = query.query([record.0])?;
        let mut list = Rewritten::default();
        while let Some(row) = found.next()? {
            if row.get::<_, bool>(0)? {
                list.ops.insert(op_of(&rows::array(row, 1)?), op_of(&rows::array(row, 2)?));
            } else {
                list.changes.insert(rows::hash(row, 1)?, rows::hash(row, 2)?);
            }
        }
        Ok(list)
    }

    /// Keeps it.
    pub fn put_rewritten(&self, record: RecordId, list: &Rewritten) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO rewritten VALUES (?1, ?2, ?3, ?4)";
        let mut insert = self.ledger.prepare_cached(sql)?;
        for (old, new) in &list.ops {
            insert.execute(params![record.0, true, op_bytes(*old), op_bytes(*new)])?;
        }
        for (old, new) in &list.changes {
            insert.execute(params![record.0, false, old.0, new.0])?;
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

fn op_bytes(op: OpId) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&op.counter.to_be_bytes());
    bytes[8..].copy_from_slice(&op.actor.0);
    bytes
}

fn op_of(bytes: &[u8; 24]) -> OpId {
    let (mut counter, mut actor) = ([0; 8], Actor::default());
    counter.copy_from_slice(&bytes[..8]);
    actor.0.copy_from_slice(&bytes[8..]);
    OpId { counter: u64::from_be_bytes(counter), actor }
}
