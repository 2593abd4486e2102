//! What inspection asks of the store: where changes stand, what was written of late, who looked.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, params};
use taizhang_core::feed::entry::Entry;
use taizhang_core::feed::segment::Segment;
use taizhang_core::id::{AuthorId, FeedId, PlaceId, RecordId};
use taizhang_core::record::change::{Op, scan};
use taizhang_core::record::log::RecordLog;
use taizhang_core::record::value::{LEDGER_KEY, STATE_FIELD, Value, split_key};
use taizhang_core::time::UtcMillis;

use super::read::Reader;
use super::rows::signed;
use super::{StoreError, rows};

/// Where a change stands in its feed, and when it came here by this machine's clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standing {
    /// Its feed.
    pub feed: FeedId,
    /// Number of its segment.
    pub number: u64,
    /// When the segment was committed here.
    pub came: UtcMillis,
}

/// A line of a log as it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WrittenLine {
    /// Ledger of the record.
    pub ledger: String,
    /// The log.
    pub field: String,
    /// Its columns as JSON.
    pub text: String,
}

/// A sealed entry of a ledger slice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Written {
    /// Whose.
    pub author: AuthorId,
    /// Name as claimed.
    pub person: String,
    /// The author's clock.
    pub time: UtcMillis,
    /// Lines that it added to logs.
    pub lines: Vec<WrittenLine>,
}

/// How many records of a ledger share a value of a field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shared {
    /// The ledger.
    pub ledger: String,
    /// The field.
    pub field: String,
    /// Records.
    pub count: u64,
}

impl Reader<'_> {
    /// Where each change of a record stands, in the order of its log; own unsealed ones nowhere yet.
    pub fn standings(&self, log: &RecordLog) -> Result<Vec<Option<Standing>>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT is_ledger, place, lane, author_key, epoch, number, committed_at_ms \
             FROM ledger.segment JOIN ledger.feed USING (feed_id) WHERE arrival = ?1",
        )?;
        let mut list = Vec::with_capacity(log.changes.len());
        for change in &log.changes {
            let Some(arrival) = change.origin.arrival else {
                list.push(None);
                continue;
            };
            let found = query.query_row([signed(arrival)], |row| {
                Ok(Standing {
                    feed: rows::feed(row, 0)?,
                    number: rows::count(row, 5)?,
                    came: UtcMillis(row.get(6)?),
                })
            });
            list.push(found.optional()?);
        }
        Ok(list)
    }

    /// Entries of a place's ledgers since a time by their authors' clocks, in the order of arrival. What
    /// came here before that time, and what is not sealed yet, is left out.
    pub fn written(&self, place: PlaceId, since: UtcMillis) -> Result<Vec<Written>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT s.plain FROM ledger.segment s JOIN ledger.feed f USING (feed_id) \
             WHERE f.is_ledger = 1 AND f.place = ?1 AND s.committed_at_ms >= ?2 ORDER BY s.arrival",
        )?;
        let mut segments = query.query(params![place.0, since.0])?;
        let mut ledgers = BTreeMap::new();
        let mut list = Vec::new();
        while let Some(row) = segments.next()? {
            let plain: Vec<u8> = row.get(0)?;
            let Ok(segment) = Segment::from_plain(&plain) else { continue };
            for entry in segment.entries.iter().filter(|entry| entry.time >= since) {
                list.push(Written {
                    author: segment.feed.author,
                    person: entry.person.name.clone(),
                    time: entry.time,
                    lines: self.lines_of(place, entry, &mut ledgers)?,
                });
            }
        }
        Ok(list)
    }

    /// The lines that an entry added to logs.
    fn lines_of(
        &self,
        place: PlaceId,
        entry: &Entry,
        ledgers: &mut BTreeMap<RecordId, String>,
    ) -> Result<Vec<WrittenLine>, StoreError> {
        let mut lines = Vec::new();
        for change in &entry.changes {
            let Ok(scanned) = scan(&change.bytes) else { continue };
            let named = scanned.ops.iter().find(|op| op.key == LEDGER_KEY);
            if let Some(name) = named.and_then(|op| op.value.as_ref()?.as_text()) {
                ledgers.entry(change.record).or_insert_with(|| name.to_owned());
            }
            let added: Vec<(&str, &str)> = scanned.ops.iter().filter_map(added_line).collect();
            if added.is_empty() {
                continue;
            }
            let ledger = match ledgers.get(&change.record) {
                Some(ledger) => ledger.clone(),
                None => {
                    let ledger = self.ledger_of(place, change.record)?;
                    ledgers.insert(change.record, ledger.clone());
                    ledger
                }
            };
            lines.extend(added.into_iter().map(|(field, text)| WrittenLine {
                ledger: ledger.clone(),
                field: field.to_owned(),
                text: text.to_owned(),
            }));
        }
        Ok(lines)
    }

    fn ledger_of(&self, place: PlaceId, record: RecordId) -> Result<String, StoreError> {
        let sql = "SELECT ledger FROM record WHERE is_ledger = 1 AND place = ?1 AND record = ?2";
        let mut query = self.db.prepare_cached(sql)?;
        let found = query.query_row(params![place.0, record.0], |row| row.get(0)).optional()?;
        Ok(found.unwrap_or_default())
    }

    /// Fields of a place's records, changed between two times, in which more than `above` of them have
    /// the same value.
    pub fn shared_values(
        &self,
        place: PlaceId,
        (from, until): (UtcMillis, UtcMillis),
        above: u64,
    ) -> Result<Vec<Shared>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT r.ledger, j.key, count(*) FROM record r, json_each(r.row, '$.fields') j \
             WHERE r.is_ledger = 1 AND r.place = ?1 AND r.is_void = 0 AND r.row <> '' \
             AND r.changed_ms BETWEEN ?2 AND ?3 AND j.atom NOT IN ('', 0) \
             GROUP BY r.ledger, j.key, j.atom HAVING count(*) > ?4 ORDER BY 1, 2, 3 DESC",
        )?;
        let found = query.query_map(params![place.0, from.0, until.0, signed(above)], |row| {
            Ok(Shared { ledger: row.get(0)?, field: row.get(1)?, count: rows::count(row, 2)? })
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }
}

/// Field and text of a line that an operation adds to a log; steps are none.
fn added_line(op: &Op) -> Option<(&str, &str)> {
    let (field, element) = split_key(&op.key);
    let text = op.value.as_ref().and_then(Value::as_text)?;
    (element.is_some() && field != STATE_FIELD).then_some((field, text))
}
