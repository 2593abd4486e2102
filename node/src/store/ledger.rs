//! Feeds, segments and the unsealed tail.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, params};
use taizhang_core::feed::frontier::{Frontiers, Head};
use taizhang_core::feed::segment::{Sealed, Segment};
use taizhang_core::id::{AuthorId, FeedId, Hash, Lane, SliceId};
use taizhang_core::sync::outbound::{Outgoing, ReadSegments, SegmentsRead};
use taizhang_core::time::UtcMillis;

use super::rows::{self, is_ledger, signed};
use super::{Store, StoreError};

/// Segments of one read for a peer, at most.
const READ_SEGMENTS_MAX: usize = 512;

/// State of one feed.
#[derive(Clone, Copy, Debug, Default)]
pub struct FeedRow {
    /// Row id; 0 if the feed is not held yet.
    pub id: i64,
    /// Head.
    pub head: Head,
    /// Entries in its segments.
    pub entries: u64,
}

/// A segment as stored.
#[derive(Clone, Debug)]
pub struct StoredSegment {
    /// Local arrival position, from 1.
    pub arrival: u64,
    /// Feed row.
    pub feed_id: i64,
    /// Bytes and seal.
    pub sealed: Sealed,
    /// Whether it stands on a branch that does not count.
    pub is_branch: bool,
}

/// An unsealed own entry.
#[derive(Clone, Debug)]
pub struct TailEntry {
    /// Position in the tail.
    pub position: i64,
    /// Canonical bytes.
    pub bytes: Vec<u8>,
}

impl Store {
    /// A single value.
    pub fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut query = self.ledger.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
        Ok(query.query_row([key], |row| row.get(0)).optional()?)
    }

    /// Sets a single value.
    pub fn set_meta(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let sql = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2";
        self.ledger.prepare_cached(sql)?.execute(params![key, value])?;
        Ok(())
    }

    /// The state of a feed.
    pub fn feed(&self, feed: &FeedId) -> Result<FeedRow, StoreError> {
        let mut query = self.ledger.prepare_cached(
            "SELECT feed_id, count, head, entries FROM feed WHERE is_ledger = ?1 AND place = ?2 \
             AND lane = ?3 AND author_key = ?4 AND epoch = ?5",
        )?;
        let key = params![
            is_ledger(feed.slice),
            feed.slice.place.0,
            feed.lane.code(),
            feed.author.key.0,
            feed.author.epoch.0
        ];
        let found = query
            .query_row(key, |row| {
                let head = Head { count: rows::count(row, 1)?, hash: rows::hash(row, 2)? };
                Ok(FeedRow { id: row.get(0)?, head, entries: rows::count(row, 3)? })
            })
            .optional()?;
        Ok(found.unwrap_or_default())
    }

    /// Appends an own segment, which continues its feed; gives its arrival position.
    pub fn append_segment(
        &self,
        feed: &FeedId,
        sealed: &Sealed,
        entries: u64,
        now: UtcMillis,
    ) -> Result<u64, StoreError> {
        let mut row = self.feed(feed)?;
        let hash = sealed.hash();
        if row.id == 0 {
            self.ledger
                .prepare_cached(
                    "INSERT INTO feed (is_ledger, place, lane, author_key, epoch, head, real_epoch) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?5)",
                )?
                .execute(params![
                    is_ledger(feed.slice),
                    feed.slice.place.0,
                    feed.lane.code(),
                    feed.author.key.0,
                    feed.author.epoch.0,
                    Hash::default().0
                ])?;
            row.id = self.ledger.last_insert_rowid();
        }
        let arrival = self.insert_segment(row.id, row.head.count, sealed, hash, now)?;
        self.ledger
            .prepare_cached(
                "UPDATE feed SET count = count + 1, head = ?2, entries = entries + ?3 \
                 WHERE feed_id = ?1",
            )?
            .execute(params![row.id, hash.0, signed(entries)])?;
        Ok(arrival)
    }

    pub(super) fn insert_segment(
        &self,
        feed_id: i64,
        number: u64,
        sealed: &Sealed,
        hash: Hash,
        now: UtcMillis,
    ) -> Result<u64, StoreError> {
        self.ledger
            .prepare_cached(
                "INSERT INTO segment (feed_id, number, plain, hash, seal, committed_at_ms) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![feed_id, signed(number), sealed.plain, hash.0, sealed.seal, now.0])?;
        Ok(u64::try_from(self.ledger.last_insert_rowid()).unwrap_or(0))
    }

    /// Segments that arrived after a position, in order of arrival.
    pub fn segments_after(
        &self,
        arrival: u64,
        limit: usize,
    ) -> Result<Vec<StoredSegment>, StoreError> {
        let mut query = self.ledger.prepare_cached(
            "SELECT arrival, feed_id, plain, seal, epoch <> real_epoch FROM segment \
             JOIN feed USING (feed_id) WHERE arrival > ?1 ORDER BY arrival LIMIT ?2",
        )?;
        let found = query.query_map(params![signed(arrival), signed(limit as u64)], stored)?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// The segment at a position.
    pub fn segment_at(&self, arrival: u64) -> Result<Option<StoredSegment>, StoreError> {
        let mut query = self.ledger.prepare_cached(
            "SELECT arrival, feed_id, plain, seal, epoch <> real_epoch FROM segment \
             JOIN feed USING (feed_id) WHERE arrival = ?1",
        )?;
        Ok(query.query_row([signed(arrival)], stored).optional()?)
    }

    /// The hash of a feed's segment.
    pub fn segment_hash(&self, feed_id: i64, number: u64) -> Result<Option<Hash>, StoreError> {
        let sql = "SELECT hash FROM segment WHERE feed_id = ?1 AND number = ?2";
        let mut query = self.ledger.prepare_cached(sql)?;
        let key = params![feed_id, signed(number)];
        Ok(query.query_row(key, |row| rows::hash(row, 0)).optional()?)
    }

    /// The last arrival position.
    pub fn last_arrival(&self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(max(arrival), 0) FROM segment";
        Ok(self.ledger.prepare_cached(sql)?.query_row([], |row| rows::count(row, 0))?)
    }

    /// All frontiers.
    pub fn frontiers(&self) -> Result<Frontiers, StoreError> {
        let mut query = self.ledger.prepare_cached(
            "SELECT is_ledger, place, lane, author_key, epoch, count, head FROM feed WHERE count > 0",
        )?;
        let mut frontiers = Frontiers::default();
        let mut found = query.query([])?;
        while let Some(row) = found.next()? {
            let head = Head { count: rows::count(row, 5)?, hash: rows::hash(row, 6)? };
            frontiers.set(rows::feed(row, 0)?, head);
        }
        Ok(frontiers)
    }

    /// Segments for a peer, in order of arrival, beyond what it has.
    pub fn read_for_peer(&self, wanted: &ReadSegments) -> Result<SegmentsRead, StoreError> {
        let mut query = self.ledger.prepare_cached(
            "SELECT feed_id, author_key, epoch, count, base FROM feed \
             WHERE is_ledger = ?1 AND place = ?2 AND lane = ?3",
        )?;
        let key = params![is_ledger(wanted.slice), wanted.slice.place.0, wanted.lane.code()];
        let mut feeds: BTreeMap<i64, (AuthorId, u64, u64)> = BTreeMap::new();
        let mut found = query.query(key)?;
        let mut first = None;
        while let Some(row) = found.next()? {
            let author = rows::author(row, 1)?;
            let have = wanted.have.get(&author).copied().unwrap_or(0);
            if wanted.without.contains(&author) || rows::count(row, 3)? <= have {
                continue;
            }
            let id: i64 = row.get(0)?;
            let base = rows::count(row, 4)?;
            let start = self.arrival_of(id, base + have)?;
            first = Some(first.map_or(start, |first: i64| first.min(start)));
            feeds.insert(id, (author, base + have, base));
        }
        let mut read = SegmentsRead {
            slice: wanted.slice,
            lane: wanted.lane,
            segments: Vec::new(),
            more: false,
        };
        if let Some(first) = first {
            self.read_run(wanted, &feeds, first, &mut read)?;
        }
        Ok(read)
    }

    fn arrival_of(&self, feed_id: i64, number: u64) -> Result<i64, StoreError> {
        let sql = "SELECT arrival FROM segment WHERE feed_id = ?1 AND number = ?2";
        let key = params![feed_id, signed(number)];
        Ok(self.ledger.prepare_cached(sql)?.query_row(key, |row| row.get(0))?)
    }

    fn read_run(
        &self,
        wanted: &ReadSegments,
        feeds: &BTreeMap<i64, (AuthorId, u64, u64)>,
        first: i64,
        read: &mut SegmentsRead,
    ) -> Result<(), StoreError> {
        let beyond: Vec<String> = feeds
            .iter()
            .map(|(id, (_, have, _))| format!("(feed_id = {id} AND number >= {have})"))
            .collect();
        let mut query = self.ledger.prepare(&format!(
            "SELECT feed_id, number, hash, plain, seal FROM segment WHERE arrival IN \
             (SELECT arrival FROM segment WHERE arrival >= ?1 AND ({}) ORDER BY arrival LIMIT {}) \
             ORDER BY arrival",
            beyond.join(" OR "),
            READ_SEGMENTS_MAX + 1
        ))?;
        let mut found = query.query([first])?;
        let mut bytes = 0;
        while let Some(row) = found.next()? {
            let id: i64 = row.get(0)?;
            let Some((author, _, base)) = feeds.get(&id) else { continue };
            let number = rows::count(row, 1)?.saturating_sub(*base);
            if bytes >= wanted.bytes_max || read.segments.len() >= READ_SEGMENTS_MAX {
                read.more = true;
                break;
            }
            let plain: Vec<u8> = row.get(3)?;
            bytes += plain.len();
            let feed = FeedId { slice: wanted.slice, lane: wanted.lane, author: *author };
            let chain = self.chain(author.key)?.unwrap_or_default();
            let sealed = Sealed { plain, seal: rows::array(row, 4)? };
            read.segments.push(Outgoing { feed, number, hash: rows::hash(row, 2)?, sealed, chain });
        }
        Ok(())
    }

    /// Adds an own entry to the tail.
    pub fn push_tail(&self, slice: SliceId, lane: Lane, entry: &[u8]) -> Result<i64, StoreError> {
        self.ledger
            .prepare_cached(
                "INSERT INTO tail (is_ledger, place, lane, entry) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![is_ledger(slice), slice.place.0, lane.code(), entry])?;
        Ok(self.ledger.last_insert_rowid())
    }

    /// The tail of one slice and lane, oldest first.
    pub fn tail(&self, slice: SliceId, lane: Lane) -> Result<Vec<TailEntry>, StoreError> {
        let mut query = self.ledger.prepare_cached(
            "SELECT position, entry FROM tail WHERE is_ledger = ?1 AND place = ?2 AND lane = ?3 \
             ORDER BY position",
        )?;
        let key = params![is_ledger(slice), slice.place.0, lane.code()];
        let found = query
            .query_map(key, |row| Ok(TailEntry { position: row.get(0)?, bytes: row.get(1)? }))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Slices and lanes with unsealed entries: entries and bytes of each.
    pub fn tails(&self) -> Result<Vec<(SliceId, Lane, u64, u64)>, StoreError> {
        let mut query = self.ledger.prepare_cached(
            "SELECT is_ledger, place, lane, count(*), sum(length(entry)) FROM tail \
             GROUP BY is_ledger, place, lane",
        )?;
        let found = query.query_map([], |row| {
            let lane = Lane::from_code(row.get(2)?).unwrap_or(Lane::Ordinary);
            Ok((rows::slice(row, 0)?, lane, rows::count(row, 3)?, rows::count(row, 4)?))
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Takes entries out of the tail, in the transaction that appends their segment.
    pub fn drop_tail(&self, slice: SliceId, lane: Lane, up_to: i64) -> Result<(), StoreError> {
        let sql = "DELETE FROM tail WHERE is_ledger = ?1 AND place = ?2 AND lane = ?3 \
                   AND position <= ?4";
        let key = params![is_ledger(slice), slice.place.0, lane.code(), up_to];
        self.ledger.prepare_cached(sql)?.execute(key)?;
        Ok(())
    }

    /// SQLite's own check of both files, and the seal and chain of every segment.
    pub fn check_segments(&self) -> Result<(u64, Vec<String>), StoreError> {
        let mut problems = Vec::new();
        for (name, connection) in [("ledger.db", &self.ledger), ("derived.db", &self.derived)] {
            let word: String =
                connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
            if word != "ok" {
                problems.push(format!("{name}: {word}"));
            }
        }
        let (mut after, mut seen) = (0, 0);
        loop {
            let segments = self.segments_after(after, 256)?;
            let Some(last) = segments.last() else { break };
            after = last.arrival;
            for stored in segments {
                seen += 1;
                match stored.sealed.open() {
                    Err(error) => problems.push(format!("segment {}: {error}", stored.arrival)),
                    Ok(segment) => problems.extend(self.check_place(&stored, &segment)?),
                }
            }
        }
        let wrong: i64 = self.ledger.query_row(
            "SELECT count(*) FROM feed WHERE count <> (SELECT count(*) FROM segment s \
             WHERE s.feed_id = feed.feed_id) OR (count > 0 AND head <> (SELECT hash FROM segment s \
             WHERE s.feed_id = feed.feed_id ORDER BY number DESC LIMIT 1))",
            [],
            |row| row.get(0),
        )?;
        if wrong > 0 {
            problems.push(format!("{wrong} feed(s) whose head is not the last segment"));
        }
        Ok((seen, problems))
    }

    /// What is wrong with a segment's place: its feed, and that its predecessor is held.
    fn check_place(
        &self,
        stored: &StoredSegment,
        segment: &Segment,
    ) -> Result<Option<String>, StoreError> {
        let feed = segment.feed;
        let sql = "SELECT count(*) FROM feed WHERE feed_id = ?1 AND author_key = ?2 \
                   AND real_epoch = ?3 AND place = ?4";
        let (author, place) = (feed.author, feed.slice.place);
        let key = params![stored.feed_id, author.key.0, author.epoch.0, place.0];
        let filed: i64 = self.ledger.prepare_cached(sql)?.query_row(key, |row| row.get(0))?;
        let sql = "SELECT count(*) FROM feed JOIN segment USING (feed_id) WHERE is_ledger = ?1 \
                   AND place = ?2 AND lane = ?3 AND author_key = ?4 AND real_epoch = ?5 \
                   AND number = ?6 AND hash = ?7";
        let key = params![
            is_ledger(feed.slice),
            place.0,
            feed.lane.code(),
            author.key.0,
            author.epoch.0,
            signed(segment.number) - 1,
            segment.previous.0
        ];
        let before: i64 = self.ledger.prepare_cached(sql)?.query_row(key, |row| row.get(0))?;
        let follows = before > 0 || (segment.number == 0 && segment.previous == Hash::default());
        Ok(if filed == 0 {
            Some(format!("segment {}: filed under another feed", stored.arrival))
        } else if !follows {
            Some(format!("segment {}: its predecessor is not held", stored.arrival))
        } else {
            None
        })
    }
}

fn stored(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredSegment> {
    Ok(StoredSegment {
        arrival: rows::count(row, 0)?,
        feed_id: row.get(1)?,
        sealed: Sealed { plain: row.get(2)?, seal: rows::array(row, 3)? },
        is_branch: row.get(4)?,
    })
}

#[cfg(feature = "sabotage")]
impl Store {
    /// A deliberate defect of the simulator: takes a segment out of the ledger.
    pub(crate) fn sabotage_forget(
        &self,
        arrival: u64,
        feed_id: i64,
        previous: Hash,
        entries: u64,
    ) -> Result<(), StoreError> {
        self.ledger.execute_batch("DROP TRIGGER segment_is_append_only_delete")?;
        self.ledger.execute("DELETE FROM segment WHERE arrival = ?1", [signed(arrival)])?;
        let sql = "UPDATE feed SET count = count - 1, head = ?2, entries = entries - ?3 \
                   WHERE feed_id = ?1";
        self.ledger.execute(sql, params![feed_id, previous.0, signed(entries)])?;
        self.ledger.execute_batch(
            "CREATE TRIGGER segment_is_append_only_delete BEFORE DELETE ON segment \
             BEGIN SELECT RAISE(ABORT, 'segment is append-only'); END;",
        )?;
        Ok(())
    }
}
