//! What the rules of one row ask of others: the same questions for the writer and for the snapshots of
//! readers.

use rusqlite::{Connection, OptionalExtension as _, params};
use taizhang_core::id::{PlaceId, RecordId, SliceId, SliceKind};
use taizhang_core::limits;
use taizhang_core::record::fold::Row;

use super::derived::{listed, parse_row};
use super::read::Reader;
use super::rows::{self, is_ledger, signed};
use super::{Store, StoreError};

/// Records looked at for one value of an identity: more is a defect of the data, not a person.
const TWINS_MAX: usize = 200;

/// Rows of one connection to `derived.db`.
#[derive(Clone, Copy)]
pub struct Lookup<'a> {
    db: &'a Connection,
}

impl Store {
    /// Rows as the writer sees them.
    pub fn lookup(&self) -> Lookup<'_> {
        Lookup { db: &self.derived }
    }

    /// As [`Lookup::row`].
    pub fn row(&self, slice: SliceId, record: RecordId) -> Result<Option<Row>, StoreError> {
        self.lookup().row(slice, record)
    }

    /// As [`Lookup::rows_of`].
    pub fn rows_of(
        &self,
        slice: SliceId,
        ledger: &str,
    ) -> Result<Vec<(RecordId, Row)>, StoreError> {
        self.lookup().rows_of(slice, ledger)
    }

    /// As [`Lookup::linked`].
    pub fn linked(
        &self,
        place: PlaceId,
        ledger: &str,
        field: &str,
        value: &str,
    ) -> Result<Vec<RecordId>, StoreError> {
        self.lookup().linked(place, ledger, field, value)
    }

    /// As [`Lookup::with_value`].
    pub fn with_value(
        &self,
        ledger: &str,
        field: &str,
        value: &str,
    ) -> Result<Vec<(PlaceId, RecordId)>, StoreError> {
        self.lookup().with_value(ledger, field, value)
    }
}

impl Reader<'_> {
    /// Rows of this snapshot.
    pub fn lookup(&self) -> Lookup<'_> {
        Lookup { db: self.db }
    }
}

impl Lookup<'_> {
    /// The row of a record that is not void.
    pub fn row(&self, slice: SliceId, record: RecordId) -> Result<Option<Row>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT row FROM record WHERE is_ledger = ?1 AND place = ?2 AND record = ?3 AND is_void = 0",
        )?;
        let key = params![is_ledger(slice), slice.place.0, record.0];
        let found: Option<String> = query.query_row(key, |row| row.get(0)).optional()?;
        found.map_or(Ok(None), |text| parse_row(&text))
    }

    /// The row of a record, void or not.
    pub fn row_ever(&self, slice: SliceId, record: RecordId) -> Result<Option<Row>, StoreError> {
        self.text_ever(slice, record)?.map_or(Ok(None), |text| parse_row(&text))
    }

    /// The text of a record's row, void or not; empty if no ledger makes a row of it, none without a record.
    pub fn text_ever(
        &self,
        slice: SliceId,
        record: RecordId,
    ) -> Result<Option<String>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT row FROM record WHERE is_ledger = ?1 AND place = ?2 AND record = ?3",
        )?;
        let key = params![is_ledger(slice), slice.place.0, record.0];
        Ok(query.query_row(key, |row| row.get(0)).optional()?)
    }

    /// Rows of a ledger in a slice that are not void.
    pub fn rows_of(
        &self,
        slice: SliceId,
        ledger: &str,
    ) -> Result<Vec<(RecordId, Row)>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT record, row FROM record WHERE ledger = ?3 AND place = ?2 AND is_ledger = ?1 \
             AND is_void = 0 ORDER BY record",
        )?;
        let key = params![is_ledger(slice), slice.place.0, ledger];
        listed(&mut query, key)
    }

    /// Records of a ledger at a place whose indexed field has a value.
    pub fn linked(
        &self,
        place: PlaceId,
        ledger: &str,
        field: &str,
        value: &str,
    ) -> Result<Vec<RecordId>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT record FROM link WHERE place = ?1 AND ledger = ?2 AND field = ?3 AND value = ?4 \
             ORDER BY record LIMIT ?5",
        )?;
        let limit = signed(limits::RELATED_ROWS_MAX as u64 + 1);
        let found = query
            .query_map(params![place.0, ledger, field, value, limit], |row| rows::record(row, 0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Records of a ledger in a slice that are not void.
    pub fn records_of(&self, slice: SliceId, ledger: &str) -> Result<Vec<RecordId>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT record FROM record WHERE ledger = ?3 AND place = ?2 AND is_ledger = ?1 \
             AND is_void = 0",
        )?;
        let key = params![is_ledger(slice), slice.place.0, ledger];
        let found = query.query_map(key, |row| rows::record(row, 0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Places and records of a ledger whose indexed field has a value, at most `limit` of those places that
    /// `keep` keeps.
    pub fn linked_where(
        &self,
        ledger: &str,
        field: &str,
        value: &str,
        limit: usize,
        keep: impl Fn(PlaceId) -> bool,
    ) -> Result<Vec<(PlaceId, RecordId)>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT place, record FROM link WHERE ledger = ?1 AND field = ?2 AND value = ?3 \
             ORDER BY place, record",
        )?;
        let found = query.query_map(params![ledger, field, value], |row| {
            Ok((rows::place(row, 0)?, rows::record(row, 1)?))
        })?;
        let kept = found.filter(|one| one.as_ref().map_or(true, |(place, _)| keep(*place)));
        Ok(kept.take(limit).collect::<Result<_, _>>()?)
    }

    /// Places in whose slices of a kind a record of a ledger stands under an id.
    pub fn places_of(
        &self,
        record: RecordId,
        kind: SliceKind,
        ledger: &str,
    ) -> Result<Vec<PlaceId>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT place FROM record WHERE record = ?1 AND is_ledger = ?2 AND ledger = ?3",
        )?;
        let key = params![record.0, kind == SliceKind::Ledger, ledger];
        let found = query.query_map(key, |row| rows::place(row, 0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// The sum of a standing indicator at a place.
    pub fn standing(&self, place: PlaceId, indicator: &str) -> Result<i64, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT value FROM rollup WHERE place = ?1 AND indicator = ?2 AND period = ''",
        )?;
        let found = query.query_row(params![place.0, indicator], |row| row.get(0)).optional()?;
        Ok(found.unwrap_or(0))
    }

    /// Places and records whose identity field has that value, wherever they stand.
    pub fn with_value(
        &self,
        ledger: &str,
        field: &str,
        value: &str,
    ) -> Result<Vec<(PlaceId, RecordId)>, StoreError> {
        self.linked_where(ledger, field, value, TWINS_MAX, |_| true)
    }

    /// Places with records of a ledger that are not void, and how many each has.
    pub fn places_with(&self, ledger: &str) -> Result<Vec<(PlaceId, u64)>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT place, count(*) FROM record WHERE ledger = ?1 AND is_void = 0 \
             GROUP BY place ORDER BY place",
        )?;
        let found =
            query.query_map([ledger], |row| Ok((rows::place(row, 0)?, rows::count(row, 1)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }
}
