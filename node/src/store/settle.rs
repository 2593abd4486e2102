//! Which branch of a forked feed counts: at each fork the one that a revocation names, else the one whose
//! first segment has the smaller hash (decision 0007). A branch that forks again goes on with the smaller hash too,
//! so that labels mean the same on every replica that holds the same segments.

use std::collections::BTreeMap;

use rusqlite::params;
use taizhang_core::feed::fork::branch_label;
use taizhang_core::feed::line::Pin;
use taizhang_core::feed::segment::Segment;
use taizhang_core::id::{AuthorId, Epoch, FeedId, Hash, SealKey};

use super::branch::Row;
use super::rows::{self, signed};
use super::{Store, StoreError};

/// What settling a feed did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Settled {
    /// Segments are filed under other labels now: sessions start over.
    pub filed_anew: bool,
    /// Another branch counts now: what was projected is made anew.
    pub line_changed: bool,
}

impl Store {
    /// Files the branches of a feed so that the one that counts is its line. Idempotent; belongs in a
    /// transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn settle_line(&self, real: &FeedId, pin: Option<Pin>) -> Result<Settled, StoreError> {
        let mut settled = Settled::default();
        // Each exchange moves one fork to where it belongs, from the root of the feed on.
        while let Some((standing, branch)) = self.misplaced(real, pin)? {
            self.exchange(real, standing, branch)?;
            settled.filed_anew = true;
            settled.line_changed |= standing.label == real.author.epoch;
        }
        Ok(settled)
    }

    /// Feeds that forked here.
    pub fn forked_feeds(&self) -> Result<Vec<FeedId>, StoreError> {
        let sql = "SELECT DISTINCT is_ledger, place, lane, author_key, real_epoch FROM feed \
                   WHERE epoch <> real_epoch";
        let mut query = self.ledger.prepare_cached(sql)?;
        let found = query.query_map([], |row| rows::feed(row, 0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Branches, and how many segments of their feed come before each.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn bases(&self) -> Result<BTreeMap<FeedId, u64>, StoreError> {
        let sql = "SELECT is_ledger, place, lane, author_key, epoch, base FROM feed \
                   WHERE epoch <> real_epoch";
        let mut query = self.ledger.prepare_cached(sql)?;
        let found = query.query_map([], |row| Ok((rows::feed(row, 0)?, rows::count(row, 5)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Whether a feed of a key forked here.
    pub fn has_fork(&self, key: SealKey) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM feed WHERE author_key = ?1 AND epoch <> real_epoch";
        Ok(self.ledger.prepare_cached(sql)?.exists([key.0])?)
    }

    /// A row, and a branch off it that should go on in its place.
    fn misplaced(&self, real: &FeedId, pin: Option<Pin>) -> Result<Option<(Row, Row)>, StoreError> {
        let rows = self.rows_of_feed(real)?;
        let Some(main) = rows.iter().copied().find(|row| row.label == real.author.epoch) else {
            return Ok(None);
        };
        let way = self.way_to(&rows, main, pin)?;
        for branch in rows.iter().copied().filter(|row| row.label != main.label) {
            let (first, Some(parent)) = self.root_of(&rows, main, branch)? else { continue };
            let Some(standing) = self.segment_hash(parent.id, branch.base)? else { continue };
            let pinned = parent.label == main.label
                && pin.is_some_and(|pin| !way.is_empty() && branch.base <= pin.number);
            let wins = if pinned { way.contains(&branch.label) } else { first < standing };
            if wins {
                return Ok(Some((parent, branch)));
            }
        }
        Ok(None)
    }

    /// Labels of the rows on the way from a pinned segment to the root of its feed; empty if it is not
    /// held.
    fn way_to(&self, rows: &[Row], main: Row, pin: Option<Pin>) -> Result<Vec<Epoch>, StoreError> {
        let Some(pin) = pin else { return Ok(Vec::new()) };
        let mut at = self.row_with(rows, pin.number, pin.hash)?;
        let mut way = Vec::new();
        while let Some(row) = at.filter(|row| !way.contains(&row.label)) {
            way.push(row.label);
            at = self.root_of(rows, main, row)?.1;
        }
        Ok(way)
    }

    /// The hash of a row's first segment, and the row that it goes on from.
    pub(super) fn root_of(
        &self,
        rows: &[Row],
        main: Row,
        row: Row,
    ) -> Result<(Hash, Option<Row>), StoreError> {
        let sql = "SELECT hash, plain FROM segment WHERE feed_id = ?1 AND number = ?2";
        let mut query = self.ledger.prepare_cached(sql)?;
        let (first, plain): (Hash, Vec<u8>) = query
            .query_row(params![row.id, signed(row.base)], |row| {
                Ok((rows::hash(row, 0)?, row.get(1)?))
            })?;
        let Some(before) = row.base.checked_sub(1) else {
            // A fork of the first segment: the line is beside it.
            return Ok((first, Some(main)));
        };
        let previous = Segment::header(&plain)
            .map_err(|error| StoreError::Damaged(format!("a stored segment: {error}")))?
            .previous;
        Ok((first, self.row_with(rows, before, previous)?))
    }

    /// What stood on a row from the branch's base on becomes a branch, and the branch goes on there.
    fn exchange(&self, real: &FeedId, main: Row, branch: Row) -> Result<(), StoreError> {
        let standing = self.segment_hash(main.id, branch.base)?.unwrap_or_default();
        let AuthorId { epoch, .. } = branch_label(real.author, standing);
        let other = self.add_row(real, epoch, branch.base)?;
        let moved = "UPDATE segment SET feed_id = ?1 WHERE feed_id = ?2 AND number >= ?3";
        self.ledger.execute(moved, params![other.id, main.id, signed(branch.base)])?;
        self.ledger.execute(moved, params![main.id, branch.id, signed(branch.base)])?;
        self.ledger.execute("DELETE FROM feed WHERE feed_id = ?1", [branch.id])?;
        for row in [main, other] {
            let sql = "UPDATE feed SET head = ?2, \
                       count = (SELECT count(*) FROM segment WHERE feed_id = ?1) WHERE feed_id = ?1";
            self.ledger.execute(sql, params![row.id, self.last_hash(row.id)?.0])?;
        }
        Ok(())
    }
}
