//! Single sums, freshness and what offices say they hold: what the overview and sync health ask, without
//! reading whole tables.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, params};
use taizhang_core::feed::receipt::{Receipt, SealedReceipt};
use taizhang_core::id::{AuthorId, FeedId, PlaceId, SealKey, SliceId};
use taizhang_core::time::UtcMillis;

use super::StoreError;
use super::derived::parse_row;
use super::read::Reader;
use super::rows::{self, is_ledger, signed};

/// Segments beyond which it is cheaper to ask each feed for its last one.
const STEP_MAX: i64 = 20_000;

/// When something last came of each author, and how far the segments were read.
#[derive(Clone, Debug, Default)]
pub struct Newest {
    /// The last arrival read.
    pub arrival: i64,
    /// Authors of ledger slices, and when their last segment was committed here.
    pub authors: Vec<(SealKey, UtcMillis)>,
}

/// Last contact on a direct link, and when both ends last held the same; zeros if never.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Contact {
    /// Last contact.
    pub last: UtcMillis,
    /// Last time in sync.
    pub synced: UtcMillis,
}

impl Reader<'_> {
    /// The sum of one indicator at a place over periods between two, both included; empty ones for a
    /// standing figure.
    pub fn amount(
        &self,
        place: PlaceId,
        indicator: &str,
        from: &str,
        to: &str,
    ) -> Result<i64, StoreError> {
        let sql = "SELECT coalesce(sum(value), 0) FROM rollup WHERE place = ?1 AND indicator = ?2 \
                   AND period BETWEEN ?3 AND ?4";
        let mut query = self.db.prepare_cached(sql)?;
        Ok(query.query_row(params![place.0, indicator, from, to], |row| row.get(0))?)
    }

    /// Authors of whom segments came after an arrival; all authors if that is long ago.
    pub fn newest_after(&self, arrival: i64) -> Result<Newest, StoreError> {
        let sql = "SELECT coalesce(max(arrival), 0) FROM ledger.segment";
        let last: i64 = self.db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        let author =
            |row: &rusqlite::Row<'_>| Ok((SealKey(rows::array(row, 0)?), UtcMillis(row.get(1)?)));
        let authors = if arrival > 0 && last - arrival <= STEP_MAX {
            let sql = "SELECT author_key, max(committed_at_ms) FROM ledger.segment \
                       CROSS JOIN ledger.feed USING (feed_id) WHERE arrival > ?1 \
                       AND is_ledger = 1 GROUP BY author_key";
            let mut query = self.db.prepare_cached(sql)?;
            query.query_map([arrival], author)?.collect::<Result<_, _>>()?
        } else {
            let sql = "SELECT author_key, max(committed_at_ms) FROM ledger.feed \
                       CROSS JOIN ledger.segment USING (feed_id) WHERE is_ledger = 1 \
                       AND number = base + count - 1 GROUP BY author_key";
            let mut query = self.db.prepare_cached(sql)?;
            query.query_map([], author)?.collect::<Result<_, _>>()?
        };
        Ok(Newest { arrival: last, authors })
    }

    /// When the last receipt of each issuer came, by the own clock. Reads every receipt's key.
    pub fn receipts_came(&self) -> Result<Vec<(SealKey, UtcMillis)>, StoreError> {
        let sql = "SELECT issuer, max(came_at_ms) FROM ledger.receipt GROUP BY issuer";
        let mut query = self.db.prepare_cached(sql)?;
        let found = query
            .query_map([], |row| Ok((SealKey(rows::array(row, 0)?), UtcMillis(row.get(1)?))))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Contacts by place of the peer.
    pub fn contacts(&self) -> Result<Vec<(PlaceId, Contact)>, StoreError> {
        let sql = "SELECT place, max(last_ms), max(synced_ms) FROM ledger.contact GROUP BY place";
        let mut query = self.db.prepare_cached(sql)?;
        let found = query.query_map([], |row| {
            let contact = Contact { last: UtcMillis(row.get(1)?), synced: UtcMillis(row.get(2)?) };
            Ok((rows::place(row, 0)?, contact))
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Parked and masked entries by place of the slice.
    pub fn masked_by_place(&self) -> Result<BTreeMap<PlaceId, (u64, u64)>, StoreError> {
        let mut found: BTreeMap<PlaceId, (u64, u64)> = BTreeMap::new();
        let sql = "SELECT place, count(*), 1 FROM parked GROUP BY place UNION ALL \
                   SELECT place, count(*), 0 FROM void_entry GROUP BY place";
        let mut query = self.db.prepare_cached(sql)?;
        let mut counts = query.query([])?;
        while let Some(row) = counts.next()? {
            let one = found.entry(rows::place(row, 0)?).or_default();
            let count = rows::count(row, 1)?;
            if row.get(2)? { one.0 = count } else { one.1 = count }
        }
        Ok(found)
    }

    /// Records of people's ledgers in conflict.
    pub fn conflict_count(&self) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM record WHERE conflicts > 0 AND row <> '' \
                   AND ledger NOT LIKE 'sys\\_%' ESCAPE '\\'";
        Ok(self.db.prepare_cached(sql)?.query_row([], |row| rows::count(row, 0))?)
    }

    /// Records in conflict: the place of each, and since when its oldest conflict stands, by the clock of
    /// whoever wrote the last of the values that differ.
    pub fn conflicts_since(&self) -> Result<Vec<(PlaceId, UtcMillis)>, StoreError> {
        let sql = "SELECT place, changed_ms, row FROM record WHERE conflicts > 0 AND row <> '' \
                   AND ledger NOT LIKE 'sys\\_%' ESCAPE '\\'";
        let mut query = self.db.prepare_cached(sql)?;
        let mut found = query.query([])?;
        let mut list = Vec::new();
        while let Some(row) = found.next()? {
            let changed = UtcMillis(row.get(1)?);
            let folded = parse_row(&row.get::<_, String>(2)?)?;
            let conflicts = folded.iter().flat_map(|folded| &folded.conflicts);
            let since = conflicts
                .filter_map(|one| one.candidates.iter().map(|value| value.writer.time).max())
                .min();
            list.push((rows::place(row, 0)?, since.unwrap_or(changed)));
        }
        Ok(list)
    }

    /// An issuer's newest receipt about a slice, if one came.
    pub fn receipt_of(
        &self,
        issuer: SealKey,
        slice: SliceId,
    ) -> Result<Option<Receipt>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT plain, seal FROM ledger.receipt WHERE issuer = ?1 AND is_ledger = ?2 \
             AND place = ?3 ORDER BY came_at_ms DESC LIMIT 1",
        )?;
        let key = params![issuer.0, is_ledger(slice), slice.place.0];
        let sealed = query
            .query_row(key, |row| {
                Ok(SealedReceipt { plain: row.get(0)?, seal: rows::array(row, 1)? })
            })
            .optional()?;
        Ok(sealed.and_then(|sealed| sealed.open().ok()))
    }

    /// Segments that a receipt states and this replica does not hold.
    pub fn not_here(&self, receipt: &Receipt) -> Result<u64, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT count FROM ledger.feed WHERE is_ledger = ?1 AND place = ?2 AND lane = ?3 \
             AND author_key = ?4 AND epoch = ?5",
        )?;
        let mut missing = 0;
        for ((lane, author), head) in &receipt.held.heads {
            let slice = receipt.slice;
            let (key, epoch) = (author.key.0, author.epoch.0);
            let feed = params![is_ledger(slice), slice.place.0, lane.code(), key, epoch];
            let held = query.query_row(feed, |row| rows::count(row, 0)).optional()?.unwrap_or(0);
            missing += head.count.saturating_sub(held);
        }
        Ok(missing)
    }

    /// How many segments of a directive feed an issuer has applied, by its receipts; none if it said
    /// nothing of that feed.
    pub fn applied_count(
        &self,
        issuer: SealKey,
        place: PlaceId,
        author: AuthorId,
    ) -> Result<Option<u64>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT max(count) FROM ledger.reach WHERE issuer = ?1 AND place = ?2 \
             AND author_key = ?3 AND epoch = ?4 AND applied = 1",
        )?;
        let key = params![issuer.0, place.0, author.key.0, author.epoch.0];
        let found: Option<i64> = query.query_row(key, |row| row.get(0))?;
        Ok(found.and_then(|count| u64::try_from(count).ok()))
    }

    /// How far issuers have acknowledged the feeds of an author.
    pub fn acknowledged(
        &self,
        author: SealKey,
        issuers: &[SealKey],
    ) -> Result<BTreeMap<FeedId, u64>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT DISTINCT is_ledger, place FROM ledger.feed WHERE author_key = ?1",
        )?;
        let slices: Vec<SliceId> =
            query.query_map([author.0], |row| rows::slice(row, 0))?.collect::<Result<_, _>>()?;
        let mut query = self.db.prepare_cached(
            "SELECT plain, seal FROM ledger.receipt WHERE issuer = ?1 AND is_ledger = ?2 \
             AND place = ?3",
        )?;
        let mut acked: BTreeMap<FeedId, u64> = BTreeMap::new();
        for (issuer, slice) in
            issuers.iter().flat_map(|issuer| slices.iter().map(move |slice| (issuer, *slice)))
        {
            let key = params![issuer.0, is_ledger(slice), slice.place.0];
            let found = query.query_map(key, |row| {
                Ok(SealedReceipt { plain: row.get(0)?, seal: rows::array(row, 1)? })
            })?;
            for sealed in found {
                let Ok(receipt) = sealed?.open() else { continue };
                for ((lane, author), head) in &receipt.held.heads {
                    let feed = FeedId { slice, lane: *lane, author: *author };
                    let known = acked.entry(feed).or_default();
                    *known = (*known).max(head.count);
                }
            }
        }
        Ok(acked)
    }

    /// Audit lines of a kind since a time: when, and what they say.
    pub fn audit_since(
        &self,
        kind: &str,
        since: UtcMillis,
    ) -> Result<Vec<(UtcMillis, String)>, StoreError> {
        let sql = "SELECT time_ms, text FROM ledger.audit WHERE kind = ?1 AND time_ms >= ?2";
        let mut query = self.db.prepare_cached(sql)?;
        let found = query
            .query_map(params![kind, since.0], |row| Ok((UtcMillis(row.get(0)?), row.get(1)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// By how many milliseconds the clocks of offices on direct links differed when last met.
    pub fn clock_differences(&self) -> Result<Vec<(PlaceId, i64)>, StoreError> {
        let sql = "SELECT place, skew_ms FROM ledger.contact";
        let mut query = self.db.prepare_cached(sql)?;
        let found = query.query_map([], |row| Ok((rows::place(row, 0)?, row.get(1)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// The newest audit lines of some kinds, newest first.
    pub fn audit_of(
        &self,
        kinds: &[&str],
        limit: usize,
    ) -> Result<Vec<(UtcMillis, String, String)>, StoreError> {
        let sql = "SELECT time_ms, kind, text FROM ledger.audit \
                   WHERE kind IN (SELECT value FROM json_each(?1)) ORDER BY number DESC LIMIT ?2";
        let kinds = serde_json::to_string(kinds).unwrap_or_default();
        let mut query = self.db.prepare_cached(sql)?;
        let found = query.query_map(params![kinds, signed(limit as u64)], |row| {
            Ok((UtcMillis(row.get(0)?), row.get(1)?, row.get(2)?))
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }
}
