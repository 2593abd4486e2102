//! What pages and commands ask: read-only, on WAL snapshots, never through the engine.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};
use serde::Serialize;
use taizhang_core::feed::receipt::{Receipt, SealedReceipt};
use taizhang_core::id::{AuthorId, FeedId, Hash, PlaceId, RecordId, SealKey, SliceId};
use taizhang_core::record::fold::Row;
use taizhang_core::record::log::RecordLog;
use taizhang_core::time::UtcMillis;

use super::derived::{parse_row, read_slice_hash, search_text};
use super::figures::Counted;
use super::rows::{self, is_ledger, signed};
use super::worklist::Due;
use super::{StoreError, open_reader};

/// Connections that readers share.
pub struct Readers {
    folder: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// A line of a list.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// Record.
    pub record: RecordId,
    /// Its slice.
    pub slice: SliceId,
    /// Ledger id.
    pub ledger: String,
    /// Title.
    pub title: String,
    /// State id.
    pub state: String,
    /// Conflict items.
    pub conflicts: u64,
    /// Findings that failed.
    pub findings: u64,
    /// Last change by wall clock.
    pub changed: UtcMillis,
    /// Whether it is void.
    pub is_void: bool,
    /// The row.
    pub row: Option<Row>,
}

/// In what order a list comes; void records come last.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Order {
    /// `title`, `state` or the id of a scalar field; the last change if empty.
    pub by: String,
    /// From the other end.
    pub reversed: bool,
}

impl Order {
    fn sql(&self) -> String {
        let by = match self.by.as_str() {
            "" => "-r.changed_ms",
            "title" => "r.title",
            "state" => "r.state",
            _ => "json_extract(r.row, '$.fields.' || ?17)",
        };
        let end = if self.reversed { "DESC" } else { "ASC" };
        format!("ORDER BY r.is_void, {by} {end}, r.record")
    }
}

/// What a list is asked for.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Ledger id; all if empty.
    pub ledger: String,
    /// One place; all if none.
    pub place: Option<PlaceId>,
    /// Words to find.
    pub search: String,
    /// One state; all if empty.
    pub state: String,
    /// Only records with conflicts.
    pub in_conflict: bool,
    /// Only records whose certified content has changed.
    pub to_recheck: bool,
    /// Only records for which this rule failed.
    pub rule: String,
    /// Only records that are due then.
    pub due: Due,
    /// Only records of these places that are not void.
    pub places: Option<Vec<PlaceId>>,
    /// Only records whose field of that id has this text in it.
    pub field: (String, String),
    /// Only records that count in a figure.
    pub counted: Counted,
    /// In what order.
    pub order: Order,
    /// Rows to skip.
    pub offset: usize,
    /// Rows to give.
    pub limit: usize,
}

impl ListQuery {
    /// The values of [`LIST_FROM`]'s parameters, in order.
    fn key(&self) -> Vec<Sql> {
        let phrase = format!("\"{}\"", search_text(&self.search).trim());
        let hex = |place: &PlaceId| taizhang_core::id::hex(&place.0).to_uppercase();
        let places = self.places.as_ref().map(|all| all.iter().map(hex).collect::<Vec<_>>());
        let places = places.map(|all| serde_json::to_string(&all).unwrap_or_default());
        let text = |text: &String| Sql::from(text.clone());
        vec![
            text(&self.ledger),
            self.place.map(|place| place.0.to_vec()).into(),
            phrase.into(),
            text(&self.state),
            self.in_conflict.into(),
            text(&self.rule),
            text(&self.due.from),
            text(&self.due.to),
            places.into(),
            text(&self.field.0),
            text(&self.field.1),
            self.to_recheck.into(),
            text(&self.counted.indicators),
            text(&self.counted.from),
            text(&self.counted.to),
            signed(self.counted.depth as u64).into(),
        ]
    }
}

/// A record in full.
#[derive(Clone, Debug)]
pub struct Detail {
    /// Its slice.
    pub slice: SliceId,
    /// Ledger id.
    pub ledger: String,
    /// Title.
    pub title: String,
    /// Row.
    pub row: Row,
    /// Log, for the history.
    pub log: RecordLog,
    /// Findings as (rule, severity, outcome, reason).
    pub findings: Vec<(String, String, String, String)>,
}

/// How a place's data stands at this replica.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Freshness {
    /// Place.
    pub place: PlaceId,
    /// Newest wall time of an entry by an author of the place; 0 if none ever came.
    pub newest: UtcMillis,
    /// Last contact with a replica of the place on a direct link; 0 if none.
    pub contact: UtcMillis,
    /// When both ends were last known to hold the same; 0 if never.
    pub synced: UtcMillis,
    /// Entries parked.
    pub parked: u64,
    /// Entries masked.
    pub void: u64,
}

/// Own entries that the parent has not acknowledged by receipt.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Pending {
    /// How many.
    pub entries: u64,
    /// Wall time of the oldest; 0 if none.
    pub oldest: UtcMillis,
}

impl Readers {
    /// Readers of a data folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), idle: Mutex::new(Vec::new()) }
    }

    /// Runs a query on one snapshot.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn with<T>(
        &self,
        query: impl FnOnce(&Reader<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        let connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.folder)?,
        };
        connection.execute_batch("BEGIN")?;
        let result = query(&Reader { db: &connection });
        connection.execute_batch("COMMIT")?;
        if let Ok(mut idle) = self.idle.lock()
            && idle.len() < 8
        {
            idle.push(connection);
        }
        result
    }
}

/// The rows of a list: ledger, place, words, state, conflicts, rule, due field and days, states, places,
/// a field and the text in it, and whether certified content has changed.
const LIST_FROM: &str = "FROM record r WHERE r.row <> '' AND r.ledger NOT LIKE 'sys\\_%' ESCAPE '\\' \
                    AND (?1 = '' OR r.ledger = ?1) AND (?2 IS NULL OR r.place = ?2) \
                    AND (?3 = '\"\"' OR r.rowid IN (SELECT rowid FROM search WHERE search MATCH ?3)) \
                    AND (?4 = '' OR r.state = ?4) AND (?5 = 0 OR r.conflicts > 0) \
                    AND (?6 = '' OR EXISTS (SELECT 1 FROM finding f WHERE f.record = r.record \
                         AND f.place = r.place AND f.rule = ?6 AND f.outcome = 'failed')) \
                    AND (?7 = '' OR r.due_on BETWEEN ?7 AND ?8) \
                    AND (?9 IS NULL OR (r.is_void = 0 \
                         AND hex(r.place) IN (SELECT value FROM json_each(?9)))) \
                    AND (?10 = '' OR instr(json_extract(r.row, '$.fields.' || ?10), ?11) > 0) \
                    AND (?12 = 0 OR (r.recheck > 0 AND r.is_void = 0)) \
                    AND (?13 = '' OR EXISTS (SELECT 1 FROM contribution c WHERE c.record = r.record \
                         AND c.place = r.place AND c.value <> 0 \
                         AND c.indicator IN (SELECT value FROM json_each(?13)) AND c.top < ?16 \
                         AND (?15 = '' OR c.period BETWEEN ?14 AND ?15)))";

/// One snapshot.
pub struct Reader<'a> {
    pub(super) db: &'a Connection,
}

pub(super) fn listed(row: &rusqlite::Row<'_>) -> Result<Listed, StoreError> {
    Ok(Listed {
        slice: rows::slice(row, 0)?,
        record: rows::record(row, 2)?,
        ledger: row.get(3)?,
        title: row.get(4)?,
        state: row.get(5)?,
        conflicts: rows::count(row, 6)?,
        findings: rows::count(row, 7)?,
        changed: UtcMillis(row.get(8)?),
        is_void: row.get(9)?,
        row: parse_row(&row.get::<_, String>(10)?)?,
    })
}

impl Reader<'_> {
    /// Records that match, newest change first, and how many match in all.
    pub fn list(&self, query: &ListQuery) -> Result<(Vec<Listed>, u64), StoreError> {
        // A ledger that is named leads to its rows by the index.
        let from = match query.ledger.is_empty() {
            true => LIST_FROM.to_owned(),
            false => LIST_FROM.replace("(?1 = '' OR r.ledger = ?1)", "r.ledger = ?1"),
        };
        let mut key = query.key();
        let total = self
            .db
            .prepare_cached(&format!("SELECT count(*) {from}"))?
            .query_row(params_from_iter(&key), |row| rows::count(row, 0))?;
        let sql = format!(
            "SELECT r.is_ledger, r.place, r.record, r.ledger, r.title, r.state, r.conflicts, \
             (SELECT count(*) FROM finding f WHERE f.record = r.record AND f.place = r.place \
              AND f.outcome = 'failed'), r.changed_ms, r.is_void, r.row {from} \
             {} LIMIT ?18 OFFSET ?19",
            query.order.sql()
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        let (limit, offset) = (signed(query.limit as u64), signed(query.offset as u64));
        key.extend([Sql::from(query.order.by.clone()), limit.into(), offset.into()]);
        let mut found = statement.query(params_from_iter(&key))?;
        let mut list = Vec::new();
        while let Some(row) = found.next()? {
            list.push(listed(row)?);
        }
        Ok((list, total))
    }

    /// A record in full.
    pub fn detail(&self, record: RecordId) -> Result<Option<Detail>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT is_ledger, place, ledger, row, log, title FROM record \
             WHERE record = ?1 AND row <> ''",
        )?;
        let found = query
            .query_row([record.0], |row| {
                let text: String = row.get(3)?;
                Ok((
                    rows::slice(row, 0)?,
                    row.get::<_, String>(2)?,
                    text,
                    row.get::<_, Vec<u8>>(4)?,
                    row.get::<_, String>(5)?,
                ))
            })
            .optional()?;
        let Some((slice, ledger, row, log, title)) = found else { return Ok(None) };
        let Some(row) = parse_row(&row)? else { return Ok(None) };
        let log = RecordLog::from_bytes(&log)
            .map_err(|error| StoreError::Damaged(format!("record {record}: {error}")))?;
        let findings = self.findings(slice, record)?;
        Ok(Some(Detail { slice, ledger, title, row, log, findings }))
    }

    /// The title of a record, and its ledger.
    pub fn title(&self, record: RecordId) -> Result<Option<(String, String)>, StoreError> {
        let sql = "SELECT title, ledger FROM record WHERE record = ?1 AND row <> ''";
        let mut query = self.db.prepare_cached(sql)?;
        Ok(query.query_row([record.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    /// Records of a ledger that name another, oldest first.
    pub fn naming(
        &self,
        ledger: &str,
        field: &str,
        record: RecordId,
    ) -> Result<Vec<(RecordId, Row)>, StoreError> {
        let sql = "SELECT r.record, r.row FROM link l JOIN record r USING (place, record) \
                   WHERE l.ledger = ?1 AND l.field = ?2 AND l.value = ?3 AND r.is_void = 0 \
                   ORDER BY r.rowid";
        let mut query = self.db.prepare_cached(sql)?;
        let key = params![ledger, field, record.to_string()];
        let found =
            query.query_map(key, |row| Ok((rows::record(row, 0)?, row.get::<_, String>(1)?)))?;
        let mut list = Vec::new();
        for one in found {
            let (id, text) = one?;
            list.extend(parse_row(&text)?.map(|row| (id, row)));
        }
        Ok(list)
    }

    /// Rules that failed for a record.
    pub fn failed(&self, slice: SliceId, record: RecordId) -> Result<Vec<String>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT rule FROM finding WHERE place = ?1 AND record = ?2 AND outcome = 'failed'",
        )?;
        let found = query.query_map(params![slice.place.0, record.0], |row| row.get(0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    fn findings(
        &self,
        slice: SliceId,
        record: RecordId,
    ) -> Result<Vec<(String, String, String, String)>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT rule, severity, outcome, reason FROM finding WHERE place = ?1 AND record = ?2 \
             ORDER BY rule",
        )?;
        let found = query.query_map(params![slice.place.0, record.0], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Findings of a rule: how many failed and how many are unchecked.
    pub fn rule_counts(&self) -> Result<Vec<(String, u64, u64)>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT rule, sum(iif(outcome = 'failed', count, 0)), \
             sum(iif(outcome = 'unchecked', count, 0)) FROM rule_tally \
             GROUP BY rule HAVING sum(count) > 0 ORDER BY rule",
        )?;
        let found = query
            .query_map([], |row| Ok((row.get(0)?, rows::count(row, 1)?, rows::count(row, 2)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Findings of a rule that stands in several ledgers, ledger by ledger.
    pub fn rule_by_ledger(&self, rule: &str) -> Result<Vec<(String, u64, u64)>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT r.ledger, sum(f.outcome = 'failed'), sum(f.outcome = 'unchecked') \
             FROM finding f JOIN record r USING (is_ledger, place, record) WHERE f.rule = ?1 \
             GROUP BY r.ledger ORDER BY r.ledger",
        )?;
        let found = query.query_map([rule], |row| {
            Ok((row.get(0)?, rows::count(row, 1)?, rows::count(row, 2)?))
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Records by ledger.
    pub fn ledger_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT ledger, sum(count) FROM state_tally GROUP BY ledger HAVING sum(count) > 0",
        )?;
        let found = query.query_map([], |row| Ok((row.get(0)?, rows::count(row, 1)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Records with conflicts.
    pub fn conflicts(&self) -> Result<Vec<Listed>, StoreError> {
        let query = ListQuery { in_conflict: true, limit: 500, ..ListQuery::default() };
        Ok(self.list(&query)?.0)
    }

    /// The hash of a slice.
    pub fn slice_hash(&self, slice: SliceId) -> Result<Hash, StoreError> {
        read_slice_hash(self.db, slice)
    }

    /// Slices of which anything is held.
    pub fn slices(&self) -> Result<Vec<SliceId>, StoreError> {
        let mut query = self
            .db
            .prepare_cached("SELECT DISTINCT is_ledger, place FROM ledger.feed ORDER BY 1, 2")?;
        let found = query.query_map([], |row| rows::slice(row, 0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// The segments that carry a record's counted changes: feed and number; own unsealed changes
    /// have none.
    pub fn positions(&self, log: &RecordLog) -> Result<Vec<Option<(FeedId, u64)>>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT is_ledger, place, lane, author_key, epoch, number FROM ledger.segment \
             JOIN ledger.feed USING (feed_id) WHERE arrival = ?1",
        )?;
        let mut list = Vec::new();
        for change in log.changes.iter().filter(|change| change.origin.counted) {
            let Some(arrival) = change.origin.arrival else {
                list.push(None);
                continue;
            };
            let found = query
                .query_row([signed(arrival)], |row| Ok((rows::feed(row, 0)?, rows::count(row, 5)?)))
                .optional()?;
            list.push(found);
        }
        Ok(list)
    }

    /// Receipts about a slice.
    pub fn receipts(&self, slice: SliceId) -> Result<Vec<Receipt>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT plain, seal FROM ledger.receipt WHERE is_ledger = ?1 AND place = ?2",
        )?;
        let key = params![is_ledger(slice), slice.place.0];
        let found = query.query_map(key, |row| {
            Ok(SealedReceipt { plain: row.get(0)?, seal: rows::array(row, 1)? })
        })?;
        let mut list = Vec::new();
        for sealed in found {
            list.extend(sealed?.open().ok());
        }
        Ok(list)
    }

    /// Since when each issuer holds or has applied segment `number` of a directive feed.
    pub fn reach(
        &self,
        slice: SliceId,
        author: AuthorId,
        number: u64,
    ) -> Result<Vec<(SealKey, bool, UtcMillis)>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT issuer, applied, min(since_ms) FROM ledger.reach WHERE place = ?1 \
             AND author_key = ?2 AND epoch = ?3 AND count > ?4 GROUP BY issuer, applied",
        )?;
        let key = params![slice.place.0, author.key.0, author.epoch.0, signed(number)];
        let found = query.query_map(key, |row| {
            Ok((SealKey(rows::array(row, 0)?), row.get(1)?, UtcMillis(row.get(2)?)))
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// How the data of places stand here. `author_place` tells whose an author is.
    pub fn freshness(
        &self,
        author_place: impl Fn(SealKey) -> Option<PlaceId>,
    ) -> Result<std::collections::BTreeMap<PlaceId, Freshness>, StoreError> {
        let mut found: std::collections::BTreeMap<PlaceId, Freshness> = Default::default();
        let mut query = self.db.prepare_cached(
            "SELECT author_key, max(committed_at_ms) FROM ledger.feed JOIN ledger.segment \
             USING (feed_id) WHERE is_ledger = 1 AND number = count - 1 GROUP BY author_key",
        )?;
        let mut authors = query.query([])?;
        while let Some(row) = authors.next()? {
            if let Some(place) = author_place(SealKey(rows::array(row, 0)?)) {
                let one = found.entry(place).or_default();
                one.newest = one.newest.max(UtcMillis(row.get(1)?));
            }
        }
        let mut query = self.db.prepare_cached(
            "SELECT place, max(last_ms), max(synced_ms) FROM ledger.contact GROUP BY place",
        )?;
        let mut contacts = query.query([])?;
        while let Some(row) = contacts.next()? {
            let one = found.entry(rows::place(row, 0)?).or_default();
            one.contact = UtcMillis(row.get(1)?);
            one.synced = UtcMillis(row.get(2)?);
        }
        for (table, pick) in [("parked", 0), ("void_entry", 1)] {
            let sql = format!("SELECT place, count(*) FROM {table} GROUP BY place");
            let mut query = self.db.prepare_cached(&sql)?;
            let mut counts = query.query([])?;
            while let Some(row) = counts.next()? {
                let one = found.entry(rows::place(row, 0)?).or_default();
                let count = rows::count(row, 1)?;
                if pick == 0 { one.parked = count } else { one.void = count }
            }
        }
        for (place, one) in &mut found {
            one.place = *place;
        }
        Ok(found)
    }

    /// Last contact with the parent and last time in sync; zeros if never.
    pub fn parent_contact(&self) -> Result<(UtcMillis, UtcMillis), StoreError> {
        let sql = "SELECT coalesce(max(last_ms), 0), coalesce(max(synced_ms), 0) FROM ledger.contact \
                   WHERE is_parent = 1";
        Ok(self
            .db
            .prepare_cached(sql)?
            .query_row([], |row| Ok((UtcMillis(row.get(0)?), UtcMillis(row.get(1)?))))?)
    }

    /// Own entries that no receipt of `issuers` covers.
    pub fn pending(
        &self,
        own: SealKey,
        covered: impl Fn(&FeedId) -> u64,
    ) -> Result<Pending, StoreError> {
        let mut pending = Pending::default();
        let mut query = self.db.prepare_cached(
            "SELECT is_ledger, place, lane, author_key, epoch, feed_id, count FROM ledger.feed \
             WHERE author_key = ?1",
        )?;
        let mut feeds = query.query([own.0])?;
        let mut plains = self.db.prepare_cached(
            "SELECT plain FROM ledger.segment WHERE feed_id = ?1 AND number >= ?2 ORDER BY number",
        )?;
        while let Some(row) = feeds.next()? {
            let feed = rows::feed(row, 0)?;
            let (id, count): (i64, u64) = (row.get(5)?, rows::count(row, 6)?);
            let from = covered(&feed);
            if from >= count {
                continue;
            }
            let mut found = plains.query(params![id, signed(from)])?;
            while let Some(row) = found.next()? {
                let plain: Vec<u8> = row.get(0)?;
                if let Ok(segment) = taizhang_core::feed::segment::Segment::from_plain(&plain) {
                    for entry in &segment.entries {
                        pending.add(entry.time);
                    }
                }
            }
        }
        let mut query = self.db.prepare_cached("SELECT entry FROM ledger.tail")?;
        let mut tail = query.query([])?;
        while let Some(row) = tail.next()? {
            let bytes: Vec<u8> = row.get(0)?;
            if let Ok(entry) = taizhang_core::feed::entry::Entry::from_bytes(&bytes) {
                pending.add(entry.time);
            }
        }
        Ok(pending)
    }

    /// Audit lines, newest first.
    pub fn audit(&self, limit: usize) -> Result<Vec<(UtcMillis, String, String)>, StoreError> {
        let mut query = self.db.prepare_cached(
            "SELECT time_ms, kind, text FROM ledger.audit ORDER BY number DESC LIMIT ?1",
        )?;
        let found = query.query_map([signed(limit as u64)], |row| {
            Ok((UtcMillis(row.get(0)?), row.get(1)?, row.get(2)?))
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Parked and void entries in all.
    pub fn masked_counts(&self) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT (SELECT count(*) FROM parked), (SELECT count(*) FROM void_entry)";
        Ok(self
            .db
            .prepare_cached(sql)?
            .query_row([], |row| Ok((rows::count(row, 0)?, rows::count(row, 1)?)))?)
    }

    /// Raw changes of a record, for its Automerge document: those that joined its log.
    pub fn raw_changes(
        &self,
        record: RecordId,
        log: &RecordLog,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut found = Vec::new();
        let mut arrivals: Vec<Option<u64>> =
            log.changes.iter().map(|change| change.origin.arrival).collect();
        arrivals.sort_unstable();
        arrivals.dedup();
        let mut take = |entries: Vec<taizhang_core::feed::entry::Entry>| {
            for change in entries.into_iter().flat_map(|entry| entry.changes) {
                let known = change.record == record
                    && taizhang_core::record::change::scan(&change.bytes)
                        .is_ok_and(|scanned| log.position(scanned.hash).is_some());
                if known {
                    found.push(change.bytes);
                }
            }
        };
        let mut query =
            self.db.prepare_cached("SELECT plain FROM ledger.segment WHERE arrival = ?1")?;
        for arrival in arrivals.into_iter().flatten() {
            let plain: Option<Vec<u8>> =
                query.query_row([signed(arrival)], |row| row.get(0)).optional()?;
            let segment = plain
                .and_then(|plain| taizhang_core::feed::segment::Segment::from_plain(&plain).ok());
            take(segment.map(|segment| segment.entries).unwrap_or_default());
        }
        let mut query = self.db.prepare_cached("SELECT entry FROM ledger.tail")?;
        let tail = query.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
        for bytes in tail {
            let entry = taizhang_core::feed::entry::Entry::from_bytes(&bytes?);
            take(entry.into_iter().collect());
        }
        Ok(found)
    }
}

impl Pending {
    fn add(&mut self, time: UtcMillis) {
        self.entries += 1;
        if self.oldest.0 == 0 || time < self.oldest {
            self.oldest = time;
        }
    }
}
