//! What the projector writes: records, links, findings, roll-ups, parked and void entries.

use rusqlite::{OptionalExtension as _, Params, Statement, params};
use taizhang_core::codec::{Reader, Writer};
use taizhang_core::id::{AuthorId, Epoch, Hash, PlaceId, RecordId, SealKey, SliceId};
use taizhang_core::record::fold::Row;
use taizhang_core::record::log::RecordLog;
use taizhang_core::record::state::StateFold;
use taizhang_core::rules::Finding;
use taizhang_core::verdict::{SeesMap, VoidReason};

use super::rows::{self, is_ledger, signed};
use super::{Store, StoreError};

/// A record as stored.
#[derive(Clone, Debug)]
pub struct StoredRecord {
    /// Everything known of it.
    pub log: RecordLog,
    /// The row, if a counted change created it.
    pub row: Option<Row>,
    /// Its ledger.
    pub ledger: String,
}

/// What is written for a record.
pub struct RecordUpdate<'a> {
    /// The log.
    pub log: &'a RecordLog,
    /// The row.
    pub row: Option<&'a Row>,
    /// The row as text; empty without one.
    pub text: &'a str,
    /// Ledger id.
    pub ledger: &'a str,
    /// Hash of row and findings.
    pub hash: Hash,
    /// Title for lists.
    pub title: &'a str,
    /// The day of its deadline; empty if there is none to meet.
    pub due_on: &'a str,
    /// Text for search.
    pub search: &'a str,
    /// Where a directive record was created.
    pub origin: Option<(AuthorId, u64)>,
}

pub(super) fn sees_to_bytes(sees: &SeesMap) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.len(sees.len());
    for ((slice, author), count) in sees {
        writer.raw(&slice.place.0);
        writer.raw(&author.key.0);
        writer.raw(&author.epoch.0);
        writer.uint(*count);
    }
    writer.bytes
}

pub(super) fn sees_from_bytes(bytes: &[u8]) -> Result<SeesMap, StoreError> {
    let damaged = |_| StoreError::Damaged("a feed's `sees`".into());
    let mut reader = Reader::new(bytes);
    let mut sees = SeesMap::new();
    for _ in 0..reader.len(usize::MAX).map_err(damaged)? {
        let slice = SliceId::directive(PlaceId(reader.array().map_err(damaged)?));
        let key = SealKey(reader.array().map_err(damaged)?);
        let epoch = Epoch(reader.array().map_err(damaged)?);
        let count = reader.uint().map_err(damaged)?;
        sees.insert((slice, AuthorId { key, epoch }), count);
    }
    Ok(sees)
}

/// Characters separated by blanks, so that FTS5 finds two-character names as phrases.
pub fn search_text(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len() * 2);
    for c in text.chars().filter(|c| c.is_alphanumeric()) {
        spaced.extend(c.to_lowercase());
        spaced.push(' ');
    }
    spaced
}

impl Store {
    /// A single derived value.
    pub fn derived_meta(&self, key: &str) -> Result<Option<i64>, StoreError> {
        let mut query = self.derived.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
        let found: Option<Vec<u8>> = query.query_row([key], |row| row.get(0)).optional()?;
        Ok(found.and_then(|bytes| Some(i64::from_le_bytes(bytes.try_into().ok()?))))
    }

    /// Sets a single derived value.
    pub fn set_derived_meta(&self, key: &str, value: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2";
        self.derived.prepare_cached(sql)?.execute(params![key, value.to_le_bytes()])?;
        Ok(())
    }

    /// Segments projected of a feed, and its cumulative `sees`.
    pub fn feed_state(&self, feed_id: i64) -> Result<(u64, SeesMap), StoreError> {
        let mut query =
            self.derived.prepare_cached("SELECT count, sees FROM feed_state WHERE feed_id = ?1")?;
        let found = query
            .query_row([feed_id], |row| Ok((rows::count(row, 0)?, row.get::<_, Vec<u8>>(1)?)))
            .optional()?;
        match found {
            None => Ok((0, SeesMap::new())),
            Some((count, sees)) => Ok((count, sees_from_bytes(&sees)?)),
        }
    }

    /// Sets it.
    pub fn set_feed_state(
        &self,
        feed_id: i64,
        count: u64,
        sees: &SeesMap,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO feed_state VALUES (?1, ?2, ?3) \
                   ON CONFLICT DO UPDATE SET count = ?2, sees = ?3";
        let row = params![feed_id, signed(count), sees_to_bytes(sees)];
        self.derived.prepare_cached(sql)?.execute(row)?;
        Ok(())
    }

    /// A record, if anything is known of it.
    pub fn record(
        &self,
        slice: SliceId,
        record: RecordId,
    ) -> Result<Option<StoredRecord>, StoreError> {
        let mut query = self.derived.prepare_cached(
            "SELECT log, row, ledger FROM record WHERE is_ledger = ?1 AND place = ?2 AND record = ?3",
        )?;
        let key = params![is_ledger(slice), slice.place.0, record.0];
        let found = query
            .query_row(key, |row| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((log, row, ledger)) = found else { return Ok(None) };
        let log = RecordLog::from_bytes(&log)
            .map_err(|error| StoreError::Damaged(format!("record {record}: {error}")))?;
        Ok(Some(StoredRecord { log, row: parse_row(&row)?, ledger }))
    }

    /// The slices in which a record id stands: one, unless somebody forged ids.
    pub fn slices_of(&self, record: RecordId) -> Result<Vec<SliceId>, StoreError> {
        let sql = "SELECT is_ledger, place FROM record WHERE record = ?1 AND row <> ''";
        let mut query = self.derived.prepare_cached(sql)?;
        let found = query.query_map([record.0], |row| rows::slice(row, 0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Writes a record.
    pub fn put_record(
        &self,
        slice: SliceId,
        record: RecordId,
        update: &RecordUpdate<'_>,
    ) -> Result<(), StoreError> {
        let changed = update.log.changes.iter().filter(|change| change.origin.counted);
        let changed_ms = changed.map(|change| change.origin.time.0).max().unwrap_or(0);
        let sql = "INSERT INTO record (is_ledger, place, record, ledger, log, row, hash, state, \
                   is_void, conflicts, title, changed_ms, origin_key, origin_epoch, origin_number, \
                   recheck, due_on, touched) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, \
                   (SELECT coalesce(max(touched), 0) + 1 FROM record WHERE ledger = ?4)) \
                   ON CONFLICT DO UPDATE SET ledger = ?4, log = ?5, row = ?6, hash = ?7, state = ?8, \
                   is_void = ?9, conflicts = ?10, title = ?11, changed_ms = ?12, recheck = ?16, due_on = ?17, \
                   touched = iif(record.row <> ?6 OR record.ledger <> ?4 OR record.title <> ?11, \
                   excluded.touched, record.touched), \
                   origin_key = coalesce(origin_key, ?13), origin_epoch = coalesce(origin_epoch, ?14), \
                   origin_number = coalesce(origin_number, ?15) RETURNING rowid";
        let rowid: i64 = self.derived.prepare_cached(sql)?.query_row(
            params![
                is_ledger(slice),
                slice.place.0,
                record.0,
                update.ledger,
                update.log.to_bytes(),
                update.text,
                update.hash.0,
                update.row.and_then(Row::state_id).unwrap_or_default(),
                update.row.is_none_or(|row| row.void.is_some()),
                update.row.map_or(0, |row| signed(row.conflicts.len() as u64)),
                update.title,
                changed_ms,
                update.origin.map(|(author, _)| author.key.0),
                update.origin.map(|(author, _)| author.epoch.0),
                update.origin.map(|(_, number)| signed(number)),
                update.row.and_then(|row| row.state.as_ref()).is_some_and(StateFold::is_to_recheck),
                update.due_on
            ],
            |row| row.get(0),
        )?;
        self.set_search(rowid, update.search)
    }

    /// The title of a record.
    pub fn title(&self, slice: SliceId, record: RecordId) -> Result<Option<String>, StoreError> {
        let sql = "SELECT title FROM record WHERE is_ledger = ?1 AND place = ?2 AND record = ?3";
        let key = params![is_ledger(slice), slice.place.0, record.0];
        Ok(self.derived.prepare_cached(sql)?.query_row(key, |row| row.get(0)).optional()?)
    }

    /// Records of a ledger in a slice that bear a title and are not void.
    pub fn titled(
        &self,
        slice: SliceId,
        ledger: &str,
        title: &str,
    ) -> Result<Vec<RecordId>, StoreError> {
        let sql = "SELECT record FROM record WHERE ledger = ?1 AND place = ?2 AND is_void = 0 \
                   AND title = ?3 AND is_ledger = ?4";
        let mut query = self.derived.prepare_cached(sql)?;
        let key = params![ledger, slice.place.0, title, is_ledger(slice)];
        let found = query.query_map(key, |row| rows::record(row, 0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Changes a title and the text searched; gives whether the title was another.
    pub fn set_title(
        &self,
        slice: SliceId,
        record: RecordId,
        title: &str,
        search: &str,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE record SET title = ?4, touched = (SELECT max(touched) + 1 FROM record r \
                   WHERE r.ledger = record.ledger) WHERE is_ledger = ?1 AND place = ?2 \
                   AND record = ?3 AND title <> ?4 RETURNING rowid";
        let key = params![is_ledger(slice), slice.place.0, record.0, title];
        let changed: Option<i64> =
            self.derived.prepare_cached(sql)?.query_row(key, |row| row.get(0)).optional()?;
        if let Some(rowid) = changed {
            self.set_search(rowid, search)?;
        }
        Ok(changed.is_some())
    }

    fn set_search(&self, rowid: i64, text: &str) -> Result<(), StoreError> {
        self.derived.prepare_cached("DELETE FROM search WHERE rowid = ?1")?.execute([rowid])?;
        if text.is_empty() {
            return Ok(());
        }
        self.derived
            .prepare_cached("INSERT INTO search (rowid, text) VALUES (?1, ?2)")?
            .execute(params![rowid, search_text(text)])?;
        Ok(())
    }

    /// Sets the hash of a record's row and findings.
    pub fn set_record_hash(
        &self,
        slice: SliceId,
        record: RecordId,
        hash: Hash,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE record SET hash = ?4 WHERE is_ledger = ?1 AND place = ?2 AND record = ?3";
        let key = params![is_ledger(slice), slice.place.0, record.0, hash.0];
        self.derived.prepare_cached(sql)?.execute(key)?;
        Ok(())
    }

    /// Links of a record: (field, value).
    pub fn links_of(
        &self,
        place: PlaceId,
        record: RecordId,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let mut query = self
            .derived
            .prepare_cached("SELECT field, value FROM link WHERE record = ?1 AND place = ?2")?;
        let found =
            query.query_map(params![record.0, place.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Replaces the links of a record.
    pub fn set_links(
        &self,
        place: PlaceId,
        ledger: &str,
        record: RecordId,
        links: &[(String, String)],
    ) -> Result<(), StoreError> {
        self.derived
            .prepare_cached("DELETE FROM link WHERE record = ?1 AND place = ?2")?
            .execute(params![record.0, place.0])?;
        let mut insert = self
            .derived
            .prepare_cached("INSERT OR IGNORE INTO link VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for (field, value) in links {
            insert.execute(params![place.0, ledger, field, value, record.0])?;
        }
        Ok(())
    }

    /// Rows of a ledger in a slice whose text holds a value, by search.
    pub fn rows_with(
        &self,
        slice: SliceId,
        ledger: &str,
        value: &str,
    ) -> Result<Vec<(RecordId, Row)>, StoreError> {
        let phrase = format!("\"{}\"", search_text(value).trim());
        let mut query = self.derived.prepare_cached(
            "SELECT record, row FROM record WHERE ledger = ?3 AND place = ?2 AND is_ledger = ?1 \
             AND is_void = 0 AND rowid IN (SELECT rowid FROM search WHERE search MATCH ?4)",
        )?;
        let key = params![is_ledger(slice), slice.place.0, ledger, phrase];
        listed(&mut query, key)
    }

    /// Replaces the findings of a record.
    pub fn set_findings(
        &self,
        slice: SliceId,
        record: RecordId,
        findings: &[Finding],
    ) -> Result<(), StoreError> {
        self.derived
            .prepare_cached("DELETE FROM finding WHERE place = ?1 AND record = ?2")?
            .execute(params![slice.place.0, record.0])?;
        let mut insert = self
            .derived
            .prepare_cached("INSERT INTO finding VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
        for finding in findings {
            insert.execute(params![
                is_ledger(slice),
                slice.place.0,
                record.0,
                finding.rule,
                word(&finding.severity),
                word(&finding.outcome),
                finding.reason,
                finding.dated
            ])?;
        }
        Ok(())
    }

    /// Parked and void entries: arrival, index, kind, reason.
    pub fn masked(&self) -> Result<Vec<(u64, usize, &'static str, String)>, StoreError> {
        let mut list = Vec::new();
        for (kind, sql) in [
            ("parked", "SELECT arrival, entry, waiting FROM parked"),
            ("void", "SELECT arrival, entry, reason FROM void_entry"),
        ] {
            let mut query = self.derived.prepare_cached(sql)?;
            let mut found = query.query([])?;
            while let Some(row) = found.next()? {
                let entry = usize::try_from(rows::count(row, 1)?).unwrap_or(0);
                list.push((rows::count(row, 0)?, entry, kind, row.get(2)?));
            }
        }
        Ok(list)
    }

    /// Whether a malformed entry of a slice was met.
    pub fn is_poisoned(&self, slice: SliceId) -> Result<bool, StoreError> {
        let sql = "SELECT count(*) FROM void_entry WHERE is_ledger = ?1 AND place = ?2 \
                   AND reason LIKE '%malformed%'";
        let key = params![is_ledger(slice), slice.place.0];
        let count: i64 = self.derived.prepare_cached(sql)?.query_row(key, |row| row.get(0))?;
        Ok(count > 0)
    }

    /// Notes a void entry.
    pub fn put_void(
        &self,
        arrival: u64,
        entry: usize,
        slice: SliceId,
        author: AuthorId,
        reason: &VoidReason,
    ) -> Result<(), StoreError> {
        self.derived
            .prepare_cached("INSERT OR REPLACE INTO void_entry VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                signed(arrival),
                signed(entry as u64),
                is_ledger(slice),
                slice.place.0,
                author.key.0,
                serde_json::to_string(reason).unwrap_or_default()
            ])?;
        Ok(())
    }

    /// Rows of directive records with the place where each was created: author and number.
    #[expect(clippy::type_complexity, reason = "one row of one query")]
    pub fn directive_rows(
        &self,
    ) -> Result<Vec<(SliceId, RecordId, Row, (AuthorId, u64))>, StoreError> {
        let mut query = self.derived.prepare_cached(
            "SELECT is_ledger, place, record, origin_key, origin_epoch, origin_number, row \
             FROM record WHERE is_ledger = 0 AND row <> '' AND origin_key IS NOT NULL \
             AND ledger LIKE 'sys\\_%' ESCAPE '\\' ORDER BY rowid",
        )?;
        let mut found = query.query([])?;
        let mut list = Vec::new();
        while let Some(row) = found.next()? {
            if let Some(parsed) = parse_row(&row.get::<_, String>(6)?)? {
                let origin = (rows::author(row, 3)?, rows::count(row, 5)?);
                list.push((rows::slice(row, 0)?, rows::record(row, 2)?, parsed, origin));
            }
        }
        Ok(list)
    }

    /// Records of ledgers, a page at a time by row id, for re-evaluation.
    pub fn records_after(
        &self,
        rowid: i64,
        limit: usize,
    ) -> Result<Vec<(i64, SliceId, RecordId, String)>, StoreError> {
        let mut query = self.derived.prepare_cached(
            "SELECT rowid, is_ledger, place, record, ledger FROM record \
             WHERE rowid > ?1 AND row <> '' ORDER BY rowid LIMIT ?2",
        )?;
        let found = query.query_map(params![rowid, signed(limit as u64)], |row| {
            Ok((row.get(0)?, rows::slice(row, 1)?, rows::record(row, 3)?, row.get(4)?))
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// The hash over rows, conflicts and findings of a slice.
    pub fn slice_hash(&self, slice: SliceId) -> Result<Hash, StoreError> {
        read_slice_hash(&self.derived, slice)
    }

    /// The highest Lamport counter applied in a slice.
    pub fn lamport(&self, slice: SliceId) -> Result<u64, StoreError> {
        let key = format!("lamport {slice}");
        Ok(self.derived_meta(&key)?.and_then(|value| u64::try_from(value).ok()).unwrap_or(0))
    }

    /// Raises it.
    pub fn raise_lamport(&self, slice: SliceId, lamport: u64) -> Result<(), StoreError> {
        if lamport > self.lamport(slice)? {
            self.set_derived_meta(&format!("lamport {slice}"), signed(lamport))?;
        }
        Ok(())
    }
}

/// Hash over (record, hash) of a slice in record order, with the version of the folds.
pub(super) fn read_slice_hash(
    derived: &rusqlite::Connection,
    slice: SliceId,
) -> Result<Hash, StoreError> {
    let mut query = derived.prepare_cached(
        "SELECT record, hash FROM record WHERE is_ledger = ?1 AND place = ?2 AND row <> '' \
         ORDER BY record",
    )?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"taizhang slice hash");
    hasher.update(&taizhang_core::record::fold::FOLD_VERSION.to_le_bytes());
    let mut found = query.query(params![is_ledger(slice), slice.place.0])?;
    while let Some(row) = found.next()? {
        hasher.update(&rows::record(row, 0)?.0);
        hasher.update(&rows::hash(row, 1)?.0);
    }
    Ok(Hash(*hasher.finalize().as_bytes()))
}

/// Records with their rows, of a query for both.
pub(super) fn listed(
    query: &mut Statement<'_>,
    key: impl Params,
) -> Result<Vec<(RecordId, Row)>, StoreError> {
    let found =
        query.query_map(key, |row| Ok((rows::record(row, 0)?, row.get::<_, String>(1)?)))?;
    let mut list = Vec::new();
    for one in found {
        let (record, text) = one?;
        if let Some(row) = parse_row(&text)? {
            list.push((record, row));
        }
    }
    Ok(list)
}

pub(crate) fn parse_row(text: &str) -> Result<Option<Row>, StoreError> {
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(text)
        .map(Some)
        .map_err(|error| StoreError::Damaged(format!("a row of derived.db: {error}")))
}

fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}
