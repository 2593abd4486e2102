//! What records add to indicators, and the sums by place and period.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::params;
use taizhang_core::id::{PlaceId, RecordId, SliceId};
use taizhang_core::rules::figures::{Additions, Place as At};

use super::rows::{self, signed};
use super::{Store, StoreError};

/// Sums by place, indicator and period.
pub type Sums = BTreeMap<(PlaceId, String, String), i64>;

/// What a record adds to one sum.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Contribution {
    /// How much.
    pub value: i64,
    /// Places from its own upward in which it counts.
    pub reach: usize,
    /// Places between the root and the highest one in which it counts.
    pub top: usize,
}

/// Adds a difference to a sum.
const ADD: &str = "INSERT INTO rollup VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT DO UPDATE SET value = value + ?4";

/// The length of a path upward.
fn length(value: i64) -> usize {
    usize::try_from(value).unwrap_or(0)
}

impl Store {
    /// Replaces what a record adds to indicators, and moves the sums by the difference. `above` is the
    /// record's place and its ancestors, the own place first; it counts in the first `reach` of them.
    pub fn set_contributions(
        &self,
        slice: SliceId,
        record: RecordId,
        values: &Additions,
        above: &[PlaceId],
        reach: usize,
    ) -> Result<BTreeSet<String>, StoreError> {
        let mut standing = BTreeSet::new();
        let old = self.contributions_of(slice.place, record)?;
        let names: BTreeSet<&At> = old.keys().chain(values.keys()).collect();
        for at in names {
            let new = values.get(at).map(|value| (*value, reach));
            let before = old.get(at).map(|one| (one.value, one.reach));
            let depth = old.get(at).map_or(above.len(), |one| one.top + one.reach);
            if new == before && depth == above.len() {
                continue;
            }
            if at.period.is_empty() {
                standing.insert(at.indicator.clone());
            }
            let shared = match at.value.as_str() {
                "" => 0,
                _ => self.reach_of_others(slice.place, record, at)?,
            };
            self.put_contribution(slice.place, record, at, new, above.len())?;
            let mut add = self.derived.prepare_cached(ADD)?;
            for (level, place) in above.iter().enumerate() {
                let counted = |one: Option<(i64, usize)>| {
                    let counts = one.filter(|(_, reach)| level < *reach);
                    match at.value.as_str() {
                        "" => counts.map_or(0, |(value, _)| value),
                        _ => i64::from(counts.is_some() || level < shared),
                    }
                };
                let difference = counted(new) - counted(before);
                if difference != 0 {
                    add.execute(params![place.0, at.indicator, at.period, difference])?;
                }
            }
        }
        Ok(standing)
    }

    /// What a record adds, and how far up each addition counts.
    pub(crate) fn contributions_of(
        &self,
        place: PlaceId,
        record: RecordId,
    ) -> Result<BTreeMap<At, Contribution>, StoreError> {
        let mut query = self.derived.prepare_cached(
            "SELECT indicator, period, distinct_value, value, reach, top FROM contribution \
             WHERE record = ?1 AND place = ?2",
        )?;
        let found = query.query_map(params![record.0, place.0], |row| {
            let at = At { indicator: row.get(0)?, period: row.get(1)?, value: row.get(2)? };
            let (reach, top) = (length(row.get(4)?), length(row.get(5)?));
            Ok((at, Contribution { value: row.get(3)?, reach, top }))
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    fn put_contribution(
        &self,
        place: PlaceId,
        record: RecordId,
        at: &At,
        new: Option<(i64, usize)>,
        depth: usize,
    ) -> Result<(), StoreError> {
        let Some((value, reach)) = new else {
            let sql = "DELETE FROM contribution WHERE record = ?1 AND indicator = ?2 \
                       AND period = ?3 AND distinct_value = ?4 AND place = ?5";
            let key = params![record.0, at.indicator, at.period, at.value, place.0];
            self.derived.prepare_cached(sql)?.execute(key)?;
            return Ok(());
        };
        let sql = "INSERT INTO contribution VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
                   ON CONFLICT DO UPDATE SET value = ?6, reach = ?7, top = ?8";
        let (reach, top) = (signed(reach as u64), signed(depth.saturating_sub(reach) as u64));
        let row = params![place.0, record.0, at.indicator, at.period, at.value, value, reach, top];
        self.derived.prepare_cached(sql)?.execute(row)?;
        Ok(())
    }

    /// How far up other records of the slice bring a value that counts once.
    fn reach_of_others(
        &self,
        place: PlaceId,
        record: RecordId,
        at: &At,
    ) -> Result<usize, StoreError> {
        let sql = "SELECT coalesce(max(reach), 0) FROM contribution WHERE place = ?1 \
                   AND indicator = ?2 AND distinct_value = ?3 AND distinct_value <> '' \
                   AND record <> ?4";
        let mut query = self.derived.prepare_cached(sql)?;
        let key = params![place.0, at.indicator, at.value, record.0];
        Ok(length(query.query_row(key, |row| row.get(0))?))
    }

    /// Adds all sums up from the contributions: `above` gives a place and its ancestors as they are
    /// now, the own place first.
    pub(crate) fn added_up(
        &self,
        above: impl Fn(PlaceId) -> Vec<PlaceId>,
    ) -> Result<Sums, StoreError> {
        let mut sums = Sums::new();
        // A value that counts once reaches as far as the record that brings it furthest.
        let sql = "SELECT c.place, c.indicator, c.period, \
                   CASE c.distinct_value WHEN '' THEN c.reach ELSE max(c.reach) END, \
                   CASE c.distinct_value WHEN '' THEN sum(c.value) ELSE 1 END \
                   FROM contribution c JOIN record r USING (place, record) \
                   GROUP BY c.place, c.indicator, c.period, c.distinct_value, \
                   CASE c.distinct_value WHEN '' THEN c.reach ELSE 0 END";
        let mut query = self.derived.prepare_cached(sql)?;
        let mut found = query.query([])?;
        while let Some(row) = found.next()? {
            let (indicator, period): (String, String) = (row.get(1)?, row.get(2)?);
            let (reach, value): (usize, i64) = (length(row.get(3)?), row.get(4)?);
            for place in above(rows::place(row, 0)?).into_iter().take(reach) {
                *sums.entry((place, indicator.clone(), period.clone())).or_default() += value;
            }
        }
        sums.retain(|_, value| *value != 0);
        Ok(sums)
    }

    /// The sums as they stand.
    pub(crate) fn sums(&self) -> Result<Sums, StoreError> {
        let mut query = self.derived.prepare_cached(
            "SELECT place, indicator, period, value FROM rollup WHERE value <> 0",
        )?;
        let found = query.query_map([], |row| {
            Ok(((rows::place(row, 0)?, row.get(1)?, row.get(2)?), row.get(3)?))
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Adds all sums up again, after places have moved.
    pub(crate) fn recount(
        &self,
        above: impl Fn(PlaceId) -> Vec<PlaceId>,
    ) -> Result<(), StoreError> {
        let sums = self.added_up(above)?;
        self.derived.prepare_cached("DELETE FROM rollup")?.execute([])?;
        let mut add = self.derived.prepare_cached(ADD)?;
        for ((place, indicator, period), value) in sums {
            add.execute(params![place.0, indicator, period, value])?;
        }
        Ok(())
    }
}
