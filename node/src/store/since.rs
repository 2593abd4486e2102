//! What other systems read: records in the order in which this replica took up their changes, and how far
//! the projection has come.

use rusqlite::{OptionalExtension as _, params};
use taizhang_core::id::{PlaceId, RecordId, SliceId, hex};
use taizhang_core::record::fold::Row;
use taizhang_core::time::UtcMillis;

use super::derived::parse_row;
use super::read::Reader;
use super::rows::{self, signed};
use super::{Store, StoreError};

/// The making of `derived.db` to which cursors belong: another one counts anew.
const GENERATION: &str = "generation";

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Since<'a> {
    /// Ledger id.
    pub ledger: &'a str,
    /// Only changes taken up after this one.
    pub after: u64,
    /// Only these places; all if none.
    pub places: Option<Vec<PlaceId>>,
    /// One state; all if empty.
    pub state: &'a str,
    /// Records at most.
    pub limit: usize,
}

/// A record, and when this replica took up its last change.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Position in the order of taking up, within its ledger.
    pub touched: u64,
    /// Its slice.
    pub slice: SliceId,
    /// Record.
    pub record: RecordId,
    /// Title.
    pub title: String,
    /// Last change by wall clock.
    pub changed: UtcMillis,
    /// Row.
    pub row: Row,
}

impl Store {
    /// The present making of `derived.db`; names it if it has no name yet.
    pub fn generation(&self, now: UtcMillis) -> Result<i64, StoreError> {
        if let Some(known) = self.derived_meta(GENERATION)? {
            return Ok(known);
        }
        self.set_derived_meta(GENERATION, now.0)?;
        Ok(now.0)
    }
}

impl Reader<'_> {
    fn derived_meta(&self, key: &str) -> Result<Option<i64>, StoreError> {
        let mut query = self.db.prepare_cached("SELECT value FROM main.meta WHERE key = ?1")?;
        let found: Option<Vec<u8>> = query.query_row([key], |row| row.get(0)).optional()?;
        Ok(found.and_then(|bytes| Some(i64::from_le_bytes(bytes.try_into().ok()?))))
    }

    /// The present making of `derived.db`, if it has a name.
    pub fn generation(&self) -> Result<Option<i64>, StoreError> {
        self.derived_meta(GENERATION)
    }

    /// Records whose changes were taken up after a position, in that order.
    pub fn since(&self, asked: &Since<'_>) -> Result<Vec<Taken>, StoreError> {
        let upper = |place: &PlaceId| hex(&place.0).to_uppercase();
        let places = asked.places.as_ref().map(|all| all.iter().map(upper).collect::<Vec<_>>());
        let places = places.map(|all| serde_json::to_string(&all).unwrap_or_default());
        let mut query = self.db.prepare_cached(
            "SELECT touched, is_ledger, place, record, title, changed_ms, row FROM record \
             WHERE ledger = ?1 AND touched > ?2 AND row <> '' AND (?3 = '' OR state = ?3) \
             AND (?4 IS NULL OR hex(place) IN (SELECT value FROM json_each(?4))) \
             ORDER BY touched LIMIT ?5",
        )?;
        let limit = signed(asked.limit as u64);
        let mut found =
            query.query(params![asked.ledger, signed(asked.after), asked.state, places, limit])?;
        let mut list = Vec::new();
        while let Some(row) = found.next()? {
            let Some(parsed) = parse_row(&row.get::<_, String>(6)?)? else { continue };
            list.push(Taken {
                touched: rows::count(row, 0)?,
                slice: rows::slice(row, 1)?,
                record: rows::record(row, 3)?,
                title: row.get(4)?,
                changed: UtcMillis(row.get(5)?),
                row: parsed,
            });
        }
        Ok(list)
    }

    /// Segments stored, and of these those that rows, figures and findings do not show yet.
    pub fn projection(&self) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT coalesce(max(arrival), 0) FROM ledger.segment";
        let last = self.db.prepare_cached(sql)?.query_row([], |row| rows::count(row, 0))?;
        let done = self.derived_meta("position")?.and_then(|done| u64::try_from(done).ok());
        Ok((last, last.saturating_sub(done.unwrap_or(0))))
    }
}
