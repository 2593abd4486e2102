//! Entries that wait for something: for directives, for a change before them, for a catalogue.

use rusqlite::params;
use taizhang_core::id::SliceId;
use taizhang_core::verdict::{SeesMap, Waiting};

use super::derived::{sees_from_bytes, sees_to_bytes};
use super::rows::{self, is_ledger, signed};
use super::{Store, StoreError};

/// A parked entry.
#[derive(Clone, Debug)]
pub struct ParkedEntry {
    /// Its segment.
    pub arrival: u64,
    /// Index in the segment.
    pub entry: usize,
    /// Its slice.
    pub slice: SliceId,
    /// Whether it waits for directives that its author had seen.
    pub for_directives: bool,
    /// Cumulative `sees`.
    pub sees: SeesMap,
}

fn word(waiting: &Waiting) -> String {
    serde_json::to_string(waiting).unwrap_or_default()
}

impl Store {
    /// Parks an entry.
    pub fn park(
        &self,
        (arrival, entry): (u64, usize),
        slice: SliceId,
        sees: &SeesMap,
        waiting: &Waiting,
    ) -> Result<(), StoreError> {
        self.derived
            .prepare_cached("INSERT OR REPLACE INTO parked VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                signed(arrival),
                signed(entry as u64),
                is_ledger(slice),
                slice.place.0,
                word(waiting),
                sees_to_bytes(sees)
            ])?;
        Ok(())
    }

    /// Takes an entry out of the park.
    pub fn unpark(&self, arrival: u64, entry: usize) -> Result<(), StoreError> {
        self.derived
            .prepare_cached("DELETE FROM parked WHERE arrival = ?1 AND entry = ?2")?
            .execute(params![signed(arrival), signed(entry as u64)])?;
        Ok(())
    }

    /// Whether an entry is parked.
    pub fn is_parked(&self, arrival: u64, entry: usize) -> Result<bool, StoreError> {
        let sql = "SELECT count(*) FROM parked WHERE arrival = ?1 AND entry = ?2";
        let key = params![signed(arrival), signed(entry as u64)];
        let count: i64 = self.derived.prepare_cached(sql)?.query_row(key, |row| row.get(0))?;
        Ok(count > 0)
    }

    /// Parked entries in order of arrival; of one slice, or all.
    pub fn parked(&self, slice: Option<SliceId>) -> Result<Vec<ParkedEntry>, StoreError> {
        const COLUMNS: &str = "SELECT is_ledger, place, arrival, entry, waiting, sees FROM parked";
        let directives = word(&Waiting::Directives);
        let mut list = Vec::new();
        let mut take = |row: &rusqlite::Row<'_>| -> Result<(), StoreError> {
            list.push(ParkedEntry {
                arrival: rows::count(row, 2)?,
                entry: usize::try_from(rows::count(row, 3)?).unwrap_or(0),
                slice: rows::slice(row, 0)?,
                for_directives: row.get::<_, String>(4)? == directives,
                sees: sees_from_bytes(&row.get::<_, Vec<u8>>(5)?)?,
            });
            Ok(())
        };
        match slice {
            Some(slice) => {
                let sql = format!(
                    "{COLUMNS} WHERE is_ledger = ?1 AND place = ?2 ORDER BY arrival, entry"
                );
                let mut query = self.derived.prepare_cached(&sql)?;
                let mut found = query.query(params![is_ledger(slice), slice.place.0])?;
                while let Some(row) = found.next()? {
                    take(row)?;
                }
            }
            None => {
                let sql = format!("{COLUMNS} ORDER BY arrival, entry");
                let mut query = self.derived.prepare_cached(&sql)?;
                let mut found = query.query([])?;
                while let Some(row) = found.next()? {
                    take(row)?;
                }
            }
        }
        Ok(list)
    }

    /// Parked entries that wait for one of these.
    pub fn parked_for(&self, waiting: &[Waiting]) -> Result<Vec<(u64, usize)>, StoreError> {
        let words: Vec<String> = waiting.iter().map(word).collect();
        let mut query =
            self.derived.prepare_cached("SELECT arrival, entry, waiting FROM parked")?;
        let found = query.query_map([], |row| {
            Ok((rows::count(row, 0)?, rows::count(row, 1)?, row.get::<_, String>(2)?))
        })?;
        let mut list = Vec::new();
        for one in found {
            let (arrival, entry, word) = one?;
            if words.contains(&word) {
                list.push((arrival, usize::try_from(entry).unwrap_or(0)));
            }
        }
        Ok(list)
    }
}
