//! Entries that do not count here: parked, void, on a branch. Nothing of them is lost: they are listed,
//! and a person may adopt one, which writes it again under the adopter's name.

use std::sync::Arc;

use serde::Serialize;
use taizhang_core::feed::entry::{Entry, Person};
use taizhang_core::feed::segment::Segment;
use taizhang_core::id::{PlaceId, RecordId, SliceId, SliceKind};
use taizhang_core::record::change::scan;
use taizhang_core::record::state::TransitionLine;
use taizhang_core::record::value::{LEDGER_KEY, STATE_FIELD, split_key};
use taizhang_core::rights::RIGHT;
use taizhang_core::time::UtcMillis;

use super::Engine;
use super::command::{CommandError, refuse};
use super::save::SaveError;
use crate::store::StoreError;

/// Entries listed at most.
const LISTED_MAX: usize = 500;

/// An entry that does not count.
#[derive(Clone, Debug, Serialize)]
pub struct HeldBack {
    /// Arrival of its segment: names it here only.
    pub arrival: u64,
    /// Index in the segment.
    pub entry: usize,
    /// Its slice.
    pub slice: SliceId,
    /// `branch`, `parked` or `void`.
    pub kind: &'static str,
    /// Why, as JSON of the verdict; empty for a branch.
    pub reason: String,
    /// The author's place, by the roster.
    pub place: Option<PlaceId>,
    /// Person as claimed.
    pub person: String,
    /// Author's wall clock.
    pub time: UtcMillis,
    /// Records that it changes.
    pub records: Vec<RecordId>,
    /// Key and value of every operation.
    pub writes: Vec<(String, String)>,
}

impl Engine {
    /// Entries that do not count, newest arrival first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn held_back(&self) -> Result<Vec<HeldBack>, StoreError> {
        let mut places: Vec<(u64, Option<usize>, &'static str, String)> = Vec::new();
        for (arrival, entry, kind, reason) in self.store.masked()? {
            places.push((arrival, Some(entry), kind, reason));
        }
        for arrival in self.store.branch_segments(None)? {
            places.push((arrival, None, "branch", String::new()));
        }
        places.sort_by(|one, two| two.cmp(one));
        let mut list = Vec::new();
        for (arrival, only, kind, reason) in places {
            let Some(stored) = self.store.segment_at(arrival)? else { continue };
            let Ok(segment) = Segment::from_plain(&stored.sealed.plain) else { continue };
            let hash = stored.sealed.hash();
            for (index, entry) in segment.entries.iter().enumerate() {
                let wanted = only.is_none_or(|only| only == index);
                if !wanted || self.store.was_written_again(hash, index)? {
                    continue;
                }
                if list.len() == LISTED_MAX {
                    return Ok(list);
                }
                let roster = self.directives.roster.get(&segment.feed.author.key);
                list.push(HeldBack {
                    arrival,
                    entry: index,
                    slice: segment.feed.slice,
                    kind,
                    reason: reason.clone(),
                    place: roster.map(|known| known.certified.place),
                    person: entry.person.name.clone(),
                    time: entry.time,
                    records: entry.changes.iter().map(|change| change.record).collect(),
                    writes: writes(entry),
                });
            }
        }
        Ok(list)
    }

    /// Writes an entry that does not count again, in the adopter's name.
    ///
    /// # Errors
    ///
    /// If the adopter may not write it either, or everything in it stands already.
    pub fn adopt(
        &mut self,
        arrival: u64,
        index: usize,
        person: &Person,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        let missing = || refuse("没有这一条", "there is no such entry");
        let Some(stored) = self.store.segment_at(arrival)? else { return missing() };
        let Ok(segment) = Segment::from_plain(&stored.sealed.plain) else { return missing() };
        let Some(entry) = segment.entries.get(index).cloned() else { return missing() };
        let (slice, lane) = (segment.feed.slice, segment.feed.lane);
        if slice.kind == SliceKind::Directive || self.is_bound(slice, &entry)? {
            return refuse(
                "额度、编号、职权和指令不能采纳,请重新办理该步骤",
                "rights, numbers, offices and directives are not adopted; take the step again",
            );
        }
        let entry = Entry { person: person.clone(), time: now, ..entry };
        match self.rewrite_entry(slice, lane, entry, now) {
            Ok(true) => {}
            Ok(false) => {
                return refuse("内容已全部在册,无需采纳", "everything in it stands already");
            }
            Err(SaveError::NoAuthority(what)) => {
                return refuse(
                    format!("本级无权写入其中内容,请由有权的单位采纳:{what}"),
                    format!("this office may not write it; another must adopt it: {what}"),
                );
            }
            Err(error) => return Err(error.into()),
        }
        self.store.note_written_again(stored.sealed.hash(), index)?;
        self.store.audit("entry adopted", &format!("{slice}, segment {arrival}/{index}"), now)?;
        Ok(())
    }

    /// Whether an entry says what becomes of a right, or takes a step that spends one: such entries
    /// are their author's alone.
    fn is_bound(&mut self, slice: SliceId, entry: &Entry) -> Result<bool, StoreError> {
        let catalogue = Arc::clone(&self.directives.catalogue);
        for change in &entry.changes {
            let Ok(scanned) = scan(&change.bytes) else { continue };
            let named = scanned.ops.iter().find(|op| op.key == LEDGER_KEY);
            let named = named.and_then(|op| op.value.as_ref()?.as_text());
            let log = &self.working(slice, change.record)?.log;
            let Some(id) = log.ledger().or(named) else { continue };
            let flow = catalogue.ledger(id).and_then(|ledger| ledger.workflow.as_ref());
            let steps = scanned.ops.iter().filter(|op| split_key(&op.key).0 == STATE_FIELD);
            let mut lines = steps.filter_map(|op| {
                serde_json::from_str::<TransitionLine>(op.value.as_ref()?.as_text()?).ok()
            });
            let spends = lines.any(|line| {
                flow.is_some_and(|flow| {
                    flow.transitions.iter().any(|step| {
                        step.to == line.to
                            && (step.spend.is_some()
                                || step.office.is_some()
                                || step.number.is_some())
                    })
                })
            });
            if spends || id == RIGHT {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn writes(entry: &Entry) -> Vec<(String, String)> {
    let scanned = entry.changes.iter().filter_map(|change| scan(&change.bytes).ok());
    scanned
        .flat_map(|change| change.ops)
        .filter(|op| op.key != LEDGER_KEY)
        .map(|op| (op.key, op.value.map(|value| value.to_string()).unwrap_or_default()))
        .collect()
}
