//! The projector: follows the ledger, judges entries, and moves records forward.

use std::sync::Arc;

use taizhang_core::directives::{self, RowOrigin};
use taizhang_core::feed::entry::Entry;
use taizhang_core::feed::segment::Segment;
use taizhang_core::id::{AuthorId, FeedId, RecordId, SliceId, SliceKind};
use taizhang_core::limits;
use taizhang_core::place::event::PlaceEvent;
use taizhang_core::record::change::{ScannedChange, scan};
use taizhang_core::record::fold::fold;
use taizhang_core::record::log::{JoinError, Origin};
use taizhang_core::time::UtcMillis;
use taizhang_core::verdict::{
    Judged, SeesMap, Verdict, VoidReason, Waiting, judge, sees_is_applied,
};

use super::Engine;
use crate::store::StoreError;

/// Segments projected in one step, so that saves and acks come between.
const STEP_SEGMENTS: usize = 64;
const POSITION: &str = "position";
const DIRECTIVES_CHANGED: &str = "re-evaluate";

/// Where an entry stands.
#[derive(Clone, Copy)]
pub(crate) struct EntryAt<'a> {
    pub(crate) feed: &'a FeedId,
    pub(crate) sees: &'a SeesMap,
    /// Arrival of its segment and index in it; none for the unsealed tail.
    pub(crate) at: Option<(u64, usize)>,
    /// Number of its segment.
    pub(crate) number: u64,
}

/// What became of an entry.
#[derive(Debug, PartialEq)]
pub(crate) enum Applied {
    Counted,
    Held,
    Parked(Waiting),
    Void(VoidReason),
}

impl Engine {
    /// Projects the next segments; gives whether more work remains.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn project(&mut self, now: UtcMillis, limit: usize) -> Result<bool, StoreError> {
        let position = self.store.derived_meta(POSITION)?.unwrap_or(0);
        let position = u64::try_from(position).unwrap_or(0);
        let segments = self.store.segments_after(position, limit.min(STEP_SEGMENTS))?;
        let Some(last) = segments.last().map(|segment| segment.arrival) else {
            return self.re_evaluate(now);
        };
        let own = self.author;
        let foreign_directive = segments.iter().any(|stored| {
            !stored.is_branch
                && Segment::header(&stored.sealed.plain).is_ok_and(|segment| {
                    segment.feed.slice.kind == SliceKind::Directive && segment.feed.author != own
                })
        });
        if foreign_directive && !self.catching_up {
            self.flush(now)?;
        }
        let mut changed = false;
        let mut slices = std::collections::BTreeSet::new();
        for stored in &segments {
            if stored.is_branch {
                continue;
            }
            let Ok(segment) = Segment::header(&stored.sealed.plain) else { continue };
            slices.insert(segment.feed.slice);
            changed |=
                self.project_segment(stored.feed_id, stored.arrival, &stored.sealed.plain)?;
        }
        // The record that an own entry waits for may stand now.
        self.branch_due |= self.again_waits;
        if changed {
            self.refresh_catalogue();
        }
        let directives_moved = slices.iter().any(|slice| slice.kind == SliceKind::Directive);
        changed |= self.retry_parked(directives_moved, &slices)?;
        self.store.set_derived_meta(POSITION, i64::try_from(last).unwrap_or(i64::MAX))?;
        if std::mem::take(&mut self.rules_due) {
            self.store.set_derived_meta(DIRECTIVES_CHANGED, 0)?;
        }
        if changed {
            self.events.push(super::Event::DirectivesChanged);
        }
        Ok(true)
    }

    fn refresh_catalogue(&mut self) {
        if self.catalogue_dirty {
            self.catalogue_dirty = false;
            Arc::make_mut(&mut self.directives).refresh_catalogue();
        }
    }

    /// Whether segments wait to be projected.
    pub(crate) fn is_behind(&self) -> Result<bool, StoreError> {
        let position = self.store.derived_meta(POSITION)?.unwrap_or(0);
        Ok(u64::try_from(position).unwrap_or(0) < self.store.last_arrival()?)
    }

    /// Projects one segment; gives whether it changed tree, roster, catalogue or policy.
    fn project_segment(
        &mut self,
        feed_id: i64,
        arrival: u64,
        plain: &[u8],
    ) -> Result<bool, StoreError> {
        let Ok(header) = Segment::header(plain) else { return Ok(false) };
        let (feed, number) = (header.feed, header.number);
        if taizhang_core::sabotaged!(PoisonStopsQueue) && self.store.is_poisoned(feed.slice)? {
            return Ok(false);
        }
        let (_, mut sees) = self.store.feed_state(feed_id)?;
        for (slice, author, count) in &header.sees {
            let seen = sees.entry((*slice, *author)).or_default();
            *seen = (*seen).max(*count);
        }
        let mut changed = false;
        if feed.slice.kind == SliceKind::Ledger {
            self.refresh_catalogue();
        }
        match Segment::from_plain(plain) {
            Ok(segment) => {
                let count = segment.entries.len();
                for (index, entry) in segment.entries.iter().enumerate() {
                    if count > 1
                        && index + 1 == count
                        && taizhang_core::sabotaged!(ProjectorSkipsEntry)
                    {
                        continue;
                    }
                    let at =
                        EntryAt { feed: &feed, sees: &sees, at: Some((arrival, index)), number };
                    changed |= self.project_entry(&at, entry)?;
                }
            }
            Err(error) => {
                let reason = VoidReason::Malformed(error.to_string());
                self.store.put_void(arrival, 0, feed.slice, feed.author, &reason)?;
            }
        }
        self.store.set_feed_state(feed_id, number + 1, &sees)?;
        if feed.slice.kind == SliceKind::Directive {
            let count = self.applied_of_feed(&feed, number + 1)?;
            Arc::make_mut(&mut self.directives).set_applied(feed.slice, feed.author, count);
            self.receipts_due.insert(feed.slice);
        }
        Ok(changed)
    }

    /// Segments of a directive feed that are applied: those before the first with a parked entry.
    /// A parked roster entry must not pass as seen.
    pub(crate) fn applied_of_feed(&self, feed: &FeedId, projected: u64) -> Result<u64, StoreError> {
        let mut applied = projected;
        for parked in self.store.parked(Some(feed.slice))? {
            let Some(stored) = self.store.segment_at(parked.arrival)? else { continue };
            if let Ok(header) = Segment::header(&stored.sealed.plain)
                && header.feed == *feed
            {
                applied = applied.min(header.number);
            }
        }
        Ok(applied)
    }

    /// Applies, parks or masks one entry; gives whether directives changed.
    fn project_entry(&mut self, at: &EntryAt<'_>, entry: &Entry) -> Result<bool, StoreError> {
        let applied = self.apply_entry(at, entry)?;
        if let Some((arrival, index)) = at.at {
            match &applied {
                Applied::Parked(waiting) => {
                    self.store.park((arrival, index), at.feed.slice, at.sees, waiting)?;
                }
                Applied::Void(reason) => {
                    self.store.put_void(arrival, index, at.feed.slice, at.feed.author, reason)?;
                }
                Applied::Counted | Applied::Held => {}
            }
        }
        if applied != Applied::Counted || at.feed.slice.kind != SliceKind::Directive {
            return Ok(false);
        }
        let mut changed = false;
        for change in &entry.changes {
            changed |=
                self.directive_row(at.feed.slice, change.record, (at.feed.author, at.number))?;
        }
        Ok(changed)
    }

    /// Takes a changed record of a directive slice into the directives.
    fn directive_row(
        &mut self,
        slice: SliceId,
        record: RecordId,
        position: (AuthorId, u64),
    ) -> Result<bool, StoreError> {
        let catalogue = Arc::clone(&self.directives.catalogue);
        let working = self.working(slice, record)?;
        let position = *working.origin.get_or_insert(position);
        let Some(ledger) = working.log.ledger().and_then(|id| catalogue.ledger(id)) else {
            return Ok(false);
        };
        let Some(row) = fold(&working.log, ledger) else { return Ok(false) };
        if row.ledger == directives::CATALOGUE {
            self.catalogue_dirty = true;
        }
        if row.ledger == directives::EPOCH {
            let epoch = row.text("closed").parse().unwrap_or_default();
            self.store.drop_receipts(AuthorId { key: row.created.author.key, epoch })?;
        }
        let origin = RowOrigin { slice, record, position };
        let half = row.ledger == directives::PLACE_EVENT
            && taizhang_core::sabotaged!(TreeEventHalf)
            && self.identity.authority.is_none();
        let key = row.text("key").parse().unwrap_or_default();
        // Before and after: a line that moves forward makes count what did not.
        let revokes = row.ledger == directives::REVOCATION && self.directives.presumed.is_none();
        let mut crosses = revokes && self.crosses_line(key);
        let changed = !half && Arc::make_mut(&mut self.directives).apply_row(&row, origin);
        let moves = matches!(row.ledger.as_str(), directives::TREE | directives::PLACE_EVENT);
        self.recount_due |= changed && moves;
        let ruled =
            moves || matches!(row.ledger.as_str(), directives::CATALOGUE | directives::POLICY);
        self.rules_due |= changed && ruled;
        crosses |= revokes && (self.crosses_line(key) || self.store.has_fork(key)?);
        let hands_over = row.ledger == directives::PLACE_EVENT
            && matches!(
                serde_json::from_str(&row.text("content")),
                Ok(PlaceEvent::HandOver { .. })
            );
        self.line_changed |= changed && (hands_over || crosses);
        Ok(changed)
    }

    /// Whether segments of a revoked key beyond its line are held: they counted so far.
    fn crosses_line(&self, key: taizhang_core::id::SealKey) -> bool {
        self.held.slices.iter().any(|(slice, frontier)| {
            frontier.heads.iter().any(|((lane, author), head)| {
                let feed = FeedId { slice: *slice, lane: *lane, author: *author };
                author.key == key
                    && self.directives.line(&feed).is_some_and(|line| head.count > line)
            })
        })
    }

    /// Judges an entry and, unless it is parked, puts its changes into the records' logs.
    pub(crate) fn apply_entry(
        &mut self,
        at: &EntryAt<'_>,
        entry: &Entry,
    ) -> Result<Applied, StoreError> {
        if !sees_is_applied(at.feed.slice, at.sees, &self.directives) {
            return Ok(Applied::Parked(Waiting::Directives));
        }
        let malformed = |what: String| Applied::Void(VoidReason::Malformed(what));
        if entry.lamport > limits::LAMPORT_MAX {
            return Ok(malformed("Lamport counter out of bounds".into()));
        }
        let mut joined: Vec<(RecordId, ScannedChange, Vec<usize>)> = Vec::new();
        let mut held = 0;
        for change in &entry.changes {
            let scanned = match scan(&change.bytes) {
                Ok(scanned) => scanned,
                Err(error) => return Ok(malformed(error.to_string())),
            };
            if scanned.actor != at.feed.author.actor() {
                return Ok(malformed("another author's change".into()));
            }
            if joined.iter().any(|(record, _, _)| *record == change.record) {
                return Ok(malformed("two changes of one record".into()));
            }
            let working = self.working(at.feed.slice, change.record)?;
            if working.log.changes.len() >= limits::RECORD_CHANGES_MAX {
                return Ok(malformed("the record has too many changes".into()));
            }
            match working.log.check(&scanned) {
                Ok(deps) => joined.push((change.record, scanned, deps)),
                Err(JoinError::Held) => {
                    working.set_arrival(scanned.hash, at.at.map(|(arrival, _)| arrival));
                    held += 1;
                }
                Err(JoinError::MissingDependency) => {
                    return Ok(Applied::Parked(Waiting::Dependency));
                }
                Err(JoinError::Malformed(what)) => return Ok(malformed(what.into())),
            }
        }
        if held == entry.changes.len() {
            return Ok(Applied::Held);
        }
        let verdict = self.judge_joined(at, &joined)?;
        let counted = match &verdict {
            Verdict::Parked(waiting) => return Ok(Applied::Parked(waiting.clone())),
            Verdict::Void(_) => {
                taizhang_core::sabotaged!(VoidCounted)
            }
            Verdict::Counted => true,
        };
        if !counted && taizhang_core::sabotaged!(VoidRemoved) {
            return Ok(match verdict {
                Verdict::Void(reason) => Applied::Void(reason),
                _ => Applied::Counted,
            });
        }
        let origin = self.origin_of(at, entry, counted)?;
        for (record, scanned, deps) in joined {
            let working = self.working(at.feed.slice, record)?;
            working.log.push(scanned, deps, origin.clone());
            working.dirty = true;
        }
        self.store.raise_lamport(at.feed.slice, entry.lamport)?;
        Ok(match verdict {
            Verdict::Void(reason) => Applied::Void(reason),
            _ => Applied::Counted,
        })
    }

    fn judge_joined(
        &mut self,
        at: &EntryAt<'_>,
        joined: &[(RecordId, ScannedChange, Vec<usize>)],
    ) -> Result<Verdict, StoreError> {
        let mut ledgers = Vec::with_capacity(joined.len());
        for (record, _, _) in joined {
            let working = self.working(at.feed.slice, *record)?;
            ledgers.push(working.log.ledger().map(str::to_owned));
        }
        let changes: Vec<Judged<'_>> = joined
            .iter()
            .zip(&ledgers)
            .map(|((_, change, _), ledger)| Judged { change, ledger: ledger.as_deref() })
            .collect();
        Ok(judge(at.feed, self.position_judged(at), at.sees, &changes, &self.directives))
    }

    /// The position by which revocations judge an entry.
    fn position_judged(&self, at: &EntryAt<'_>) -> u64 {
        let by_time = taizhang_core::sabotaged!(RevocationByTime)
            && self.directives.revoked.contains(at.feed.author.key);
        if by_time { 0 } else { at.number }
    }

    /// Who wrote an entry: by the roster, or by the chain that came ahead of the feed (the city's
    /// own roster entry is the first of all).
    fn origin_of(
        &self,
        at: &EntryAt<'_>,
        entry: &Entry,
        counted: bool,
    ) -> Result<Origin, StoreError> {
        let key = at.feed.author.key;
        let (level, place) = match self.directives.roster.get(&key) {
            Some(known) => (known.certified.level, known.certified.place),
            None => {
                let chain = self.store.chain(key)?.unwrap_or_default();
                let certified = self.directives.reader().read(&chain).ok();
                certified.map(|one| (one.level, one.place)).unwrap_or_default()
            }
        };
        Ok(Origin {
            author: at.feed.author,
            level,
            place,
            lamport: entry.lamport,
            time: entry.time,
            person: entry.person.clone(),
            arrival: at.at.map(|(arrival, _)| arrival),
            counted,
        })
    }

    /// Tries parked entries again: all when directives moved, else those of the slices touched. Gives
    /// whether tree, roster, catalogue or policy changed.
    fn retry_parked(
        &mut self,
        all: bool,
        slices: &std::collections::BTreeSet<SliceId>,
    ) -> Result<bool, StoreError> {
        let mut changed = false;
        loop {
            let mut parked = Vec::new();
            if all || std::mem::take(&mut self.unparked_directives) {
                parked = self.store.parked(None)?;
            } else {
                for slice in slices {
                    parked.extend(self.store.parked(Some(*slice))?);
                }
            }
            let mut progress = false;
            for one in parked {
                // What its author had seen is not applied yet: nothing to look at.
                let ready = sees_is_applied(one.slice, &one.sees, &self.directives);
                if one.for_directives && !ready {
                    continue;
                }
                let Some(stored) = self.store.segment_at(one.arrival)? else { continue };
                let Ok(segment) = Segment::from_plain(&stored.sealed.plain) else { continue };
                let Some(entry) = segment.entries.get(one.entry) else { continue };
                let at = EntryAt {
                    feed: &segment.feed,
                    sees: &one.sees,
                    at: Some((one.arrival, one.entry)),
                    number: segment.number,
                };
                self.store.unpark(one.arrival, one.entry)?;
                if self.project_entry(&at, entry)? {
                    self.refresh_catalogue();
                    changed = true;
                }
                let done = !self.store.is_parked(one.arrival, one.entry)?;
                if done && segment.feed.slice.kind == SliceKind::Directive {
                    let (projected, _) = self.store.feed_state(stored.feed_id)?;
                    let count = self.applied_of_feed(&segment.feed, projected)?;
                    let directives = Arc::make_mut(&mut self.directives);
                    directives.set_applied(segment.feed.slice, segment.feed.author, count);
                    self.receipts_due.insert(segment.feed.slice);
                    self.unparked_directives = true;
                }
                progress |= done;
            }
            if !progress {
                return Ok(changed);
            }
        }
    }

    /// Projects own unsealed entries, at start and after a rebuild.
    pub(crate) fn project_tail(&mut self, _now: UtcMillis) -> Result<(), StoreError> {
        for (slice, lane, _, _) in self.store.tails()? {
            let feed = FeedId { slice, lane, author: self.author };
            let sees = self.sees_now(slice);
            for one in self.store.tail(slice, lane)? {
                let entry = Entry::from_bytes(&one.bytes)
                    .map_err(|error| StoreError::Damaged(format!("the unsealed tail: {error}")))?;
                let number = self.store.feed(&feed)?.head.count;
                let at = EntryAt { feed: &feed, sees: &sees, at: None, number };
                self.apply_entry(&at, &entry)?;
            }
        }
        Ok(())
    }
}
