//! One local entry: composed, judged like any other, made durable in the tail, projected at once.

use taizhang_core::feed::entry::{Action, Entry, Person, RecordChange};
use taizhang_core::id::{ImportId, Lane, RecordId, SliceId, SliceKind};
use taizhang_core::limits;
use taizhang_core::record::edit::{EditError, KeyWrite, compose};
use taizhang_core::time::UtcMillis;

use super::Engine;
use super::project::{Applied, EntryAt};
use crate::store::StoreError;

/// Steps of projection that an answer waits for.
const SHOWN_STEPS_MAX: usize = 8;

/// Why a save is refused. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The change cannot be composed.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The store failed; what was typed is not saved.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The replica's own verdict would not count it.
    #[error("this replica may not write that: {0}")]
    NoAuthority(String),
    /// Continuity was lost.
    #[error("writing is stopped: {0}")]
    Frozen(String),
    /// Too much for one entry.
    #[error("one entry holds at most {} bytes; split the work", limits::ENTRY_BYTES_MAX)]
    TooLarge,
}

/// What a local entry is about.
pub struct LocalEntry<'a> {
    /// The slice.
    pub slice: SliceId,
    /// The lane of its ledgers.
    pub lane: Lane,
    /// What kind of action.
    pub action: Action,
    /// Who acts.
    pub person: &'a Person,
    /// The import it belongs to.
    pub import: Option<ImportId>,
}

impl Engine {
    /// Writes one entry with the keys of one or more records. Durable after [`Engine::commit`].
    ///
    /// # Errors
    ///
    /// [`SaveError`]; nothing of the entry stands then.
    pub fn save(
        &mut self,
        local: &LocalEntry<'_>,
        writes: &[(RecordId, Vec<KeyWrite>)],
        now: UtcMillis,
    ) -> Result<(), SaveError> {
        if let Some(reason) = &self.frozen {
            return Err(SaveError::Frozen(reason.clone()));
        }
        let actor = self.author.actor();
        let mut changes = Vec::with_capacity(writes.len());
        for (record, keys) in writes {
            let log = &self.working(local.slice, *record)?.log;
            let bytes = compose(log, actor, now, keys)?;
            changes.push(RecordChange { record: *record, bytes });
        }
        let entry = Entry {
            time: now,
            person: local.person.clone(),
            action: local.action,
            lamport: self.store.lamport(local.slice)? + 1,
            policy_seen: self.directives.policy_seen(local.slice.place),
            import: local.import,
            changes,
        };
        self.put_entry(local.slice, local.lane, entry, now)
    }

    /// Puts a composed entry into the tail, judged like any other.
    ///
    /// # Errors
    ///
    /// [`SaveError`]; nothing of the entry stands then.
    pub(crate) fn put_entry(
        &mut self,
        slice: SliceId,
        lane: Lane,
        entry: Entry,
        now: UtcMillis,
    ) -> Result<(), SaveError> {
        if entry.bytes_count() > limits::ENTRY_BYTES_MAX
            || entry.changes.len() > limits::ENTRY_CHANGES_MAX
        {
            return Err(SaveError::TooLarge);
        }
        self.store.room()?;
        let feed = self.own_feed(slice, lane);
        if slice.kind == SliceKind::Directive {
            self.store.push_tail(slice, lane, &entry.to_bytes())?;
            self.cut(slice, lane, now)?;
            self.directives_due = true;
            return Ok(());
        }
        // A refusal forgets what is not settled of its records: it must be this entry alone.
        let dirty = |one: &RecordChange| {
            self.working.get(&(slice, one.record)).is_some_and(|working| working.dirty)
        };
        if entry.changes.iter().any(dirty) {
            self.settle()?;
        }
        let sees = self.sees_now(slice);
        let number = self.store.feed(&feed)?.head.count;
        let at = EntryAt { feed: &feed, sees: &sees, at: None, number };
        match self.apply_entry(&at, &entry)? {
            Applied::Counted => {}
            Applied::Held => return Err(SaveError::Edit(EditError::Nothing)),
            Applied::Void(reason) => {
                for change in &entry.changes {
                    self.working.remove(&(slice, change.record));
                }
                return Err(SaveError::NoAuthority(reason.to_string()));
            }
            Applied::Parked(waiting) => {
                return Err(SaveError::NoAuthority(format!("{waiting:?}")));
            }
        }
        self.store.push_tail(slice, lane, &entry.to_bytes())?;
        self.cut_if_full(slice, lane, now)?;
        Ok(())
    }

    /// Shows the own directives that were sealed since the last call, before their writers are answered: the
    /// next page is about them. Where more than a moment's work waits before them, they show in their turn.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn show_own_directives(&mut self, now: UtcMillis) -> Result<(), StoreError> {
        if !std::mem::take(&mut self.directives_due) {
            return Ok(());
        }
        for _ in 0..SHOWN_STEPS_MAX {
            if !self.is_behind()? {
                break;
            }
            self.project(now, usize::MAX)?;
        }
        self.settle()
    }

    /// Projects own directives right after they were sealed, so that the next entry sees them.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn project_own_directives(&mut self, now: UtcMillis) -> Result<(), StoreError> {
        while self.is_behind()? {
            self.project(now, usize::MAX)?;
            self.settle()?;
        }
        Ok(())
    }
}
