//! Moving a household to another place: done by an office above both.

use std::collections::BTreeMap;

use taizhang_core::catalogue::{FieldKind, Ledger};
use taizhang_core::feed::entry::{Action, Person};
use taizhang_core::id::{PlaceId, RecordId, SliceId, hex};
use taizhang_core::record::edit::{KeyWrite, creation};
use taizhang_core::record::fold::ConflictKind;
use taizhang_core::record::moved::{FROM_FIELD, MOVED_KEY, Moved, MovedFrom};
use taizhang_core::record::value::{Value, split_key};
use taizhang_core::time::{Date, UtcMillis};

use super::Engine;
use super::command::{CommandError, Found, refuse};
use super::policy::json;
use super::save::LocalEntry;
use crate::store::StoreError;

/// Steps that go along: more than a record ever takes.
const STEPS: usize = 200;
/// Lines of history that go along.
const HISTORY_LINES: usize = 40;

impl Engine {
    /// Moves a record, and what refers to it, to another place's slice. The old ones end as moved.
    /// Gives the new record.
    ///
    /// # Errors
    ///
    /// If this office is not above both places, or the record ended before.
    pub fn move_record(
        &mut self,
        id: RecordId,
        to: PlaceId,
        date: &str,
        reason: &str,
        person: &Person,
        now: UtcMillis,
    ) -> Result<RecordId, CommandError> {
        let found = self.find(id)?;
        let tree = &self.directives.tree;
        let (own, from) = (self.place(), found.slice.place);
        let above = |place: PlaceId| place != own && tree.is_above_or_same(own, place);
        if !above(from) || !above(to) || from == to {
            return refuse(
                "迁移由两地的共同上级办理",
                "a move is made by the office above both places",
            );
        }
        if found.row.moved.is_some() || found.row.void.is_some() {
            return refuse("该记录已迁出或作废", "the record has moved or is void");
        }
        let Some(day) = Date::parse(date).filter(|_| !reason.trim().is_empty()) else {
            return refuse("请填写迁移日期和原因", "give the date and the reason");
        };
        let came = found.row.from.iter().map(|from| from.date.as_str()).max().unwrap_or_default();
        if day > now.date().plus_days(1) || date < came {
            return refuse(
                "迁移日期不能晚于明天,也不能早于迁入日期",
                "the date of a move is not later than tomorrow, nor before the record came here",
            );
        }
        let target = SliceId { kind: found.slice.kind, place: to };
        let mut moving = vec![found];
        self.settle()?;
        for related in self.referring_to(moving[0].slice, id)? {
            // Whatever names itself moves once.
            if related == id {
                continue;
            }
            let related = self.find(related)?;
            if related.row.moved.is_none() && related.row.void.is_none() {
                moving.push(related);
            }
        }
        let ids: BTreeMap<RecordId, RecordId> =
            moving.iter().map(|one| (one.id, RecordId(self.random()))).collect();
        for one in &moving {
            self.move_one(one, id, target, &ids, date, reason, person, now)?;
        }
        Ok(ids[&id])
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one move")]
    fn move_one(
        &mut self,
        one: &Found,
        root: RecordId,
        target: SliceId,
        ids: &BTreeMap<RecordId, RecordId>,
        date: &str,
        reason: &str,
        person: &Person,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        let new = ids[&one.id];
        let mut keys = vec![creation(&one.ledger.id)];
        keys.extend(self.copied_keys(one, ids, target.place)?);
        let origin = MovedFrom {
            slice: one.slice,
            record: one.id,
            state: one.row.state_id().map(str::to_owned),
            steps: one.row.all_steps().take(STEPS).cloned().collect(),
            date: date.to_owned(),
            history: self.history_of(one.slice, one.id)?,
        };
        keys.push((from_key(&json(&origin)), Some(json(&origin))));
        let local = |slice| LocalEntry {
            slice,
            lane: one.ledger.lane,
            action: Action::Create,
            person,
            import: None,
        };
        self.save(&local(target), &[(new, keys)], now)?;
        let moved = Moved {
            to: target.place,
            record: new,
            date: date.to_owned(),
            reason: reason.trim().to_owned(),
            along: one.id != root,
        };
        let keys = vec![(MOVED_KEY.to_owned(), Some(json(&moved)))];
        Ok(self.save(&local(one.slice), &[(one.id, keys)], now)?)
    }

    /// What stands in a record, as keys of a new one; references follow the records that move along.
    fn copied_keys(
        &mut self,
        one: &Found,
        ids: &BTreeMap<RecordId, RecordId>,
        target: PlaceId,
    ) -> Result<Vec<KeyWrite>, StoreError> {
        let mut keys: Vec<KeyWrite> = Vec::new();
        for (field, value) in &one.row.fields {
            let is_ref = one
                .ledger
                .field(field)
                .is_some_and(|field| matches!(field.kind, FieldKind::Ref(_)));
            let old = value.as_text().filter(|_| is_ref).and_then(|text| text.parse().ok());
            let follows = match old {
                Some(old) => match ids.get(&old) {
                    Some(new) => Some(*new),
                    None => self.moved_to(one.slice, old, target)?,
                },
                None => None,
            };
            let value = follows.map_or_else(|| value.clone(), |new| new.to_string().into());
            keys.push((field.clone(), Some(value)));
        }
        for (field, elements) in &one.row.sets {
            let set = elements.iter();
            keys.extend(set.map(|element| (format!("{field}/{element}"), Some(true.into()))));
        }
        let log = &self.working(one.slice, one.id)?.log;
        let mut lines: BTreeMap<String, Value> = BTreeMap::new();
        for op in log.changes.iter().filter(|one| one.origin.counted).flat_map(|one| &one.ops) {
            let (field, element) = split_key(&op.key);
            let is_line = one.row.logs.contains_key(field);
            if let (true, Some(_), Some(value)) = (is_line, element, &op.value) {
                lines.entry(op.key.clone()).or_insert_with(|| value.clone());
            }
        }
        keys.extend(lines.into_iter().map(|(key, value)| (key, Some(value))));
        Ok(keys)
    }

    /// The record that another one became when it moved to `target` before.
    fn moved_to(
        &mut self,
        slice: SliceId,
        old: RecordId,
        target: PlaceId,
    ) -> Result<Option<RecordId>, StoreError> {
        let moved = self.store.row(slice, old)?.and_then(|row| row.moved);
        Ok(moved.filter(|moved| moved.to == target).map(|moved| moved.record))
    }

    fn history_of(&mut self, slice: SliceId, id: RecordId) -> Result<Vec<String>, StoreError> {
        let log = &self.working(slice, id)?.log;
        let counted: Vec<_> = log.changes.iter().filter(|one| one.origin.counted).collect();
        let skip = counted.len().saturating_sub(HISTORY_LINES);
        let lines = counted.into_iter().skip(skip).map(|change| {
            let origin = &change.origin;
            let keys: Vec<&str> = change.ops.iter().map(|op| split_key(&op.key).0).collect();
            format!("{} {} {}", origin.time.local_text(), origin.person.name, keys.join(","))
        });
        Ok(lines.collect())
    }

    /// Records of a slice with a reference to `id`.
    pub(crate) fn referring_to(
        &self,
        slice: SliceId,
        id: RecordId,
    ) -> Result<Vec<RecordId>, StoreError> {
        let catalogue = std::sync::Arc::clone(&self.directives.catalogue);
        let mut found = Vec::new();
        for ledger in catalogue.ledgers_for_people() {
            for field in &ledger.fields {
                if matches!(field.kind, FieldKind::Ref(_)) && ledger.indexed.contains(&field.id) {
                    let value = id.to_string();
                    found.extend(self.store.linked(slice.place, &ledger.id, &field.id, &value)?);
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Carries what was written to a moved record after it had moved over to the new one.
    ///
    /// # Errors
    ///
    /// If nothing was, or this office is not above both places.
    pub fn carry_over(
        &mut self,
        id: RecordId,
        person: &Person,
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        let found = self.find(id)?;
        let late = found.row.conflicts.iter().any(|one| one.kind == ConflictKind::AfterMove);
        let (Some(moved), true) = (found.row.moved.clone(), late) else {
            return refuse("没有待转交的修改", "there is nothing to carry over");
        };
        let target = self.find(moved.record)?;
        let late = self.late_ops(&found)?;
        let mut keys: Vec<KeyWrite> = late
            .into_iter()
            .filter(|(key, value)| !stands(&target.ledger, &target, key, value.as_ref()))
            .collect();
        if keys.is_empty() {
            return refuse("修改已在新记录中", "the new record has it already");
        }
        let mark = json(&MovedFrom {
            slice: found.slice,
            record: id,
            state: None,
            steps: Vec::new(),
            date: String::new(),
            history: vec![format!("{} {} {}", now.local_text(), person.name, keys.len())],
        });
        keys.push((from_key(&mark), Some(mark)));
        let local = LocalEntry {
            slice: target.slice,
            lane: target.ledger.lane,
            action: Action::Set,
            person,
            import: None,
        };
        Ok(self.save(&local, &[(target.id, keys)], now)?)
    }

    /// The operations made apart from a move, or after it, last value of each key.
    fn late_ops(&mut self, found: &Found) -> Result<BTreeMap<String, Option<Value>>, StoreError> {
        let log = &self.working(found.slice, found.id)?.log;
        let is_move = |at: usize| log.changes[at].ops.iter().any(|op| op.key == MOVED_KEY);
        let mut late = BTreeMap::new();
        let Some(mark) = (0..log.changes.len()).find(|at| is_move(*at)) else { return Ok(late) };
        let before = log.ancestors(mark);
        for (at, change) in log.changes.iter().enumerate() {
            if at != mark && change.origin.counted && !before.contains(&at) {
                for op in change.ops.iter().filter(|op| !op.key.starts_with('_')) {
                    late.insert(op.key.clone(), op.value.clone());
                }
            }
        }
        Ok(late)
    }
}

fn from_key(mark: &Value) -> String {
    format!("{FROM_FIELD}/{}", hex(&blake3::hash(mark.to_string().as_bytes()).as_bytes()[..16]))
}

fn stands(ledger: &Ledger, target: &Found, key: &str, value: Option<&Value>) -> bool {
    let (field, element) = split_key(key);
    match element {
        None => ledger.field(field).is_none() || target.row.fields.get(field) == value,
        Some(element) => {
            target.row.sets.get(field).is_some_and(|set| set.contains(element))
                || target
                    .row
                    .logs
                    .get(field)
                    .is_some_and(|lines| lines.iter().any(|line| line.id == element))
        }
    }
}
