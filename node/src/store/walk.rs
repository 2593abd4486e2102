//! Rows of one ledger and place, one after another: for what looks at all of them.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::params;
use taizhang_core::feed::entry::Entry;
use taizhang_core::feed::frontier::Frontiers;
use taizhang_core::feed::segment::Segment;
use taizhang_core::id::{PlaceId, RecordId, SealKey, SliceId};
use taizhang_core::record::fold::Row;
use taizhang_core::time::UtcMillis;

use super::StoreError;
use super::derived::parse_row;
use super::read::{Listed, Reader, listed};
use super::rows::{self, is_ledger, signed};

impl Reader<'_> {
    /// Every record of a ledger at a place that stands, by title. `visit` may ask this reader for more.
    pub fn each_of(
        &self,
        ledger: &str,
        place: PlaceId,
        mut visit: impl FnMut(&Listed, &Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT is_ledger, place, record, ledger, title, state, conflicts, 0, changed_ms, \
             is_void, row FROM record WHERE ledger = ?1 AND place = ?2 AND is_void = 0 \
             AND row <> '' ORDER BY title, record",
        )?;
        let mut found = query.query(params![ledger, place.0])?;
        while let Some(row) = found.next()? {
            let one = listed(row)?;
            if let Some(row) = &one.row {
                visit(&one, row)?;
            }
        }
        Ok(())
    }

    /// When each author's newest entry in people's ledgers was written: by its writer's clock, but not
    /// later than it came here.
    pub fn newest_written(&self) -> Result<BTreeMap<SealKey, UtcMillis>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT f.author_key, s.plain, s.committed_at_ms FROM ledger.feed f \
             JOIN ledger.segment s ON s.feed_id = f.feed_id AND s.number = f.base + f.count - 1 \
             WHERE f.is_ledger = 1 AND f.count > 0",
        )?;
        let mut newest: BTreeMap<SealKey, UtcMillis> = BTreeMap::new();
        let mut found = query.query([])?;
        while let Some(row) = found.next()? {
            let key = SealKey(rows::array(row, 0)?);
            let came = UtcMillis(row.get(2)?);
            let segment = Segment::from_plain(&row.get::<_, Vec<u8>>(1)?).ok();
            let written = segment.and_then(|one| one.entries.last().map(|entry| entry.time));
            let time = newest.entry(key).or_default();
            *time = (*time).max(written.unwrap_or(came).min(came));
        }
        Ok(newest)
    }

    /// Records of ledger slices that anything beyond a frontier is about, own unsealed entries included.
    pub fn changed_beyond(&self, heads: &Frontiers) -> Result<BTreeSet<RecordId>, StoreError> {
        let mut records = BTreeSet::new();
        let mut take = |entries: Vec<Entry>| {
            let changes = entries.into_iter().flat_map(|entry| entry.changes);
            records.extend(changes.map(|change| change.record));
        };
        let mut query = self.db.prepare_cached(
            "SELECT is_ledger, place, lane, author_key, epoch, feed_id FROM ledger.feed \
             WHERE is_ledger = 1",
        )?;
        let mut newer = self.db.prepare_cached(
            "SELECT plain FROM ledger.segment WHERE feed_id = ?1 AND number >= ?2 ORDER BY number",
        )?;
        let mut feeds = query.query([])?;
        while let Some(row) = feeds.next()? {
            let known = heads.head(rows::feed(row, 0)?).count;
            let mut segments = newer.query(params![row.get::<_, i64>(5)?, signed(known)])?;
            while let Some(row) = segments.next()? {
                let segment = Segment::from_plain(&row.get::<_, Vec<u8>>(0)?).ok();
                take(segment.map(|segment| segment.entries).unwrap_or_default());
            }
        }
        let mut query =
            self.db.prepare_cached("SELECT entry FROM ledger.tail WHERE is_ledger = 1")?;
        let mut tail = query.query([])?;
        while let Some(row) = tail.next()? {
            take(Entry::from_bytes(&row.get::<_, Vec<u8>>(0)?).into_iter().collect());
        }
        Ok(records)
    }

    /// Every row of a ledger in a slice, void ones included.
    pub fn rows_ever(&self, slice: SliceId, ledger: &str) -> Result<Vec<Row>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT row FROM record WHERE ledger = ?1 AND place = ?2 AND is_ledger = ?3 \
             AND row <> ''",
        )?;
        let key = params![ledger, slice.place.0, is_ledger(slice)];
        let found = query.query_map(key, |row| row.get::<_, String>(0))?;
        let mut rows = Vec::new();
        for text in found {
            rows.extend(parse_row(&text?)?);
        }
        Ok(rows)
    }
}
