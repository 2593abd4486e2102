//! Cutting the tail into sealed segments: once, durably, before a byte is sent.

use taizhang_core::feed::entry::Entry;
use taizhang_core::feed::segment::{Sees, Segment};
use taizhang_core::id::{FeedId, Lane, SliceId};
use taizhang_core::limits;
use taizhang_core::place::judging_slices;
use taizhang_core::time::UtcMillis;
use taizhang_core::verdict::SeesMap;

use super::Engine;
use crate::store::StoreError;
use crate::store::ledger::TailEntry;

impl Engine {
    /// What own entries in `slice` see now: the applied frontier of the directive slices on its
    /// path, the own feed in the slice itself excepted.
    pub(crate) fn sees_now(&self, slice: SliceId) -> SeesMap {
        let path = judging_slices(slice, &self.directives.tree);
        self.directives
            .applied
            .iter()
            .filter(|((seen, author), _)| {
                path.contains(seen) && !(*seen == slice && *author == self.author)
            })
            .map(|(feed, count)| (*feed, *count))
            .collect()
    }

    /// Cuts the tail of one slice and lane into segments.
    pub(crate) fn cut(
        &mut self,
        slice: SliceId,
        lane: Lane,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        let mut rest = self.store.tail(slice, lane)?;
        while !rest.is_empty() {
            let count = run_length(&rest);
            let later = rest.split_off(count);
            self.cut_run(slice, lane, &rest, now)?;
            rest = later;
        }
        Ok(())
    }

    fn cut_run(
        &mut self,
        slice: SliceId,
        lane: Lane,
        run: &[TailEntry],
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        let feed = FeedId { slice, lane, author: self.author };
        let row = self.store.feed(&feed)?;
        let entries: Vec<Entry> = run
            .iter()
            .map(|one| {
                Entry::from_bytes(&one.bytes)
                    .map_err(|error| StoreError::Damaged(format!("the unsealed tail: {error}")))
            })
            .collect::<Result<_, _>>()?;
        let now_seen = self.sees_now(slice);
        let key = format!("sees {feed}");
        let before: SeesMap = self
            .store
            .meta(&key)?
            .and_then(|bytes| serde_json::from_slice::<Vec<_>>(&bytes).ok())
            .map(|pairs: Vec<_>| pairs.into_iter().collect())
            .unwrap_or_default();
        let sees: Sees = now_seen
            .iter()
            .filter(|(feed, count)| before.get(*feed).copied().unwrap_or(0) < **count)
            .map(|((slice, author), count)| (*slice, *author, *count))
            .take(limits::SEES_FEEDS_MAX)
            .collect();
        let count = entries.len() as u64;
        let segment = Segment {
            feed,
            number: row.head.count,
            first_entry: row.entries,
            previous: row.head.hash,
            sees,
            entries,
        };
        let sealed = segment.seal(&self.identity.seal);
        self.store.append_segment(&feed, &sealed, count, now)?;
        let pairs: Vec<_> = now_seen.into_iter().collect();
        self.store.set_meta(&key, &serde_json::to_vec(&pairs).unwrap_or_default())?;
        if let Some(last) = run.last() {
            self.store.drop_tail(slice, lane, last.position)?;
        }
        crate::fail_point!(TailSealed);
        let head =
            taizhang_core::feed::frontier::Head { count: segment.number + 1, hash: sealed.hash() };
        self.advanced.push((feed, head));
        self.receipts_due.insert(slice);
        Ok(())
    }

    /// Cuts every tail: before a sync flush, before directives apply, before a slice hash.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn flush(&mut self, now: UtcMillis) -> Result<(), StoreError> {
        for (slice, lane, _, _) in self.store.tails()? {
            self.cut(slice, lane, now)?;
        }
        Ok(())
    }

    /// Cuts a tail that has reached the size at which it must be cut.
    pub(crate) fn cut_if_full(
        &mut self,
        slice: SliceId,
        lane: Lane,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        let full = self.store.tails()?.into_iter().any(|(one, one_lane, entries, bytes)| {
            one == slice
                && one_lane == lane
                && (entries >= limits::SEGMENT_ENTRIES_MAX as u64
                    || bytes >= limits::SEGMENT_BYTES_CUT as u64)
        });
        if full { self.cut(slice, lane, now) } else { Ok(()) }
    }
}

/// How many entries make the next segment: 64, or 16 KiB, or one larger entry.
fn run_length(tail: &[TailEntry]) -> usize {
    let mut bytes = 0;
    for (at, entry) in tail.iter().enumerate() {
        bytes += entry.bytes.len();
        if at == limits::SEGMENT_ENTRIES_MAX || (at > 0 && bytes > limits::SEGMENT_BYTES_CUT) {
            return at;
        }
    }
    tail.len()
}

/// A deliberate defect of the simulator: the last own segment goes back into the tail, as if it had
/// been sent before it was committed.
#[cfg(feature = "sabotage")]
impl Engine {
    /// Forgets the last cut of a ledger slice, although it may have been sent.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn forget_last_cut(&mut self) -> Result<(), StoreError> {
        let own = self.author;
        let mut last = None;
        for stored in self.store.segments_after(0, usize::MAX >> 1)? {
            if let Ok(segment) = Segment::from_plain(&stored.sealed.plain)
                && segment.feed.author == own
                && segment.feed.lane != Lane::Directive
            {
                last = Some((stored.arrival, stored.feed_id, segment));
            }
        }
        let Some((arrival, feed_id, segment)) = last else { return Ok(()) };
        self.store.sabotage_forget(
            arrival,
            feed_id,
            segment.previous,
            segment.entries.len() as u64,
        )?;
        for entry in &segment.entries {
            self.store.push_tail(segment.feed.slice, segment.feed.lane, &entry.to_bytes())?;
        }
        self.held = self.store.frontiers()?;
        Ok(())
    }
}
