//! A bound on what one replica adds to a log before its parent has confirmed it.

use std::collections::BTreeMap;

use taizhang_core::catalogue::Unconfirmed;
use taizhang_core::feed::segment::Segment;
use taizhang_core::record::edit::KeyWrite;
use taizhang_core::record::value::{Value, split_key};
use taizhang_core::time::UtcMillis;

use super::Engine;
use super::command::{CommandError, Found, refuse};
use crate::store::StoreError;

fn amount(bound: &Unconfirmed, text: &Value) -> i64 {
    let columns: Option<BTreeMap<String, Value>> =
        text.as_text().and_then(|text| serde_json::from_str(text).ok());
    let Some(columns) = columns else { return 0 };
    if columns.get(&bound.column).and_then(Value::as_text) != Some(&bound.value) {
        return 0;
    }
    columns.get(&bound.sum).and_then(Value::as_int).unwrap_or(0)
}

impl Engine {
    /// Refuses lines that would pass the bound of their field (DOMAIN.md §6, scenario 6).
    pub(crate) fn check_unconfirmed(
        &mut self,
        found: &Found,
        keys: &[KeyWrite],
        now: UtcMillis,
    ) -> Result<(), CommandError> {
        for field in &found.ledger.fields {
            let Some(bound) = &field.unconfirmed else { continue };
            let new: i64 = keys
                .iter()
                .filter(|(key, _)| split_key(key).0 == field.id)
                .filter_map(|(_, value)| Some(amount(bound, value.as_ref()?)))
                .sum();
            if new == 0 {
                continue;
            }
            let limit = self.directives.param(&bound.param, found.slice.place, now.date()).value;
            let Some(limit) = limit.as_ref().and_then(Value::as_int) else { continue };
            let waiting = self.waiting(found, &field.id, bound)?;
            if waiting + new > limit {
                return refuse(
                    format!("离线限额{limit}:本机未经上级确认的已有{waiting},本次{new};请先同步"),
                    format!(
                        "{waiting} not confirmed by the parent and {new} now; {limit} are allowed; sync first"
                    ),
                );
            }
        }
        Ok(())
    }

    /// What this replica added to a log that no receipt from above covers.
    fn waiting(
        &mut self,
        found: &Found,
        field: &str,
        bound: &Unconfirmed,
    ) -> Result<i64, StoreError> {
        let own = self.author.key;
        let log = self.working(found.slice, found.id)?.log.clone();
        let mut sum = 0;
        for change in
            log.changes.iter().filter(|one| one.origin.counted && one.origin.author.key == own)
        {
            if self.confirmed(change.origin.arrival)? {
                continue;
            }
            let lines = change.ops.iter().filter(|op| split_key(&op.key).0 == field);
            sum += lines.filter_map(|op| Some(amount(bound, op.value.as_ref()?))).sum::<i64>();
        }
        Ok(sum)
    }

    /// Whether an office above holds the segment that arrived there.
    fn confirmed(&self, arrival: Option<u64>) -> Result<bool, StoreError> {
        let Some(arrival) = arrival else { return Ok(false) };
        let Some(stored) = self.store.segment_at(arrival)? else { return Ok(false) };
        let Ok(segment) = Segment::header(&stored.sealed.plain) else { return Ok(false) };
        let feed = segment.feed;
        let above = |key| {
            self.directives.roster.get(&key).is_some_and(|known| {
                let place = known.certified.place;
                place != self.place() && self.directives.tree.is_above_or_same(place, self.place())
            })
        };
        for receipt in self.store.receipts()? {
            if receipt.slice == feed.slice && above(receipt.issuer.key) {
                let held = receipt.sealed.open().map(|one| one.held.head(feed.lane, feed.author));
                if held.is_ok_and(|head| head.count > segment.number) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
