//! Amnesia, forks and clones: opening a new epoch, and writing own entries again in it.
//!
//! Continuity is never guessed from numbers. A segment under our own seal that we did not cut proves
//! that this folder is an older copy, or that another one writes too; a folder on another machine is
//! bound anew. Then the epoch is closed, what was not sealed is set aside in the same transaction,
//! `derived.db` is made anew without it, and it is written again under the new epoch (DESIGN §4).

use taizhang_core::feed::entry::{Action, Entry, RecordChange};
use taizhang_core::feed::segment::Segment;
use taizhang_core::id::{AuthorId, Epoch, FeedId, Lane, RecordId, SliceId, SliceKind};
use taizhang_core::record::change::scan;
use taizhang_core::record::edit::{creation, rewrite};
use taizhang_core::record::value::LEDGER_KEY;
use taizhang_core::time::UtcMillis;
use taizhang_core::verdict::Waiting;

use super::Engine;
use super::ingest::HealReason;
use super::save::SaveError;
use crate::store::StoreError;

/// An own entry that does not count because its branch does not.
struct Lost {
    hash: taizhang_core::id::Hash,
    index: usize,
    is_branch: bool,
    author: AuthorId,
    slice: SliceId,
    lane: Lane,
    entry: Entry,
}

/// Local value: the folder's binding to its machine.
const BINDING: &str = "binding";
/// Local value: the epoch that was closed and not yet stated as such.
const CLOSED: &str = "closed epoch";
/// Local value: what [`Engine::heal`] has to do, as words.
const DUE: &str = "heal due";
/// In [`DUE`]: no new epoch, but `derived.db` is to be made anew.
const REBUILD: &str = "rebuild";

impl Engine {
    /// Binds the folder to `machine` (an id kept outside it). A folder that was bound to another one
    /// was copied or restored: continuity cannot be proven, so a new epoch opens.
    pub(crate) fn bind(&mut self, machine: &[u8; 32], now: UtcMillis) -> Result<(), StoreError> {
        match self.store.meta(BINDING)? {
            Some(bound) if bound == machine => Ok(()),
            Some(_) => {
                self.heal_due = Some(HealReason::Moved);
                self.heal(now)?;
                self.store.set_meta(BINDING, machine)
            }
            None => self.store.set_meta(BINDING, machine),
        }
    }

    /// Whether [`Self::heal`] has something to do.
    pub fn needs_healing(&self) -> bool {
        self.heal_due.is_some() || self.line_changed || self.branch_due
    }

    /// Keeps what is due with the commit that made it so: the process may end before it heals.
    pub(crate) fn note_due(&mut self) -> Result<(), StoreError> {
        let due = match self.heal_due {
            Some(reason) => reason.word(),
            None if self.needs_healing() => REBUILD,
            None => "",
        };
        if self.noted_due != Some(due) {
            self.store.set_meta(DUE, due.as_bytes())?;
            self.noted_due = Some(due);
        }
        Ok(())
    }

    /// Takes up what was due when the process ended.
    pub(crate) fn recall_due(&mut self) -> Result<(), StoreError> {
        let due = self.store.meta(DUE)?.unwrap_or_default();
        self.heal_due = HealReason::ALL.into_iter().find(|one| one.word().as_bytes() == due);
        self.line_changed = !due.is_empty();
        self.branch_due = self.line_changed;
        Ok(())
    }

    /// Opens a new epoch if continuity was lost, makes `derived.db` anew if another branch counts,
    /// and writes own entries again. Makes its own transactions.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; it can be called again.
    pub fn heal(&mut self, now: UtcMillis) -> Result<(), StoreError> {
        if taizhang_core::sabotaged!(EpochReused) {
            self.heal_due = None;
        }
        loop {
            if let Some(reason) = self.heal_due {
                self.open_epoch(reason, now)?;
                crate::fail_point!(EpochOpened);
                self.heal_due = None;
                self.line_changed = true;
            }
            if self.line_changed {
                self.rebuild(now)?;
                self.line_changed = false;
            }
            // What waits for a lost branch under the present actor would leave a gap in its sequence.
            if !self.waits_for_branch()? {
                break;
            }
            self.heal_due = Some(HealReason::Forked);
        }
        // A closed epoch's receipts are withdrawn: what is held is stated again in the present one.
        self.recall_receipts()?;
        self.begin()?;
        match self.write_again(now) {
            Ok(()) => {
                crate::fail_point!(WrittenAgain);
                self.branch_due = false;
                self.commit()
            }
            Err(error) => {
                self.abort();
                Err(error)
            }
        }
    }

    fn waits_for_branch(&mut self) -> Result<bool, StoreError> {
        let lost = self.lost_entries()?;
        let sealed = lost.iter().any(|one| one.author == self.author && !one.is_branch);
        Ok(sealed || self.tail_waits()?)
    }

    /// Whether an unsealed entry did not find its place in the projection just made.
    fn tail_waits(&mut self) -> Result<bool, StoreError> {
        for (slice, lane, _, _) in self.store.tails()? {
            for one in self.store.tail(slice, lane)? {
                let Ok(entry) = Entry::from_bytes(&one.bytes) else { continue };
                for change in &entry.changes {
                    let Ok(scanned) = scan(&change.bytes) else { continue };
                    let log = &self.working(slice, change.record)?.log;
                    if log.position(scanned.hash).is_none() {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    /// Closes the present epoch: from here on this folder writes as another author.
    fn open_epoch(&mut self, reason: HealReason, now: UtcMillis) -> Result<(), StoreError> {
        let mut epoch = Epoch(self.random());
        if taizhang_core::sabotaged!(EpochCounted) {
            epoch.0 = (u128::from_be_bytes(self.author.epoch.0) + 1).to_be_bytes();
        }
        self.begin()?;
        let closing = self.author.epoch;
        let result = self
            .store
            .tail_to_again()
            .and_then(|()| self.store.set_meta("epoch", &epoch.0))
            .and_then(|()| {
                let text = format!("{}{}", closing, reason.word());
                self.store.set_meta(CLOSED, text.as_bytes())
            })
            .and_then(|()| {
                let text = format!("epoch {} closed: {}", closing.short(), reason.word());
                self.store.audit("new epoch", &text, now)
            })
            .and_then(|()| self.store.set_meta(DUE, REBUILD.as_bytes()));
        if let Err(error) = result {
            self.abort();
            return Err(error);
        }
        self.working.clear();
        self.store.commit()?;
        self.noted_due = Some(REBUILD);
        self.author = AuthorId { key: self.author.key, epoch };
        self.events.push(super::Event::Restart);
        Ok(())
    }

    /// Own entries on branches that do not count, then own entries that wait for such; those written
    /// again before are left out.
    fn lost_entries(&self) -> Result<Vec<Lost>, StoreError> {
        let mut places: Vec<(u64, Option<usize>)> = Vec::new();
        for arrival in self.store.branch_segments(Some(self.author.key))? {
            places.push((arrival, None));
        }
        if !self.store.branch_segments(None)?.is_empty() {
            let waiting = [Waiting::Dependency, Waiting::Directives];
            for parked in self.store.parked_for(&waiting)? {
                places.push((parked.0, Some(parked.1)));
            }
        }
        let mut lost = Vec::new();
        for (arrival, only) in places {
            let Some(stored) = self.store.segment_at(arrival)? else { continue };
            let Ok(segment) = Segment::from_plain(&stored.sealed.plain) else { continue };
            let feed = segment.feed;
            if feed.author.key != self.author.key || (only.is_some() && stored.is_branch) {
                continue;
            }
            let (hash, is_branch) = (stored.sealed.hash(), stored.is_branch);
            for (index, entry) in segment.entries.into_iter().enumerate() {
                let wanted = only.is_none_or(|only| only == index);
                if wanted && !self.store.was_written_again(hash, index)? {
                    let (slice, lane, author) = (feed.slice, feed.lane, feed.author);
                    lost.push(Lost { hash, index, is_branch, author, slice, lane, entry });
                }
            }
        }
        Ok(lost)
    }

    fn write_again(&mut self, now: UtcMillis) -> Result<(), StoreError> {
        self.state_closed(now)?;
        self.again_waits = false;
        for lost in self.lost_entries()? {
            if self.write_one_again(lost.slice, lost.lane, lost.entry, now)? {
                self.store.note_written_again(lost.hash, lost.index)?;
            }
        }
        for one in self.store.again()? {
            let Ok(entry) = Entry::from_bytes(&one.bytes) else { continue };
            if self.write_one_again(one.slice, one.lane, entry, now)? {
                self.store.drop_again(one.position)?;
            }
        }
        Ok(())
    }

    /// Gives whether the entry is done with; `false` if it waits.
    fn write_one_again(
        &mut self,
        slice: SliceId,
        lane: Lane,
        entry: Entry,
        now: UtcMillis,
    ) -> Result<bool, StoreError> {
        if self.lacks_record(slice, &entry)? {
            self.again_waits = true;
            return Ok(false);
        }
        match self.rewrite_entry(slice, lane, entry, now) {
            Ok(_) => Ok(true),
            Err(SaveError::Store(error)) => Err(error),
            Err(error) => {
                let text = format!("{slice}: {error}");
                self.store.audit("entry not written again", &text, now)?;
                Ok(true)
            }
        }
    }

    /// Whether an entry is about a record that another key created on a lost branch, and that has
    /// not been written again yet: this entry waits for it.
    fn lacks_record(&mut self, slice: SliceId, entry: &Entry) -> Result<bool, StoreError> {
        for change in &entry.changes {
            let Ok(scanned) = scan(&change.bytes) else { continue };
            let creates = scanned.ops.iter().any(|op| op.key == LEDGER_KEY);
            if !creates && self.working(slice, change.record)?.log.ledger().is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// States in the own directive slice that the old epoch is closed: its receipts are withdrawn.
    fn state_closed(&mut self, now: UtcMillis) -> Result<(), StoreError> {
        let Some(bytes) = self.store.meta(CLOSED)?.filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (epoch, reason) = text.split_at_checked(2 * Epoch::LEN).unwrap_or((&text, ""));
        let keys = vec![
            creation(taizhang_core::directives::EPOCH),
            ("closed".into(), Some(epoch.into())),
            ("reason".into(), Some(reason.into())),
        ];
        let record = RecordId(self.random());
        let (place, person) = (self.place(), Self::program());
        match self.directive(place, Action::Directive, &person, record, keys, now) {
            Ok(()) => {}
            Err(SaveError::Store(error)) => return Err(error),
            // Not enrolled far enough to state anything: nothing was sent in that epoch either.
            Err(error) => tracing::info!(%error, "the closed epoch is not stated"),
        }
        self.store.set_meta(CLOSED, b"")?;
        self.project_own_directives(now)
    }

    /// Writes an entry again under the present author; gives whether anything was new. Changes that
    /// stand already are left out, so an entry written twice changes nothing.
    pub(crate) fn rewrite_entry(
        &mut self,
        slice: SliceId,
        lane: Lane,
        entry: Entry,
        now: UtcMillis,
    ) -> Result<bool, SaveError> {
        let author = self.author;
        let mut changes = Vec::new();
        for change in &entry.changes {
            let Ok(scanned) = scan(&change.bytes) else { continue };
            let log = &self.working(slice, change.record)?.log;
            if log.position(scanned.hash).is_some_and(|at| log.changes[at].origin.counted) {
                continue;
            }
            let log = log.clone();
            let mut rewrites = self.store.rewrites(change.record)?;
            if let Ok(bytes) = rewrite(&log, &scanned, author, &mut rewrites) {
                changes.push(RecordChange { record: change.record, bytes });
            }
            self.store.put_rewrites(change.record, &rewrites)?;
        }
        if changes.is_empty() {
            return Ok(false);
        }
        let lamport = self.store.lamport(slice)? + 1;
        self.put_entry(slice, lane, Entry { lamport, changes, ..entry }, now)?;
        if slice.kind == SliceKind::Directive {
            self.project_own_directives(now)?;
        }
        Ok(true)
    }

    /// The feed that this replica writes in a slice and lane now.
    pub(crate) fn own_feed(&self, slice: SliceId, lane: Lane) -> FeedId {
        FeedId { slice, lane, author: self.author }
    }
}
