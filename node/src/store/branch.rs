//! Filing a foreign segment: on the line, on a branch, or as the first of a new branch.

use rusqlite::{OptionalExtension as _, params};
use taizhang_core::feed::fork::branch_label;
use taizhang_core::feed::frontier::Head;
use taizhang_core::feed::line::Pin;
use taizhang_core::feed::segment::Sealed;
use taizhang_core::id::{AuthorId, Epoch, FeedId, Hash};
use taizhang_core::sync::inbound::Above;
use taizhang_core::time::UtcMillis;

use super::rows::{self, is_ledger, signed};
use super::settle::Settled;
use super::{Store, StoreError};

/// Branches of one feed that are kept: two prove a fork; more come from several clones.
pub const BRANCHES_MAX: usize = 8;

/// Branches of all feeds under one key that are kept. An author chooses its epochs, and each fork of its making
/// costs every office above a rebuild; clones of an honest one make a few for each of its lanes.
pub const KEY_BRANCHES_MAX: i64 = 64;

/// Where a segment was filed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Filed {
    /// It is new. `line_changed` if what counts of the feed is another branch now.
    New {
        /// The line or branch, by its label.
        feed: FeedId,
        /// Its head.
        head: Head,
        /// Whether it began a branch, or others are filed anew.
        forked: bool,
        /// Whether another branch counts now.
        line_changed: bool,
        /// Off what it goes.
        above: Above,
    },
    /// It was held already, there.
    Held(FeedId, Head, Above),
    /// Its predecessor is not held; whether the feed has branches, on one of which it may stand.
    Unknown {
        /// Whether it has.
        forked: bool,
    },
    /// The feed has too many branches.
    TooMany,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) label: Epoch,
    pub(super) base: u64,
    pub(super) count: u64,
}

impl Store {
    /// Files a verified segment of `real` (the feed that its header names); `pin` is what a revocation
    /// says of it.
    pub fn file_segment(
        &self,
        real: &FeedId,
        number: u64,
        previous: Hash,
        sealed: &Sealed,
        pin: Option<Pin>,
        now: UtcMillis,
    ) -> Result<Filed, StoreError> {
        let hash = sealed.hash();
        let rows = self.rows_of_feed(real)?;
        if let Some(row) = self.row_with(&rows, number, hash)? {
            let above = self.above(real, &rows, row)?;
            return Ok(Filed::Held(labelled(real, row.label), self.head_of(row.id)?, above));
        }
        let before = match number.checked_sub(1) {
            Some(before) => match self.row_with(&rows, before, previous)? {
                Some(row) => Some(row),
                None => return Ok(Filed::Unknown { forked: rows.len() > 1 }),
            },
            None if previous != Hash::default() => {
                return Ok(Filed::Unknown { forked: rows.len() > 1 });
            }
            None => rows.iter().copied().find(|row| row.label == real.author.epoch),
        };
        let row = match before {
            // The epoch is a label here: an author chooses its epochs.
            None if self.feed(real)?.id != 0 => return Ok(Filed::TooMany),
            None => self.add_row(real, real.author.epoch, 0)?,
            Some(row) if row.base + row.count == number => row,
            Some(_) if rows.len() > BRANCHES_MAX => return Ok(Filed::TooMany),
            Some(_) if self.branches_under(real)? >= KEY_BRANCHES_MAX => {
                return Ok(Filed::TooMany);
            }
            Some(_) => {
                // An author chooses its epochs, and might choose one that is a label here.
                let label = branch_label(real.author, hash);
                if self.feed(&FeedId { author: label, ..*real })?.id != 0 {
                    return Ok(Filed::TooMany);
                }
                self.add_row(real, label.epoch, number)?
            }
        };
        let forked = row.count == 0 && row.label != real.author.epoch;
        self.push_segment(row, number, sealed, now)?;
        let settled = match forked || pin.is_some() {
            true => self.settle_line(real, pin)?,
            false => Settled::default(),
        };
        let rows = self.rows_of_feed(real)?;
        let filed = self.row_with(&rows, number, hash)?;
        let row = filed.ok_or_else(|| StoreError::Damaged(format!("{real}: segment {number}")))?;
        let (feed, head) = (labelled(real, row.label), self.head_of(row.id)?);
        let (forked, line_changed) = (forked || settled.filed_anew, settled.line_changed);
        let above = self.above(real, &rows, row)?;
        Ok(Filed::New { feed, head, forked, line_changed, above })
    }

    /// Off what a branch goes, and how far in; up to the line.
    fn above(&self, real: &FeedId, rows: &[Row], row: Row) -> Result<Above, StoreError> {
        let Some(main) = rows.iter().copied().find(|row| row.label == real.author.epoch) else {
            return Ok(Above::new());
        };
        let (mut above, mut at) = (Above::new(), row);
        while at.label != main.label && above.len() < rows.len() {
            let (_, Some(parent)) = self.root_of(rows, main, at)? else { break };
            above.push((labelled(real, parent.label), at.base.saturating_sub(parent.base)));
            at = parent;
        }
        Ok(above)
    }

    fn branches_under(&self, feed: &FeedId) -> Result<i64, StoreError> {
        let sql = "SELECT count(*) FROM feed WHERE author_key = ?1 AND epoch <> real_epoch";
        let mut query = self.ledger.prepare_cached(sql)?;
        Ok(query.query_row([feed.author.key.0], |row| row.get(0))?)
    }

    pub(super) fn rows_of_feed(&self, real: &FeedId) -> Result<Vec<Row>, StoreError> {
        let mut query = self.ledger.prepare_cached(
            "SELECT feed_id, epoch, base, count FROM feed WHERE is_ledger = ?1 AND place = ?2 \
             AND lane = ?3 AND author_key = ?4 AND real_epoch = ?5 ORDER BY feed_id",
        )?;
        let key = params![
            is_ledger(real.slice),
            real.slice.place.0,
            real.lane.code(),
            real.author.key.0,
            real.author.epoch.0
        ];
        let found = query.query_map(key, |row| {
            Ok(Row {
                id: row.get(0)?,
                label: Epoch(rows::array(row, 1)?),
                base: rows::count(row, 2)?,
                count: rows::count(row, 3)?,
            })
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    pub(super) fn row_with(
        &self,
        rows: &[Row],
        number: u64,
        hash: Hash,
    ) -> Result<Option<Row>, StoreError> {
        for row in rows {
            if self.segment_hash(row.id, number)? == Some(hash) {
                return Ok(Some(*row));
            }
        }
        Ok(None)
    }

    pub(super) fn add_row(
        &self,
        real: &FeedId,
        label: Epoch,
        base: u64,
    ) -> Result<Row, StoreError> {
        self.ledger
            .prepare_cached(
                "INSERT INTO feed (is_ledger, place, lane, author_key, epoch, head, real_epoch, base) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                is_ledger(real.slice),
                real.slice.place.0,
                real.lane.code(),
                real.author.key.0,
                label.0,
                Hash::default().0,
                real.author.epoch.0,
                signed(base)
            ])?;
        Ok(Row { id: self.ledger.last_insert_rowid(), label, base, count: 0 })
    }

    fn push_segment(
        &self,
        row: Row,
        number: u64,
        sealed: &Sealed,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        let hash = sealed.hash();
        self.insert_segment(row.id, number, sealed, hash, now)?;
        self.set_row(row.id, number + 1 - row.base, hash)
    }

    fn set_row(&self, feed_id: i64, count: u64, head: Hash) -> Result<(), StoreError> {
        self.ledger
            .prepare_cached("UPDATE feed SET count = ?2, head = ?3 WHERE feed_id = ?1")?
            .execute(params![feed_id, signed(count), head.0])?;
        Ok(())
    }

    pub(super) fn last_hash(&self, feed_id: i64) -> Result<Hash, StoreError> {
        let sql = "SELECT hash FROM segment WHERE feed_id = ?1 ORDER BY number DESC LIMIT 1";
        let mut query = self.ledger.prepare_cached(sql)?;
        let found = query.query_row([feed_id], |row| rows::hash(row, 0)).optional()?;
        Ok(found.unwrap_or_default())
    }

    fn head_of(&self, feed_id: i64) -> Result<Head, StoreError> {
        let sql = "SELECT count, head FROM feed WHERE feed_id = ?1";
        let mut query = self.ledger.prepare_cached(sql)?;
        Ok(query.query_row([feed_id], |row| {
            Ok(Head { count: rows::count(row, 0)?, hash: rows::hash(row, 1)? })
        })?)
    }

    /// Position within its line or branch of the segment with a real number.
    pub fn position_in(&self, feed: &FeedId, number: u64) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT base FROM feed WHERE is_ledger = ?1 AND place = ?2 AND lane = ?3 \
                   AND author_key = ?4 AND epoch = ?5";
        let key = params![
            is_ledger(feed.slice),
            feed.slice.place.0,
            feed.lane.code(),
            feed.author.key.0,
            feed.author.epoch.0
        ];
        let mut query = self.ledger.prepare_cached(sql)?;
        let base = query.query_row(key, |row| rows::count(row, 0)).optional()?;
        Ok(base.and_then(|base| number.checked_sub(base)))
    }

    /// Whether a feed's segment is on a branch that does not count.
    pub fn is_branch(&self, feed_id: i64) -> Result<bool, StoreError> {
        let sql = "SELECT epoch <> real_epoch FROM feed WHERE feed_id = ?1";
        Ok(self.ledger.prepare_cached(sql)?.query_row([feed_id], |row| row.get(0))?)
    }

    /// Arrival positions of segments on branches that do not count; of one key, or all.
    pub fn branch_segments(
        &self,
        key: Option<taizhang_core::id::SealKey>,
    ) -> Result<Vec<u64>, StoreError> {
        let mut query = self.ledger.prepare_cached(
            "SELECT arrival FROM feed CROSS JOIN segment USING (feed_id) WHERE epoch <> real_epoch \
             AND (?1 IS NULL OR author_key = ?1) ORDER BY arrival",
        )?;
        let found = query.query_map(params![key.map(|key| key.0)], |row| rows::count(row, 0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }
}

fn labelled(real: &FeedId, label: Epoch) -> FeedId {
    FeedId { author: AuthorId { key: real.author.key, epoch: label }, ..*real }
}
