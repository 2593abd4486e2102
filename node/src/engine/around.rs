//! What the rules of one row may ask.

use std::sync::Arc;

use taizhang_core::catalogue::{Ledger, Uses};
use taizhang_core::directives::Directives;
use taizhang_core::id::{PlaceId, RecordId, SliceId};
use taizhang_core::limits;
use taizhang_core::record::fold::Row;
use taizhang_core::record::value::Value;
use taizhang_core::rules::Surroundings;
use taizhang_core::time::Date;

use super::twins::twins_of;
use crate::store::StoreError;
use crate::store::lookup::Lookup;

/// What rules of one row may ask: of the engine's store, or of a reader's snapshot.
pub(crate) struct Around<'a> {
    pub(crate) store: Lookup<'a>,
    pub(crate) directives: &'a Directives,
    /// The place of this replica.
    pub(crate) own: PlaceId,
    pub(crate) slice: SliceId,
}

impl Surroundings for Around<'_> {
    fn related(&self, subject: Option<(&Row, RecordId)>, uses: &Uses) -> Vec<(RecordId, Row)> {
        let result = self.related_rows(subject, uses);
        result.unwrap_or_else(|error| {
            tracing::error!(%error, "related rows could not be read");
            Vec::new()
        })
    }

    fn param(&self, id: &str, day: Date) -> Option<Value> {
        self.directives.param(id, self.slice.place, day).value
    }

    fn is_set(&self, id: &str) -> bool {
        self.directives.catalogue.is_set_param(id)
    }

    fn ledger(&self, id: &str) -> Option<Arc<Ledger>> {
        self.directives.catalogue.ledger(id).cloned()
    }

    fn knows_below(&self) -> bool {
        self.directives.tree.is_above_or_same(self.own, self.slice.place)
    }

    fn figure(&self, id: &str) -> i64 {
        let sum = self.store.standing(self.slice.place, id);
        sum.unwrap_or_else(|error| {
            tracing::error!(%error, "a figure could not be read");
            0
        })
    }
}

impl Around<'_> {
    fn related_rows(
        &self,
        subject: Option<(&Row, RecordId)>,
        uses: &Uses,
    ) -> Result<Vec<(RecordId, Row)>, StoreError> {
        let keys = match subject {
            None => vec![String::new()],
            Some((row, id)) if uses.eq == "_id" => self.names_of(row, id)?,
            Some((row, _)) => vec![row.text(&uses.eq)],
        };
        if uses.below {
            return self.rows_below(uses, &keys);
        }
        let slices: Vec<SliceId> = if uses.path {
            let path = self.directives.tree.path(self.slice.place);
            path.into_iter().map(SliceId::directive).collect()
        } else {
            vec![self.slice]
        };
        let mut found = Vec::new();
        for slice in slices {
            if uses.by.is_empty() {
                let rows = self.store.rows_of(slice, &uses.ledger)?.into_iter();
                found.extend(rows.filter(|(_, row)| row.moved.is_none()));
                continue;
            }
            for key in keys.iter().filter(|key| !key.is_empty()) {
                let records = match uses.by.as_str() {
                    "_id" => key.parse().into_iter().collect(),
                    by => self.store.linked(slice.place, &uses.ledger, by, key)?,
                };
                for record in records {
                    if let Some(row) = self.store.row(slice, record)?
                        && row.ledger == uses.ledger
                    {
                        found.push((record, row));
                    }
                }
            }
        }
        Ok(found)
    }

    /// Rows of the places below whose field has one of the values.
    fn rows_below(&self, uses: &Uses, keys: &[String]) -> Result<Vec<(RecordId, Row)>, StoreError> {
        let mut found = Vec::new();
        let is_below = |place| self.directives.tree.is_above_or_same(self.slice.place, place);
        for key in keys.iter().filter(|key| !key.is_empty()) {
            let (ledger, by, limit) = (&uses.ledger, &uses.by, limits::RELATED_ROWS_MAX + 1);
            for (place, record) in self.store.linked_where(ledger, by, key, limit, is_below)? {
                if let Some(row) = self.store.row(SliceId::ledger(place), record)? {
                    found.push((record, row));
                }
            }
        }
        Ok(found)
    }

    /// A record's own id, and those of its duplicates in the slice if it is the one that counts: what
    /// refers to any of them is attached to it.
    fn names_of(&self, row: &Row, id: RecordId) -> Result<Vec<String>, StoreError> {
        let mut names = vec![id.to_string()];
        let Some(ledger) = self.directives.catalogue.ledger(&row.ledger) else { return Ok(names) };
        let place = self.slice.place;
        let twins = twins_of(self.store, self.directives, place, id, ledger, row)?;
        let counted = twins.iter().filter(|twin| twin.place == place && twin.same != Some(false));
        let counted: Vec<_> = counted.collect();
        if counted.iter().all(|twin| !twin.first) {
            names.extend(counted.iter().map(|twin| twin.record.to_string()));
        }
        Ok(names)
    }
}
