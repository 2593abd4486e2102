//! Duplicates: finding them, counting them once, deciding on them.

use serde::Serialize;
use taizhang_core::catalogue::Ledger;
use taizhang_core::directives::Directives;
use taizhang_core::feed::entry::{Action, Person};
use taizhang_core::id::{Lane, Level, PlaceId, RecordId, SliceId, SliceKind};
use taizhang_core::record::edit::creation;
use taizhang_core::record::fold::Row;
use taizhang_core::record::twin::{SAME, twin_id};
use taizhang_core::record::value::Value;
use taizhang_core::time::UtcMillis;

use super::Engine;
use super::command::{CommandError, refuse};
use super::save::LocalEntry;
use crate::store::StoreError;
use crate::store::lookup::Lookup;

/// Another record with the same identity.
#[derive(Clone, Debug)]
pub(crate) struct Twin {
    pub(crate) place: PlaceId,
    pub(crate) record: RecordId,
    /// Whether it comes before: it is the canonical one of the two.
    pub(crate) first: bool,
    /// What a person decided, if one did.
    pub(crate) same: Option<bool>,
}

/// A pair for a person to decide.
#[derive(Clone, Debug, Serialize)]
pub struct TwinItem {
    /// The same on every replica that holds both.
    pub id: String,
    /// Ledger id.
    pub ledger: String,
    /// The record that counts unless somebody decides otherwise.
    pub canonical: RecordId,
    /// Its place.
    pub canonical_place: PlaceId,
    /// The other.
    pub other: RecordId,
    /// Its place.
    pub other_place: PlaceId,
    /// The place whose office decides: the lowest above both.
    pub owner: PlaceId,
    /// Level of that office.
    pub resolve: Level,
    /// What was decided.
    pub same: Option<bool>,
}

fn identity(ledger: &Ledger, row: &Row) -> Option<String> {
    let value = row.text(ledger.identity.as_ref()?);
    (!value.is_empty() && row.void.is_none() && row.moved.is_none()).then_some(value)
}

/// Other records with the identity of this one, and what was decided on each pair.
pub(crate) fn twins_of(
    store: Lookup<'_>,
    directives: &Directives,
    place: PlaceId,
    id: RecordId,
    ledger: &Ledger,
    row: &Row,
) -> Result<Vec<Twin>, StoreError> {
    let (Some(field), Some(value)) = (&ledger.identity, identity(ledger, row)) else {
        return Ok(Vec::new());
    };
    let mut twins = Vec::new();
    for (other_place, record) in store.with_value(&ledger.id, field, &value)? {
        if record == id {
            continue;
        }
        let slice = SliceId { kind: ledger.slice, place: other_place };
        let Some(other) = store.row(slice, record)? else { continue };
        let first = (other.created.lamport, record) < (row.created.lamport, id);
        let same = decision(store, directives, (place, id), (other_place, record))?;
        twins.push(Twin { place: other_place, record, first, same });
    }
    Ok(twins)
}

fn decision(
    store: Lookup<'_>,
    directives: &Directives,
    one: (PlaceId, RecordId),
    other: (PlaceId, RecordId),
) -> Result<Option<bool>, StoreError> {
    let Some(owner) = directives.tree.common_ancestor(&[one.0, other.0]) else { return Ok(None) };
    let pair = |row: &Row| {
        let text = |(place, record): (PlaceId, RecordId)| format!("{place}/{record}");
        let named = [row.text("one"), row.text("other")];
        named.contains(&text(one)) && named.contains(&text(other))
    };
    let rows = store.rows_of(SliceId::ledger(owner), SAME)?;
    let latest = rows
        .into_iter()
        .filter(|(_, row)| pair(row))
        .max_by_key(|(id, row)| (row.created.lamport, *id));
    Ok(latest.map(|(_, row)| row.fields.get("same") == Some(&Value::Bool(true))))
}

/// In how many places from its own upward a record counts: below the place that sees an earlier twin.
pub(crate) fn reach(directives: &Directives, place: PlaceId, twins: &[Twin]) -> usize {
    let path = directives.tree.path(place);
    let mut reach = path.len();
    for twin in twins.iter().filter(|twin| twin.first && twin.same != Some(false)) {
        let Some(owner) = directives.tree.common_ancestor(&[place, twin.place]) else { continue };
        if let Some(at) = path.iter().rev().position(|one| *one == owner) {
            reach = reach.min(at);
        }
    }
    reach
}

impl Engine {
    /// Pairs of records of one identity, undecided first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn duplicates(&mut self) -> Result<Vec<TwinItem>, StoreError> {
        self.settle()?;
        let catalogue = std::sync::Arc::clone(&self.directives.catalogue);
        let mut items = Vec::new();
        for ledger in catalogue.ledgers_for_people() {
            let Some(field) = &ledger.identity else { continue };
            for value in self.store.repeated_values(&ledger.id, field)? {
                for (place, record) in self.store.with_value(&ledger.id, field, &value)? {
                    let slice = SliceId { kind: ledger.slice, place };
                    let Some(row) = self.store.row(slice, record)? else { continue };
                    let twins = twins_of(
                        self.store.lookup(),
                        &self.directives,
                        place,
                        record,
                        ledger,
                        &row,
                    )?;
                    for twin in twins.into_iter().filter(|twin| twin.first) {
                        items.extend(self.twin_item(ledger, (place, record), &twin));
                    }
                }
            }
        }
        items.sort_by(|one: &TwinItem, two| {
            (one.same.is_some(), &one.id).cmp(&(two.same.is_some(), &two.id))
        });
        Ok(items)
    }

    fn twin_item(
        &self,
        ledger: &Ledger,
        other: (PlaceId, RecordId),
        canonical: &Twin,
    ) -> Option<TwinItem> {
        let tree = &self.directives.tree;
        let owner = tree.common_ancestor(&[other.0, canonical.place])?;
        Some(TwinItem {
            id: twin_id(&ledger.id, (canonical.place, canonical.record), other),
            ledger: ledger.id.clone(),
            canonical: canonical.record,
            canonical_place: canonical.place,
            other: other.1,
            other_place: other.0,
            owner,
            resolve: tree.place(owner)?.level,
            same: canonical.same,
        })
    }

    /// Decides whether two records are of one person or household; a later decision replaces it.
    ///
    /// # Errors
    ///
    /// If there is no such pair, or another office decides it.
    pub fn decide_same(
        &mut self,
        item: &str,
        same: bool,
        reason: &str,
        person: &Person,
        now: UtcMillis,
    ) -> Result<RecordId, CommandError> {
        let Some(pair) = self.duplicates()?.into_iter().find(|one| one.id == item) else {
            return refuse("没有这条重复待办", "there is no such duplicate");
        };
        if pair.owner != self.place() {
            let name = self.directives.tree.full_name(pair.owner);
            return refuse(
                format!("由{name}认定"),
                format!("{name} decides, the lowest office above both"),
            );
        }
        if reason.trim().is_empty() {
            return refuse("请填写理由", "give a reason");
        }
        let text = |place: PlaceId, record: RecordId| Some(format!("{place}/{record}").into());
        let keys = vec![
            creation(SAME),
            ("ledger".into(), Some(pair.ledger.as_str().into())),
            ("one".into(), text(pair.canonical_place, pair.canonical)),
            ("other".into(), text(pair.other_place, pair.other)),
            ("same".into(), Some(same.into())),
            ("reason".into(), Some(reason.trim().into())),
        ];
        let record = RecordId(self.random());
        let local = LocalEntry {
            slice: SliceId { kind: SliceKind::Ledger, place: self.place() },
            lane: Lane::Urgent,
            action: Action::Resolve,
            person,
            import: None,
        };
        self.save(&local, &[(record, keys)], now)?;
        Ok(record)
    }
}
