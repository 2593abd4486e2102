//! What records add to indicators, and the sums by place.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::params;
use taizhang_core::id::{PlaceId, RecordId, SliceId};

use super::rows::{self, signed};
use super::{Store, StoreError};

impl Store {
    /// Replaces what a record adds to indicators, and moves the sums by the difference. `above` is the
    /// record's place and its ancestors, the own place first; it counts in the first `reach` of them.
    pub fn set_contributions(
        &self,
        slice: SliceId,
        record: RecordId,
        values: &BTreeMap<String, i64>,
        above: &[PlaceId],
        reach: usize,
    ) -> Result<(), StoreError> {
        let mut query = self.derived.prepare_cached(
            "SELECT indicator, value, reach FROM contribution WHERE record = ?1 AND place = ?2",
        )?;
        let key = params![record.0, slice.place.0];
        let old: BTreeMap<String, (i64, usize)> = query
            .query_map(key, |row| {
                let reach = usize::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
                Ok((row.get(0)?, (row.get(1)?, reach)))
            })?
            .collect::<Result<_, _>>()?;
        let names: BTreeSet<&String> = old.keys().chain(values.keys()).collect();
        for name in names {
            let new = (values.get(name).copied().unwrap_or(0), reach);
            let before = old.get(name).copied().unwrap_or((0, reach));
            if new == before {
                continue;
            }
            let sql = "INSERT INTO contribution VALUES (?1, ?2, ?3, ?4, ?5) \
                       ON CONFLICT DO UPDATE SET value = ?4, reach = ?5";
            let row = params![slice.place.0, record.0, name, new.0, signed(reach as u64)];
            self.derived.prepare_cached(sql)?.execute(row)?;
            let sql = "INSERT INTO rollup VALUES (?1, ?2, ?3) \
                       ON CONFLICT DO UPDATE SET value = value + ?3";
            let mut add = self.derived.prepare_cached(sql)?;
            for (at, place) in above.iter().enumerate() {
                let counted = |(value, reach): (i64, usize)| if at < reach { value } else { 0 };
                let difference = counted(new) - counted(before);
                if difference != 0 {
                    add.execute(params![place.0, name, difference])?;
                }
            }
        }
        Ok(())
    }

    /// Adds all sums up again, after places have moved: `above` gives a place and its ancestors as they
    /// are now, the own place first.
    pub(crate) fn recount(
        &self,
        above: impl Fn(PlaceId) -> Vec<PlaceId>,
    ) -> Result<(), StoreError> {
        self.derived.prepare_cached("DELETE FROM rollup")?.execute([])?;
        let sql = "SELECT c.place, c.indicator, c.reach, sum(c.value) FROM contribution c \
                   JOIN record r USING (place, record) WHERE r.is_ledger = 1 GROUP BY 1, 2, 3";
        let mut query = self.derived.prepare_cached(sql)?;
        let mut found = query.query([])?;
        let sql = "INSERT INTO rollup VALUES (?1, ?2, ?3) \
                   ON CONFLICT DO UPDATE SET value = value + ?3";
        let mut add = self.derived.prepare_cached(sql)?;
        while let Some(row) = found.next()? {
            let reach = usize::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
            let (indicator, value): (String, i64) = (row.get(1)?, row.get(3)?);
            for place in above(rows::place(row, 0)?).into_iter().take(reach) {
                add.execute(params![place.0, indicator, value])?;
            }
        }
        Ok(())
    }
}
