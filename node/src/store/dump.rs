//! Records as figures see them, for a dump that another program adds up again.

use rusqlite::{OptionalExtension as _, params};
use taizhang_core::id::{RecordId, SliceId};
use taizhang_core::record::fold::Row;
use taizhang_core::rules::Outcome;
use taizhang_core::time::Date;

use super::derived::parse_row;
use super::read::Reader;
use super::rows::{self, signed};
use super::{Store, StoreError};

/// The day for which dated figures hold, and the row up to which they are worked out for it: the
/// engine's notes of both (`engine/derive.rs`).
const AS_OF: &str = "as_of";
const CURSOR: &str = "re-evaluate";

/// A record, and the rules that found something on it.
#[derive(Clone, Debug)]
pub struct Dumped {
    /// Position after which the next records are asked for.
    pub position: i64,
    /// Its slice.
    pub slice: SliceId,
    /// Record.
    pub record: RecordId,
    /// Row.
    pub row: Row,
    /// Rule and outcome of each finding that is stored, by rule.
    pub findings: Vec<(String, Outcome)>,
}

impl Store {
    /// Records that moved away, and perhaps a few others: their rows tell.
    pub fn moved(&self) -> Result<Vec<(SliceId, RecordId)>, StoreError> {
        let mut query = self.derived.prepare_cached(
            "SELECT is_ledger, place, record FROM record WHERE instr(row, '\"moved\":{') > 0",
        )?;
        let found = query.query_map([], |row| Ok((rows::slice(row, 0)?, rows::record(row, 2)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }
}

impl Reader<'_> {
    fn note(&self, key: &str) -> Result<Option<i64>, StoreError> {
        let mut query = self.db.prepare_cached("SELECT value FROM main.meta WHERE key = ?1")?;
        let found: Option<Vec<u8>> = query.query_row([key], |row| row.get(0)).optional()?;
        Ok(found.and_then(|bytes| Some(i64::from_le_bytes(bytes.try_into().ok()?))))
    }

    /// The day for which dated figures and findings hold, and whether those of all rows do.
    pub fn evaluated(&self) -> Result<(Date, bool), StoreError> {
        let as_of = Date::from_days(self.note(AS_OF)?.unwrap_or(0));
        Ok((as_of, self.note(CURSOR)?.is_none_or(|cursor| cursor < 0)))
    }

    /// Records of all ledgers after a position, void ones too, in the order of their positions.
    pub fn dump(&self, after: i64, limit: usize) -> Result<Vec<Dumped>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT r.rowid, r.is_ledger, r.place, r.record, r.row, \
             (SELECT json_group_array(json_array(f.rule, f.outcome)) FROM finding f \
              WHERE f.place = r.place AND f.record = r.record) \
             FROM record r WHERE r.rowid > ?1 AND r.row <> '' ORDER BY r.rowid LIMIT ?2",
        )?;
        let mut found = query.query(params![after, signed(limit as u64)])?;
        let mut list = Vec::new();
        while let Some(row) = found.next()? {
            let Some(parsed) = parse_row(&row.get::<_, String>(4)?)? else { continue };
            let findings: String = row.get(5)?;
            let mut findings: Vec<(String, Outcome)> = serde_json::from_str(&findings)
                .map_err(|error| StoreError::Damaged(format!("findings: {error}")))?;
            findings.sort();
            list.push(Dumped {
                position: row.get(0)?,
                slice: rows::slice(row, 1)?,
                record: rows::record(row, 3)?,
                row: parsed,
                findings,
            });
        }
        Ok(list)
    }
}
