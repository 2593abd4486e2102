//! Which other rows a change concerns: those whose rules read it, its duplicates, and readers of its sums.

use std::collections::BTreeSet;
use std::sync::Arc;

use taizhang_core::catalogue::{Ledger, Uses};
use taizhang_core::id::{PlaceId, RecordId, SliceId};
use taizhang_core::record::twin::SAME;
use taizhang_core::time::Date;

use super::Engine;
use crate::store::StoreError;

/// Records to evaluate anew.
type Affected = BTreeSet<(SliceId, RecordId)>;

/// A record that has changed.
#[derive(Clone, Copy)]
pub(super) struct Changed<'a> {
    pub(super) slice: SliceId,
    pub(super) record: RecordId,
    pub(super) ledger: &'a Ledger,
    /// Its links before the change and after it: field, value.
    pub(super) links: &'a [(String, String)],
}

impl Changed<'_> {
    /// The values by which rules may find it in a field of theirs.
    fn values_of(&self, field: &str) -> Vec<String> {
        if field == "_id" {
            return vec![self.record.to_string()];
        }
        let of_field = self.links.iter().filter(|(id, _)| id == field);
        of_field.map(|(_, value)| value.clone()).collect()
    }
}

impl Engine {
    /// Adds the rows that look at a changed record.
    pub(super) fn dependents(
        &mut self,
        changed: Changed<'_>,
        affected: &mut Affected,
    ) -> Result<(), StoreError> {
        let catalogue = Arc::clone(&self.directives.catalogue);
        for (reader, uses) in catalogue.readers_of(&changed.ledger.id) {
            if !uses.by.is_empty() {
                self.readers_of_value(changed, reader, uses, affected)?;
            } else if uses.path && self.directives.tree.subtree(changed.slice.place).len() > 1 {
                // A register that is read whole concerns everything below its office: step by step.
                self.rules_due = true;
            } else {
                let kind = if uses.path { reader.slice } else { changed.slice.kind };
                let slice = SliceId { kind, place: changed.slice.place };
                let readers = self.store.lookup().records_of(slice, &reader.id)?;
                affected.extend(readers.into_iter().map(|id| (slice, id)));
            }
        }
        self.twins_touched(changed, affected)
    }

    /// Adds the rows of `reader` that find a changed record by a value.
    fn readers_of_value(
        &self,
        changed: Changed<'_>,
        reader: &Ledger,
        uses: &Uses,
        affected: &mut Affected,
    ) -> Result<(), StoreError> {
        let kind = if uses.path || uses.below { reader.slice } else { changed.slice.kind };
        let tree = &self.directives.tree;
        let looks = |place: PlaceId| match (uses.path, uses.below) {
            (true, _) => tree.is_above_or_same(changed.slice.place, place),
            (_, true) => tree.is_above_or_same(place, changed.slice.place),
            _ => place == changed.slice.place,
        };
        for value in changed.values_of(&uses.by) {
            if uses.eq == "_id" {
                let Ok(id) = value.parse() else { continue };
                for place in self.store.lookup().places_of(id, kind, &reader.id)? {
                    if looks(place) {
                        affected.insert((SliceId { kind, place }, id));
                        self.counted_twin(SliceId { kind, place }, id, reader, affected)?;
                    }
                }
                continue;
            }
            let lookup = self.store.lookup();
            let found = lookup.linked_where(&reader.id, &uses.eq, &value, usize::MAX, looks)?;
            affected.extend(found.into_iter().map(|(place, id)| (SliceId { kind, place }, id)));
        }
        Ok(())
    }

    /// What is attached to a duplicate is read by the record of its slice that counts.
    fn counted_twin(
        &self,
        slice: SliceId,
        record: RecordId,
        ledger: &Ledger,
        affected: &mut Affected,
    ) -> Result<(), StoreError> {
        let Some(identity) = &ledger.identity else { return Ok(()) };
        let links = self.store.links_of(slice.place, record)?;
        for (_, value) in links.iter().filter(|(field, _)| field == identity) {
            let twins = self.store.linked(slice.place, &ledger.id, identity, value)?;
            affected.extend(twins.into_iter().map(|id| (slice, id)));
        }
        Ok(())
    }

    /// Adds records with the identity of a changed one, and those that a changed decision names.
    fn twins_touched(
        &self,
        changed: Changed<'_>,
        affected: &mut Affected,
    ) -> Result<(), StoreError> {
        let Changed { slice, record, ledger, links } = changed;
        if ledger.id == SAME {
            let row = self.store.record(slice, record)?.and_then(|stored| stored.row);
            for field in ["one", "other"] {
                let text = row.as_ref().map(|row| row.text(field)).unwrap_or_default();
                let pair = text.split_once('/');
                let pair = pair.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
                affected.extend(pair.map(|(place, id)| (SliceId::ledger(place), id)));
            }
        }
        let Some(identity) = &ledger.identity else { return Ok(()) };
        for (_, value) in links.iter().filter(|(field, _)| field == identity) {
            let twins = self.store.with_value(&ledger.id, identity, value)?;
            let slice_of = |place| SliceId { kind: ledger.slice, place };
            affected.extend(twins.into_iter().map(|(place, id)| (slice_of(place), id)));
        }
        Ok(())
    }

    /// Evaluates the rows whose rules read sums that have changed. Their own figures are read by no rule,
    /// which the catalogue's check makes sure of.
    pub(super) fn evaluate_readers(
        &mut self,
        moved: &BTreeSet<(PlaceId, String)>,
        as_of: Date,
    ) -> Result<(), StoreError> {
        let catalogue = Arc::clone(&self.directives.catalogue);
        let mut readers = BTreeSet::new();
        for (place, figure) in moved {
            for ledger in catalogue.readers_of_figure(figure) {
                let slice = SliceId { kind: ledger.slice, place: *place };
                let records = self.store.lookup().records_of(slice, &ledger.id)?;
                readers.extend(records.into_iter().map(|record| (slice, record)));
            }
        }
        for (slice, record) in readers {
            self.evaluate(slice, record, None, as_of)?;
        }
        Ok(())
    }
}
